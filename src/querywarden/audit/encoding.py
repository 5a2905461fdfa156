"""The canonical line of a record: what is stored, hashed and verified, byte for byte.

The encoding is the subset on which sorted orjson and RFC 8785 (JCS) agree: objects with ASCII keys, arrays, strings, integers up to
2^53-1, booleans and null. Everything else is refused rather than coerced, so that no two readers can understand a line differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import orjson

from querywarden.audit.log_format import LINE_BYTES_MAX
from querywarden.errors import QuerywardenError

DEPTH_MAX = 8
"""Nesting of objects and arrays; records need four."""
TRUNCATION_MARK = " …<truncated>"

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class Unencodable(QuerywardenError):
    """A record has no canonical line: a value of a type that the format doesn't have, or too many bytes."""


class Part(dict[str, Any]):
    """An object that many records share, as a session's principal: checked and encoded once, and frozen from then on.

    Raises: Unencodable when it has no canonical form.
    """

    __slots__ = ("fragment",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        plain = dict(fields)
        _check(plain, 1)
        self.fragment = orjson.Fragment(_canonical(plain))

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a shared part of records doesn't change")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse


def shared(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object that many records share; as it is when it has no canonical form, so that the records that hold it are refused."""
    try:
        return Part(fields)
    except Unencodable:
        return fields


def encode(record: Mapping[str, Any]) -> bytes:
    """The canonical line of a record, without LF.

    Raises:
        Unencodable: for floats, large integers, keys that aren't ASCII, unpaired surrogates, and lines above the limit.
    """
    line = _dump(record)
    if len(line) > LINE_BYTES_MAX:
        raise Unencodable(f"a record of {len(line)} bytes is above the limit of {LINE_BYTES_MAX}")
    return line


def encode_fitting(record: Mapping[str, Any]) -> bytes:
    """The canonical line of a record, its statement text cut where the line would be too long otherwise.

    The text is the only part that a client can make long: everything else is bounded by its builder, or the record is refused.
    """
    line = _dump(record)
    if len(line) <= LINE_BYTES_MAX:
        return line
    statement = record.get("stmt")
    text = statement.get("norm") if isinstance(statement, Mapping) else None
    if not isinstance(statement, Mapping) or not isinstance(text, str):
        raise Unencodable(f"a record of {len(line)} bytes is above the limit of {LINE_BYTES_MAX}")
    while len(line) > LINE_BYTES_MAX and text:
        # A character takes 1 to 6 bytes, so cutting a sixth of the excess at a time can't cut more than is needed.
        text = text[: -max(1, (len(line) - LINE_BYTES_MAX) // 6 + len(TRUNCATION_MARK))]
        line = _dump({**record, "stmt": {**statement, "norm": text + TRUNCATION_MARK, "truncated": True}})
    if len(line) > LINE_BYTES_MAX:
        raise Unencodable(f"a record of {len(line)} bytes without its text is above the limit of {LINE_BYTES_MAX}")
    return line


def _dump(record: Mapping[str, Any]) -> bytes:
    """The line of a record. Every record passes here, most with flat values: what is neither text nor integer is looked at closer."""
    line = dict(record)
    for key, value in record.items():
        kind = type(value)
        if kind is str or kind is int:
            continue
        if kind is Part:
            line[key] = value.fragment
        else:
            _check(value, 1)
    _check_keys(line)
    return _canonical(line)


def _check_keys(value: dict[str, Any]) -> None:
    try:
        is_ascii = "".join(value).isascii()
    except TypeError:
        is_ascii = False
    if not is_ascii:
        raise Unencodable("a key of a record isn't ASCII text")


def _canonical(value: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError as error:  # orjson's own error; integers above the limit and unpaired surrogates end here
        raise Unencodable("a record holds an integer above 2^53-1 or text that isn't Unicode") from error


def _check(value: object, depth: int) -> None:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return
    if depth > DEPTH_MAX:
        raise Unencodable("a record is nested too deeply")
    if kind is dict or kind is Part:
        _check_keys(value)  # type: ignore[arg-type]
        for inner in value.values():  # type: ignore[attr-defined]
            _check(inner, depth + 1)
    elif kind is list or kind is tuple:
        for inner in value:  # type: ignore[attr-defined]
            _check(inner, depth + 1)
    elif not isinstance(value, str):  # enumerations of texts are texts
        raise Unencodable(f"a record holds a value of type {kind.__name__}")
