"""Representatives: a shorter text that has the data flow of a long INSERT … VALUES, to ask the server about in its place.

Each row of such a list is fitted to the columns of the table by itself, so of the rows that have literals of the same types in the same
places two say as much as a thousand. (One would not do: the server doesn't make a list of a single row.)
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from querywarden.postgresql.analysis.text_shape import INT4, INT8, NUMERIC, QUALIFIED, STRING

SHORTENED_BYTES_MIN = 1024
"""A text that is worth shortening."""

_ROWS_KEPT = 2

_START = re.compile(
    rb"""
    \s*+ insert \s++ into \s++ %(qualified)s (?: \s++ as \s++ %(qualified)s )?
    (?: \s*+ \( (?: [A-Za-z0-9_\x80-\xff.,\s] | "[^"]*+" )*+ \) )?+
    (?: \s*+ overriding \s++ (?:system|user) \s++ value )?+ \s*+ values \s*+ (?=\()
    """
    % {b"qualified": QUALIFIED},
    re.IGNORECASE | re.VERBOSE,
)
"""Up to the rows: no literal, comment or dollar stands there, and VALUES are those of the INSERT itself."""

_NEXT = re.compile(rb"\s*+,\s*+(?=\()")
_CAST = rb"(?:\s*+::\s*+[a-z_][a-z0-9_]*+)?+(?![A-Za-z0-9_$.\x80-\xff(\[])"
_VALUE = rb"(?:(?:-\s*+)?+(?:%s|%s|%s)|%s|(?:null|true|false|default)\b)%s" % (INT4, INT8, NUMERIC, STRING, _CAST)
_ROW = re.compile(rb"\(\s*+%s(?:\s*+,\s*+%s)*+\s*+\)" % (_VALUE, _VALUE), re.IGNORECASE)
_PIECES: Final = re.compile(rb"(%s)|(%s)|(%s)|(%s)|([A-Za-z_][A-Za-z0-9_]*+)|([-(),:])" % (STRING, INT4, INT8, NUMERIC))
_CLASSES: Final = (b"", STRING, INT4, INT8, NUMERIC)
"""By group of the pattern above, what other literals of the same type look like; what is in the other groups stays."""


def representative(text: bytes) -> bytes | None:
    """An INSERT with the same data flow and fewer rows; None where there is none that is shorter.

    Its shape is a shape of the text's data flow too.
    """
    if len(text) < SHORTENED_BYTES_MIN:
        return None
    start = _START.match(text)
    if start is None:
        return None
    kept: list[bytes] = []
    counts: dict[bytes, int] = {}
    at = end = start.end()
    while (row := _ROW.match(text, at)) is not None:
        pattern = _pattern_of(row[0])
        one, many = _compiled(pattern)
        count = counts.get(pattern, 0)
        run = many.match(text, at)
        end = row.end() if run is None else run.end()
        while row is not None and count < _ROWS_KEPT:
            kept.append(row[0])
            count += 1
            following = _NEXT.match(text, row.end())
            row = None if following is None else one.match(text, following.end())
        counts[pattern] = count
        after = _NEXT.match(text, end)
        if after is None:
            break
        at = after.end()
    if not kept or sum(map(len, kept)) > (end - start.end()) // 2:
        return None
    return text[: start.end()] + b",".join(kept) + text[end:]


def _pattern_of(row: bytes) -> bytes:
    """What rows look like that have literals of the same types in the same places as this."""
    pieces = []
    for piece in _PIECES.finditer(row):
        group = piece.lastindex or 0
        pieces.append(_CLASSES[group] if group < len(_CLASSES) else re.escape(piece[0]))
    return rb"\s*+".join(pieces)


@lru_cache(maxsize=256)
def _compiled(pattern: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """The pattern of one row, and that of as many as follow each other."""
    return re.compile(pattern), re.compile(rb"%s(?:\s*+,\s*+%s)*+" % (pattern, pattern))
