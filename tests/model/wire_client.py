"""A PostgreSQL client of raw messages: it sends what it is told to, legal or not, and gives back what came, message by message."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from tests.model.statement_desk import split

from querywarden.model.secret import Secret
from querywarden.postgresql.framing import encode
from querywarden.postgresql.scram import ScramCache, ScramClient

WAIT_SECONDS = 15.0
_CLEAR_TEXT, _SASL, _SASL_CONTINUE = 3, 10, 11


class Way(Protocol):
    """Where to go and as whom: an `Endpoint` of the integration tests, without TLS."""

    host: str
    port: int
    database: str
    user: str
    password: str


def query(text: str) -> bytes:
    return encode(b"Q", text.encode() + b"\0")


def parse(text: str, name: str = "") -> bytes:
    return encode(b"P", name.encode() + b"\0" + text.encode() + b"\0\0\0")


def bind(portal: str = "", statement: str = "", *values: bytes | None, binary: bool = False) -> bytes:
    body = portal.encode() + b"\0" + statement.encode() + b"\0\0\0" + len(values).to_bytes(2, "big")
    for value in values:
        body += b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value
    return encode(b"B", body + (b"\0\1\0\1" if binary else b"\0\0"))


def describe(kind: str, name: str = "") -> bytes:
    return encode(b"D", kind.encode() + name.encode() + b"\0")


def execute(portal: str = "", rows: int = 0) -> bytes:
    return encode(b"E", portal.encode() + b"\0" + rows.to_bytes(4, "big"))


def close(kind: str, name: str = "") -> bytes:
    return encode(b"C", kind.encode() + name.encode() + b"\0")


def copy_data(data: bytes) -> bytes:
    return encode(b"d", data)


SYNC, FLUSH, COPY_DONE, TERMINATE = encode(b"S", b""), encode(b"H", b""), encode(b"c", b""), encode(b"X", b"")
COPY_FAIL = encode(b"f", b"enough\0")


class WireClient:
    """One session, logged in by SCRAM at a server or by a password in clear at the proxy."""

    def __init__(self, way: Way) -> None:
        self._socket = socket.create_connection((way.host, way.port), WAIT_SECONDS)
        self._buffer = b""
        self.seen = bytearray()
        """Every byte that the server, or the proxy in its place, has sent since the login."""
        body = b"\0\3\0\0user\0" + way.user.encode() + b"\0database\0" + way.database.encode() + b"\0\0"
        self._socket.sendall((len(body) + 4).to_bytes(4, "big") + body)
        self._log_in(way.password)

    def _log_in(self, password: str) -> None:
        scram = ScramClient(Secret(password.encode()), b"fyko+d2lbbFgONRv9qkxdawL", None, ScramCache())
        while True:
            kind, body = self.read()
            request = int.from_bytes(body[:4], "big") if kind == "R" else -1
            if request == _CLEAR_TEXT:
                self.send(encode(b"p", password.encode() + b"\0"))
            elif request == _SASL:
                first = scram.first()
                self.send(encode(b"p", scram.mechanism + b"\0" + len(first).to_bytes(4, "big") + first))
            elif request == _SASL_CONTINUE:
                self.send(encode(b"p", scram.respond(body[4:])))
            elif kind in {"E", ""}:
                raise AssertionError(f"the login failed: {body!r}")
            elif kind == "Z":
                self.seen.clear()
                return

    def send(self, *messages: bytes) -> None:
        self._socket.sendall(b"".join(messages))

    def read(self) -> tuple[str, bytes]:
        """The next message; ("", b"") at the end of the connection."""
        while len(self._buffer) < 5 or len(self._buffer) < 1 + int.from_bytes(self._buffer[1:5], "big"):
            data = self._socket.recv(65536)
            if not data:
                return "", self._buffer
            self._buffer += data
            self.seen += data
        size = 1 + int.from_bytes(self._buffer[1:5], "big")
        ((kind, body),) = split(self._buffer[:size])
        self._buffer = self._buffer[size:]
        return kind, body

    def read_until(self, is_last: Callable[[str, bytes], bool]) -> list[tuple[str, bytes]]:
        found = []
        while not found or not is_last(*found[-1]):
            found.append(self.read())
            if found[-1][0] == "":
                break
        return found

    def ready(self, times: int = 1) -> list[tuple[str, bytes]]:
        """The messages up to the ReadyForQuery that comes `times` from now; ends with ("", …) when the connection does."""
        found: list[tuple[str, bytes]] = []
        for _ in range(times):
            found += self.read_until(lambda kind, _: kind == "Z")
            if found[-1][0] == "":
                break
        return found

    def ask(self, *messages: bytes) -> list[tuple[str, bytes]]:
        """Send messages, and read to as many ReadyForQuery as Syncs and Queries were sent."""
        self.send(*messages)
        return self.ready(sum(message[:1] in (b"S", b"Q") for message in messages))

    def run(self, text: str) -> list[tuple[str, bytes]]:
        return self.ask(query(text))

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> WireClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def told(messages: list[tuple[str, bytes]]) -> str:
    """Messages written short, for failures: types, and what errors and notices say."""
    shown = []
    for kind, body in messages:
        if kind in "EN":
            fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
            shown.append(f"{kind}[{fields.get(b'C', b'').decode()} {fields.get(b'M', b'').decode()}]")
        elif kind in "DCSAd":
            shown.append(f"{kind}{body[:80]!r}")
        elif kind == "Z":
            shown.append(f"Z{body.decode()}")
        else:
            shown.append(kind or "EOF")
    return " ".join(shown)
