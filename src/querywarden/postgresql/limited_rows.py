"""Limited results: rows and copy data counted on their way to the client, with a warning near a cap and an end at it.

It stands where a row masker stands, around it if there is one, so that a result without limits passes nothing of this. What is counted is
what the client gets: whole messages, begun only when all of them fits.
"""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.errors import ReasonCode
from querywarden.postgresql.expected import Execution
from querywarden.postgresql.framing import read_header
from querywarden.postgresql.refusal import Refusal
from querywarden.postgresql.row_errors import CapReached, RowTooLarge
from querywarden.postgresql.row_limits import (
    BUDGET_LEFT,
    OWN_LIMIT,
    notice_of_bytes,
    notice_of_rows,
    refusal_of_bytes,
    refusal_of_rows,
    warning_from,
)
from querywarden.postgresql.rows import RowMasker, relay_rows
from querywarden.postgresql.runs_of_rows import copy_run, end_of_rows
from querywarden.postgresql.session_state import SessionState
from querywarden.session.effects import Spend

_FAR = 1 << 62
"""A cap where there is none."""
_MASK_FACTOR, _MASK_BYTES = 4, 128
"""A masked row has at most so many times its bytes, and so many more for each column."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the client has taken of a portal so far, in the runs before this one; the limits are the policy's, None where not known."""

    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    has_warned: bool = False
    rows_limit: int | None = None
    bytes_limit: int | None = None


NOTHING_TAKEN = Taken()


def is_limited(state: SessionState, execution: Execution) -> bool:
    """Whether a result has to be counted: it has a cap, a time after which it ends, or a budget that it is taken from."""
    allow = execution.allow
    return state.has_budgets or allow.rows_max is not None or allow.bytes_max is not None or allow.seconds_max is not None


class LimitedRows:
    """The rows or the copy data of one run of a statement, masked where a masker is given."""

    __slots__ = (
        "_bytes", "_bytes_max", "_bytes_next", "_bytes_why", "_cells_dropped", "_execution", "_has_warned", "_is_copy", "_left_in",
        "_left_out", "_masker", "_notice", "_rows", "_rows_in", "_rows_max", "_rows_next", "_rows_why", "_spent_bytes", "_spent_rows",
        "_state", "_taken", "_width",
    )  # fmt: skip

    def __init__(
        self, state: SessionState, execution: Execution, masker: RowMasker | None, width: int, taken: Taken, is_copy: bool = False
    ) -> None:
        self._state = state
        self._execution = execution
        self._masker = masker
        self._width = width
        self._taken = taken
        self._is_copy = is_copy
        allow, lowered = execution.allow, execution.budget_caps
        self._rows_max, self._rows_why = _cap(allow.rows_max, taken.rows, taken.rows_limit, ReasonCode.ROW_LIMIT in lowered)
        self._bytes_max, self._bytes_why = _cap(allow.bytes_max, taken.bytes, taken.bytes_limit, ReasonCode.BYTE_LIMIT in lowered)
        self._rows, self._bytes = taken.rows, taken.bytes
        """Of the portal, with what is under way."""
        self._rows_in = taken.rows
        self._has_warned = taken.has_warned
        self._notice = b""
        self._left_in = self._left_out = 0
        """Bytes still to come of the message that has begun: from the server, and to the client."""
        self._spent_rows, self._spent_bytes = taken.rows, taken.bytes
        self._cells_dropped = 0
        self._look_out()

    @property
    def rows(self) -> int:
        """The rows of this run that were passed on."""
        return self._rows - self._taken.rows

    @property
    def bytes_out(self) -> int:
        """The bytes of their messages."""
        return self._bytes - self._taken.bytes

    @property
    def masked_cells(self) -> int:
        """The cells in them that were masked."""
        return 0 if self._masker is None else self._masker.masked_cells - self._cells_dropped

    @property
    def is_mid_row(self) -> bool:
        """Whether the server's message has begun and not ended."""
        return self._left_in > 0

    def feed(self, data: memoryview, start: int, end: int) -> tuple[bytes, int]:
        """Take the run of rows at the start of data[start:end].

        Returns: what the client gets, and the position of the first byte that was not taken.
        Raises: CapReached; RowTooLarge as the masker does.
        """
        if self._left_in:
            stop = min(end, start + self._left_in)
            rows, remaining = 0, self._left_in - (stop - start)
        else:
            stop, rows, remaining = copy_run(data, start, end) if self._is_copy else relay_rows(data, start, end)
        room = max(0, self._rows_max - self._rows_in)
        if rows > room:
            stop, remaining = end_of_rows(data, start, stop, room), 0
        self._rows_in += min(rows, room)
        self._left_in = remaining
        out = self._pass(data, start, stop, min(rows, room))
        if rows > room:
            raise CapReached(ReasonCode.ROW_LIMIT, out, stop, 0)
        if self._state.has_budgets and self._is_step():
            self.settle()
        return out, stop

    def interject(self, notice: bytes) -> bool:
        """Tell the client something at the next end of a message.

        Returns: False where it stands between two messages already, so that it can be told at once.
        """
        if not self._left_out:
            return False
        self._notice += notice
        self._look_out()
        return True

    def settle(self) -> None:
        """Tell the budgets what was used since they were told last."""
        rows, size = self._rows - self._spent_rows, self._bytes - self._spent_bytes
        if self._state.has_budgets and (rows or size):
            self._spent_rows, self._spent_bytes = self._rows, self._bytes
            self._state.effects.append(Spend(rows=rows, bytes=size))

    def taken(self, seconds: float) -> Taken:
        """What the next run of the same portal has to add to; `seconds` is how long this one took."""
        allow, before = self._execution.allow, self._taken
        rows_limit, bytes_limit = before.rows_limit, before.bytes_limit
        if ReasonCode.ROW_LIMIT not in self._execution.budget_caps:
            rows_limit = allow.rows_max
        if ReasonCode.BYTE_LIMIT not in self._execution.budget_caps:
            bytes_limit = allow.bytes_max
        return Taken(self._rows, self._bytes, before.seconds + seconds, self._has_warned, rows_limit, bytes_limit)

    def refusal(self, reason: ReasonCode) -> Refusal:
        """What the client is told when a cap ends the result."""
        if reason is ReasonCode.ROW_LIMIT:
            return refusal_of_rows(self._execution, self._rows_max, self._rows_why)
        return refusal_of_bytes(self._execution, self._bytes_max, self._bytes_why)

    def _is_step(self) -> bool:
        limits = self._state.context.limits
        return self._rows - self._spent_rows >= limits.budget_rows_step or self._bytes - self._spent_bytes >= limits.budget_bytes_step

    # From the server's messages to the client's

    def _pass(self, data: memoryview, start: int, stop: int, rows: int) -> bytes:
        masker = self._masker
        if masker is None:
            out, is_full = self._count(bytes(data[start:stop]), rows, self._left_in)
            if is_full:
                raise CapReached(ReasonCode.BYTE_LIMIT, out, stop, self._left_in)
            return out
        size_max = _MASK_FACTOR * (stop - start) + _MASK_BYTES * (self._width + 1) * (rows + 1)
        if self._bytes + size_max <= self._bytes_max:
            return self._mask(masker, data, start, stop, stop)
        # The cap may be reached: row by row, so that what is recorded as masked is what the client got.
        parts, position = [], start
        while position < stop:
            row_end = end_of_rows(data, position, stop, 1) if rows else stop
            try:
                parts.append(self._mask(masker, data, position, row_end, stop))
            except (CapReached, RowTooLarge) as ended:
                ended.out = b"".join((*parts, ended.out))
                raise
            position = row_end
        return b"".join(parts)

    def _mask(self, masker: RowMasker, data: memoryview, start: int, row_end: int, stop: int) -> bytes:
        cells = masker.masked_cells
        try:
            out = masker.feed(data, start, row_end)[0]
        except RowTooLarge as too_large:
            too_large.out, is_full = self._count_masked(too_large.out)
            if is_full:
                raise CapReached(ReasonCode.BYTE_LIMIT, too_large.out, too_large.position, too_large.remaining) from None
            raise
        out, is_full = self._count_masked(out)
        if is_full:
            self._cells_dropped = masker.masked_cells - cells
            raise CapReached(ReasonCode.BYTE_LIMIT, out, stop, self._left_in)
        return out

    # What the client gets

    def _count_masked(self, out: bytes) -> tuple[bytes, bool]:
        if len(out) <= self._left_out:
            return self._count(out, 0, self._left_out - len(out))
        _, rows, remaining = relay_rows(out, self._left_out, len(out))
        return self._count(out, rows, remaining)

    def _count(self, out: bytes, rows: int, remaining: int) -> tuple[bytes, bool]:
        """Count messages, of which `rows` begin here and of the last of which so many bytes are still to come.

        Returns: what of them may go on, with a notice where one is due, and whether the next message would be beyond the cap on bytes.
        """
        size = len(out) + remaining - self._left_out
        if self._rows + rows <= self._rows_next and self._bytes + size <= self._bytes_next:
            self._rows += rows
            self._bytes += size
            self._left_out = remaining
            return out, False
        return self._count_each(out)

    def _count_each(self, out: bytes) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        start, position = 0, self._left_out
        while position <= len(out):
            self._left_out = 0
            notice = self._due()
            if notice:
                parts += (out[start:position], notice)
                start = position
            if position == len(out):
                return b"".join((*parts, out[start:])), False
            # One message, of which the header is whole.
            size = 1 + read_header(out, position)[1]
            if self._bytes + size > self._bytes_max:
                return b"".join((*parts, out[start:position])), True
            self._rows += copy_run(out, position, position + size)[1] if self._is_copy and position + size <= len(out) else 1
            self._bytes += size
            position += size
        self._left_out = position - len(out)
        return b"".join((*parts, out[start:])), False

    def _due(self) -> bytes:
        """The notices that are due between two messages."""
        found, self._notice = self._notice, b""
        if not self._has_warned:
            if self._rows >= warning_from(self._rows_max):
                self._has_warned = True
                found += notice_of_rows(self._rows, self._rows_max, self._rows_why)
            elif self._bytes >= warning_from(self._bytes_max):
                self._has_warned = True
                found += notice_of_bytes(self._bytes, self._bytes_max, self._bytes_why)
        self._look_out()
        return found

    def _look_out(self) -> None:
        """Set up to where messages need no closer look."""
        if self._notice:
            self._rows_next = self._bytes_next = -1
        elif self._has_warned:
            self._rows_next, self._bytes_next = self._rows_max, self._bytes_max
        else:
            self._rows_next, self._bytes_next = warning_from(self._rows_max) - 1, warning_from(self._bytes_max) - 1


def _cap(allowed: int | None, taken: int, limit: int | None, by_budget: bool) -> tuple[int, str]:
    """The cap on all runs of a portal, and how it is explained. What a budget has left is for this run; the policy's limit is for all."""
    if allowed is None:
        return _FAR, OWN_LIMIT
    if not by_budget:
        return allowed, OWN_LIMIT
    left = taken + allowed
    return (left, BUDGET_LEFT) if limit is None or left < limit else (limit, OWN_LIMIT)
