"""Binary numerics masked as their decimal text is.

Spec: the binary form is that of numeric_send: digits, weight, sign and scale as int16, then digits to the base 10000.
"""

from __future__ import annotations

import struct

from querywarden.masking.write_back import MaskedValues
from querywarden.postgresql.cell_masks import CellMask
from querywarden.postgresql.rows import mask_value

_HEAD = struct.Struct("!hhHh")
_NEGATIVE = 0x4000
_FINITE = (0, _NEGATIVE)


def mask_numeric_binary(text: CellMask, value: bytes, remembered: MaskedValues | None = None) -> bytes | None:
    """Mask a binary numeric by the mask of its text; NaN and the infinities become 0, malformed bytes NULL."""
    decimal = decode_numeric(value)
    if decimal is None:
        return None
    masked = mask_value(text, decimal, remembered)
    return None if masked is None else encode_numeric(masked)


def decode_numeric(value: bytes) -> bytes | None:
    """The decimal text of a binary numeric, None if it is malformed."""
    if len(value) < _HEAD.size:
        return None
    count, weight, sign, scale = _HEAD.unpack_from(value)
    if sign not in _FINITE:
        return b"NaN"
    if count < 0 or len(value) != _HEAD.size + 2 * count or scale < 0:
        return None
    groups = struct.unpack_from(f"!{count}h", value, _HEAD.size)
    whole = "".join(f"{groups[i] if i < count else 0:04d}" for i in range(weight + 1)).lstrip("0") or "0"
    first = max(weight + 1, 0)
    zeros = "0000" * (-weight - 1 if weight < -1 else 0)
    fraction = (zeros + "".join(f"{group:04d}" for group in groups[first:])).ljust(scale, "0")[:scale]
    text = ("-" if sign == _NEGATIVE else "") + whole + ("." + fraction if scale else "")
    return text.encode()


def encode_numeric(text: bytes) -> bytes:
    """The binary form of a decimal text without exponent."""
    sign = _NEGATIVE if text.startswith(b"-") else 0
    whole, _, fraction = text.lstrip(b"-").partition(b".")
    scale = len(fraction)
    whole = whole.rjust(-(-len(whole) // 4) * 4, b"0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, b"0")
    digits = whole + fraction
    groups = [int(digits[i : i + 4]) for i in range(0, len(digits), 4)]
    weight = len(whole) // 4 - 1
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    while groups and groups[-1] == 0:
        groups.pop()
    if not groups:
        weight = sign = 0
    return _HEAD.pack(len(groups), weight, sign, scale) + struct.pack(f"!{len(groups)}h", *groups)
