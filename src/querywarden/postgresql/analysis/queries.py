"""Queries: SELECT, VALUES and TABLE, with their FROM items and common table expressions."""

from __future__ import annotations

from functools import partial
from typing import Any

from querywarden.model.facts import Hazard, Verb
from querywarden.postgresql.analysis.expressions import describe_query
from querywarden.postgresql.analysis.extent import has_groups, is_limited, is_small
from querywarden.postgresql.analysis.functions import AGGREGATES
from querywarden.postgresql.analysis.gather import Gatherer, Scope, reads
from querywarden.postgresql.analysis.joins import is_unlinked
from querywarden.postgresql.analysis.parse import Node
from querywarden.postgresql.analysis.settings import with_settings_named

_NOT_WALKED = frozenset({"withClause", "fromClause", "intoClause", "larg", "rarg"})


@reads("SelectStmt")
def read_select(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """A SELECT of its own; with INTO it makes a table, and its query is a child."""
    into = body.get("intoClause")
    if into is not None:
        query = {key: value for key, value in body.items() if key != "intoClause"}
        make_table(gatherer, into, "table")
        gatherer.read_child({"SelectStmt": query}, scope)
        return
    read_query(gatherer, with_settings_named(body), scope)
    gatherer.outputs = describe_query(body, gatherer.row_names())
    if gatherer.reads and not is_limited(body) and not _has_groups(gatherer, body):
        gatherer.hazards.add(Hazard.NO_LIMIT)


@reads("nested SelectStmt")
def read_query(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """Any query; the arms of a set operation are taken one by one, since thousands of them may be chained."""
    pending = [(body, scope)]
    while pending:
        query, visible = pending.pop()
        if "withClause" in query:
            visible = read_common_tables(gatherer, query["withClause"], visible)
        if "larg" in query:
            pending.append((query["rarg"], visible))
            pending.append((query["larg"], visible))
        items = query.get("fromClause")
        if items is not None:
            for item in items:
                read_from_item(gatherer, item, visible)
            if is_unlinked(items, query.get("whereClause"), partial(_is_small_table, gatherer, visible)):
                gatherer.hazards.add(Hazard.CROSS_JOIN)
        if "intoClause" in query:
            make_table(gatherer, query["intoClause"], "table")
        gatherer.walk(query, visible, without=_NOT_WALKED)


def _is_small_table(gatherer: Gatherer, visible: Scope, name: str) -> bool:
    """Whether a name is a common table in sight that gives a row or a list of values, whichever of that name is meant."""
    return name in visible and name in gatherer.tables and all(map(is_small, gatherer.tables[name]))


def _has_groups(gatherer: Gatherer, body: Node) -> bool:
    if "groupClause" not in body and "larg" not in body and "havingClause" not in body:
        # Most queries call no aggregate at all, wherever it might stand.
        return any(function.name in AGGREGATES for function in gatherer.functions) and has_groups(body)
    return has_groups(body)


def make_table(gatherer: Gatherer, into: Node, kind: str) -> None:
    """The relation that a query's rows go into."""
    relation = into["rel"]
    gatherer.write(relation)
    gatherer.verb = Verb.CREATE
    gatherer.hazards.add(Hazard.SCHEMA_CHANGE)
    gatherer.outputs = None
    gatherer.object_kind = f"temporary_{kind}" if relation.get("relpersistence") == "t" else kind


def read_common_tables(gatherer: Gatherer, clause: Node, scope: Scope) -> Scope:
    """Common table expressions; the answer is what the query below them can see.

    Each sees those before it, and with RECURSIVE all of its list. Those that change rows are children.
    """
    tables = [item["CommonTableExpr"] for item in clause["ctes"]]
    names = [table["ctename"] for table in tables]
    gatherer.aliases.update(names)
    visible = scope.union(names) if clause.get("recursive") else scope
    for table in tables:
        query = table["ctequery"]
        if "SelectStmt" in query:
            read_query(gatherer, query["SelectStmt"], visible)
            gatherer.tables.setdefault(table["ctename"], []).append(query["SelectStmt"])
        else:
            gatherer.hazards.add(Hazard.DATA_MODIFYING_CTE)
            gatherer.read_child(query, visible)
        for field in ("search_clause", "cycle_clause"):
            gatherer.walk(table.get(field), visible)
        visible = visible | {table["ctename"]}
    return visible


def read_from_item(gatherer: Gatherer, root: Node, scope: Scope) -> None:
    """An item of FROM; joins are taken apart here, since hundreds of them may be chained."""
    pending: list[Any] = [root]
    while pending:
        item = pending.pop()
        if "RangeVar" in item:
            gatherer.read(item["RangeVar"], scope)
        elif "JoinExpr" in item:
            join = item["JoinExpr"]
            pending.append(join["rarg"])
            pending.append(join["larg"])
            _read_join(gatherer, join, scope)
        elif "RangeTableSample" in item:
            sample = item["RangeTableSample"]
            pending.append(sample["relation"])
            method = sample["method"]
            gatherer.call(method[-2]["String"]["sval"] if len(method) > 1 else None, method[-1]["String"]["sval"], 0)
            gatherer.walk([sample.get("args"), sample.get("repeatable")], scope)
        else:
            _read_derived_item(gatherer, item, scope)


def _read_join(gatherer: Gatherer, join: Node, scope: Scope) -> None:
    for field in ("alias", "join_using_alias"):
        if field in join:
            gatherer.add_alias(join[field])
    if join.get("isNatural") or "usingClause" in join:
        gatherer.operators.add("=")
        gatherer.has_star |= join.get("isNatural", False)
        gatherer.column_names.update(name["String"]["sval"] for name in join.get("usingClause", ()))
    gatherer.walk(join.get("quals"), scope)


def _read_derived_item(gatherer: Gatherer, item: Node, scope: Scope) -> None:
    """A sub-select, a function, XMLTABLE or JSON_TABLE: what it gives has names of its own."""
    gatherer.from_is_plain = False
    ((kind, body),) = item.items()
    alias = body.get("alias")
    if alias is not None:
        gatherer.aliases.add(alias["aliasname"])
    elif kind == "RangeFunction":
        for functions in body.get("functions", ()):
            for call in functions["List"]["items"]:
                if "FuncCall" in call:
                    gatherer.aliases.add(call["FuncCall"]["funcname"][-1]["String"]["sval"])
    if "subquery" in body:
        read_query(gatherer, body["subquery"]["SelectStmt"], scope)
    else:
        gatherer.walk(body, scope)
