"""The scan of a Bind that is too large to be kept: its values are looked at one by one as its pieces pass.

Spec: PostgreSQL 18, Frontend/Backend Protocol, Message Formats, Bind.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

VALUE_BYTES_MAX = 1 << 20
"""Bytes of one value that are looked at together."""
_PIECE_BYTES = 16
"""Bytes of a larger value that show whether it may hold others."""
_NULL = 0xFFFFFFFF

Look = Callable[[bytes, bool, int], bool]
"""Whether a value is a mask that was shown: its bytes, whether they are binary, its type."""


class BindScan:
    """The values of one Bind, looked at as they pass. What isn't well-formed is the server's to refuse.

    `has_shown`: one of them is a mask that was shown. `has_unseen`: one is too large to be looked at, and may hold others.
    """

    __slots__ = ("_buffer", "_look", "_parser", "_skipped", "_types", "_wanted", "has_shown", "has_unseen", "is_complete")

    def __init__(self, types: Sequence[int], look: Look) -> None:
        self._types = types
        self._look = look
        self._buffer = bytearray()
        self._skipped = 0
        self.has_shown = False
        self.has_unseen = False
        self.is_complete = False
        self._parser = self._parse()
        self._wanted = next(self._parser)

    def feed(self, data: bytes) -> None:
        """Look at what comes next of the message, beginning behind its names."""
        position = 0
        while not self.is_complete and position < len(data):
            if self._skipped:
                passed = min(self._skipped, len(data) - position)
                self._skipped -= passed
                position += passed
                continue
            part = data[position : position + self._wanted - len(self._buffer)]
            self._buffer += part
            position += len(part)
            if len(self._buffer) == self._wanted:
                self._advance()

    def _advance(self) -> None:
        """Hand the parser what it has asked for, until it asks for more than nothing."""
        while True:
            taken = bytes(self._buffer)
            self._buffer.clear()
            try:
                self._wanted = self._parser.send(taken)
            except StopIteration:
                self.is_complete = True
                return
            if self._wanted:
                return

    def _parse(self) -> Generator[int, bytes]:
        """Asks for so many bytes at a time."""
        count = int.from_bytes((yield 2), "big")
        codes = yield 2 * count
        formats = [int.from_bytes(codes[at : at + 2], "big") for at in range(0, len(codes), 2)]
        values = int.from_bytes((yield 2), "big")
        for index in range(values):
            size = int.from_bytes((yield 4), "big")
            if size == _NULL:
                continue
            code = formats[0] if len(formats) == 1 else formats[index] if index < len(formats) else 0
            type_id = self._types[index] if index < len(self._types) else 0
            if size <= VALUE_BYTES_MAX:
                value = yield size
                self.has_shown = self.has_shown or self._look(value, code == 1, type_id)
                continue
            self.has_unseen |= _may_hold_others((yield _PIECE_BYTES), code == 1)
            self._skipped = size - _PIECE_BYTES


def _may_hold_others(start: bytes, is_binary: bool) -> bool:
    """Whether a large value may be an array, a row or a document, by its first bytes. A plain text of its size is no mask of anything."""
    if start.lstrip(b" \t\r\n\x01")[:1] in (b"{", b"[", b"("):
        return True
    return is_binary and 0 < int.from_bytes(start[:4], "big") <= 6 and int.from_bytes(start[4:8], "big") <= 1
