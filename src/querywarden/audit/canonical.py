"""Strict reading of one stored line, written apart from the encoder: a line is canonical when writing it again gives its very bytes.

The parser refuses what two JSON readers could understand differently (duplicate keys, floats, large integers), and the comparison
refuses every other spelling of the same value.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from querywarden.audit.log_format import INTEGER_MAX, LINE_BYTES_MAX


class Flaw(Exception):
    """What is wrong with a line, at which byte of it, and what was expected and found."""

    def __init__(self, what: str, offset: int = 0, expected: str | None = None, found: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset
        self.expected = expected
        self.found = found


def read_line(line: bytes) -> dict[str, Any]:
    """The record of a line (without its LF).

    Raises:
        Flaw: the line isn't the canonical form of an object.
    """
    if len(line) > LINE_BYTES_MAX:
        raise Flaw("the line is too long", LINE_BYTES_MAX, f"at most {LINE_BYTES_MAX} bytes", f"{len(line)} bytes")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Flaw("the line isn't UTF-8", error.start) from None
    try:
        record = json.loads(text, object_pairs_hook=_object, parse_float=_refuse_number, parse_constant=_refuse_number, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise Flaw("the line isn't JSON", len(text[: error.pos].encode())) from None
    except RecursionError:
        raise Flaw("the line is nested too deeply") from None
    if not isinstance(record, dict):
        raise Flaw("the line isn't a JSON object")
    again = write_line(record)
    if again != line:
        raise Flaw("the line isn't in canonical form", first_difference(again, line))
    return record


def write_line(record: dict[str, Any]) -> bytes:
    """The canonical form of a record, by the standard library's encoder."""
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def value_offset(record: dict[str, Any], field: str) -> int:
    """The byte of a record's line at which the value of a field begins."""
    before = {key: value for key, value in record.items() if key < field}
    return (len(write_line(before)) if before else 1) + len(json.dumps(field, ensure_ascii=False)) + 1


def first_difference(one: bytes, other: bytes) -> int:
    """The first index at which two texts differ."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Flaw("a key occurs twice in an object")
    if not "".join(found).isascii():
        raise Flaw("a key isn't ASCII")
    return found


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > INTEGER_MAX:
        raise Flaw("an integer is above 2^53-1")
    return int(text)


def _refuse_number(text: str) -> NoReturn:
    raise Flaw("a number isn't an integer")
