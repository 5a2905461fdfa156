"""Expressions: the column names that an output or an assigned value is made of, and whether names bound its data flow."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from querywarden.model.facts import Expression
from querywarden.postgresql.analysis.functions import hazards_of_function
from querywarden.postgresql.analysis.parse import Node

_OPAQUE = Expression(frozenset(), is_opaque=True)
_EMPTY: frozenset[str] = frozenset()


@lru_cache(maxsize=8192)
def _plain(column: str, target: str | None) -> Expression:
    return Expression(frozenset((column,)), is_plain_column=True, target=target)


def describe(node: Node, rows: Collection[str], target: str | None = None) -> Expression:
    """What an expression is made of.

    Args: `rows` are the names that may mean a whole row: aliases and relations of the statement.
    """
    reference = node.get("ColumnRef")
    if reference is not None:
        fields = reference["fields"]
        last = fields[-1].get("String")
        if last is not None and (len(fields) > 1 or last["sval"] not in rows):
            return _plain(last["sval"], target)
    elif "A_Const" in node or "ParamRef" in node:
        return Expression(_EMPTY, target=target)
    columns: set[str] = set()
    is_opaque = _collect(node, rows, columns)
    return Expression(frozenset(columns), is_opaque, target=target)


def unknown(target: str | None) -> Expression:
    """An expression of which nothing is known."""
    return Expression(_EMPTY, is_opaque=True, target=target)


def describe_list(targets: list[Node], rows: Collection[str]) -> tuple[Expression, ...] | None:
    """The outputs of a target list; None when a star hides how many there are."""
    outputs = []
    for target in targets:
        value = target["ResTarget"]["val"]
        if _is_star(value):
            return None
        outputs.append(describe(value, rows))
    return tuple(outputs)


def describe_query(query: Node, rows: Collection[str]) -> tuple[Expression, ...] | None:
    """The outputs of a query, given as the fields of its SelectStmt; None when a star or a set operation hides them."""
    if query.get("op", "SETOP_NONE") != "SETOP_NONE":
        return None
    if "valuesLists" in query:
        return _describe_values(query["valuesLists"], rows)
    return describe_list(query.get("targetList", []), rows)


def _describe_values(lists: list[Node], rows: Collection[str]) -> tuple[Expression, ...] | None:
    """The columns of VALUES: each is made of what any of its rows has there."""
    width = len(lists[0]["List"]["items"])
    columns: list[set[str]] = [set() for _ in range(width)]
    are_opaque = [False] * width
    for row in lists:
        items = row["List"]["items"]
        if len(items) != width:
            return None
        for index, item in enumerate(items):
            if "A_Const" in item or "ParamRef" in item:
                continue
            are_opaque[index] |= _collect(item, rows, columns[index])
    return tuple(Expression(frozenset(names), is_opaque) for names, is_opaque in zip(columns, are_opaque, strict=True))


def _is_star(value: Node) -> bool:
    if "ColumnRef" in value:
        return "A_Star" in value["ColumnRef"]["fields"][-1]
    return "A_Indirection" in value and "A_Star" in value["A_Indirection"]["indirection"][-1]


def _collect(root: Any, rows: Collection[str], columns: set[str]) -> bool:
    """Collect the column names under a node; the answer is whether they are not all that there is."""
    stack = [root]
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack.extend(node)
            continue
        if type(node) is not dict:
            continue
        for key, value in node.items():
            visit = _VISITS.get(key)
            if visit is None:
                if type(value) is dict or type(value) is list:
                    stack.append(value)
            elif visit(value, rows, columns, stack):
                return True
    return False


def _collect_column(reference: Node, rows: Collection[str], columns: set[str], stack: list[Any]) -> bool:
    fields = reference["fields"]
    last = fields[-1].get("String")
    if last is None:
        return True
    name = last["sval"]
    columns.add(name)
    return len(fields) == 1 and name in rows


def _collect_call(call: Node, rows: Collection[str], columns: set[str], stack: list[Any]) -> bool:
    names = call["funcname"]
    name = names[-1]["String"]["sval"]
    schema = names[-2]["String"]["sval"] if len(names) > 1 else None
    over = call.get("over", {})
    if "name" in over or "refname" in over:
        # A window by name: what it is made of stands elsewhere.
        return True
    if name == "count" and schema in (None, "pg_catalog"):
        return False
    arguments = call.get("args", ())
    if hazards_of_function(schema, name, len(arguments)):
        return True
    stack.extend(call[field] for field in ("args", "agg_order", "agg_filter", "over") if field in call)
    return False


def _collect_sub_query(link: Node, rows: Collection[str], columns: set[str], stack: list[Any]) -> bool:
    if link["subLinkType"] == "EXISTS_SUBLINK":
        return False
    query = link["subselect"].get("SelectStmt")
    if query is None or "fromClause" in query or "withClause" in query or query.get("op", "SETOP_NONE") != "SETOP_NONE":
        return True
    stack.append(query)
    if "testexpr" in link:
        stack.append(link["testexpr"])
    return False


def _collect_indirection(body: Node, rows: Collection[str], columns: set[str], stack: list[Any]) -> bool:
    if any("A_Indices" not in step for step in body["indirection"]):
        return True
    stack.append(body)
    return False


def _collect_nothing(body: Any, rows: Collection[str], columns: set[str], stack: list[Any]) -> bool:
    return False


def _collect_unknown(body: Any, rows: Collection[str], columns: set[str], stack: list[Any]) -> bool:
    return True


_VISITS = {
    "ColumnRef": _collect_column,
    "FuncCall": _collect_call,
    "SubLink": _collect_sub_query,
    "A_Indirection": _collect_indirection,
    "A_Star": _collect_unknown,
    "MultiAssignRef": _collect_unknown,
    "SelectStmt": _collect_unknown,
    "A_Const": _collect_nothing,
    "ParamRef": _collect_nothing,
    "typeName": _collect_nothing,
}
