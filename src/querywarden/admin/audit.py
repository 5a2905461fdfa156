"""Verifying a log's directory: a live one, a stopped one or a copy; nothing in it is written or locked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from querywarden.audit.log_format import IDENTITY_FILE, SEGMENT_DIRECTORY
from querywarden.audit.log_records import RECOVERED
from querywarden.audit.verify import Finding, Tally, Verifier
from querywarden.errors import ConfigurationError
from querywarden.storage.journal_layout import Identity, read_identity, segments, strangers

UNKNOWN_OUTCOMES_SHOWN = 20


class NoLog(ConfigurationError):
    """There is nothing to read in a directory."""


@dataclass(slots=True)
class Verification:
    """What verifying a log has shown: the first finding or none, what the log holds, and what an auditor should know besides."""

    directory: Path
    origin: str
    tally: Tally
    head: str
    finding: Finding | None = None
    being_written: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether every byte is as it was written, as far as the log alone can tell."""
        return self.finding is None

    def as_json(self) -> dict[str, Any]:
        """The verification as a JSON object."""
        tally, finding = self.tally, self.finding
        return {
            "ok": self.is_good,
            "log": self.origin,
            "records": tally.records,
            "segments": tally.segments,
            "bytes": tally.size,
            "first_time": tally.first_time,
            "last_time": tally.last_time,
            "head": {"size": tally.records, "leaf": self.head},
            "types": dict(sorted(tally.types.items())),
            "unknown_outcomes": [{"id": name, "seq": seq} for name, seq in tally.open_statements.items()],
            "clock_steps": tally.clock_steps,
            "recoveries": tally.types.get(RECOVERED, 0),
            "closed": tally.is_closed,
            "being_written_bytes": self.being_written,
            "notes": self.notes,
            "finding": None
            if finding is None
            else {
                "file": finding.file,
                "line": finding.line,
                "byte": finding.offset,
                "what": finding.what,
                "expected": finding.expected,
                "found": finding.found,
            },
        }


def verify_log(directory: Path, *, is_live: bool = False) -> Verification:
    """Verify the log in a directory.

    Args:
        is_live: a writer may be at work: part of a line at the very end is being written, not a finding.
    Raises:
        NoLog: there is no log.
    """
    paths = segments(directory)
    identity, finding = _identity(directory, bool(paths))
    verifier = Verifier("" if identity is None else identity.origin, None if identity is None else identity.sha256)
    result = Verification(directory, "" if identity is None else identity.origin, verifier.tally, verifier.prev, finding)
    if finding is None:
        for path in paths:
            finding = _segment(verifier, path, is_live and path == paths[-1], result)
            if finding is not None:
                break
        if not paths:
            finding = Finding(SEGMENT_DIRECTORY, 0, 0, "the log has an identity and no segments")
    result.finding = finding
    result.head = verifier.prev
    result.notes = _notes(directory, result)
    return result


def _identity(directory: Path, has_segments: bool) -> tuple[Identity | None, Finding | None]:
    if not directory.is_dir():
        raise NoLog("there is no such directory", str(directory))
    try:
        identity = read_identity(directory)
    except ConfigurationError as error:
        return None, Finding(IDENTITY_FILE, 1, 0, error.message)
    if identity is None:
        if not has_segments:
            raise NoLog("there is no log in this directory", str(directory), hint="give the directory that holds log.json and seg/")
        return None, Finding(IDENTITY_FILE, 0, 0, "log.json is missing")
    return identity, None


def _segment(verifier: Verifier, path: Path, may_be_written: bool, result: Verification) -> Finding | None:
    try:
        data = path.read_bytes()
    except OSError as error:
        return Finding(f"{SEGMENT_DIRECTORY}/{path.name}", 0, 0, f"the segment can't be read: {error.strerror}")
    if may_be_written and data and not data.endswith(b"\n"):
        whole = data.rfind(b"\n") + 1
        result.being_written = len(data) - whole
        data = data[:whole]
    if may_be_written and not data:
        return None
    finding = verifier.segment(path.name, data)
    return None if finding is None else replace(finding, file=f"{SEGMENT_DIRECTORY}/{finding.file}")


def _notes(directory: Path, result: Verification) -> list[str]:
    tally = result.tally
    notes = [f"a file that is no segment lies in {SEGMENT_DIRECTORY}/: {name!r}" for name in strangers(directory)]
    if result.being_written:
        notes.append(f"{result.being_written} bytes at the end are part of a line that is being written")
    if tally.types.get(RECOVERED):
        notes.append(f"{tally.types[RECOVERED]} torn end(s) were moved to quarantine/ at a start; see the log.recovered records")
    if tally.clock_steps:
        notes.append(f"the wall clock went backwards {tally.clock_steps} time(s); the order of records is that of their numbers")
    if tally.open_statements:
        notes.append(f"{len(tally.open_statements)} statement(s) were allowed and have no end on record: outcome unknown")
    if result.is_good and not tally.is_closed:
        notes.append("the log doesn't end with log.close: its writer is running, or was killed")
    return notes
