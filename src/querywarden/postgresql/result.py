"""Results: RowDescription decoded, and the row masker that a plan of masks compiles to.

Spec: PostgreSQL 18, Frontend/Backend Protocol, Message Formats, RowDescription.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from querywarden.errors import PeerViolation
from querywarden.masking.key import MaskingKey
from querywarden.masking.plan import ColumnMask, OutputColumn
from querywarden.postgresql.cell_masks import Memories, memory_for
from querywarden.postgresql.rows import RowMasker
from querywarden.postgresql.value_masks import cell_mask

_FIELD = struct.Struct("!IhIhih")
ROW_BUFFERED_BYTES_MAX = 1 << 20
"""Bytes of one row that are kept before any of it is sent on: enough for ordinary rows, bounded for the others."""


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One field of RowDescription, in wire order."""

    name: bytes
    relation_id: int
    column_number: int
    type_oid: int
    type_size: int
    type_modifier: int
    format: int


def decode_row_description(body: bytes | memoryview) -> tuple[FieldDescription, ...]:
    """Decode the body of a RowDescription, without its type byte and length.

    Raises: PeerViolation when a field doesn't fit or bytes are left over.
    """
    data = bytes(body)
    if len(data) < 2:
        raise PeerViolation("RowDescription is too short")
    count = int.from_bytes(data[:2], "big")
    fields = []
    position = 2
    for _ in range(count):
        end = data.find(b"\0", position)
        if end < 0 or end + 1 + _FIELD.size > len(data):
            raise PeerViolation("RowDescription ends inside a field")
        relation_id, number, type_oid, size, modifier, code = _FIELD.unpack_from(data, end + 1)
        if code not in (0, 1):
            raise PeerViolation("RowDescription has an unknown format code")
        fields.append(FieldDescription(data[position:end], relation_id, number, type_oid, size, modifier, code))
        position = end + 1 + _FIELD.size
    if position != len(data):
        raise PeerViolation("RowDescription has bytes left over")
    return tuple(fields)


def output_columns(fields: Sequence[FieldDescription]) -> tuple[OutputColumn, ...]:
    """What the plan of masks needs of the fields. A name that isn't UTF-8 keeps its shape with replacement characters."""
    return tuple(OutputColumn(f.name.decode("utf-8", "replace"), f.relation_id, f.column_number) for f in fields)


def result_formats(fields: Sequence[FieldDescription], formats: Sequence[int]) -> tuple[int, ...]:
    """The format of each column: `formats` as Bind gives them (none, one for all, one each), else as described.

    Raises: PeerViolation when their number fits neither.
    """
    if not formats:
        return tuple(f.format for f in fields)
    if len(formats) == 1:
        return (formats[0],) * len(fields)
    if len(formats) != len(fields):
        raise PeerViolation("Bind has another number of result formats than the result has columns")
    return tuple(formats)


def compile_rows(
    fields: Sequence[FieldDescription],
    formats: Sequence[int],
    masks: Sequence[ColumnMask | None],
    key: MaskingKey,
    row_buffered_bytes_max: int = ROW_BUFFERED_BYTES_MAX,
    remembered: Memories | None = None,
) -> RowMasker | None:
    """The row masker of a result, None when no column of it is masked. `remembered` gives the memory that its masks go into."""
    if len(masks) != len(fields):
        raise ValueError("a result needs one mask, or None, for each of its columns")
    if all(mask is None for mask in masks):
        return None
    per_column = result_formats(fields, formats)
    if any(code not in (0, 1) for code in per_column):
        raise PeerViolation("Bind has an unknown result format code")
    cells = tuple(
        None if mask is None else cell_mask(field.type_oid, field.type_modifier, code, mask, key)
        for field, code, mask in zip(fields, per_column, masks, strict=True)
    )
    return RowMasker(cells, row_buffered_bytes_max, memory=memory_for(cells, remembered))
