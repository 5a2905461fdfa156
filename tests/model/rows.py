"""The slow, obvious row masker over whole byte strings: the oracle of the compiled one."""

from __future__ import annotations

from collections.abc import Sequence

from tests.model.value_masks import masked

from querywarden.postgresql.cell_masks import Action, CellMask, Fill
from querywarden.postgresql.row_errors import RowTooLarge, RowViolation

Cells = Sequence[CellMask | None]


def encode_row(values: Sequence[bytes | None]) -> bytes:
    """A DataRow of these values."""
    body = len(values).to_bytes(2, "big")
    for value in values:
        body += b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value
    return b"D" + (len(body) + 4).to_bytes(4, "big") + body


def decode_row(body: bytes) -> list[bytes | None]:
    """The values of a DataRow's body (without type byte and length)."""
    if len(body) < 2:
        raise RowViolation("too short")
    values: list[bytes | None] = []
    position = 2
    for _ in range(int.from_bytes(body[:2], "big")):
        if len(body) - position < 4:
            raise RowViolation("ends inside a field")
        size = int.from_bytes(body[position : position + 4], "big", signed=True)
        position += 4
        if size < -1 or size > len(body) - position:
            raise RowViolation("field length")
        values.append(None if size < 0 else body[position : position + size])
        position += max(size, 0)
    if position != len(body):
        raise RowViolation("left over")
    return values


def filled(cell: CellMask, value: bytes) -> bytes:
    """The replacement of a cell of a row too large to be kept: as long as the cell."""
    match cell.fill:
        case Fill.TEXT:
            return _filled_text(value)
        case Fill.DIGITS:
            return b"0" * len(value)
        case Fill.ZERO_BYTES:
            return bytes(len(value))
        case Fill.STARS:
            return b"*" * len(value)
        case Fill.JSON:
            return b"0" if len(value) == 1 else b'"' + b"*" * (len(value) - 2) + b'"'
        case Fill.JSONB:
            # A jsonb of one byte is none, and is filled like any other length.
            return b"\1" + (filled(cell._replace(fill=Fill.JSON), value[1:]) if len(value) > 1 else b"")
        case Fill.BYTEA_TEXT:
            return b"*" * len(value) if len(value) % 2 else b"\\x" + b"2a" * (len(value) // 2 - 1)
    raise AssertionError(cell.fill)


def _filled_text(value: bytes) -> bytes:
    out = b""
    position = 0
    while position < len(value):
        lead = value[position]
        wide = b"" if lead < 0xC0 else b"\xc2\xb7" if lead < 0xE0 else b"\xe2\x80\xa2" if lead < 0xF0 else b"\xf0\x9f\x99\x88"
        out += wide[:1] or b"*"
        position += 1
        for piece in wide[1:]:
            if position < len(value) and value[position] & 0xC0 == 0x80:
                out += bytes([piece])
                position += 1
            else:
                break
    return out


def mask_rows(cells: Cells, data: bytes, buffered_max: int) -> tuple[bytes, int, int, int]:
    """The masked rows, the position of the first byte behind them, the rows and the masked cells."""
    out = b""
    position = rows = count = 0
    while position < len(data) and data[position : position + 1] == b"D":
        size = int.from_bytes(data[position + 1 : position + 5], "big", signed=True)
        if size < 6:
            raise RowViolation("too short")
        row = data[position : position + 1 + size]
        if len(row) < size + 1:
            raise RowViolation("the rest never comes")
        values = decode_row(row[5:])
        if len(values) != len(cells):
            raise RowViolation("number of fields")
        if len(row) <= buffered_max:
            pairs = list(zip(cells, values, strict=True))
            out += encode_row([value if cell is None or value is None else masked(cell, value) for cell, value in pairs])
        else:
            out += mask_large_row(cells, values, buffered_max, out)
        position += len(row)
        rows += 1
        count += sum(1 for cell, value in zip(cells, values, strict=True) if cell is not None and value)
    return out, position, rows, count


def mask_large_row(cells: Cells, values: Sequence[bytes | None], buffered_max: int, before: bytes) -> bytes:
    """A row of which only the first bytes are kept: what is whole in them is masked, the rest filled."""
    result: list[bytes | None] = []
    start = 7
    for index, (cell, value) in enumerate(zip(cells, values, strict=True)):
        end = start + 4 + len(value or b"")
        if end <= buffered_max:
            result.append(value if cell is None or value is None else masked(cell, value))
        elif cell is not None and value and start + 4 <= buffered_max and (settled := settle(cell, value[: buffered_max - start - 4])):
            result.append(settled[0])
        else:
            if any(later is not None and later.fill is Fill.NONE for later in cells[index:]):
                raise RowTooLarge(before)
            rest = zip(cells[index:], values[index:], strict=True)
            return encode_row(result + [filled(cell, value) if cell is not None and value else value for cell, value in rest])
        start = end
        if end > buffered_max and any(later is not None and later.fill is Fill.NONE for later in cells[index + 1 :]):
            raise RowTooLarge(before)
        if end > buffered_max:
            rest = zip(cells[index + 1 :], values[index + 1 :], strict=True)
            return encode_row(result + [filled(cell, value) if cell is not None and value else value for cell, value in rest])
    return encode_row(result)


def settle(cell: CellMask, begin: bytes) -> tuple[bytes | None] | None:
    """The mask of a cell of which only the beginning is known, in a tuple; None if it isn't known."""
    if cell.action is Action.NULL:
        return (None,)
    if cell.action is Action.CONSTANT and not cell.is_padded:
        return (cell.constant,)
    if cell.action is Action.JSON and begin[len(cell.constant) : len(cell.constant) + 1] > b" ":
        return (masked(cell, begin),)
    return None
