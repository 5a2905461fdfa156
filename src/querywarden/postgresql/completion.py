"""Completion: the second record of a statement, before its end is told to the client."""

from __future__ import annotations

from querywarden.audit.record import COMPLETED, Outcome, completed
from querywarden.model.facts import Verb
from querywarden.postgresql.expected import Execution, Expected
from querywarden.postgresql.limited_rows import LimitedRows
from querywarden.postgresql.row_plan import RowPlan
from querywarden.postgresql.session_state import FAILED, OPEN, SessionState
from querywarden.session.effects import Durability

_HEALING = frozenset({"commit", "rollback", "rollback_to"})


def finish(
    state: SessionState,
    execution: Execution,
    outcome: Outcome,
    *,
    sqlstate: str | None = None,
    tag: bytes | None = None,
    client_waits: bool = True,
) -> None:
    """Record how a statement has ended; what the client is told after this waits for the record."""
    if execution.is_finished:
        return
    execution.is_finished = True
    if execution.masker is not None:
        execution.rows += execution.masker.rows
        execution.masked_cells += execution.masker.masked_cells
        if isinstance(execution.masker, LimitedRows):
            execution.bytes_out = execution.masker.bytes_out
            execution.masker.settle()
        execution.masker = None
    plan = execution.row_plan
    body = completed(
        execution.act.audit_id,
        outcome=outcome,
        session_id=state.context.session_id,
        sqlstate=sqlstate,
        tag=None if tag is None else tag.decode("ascii", "replace"),
        rows=execution.rows,
        bytes_out=execution.bytes_out,
        masked_cells=execution.masked_cells,
        masked=plan.masked if isinstance(plan, RowPlan) else (),
        duration_us=max(0, int((state.now - execution.started) * 1_000_000)),
    )
    number = state.append(COMPLETED, body, execution.durability)
    if client_waits:
        state.to_client.hold_until_safe(number)
    if execution.rows:
        state.observe("rows", amount=execution.rows)
    if execution.masked_cells:
        state.observe("masked_cells", amount=execution.masked_cells)
    state.observe("statement_seconds", amount=max(0.0, state.now - execution.started))


def finish_skipped(state: SessionState, execution: Execution) -> None:
    """Record that a statement that was decided has not run: the server skipped it after an error, or a neighbour was refused."""
    execution.durability = Durability.WRITTEN
    finish(state, execution, "skipped", client_waits=False)


def carry_out(state: SessionState, execution: Execution, tag: bytes) -> None:
    """The server has completed a statement: its changes of the name space hold now."""
    for definition in execution.definitions:
        state.registry.confirm(definition)
    execution.definitions = []
    facts = execution.facts
    if facts.transaction in ("commit", "rollback"):
        # A COMMIT of a failed transaction is tagged as what it was.
        state.registry.end_transaction(is_committed=tag == b"COMMIT")
        state.has_failed = False
    elif facts.transaction == "rollback_to":
        state.registry.roll_back_to_savepoint()
    if facts.transaction in _HEALING and state.transaction == FAILED:
        # The status comes with the segment's Sync; what comes before that is not in a failed transaction any more.
        state.transaction = OPEN
    names_all = facts.subject_name is None and facts.object_kind in (None, "all")
    if names_all and facts.verb in (Verb.DISCARD, Verb.DEALLOCATE):
        state.registry.drop_named_statements()
    if names_all and facts.verb in (Verb.DISCARD, Verb.CLOSE):
        state.registry.portals.clear()


def drop(state: SessionState, entry: Expected) -> None:
    """The server will not carry out the rest of an entry: an error came before it."""
    for definition in entry.definitions:
        state.registry.discard(definition)
    entry.definitions = []
    for execution in entry.executions[entry.current :]:
        for definition in execution.definitions:
            state.registry.discard(definition)
        execution.definitions = []
        finish_skipped(state, execution)
