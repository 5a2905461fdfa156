"""Value masks: how an operator masks a value of a type in a format, so that it stays valid for the type.

| type | keyed operators | network, hardware, year | redact, secret |
|---|---|---|---|
| text, varchar, char, name, citext | as the operator says, within the declared length | as the operator says | `[redacted]`, `********` |
| integers, numeric | keyed digits | 0 | 0 |
| uuid | keyed UUID of version 8 | zero | zero |
| inet, cidr / macaddr | zero / keyed | network / keyed | zero |
| date, timestamp | 2000-01-01 | first of January | 2000-01-01 |
| json, jsonb | document of the same outer type, empty | | |
| arrays | as their elements | | |
| any other, enumerations, composites | NULL | | |

A date whose text isn't in ISO style becomes NULL. The NULL operator gives NULL for every type.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from querywarden.masking.key import MaskingKey
from querywarden.masking.operators import Operator
from querywarden.masking.plan import ColumnMask
from querywarden.postgresql.array_masks import mask_array_binary, mask_array_text
from querywarden.postgresql.cell_masks import Action, CellMask, Fill
from querywarden.postgresql.numeric_masks import mask_numeric_binary

_KEYED = frozenset({Operator.EMAIL, Operator.PHONE, Operator.SHAPE, Operator.USERNAME, Operator.IBAN, Operator.NAME})
_HEADER = 4
"""Bytes that PostgreSQL adds to a declared length to make a type modifier."""


class _Zero(NamedTuple):
    """The constant of a type in text and in binary, and the fills of the two formats. `empty`: a text that is left as it is."""

    text: bytes
    binary: bytes
    text_fill: Fill = Fill.NONE
    binary_fill: Fill = Fill.ZERO_BYTES
    empty: bytes = b""


_ZEROS: dict[int, _Zero] = {
    16: _Zero(b"f", bytes(1)),
    20: _Zero(b"0", bytes(8), Fill.DIGITS),
    21: _Zero(b"0", bytes(2), Fill.DIGITS),
    23: _Zero(b"0", bytes(4), Fill.DIGITS),
    26: _Zero(b"0", bytes(4), Fill.DIGITS),
    700: _Zero(b"0", bytes(4), Fill.DIGITS),
    701: _Zero(b"0", bytes(8), Fill.DIGITS),
    1700: _Zero(b"0", bytes(8), Fill.DIGITS, Fill.NONE),
    17: _Zero(b"\\x2a2a2a2a", b"****", Fill.BYTEA_TEXT, Fill.STARS, empty=b"\\x"),
    142: _Zero(b"<redacted/>", b"<redacted/>", Fill.STARS, Fill.STARS),
    600: _Zero(b"(0,0)", bytes(16)),
    650: _Zero(b"0.0.0.0/32", b"\2\x20\1\4\0\0\0\0", binary_fill=Fill.NONE),
    869: _Zero(b"0.0.0.0", b"\2\x20\0\4\0\0\0\0", binary_fill=Fill.NONE),
    774: _Zero(b"02:00:00:00:00:00:00:00", b"\2" + bytes(7)),
    829: _Zero(b"02:00:00:00:00:00", b"\2" + bytes(5)),
    1082: _Zero(b"2000-01-01", bytes(4)),
    1083: _Zero(b"00:00:00", bytes(8)),
    1114: _Zero(b"2000-01-01 00:00:00", bytes(8)),
    1184: _Zero(b"2000-01-01 00:00:00+00", bytes(8)),
    1186: _Zero(b"00:00:00", bytes(16)),
    1266: _Zero(b"00:00:00+00", bytes(12)),
    2950: _Zero(b"00000000-0000-0000-0000-000000000000", bytes(16)),
}
"""By type OID: bool, integers, oid, floats, numeric, bytea, xml, point, cidr, inet, macaddr8, macaddr, date and times, uuid."""

_TEXTS = {18: 1, 19: 63, 25: 0, 1042: 0, 1043: 0}
"""Text types by OID: "char", name, text, character, character varying; and their longest value, 0 for none of their own."""
_CHARACTER, _VARYING = 1042, 1043
_JSON, _JSONB = 114, 3802
_INTEGER_DIGITS = {20: 19, 23: 10}
_DATES = {1082: b"", 1114: b" 00:00:00", 1184: b" 00:00:00+00"}
_ARRAYS = {
    1000: 16, 1001: 17, 1002: 18, 1003: 19, 1005: 21, 1007: 23, 1009: 25, 1014: 1042, 1015: 1043, 1016: 20, 1017: 600, 1021: 700,
    1022: 701, 1028: 26, 1040: 829, 1041: 869, 1115: 1114, 1182: 1082, 1183: 1083, 1185: 1184, 1187: 1186, 1231: 1700, 1270: 1266,
    143: 142, 199: 114, 651: 650, 775: 774, 2951: 2950, 3807: 3802,
}  # fmt: skip
"""By OID of an array type, that of its elements."""


def cell_mask(type_oid: int, type_modifier: int, format_code: int, mask: ColumnMask, key: MaskingKey) -> CellMask:
    """What the kernel does with the cells of a column of this type, format (0 text, 1 binary) and mask."""
    binary = format_code == 1
    domain = key.derive(mask.data_class.value)
    if mask.is_citext:
        type_oid = 25
    element = _ARRAYS.get(type_oid)
    if element is not None:
        return _array(_scalar(element, type_modifier, binary, mask.operator, domain), binary)
    return _scalar(type_oid, type_modifier, binary, mask.operator, domain)


def _scalar(type_oid: int, type_modifier: int, binary: bool, operator: Operator, key: bytes) -> CellMask:
    if type_oid in _TEXTS:
        return _text(type_oid, type_modifier, operator, key)
    if type_oid in (_JSON, _JSONB):
        version = b"\1" if binary and type_oid == _JSONB else b""
        fill = Fill.JSONB if version else Fill.JSON
        return CellMask(Action.NULL if operator is Operator.NULL else Action.JSON, fill, key, version)
    zero = _ZEROS.get(type_oid)
    if zero is None:
        return CellMask(Action.NULL)
    fill = zero.binary_fill if binary else zero.text_fill
    constant = CellMask(Action.CONSTANT, fill, key, zero.binary if binary else zero.text, b"" if binary else zero.empty)
    if operator is Operator.NULL:
        return constant._replace(action=Action.NULL)
    return _typed(type_oid, binary, operator, constant)


def _typed(type_oid: int, binary: bool, operator: Operator, constant: CellMask) -> CellMask:
    """The mask of a type of fixed form: keyed, coarse, or else its constant."""
    if type_oid in _DATES:
        if operator is Operator.YEAR and binary:
            return constant._replace(action=Action.DATE_BINARY if type_oid == 1082 else Action.TIMESTAMP_BINARY)
        if binary:
            return constant
        kept = 0 if operator is Operator.YEAR else 1
        return constant._replace(action=Action.YEAR_TEXT, constant=b"", empty=_DATES[type_oid], limit=kept)
    if type_oid in (650, 869) and operator is Operator.NETWORK:
        return constant._replace(action=Action.NETWORK_BINARY if binary else Action.NETWORK_TEXT)
    if type_oid in (774, 829) and operator in _KEYED | {Operator.HARDWARE}:
        return constant._replace(action=Action.HARDWARE_BINARY if binary else Action.HARDWARE_TEXT)
    if type_oid == 2950 and operator in _KEYED | {Operator.HARDWARE, Operator.CARD}:
        return constant._replace(action=Action.UUID_BINARY if binary else Action.UUID_TEXT)
    if operator not in _KEYED:
        return constant
    if type_oid in _INTEGER_DIGITS:
        action = Action.INTEGER_BINARY if binary else Action.INTEGER_TEXT
        return constant._replace(action=action, limit=_INTEGER_DIGITS[type_oid])
    if type_oid == 1700:
        text = constant._replace(action=Action.NUMERIC_TEXT)
        return text._replace(action=Action.CALLBACK, callback=partial(mask_numeric_binary, text)) if binary else text
    return constant


def _text(type_oid: int, type_modifier: int, operator: Operator, key: bytes) -> CellMask:
    limit = _TEXTS[type_oid]
    if type_oid in (_CHARACTER, _VARYING) and type_modifier > _HEADER:
        limit = type_modifier - _HEADER
    cell = CellMask(Action.CONSTANT, Fill.TEXT, key, limit=limit, is_padded=type_oid == _CHARACTER and limit > 0)
    match operator:
        case Operator.NULL:
            return cell._replace(action=Action.NULL)
        case Operator.EMAIL:
            return cell._replace(action=Action.TOKEN, constant=b"@example.com")
        case Operator.USERNAME:
            return cell._replace(action=Action.TOKEN)
        case Operator.PHONE | Operator.SHAPE:
            return cell._replace(action=Action.SHAPE)
        case Operator.NAME:
            return cell._replace(action=Action.NAME)
        case Operator.CARD:
            return cell._replace(action=Action.CARD)
        case Operator.IBAN:
            return cell._replace(action=Action.IBAN)
        case Operator.HARDWARE:
            return cell._replace(action=Action.HARDWARE_TEXT)
        case Operator.NETWORK:
            return cell._replace(action=Action.NETWORK_TEXT, constant=_fit(b"0.0.0.0", limit))
        case Operator.YEAR:
            # A length in the cell would stand for "no year": the longest result is that of the constant or the value's own.
            return cell._replace(action=Action.YEAR_TEXT, constant=_fit(b"[redacted]", limit), limit=0, is_padded=False)
        case Operator.SECRET:
            return cell._replace(constant=_fit(b"********", limit))
        case Operator.REDACT:
            return cell._replace(constant=_fit(b"[redacted]", limit))


def _fit(constant: bytes, limit: int) -> bytes:
    """A constant that fits a declared length: stars where it doesn't."""
    return constant if limit == 0 or len(constant) <= limit else b"*" * min(limit, 4)


def _array(element: CellMask, binary: bool) -> CellMask:
    if element.action is Action.NULL:
        return CellMask(Action.NULL)
    return CellMask(Action.CALLBACK, callback=partial(mask_array_binary if binary else mask_array_text, element))
