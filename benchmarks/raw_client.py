"""A client that does nothing but log in, send a Query and drain the answer: the reader must not be what is measured."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import struct
from dataclasses import dataclass

_READY = b"Z\0\0\0\x05I"


@dataclass(frozen=True)
class Address:
    """Where a client connects, and as whom."""

    host: str
    port: int
    database: str
    user: str
    password: str
    tls: bool = False


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


class RawClient:
    """One connection; `drain` runs a Query in text format and returns how many bytes came back."""

    def __init__(self, address: Address, buffer_bytes: int = 1 << 20) -> None:
        self._buffer = bytearray(buffer_bytes)
        raw = socket.create_connection((address.host, address.port), timeout=60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.tls:
            raw.sendall(struct.pack("!ii", 8, 80877103))
            if raw.recv(1) != b"S":
                raise ConnectionError("the server has no TLS")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            raw = context.wrap_socket(raw)
        self._socket = raw
        self._log_in(address)

    def _read(self) -> tuple[bytes, bytes]:
        head = self._exactly(5)
        return head[:1], self._exactly(struct.unpack("!i", head[1:])[0] - 4)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self._socket.recv(count - len(data))
            if not chunk:
                raise ConnectionError("the connection ended during the login")
            data += chunk
        return data

    def _log_in(self, address: Address) -> None:
        body = struct.pack("!i", 196608) + b"".join(
            part.encode() + b"\0" for part in ("user", address.user, "database", address.database, "client_encoding", "UTF8", "")
        )
        self._socket.sendall(struct.pack("!i", len(body) + 4) + body)
        while True:
            kind, body = self._read()
            if kind == b"E":
                raise ConnectionError(body.replace(b"\0", b" ").decode(errors="replace"))
            if kind == b"Z":
                return
            if kind == b"R":
                self._authenticate(struct.unpack("!i", body[:4])[0], address.password.encode())

    def _authenticate(self, code: int, password: bytes) -> None:
        if code == 3:
            self._socket.sendall(_message(b"p", password + b"\0"))
        elif code == 10:
            self._scram(password)
        elif code != 0:
            raise ConnectionError(f"authentication {code} isn't known here")

    def _scram(self, password: bytes) -> None:
        """Spec: RFC 5802 with SHA-256, no channel binding."""
        first = f"n=,r={secrets.token_urlsafe(18)}".encode()
        self._socket.sendall(_message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first) + 3) + b"n,," + first))
        _, body = self._read()
        server_first = body[4:]
        said = dict(part.split(b"=", 1) for part in server_first.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(said[b"s"]), int(said[b"i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        bare = b"c=biws,r=" + said[b"r"]
        signature = hmac.digest(hashlib.sha256(key).digest(), b",".join((first, server_first, bare)), "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self._socket.sendall(_message(b"p", bare + b",p=" + base64.b64encode(proof)))
        kind, body = self._read()
        if kind == b"E":
            raise ConnectionError(body.replace(b"\0", b" ").decode(errors="replace"))

    def answer(self, query: str) -> bytes:
        """Run a query with a small answer and return all of its bytes."""
        self._socket.sendall(_message(b"Q", query.encode() + b"\0"))
        data = b""
        while data[-6:-1] != _READY[:-1]:
            chunk = self._socket.recv(65536)
            if not chunk:
                raise ConnectionError("the connection ended during the answer")
            data += chunk
        return data

    def drain(self, query: str) -> int:
        """Run a query and read its answer to the end."""
        self._socket.sendall(_message(b"Q", query.encode() + b"\0"))
        total, tail = 0, b""
        buffer = self._buffer
        while True:
            count = self._socket.recv_into(buffer)
            if count == 0:
                raise ConnectionError("the connection ended during the result")
            if total == 0 and buffer[:1] == b"E":
                raise ConnectionError(bytes(buffer[:count]).replace(b"\0", b" ").decode(errors="replace"))
            total += count
            tail = (tail + bytes(buffer[max(0, count - 6) : count]))[-6:]
            if tail == _READY:
                return total

    def close(self) -> None:
        """End the connection."""
        self._socket.sendall(_message(b"X", b""))
        self._socket.close()
