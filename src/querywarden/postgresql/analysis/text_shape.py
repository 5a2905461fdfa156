"""Text shapes: what stays of a text when its literals are taken out that can't change what the server understands.

Two texts of one shape have one data flow: the same relations, columns, functions and types, only other constants. So of a literal its
type stays. It isn't taken out where it means a column (`ORDER BY 2`), the length of a type (`varchar(10)`) or an argument beside which
nothing tells a type from a function. Where equal literals may make one expression of two (GROUP BY), it stays which of them are equal.
"""

from __future__ import annotations

import re
from typing import Final

SHAPED_BYTES_MAX = 64 * 1024
"""A text that a shape is made of, which takes about a tenth of a microsecond for each byte."""


def _words(*words: str) -> bytes:
    """A pattern for any of some words in upper or lower case: a class for each letter is faster than a pattern without case."""
    return "|".join("".join(f"[{letter}{letter.upper()}]" for letter in word) for word in words).encode()


_NAME = rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*+"
_END = rb"(?![A-Za-z0-9_.$\x80-\xff])"
STRING = rb"'[^']*+(?:''[^']*+)*+'"
INT4 = rb"(?:[0-9]{1,9}+|1[0-9]{9}|2(?:0[0-9]{8}|1[0-3][0-9]{7}|14[0-6][0-9]{6}))" + _END
INT8 = rb"(?:2(?:1[5-9][0-9]{7}|[2-9][0-9]{8})|[3-9][0-9]{9}|[1-9][0-9]{10,17}+|[1-8][0-9]{18})" + _END
NUMERIC = rb"[0-9]++\.[0-9]++" + _END
"""Literals of which the type is plain: others, and integers near the bounds of a type, stay as they are."""

QUALIFIED = rb'(?:%(n)s|"[^"]*+")(?:\s*+\.\s*+(?:%(n)s|"[^"]*+"))*+' % {b"n": _NAME}
_NO_CALLS = ("in", "values", "and", "or", "not", "where", "when", "then", "else", "on", "having", "select", "between", "any", "case")
"""Words that name neither a type nor a function when they stand before a parenthesis."""
_PARTS = {
    b"name": _NAME,
    b"qualified": QUALIFIED,
    b"end": _END,
    b"string": STRING,
    b"int4": INT4,
    b"int8": INT8,
    b"numeric": NUMERIC,
    b"no_call": b"(?:" + _words(*_NO_CALLS) + rb")\s*+\(",
}

_UP_TO_LITERAL: Final = re.compile(
    rb"""
    ((?:
        [ ,()=*<>+]++                                                   # what is met most often among the signs below
      | (?! %(no_call)s) %(name)s (?: \s*+ \( [^()'"]*+ \) )?+        # a name, with what may be the length of the type that it names
      | %(name)s
      | "[^"]*+"
      | [^A-Za-z_\x80-\xff"'0-9$.]++                                    # operators, punctuation, white space
      | \$[0-9]++ %(end)s
      | (?! %(int4)s | %(int8)s | %(numeric)s ) \.?[0-9][A-Za-z0-9_.]*+
      | \.(?![0-9])
    )*+)
    (?: ( %(string)s ) | ( %(int4)s ) | ( %(int8)s ) | ( %(numeric)s ) | ( [\s\S] ) )
    """
    % _PARTS,
    re.VERBOSE,
)
"""What stands before a literal, and the literal: a string, an integer of four or eight bytes, a decimal; or a sign not understood."""

_MARKS: Final = (b"", b"", b"\1", b"\2", b"\3", b"\4", b"'")
"""By group of the pattern, what stands for a literal in a shape. No shape has a quote: it says that something wasn't understood."""
_INTEGER_GROUPS = (3, 4)
_OWN_LITERAL, _OWN_MARK = b" '\6'", b" \1"
"""What is put behind a text, so that every piece of it stands before a literal."""

_MARK_SIGNS = re.compile(rb"[\x00-\x06]")
_NOT_UNDERSTOOD = (b"'", b"--", b"/*", b"\\", b"u&")
"""Open quotes, comments, escapes: from there on the pattern may have taken something for a literal that is none."""

_ESCAPES = re.compile(rb"e\x01(?<![a-z0-9_$\x80-\xff]e\x01)")
_QUERY = rb"(?:select|with|values|insert|update|delete|merge|table)\b"
_INSIDE = rb"\((?:[^()\x01-\x04]|\([^()\x01-\x04]*+\)){0,256}+[^)]"
_TYPE = rb"(?!(?:not\s++)?materialized\s*+\(\s*+%s)(?:setof\s++)?%s\s*+(?:varying\s*+)?%s" % (_QUERY, QUALIFIED, _INSIDE)
"""A type with something in parentheses in which there is a literal, or which is too long or too deep to say."""
_COLUMNS = rb"(?:%(qualified)s\s*+)?\(\s*+(?!%(query)s)(?:%(name)s|\"[^\"]*+\")\s*+[a-z_\"\x80-\xff]" % {**_PARTS, b"query": _QUERY}
"""A list of columns with their types, as functions in FROM may have it."""
_MISTAKABLE: Final = (
    (b"::", re.compile(rb"::\s*+" + _TYPE)),
    (b"as", re.compile(rb"as(?<![a-z0-9_$\x80-\xff]as)\s*+(?:" + _TYPE + rb"|" + _COLUMNS + rb")")),
    (b"returning", re.compile(rb"returning\s*+" + _TYPE)),
    (b"columns", re.compile(rb"\bcolumns\b(?<!\.columns)")),
    (b")", re.compile(rb"\)\s*+\x01")),
    (b".", re.compile(rb"\.\s")),
)
"""Types whose length, or what else they are given, has been taken out, and where such may be: casts, lists of columns, typed literals.

The last: a name behind a point and a gap, that would be taken for a keyword. Each with what must be there for it; for lower case.
"""

_ORDERED = re.compile(b"\\b(?:" + _words("by", "distinct") + b")\\b")
_BEFORE_COLUMN_NUMBER = re.compile(rb"(?:[,(]|\b(?:" + _words("by", "distinct", "all") + rb"))[\s(+-]*+\Z")

_NO_NAME_BEFORE = rb"(?<![A-Za-z0-9_$.\x80-\xff]%s)"
_ROW = rb"\((?!\s*+(?:" + _words("select", "with", "values", "table") + rb")\b)(?:[^()\"]|\([^()\"]*+\))*+\)"
_ROWS = re.compile(_words("values") + _NO_NAME_BEFORE % (6 * b".") + rb"\s*+%(row)s(?:\s*+,\s*+%(row)s)++" % {b"row": _ROW})
_ONE_ROW = re.compile(_ROW)
_LIST = re.compile(_words("in") + _NO_NAME_BEFORE % (2 * b".") + rb"\s*+\(\s*+([\x01-\x04])(?:\s*+,\s*+\1)++\s*+\)")


def shape_of(text: bytes) -> bytes | None:
    """The shape of a statement's text: equal for texts that have one data flow in one name space.

    Returns: None where that can't be said, as with comments and escapes: then the text alone is its own shape.
    """
    if len(text) > SHAPED_BYTES_MAX or _MARK_SIGNS.search(text) is not None:
        return None
    marking = _with_mark
    lowered = text.lower()
    if b"by" in lowered or b"distinct" in lowered:
        careful = _Carefully()
        marking = careful.with_mark
    shape = _UP_TO_LITERAL.sub(marking, text + _OWN_LITERAL)
    if marking is not _with_mark and not careful.is_ordered:
        shape = _UP_TO_LITERAL.sub(_with_mark, text + _OWN_LITERAL)
    if not shape.endswith(_OWN_MARK):
        return None
    shape = shape[: -len(_OWN_MARK)]
    lowered = shape.lower()
    if not _is_understood(lowered, b"\\" in text):
        return None
    if b"," in shape and b"\5" not in shape:
        if b"values" in lowered:
            shape = _ROWS.sub(_with_fewer_rows, shape)
        shape = _LIST.sub(rb"in(\1,\1)", shape)
    return shape


def _is_understood(lowered: bytes, has_backslashes: bool) -> bool:
    """Whether a shape in lower case has nothing that a literal may have been mistaken in, or meant more than its type."""
    for sign in _NOT_UNDERSTOOD:
        if sign in lowered:
            return False
    for word, pattern in _MISTAKABLE:
        if word in lowered and pattern.search(lowered) is not None:
            return False
    return not has_backslashes or _ESCAPES.search(lowered) is None


def _with_mark(match: re.Match[bytes]) -> bytes:
    return match[1] + _MARKS[match.lastindex or 0]


def _with_fewer_rows(match: re.Match[bytes]) -> bytes:
    """A list of rows in which not more than two neighbours have one shape: the type of a column doesn't hang on how many have it.

    (One row is something else than two: the server doesn't make a list of it.)
    """
    kept: list[bytes] = []
    for row in _ONE_ROW.findall(match[0]):
        if kept[-2:] != [row, row]:
            kept.append(row)
    return b"values" + b",".join(kept)


class _Carefully:
    """The marking of a text in which numbers may mean columns, and equal literals make equal expressions."""

    def __init__(self) -> None:
        self.is_ordered = False
        self.numbers: dict[bytes, int] = {}

    def with_mark(self, match: re.Match[bytes]) -> bytes:
        """What stands for one match in the shape."""
        before, group = match[1], match.lastindex or 0
        self.is_ordered = self.is_ordered or _ORDERED.search(before) is not None
        is_column = self.is_ordered and group in _INTEGER_GROUPS and _BEFORE_COLUMN_NUMBER.search(before) is not None
        piece = match[0] if is_column else before + _MARKS[group]
        number = len(self.numbers)
        first = self.numbers.setdefault(match[group].lstrip(b"0"), number)
        return piece if first == number else b"%b\5%d\5" % (piece, first)
