"""The few file operations that the journal rests on, in one place so that tests can make any of them fail."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Files:
    """The operating system's files. Every method is one operation that can fail with `OSError`."""

    def create(self, path: Path, mode: int) -> int:
        """Create a file that isn't there and open it for appending."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, mode)

    def open(self, path: Path) -> int:
        """Open an existing file for appending."""
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write once; the count may be less than asked for."""
        return os.write(fd, data)

    def sync_data(self, fd: int) -> None:
        """Bring a file's data to disk, and as much metadata as reading it back needs."""
        os.fdatasync(fd) if hasattr(os, "fdatasync") else os.fsync(fd)

    def sync(self, fd: int) -> None:
        """Bring a file's data and metadata to disk."""
        os.fsync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file to a size."""
        os.ftruncate(fd, size)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file over another, atomically."""
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        os.unlink(path)

    def change_mode(self, fd: int, mode: int) -> None:
        """Set a file's permissions."""
        os.fchmod(fd, mode)

    def sync_directory(self, path: Path) -> None:
        """Bring a directory's entries to disk: a new or renamed file is not there for sure before."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        """Close a file."""
        os.close(fd)

    def lock(self, path: Path) -> int:
        """Take the lock that exactly one process can have; it goes with the process. `BlockingIOError` when it is taken."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(fd)
            raise
        return fd


def write_whole(files: Files, path: Path, data: bytes, mode: int) -> None:
    """Put a small file in place so that it is there whole or not at all, also after a power cut."""
    temporary = path.with_name(f".{path.name}.new")
    if temporary.exists():
        files.unlink(temporary)
    fd = files.create(temporary, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[files.write(fd, view) :]
        files.sync(fd)
    finally:
        files.close(fd)
    files.rename(temporary, path)
    files.sync_directory(path.parent)
