"""Key files: secret bytes of a fixed length, made on first start and readable by their owner alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from querywarden.errors import ConfigurationError


def load_or_create_key(path: Path, size: int, draw: Callable[[int], bytes]) -> bytes:
    """The key in a file, as hexadecimal digits; made with mode 0600 where there is none.

    Raises: ConfigurationError when the file can't be read or made, or holds something else.
    """
    try:
        if not path.exists():
            _create(path, draw(size))
        text = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"the key file can't be read or made: {error.strerror}", str(path)) from None
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != size:
        raise ConfigurationError(f"the key file doesn't hold {size * 2} hexadecimal digits", str(path), hint="restore it from a backup")
    return key


def is_private(path: Path) -> bool:
    """Whether nobody but its owner can read a file. Raises: OSError."""
    return path.stat().st_mode & 0o077 == 0


def _create(path: Path, key: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Whole or not at all: two first starts at once, or a crash in between, must not leave half a key.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, key.hex().encode() + b"\n")
        os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.close(descriptor)
        draft.unlink()
