"""The client's byte stream, cut into messages: whole ones, skipped ones and those that flow through in pieces.

Order-preserving, and never holds more than one message below its limit: what is larger is either skipped (statements) or handed
on in pieces (CopyData and the values of a large Bind).
"""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.errors import PeerViolation
from querywarden.model.limits import Limits
from querywarden.postgresql.framing import HEADER_BYTES, read_header

_QUERY, _PARSE, _BIND, _COPY_DATA = ord("Q"), ord("P"), ord("B"), ord("d")
_LONG = frozenset({_QUERY, _PARSE, _BIND})
"""Messages with a limit of their own."""

BIND_HEAD_BYTES = 16 * 1024
"""Both names of a Bind must lie in its first bytes: PostgreSQL's names have 63 bytes, drivers' a few more."""


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message. Secrets: the body may hold personal data."""

    type: int
    body: bytes

    def __repr__(self) -> str:
        return f"Message({chr(self.type)!r}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class Oversize:
    """A Query or Parse above the limit; its bytes have been skipped, or are being skipped."""

    type: int
    length: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Raw bytes of CopyData messages or of a large Bind, header included; `is_first` and `is_last` bound a Bind."""

    type: int
    data: bytes
    is_first: bool
    is_last: bool

    def __repr__(self) -> str:
        return f"Piece({chr(self.type)!r}, {len(self.data)} bytes)"


class ClientStream:
    """What the client has sent and nobody has looked at yet."""

    __slots__ = ("_buffer", "_limits", "_piece_type", "_remaining", "_skipping")

    def __init__(self, limits: Limits) -> None:
        self._buffer = bytearray()
        self._limits = limits
        self._remaining = 0
        """Bytes of a message in pieces, or of a skipped one, that are still to come."""
        self._piece_type = 0
        self._skipping = False

    def __len__(self) -> int:
        return len(self._buffer)

    def receive(self, data: memoryview | bytes) -> None:
        """Keep bytes until they are taken."""
        if self._skipping:
            skipped = min(self._remaining, len(data))
            self._remaining -= skipped
            self._skipping = self._remaining > 0
            data = data[skipped:]
        self._buffer += data

    def take(self) -> Message | Oversize | Piece | None:
        """The next message or piece; None when more bytes are needed.

        Raises: PeerViolation when a length is not possible.
        """
        buffer = self._buffer
        if self._remaining and not self._skipping:
            return self._take_piece()
        if len(buffer) < HEADER_BYTES:
            return None
        kind, length = read_header(buffer, 0, self._limits.client_message_bytes_max)
        size = 1 + length
        if kind == _COPY_DATA:
            return self._take_copy_data(size)
        if kind in _LONG:
            if kind == _BIND:
                if size > self._limits.bind_buffered_bytes_max:
                    return self._begin_bind(size)
            elif length > self._limits.statement_bytes_max:
                self._skip(size)
                return Oversize(kind, length)
        elif length > self._limits.inspected_message_bytes_max:
            raise PeerViolation(f"message of type {chr(kind)!r} is longer than {self._limits.inspected_message_bytes_max} bytes")
        if len(buffer) < size:
            return None
        body = bytes(memoryview(buffer)[HEADER_BYTES:size])
        del buffer[:size]
        return Message(kind, body)

    def _skip(self, size: int) -> None:
        present = min(size, len(self._buffer))
        del self._buffer[:present]
        self._remaining = size - present
        self._skipping = self._remaining > 0

    def _begin_bind(self, size: int) -> Piece | None:
        if len(self._buffer) < BIND_HEAD_BYTES:
            return None
        data = bytes(self._buffer[:size])
        del self._buffer[: len(data)]
        self._piece_type = _BIND
        self._remaining = size - len(data)
        return Piece(_BIND, data, is_first=True, is_last=self._remaining == 0)

    def _take_copy_data(self, size: int) -> Piece | None:
        """A run of CopyData messages, the last perhaps begun only."""
        buffer = self._buffer
        end = size
        while end + HEADER_BYTES <= len(buffer) and buffer[end] == _COPY_DATA:
            _, length = read_header(buffer, end, self._limits.client_message_bytes_max)
            end += 1 + length
        present = min(end, len(buffer))
        data = bytes(memoryview(buffer)[:present])
        del buffer[:present]
        self._piece_type = _COPY_DATA
        self._remaining = end - present
        return Piece(_COPY_DATA, data, is_first=True, is_last=self._remaining == 0)

    def _take_piece(self) -> Piece | None:
        if not self._buffer:
            return None
        present = min(self._remaining, len(self._buffer))
        data = bytes(memoryview(self._buffer)[:present])
        del self._buffer[:present]
        self._remaining -= present
        return Piece(self._piece_type, data, is_first=False, is_last=self._remaining == 0)
