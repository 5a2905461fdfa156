"""The API's sockets: a Unix socket whose file is ours alone, and TCP."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from querywarden.errors import ConfigurationError

PATH_BYTES_MAX = 107
"""Of a Unix socket's address on Linux (sun_path, with its NUL 108)."""
_BACKLOG = 64


class UnixSocket:
    """A listening Unix socket and its file, which goes with it.

    A file that is left of an earlier run is removed, but only if it is a socket and nobody answers on it.
    """

    def __init__(self, path: Path, mode: int) -> None:
        """Open it. Raises: ConfigurationError when the place can't be had."""
        if len(os.fsencode(path)) > PATH_BYTES_MAX:
            raise ConfigurationError(f"api.socket: {path} is longer than the {PATH_BYTES_MAX} bytes of a socket's path")
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _clear(path)
            self.sock = _bind(path, mode)
        except OSError as error:
            raise ConfigurationError(f"the API's socket {path} can't be opened: {error.strerror}", hint="set api.socket") from None
        found = os.lstat(path)
        self._identity = found.st_dev, found.st_ino

    def remove(self) -> None:
        """Remove the file, unless another has taken its place."""
        with contextlib.suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self._identity:
                os.unlink(self.path)


def open_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises: ConfigurationError when the address can't be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise ConfigurationError(f"the API's address {host}:{port} can't be opened: {error.strerror}", hint="set api.listen") from None
    return sock


def _clear(path: Path) -> None:
    """Remove a socket's file that nobody listens on any more. Raises: ConfigurationError, OSError."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"api.socket: {path} is there already and is no socket", hint="choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:
                raise ConfigurationError(f"api.socket: {path} is in use", hint="is another proxy running?") from None
            os.unlink(path)
            return
    raise ConfigurationError(f"api.socket: another program answers on {path}", hint="is another proxy running?")


def _bind(path: Path, mode: int) -> socket.socket:
    """Bind, and listen only when the file has its mode: before that, nobody can connect."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        os.chmod(path, mode)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
