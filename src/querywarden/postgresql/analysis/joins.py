"""Joins: whether the items of a FROM clause are multiplied with each other without a condition that links them."""

from __future__ import annotations

from typing import Any

from querywarden.postgresql.analysis.parse import Node

_NODES_MAX = 2_000
"""Nodes of a condition that are looked at for links; beyond that some are taken for granted."""


def is_unlinked(items: list[Node], condition: Node | None) -> bool:
    """Whether relations or sub-selects in FROM are joined by fewer conditions between columns than it takes to link them all.

    Lateral items and functions are made from each row of the others, so they need no condition.
    """
    if len(items) == 1 and "JoinExpr" not in items[0]:
        return False
    groups = 0
    pending: list[Any] = list(items)
    conditions: list[Any] = [condition]
    while pending:
        item = pending.pop()
        join = item.get("JoinExpr")
        if join is None:
            groups += _is_counted(item)
            continue
        pending += (join["larg"], join["rarg"])
        if join["jointype"] != "JOIN_INNER" or join.get("isNatural") or "usingClause" in join:
            groups -= 1
        elif "quals" in join:
            conditions.append(join["quals"])
    return groups > 1 and not _has_links(conditions, groups - 1)


def _is_counted(item: Node) -> bool:
    if "RangeSubselect" in item:
        sub_select = item["RangeSubselect"]
        return not sub_select.get("lateral") and "fromClause" in sub_select["subquery"].get("SelectStmt", {})
    return "RangeVar" in item or "RangeTableSample" in item


def _has_links(conditions: list[Any], wanted: int) -> bool:
    """Whether that many operators stand between expressions that both have a column; a sub-select may link as well."""
    found = 0
    stack = conditions
    for _ in range(_NODES_MAX):
        if found >= wanted:
            return True
        if not stack:
            return False
        node = stack.pop()
        if type(node) is list:
            stack.extend(node)
        elif type(node) is dict:
            operation = node.get("A_Expr")
            link = node.get("SubLink")
            is_comparison = operation is not None and has_column(operation.get("lexpr")) and has_column(operation.get("rexpr"))
            if is_comparison or (link is not None and "testexpr" not in link):
                found += 1
            else:
                stack.extend(node.values())
    return True


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
