"""Probes: hidden exchanges with the server in the client's own session, of which the client hears nothing.

By the extended query protocol under names of our own, so that the client's unnamed statement and portal stay. The steps of a probe stand in
groups, each of which ends with a Sync, so that one that fails leaves the next to run; outside a transaction block a group is a transaction.
In the middle of a client's segment there is no Sync to be had: then there is one group, and its error is the segment's.
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

_DATA_ROW, _ERROR, _READY, _CLOSED, _NOTICE = (ord(c) for c in "DEZ3N")
_INTERRUPTIONS = frozenset({b"40P01", b"55P03", b"57014"})
CELLS_MAX = 1_000
"""Rows kept of a step; a plan comes as one row, other answers have one too."""
NOTICES_MAX = 20
"""Notices kept of a step that is only parsed; a tree comes as one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a probe, with its parameters in the client's own formats. Secrets: the parameters.

    `is_parsed_only`: the server analyses it and no more, and what it has to say to that are the notices of the answer.
    """

    text: bytes
    parameter_types: tuple[int, ...] = ()
    parameter_formats: tuple[int, ...] = ()
    parameters: tuple[bytes | None, ...] = ()
    is_parsed_only: bool = False

    def __repr__(self) -> str:
        return f"Step({len(self.text)} bytes, {len(self.parameters)} parameters)"

    @property
    def closes(self) -> int:
        """How many CloseComplete messages its answer has."""
        return 2 if self.is_parsed_only else 4


Group = Sequence[Step]


@dataclass(slots=True)
class Answer:
    """What the server said to a step: its rows' first column, the notices of one that is parsed only, or the error that it ended with."""

    cells: list[bytes | None] = field(default_factory=list)
    error: ErrorFields | None = None
    notices: list[bytes] = field(default_factory=list)

    def text(self) -> str | None:
        """The first cell as text, if there is one."""
        cell = self.cells[0] if self.cells and self.error is None else None
        return None if cell is None else cell.decode("utf-8", "replace")


class Probe:
    """One hidden exchange: its messages, and the answers as they come, one for each step."""

    __slots__ = ("_closed", "_current", "_ends", "answers", "data", "disturbed", "is_in_segment", "is_over", "status", "steps")

    def __init__(self, steps: Sequence[Step | Group], is_in_segment: bool = False, disturbed: Probe | None = None) -> None:
        """Args: a step that stands alone is a group; `disturbed` is an exchange that has left something open, which this one ends."""
        groups: list[Group] = [(each,) if isinstance(each, Step) else each for each in steps]
        if is_in_segment and len(groups) != 1:
            raise ValueError("in a client's segment a probe has one group")
        self.is_in_segment = is_in_segment
        self.disturbed = disturbed
        self.status = b""
        """The transaction status that the server has told last."""
        self.steps = [step for group in groups for step in group]
        self._ends = [sum(map(len, groups[: place + 1])) - 1 for place in range(len(groups))]
        """The index of the last step of each group that isn't answered yet."""
        self.data = b"".join(b"".join(map(_messages, group)) + (FLUSH if is_in_segment else SYNC) for group in groups)
        self.answers: list[Answer] = [Answer() for _ in self.steps]
        self._closed = 0
        self._current = 0
        self.is_over = False

    @property
    def has_failed(self) -> bool:
        """Whether a step ended with an error."""
        return any(answer.error is not None for answer in self.answers)

    @property
    def error(self) -> ErrorFields | None:
        """The first error."""
        return next((answer.error for answer in self.answers if answer.error is not None), None)

    @property
    def interruption(self) -> ErrorFields | None:
        """The first error that tells of a cancel, a time-out or a deadlock, not of a step itself."""
        errors = (answer.error for answer in self.answers if answer.error is not None)
        return next((error for error in errors if error.sqlstate in _INTERRUPTIONS), None)

    def take(self, kind: int, body: bytes) -> bool:
        """Take a message of the server. Returns: whether the exchange is over."""
        step = min(self._current, len(self.answers) - 1)
        answer = self.answers[step]
        if kind == _DATA_ROW and len(answer.cells) < CELLS_MAX:
            answer.cells.append(_first_cell(body))
        elif kind == _NOTICE and self.steps[step].is_parsed_only and len(answer.notices) < NOTICES_MAX:
            answer.notices.append(body)
        elif kind == _ERROR:
            answer.error = ErrorFields(decode_fields(body))
            self.is_over = self.is_in_segment
        elif kind == _READY:
            self.status = body
            self._current = self._ends.pop(0) + 1
            self._closed = 0
            self.is_over = not self._ends
        elif kind == _CLOSED:
            self._close()
        return self.is_over

    def _close(self) -> None:
        self._closed += 1
        if self._closed < self.steps[self._current].closes:
            return
        self._closed = 0
        if self._current < self._ends[0]:
            self._current += 1
        elif self.is_in_segment:
            self.is_over = True


def _messages(step: Step) -> bytes:
    if step.is_parsed_only:
        return b"".join(
            (
                encode_close(Close(b"S", NAME)),
                encode_parse(Parse(NAME, step.text, step.parameter_types)),
                encode_close(Close(b"S", NAME)),
            )
        )
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
