"""What can end a result: the server broke a DataRow's form, a row is too large to be masked, or a cap of its principal is reached."""

from __future__ import annotations

from querywarden.errors import PeerViolation, QuerywardenError, ReasonCode


class RowViolation(PeerViolation):
    """A DataRow whose length, number of fields or field lengths don't fit each other or the RowDescription."""


class RowTooLarge(QuerywardenError):
    """A DataRow larger than what is buffered, with a masked cell for which no valid mask of the same length exists.

    No byte of that row was emitted. `out` holds the masked rows before it; `position` is the first byte of the data that was not
    consumed, and `remaining` bytes of the row follow from there on. The repr shows nothing.
    """

    def __init__(self, out: bytes, position: int = 0, remaining: int = 0) -> None:
        super().__init__("a row with masked columns is too large")
        self.out = out
        self.position = position
        self.remaining = remaining

    def __repr__(self) -> str:
        return "RowTooLarge()"


class CapReached(QuerywardenError):
    """A row or CopyData message that is beyond what a principal may take of a result.

    No byte of it was emitted. `out`, `position` and `remaining` as for RowTooLarge. The repr shows nothing.
    """

    def __init__(self, reason: ReasonCode, out: bytes, position: int, remaining: int) -> None:
        super().__init__("a result has reached a cap")
        self.reason = reason
        self.out = out
        self.position = position
        self.remaining = remaining

    def __repr__(self) -> str:
        return f"CapReached({self.reason})"
