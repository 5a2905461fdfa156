"""Changes of rows: INSERT, UPDATE, DELETE and MERGE, what they assign, and whether their conditions name rows at all."""

from __future__ import annotations

from typing import Any

from querywarden.model.facts import Expression, Hazard, Verb
from querywarden.postgresql.analysis.conditions import Truth, truth_of
from querywarden.postgresql.analysis.expressions import describe, describe_list, describe_query, unknown
from querywarden.postgresql.analysis.gather import Gatherer, Scope, reads
from querywarden.postgresql.analysis.keys import equated_columns, values_rows
from querywarden.postgresql.analysis.parse import Node
from querywarden.postgresql.analysis.queries import read_common_tables, read_from_item, read_query

_ACTIONS = {"CMD_INSERT": (Verb.INSERT,), "CMD_UPDATE": (Verb.UPDATE,), "CMD_DELETE": (Verb.DELETE,)}


@reads("InsertStmt")
def read_insert(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """An INSERT: the outputs of its query are what it assigns."""
    scope = _begin(gatherer, body, scope)
    query = body.get("selectStmt", {}).get("SelectStmt")
    columns = [column["ResTarget"]["name"] for column in body.get("cols", ())]
    gatherer.walk(body.get("cols"), scope)
    if query is not None:
        read_query(gatherer, query, scope)
    gatherer.values_rows = values_rows(query)
    gatherer.column_names.update(columns)
    gatherer.has_star |= not columns and query is not None
    conflict = body.get("onConflictClause", {})
    if conflict.get("action") == "ONCONFLICT_UPDATE":
        gatherer.acts_as.add(Verb.UPDATE)
    gatherer.walk(conflict, scope)
    assignments = () if query is None else _inserted(gatherer, query, columns)
    updates = _assigned(gatherer, conflict.get("targetList", ()))
    gatherer.assignments = None if assignments is None else (*assignments, *updates)
    _end(gatherer, body, scope)


@reads("UpdateStmt")
def read_update(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """An UPDATE."""
    scope = _begin(gatherer, body, scope)
    for item in body.get("fromClause", ()):
        read_from_item(gatherer, item, scope)
    gatherer.walk([body["targetList"], body.get("whereClause")], scope)
    gatherer.assignments = _assigned(gatherer, body["targetList"])
    gatherer.key_equalities, gatherer.key_choices = equated_columns(body, body.get("fromClause", ()))
    _judge_condition(gatherer, body, body.get("fromClause", ()), scope)
    _end(gatherer, body, scope)


@reads("DeleteStmt")
def read_delete(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """A DELETE."""
    scope = _begin(gatherer, body, scope)
    for item in body.get("usingClause", ()):
        read_from_item(gatherer, item, scope)
    gatherer.walk(body.get("whereClause"), scope)
    gatherer.key_equalities, gatherer.key_choices = equated_columns(body, body.get("usingClause", ()))
    _judge_condition(gatherer, body, body.get("usingClause", ()), scope)
    _end(gatherer, body, scope)


@reads("MergeStmt")
def read_merge(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """A MERGE: its actions are judged by the join condition and their own."""
    scope = _begin(gatherer, body, scope)
    read_from_item(gatherer, body["sourceRelation"], scope)
    gatherer.walk(body["joinCondition"], scope)
    targets = _target_names(body)
    joined = truth_of(body["joinCondition"], targets, body["relation"]["relname"], _twins(body, [body["sourceRelation"]], scope))
    assignments: list[Expression] = []
    for item in body["mergeWhenClauses"]:
        clause = item["MergeWhenClause"]
        gatherer.acts_as.update(_ACTIONS.get(clause["commandType"], ()))
        gatherer.walk(clause, scope)
        gatherer.has_star |= clause["commandType"] == "CMD_INSERT" and "targetList" not in clause
        if clause["commandType"] == "CMD_DELETE":
            gatherer.hazards.add(Hazard.MERGE_DELETE)
        assignments += _merged(gatherer, clause)
        if clause["commandType"] in ("CMD_UPDATE", "CMD_DELETE") and _hits_all(clause, joined, targets, body):
            gatherer.hazards.add(Hazard.TAUTOLOGICAL)
    gatherer.assignments = tuple(assignments)
    _end(gatherer, body, scope)


def _begin(gatherer: Gatherer, body: Node, scope: Scope) -> Scope:
    if "withClause" in body:
        scope = read_common_tables(gatherer, body["withClause"], scope)
    gatherer.write(body["relation"])
    return scope


def _end(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    returning: Any = body.get("returningClause")
    if returning is None:
        gatherer.outputs = ()
        return
    for option in returning.get("options", ()):
        gatherer.aliases.add(option["ReturningOption"]["value"])
    gatherer.walk(returning["exprs"], scope)
    gatherer.outputs = describe_list(returning["exprs"], gatherer.row_names())


def _inserted(gatherer: Gatherer, query: Node, columns: list[str]) -> tuple[Expression, ...] | None:
    outputs = describe_query(query, gatherer.row_names())
    if outputs is None or not columns:
        return outputs
    names = [*columns, *[None] * len(outputs)]
    return tuple(
        Expression(output.columns, output.is_opaque, output.is_plain_column, name) for output, name in zip(outputs, names, strict=False)
    )


def _assigned(gatherer: Gatherer, targets: Any) -> tuple[Expression, ...]:
    if not targets:
        return ()
    rows = gatherer.row_names()
    gatherer.column_names.update([target["ResTarget"]["name"] for target in targets])
    return tuple(describe(target["ResTarget"]["val"], rows, target["ResTarget"]["name"]) for target in targets)


def _merged(gatherer: Gatherer, clause: Node) -> list[Expression]:
    targets = clause.get("targetList", ())
    values = clause.get("values")
    if values is None:
        return list(_assigned(gatherer, targets)) if clause["commandType"] == "CMD_UPDATE" else []
    rows = gatherer.row_names()
    names: list[str | None] = [target["ResTarget"]["name"] for target in targets] or [None] * len(values)
    gatherer.column_names.update([name for name in names if name is not None])
    if len(names) != len(values):
        return [unknown(None)]
    return [describe(value, rows, name) for name, value in zip(names, values, strict=True)]


def _target_names(body: Node) -> frozenset[str]:
    relation = body["relation"]
    alias = relation.get("alias")
    return frozenset((alias["aliasname"] if alias is not None else relation["relname"],))


def _twins(body: Node, items: Any, scope: Scope) -> frozenset[str]:
    """The names under which the target is joined with itself."""
    name = body["relation"]["relname"]
    relations = [item["RangeVar"] for item in items if "RangeVar" in item and (name not in scope or "schemaname" in item["RangeVar"])]
    return frozenset(relation.get("alias", {}).get("aliasname", name) for relation in relations if relation["relname"] == name)


def _judge_condition(gatherer: Gatherer, body: Node, items: Any, scope: Scope) -> None:
    condition = body.get("whereClause")
    if condition is None:
        gatherer.hazards.add(Hazard.UNCONDITIONAL)
    elif truth_of(condition, _target_names(body), body["relation"]["relname"], _twins(body, items, scope)) in (Truth.TRUE, Truth.ROWLESS):
        gatherer.hazards.add(Hazard.TAUTOLOGICAL)


def _hits_all(clause: Node, joined: Truth, targets: frozenset[str], body: Node) -> bool:
    """Whether a WHEN clause is for every row of the target, as far as the text shows."""
    condition = clause.get("condition")
    if condition is not None and truth_of(condition, targets, body["relation"]["relname"]) not in (Truth.TRUE, Truth.ROWLESS):
        return False
    if clause["matchKind"] == "MERGE_WHEN_MATCHED":
        return joined in (Truth.TRUE, Truth.ROWLESS)
    if clause["matchKind"] == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
        return joined in (Truth.FALSE, Truth.ROWLESS)
    return False
