"""The layout of a log's directory: its identity, its segments in order, its commitment key. Reading only; no lock is needed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from querywarden.audit.log_format import FORMAT_VERSION, IDENTITY_FILE, SEGMENT_DIRECTORY
from querywarden.errors import ConfigurationError

_SEGMENT = re.compile(r"\d{20}\.jsonl", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """What `log.json` says: which log this is. `sha256` is the digest of its bytes, which the first record holds."""

    origin: str
    created: str
    sha256: str


def read_identity(directory: Path) -> Identity | None:
    """The identity of the log in a directory; None where there is none yet.

    Raises:
        ConfigurationError: `log.json` can't be read, or is of a format that isn't known.
    """
    path = directory / IDENTITY_FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"the log's identity can't be read: {error.strerror}", str(path)) from error
    try:
        found = json.loads(data)
        version, origin, created = found["format"], found["origin"], found["created"]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError("log.json is damaged", str(path), hint="restore it from a copy of the log") from None
    if version != FORMAT_VERSION:
        raise ConfigurationError(f"the log has format {version}, known is {FORMAT_VERSION}", str(path), hint="use a newer Querywarden")
    return Identity(str(origin), str(created), hashlib.sha256(data).hexdigest())


def identity_bytes(origin: str, created: str) -> bytes:
    """The bytes of a new `log.json`."""
    return json.dumps({"created": created, "format": FORMAT_VERSION, "origin": origin}, indent=2, sort_keys=True).encode() + b"\n"


def segments(directory: Path) -> list[Path]:
    """The segments of a log, oldest first."""
    folder = directory / SEGMENT_DIRECTORY
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _SEGMENT.fullmatch(path.name))


def strangers(directory: Path) -> list[str]:
    """Names in the segment directory that aren't segments."""
    folder = directory / SEGMENT_DIRECTORY
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if not _SEGMENT.fullmatch(path.name))


def first_seq(segment: Path) -> int:
    """The number of a segment's first record, by its name."""
    return int(segment.name[:20])
