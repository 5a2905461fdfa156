"""Row limits: where a result has to end for whom, and what the client is told."""

from __future__ import annotations

from querywarden.errors import ReasonCode
from querywarden.postgresql.expected import Execution
from querywarden.postgresql.framing import HEADER_BYTES, read_header
from querywarden.postgresql.refusal import Refusal, refusal_for

_DATA_ROW = ord("D")


def end_of_rows(data: memoryview, start: int, end: int, rows: int) -> tuple[int, int]:
    """Where the next `rows` DataRow messages of a run that begins at `start` end, or the run itself.

    Returns: the end, at most `end`, and how many bytes of the last row are still to come. A header that isn't whole is left out.
    """
    position = start
    while rows > 0 and position + HEADER_BYTES <= end and data[position] == _DATA_ROW:
        position += 1 + read_header(data, position)[1]
        rows -= 1
    return min(position, end), max(0, position - end)


def refusal(execution: Execution) -> Refusal:
    """What the client is told when a result has more rows than its principal may take."""
    return refusal_for(
        ReasonCode.ROW_LIMIT,
        execution.act.audit_id,
        f"the result has more than {execution.allow.rows_max} rows, which is the limit for you here",
        "Ask for less: add a LIMIT or a condition, or aggregate in the database.",
    )


def refusal_of_size(execution: Execution, bytes_max: int) -> Refusal:
    """What the client is told when a row can't be masked within bounds."""
    return refusal_for(
        ReasonCode.ROW_TOO_LARGE,
        execution.act.audit_id,
        "a row is too large to be masked",
        f"Leave the large masked column out, or cut it; rows up to {bytes_max} bytes are masked.",
    )
