"""Write-back: telling that a value to be stored is a mask that was shown in place of the real one.

A client that reads a row and saves it whole would destroy what it wasn't shown. Masks that look like nothing else are known by their
form; the others, which look like ordinary values, are remembered for a time, per principal and database:

| known by its form | remembered | neither |
|---|---|---|
| constants of text, xml and bytea; stars; tokens of names and emails; cards; JSON `"[redacted]"` | phone, shape, name and IBAN; \
integers and numerics of many digits; UUIDs; hardware addresses | zeros, false, first days of years, empty documents, networks, short \
names and numbers: ordinary values have the same form, and refusing these would stop honest work |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

SLOTS = 1 << 16
"""Values that are remembered for one principal and database, about; the older ones make room. Each takes four bytes."""

SIGNIFICANT_MIN = 8
"""Letters and digits of a value that is remembered: an ordinary value of eight is one of 65,536 masks once in a thousand times or less."""

_BUCKET_SLOTS = 8
_SLOT_BYTES = 4
_BUCKET_BYTES = _BUCKET_SLOTS * _SLOT_BYTES

_CONSTANTS: Final = frozenset({"[redacted]", '"[redacted]"', "<redacted/>", "02:00:00:00:00:00", "02:00:00:00:00:00:00:00"})
_STARS_MIN = 4
_STARS = re.compile(r'"?[*·•🙈 -]+(?:(?:[0-9][ -]*){4})?"?')
_STARS_OF_BYTES = re.compile(r"\\x(?:2a){4,}")
_TOKEN = re.compile(r"u_[a-z2-7]{10}")
_EMAIL_END = "@example.com"
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^{},"]+)', re.DOTALL)


def is_masked_form(value: str) -> bool:
    """Whether a value has a form that nothing but our masks has; of an array, whether an element has it.

    A mask that was cut off to the length of its column is known while its keyed part is whole. Fewer than four stars may be anybody's.
    """
    value = value.strip().lower()
    if value.startswith("{") and value.endswith("}"):
        return any(_has_form(quoted or bare.strip()) for quoted, bare in _ELEMENT.findall(value))
    return _has_form(value)


def _has_form(value: str) -> bool:
    if value in _CONSTANTS or _STARS_OF_BYTES.fullmatch(value) is not None:
        return True
    if _STARS.fullmatch(value) is not None:
        return sum(map(value.count, "*·•🙈")) >= _STARS_MIN
    token = _TOKEN.match(value)
    return token is not None and _EMAIL_END.startswith(value[token.end() :])


class MaskedValues:
    """The masks that one principal has lately been shown in one database, as fingerprints: values can't be read back from it.

    Eight fingerprints of 32 bits share a bucket; the newest is the first of them, and the oldest goes when another comes. A value that
    wasn't remembered is taken for one that was once in 5 * 10^8 times (8 in 2^32).

    Wire: `slots` may be filled by compiled code as well. With h the hash of the canonical value, the bucket is `h mod (len / 32)` and the
    fingerprint `h >> 32`, or 1 for 0, as four bytes in little-endian order; 0 is an empty slot. A fingerprint that isn't there yet goes to
    the front, the other seven back by one slot.

    Args: `hashed` gives 64 keyed bits of some bytes, the same for both ways of filling; `key` is its key, 16 bytes of this process alone,
    for compiled code. Secrets: the key.
    """

    __slots__ = ("_hashed", "key", "slots")

    def __init__(self, hashed: Callable[[bytes], int], slots: int = SLOTS, key: bytes = bytes(16)) -> None:
        if slots < _BUCKET_SLOTS or slots % _BUCKET_SLOTS:
            raise ValueError(f"slots come in buckets of {_BUCKET_SLOTS}")
        self._hashed = hashed
        self.key = key
        self.slots = bytearray(slots * _SLOT_BYTES)

    def remember(self, value: bytes) -> None:
        """Keep a mask, in the type's text form; one that is too short to be told from an ordinary value isn't kept."""
        found = self._look_up(value)
        if found is None or found[2]:
            return
        start, fingerprint, _ = found
        bucket = self.slots[start : start + _BUCKET_BYTES]
        self.slots[start : start + _BUCKET_BYTES] = fingerprint + bucket[:-_SLOT_BYTES]

    def knows(self, value: bytes) -> bool:
        """Whether a value, in its type's text form, is a mask that is remembered."""
        found = self._look_up(value)
        return found is not None and found[2]

    def _look_up(self, value: bytes) -> tuple[int, bytes, bool] | None:
        """Where the value's bucket starts, its fingerprint, and whether that is in the bucket."""
        value = canonical(value)
        if sum(map(_IS_SIGNIFICANT.__getitem__, value)) < SIGNIFICANT_MIN:
            return None
        number = self._hashed(value)
        start = number % (len(self.slots) // _BUCKET_BYTES) * _BUCKET_BYTES
        fingerprint = (number >> 32 & 0xFFFFFFFF or 1).to_bytes(_SLOT_BYTES, "little")
        bucket = self.slots[start : start + _BUCKET_BYTES]
        return start, fingerprint, any(bucket[at : at + _SLOT_BYTES] == fingerprint for at in range(0, _BUCKET_BYTES, _SLOT_BYTES))


def canonical(value: bytes) -> bytes:
    """The form under which values are remembered: without blanks around it, in lower case as far as ASCII goes."""
    return value.strip(b" ").lower()


_IS_SIGNIFICANT = bytes(bytes([sign]).isalnum() or sign >= 0x80 for sign in range(256))
