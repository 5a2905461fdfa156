"""Errors of the server: what they end, and what of them the client is shown.

Spec: PostgreSQL 18, "Extended Query" (an error makes the server skip to the next Sync) and "Error and Notice Message Fields".
"""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.postgresql.completion import drop, finish
from querywarden.postgresql.error_response import ErrorFields, decode_fields, encode_fields
from querywarden.postgresql.error_text import runs_own_code, withheld
from querywarden.postgresql.expected import Awaited, Expected
from querywarden.postgresql.session_state import SessionState

_CANCELLED = "57014"


@dataclass(frozen=True, slots=True)
class ShownError:
    """The ErrorResponse for the client, and whether it ends the session."""

    data: bytes
    is_fatal: bool


def take_error(state: SessionState, body: bytes) -> ShownError:
    """Take an ErrorResponse: end what it ends, and give what the client is shown."""
    error = ErrorFields(decode_fields(body))
    sqlstate = error.sqlstate.decode("ascii", "replace")
    head = state.expected.head
    shown = encode_fields(error.fields)
    if head is not None and head.refusal is not None and not error.is_fatal:
        shown = head.refusal.error()
    elif _may_quote(state, head, error):
        audit_id = head.execution.act.audit_id if head is not None and head.execution is not None else None
        shown = encode_fields(withheld(error.fields, None if audit_id is None else f"Audit id {audit_id}."))
    state.has_failed = True
    if head is None and not error.is_fatal and state.is_mid_segment:
        # A time-out of the server's in the middle of a segment that waits for its next message: it skips to the Sync now.
        state.is_skipping = True
    if error.is_fatal:
        _end_all(state, sqlstate)
    elif head is not None:
        _end(state, head, sqlstate)
    return ShownError(shown, error.is_fatal)


def _may_quote(state: SessionState, head: Expected | None, error: ErrorFields) -> bool:
    """Whether the text may hold classified values."""
    if state.catalogue is not None and state.catalogue.has_classified and runs_own_code(error.fields):
        return True
    if head is None or head.awaited is Awaited.SYNC:
        return state.transaction_touches
    if head.awaited is Awaited.BIND and head.prepared is not None:
        # Planning folds functions of the database's own, so a Bind may quote what they read; parameters are the client's own.
        return state.transaction_touches
    return head.execution is not None and head.execution.touches


def _end(state: SessionState, head: Expected, sqlstate: str) -> None:
    """An error at the head: the statement has failed, and what the server skips is dropped."""
    if head.execution is not None and head.refusal is None:
        finish(state, head.execution, "cancelled" if sqlstate == _CANCELLED else "error", sqlstate=sqlstate)
    if head.awaited is Awaited.QUERY:
        definitions, head.definitions = head.definitions, []
        drop(state, head)
        head.definitions = definitions
        head.current = len(head.executions)
        return
    if head.awaited is Awaited.SYNC:
        return
    if head.awaited is Awaited.PARSE and any(not d.is_portal and not d.name for d in head.definitions):
        state.registry.drop_unnamed_statement()
    while state.expected.head is not None and state.expected.head.awaited is not Awaited.SYNC:
        entry = state.expected.pop()
        drop(state, entry)
        if state.copy_execute is entry:
            state.copy_execute = None
    if state.expected.head is None:
        state.is_skipping = True


def _end_all(state: SessionState, sqlstate: str) -> None:
    """The server ends the session: everything that was under way has an unknown or failed end."""
    first = True
    for entry in state.expected:
        for execution in entry.executions[entry.current :]:
            finish(state, execution, "error" if first else "unknown", sqlstate=sqlstate if first else None)
            first = False
