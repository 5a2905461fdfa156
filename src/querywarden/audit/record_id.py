"""Record ids: UUID version 7, so that ids sort by time and can be told to a client before the record is written."""

from __future__ import annotations

RANDOM_BYTES = 10

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def record_id(unix_milliseconds: int, random: bytes) -> str:
    """The UUIDv7 of a moment and ten random bytes, in its usual text form.

    Spec: RFC 9562, "UUID Version 7".
    """
    if len(random) != RANDOM_BYTES or not 0 <= unix_milliseconds < 1 << 48:
        raise ValueError("a UUIDv7 needs a 48-bit time and 10 random bytes")
    time = f"{unix_milliseconds:012x}"
    rest = random.hex()
    # Of the random bits, those of the version's and of the variant's digit give way to them.
    return f"{time[:8]}-{time[8:]}-7{rest[1:4]}-{_VARIANT[rest[4]]}{rest[5:8]}-{rest[8:]}"
