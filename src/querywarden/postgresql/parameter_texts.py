"""Parameter values as people read them, for approvers: from the text or binary format of a Bind.

Spec: PostgreSQL 18, "Data Types"; the binary formats are those of the types' send functions. A type that isn't known here is shown in
hexadecimal: an approver sees that there is a value, and that it can't be read.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from struct import error as StructError
from struct import unpack

from querywarden.postgresql.messages.frontend import Bind

SHOWN_MAX = 200
"""Parameters shown; the approval binds all of them."""
CHARACTERS_MAX = 1_000
"""Characters shown of one value."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DAY_ZERO = date(2000, 1, 1)


def _integer(value: bytes) -> str:
    return str(int.from_bytes(value, "big", signed=True))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _timestamp(value: bytes) -> str:
    moment = _EPOCH + timedelta(microseconds=unpack("!q", value)[0])
    return moment.replace(tzinfo=None).isoformat(" ")


def _numeric(value: bytes) -> str:
    """The digits in groups of four, the weight of the first, the sign and the number of decimals."""
    count, weight, sign, scale = unpack("!HhHH", value[:8])
    if sign not in (0, 0x4000):
        return {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}.get(sign, "?")
    digits = unpack(f"!{count}H", value[8:])
    whole = "".join(f"{digits[i] if i < count else 0:04d}" for i in range(weight + 1)).lstrip("0") or "0"
    decimals = "".join(f"{digits[i] if 0 <= i < count else 0:04d}" for i in range(weight + 1, weight + 2 + scale // 4 + 1))[:scale]
    return ("-" if sign else "") + whole + (f".{decimals}" if scale else "")


_READERS: dict[int, Callable[[bytes], str]] = {
    16: lambda value: "true" if value == b"\x01" else "false",
    20: _integer,
    21: _integer,
    23: _integer,
    26: lambda value: str(int.from_bytes(value, "big")),
    700: lambda value: repr(unpack("!f", value)[0]),
    701: lambda value: repr(unpack("!d", value)[0]),
    1082: lambda value: (_DAY_ZERO + timedelta(days=unpack("!i", value)[0])).isoformat(),
    1114: _timestamp,
    1184: lambda value: _timestamp(value) + "+00",
    1700: _numeric,
    2950: lambda value: str(uuid.UUID(bytes=value)),
    3802: lambda value: _text(value[1:]),
    **dict.fromkeys((18, 19, 25, 114, 142, 1042, 1043), _text),
}
"""How the binary format of a built-in type reads, by its OID."""


def parameter_texts(bound: Bind | None, types: tuple[int, ...], count: int) -> tuple[str | None, ...]:
    """The texts of a portal's parameters, None for NULL. Secrets: they are the client's own values.

    Args:
        bound: the Bind, or None where it was too large to be kept.
        types: the parameters' types as far as they are known; 0 where not.
    """
    if bound is None:
        return ("(too large to be shown)",) if count else ()
    texts: list[str | None] = []
    formats = bound.parameter_formats
    for index, value in enumerate(bound.parameters[:SHOWN_MAX]):
        is_binary = bool(formats) and formats[index if len(formats) > 1 else 0] == 1
        texts.append(None if value is None else _shown(value, is_binary, types[index] if index < len(types) else 0))
    if len(bound.parameters) > SHOWN_MAX:
        texts.append(f"({len(bound.parameters) - SHOWN_MAX} more)")
    return tuple(texts)


def _shown(value: bytes, is_binary: bool, type_oid: int) -> str:
    if not is_binary:
        return _cut(_text(value))
    reader = _READERS.get(type_oid)
    try:
        return _cut(f"0x{value.hex()}" if reader is None else reader(value))
    except (StructError, ValueError, OverflowError, IndexError):
        return _cut(f"0x{value.hex()}")


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS_MAX else f"{text[:CHARACTERS_MAX]}… ({len(text)} characters)"
