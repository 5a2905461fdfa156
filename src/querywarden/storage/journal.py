"""The journal: the one writer of a log's segments. Blocking and passive; the runtime decides when to write, sync and rotate.

A record goes through `add` (made, numbered, chained, kept in memory), `flush` (handed to the kernel in one write) and `sync` (on disk).
Anything that fails leaves the journal in one of two states: **full**, when the disk had no room, the file was cut back to its last
whole line, and writing may go on once there is room; or **dead**, when nothing is known for certain any more. A failed fdatasync is
never tried again: Linux may have marked the lost pages clean, and a second call would answer that all is well.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

from querywarden.audit import log_records
from querywarden.audit.chain import Head, extend
from querywarden.audit.commitment import Committer
from querywarden.audit.log_format import SEGMENT_DIRECTORY, segment_name
from querywarden.errors import DependencyFailure
from querywarden.storage.files import Files
from querywarden.storage.stamps import Stamps

SEGMENT_BYTES_MAX = 64 * 1024 * 1024
"""A segment is left for the next one at this size: small enough to read whole, large enough to be few."""
SEGMENT_SECONDS_MAX = 3600.0
ACTIVE_MODE = 0o640
SEALED_MODE = 0o440
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class JournalFull(DependencyFailure):
    """The log has no room; what was to be written is not in it."""


class JournalDead(DependencyFailure):
    """The log can't be written any more by this process; a restart recovers it."""


class _State(Enum):
    READY = "ready"
    FULL = "full"
    DEAD = "dead"
    CLOSED = "closed"


@dataclass(slots=True)
class ActiveSegment:
    """The segment that is being written: its descriptor, first record, bytes and their running digest."""

    fd: int
    first: int
    size: int
    digest: hashlib._Hash


class Journal:
    """The writer of one log. Not thread-safe but for `sync`, which may run in a thread of its own while records are added."""

    def __init__(
        self,
        directory: Path,
        origin: str,
        lock_fd: int,
        active: ActiveSegment,
        head: Head,
        committer: Committer,
        stamps: Stamps,
        files: Files,
    ) -> None:
        self.directory = directory
        self.origin = origin
        self.committer = committer
        self.segment_bytes_max = SEGMENT_BYTES_MAX
        self.segment_seconds_max = SEGMENT_SECONDS_MAX
        self._lock_fd = lock_fd
        self._active = active
        self._opened_at = time.monotonic()
        self._head = head
        self._written = head
        self._pending: list[bytes] = []
        self._stamps = stamps
        self._files = files
        self._state = _State.READY
        self._cause = ""

    @property
    def is_ready(self) -> bool:
        """Whether records can be added."""
        return self._state is _State.READY

    @property
    def is_dead(self) -> bool:
        """Whether this process can't write the log any more."""
        return self._state in (_State.DEAD, _State.CLOSED)

    @property
    def cause(self) -> str:
        """Why the journal isn't ready."""
        return self._cause

    @property
    def next_seq(self) -> int:
        """The number of the next record; all below it were added."""
        return self._head.seq

    @property
    def flushed_seq(self) -> int:
        """The number behind the last record that the kernel has."""
        return self._written.seq

    def add(self, kind: str, body: Mapping[str, Any], told_id: str | None = None) -> int:
        """Make a record and keep it for the next flush; its number is returned.

        Raises:
            JournalFull, JournalDead: nothing can be written.
            Unencodable: the body has no line; other records are not concerned.
        """
        if self._state is not _State.READY:
            self._refuse()
        seq = self._head.seq
        line, self._head = extend(self._head, self.origin, self._stamps.draw(told_id), kind, body)
        self._pending.append(line)
        return seq

    def flush(self) -> int:
        """Hand all added records to the kernel; the number behind the last one is returned.

        Raises:
            JournalFull, JournalDead: none of them is in the log, and the numbers are as before.
        """
        if self._pending:
            self._pending.append(b"")
            data = b"\n".join(self._pending)
            self._pending.clear()
            try:
                if self._state is not _State.READY:
                    self._refuse()
                self._write(data)
            except DependencyFailure:
                self._head = self._written
                raise
            self._written = self._head
        return self._written.seq

    def sync(self) -> None:
        """Bring to disk what was flushed before the call. Never tried again once it has failed.

        Raises:
            JournalDead: what of it is on disk isn't known.
        """
        if self.is_dead:
            self._refuse()
        try:
            self._files.sync_data(self._active.fd)
        except OSError as error:
            self._die("fdatasync", error)

    @property
    def is_rotation_due(self) -> bool:
        """Whether the active segment is large or old enough to be sealed."""
        active = self._active
        if self._state is not _State.READY:
            return False
        return active.size >= self.segment_bytes_max or time.monotonic() - self._opened_at >= self.segment_seconds_max

    def rotate(self) -> None:
        """Seal the active segment and begin the next one. No `sync` may be running.

        The next segment is on disk, its first record with the digest included, before the old one is sealed.
        """
        if self._state is not _State.READY:
            self._refuse()
        self.flush()
        old = self._active
        try:
            self._files.sync(old.fd)
        except OSError as error:
            self._die("fsync", error)
        body = log_records.rotated(old.first, self._head.seq - 1, old.size, old.digest.hexdigest())
        line, head = extend(self._head, self.origin, self._stamps.draw(), log_records.ROTATE, body)
        fd = self._begin_segment(self._head.seq, line + b"\n")
        self._active = ActiveSegment(fd, self._head.seq, len(line) + 1, hashlib.sha256(line + b"\n"))
        self._head = self._written = head
        self._opened_at = time.monotonic()
        with contextlib.suppress(OSError):  # the mode guards against accidents only; the digest is in the chain already
            self._files.change_mode(old.fd, SEALED_MODE)
        with contextlib.suppress(OSError):
            self._files.close(old.fd)

    def resume(self, refused: int) -> None:
        """Go on after a full disk: proves that the file ends where the chain does, and records the gap.

        Args:
            refused: how many records were refused meanwhile; so many statements were refused with them.
        Raises:
            JournalFull: there is still no room.
            JournalDead: the file doesn't end at a whole line.
        """
        if self._state is not _State.FULL:
            return
        cause = self._cause
        self._prove_end()
        self._state = _State.READY
        self._cause = ""
        self.add(log_records.GAP, log_records.gap(refused, cause))
        self.flush()

    def close(self, reason: str = "stopped") -> None:
        """End the log in good order, as far as it can still be written, and give the lock free."""
        try:
            if self._state is _State.READY:
                self.add(log_records.CLOSE, log_records.closed(reason))
                self.flush()
            if not self.is_dead:
                self.sync()
        finally:
            self._state = _State.CLOSED
            self._cause = self._cause or "the log is closed"
            for fd in (self._active.fd, self._lock_fd):
                with contextlib.suppress(OSError):
                    self._files.close(fd)

    def _write(self, data: bytes) -> None:
        active = self._active
        try:
            write_all(self._files, active.fd, data)
        except OSError as error:
            if error.errno not in _FULL:
                self._die("write", error)
            self._cut_back(error)
        active.size += len(data)
        active.digest.update(data)

    def _cut_back(self, error: OSError) -> NoReturn:
        """Remove what a write left behind that ran out of room half-way, so that the file ends at a whole line again."""
        try:
            self._files.truncate(self._active.fd, self._active.size)
        except OSError as second:
            self._die("ftruncate", second)
        self._prove_end()
        self._fill(error)

    def _prove_end(self) -> None:
        active = self._active
        try:
            size = os.fstat(active.fd).st_size
            ends_whole = size == active.size and (size == 0 or os.pread(active.fd, 1, size - 1) == b"\n")
        except OSError as error:
            self._die("read", error)
        if not ends_whole:
            self._state = _State.DEAD
            self._cause = "the log doesn't end where it should"
            self._refuse()

    def _begin_segment(self, seq: int, data: bytes) -> int:
        folder = self.directory / SEGMENT_DIRECTORY
        path = folder / segment_name(seq)
        fd: int | None = None
        try:
            fd = self._files.create(path, ACTIVE_MODE)
            write_all(self._files, fd, data)
        except OSError as error:
            try:
                if fd is not None:
                    self._files.close(fd)
                    self._files.unlink(path)
            except OSError as second:
                self._die("unlink", second)
            if error.errno in _FULL:
                self._fill(error)
            self._die("rotate", error)
        try:
            self._files.sync(fd)
            self._files.sync_directory(folder)
        except OSError as error:
            self._die("fsync", error)
        return fd

    def _fill(self, error: OSError) -> NoReturn:
        self._state = _State.FULL
        self._cause = f"no room for the log: {error.strerror}"
        raise JournalFull(self._cause) from error

    def _die(self, operation: str, error: OSError) -> NoReturn:
        self._state = _State.DEAD
        self._cause = f"the log failed: {operation}: {error.strerror}"
        raise JournalDead(self._cause) from error

    def _refuse(self) -> NoReturn:
        raise (JournalFull if self._state is _State.FULL else JournalDead)(self._cause)


def write_all(files: Files, fd: int, data: bytes) -> None:
    """Write all of some data, however many calls it takes."""
    view = memoryview(data)
    while view:
        count = files.write(fd, view)
        if count <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[count:]
