"""Request ids: short enough to be read out and typed, without letters that look like digits.

Spec: Crockford's Base 32 (0-9 and A-Z without I, L, O, U).
"""

from __future__ import annotations

RANDOM_BYTES = 5
LENGTH = 8
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def request_id(random: bytes) -> str:
    """The request id of five random bytes: eight characters, 40 bits. It is a name, not a secret."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a request id takes {RANDOM_BYTES} random bytes")
    number = int.from_bytes(random, "big")
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))


def parse_request_id(text: str) -> str | None:
    """The request id that somebody has typed: small letters, hyphens and O for 0 are meant as what they look like; None for none."""
    if not text.isascii():
        return None
    typed = text.strip().upper().translate(_MISREAD)
    return typed if len(typed) == LENGTH and all(char in ALPHABET for char in typed) else None
