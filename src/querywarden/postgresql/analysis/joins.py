"""Joins: whether the items of a FROM clause are multiplied with each other without a condition that links them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from querywarden.postgresql.analysis.extent import is_small
from querywarden.postgresql.analysis.functions import SYSTEM_RELATIONS
from querywarden.postgresql.analysis.parse import Node

_NODES_MAX = 2_000
"""Nodes of a condition that are looked at for links; beyond that some are taken for granted."""
_SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema"})
_UNLINKING = frozenset({"AEXPR_DISTINCT", "AEXPR_NULLIF"})

Link = frozenset[str]
"""The names of items, and the values, that a condition holds together; `*` is the item of an unqualified column, whichever it is."""


class _TooWide(Exception):
    """The conditions are too large to be looked through."""


def is_unlinked(items: list[Node], condition: Node | None, is_small_table: Callable[[str], bool]) -> bool:
    """Whether relations or sub-selects in FROM are joined without conditions that link them all.

    Lateral items and functions are made from each row of the others, and lists of values, sub-selects of one row and the server's own
    relations multiply little: they need no condition. `is_small_table` says so of common tables.
    """
    if len(items) == 1 and "JoinExpr" not in items[0]:
        return False
    counted: list[str] = []
    groups: list[Link] = []
    conditions: list[Any] = [condition]
    pending: list[Any] = list(items)
    while pending:
        item = pending.pop()
        join = item.get("JoinExpr")
        if join is None:
            if _is_counted(item, is_small_table):
                counted.append(_name_of(item) or f" {len(counted)}")
            continue
        pending += (join["larg"], join["rarg"])
        if join.get("isNatural") or "usingClause" in join:
            groups.append(frozenset({_last_name(join["larg"]), _last_name(join["rarg"])}))
        conditions.append(join.get("quals"))
    if len(counted) < 2:
        return False
    walk = _Walk()
    try:
        for each in conditions:
            groups += walk.links(each)
    except _TooWide:
        return False
    return not _are_connected(counted, groups)


def _is_counted(item: Node, is_small_table: Callable[[str], bool]) -> bool:
    ((kind, body),) = item.items()
    if kind == "RangeSubselect":
        return not body.get("lateral") and not is_small(body["subquery"].get("SelectStmt", {}))
    if kind == "RangeVar":
        schema, name = body.get("schemaname"), body["relname"]
        return schema not in _SYSTEM_SCHEMAS and (schema is not None or (name not in SYSTEM_RELATIONS and not is_small_table(name)))
    return kind == "RangeTableSample"


def _name_of(item: Node) -> str | None:
    ((_, body),) = item.items()
    if "relation" in body:
        body = body["relation"].get("RangeVar", {})
    name = body.get("alias", {}).get("aliasname", body.get("relname"))
    return None if name is None else str(name)


def _last_name(item: Node) -> str:
    """The name of one of the items of a side of a join."""
    while "JoinExpr" in item:
        item = item["JoinExpr"]["rarg"]
    return _name_of(item) or ""


def _are_connected(counted: list[str], groups: list[Link]) -> bool:
    """Whether the links hold all counted items together; a link with an unqualified column may be any one of those that are wanting."""
    spare = sum("*" in group for group in groups)
    parts: list[set[str]] = []
    for group in groups:
        merged = {name for name in group if name != "*"}
        rest = []
        for part in parts:
            if part.isdisjoint(merged):
                rest.append(part)
            else:
                merged |= part
        parts = [*rest, merged]
    names = set(counted)
    tied = [part & names for part in parts if part & names]
    components = len(tied) + len(counted) - sum(len(part) for part in tied)
    return components - spare <= 1


class _Walk:
    """A walk over conditions; it counts the nodes that it has seen."""

    def __init__(self) -> None:
        self._seen = 0

    def links(self, condition: Node | None) -> list[Link]:
        """The links that a condition makes, whatever else it says. Raises: _TooWide."""
        found: list[Link] = []
        pending = [] if condition is None else [condition]
        while pending:
            ((kind, body),) = pending.pop().items()
            if kind == "BoolExpr":
                if body["boolop"] == "AND_EXPR":
                    pending += body["args"]
                elif body["boolop"] == "OR_EXPR":
                    found += self._shared([self.links(arm) for arm in body["args"]])
            elif kind == "A_Expr":
                found += self._of_operation(body)
            elif kind == "FuncCall":
                found.append(frozenset(self._names([body.get("args")])))
            elif kind == "SubLink" and body["subLinkType"] in ("EXISTS_SUBLINK", "ANY_SUBLINK"):
                found.append(frozenset(self._names([body["subselect"], body.get("testexpr")]) - {"*"}))
            elif kind == "TypeCast":
                pending.append(body["arg"])
        return [link for link in found if len(link) > 1]

    def _shared(self, arms: list[list[Link]]) -> list[Link]:
        """The links that every arm of an OR makes."""
        first, *others = arms
        return [link for link in first if all(any(link <= other for other in arm) for arm in others)]

    def _of_operation(self, body: Node) -> Iterable[Link]:
        operator = body["name"][-1]["String"]["sval"]
        if operator in ("<>", "!=") or body["kind"] in _UNLINKING or body["kind"].startswith("AEXPR_NOT_BETWEEN"):
            return
        left, right = self._names([body.get("lexpr")]), self._names([body.get("rexpr")])
        if left and right:
            if left | right != {"*"}:
                yield frozenset(left | right)
            elif _column_of(body.get("lexpr")) != _column_of(body.get("rexpr")):
                # Two unqualified columns, of whichever items, are one link.
                yield frozenset({"*", " "})
        elif operator == "=" and body["kind"] == "AEXPR_OP":
            for names, other in ((left, body.get("rexpr")), (right, body.get("lexpr"))):
                value = _value_of(other)
                if names and value is not None:
                    yield frozenset(names | {value})

    def _names(self, stack: list[Any]) -> set[str]:
        """The qualifiers of the columns under some nodes, `*` for columns without one."""
        names: set[str] = set()
        while stack:
            node = stack.pop()
            self._seen += 1
            if self._seen > _NODES_MAX:
                raise _TooWide
            if type(node) is list:
                stack.extend(node)
            elif type(node) is dict:
                if "ColumnRef" in node:
                    fields = node["ColumnRef"]["fields"]
                    names.add(fields[-2]["String"]["sval"] if len(fields) > 1 else "*")
                else:
                    stack.extend(value for value in node.values() if type(value) is dict or type(value) is list)
        return names


def _column_of(node: Any) -> str | None:
    fields = node.get("ColumnRef", {}).get("fields", ()) if type(node) is dict else ()
    return fields[-1].get("String", {}).get("sval") if fields else None


def _value_of(node: Any) -> str | None:
    """A constant or a parameter as a name: items that are equal to the same one are linked by it."""
    while type(node) is dict and "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    if type(node) is not dict:
        return None
    if "ParamRef" in node:
        return f"${node['ParamRef'].get('number')}"
    if "A_Const" in node:
        return " ".join(f"={key}:{value}" for key, value in node["A_Const"].items() if key != "location")
    return None


def has_column(root: Any) -> bool:
    """Whether a column is named anywhere under a node."""
    stack = [root]
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack.extend(node)
        elif type(node) is dict:
            if "ColumnRef" in node:
                return True
            stack.extend(value for value in node.values() if type(value) is dict or type(value) is list)
    return False


def is_given(node: Node) -> bool:
    """Whether an expression is a constant or a parameter, casts aside: what the client itself has sent."""
    while "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    return "A_Const" in node or "ParamRef" in node
