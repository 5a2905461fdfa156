"""Record ids: UUID version 7, so that ids sort by time and can be told to a client before the record is written."""

from __future__ import annotations

RANDOM_BYTES = 10


def record_id(unix_milliseconds: int, random: bytes) -> str:
    """The UUIDv7 of a moment and ten random bytes, in its usual text form.

    Spec: RFC 9562, "UUID Version 7".
    """
    if len(random) != RANDOM_BYTES or not 0 <= unix_milliseconds < 1 << 48:
        raise ValueError("a UUIDv7 needs a 48-bit time and 10 random bytes")
    low = int.from_bytes(random, "big")
    high_bits = (low >> 64) & 0x0FFF | 0x7000
    low_bits = low & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
    text = f"{unix_milliseconds:012x}{high_bits:04x}{low_bits:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
