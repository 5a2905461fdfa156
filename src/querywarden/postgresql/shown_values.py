"""Masks among the values that a client sends: in literals, and in parameters of text and binary format.

A binary value is read in the text form that its mask is remembered in; one whose type isn't known, in every form that it may have. In
arrays, rows and documents each element counts.
Spec: PostgreSQL 18, "Data Types"; the binary formats are those of the types' send functions.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Callable, Iterator, Sequence

from querywarden.masking.write_back import SIGNIFICANT_MIN, MaskedValues, is_masked_form
from querywarden.postgresql.numeric_masks import decode_numeric

_Reader = Callable[[bytes], str | None]

_UUID_DIGITS = 32
_SEPARATED = frozenset({12, 16, _UUID_DIGITS})
"""Hexadecimal digits of macaddr, macaddr8 and uuid."""
_IN_DIGITS_MAX = 64
_WITHOUT_SEPARATORS = str.maketrans("", "", "-:.{}")
_HEXADECIMAL = re.compile("[0-9A-Fa-f]+")
_OPENING = ("{", "[", "(")
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)+)"|([^\s{}\[\](),:"](?:[^{}\[\](),:"]*[^\s{}\[\](),:"])?)', re.DOTALL)
_MASKED_BYTES_MAX = 64
"""The mask of bytea has four bytes: what is longer is none."""
_ARRAY_HEAD = struct.Struct("!iiI")
_DIMENSION_BYTES = 8
_ITEM_HEAD = struct.Struct("!i")
_TEXTS = frozenset({18, 19, 25, 114, 142, 1042, 1043})
_JSONB, _UNKNOWN = 3802, frozenset({0, 705})
_OWN_TYPES = 16384
"""Types from here on are the database's own: citext, domains, composite types."""


def is_shown(value: str, memory: MaskedValues | None) -> bool:
    """Whether a value in its type's text form is a mask, by its form or as one that is remembered, or holds one as an element."""
    if _is_one(value, memory):
        return True
    return value.lstrip()[:1].startswith(_OPENING) and any(_is_one(element, memory) for element in _elements(value))


def _is_one(value: str, memory: MaskedValues | None) -> bool:
    if is_masked_form(value):
        return True
    if memory is None or len(value) < SIGNIFICANT_MIN:
        return False
    if memory.knows(value.encode("utf-8", "surrogatepass")):
        return True
    reading = in_server_spelling(value)
    return reading is not None and memory.knows(reading.encode())


def in_server_spelling(value: str) -> str | None:
    """A UUID or hardware address as the server writes it. It reads several spellings, of which drivers use more than one."""
    digits = value.strip().translate(_WITHOUT_SEPARATORS) if len(value) <= _IN_DIGITS_MAX else ""
    size = len(digits)
    if size not in _SEPARATED or not _HEXADECIMAL.fullmatch(digits):
        return None
    return str(uuid.UUID(digits)) if size == _UUID_DIGITS else bytes.fromhex(digits).hex(":")


def _elements(value: str) -> Iterator[str]:
    for quoted, bare in _ELEMENT.findall(value):
        yield re.sub(r"\\(.)", r"\1", quoted) if quoted else bare


def is_shown_parameter(value: bytes, is_binary: bool, type_id: int, memory: MaskedValues | None) -> bool:
    """The same of a parameter. Args: `type_id` 0: its type isn't known."""
    if not is_binary:
        return is_shown(value.decode("utf-8", "replace"), memory)
    return any(is_shown(reading, memory) for reading in _readings(value, type_id))


def _readings(value: bytes, type_id: int) -> Iterator[str]:
    """The texts that a binary value may stand for; none for types whose masks are like ordinary values."""
    reader = _READERS.get(type_id)
    if reader is not None:
        yield from _read((reader,), value)
        return
    if type_id in _UNKNOWN or type_id >= _OWN_TYPES:
        yield from _read(_ALL_READERS, value)
    yield from _array_readings(value)


def _array_readings(value: bytes) -> Iterator[str]:
    """The texts of an array's elements; none where the bytes aren't an array."""
    if len(value) < _ARRAY_HEAD.size:
        return
    dimensions, flags, type_id = _ARRAY_HEAD.unpack_from(value)
    position = _ARRAY_HEAD.size + _DIMENSION_BYTES * dimensions
    if not 0 < dimensions <= 6 or flags not in (0, 1):
        return
    while position + _ITEM_HEAD.size <= len(value):
        (size,) = _ITEM_HEAD.unpack_from(value, position)
        position += _ITEM_HEAD.size
        if size > 0:
            element = value[position : position + size]
            position += size
            yield from _read((_READERS[type_id],) if type_id in _READERS else _ALL_READERS, element)


def _read(readers: Sequence[_Reader], value: bytes) -> Iterator[str]:
    for reader in readers:
        reading = reader(value)
        if reading is not None:
            yield reading


def _text(value: bytes) -> str | None:
    return value.decode("utf-8", "replace")


def _document(value: bytes) -> str | None:
    return value[1:].decode("utf-8", "replace") if value[:1] == b"\1" else None


def _integer(value: bytes) -> str | None:
    return str(int.from_bytes(value, "big", signed=True)) if len(value) in (2, 4, 8) else None


def _numeric(value: bytes) -> str | None:
    decimal = decode_numeric(value)
    return None if decimal is None else decimal.decode()


def _uuid(value: bytes) -> str | None:
    return str(uuid.UUID(bytes=value)) if len(value) == 16 else None


def _hardware(value: bytes) -> str | None:
    return value.hex(":") if len(value) in (6, 8) else None


def _bytes(value: bytes) -> str | None:
    return f"\\x{value.hex()}" if len(value) <= _MASKED_BYTES_MAX else None


_READERS: dict[int, _Reader] = {
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys((20, 21, 23), _integer),
    17: _bytes,
    774: _hardware,
    829: _hardware,
    1700: _numeric,
    2950: _uuid,
    _JSONB: _document,
}
"""How the binary format of a type reads, by its OID."""
_ALL_READERS = (_text, _document, _integer, _numeric, _uuid, _hardware, _bytes)
