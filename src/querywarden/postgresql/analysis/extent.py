"""Extent: how much of its relations a query takes, as far as its text tells: a row, some, or all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from querywarden.postgresql.analysis.conditions import Truth, truth_of
from querywarden.postgresql.analysis.folding import fold
from querywarden.postgresql.analysis.functions import AGGREGATES
from querywarden.postgresql.analysis.parse import Node

_LIMIT_MAX = 1_000_000
"""A LIMIT above it is none."""

_WITHOUT_CALLS = frozenset({"SubLink", "ColumnRef", "A_Const", "ParamRef", "typeName"})
"""What holds no call of the query's own."""

Tables = Mapping[str, bool]
"""The common tables in sight, and whether each takes every row of a relation."""


def is_limited(query: Node) -> bool:
    """Whether a query has a LIMIT that limits; ALL, NULL and astronomic numbers don't."""
    if "limitCount" not in query:
        return False
    limit = fold(query["limitCount"])
    return limit is not None and not (isinstance(limit, int | float) and limit > _LIMIT_MAX)


def is_aggregated(query: Node) -> bool:
    """Whether a query calls an aggregate of its own, so that without GROUP BY it gives one row."""
    if "havingClause" in query and "groupClause" not in query:
        return True
    values = [target["ResTarget"]["val"] for target in query.get("targetList", ())]
    stack: list[Any] = [value for value in values if "ColumnRef" not in value]
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack.extend(node)
        elif type(node) is dict:
            call = node.get("FuncCall")
            if call is not None and "over" not in call and call["funcname"][-1]["String"]["sval"] in AGGREGATES:
                return True
            stack.extend(value for key, value in node.items() if key not in _WITHOUT_CALLS and (type(value) is dict or type(value) is list))
    return False


def has_groups(query: Node) -> bool:
    """Whether a query hands out groups of rows rather than rows, in each of its arms."""
    return all("groupClause" in arm or is_aggregated(arm) for arm in _arms(query))


def is_small(query: Node) -> bool:
    """Whether a query gives one row, or the rows that its text lists."""
    if is_limited(query) and fold(query["limitCount"]) in (0, 1):
        return True
    return all("fromClause" not in arm or ("groupClause" not in arm and is_aggregated(arm)) for arm in _arms(query))


def takes_all(query: Node, tables: Tables | None = None) -> bool:
    """Whether some arm of a query takes every row of a relation; what it takes from sub-selects and common tables counts as well."""
    if is_limited(query):
        return False
    seen = _with_tables(query, tables or {})
    return any(not is_limited(arm) and _arm_takes_all(arm, seen if arm is query else _with_tables(arm, seen)) for arm in _arms(query))


def _arm_takes_all(arm: Node, tables: Tables) -> bool:
    items: list[Any] = [*arm.get("fromClause", ())]
    if not items or ("groupClause" not in arm and is_aggregated(arm)):
        return False
    found = False
    names = set()
    while items:
        ((kind, body),) = items.pop().items()
        if kind == "JoinExpr":
            items += (body["larg"], body["rarg"])
            continue
        name = body.get("alias", {}).get("aliasname", body.get("relname"))
        names.add(name)
        if kind == "RangeSubselect":
            found |= takes_all(body["subquery"].get("SelectStmt", {}), tables)
        elif kind == "RangeVar" and "schemaname" not in body and body["relname"] in tables:
            found |= tables[body["relname"]]
        else:
            found |= kind in ("RangeVar", "RangeTableSample")
    condition = arm.get("whereClause")
    return found and (condition is None or truth_of(condition, frozenset(names), "") in (Truth.TRUE, Truth.ROWLESS))


def _with_tables(query: Node, tables: Tables) -> Tables:
    """The common tables in sight inside a query; each is looked at once, and a recursive one adds nothing by itself."""
    if "withClause" not in query:
        return tables
    seen = dict(tables)
    for item in query["withClause"]["ctes"]:
        table = item["CommonTableExpr"]
        name = table["ctename"]
        inside = {**seen, name: False} if query["withClause"].get("recursive") else seen
        seen[name] = takes_all(table["ctequery"].get("SelectStmt", {}), inside)
    return seen


def _arms(query: Node) -> list[Node]:
    arms, pending = [], [query]
    while pending:
        arm = pending.pop()
        if "larg" in arm:
            pending += (arm["larg"], arm["rarg"])
        else:
            arms.append(arm)
    return arms
