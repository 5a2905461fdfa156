"""Reading a log's records from its end, with filters, and following it over segment boundaries. Nothing is written or locked."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import orjson

from querywarden.audit.log_format import COMPLETED, DECIDED
from querywarden.errors import ConfigurationError
from querywarden.storage.journal_layout import segments

FILTER_KEYS = ("who", "database", "effect", "type", "verb", "session", "rule", "since")
DECIDED_KEPT = 10_000
"""`decided` records kept for their `completed`: more than any number of statements in flight."""
_UNFILTERED_LINES = 4
"""Lines looked at per line asked for when nothing is filtered out: a `completed` borrows from a `decided` a little before it."""
_AGE = re.compile(r"(\d+)\s*([smhdw])")
_AGE_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the log with its record; `decided` is the record that a `completed` belongs to, where it was seen.

    `record` is None for a line that isn't JSON: shown as such, verified elsewhere.
    """

    line: bytes
    record: dict[str, Any] | None
    decided: dict[str, Any] | None = None


class Filter:
    """A conjunction over keys; the values of one key are alternatives, and may hold `*` and `?`."""

    def __init__(self, texts: Iterable[str], now: datetime) -> None:
        """Parse `key=value` texts.

        Raises:
            ConfigurationError: an unknown key, or a time that isn't one.
        """
        self._wanted: dict[str, list[str]] = {}
        self._since = ""
        for text in texts:
            key, is_pair, value = text.partition("=")
            if not is_pair or key not in FILTER_KEYS:
                raise ConfigurationError(f"not a filter: {text!r}", hint=f"key=value with a key of {', '.join(FILTER_KEYS)}")
            if key == "since":
                self._since = _moment(value, now)
            else:
                self._wanted.setdefault(key, []).append(value.lower())

    @property
    def is_empty(self) -> bool:
        """Whether every record passes."""
        return not self._wanted and not self._since

    def matches(self, entry: Entry) -> bool:
        """Whether an entry passes; a `completed` is judged by what its `decided` says."""
        record = entry.record
        if record is None:
            return self.is_empty
        if self._since and str(record.get("t")) < self._since:
            return False
        source = record if entry.decided is None else {**entry.decided, **record}
        return all(
            any(fnmatchcase(value.lower(), pattern) for value in _values(source, key) for pattern in patterns)
            for key, patterns in self._wanted.items()
        )


class LogReader:
    """Reads one log: first its last records, then what is appended."""

    def __init__(self, directory: Path, wanted: Filter) -> None:
        self._directory = directory
        self._filter = wanted
        self._decided: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._path: Path | None = None
        self._offset = 0

    def last(self, count: int) -> list[Entry]:
        """The last so many records that pass the filter, oldest first; following goes on behind them."""
        found: list[Entry] = []
        for path in reversed(segments(self._directory)):
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if self._path is None:
                self._path, self._offset = path, whole
            lines = data[:whole].splitlines()
            if self._filter.is_empty:
                lines = lines[-max(_UNFILTERED_LINES * count, 500) :]
            found = self._entries(lines) + found
            if len(found) >= count:
                break
        return found[-count:] if count else []

    def poll(self) -> list[Entry]:
        """What was appended since the last call, in order, over segment boundaries."""
        found: list[Entry] = []
        while True:
            lines = self._more()
            found += self._entries(lines)
            if lines:
                continue
            following = [path for path in segments(self._directory) if self._path is None or path.name > self._path.name]
            if not following:
                return found
            # The old segment got its last line before the new one was there: read it once more, then go on.
            found += self._entries(self._more())
            self._path, self._offset = following[0], 0

    def _more(self) -> list[bytes]:
        if self._path is None:
            return []
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                self._offset = min(self._offset, size)  # a recovery may have cut off a torn end
                file.seek(self._offset)
                data = file.read(size - self._offset)
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        return data[:whole].splitlines()

    def _entries(self, lines: Sequence[bytes]) -> list[Entry]:
        return [entry for entry in map(self._entry, lines) if self._filter.matches(entry)]

    def _entry(self, line: bytes) -> Entry:
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            return Entry(line, None)
        if not isinstance(record, dict):
            return Entry(line, None)
        if record.get("type") == DECIDED:
            self._decided[str(record.get("id"))] = record
            if len(self._decided) > DECIDED_KEPT:
                self._decided.popitem(last=False)
        elif record.get("type") == COMPLETED:
            return Entry(line, record, self._decided.pop(str(record.get("decided")), None))
        return Entry(line, record)


def _values(record: dict[str, Any], key: str) -> list[str]:
    who, db = record.get("who"), record.get("db")
    if key == "who":
        if not isinstance(who, dict):
            return [str(record["claimed_user"])] if "claimed_user" in record else []
        actors = who.get("act") if isinstance(who.get("act"), list) else []
        return [str(who.get("sub"))] + [str(actor.get("sub")) for actor in actors or [] if isinstance(actor, dict)]
    if key == "database":
        return [str(db.get("name"))] if isinstance(db, dict) else [str(record[k]) for k in ("claimed_database",) if k in record]
    if key == "type":
        kind = str(record.get("type"))
        return [kind, kind.rpartition(".")[2]]
    return [str(record[key])] if key in record else []


def _moment(text: str, now: datetime) -> str:
    """A moment in the log's own form, so that texts compare as times: an age (`15m`, `2h`, `1d`) or an ISO 8601 time."""
    age = _AGE.fullmatch(text.strip())
    try:
        if age is not None:
            moment = now - timedelta(**{_AGE_UNITS[age[2]]: int(age[1])})
        else:
            moment = datetime.fromisoformat(text.strip())
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    except (ValueError, OverflowError):
        raise ConfigurationError(f"not a time: {text!r}", hint="an age such as 15m, 2h or 1d, or 2026-11-20T12:00:00Z") from None
