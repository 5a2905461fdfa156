"""The slow, obvious COPY: rows as PostgreSQL writes them in each form, read back and masked: the oracle of the compiled masker."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tests.model.value_masks import masked

from querywarden.model.facts import CopyFormat
from querywarden.postgresql.cell_masks import Action, CellMask
from querywarden.postgresql.row_errors import RowViolation

Row = Sequence[bytes | None]
SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
LETTERS = {b"\b": b"b", b"\t": b"t", b"\n": b"n", b"\v": b"v", b"\f": b"f", b"\r": b"r"}
TEXT = CopyFormat()
CSV = CopyFormat("csv", b",", b"", b'"', b'"')
BINARY = CopyFormat("binary", b"", b"")


def copy_data(payload: bytes) -> bytes:
    """A CopyData message."""
    return b"d" + (len(payload) + 4).to_bytes(4, "big") + payload


def payloads(data: bytes) -> list[bytes]:
    """What is in a run of CopyData messages, which must be whole."""
    found = []
    while data:
        assert data[:1] == b"d"
        size = int.from_bytes(data[1:5], "big") + 1
        assert len(data) >= size
        found.append(data[5:size])
        data = data[size:]
    return found


# Writing


def write_text_field(form: CopyFormat, value: bytes | None) -> bytes:
    if value is None:
        return form.null
    out = b""
    for i in range(len(value)):
        sign = value[i : i + 1]
        out += b"\\" + LETTERS[sign] if sign in LETTERS else b"\\" + sign if sign in (b"\\", form.delimiter) else sign
    return out


def write_csv_field(form: CopyFormat, value: bytes | None, is_forced: bool, is_alone: bool) -> bytes:
    if value is None:
        return form.null
    special = (form.delimiter, form.quote, b"\n", b"\r")
    if not (is_forced or value == form.null or (is_alone and value == b"\\.") or any(sign in value for sign in special)):
        return value
    out = b""
    for i in range(len(value)):
        sign = value[i : i + 1]
        out += (form.escape if sign in (form.quote, form.escape) else b"") + sign
    return form.quote + out + form.quote


def write_line(form: CopyFormat, row: Row, quoted: Sequence[bool]) -> bytes:
    if form.format == "text":
        fields = [write_text_field(form, value) for value in row]
    else:
        fields = [write_csv_field(form, value, forced, len(row) == 1) for value, forced in zip(row, quoted, strict=True)]
    return form.delimiter.join(fields) + b"\n"


def write_binary_row(row: Row) -> bytes:
    body = len(row).to_bytes(2, "big")
    for value in row:
        body += b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value
    return body


def write_rows(form: CopyFormat, rows: Sequence[Row], quoted: Sequence[bool], header: Row = ()) -> list[bytes]:
    """The payloads of the messages that a server sends."""
    if form.format == "binary":
        found = [*map(write_binary_row, rows), TRAILER]
        return [SIGNATURE + found[0], *found[1:]]
    lines = [write_line(form, row, quoted) for row in rows]
    return [write_line(form, header, [False] * len(header)), *lines] if form.has_header else lines


# Reading

Field = tuple[bytes, bytes | None]
"""The bytes of a field, and its value."""

_TEXT_VALUES = {b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r"}


def read_text_lines(form: CopyFormat, data: bytes) -> Iterator[list[bytes]]:
    """The raw fields of each line."""
    fields, begin, at = [], 0, 0
    while at < len(data):
        sign = data[at : at + 1]
        if sign == b"\\":
            if at + 1 < len(data) and data[at + 1] == 10:
                raise RowViolation("newline")
            at += 2
            continue
        at += 1
        if sign in (form.delimiter, b"\n"):
            fields.append(data[begin : at - 1])
            begin = at
        if sign == b"\n":
            yield fields
            fields = []
    if begin < len(data) or fields:
        raise RowViolation("ends in the middle")


def text_value(form: CopyFormat, raw: bytes) -> bytes | None:
    if raw == form.null:
        return None

    def plain(found: re.Match[bytes]) -> bytes:
        if found[1] not in (*_TEXT_VALUES, b"\\", form.delimiter):
            raise RowViolation("escape")
        return _TEXT_VALUES.get(found[1], found[1])

    return re.sub(rb"\\(.)", plain, raw, flags=re.DOTALL)


def read_csv_lines(form: CopyFormat, data: bytes) -> Iterator[list[bytes]]:
    quote, escape = re.escape(form.quote), re.escape(form.escape)
    other = rb"[^" + quote + escape + rb"]"
    inside = rb"(?:" + other + rb"|" + escape + rb"[" + quote + escape + rb"])*"
    plain = rb"(?!" + quote + rb")[^" + re.escape(form.delimiter) + quote + rb"\n]*"
    one = re.compile(rb"(" + quote + inside + quote + rb"|" + plain + rb")([" + re.escape(form.delimiter) + rb"\n])", re.DOTALL)
    fields, at = [], 0
    while at < len(data):
        found = one.match(data, at)
        if found is None:
            raise RowViolation("field")
        fields.append(found[1])
        at = found.end()
        if found[2] == b"\n":
            yield fields
            fields = []
    if fields:
        raise RowViolation("ends in the middle")


def csv_value(form: CopyFormat, raw: bytes) -> bytes | None:
    if raw == form.null:
        return None
    if raw[:1] != form.quote:
        return raw
    return re.sub(re.escape(form.escape) + rb"(.)", rb"\1", raw[1:-1], flags=re.DOTALL)


def read_binary_rows(data: bytes) -> Iterator[list[bytes | None]]:
    if data[:19] != SIGNATURE:
        raise RowViolation("signature")
    at = 19
    while data[at : at + 2] != TRAILER:
        row, count = [], int.from_bytes(data[at : at + 2], "big")
        at += 2
        for _ in range(count):
            size = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4
            if size < -1 or size > len(data) - at or at > len(data):
                raise RowViolation("length")
            row.append(None if size < 0 else data[at : at + size])
            at += max(size, 0)
        if at > len(data) - 2:
            raise RowViolation("ends in the middle")
        yield row
    if at + 2 != len(data):
        raise RowViolation("behind the trailer")


# Masking


def mask_copy(
    form: CopyFormat, cells: Sequence[CellMask | None], quoted: Sequence[bool], data: bytes, kept_max: int = 1 << 30
) -> tuple[list[bytes], int]:
    """The payloads of the masked rows, one for each message, and the number of masked cells. Raises: RowViolation."""
    if form.format == "binary":
        rows = list(read_binary_rows(data))
        _check_width(rows, cells)
        results = [[_masked(cell, value, value, kept_max) for cell, value in zip(cells, row, strict=True)] for row in rows]
        count = sum(1 for row in rows for cell, value in zip(cells, row, strict=True) if cell is not None and value)
        return write_rows(form, results, quoted), count
    lines = list(read_text_lines(form, data) if form.format == "text" else read_csv_lines(form, data))
    _check_width(lines, cells)
    read = text_value if form.format == "text" else csv_value
    out, count = [], 0
    for number, line in enumerate(lines):
        fields = []
        for cell, raw, forced in zip(cells, line, quoted, strict=True):
            is_clear = cell is None or (number == 0 and form.has_header)
            value = None if is_clear else read(form, raw) if len(raw) <= kept_max else raw
            if cell is None or not value:
                fields.append(raw)
                continue
            count += 1
            result = _masked(cell, raw, value, kept_max)
            is_alone = len(cells) == 1
            fields.append(write_text_field(form, result) if form.format == "text" else write_csv_field(form, result, forced, is_alone))
        out.append(form.delimiter.join(fields) + b"\n")
    if form.has_header and not out:
        raise RowViolation("no header")
    return out, count


def _masked(cell: CellMask | None, raw: bytes | None, value: bytes | None, kept_max: int) -> bytes | None:
    if cell is None or raw is None or value is None:
        return value
    if len(raw) > kept_max:
        return cell.constant if cell.action is Action.CONSTANT and not cell.is_padded else None
    return masked(cell, value)


def _check_width(rows: Sequence[Sequence[object]], cells: Sequence[CellMask | None]) -> None:
    if any(len(row) != len(cells) for row in rows):
        raise RowViolation("number of fields")
