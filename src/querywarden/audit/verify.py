"""The verifier: recomputes a log from its stored bytes and names the first byte that is wrong.

It shares the format's definitions with the writer and nothing else: another JSON reader, another hash call, no state. What it can't
see is the end: records cut off cleanly after the last one, or a change to the very last line that leaves it well-formed, look like a
shorter log until something outside (a checkpoint, a copy) says otherwise.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from querywarden.audit.canonical import Flaw, read_line, value_offset
from querywarden.audit.log_format import (
    CLOSE,
    COMPLETED,
    DECIDED,
    FIRST_PREV,
    FORMAT_VERSION,
    GENESIS,
    LEAF_PREFIX,
    ROTATE,
    segment_name,
)

_FIELDS: dict[str, tuple[type, re.Pattern[str] | None]] = {
    "v": (int, None),
    "log": (str, None),
    "seq": (int, None),
    "prev": (str, re.compile(r"[0-9a-f]{64}")),
    "n": (str, re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")),
    "id": (str, re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")),
    "t": (str, re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)\.\d{6}Z", re.ASCII)),
    "mono": (int, None),
    "boot": (str, re.compile(r".+", re.DOTALL)),
    "type": (str, re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")),
}
"""The log's own fields: 16 bytes in base64url are 22 characters, the last with four spare zero bits."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing that is wrong: file, line (from 1), byte offset in the file, what, expected and found."""

    file: str
    line: int
    offset: int
    what: str
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """What is known of a segment that was read: what the `log.rotate` after it must say, and the leaf that it must carry."""

    first: int
    last: int
    size: int
    sha256: str


@dataclass(slots=True)
class Tally:
    """What a verified stretch of a log holds."""

    records: int = 0
    segments: int = 0
    size: int = 0
    first_time: str | None = None
    last_time: str | None = None
    last_type: str | None = None
    clock_steps: int = 0
    types: dict[str, int] = field(default_factory=dict)
    open_statements: dict[str, int] = field(default_factory=dict)
    """Statements that were allowed to run and have no `completed`: id to number. Their outcome is unknown."""

    @property
    def is_closed(self) -> bool:
        """Whether the log ends as a writer leaves it that was stopped in good order."""
        return self.last_type == CLOSE


class Verifier:
    """Verifies the segments of one log in order; after the first finding it is done."""

    def __init__(
        self, origin: str, identity_sha256: str | None, seq: int = 0, prev: str = FIRST_PREV, before: Segment | None = None
    ) -> None:
        """A verifier of the log `origin`. `seq`, `prev` and `before` place it behind segments that are not read again."""
        self.tally = Tally()
        self.good_bytes = 0
        """The bytes of the segment last read that are whole, right lines."""
        self.boot: tuple[str, int] | None = None
        self.seq = seq
        self.prev = prev
        self._origin = origin
        self._identity = identity_sha256
        self._before = before
        self._last_place: tuple[str, int, int] | None = None

    def segment(self, name: str, data: bytes) -> Finding | None:
        """Verify the next segment, whole. A last line without LF is a finding; `good_bytes` tells where it begins."""
        self.good_bytes = 0
        first = self.seq
        if name != segment_name(self.seq):
            return Finding(name, 1, 0, "a segment is missing or misnamed", segment_name(self.seq), name)
        for number, start, end in _lines(data):
            if end < 0:
                return Finding(name, number, start, "the file ends inside a line", "LF", f"{len(data) - start} bytes without one")
            try:
                self._line(data[start:end], is_first=start == 0)
            except _Unchained as error:
                return self._blame(name, number, start, data, end, error)
            except Flaw as flaw:
                return Finding(name, number, start + flaw.offset, flaw.what, flaw.expected, flaw.found)
            self._last_place = (name, number, start)
            self.good_bytes = end + 1
        if not data:
            return Finding(name, 1, 0, "the segment is empty", "a record", "nothing")
        self.tally.segments += 1
        self.tally.size += len(data)
        self._before = Segment(first, self.seq - 1, len(data), hashlib.sha256(data).hexdigest())
        return None

    def _line(self, line: bytes, is_first: bool) -> None:
        record = read_line(line)
        _check_fields(record)
        self._expect(record, "v", FORMAT_VERSION, "the format version isn't known")
        self._expect(record, "log", self._origin, "the record is of another log")
        self._expect(record, "seq", self.seq, "the record's number is out of order")
        if record["prev"] != self.prev:
            raise _Unchained(record, self.prev)
        self._check_clock(record)
        self._check_place(record, is_first)
        self._count(record)
        self.prev = hashlib.sha256(LEAF_PREFIX + line).hexdigest()
        self.seq += 1

    def _expect(self, record: dict[str, Any], name: str, expected: object, what: str) -> None:
        if record.get(name) != expected:
            raise Flaw(what, value_offset(record, name), str(expected), str(record.get(name)))

    def _check_clock(self, record: dict[str, Any]) -> None:
        boot, mono = record["boot"], record["mono"]
        if self.boot is not None and self.boot[0] == boot and mono < self.boot[1]:
            raise Flaw("the boot clock runs backwards", value_offset(record, "mono"), f"at least {self.boot[1]}", str(mono))
        self.boot = (boot, mono)

    def _check_place(self, record: dict[str, Any], is_first: bool) -> None:
        if (record["type"] == GENESIS) != (self.seq == 0):
            raise Flaw("only the first record of a log is its genesis", value_offset(record, "type"), None, record["type"])
        if self.seq == 0 and self._identity is not None:
            self._expect(record, "identity_sha256", self._identity, "log.json isn't the one this log began with")
        if (record["type"] == ROTATE) != (is_first and self.seq > 0):
            raise Flaw("a segment begins with its log.rotate, and only a segment", value_offset(record, "type"), None, record["type"])
        if record["type"] == ROTATE and self._before is not None:
            what = "the digest of the segment before is wrong"
            self._expect(record, "prev_first", self._before.first, what)
            self._expect(record, "prev_last", self._before.last, what)
            self._expect(record, "bytes", self._before.size, what)
            self._expect(record, "sha256", self._before.sha256, what)

    def _count(self, record: dict[str, Any]) -> None:
        tally = self.tally
        kind = record["type"]
        tally.records += 1
        tally.types[kind] = tally.types.get(kind, 0) + 1
        tally.last_type = kind
        if tally.first_time is None:
            tally.first_time = record["t"]
        elif tally.last_time is not None and record["t"] < tally.last_time:
            tally.clock_steps += 1
        tally.last_time = record["t"]
        if kind == DECIDED and record.get("effect") == "allow" and record.get("stage") != "parse":
            tally.open_statements[record["id"]] = record["seq"]
        elif kind == COMPLETED:
            tally.open_statements.pop(str(record.get("decided")), None)

    def _blame(self, name: str, number: int, start: int, data: bytes, end: int, error: _Unchained) -> Finding:
        """Which of two lines that don't fit was changed: the later one is intact if the line after it was chained to it."""
        line = data[start:end]
        following = data.find(b"\n", end + 1)
        has_witness = following > 0
        is_intact = has_witness and _claimed_prev(data[end + 1 : following]) == hashlib.sha256(LEAF_PREFIX + line).hexdigest()
        if self._last_place is not None and (is_intact or not has_witness):
            file, before, offset = self._last_place
            doubt = "" if has_witness else " (or the `prev` of the line after it was)"
            what = f"the line was changed: the next line is chained to another{doubt}"
            return Finding(file, before, offset, what, error.found, error.expected)
        what = "the line isn't chained to the one before it"
        return Finding(name, number, start + error.offset, what, error.expected, error.found)


class _Unchained(Flaw):
    def __init__(self, record: dict[str, Any], expected: str) -> None:
        super().__init__("unchained", value_offset(record, "prev"), expected, str(record["prev"]))


def leaf_of(line: bytes) -> str:
    """The leaf hash of a stored line, without its LF."""
    return hashlib.sha256(LEAF_PREFIX + line).hexdigest()


def _lines(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Number, start and end (the LF; -1 where there is none) of each line."""
    start = number = 0
    while start < len(data):
        number += 1
        end = data.find(b"\n", start)
        yield number, start, end
        if end < 0:
            return
        start = end + 1


def _check_fields(record: dict[str, Any]) -> None:
    for name, (kind, pattern) in _FIELDS.items():
        value = record.get(name)
        if type(value) is not kind or value is None:
            where = value_offset(record, name) if name in record else 0
            raise Flaw(f"the field {name} is missing or of another type", where, kind.__name__, type(value).__name__)
        if pattern is not None and not pattern.fullmatch(str(value)):
            raise Flaw(f"the field {name} is malformed", value_offset(record, name), pattern.pattern, str(value)[:80])
        if isinstance(value, int) and value < 0:
            raise Flaw(f"the field {name} is negative", value_offset(record, name), None, str(value))


def _claimed_prev(line: bytes) -> str | None:
    try:
        return str(read_line(line).get("prev"))
    except Flaw:
        return None
