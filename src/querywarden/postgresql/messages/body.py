"""The body of a message, read field by field; every field is checked before anything is allocated for it."""

from __future__ import annotations

from struct import Struct

from querywarden.errors import PeerViolation

Body = bytes | memoryview

INT16 = Struct("!h")
UINT16 = Struct("!H")
INT32 = Struct("!i")
UINT32 = Struct("!I")


class BodyReader:
    """A message's body and how far it has been read.

    Raises: PeerViolation naming the message and the rule, never its contents.
    """

    __slots__ = ("_data", "_message", "_position")

    def __init__(self, message: str, body: Body) -> None:
        self._data = body if isinstance(body, bytes) else bytes(body)
        self._message = message
        self._position = 0

    @property
    def remaining(self) -> int:
        """The number of bytes not read yet."""
        return len(self._data) - self._position

    def violation(self, rule: str) -> PeerViolation:
        """The error that says which rule this message breaks."""
        return PeerViolation(f"{self._message}: {rule}")

    def _number(self, form: Struct) -> int:
        if len(self._data) - self._position < form.size:
            raise self.violation("shorter than its fields")
        number: int = form.unpack_from(self._data, self._position)[0]
        self._position += form.size
        return number

    def uint16(self) -> int:
        """An Int16 used as a count."""
        return self._number(UINT16)

    def int32(self) -> int:
        """A signed Int32."""
        return self._number(INT32)

    def uint32(self) -> int:
        """An Int32 used as an identifier."""
        return self._number(UINT32)

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        end = self._position + size
        if size < 0 or end > len(self._data):
            raise self.violation("shorter than its fields")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def string(self) -> bytes:
        """A String: the bytes up to the next NUL, without it."""
        end = self._data.find(b"\0", self._position)
        if end < 0:
            raise self.violation("a string does not end")
        taken = self._data[self._position : end]
        self._position = end + 1
        return taken

    def rest(self) -> bytes:
        """All the bytes that are left."""
        taken = self._data[self._position :]
        self._position = len(self._data)
        return taken

    def uint16s(self, count: int) -> tuple[int, ...]:
        """`count` Int16 values, the count checked against the bytes there are."""
        if count * 2 > self.remaining:
            raise self.violation("a count exceeds the message")
        values = Struct(f"!{count}H").unpack_from(self._data, self._position)
        self._position += count * 2
        return values

    def uint32s(self, count: int) -> tuple[int, ...]:
        """`count` Int32 identifiers, the count checked against the bytes there are."""
        if count * 4 > self.remaining:
            raise self.violation("a count exceeds the message")
        values = Struct(f"!{count}I").unpack_from(self._data, self._position)
        self._position += count * 4
        return values

    def finish(self) -> None:
        """Nothing may follow."""
        if self._position != len(self._data):
            raise self.violation("longer than its fields")
