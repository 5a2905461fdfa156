"""Arrays masked element by element, in text and in binary.

Spec: PostgreSQL 18, Arrays, Array Input and Output Syntax; the binary form is that of array_send.
"""

from __future__ import annotations

import re
import struct

from querywarden.masking.write_back import MaskedValues
from querywarden.postgresql.cell_masks import CellMask
from querywarden.postgresql.rows import mask_value

_SPECIAL = re.compile(rb'[{}",\\\s]')
_PIECE = re.compile(rb'"((?:[^"\\]|\\.)*)"|([^{},"]+)|([{},])', re.DOTALL)
_BOUNDS = re.compile(rb"(?:\[-?\d+:-?\d+\])+=")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def mask_array_text(element: CellMask, value: bytes, remembered: MaskedValues | None = None) -> bytes | None:
    """Mask the elements of an array in text; NULL where the text isn't an array."""
    bounds = _BOUNDS.match(value)
    position = bounds.end() if bounds else 0
    out = [value[:position]]
    while position < len(value):
        piece = _PIECE.match(value, position)
        if piece is None:
            return None
        position = piece.end()
        quoted, bare, punctuation = piece.groups()
        if punctuation is not None:
            out.append(punctuation)
        elif quoted is not None:
            out.append(_written(mask_value(element, _ESCAPED.sub(rb"\1", quoted), remembered)))
        elif bare.upper() == b"NULL":
            out.append(bare)
        else:
            out.append(_written(mask_value(element, bare, remembered)))
    return b"".join(out)


def _written(value: bytes | None) -> bytes:
    if value is None:
        return b"NULL"
    if value and value.upper() != b"NULL" and not _SPECIAL.search(value):
        return value
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def mask_array_binary(element: CellMask, value: bytes, remembered: MaskedValues | None = None) -> bytes | None:
    """Mask the elements of an array in binary; NULL where the bytes aren't an array."""
    try:
        dimensions, _, type_oid = struct.unpack_from("!iiI", value)
        position = 12 + 8 * dimensions
        if not 0 <= dimensions <= 6 or position > len(value):
            return None
        has_null = 0
        out = []
        while position < len(value):
            (size,) = struct.unpack_from("!i", value, position)
            position += 4
            masked = None
            if size >= 0:
                if position + size > len(value):
                    return None
                masked = mask_value(element, value[position : position + size], remembered)
                position += size
            if masked is None:
                has_null = 1
                out.append(b"\xff\xff\xff\xff")
            else:
                out.append(struct.pack("!i", len(masked)) + masked)
    except struct.error:
        return None
    return struct.pack("!iiI", dimensions, has_null, type_oid) + value[12 : 12 + 8 * dimensions] + b"".join(out)
