"""Utility statements: cursors, prepared statements, COPY, EXPLAIN, settings, transactions and the like."""

from __future__ import annotations

from typing import Any

from querywarden.model.facts import Hazard, SettingChange, Verb
from querywarden.postgresql.analysis.copy_options import read_copy_options
from querywarden.postgresql.analysis.extent import takes_all
from querywarden.postgresql.analysis.gather import Gatherer, Scope, reads
from querywarden.postgresql.analysis.parse import Node
from querywarden.postgresql.analysis.settings import own_change, statement_changes

_CURSOR_WITH_HOLD = 0x0020
_SHARE_LOCK = 5
"""The number of the lock mode SHARE: from it on up, a lock keeps others from writing."""

_TRUSTED_LANGUAGES = frozenset({"sql", "plpgsql", "plperl", "pltcl", "plv8", "plcoffee", "plls", "pllua", "plr", "plprql"})

_TRANSACTIONS = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "release",
    "TRANS_STMT_ROLLBACK_TO": "rollback_to",
    "TRANS_STMT_PREPARE": "prepare",
    "TRANS_STMT_COMMIT_PREPARED": "commit_prepared",
    "TRANS_STMT_ROLLBACK_PREPARED": "rollback_prepared",
}


@reads("TransactionStmt")
def read_transaction(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """BEGIN, COMMIT and the others; a kind that isn't known makes the statement unknown."""
    transaction = _TRANSACTIONS.get(body["kind"])
    if transaction is None:
        gatherer.verb = Verb.UNKNOWN
    gatherer.transaction = transaction
    if transaction in ("prepare", "commit_prepared", "rollback_prepared"):
        gatherer.hazards.add(Hazard.TWO_PHASE)


@reads("VariableSetStmt")
def read_set(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """SET and RESET; SET TRANSACTION too, which is one of several settings."""
    if body["kind"] in ("VAR_RESET", "VAR_RESET_ALL"):
        gatherer.verb = Verb.RESET
    own = own_change(body)
    if own is not None:
        gatherer.settings.append(own)
        return
    for change in statement_changes(body):
        gatherer.change_setting(change)


@reads("ConstraintsSetStmt", "VariableShowStmt")
def read_nothing(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """Statements that have nothing to tell beyond their verb."""


@reads("DiscardStmt")
def read_discard(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """DISCARD; ALL is told by `all` as the object's kind, and resets every setting."""
    gatherer.object_kind = body.get("target", "DISCARD_ALL").removeprefix("DISCARD_").lower()
    if gatherer.object_kind == "all":
        gatherer.settings.append(SettingChange("all", None, False))


@reads("ListenStmt", "UnlistenStmt", "NotifyStmt")
def read_channel(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """LISTEN, UNLISTEN and NOTIFY."""
    gatherer.subject_name = body.get("conditionname")


@reads("PrepareStmt")
def read_prepare(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """PREPARE: its body is the child."""
    gatherer.subject_name = body["name"]
    gatherer.read_child(body["query"], scope)


@reads("ExecuteStmt")
def read_execute(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """EXECUTE: its parameters are expressions."""
    gatherer.subject_name = body["name"]
    gatherer.walk(body.get("params"), scope)


@reads("DeallocateStmt")
def read_deallocate(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """DEALLOCATE."""
    gatherer.subject_name = body.get("name")


@reads("DeclareCursorStmt")
def read_declare(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """DECLARE CURSOR: its query is the child."""
    gatherer.subject_name = body["portalname"]
    gatherer.cursor_is_held = bool(body.get("options", 0) & _CURSOR_WITH_HOLD)
    gatherer.read_child(body["query"], scope)


@reads("FetchStmt", "ClosePortalStmt")
def read_cursor(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """FETCH, MOVE and CLOSE."""
    gatherer.subject_name = body.get("portalname")


@reads("ExplainStmt")
def read_explain(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """EXPLAIN; any ANALYZE among its options that isn't switched off runs the statement."""
    if any(_is_switched_on(option["DefElem"], "analyze") for option in body.get("options", ())):
        gatherer.hazards.add(Hazard.EXPLAIN_ANALYZE)
    gatherer.read_child(body["query"], scope)


def _is_switched_on(option: Node, name: str) -> bool:
    if option["defname"].lower() != name:
        return False
    argument = option.get("arg", {})
    if "Integer" in argument:
        return bool(argument["Integer"].get("ival", 0))
    return str(argument.get("String", {}).get("sval", "on")).lower() not in ("false", "off")


@reads("CopyStmt")
def read_copy(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """COPY, in or out, of a relation or a query, by the wire, a file or a program of the server's."""
    is_in = body.get("is_from", False)
    if is_in:
        gatherer.verb = Verb.COPY_IN
    if body.get("is_program"):
        gatherer.hazards.add(Hazard.PROGRAM)
    elif "filename" in body:
        gatherer.hazards.add(Hazard.FILE_ACCESS)
    else:
        gatherer.is_from_stdin = True
        gatherer.copy = None if is_in else read_copy_options(body.get("options", ()))
    if "query" in body:
        child = gatherer.read_child(body["query"], scope)
        if child.verb is Verb.SELECT and takes_all(body["query"]["SelectStmt"]):
            gatherer.hazards.add(Hazard.WHOLE_RELATION_EXPORT)
        return
    gatherer.column_names.update(name["String"]["sval"] for name in body.get("attlist", ()))
    gatherer.has_star = "attlist" not in body
    if is_in:
        gatherer.write(body["relation"])
        gatherer.walk(body.get("whereClause"), scope)
    else:
        gatherer.read(body["relation"], scope)
        gatherer.hazards.add(Hazard.WHOLE_RELATION_EXPORT)


@reads("TruncateStmt")
def read_truncate(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """TRUNCATE of one or more relations."""
    gatherer.acts_as.add(Verb.DELETE)
    for item in body["relations"]:
        gatherer.write(item["RangeVar"])
    mark_temporary(gatherer)


@reads("LockStmt")
def read_lock(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """LOCK of one or more relations, which are told as read."""
    gatherer.walk(body["relations"], scope)
    if body["mode"] >= _SHARE_LOCK:
        gatherer.hazards.add(Hazard.EXCLUSIVE_LOCK)


@reads("DoStmt")
def read_do(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """DO: text in some language, out of sight."""
    judge_language(gatherer, body.get("args", ()))


@reads("RefreshMatViewStmt")
def read_refresh(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """REFRESH MATERIALIZED VIEW."""
    gatherer.write(body["relation"])


def judge_language(gatherer: Gatherer, options: Any) -> None:
    """Mark code in a language that reaches beyond the database; one that isn't known may."""
    for item in options:
        option = item["DefElem"]
        if option["defname"] == "language":
            name = str(option["arg"].get("String", {}).get("sval", "")).lower()
            if name not in _TRUSTED_LANGUAGES:
                gatherer.hazards.add(Hazard.CODE_LOADING)


def mark_temporary(gatherer: Gatherer) -> None:
    """Say so where all that a statement changes stands in the session's own temporary schema."""
    if gatherer.writes and all(name.schema == "pg_temp" for name in gatherer.writes):
        gatherer.object_kind = f"temporary_{gatherer.object_kind}"
