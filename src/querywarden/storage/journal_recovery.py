"""Opening a journal: every start goes through recovery, so that the path that matters after a crash is the one that always runs.

The longest valid prefix wins. What a crash can leave behind it (part of a line, blocks that never reached the disk) is moved to
quarantine and reported in the log. What a crash can't leave behind is damage or tampering, and nothing is written after it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import secrets
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from querywarden.audit import log_records
from querywarden.audit.canonical import Flaw, read_line
from querywarden.audit.chain import EMPTY, Head, extend
from querywarden.audit.commitment import KEY_BYTES, Committer
from querywarden.audit.log_format import (
    COMMITMENT_KEY_FILE,
    IDENTITY_FILE,
    LINE_BYTES_MAX,
    LOCK_FILE,
    QUARANTINE_DIRECTORY,
    SEGMENT_DIRECTORY,
    segment_name,
)
from querywarden.audit.verify import Finding, Segment, Verifier, leaf_of
from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.storage.files import Files, write_whole
from querywarden.storage.journal import ACTIVE_MODE, ActiveSegment, Journal, write_all
from querywarden.storage.journal_layout import Identity, first_seq, identity_bytes, read_identity, segments
from querywarden.storage.stamps import Stamps, format_time

TORN_BYTES_MAX = 16 * 1024 * 1024
"""More than can be on its way to the disk at once: a longer invalid end isn't torn, it is damage."""
_PENDING = ".pending"
_AFTER_SYNC = frozenset({log_records.GENESIS, log_records.OPEN, log_records.ROTATE})
"""Records in front of which everything is on disk: a start syncs before it serves, a rotation before it goes on."""
_REMEDY = "nothing was changed; keep a copy, run `querywarden audit verify`, and give the proxy a new audit.directory to go on"


@dataclass(slots=True)
class _End:
    path: Path
    data: bytes
    verifier: Verifier


def open_journal(directory: Path, *, version: str, origin: str | None = None, files: Files | None = None) -> Journal:
    """Open the log in a directory for writing, made and recovered as needed; `log.open` is on disk on return.

    Args:
        version: the program's version, for `log.open`.
        origin: the name of a new log; one is made from the host's name otherwise. An existing log keeps its own.
    Raises:
        ConfigurationError: another process writes the log, it is damaged before its end, or the directory can't be written.
    """
    files = files if files is not None else Files()
    try:
        for folder in (directory, directory / SEGMENT_DIRECTORY, directory / QUARANTINE_DIRECTORY):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock_fd = files.lock(directory / LOCK_FILE)
    except BlockingIOError:
        hint = "stop it, or give this one an audit.directory of its own"
        raise ConfigurationError("another process is writing this log", str(directory), hint=hint) from None
    except OSError as error:
        raise _cannot_open(directory, error) from error
    try:
        return _open_locked(directory, lock_fd, version, origin, files)
    except (OSError, DependencyFailure) as error:
        _give_up(files, lock_fd)
        raise _cannot_open(directory, error) from error
    except BaseException:
        _give_up(files, lock_fd)
        raise


def _open_locked(directory: Path, lock_fd: int, version: str, origin: str | None, files: Files) -> Journal:
    identity = _identity(directory, origin, files)
    committer = Committer(_commitment_key(directory, files))
    stamps = Stamps()
    end = _recover(directory, identity, files)
    if end is None:
        active, head = _begin(directory, identity, stamps, files)
    else:
        stamps.follow(end.verifier.boot)
        _make_writable(end.path)
        head = Head(end.verifier.seq, end.verifier.prev)
        active = ActiveSegment(files.open(end.path), first_seq(end.path), len(end.data), hashlib.sha256(end.data))
    journal = Journal(directory, identity.origin, lock_fd, active, head, committer, stamps, files)
    try:
        journal.sync()  # what a killed writer left in the page cache is on disk before anything follows it
        report = _report_quarantine(directory, journal, files)
        host = os.uname().nodename
        journal.add(log_records.OPEN, log_records.opened(version, os.getpid(), host, committer.key_name))
        journal.flush()
        journal.sync()
        report()
    except BaseException:
        with contextlib.suppress(OSError):
            files.close(active.fd)
        raise
    return journal


def _identity(directory: Path, origin: str | None, files: Files) -> Identity:
    found = read_identity(directory)
    if found is None:
        if segments(directory):
            raise ConfigurationError("segments without log.json", str(directory), hint="restore log.json from a copy of the log")
        origin = origin or f"querywarden/{os.uname().nodename}/{secrets.token_hex(8)}"
        write_whole(files, directory / IDENTITY_FILE, identity_bytes(origin, format_time(time.time_ns())), 0o640)
        found = read_identity(directory)
        if found is None:
            raise ConfigurationError("log.json vanished", str(directory))
    return found


def _commitment_key(directory: Path, files: Files) -> bytes:
    path = directory / COMMITMENT_KEY_FILE
    if not path.exists():
        write_whole(files, path, secrets.token_bytes(KEY_BYTES), 0o600)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError("others may read the commitment key", str(path), hint=f"chmod 600 {path}")
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigurationError("the commitment key is damaged", str(path), hint="restore it, or delete it to begin with a new one")
    return key


def _begin(directory: Path, identity: Identity, stamps: Stamps, files: Files) -> tuple[ActiveSegment, Head]:
    line, head = extend(EMPTY, identity.origin, stamps.draw(), log_records.GENESIS, log_records.genesis(identity.sha256))
    folder = directory / SEGMENT_DIRECTORY
    fd = files.create(folder / segment_name(0), ACTIVE_MODE)
    try:
        write_all(files, fd, line + b"\n")
        files.sync(fd)
        files.sync_directory(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            files.close(fd)
        raise
    return ActiveSegment(fd, 0, len(line) + 1, hashlib.sha256(line + b"\n")), head


def _recover(directory: Path, identity: Identity, files: Files) -> _End | None:
    """The end of the log, with whatever a crash left behind it moved aside; None when not even a first record is left."""
    paths = segments(directory)
    _check_order(directory, paths)
    while paths:
        path = paths[-1]
        data = path.read_bytes()
        verifier = _verifier(identity, paths)
        finding = verifier.segment(path.name, data)
        if finding is None:
            return _End(path, data, verifier)
        good = verifier.good_bytes
        if not _is_torn(data[good:]):
            raise _damaged(directory, finding)
        if data[good:]:
            _quarantine(directory, path, good, data[good:], files)
        if good:
            _cut(path, good, files)
            return _End(path, data[:good], verifier)
        files.unlink(path)
        files.sync_directory(path.parent)
        paths.pop()
    return None


def _verifier(identity: Identity, paths: list[Path]) -> Verifier:
    if len(paths) == 1:
        return Verifier(identity.origin, identity.sha256)
    before = paths[-2].read_bytes()
    first, last = first_seq(paths[-2]), first_seq(paths[-1]) - 1
    last_line = before[before.rfind(b"\n", 0, -1) + 1 : -1]
    known = Segment(first, last, len(before), hashlib.sha256(before).hexdigest())
    return Verifier(identity.origin, identity.sha256, last + 1, leaf_of(last_line), known)


def _check_order(directory: Path, paths: list[Path]) -> None:
    """Each sealed segment must be there with the size that the next one tells; `audit verify` reads them whole."""
    if paths and first_seq(paths[0]) != 0:
        raise _damaged(directory, Finding(paths[0].name, 1, 0, "the log's first segment is missing", segment_name(0), paths[0].name))
    for before, path in itertools.pairwise(paths[:-1]):
        with path.open("rb") as file:
            line = file.readline(LINE_BYTES_MAX + 1)
        try:
            record = read_line(line.removesuffix(b"\n"))
        except Flaw as flaw:
            raise _damaged(directory, Finding(path.name, 1, flaw.offset, flaw.what)) from None
        told, found = (record.get("prev_first"), record.get("bytes")), (first_seq(before), before.stat().st_size)
        if told != found:
            raise _damaged(directory, Finding(before.name, 1, 0, "a segment is missing or has another size", str(told), str(found)))


def _is_torn(rest: bytes) -> bool:
    """Whether an invalid end is what a crash leaves: no record is in it, or a block in front of them never reached the disk.

    NUL bytes are never part of a line; where they are, the file system had made room for a block and not filled it. That can't have
    happened in front of a record that is only written once everything before it is on disk.
    """
    if len(rest) > TORN_BYTES_MAX:
        return False
    lines = rest.split(b"\n")
    types = [record.get("type") for record in map(_record, lines[:-1]) if record is not None]
    if b"\x00" in lines[0]:
        return _AFTER_SYNC.isdisjoint(types)
    return not types


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = read_line(line)
    except Flaw:
        return None
    return record if "prev" in record else None


def _quarantine(directory: Path, path: Path, offset: int, rest: bytes, files: Files) -> None:
    name = f"{path.stem}-{offset}-{hashlib.sha256(rest).hexdigest()[:16]}.torn{_PENDING}"
    write_whole(files, directory / QUARANTINE_DIRECTORY / name, rest, 0o600)


def _cut(path: Path, size: int, files: Files) -> None:
    _make_writable(path)
    fd = files.open(path)
    try:
        files.truncate(fd, size)
        files.sync(fd)
    finally:
        files.close(fd)


def _report_quarantine(directory: Path, journal: Journal, files: Files) -> Callable[[], None]:
    """Add a `log.recovered` for everything moved aside that the log doesn't tell of yet; the returned call settles them."""
    folder = directory / QUARANTINE_DIRECTORY
    pending = sorted(path for path in folder.iterdir() if path.name.endswith(_PENDING))
    for path in pending:
        data = path.read_bytes()
        name = path.name.removesuffix(_PENDING)
        last_good = journal.next_seq - 1
        body = log_records.recovered(len(data), hashlib.sha256(data).hexdigest(), last_good, name)
        journal.add(log_records.RECOVERED, body)

    def settle() -> None:
        for path in pending:
            files.rename(path, path.with_name(path.name.removesuffix(_PENDING)))

    return settle


def _make_writable(path: Path) -> None:
    if not path.stat().st_mode & stat.S_IWUSR:
        path.chmod(ACTIVE_MODE)


def _damaged(directory: Path, finding: Finding) -> ConfigurationError:
    place = f"{finding.file}, line {finding.line}, byte {finding.offset}"
    message = f"the log is damaged before its end ({place}: {finding.what}), which no crash explains"
    return ConfigurationError(message, str(directory), hint=_REMEDY)


def _cannot_open(directory: Path, error: Exception) -> ConfigurationError:
    detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    hint = "the directory must be on a local disk with room, and writable by this user"
    return ConfigurationError(f"the log can't be opened: {detail}", str(directory), hint=hint)


def _give_up(files: Files, lock_fd: int) -> None:
    with contextlib.suppress(OSError):
        files.close(lock_fd)
