"""Limited copies: the masked copy data of a COPY counted on its way to the client, row by row where a cap is near.

What the masker gives are whole messages: one for each row, but for a line with names, for what follows of a row too large for one message,
and for the trailer of the binary format.
"""

from __future__ import annotations

from querywarden.errors import ReasonCode
from querywarden.postgresql.copy_rows import CopyMasker
from querywarden.postgresql.expected import Execution
from querywarden.postgresql.framing import read_header
from querywarden.postgresql.limited_rows import NOTHING_TAKEN, LimitedRows
from querywarden.postgresql.row_errors import CapReached
from querywarden.postgresql.runs_of_rows import copy_run, end_of_rows
from querywarden.postgresql.session_state import SessionState

_MASK_FACTOR, _MASK_BYTES = 8, 256
"""A masked row has at most so many times its bytes, escapes included, and so many more for each column."""


class LimitedCopy(LimitedRows):
    """The masked copy data of one COPY."""

    __slots__ = ("_copy",)

    def __init__(self, state: SessionState, execution: Execution, masker: CopyMasker, width: int) -> None:
        super().__init__(state, execution, None, width, NOTHING_TAKEN, is_copy=True)
        self._copy = masker

    @property
    def masked_cells(self) -> int:
        """The cells that were masked in what was passed on."""
        return self._copy.masked_cells - self._cells_dropped

    def feed(self, data: memoryview, start: int, end: int) -> tuple[bytes, int]:
        """Take the run of copy data at the start of data[start:end], or its first message where a cap is near.

        Returns: what the client gets, and the position of the first byte that was not taken.
        Raises: CapReached; RowViolation as the masker does.
        """
        if self._left_in:
            stop = min(end, start + self._left_in)
            remaining = self._left_in - (stop - start)
        else:
            stop, rows, remaining = copy_run(data, start, end)
            if rows > 1 and not self._is_far(stop - start, rows):
                stop, remaining = end_of_rows(data, start, stop, 1), 0
        self._left_in = remaining
        masker = self._copy
        begun, cells, is_continuing = masker.begun, masker.masked_cells, masker.is_continuing
        out, reason = self._count_copied(masker.feed(data, start, stop)[0], masker, begun, is_continuing)
        if reason is not None:
            self._cells_dropped = masker.masked_cells - cells
            raise CapReached(reason, out, stop, remaining)
        if self._state.has_budgets and self._is_step():
            self.settle()
        return out, stop

    def end(self) -> None:
        """The server says that the COPY is done. Raises: RowViolation when it is in the middle of something."""
        self._copy.end()

    def _is_far(self, size: int, rows: int) -> bool:
        """Whether so much from the server brings no notice and no end."""
        size_max = _MASK_FACTOR * size + _MASK_BYTES * (self._width + 1) * (rows + 1)
        return self._rows + rows < self._rows_next and self._bytes + size_max < self._bytes_next

    def _count_copied(self, out: bytes, masker: CopyMasker, begun: int, is_continuing: bool) -> tuple[bytes, ReasonCode | None]:
        """Count messages. Returns: what of them may go on, with a notice where one is due, and which cap they have reached."""
        rows = masker.begun - begun
        if self._rows + rows <= self._rows_next and self._bytes + len(out) <= self._bytes_next:
            self._rows += rows
            self._bytes += len(out)
            return out, None
        parts: list[bytes] = []
        position = 0
        while position < len(out):
            size = 1 + read_header(out, position)[1]
            is_row = rows > 0 and not is_continuing
            if self._rows + is_row > self._rows_max:
                return b"".join(parts), ReasonCode.ROW_LIMIT
            if self._bytes + size > self._bytes_max:
                return b"".join(parts), ReasonCode.BYTE_LIMIT
            self._rows += is_row
            self._bytes += size
            rows -= is_row
            is_continuing = False
            parts += (out[position : position + size], self._due())
            position += size
        return b"".join(parts), None
