"""Probes: hidden exchanges with the server in the client's own session, of which the client hears nothing.

By the extended query protocol under names of our own, so that the client's unnamed statement and portal stay; each step ends with a
Sync, so that one that fails leaves the next to run. In the middle of a client's segment there is no Sync to be had: then the one step
stands alone, and its error is the segment's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from querywarden.postgresql.error_response import ErrorFields, decode_fields
from querywarden.postgresql.messages.body import BodyReader
from querywarden.postgresql.messages.frontend import (
    FLUSH,
    SYNC,
    Bind,
    Close,
    Execute,
    Parse,
    encode_bind,
    encode_close,
    encode_execute,
    encode_parse,
)

NAME = b"querywarden.probe"
"""The prepared statement and portal of a probe; a client may not know it, and has its own names."""

_DATA_ROW, _ERROR, _READY, _CLOSED = (ord(c) for c in "DEZ3")
_CLOSES = 4
"""CloseComplete messages of a step."""
CELLS_MAX = 1_000
"""Rows kept of a step; a plan comes as one row, other answers have one too."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a probe, with its parameters in the client's own formats. Secrets: the parameters."""

    text: bytes
    parameter_types: tuple[int, ...] = ()
    parameter_formats: tuple[int, ...] = ()
    parameters: tuple[bytes | None, ...] = ()

    def __repr__(self) -> str:
        return f"Step({len(self.text)} bytes, {len(self.parameters)} parameters)"


@dataclass(slots=True)
class Answer:
    """What the server said to a step: the first column of its rows, or the error that it ended with."""

    cells: list[bytes | None] = field(default_factory=list)
    error: ErrorFields | None = None

    def text(self) -> str | None:
        """The first cell as text, if there is one."""
        cell = self.cells[0] if self.cells and self.error is None else None
        return None if cell is None else cell.decode("utf-8", "replace")


class Probe:
    """One hidden exchange: its messages, and the answers as they come."""

    __slots__ = ("_closed", "answers", "data", "disturbed", "is_done", "is_in_segment", "status")

    def __init__(self, steps: Sequence[Step], is_in_segment: bool = False, disturbed: Probe | None = None) -> None:
        """Args: `disturbed` is an exchange that has left something open, which this one ends."""
        if is_in_segment and len(steps) != 1:
            raise ValueError("in a client's segment a probe has one step")
        self.is_in_segment = is_in_segment
        self.disturbed = disturbed
        self.status = b""
        """The transaction status that the server has told last."""
        self.data = b"".join(_messages(step) + (FLUSH if is_in_segment else SYNC) for step in steps)
        self.answers: list[Answer] = [Answer() for _ in steps]
        self._closed = 0
        self.is_done = 0
        """Steps that have been answered in full."""

    @property
    def has_failed(self) -> bool:
        """Whether a step ended with an error."""
        return any(answer.error is not None for answer in self.answers)

    def take(self, kind: int, body: bytes) -> bool:
        """Take a message of the server. Returns: whether the exchange is over."""
        answer = self.answers[self.is_done]
        if kind == _DATA_ROW and len(answer.cells) < CELLS_MAX:
            answer.cells.append(_first_cell(body))
        elif kind == _ERROR:
            answer.error = ErrorFields(decode_fields(body))
            self.is_done += self.is_in_segment
        elif kind == _READY:
            self.status = body
            self.is_done += 1
        elif kind == _CLOSED and self.is_in_segment:
            self._closed += 1
            self.is_done += self._closed == _CLOSES
        return self.is_done == len(self.answers)


def _messages(step: Step) -> bytes:
    return b"".join(
        (
            # What a step before this one may have left behind when it failed: a portal stays in a failed transaction.
            encode_close(Close(b"P", NAME)),
            encode_close(Close(b"S", NAME)),
            encode_parse(Parse(NAME, step.text, step.parameter_types)),
            encode_bind(Bind(NAME, NAME, step.parameter_formats, step.parameters)),
            encode_execute(Execute(NAME)),
            encode_close(Close(b"P", NAME)),
            encode_close(Close(b"S", NAME)),
        )
    )


def _first_cell(body: bytes) -> bytes | None:
    reader = BodyReader("DataRow", body)
    if reader.uint16() == 0:
        return None
    size = reader.int32()
    return None if size == -1 else reader.take(size)
