"""Limits of a result: what the client is told when one is near, and when it ends the result."""

from __future__ import annotations

from querywarden.errors import ReasonCode
from querywarden.postgresql.error_response import encode_notice
from querywarden.postgresql.expected import Execution
from querywarden.postgresql.refusal import Refusal, refusal_for

OWN_LIMIT = "which is the limit for you here"
"""How a cap is explained that no budget has lowered."""
BUDGET_LEFT = "which is what your budget has left"
"""How a cap is explained that is what a budget has left."""
_WARNING = "01000"


def warning_from(maximum: int) -> int:
    """From how many on the client is warned: 80 % of the maximum, rounded up."""
    return max(1, (4 * maximum + 4) // 5)


def refusal_of_rows(execution: Execution, rows_max: int, why: str) -> Refusal:
    """What the client is told when a result has more rows than its principal may take; `why` is one of the two explanations."""
    return refusal_for(
        ReasonCode.ROW_LIMIT,
        execution.act.audit_id,
        f"the result has more than {rows_max} rows, {why}",
        "Ask for less: add a LIMIT or a condition, or aggregate in the database.",
    )


def refusal_of_bytes(execution: Execution, bytes_max: int, why: str) -> Refusal:
    """What the client is told when a result has more bytes than its principal may take; `why` is one of the two explanations."""
    return refusal_for(
        ReasonCode.BYTE_LIMIT,
        execution.act.audit_id,
        f"the result has more than {bytes_max} bytes, {why}",
        "Ask for less: name fewer columns, add a LIMIT or a condition, or aggregate in the database.",
    )


def refusal_of_time(execution: Execution, seconds_max: float) -> Refusal:
    """What the client is told when a statement has run for longer than its principal may have it run."""
    return refusal_for(
        ReasonCode.TIME_LIMIT,
        execution.act.audit_id,
        f"the statement was cancelled after {seconds_max:g} seconds, {OWN_LIMIT}",
        "Narrow the condition so that an index serves it, or do the work in smaller parts.",
    )


def refusal_of_size(execution: Execution, bytes_max: int) -> Refusal:
    """What the client is told when a row can't be masked within bounds."""
    return refusal_for(
        ReasonCode.ROW_TOO_LARGE,
        execution.act.audit_id,
        "a row is too large to be masked",
        f"Leave the large masked column out, or cut it; rows up to {bytes_max} bytes are masked.",
    )


def refusal_of_schema_change(execution: Execution) -> Refusal:
    """What the client is told whose statement was decided before another session changed the schema, and whose rows come after it."""
    return refusal_for(
        ReasonCode.SCHEMA_MOVED,
        execution.act.audit_id,
        "the schema was changed by another session while the statement waited, so that its rows may be others than were decided on",
        "Run the statement again.",
    )


def notice_of_rows(rows: int, rows_max: int, why: str) -> bytes:
    """The NoticeResponse for a result that has come near to its rows."""
    return _notice(f"{rows} of at most {rows_max} rows have been returned", f"The result ends with an error after {rows_max} rows", why)


def notice_of_bytes(bytes_sent: int, bytes_max: int, why: str) -> bytes:
    """The NoticeResponse for a result that has come near to its bytes."""
    consequence = f"The result ends with an error after {bytes_max} bytes"
    return _notice(f"{bytes_sent} of at most {bytes_max} bytes have been returned", consequence, why)


def notice_of_time(seconds: float, seconds_max: float) -> bytes:
    """The NoticeResponse for a statement that has come near to its time."""
    return encode_notice(
        "WARNING",
        _WARNING,
        f"the statement has been running for {round(seconds, 1):g} of at most {seconds_max:g} seconds",
        f"It is cancelled after {seconds_max:g} seconds, {OWN_LIMIT}.",
    )


def _notice(sentence: str, consequence: str, why: str) -> bytes:
    return encode_notice("WARNING", _WARNING, sentence, f"{consequence}, {why}.")
