"""Message framing: one type byte, a length that counts itself, a body.

Spec: PostgreSQL 18, "Message Formats".
"""

from __future__ import annotations

from struct import Struct

from querywarden.errors import PeerViolation

HEADER_BYTES = 5
"""The bytes of a message's header: its type and its length."""

LENGTH_MAX = 0x3FFF_FFFF
"""The largest length of any message (PostgreSQL allocates no more for one: 1 GiB - 1)."""

_HEADER = Struct("!BI")
_LENGTH = Struct("!I")


def encode(message_type: bytes, body: bytes) -> bytes:
    """The message of this type byte with this body."""
    return message_type + _LENGTH.pack(len(body) + 4) + body


def read_header(data: bytes | bytearray | memoryview, pos: int, length_max: int = LENGTH_MAX) -> tuple[int, int]:
    """The header of the message that starts at `pos`; five bytes must be there.

    Returns: the type byte as an int, and the length as sent: it counts itself, so the message ends at `pos + 1 + length`.
    Raises: PeerViolation if the length is under 4 or over `length_max`.
    """
    type_byte, length = _HEADER.unpack_from(data, pos)
    if length < 4 or length > length_max:
        raise PeerViolation(f"message of type 0x{type_byte:02x} has an invalid length of {length} bytes")
    return type_byte, length
