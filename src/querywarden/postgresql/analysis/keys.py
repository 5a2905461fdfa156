"""Keys: which columns of its target a change equates with values, and how many rows an INSERT lists."""

from __future__ import annotations

from typing import Any

from querywarden.postgresql.analysis.flows import called
from querywarden.postgresql.analysis.functions import HARMLESS, MULTIPLYING
from querywarden.postgresql.analysis.parse import Node

_ROW = "ctid"


def equated_columns(body: Node, others: Any) -> tuple[frozenset[str], frozenset[str]]:
    """The columns of the target of an UPDATE or DELETE that each row has to have one given value in, and those with one of several.

    Args: `others` are the other items of its FROM, whose columns an unqualified name may mean as well.
    """
    relation = body["relation"]
    target = relation.get("alias", {}).get("aliasname", relation["relname"])
    if "colnames" in relation.get("alias", {}):
        return frozenset(), frozenset()
    exact: set[str] = set()
    several: set[str] = set()
    pending = [body["whereClause"]] if "whereClause" in body else []
    while pending:
        ((kind, condition),) = pending.pop().items()
        if kind == "BoolExpr" and condition["boolop"] == "AND_EXPR":
            pending += condition["args"]
        elif kind == "CurrentOfExpr":
            exact.add(_ROW)
        elif kind == "A_Expr" and _is_equality(condition):
            left, right = condition["lexpr"], condition["rexpr"]
            if condition["kind"] == "AEXPR_OP":
                exact.update(_equated(left, right, target, others))
            elif condition["kind"] == "AEXPR_IN":
                items = right["List"]["items"]
                if len(items) == 1:
                    exact.update(_equated(left, items[0], target, others))
                elif all(map(_is_value, items)):
                    several.update(_columns(left, target, others))
            elif _is_value(right):
                several.update(_columns(left, target, others))
            else:
                elements = right.get("A_ArrayExpr", {}).get("elements", (None,))
                found = exact if len(elements) == 1 and _is_scalar(elements[0]) else several
                found.update(_columns(left, target, others) if all(map(_is_value, elements)) else ())
    return frozenset(exact), frozenset(several - exact)


def _is_equality(body: Node) -> bool:
    names = body["name"]
    is_servers = len(names) == 1 or names[0].get("String", {}).get("sval") == "pg_catalog"
    return body["kind"] in ("AEXPR_OP", "AEXPR_IN", "AEXPR_OP_ANY") and is_servers and names[-1]["String"]["sval"] == "="


def _equated(left: Any, right: Any, target: str, others: Any) -> list[str]:
    if "RowExpr" in left and "RowExpr" in right and len(left["RowExpr"]["args"]) == len(right["RowExpr"]["args"]):
        pairs = list(zip(left["RowExpr"]["args"], right["RowExpr"]["args"], strict=True))
    else:
        pairs = [(left, right)]
    return [
        name
        for one, other in pairs
        for column, value in ((one, other), (other, one))
        if _is_value(value)
        for name in _columns(column, target, others)
    ]


def _columns(node: Any, target: str, others: Any) -> list[str]:
    """The column of the target that a node is, if it is one."""
    fields = node["ColumnRef"]["fields"] if type(node) is dict and "ColumnRef" in node else []
    if not fields or "String" not in fields[-1] or len(fields) > 2 or (len(fields) == 1 and others):
        return []
    is_of_target = len(fields) == 1 or fields[0]["String"]["sval"] == target
    return [fields[-1]["String"]["sval"]] if is_of_target else []


def _is_value(node: Any) -> bool:
    """Whether an expression is a constant or a parameter, casts and a sign aside."""
    while type(node) is dict and ("TypeCast" in node or "A_Expr" in node):
        if "TypeCast" in node:
            node = node["TypeCast"]["arg"]
            continue
        operation = node["A_Expr"]
        if "lexpr" in operation or operation["kind"] != "AEXPR_OP" or operation["name"][-1]["String"]["sval"] != "-":
            return False
        node = operation["rexpr"]
    return type(node) is dict and ("A_Const" in node or "ParamRef" in node)


def _is_scalar(node: Any) -> bool:
    """Whether an element of an array is a constant without a cast: a parameter or a cast may be an array itself, of any length."""
    while type(node) is dict and "A_Expr" in node and _is_value(node):
        node = node["A_Expr"]["rexpr"]
    return type(node) is dict and "A_Const" in node


def values_rows(query: Node | None) -> int | None:
    """How many rows an INSERT lists; None where they come from elsewhere, or a function among the values may give several."""
    if query is None:
        return 1
    rows = query.get("valuesLists")
    if rows is None or "withClause" in query:
        return None
    if "limitCount" in query or "limitOffset" in query:
        return None
    return len(rows) if len(rows) > 1 or not _may_multiply(rows) else None


def _may_multiply(root: Any) -> bool:
    """Whether a function may give rows: one of the server's that does, or one that isn't the server's."""
    stack = [root]
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack.extend(node)
        elif type(node) is dict:
            if "FuncCall" in node:
                name = called(node["FuncCall"])[1]
                if name in MULTIPLYING or name not in HARMLESS:
                    return True
            stack.extend(value for key, value in node.items() if key != "SubLink" and (type(value) is dict or type(value) is list))
    return False
