"""Normalised text: a statement without its literals and comments, safe to record.

What is kept is what is known to be no literal: keywords, names, operators and punctuation. A token in doubt is dropped.
"""

from __future__ import annotations

import re

from querywarden.postgresql.analysis.parse import Node, tokens_of
from querywarden.postgresql.analysis.statements import SETTING_STATEMENTS

NORMALISED_CHARACTERS_MAX = 8 * 1024
"""A record's share of a text; what goes beyond says nothing new."""

_CUT = " …"

_UNUSUAL = re.compile(rb"--|/\*|\\|\$(?![0-9])")
"""Comments, escapes and dollar quotes: such texts are read by PostgreSQL's own scanner instead of the pattern below."""

_UP_TO_LITERAL = re.compile(
    rb"""
    ((?:
        (?![eEbBxX]')[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*+   # a name or keyword
      | "(?:[^"]|"")*+"                                             # a quoted name
      | [^A-Za-z_\x80-\xff"'0-9$.]++                                # operators, punctuation, white space
      | \.(?![0-9])
    )*+)
    (?: [eEbBxX]?'(?:[^']|'')*+' | \.?[0-9][A-Za-z0-9_.]*+ | \$[0-9]++ )
    """,
    re.VERBOSE,
)
_EXPONENT = re.compile(rb"[0-9][eE][+-][0-9]")

_LITERALS = frozenset({"SCONST", "USCONST", "BCONST", "XCONST", "ICONST", "FCONST", "PARAM"})
_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
_NAMES_AND_OPERATORS = frozenset(
    {
        "IDENT", "UIDENT", "Op", "TYPECAST", "DOT_DOT", "COLON_EQUALS", "EQUALS_GREATER", "LESS_EQUALS", "GREATER_EQUALS", "NOT_EQUALS",
        "ASCII_37", "ASCII_40", "ASCII_41", "ASCII_42", "ASCII_43", "ASCII_44", "ASCII_45", "ASCII_46", "ASCII_47", "ASCII_58",
        "ASCII_59", "ASCII_60", "ASCII_61", "ASCII_62", "ASCII_91", "ASCII_93", "ASCII_94",
    }
)  # fmt: skip


def normalise(statement: bytes, tree: Node) -> str:
    """The normalised text of one statement that has been parsed into a tree."""
    ((node_type, body),) = tree.items()
    if node_type == "VariableSetStmt":
        return _normalise_setting(body)
    if node_type in SETTING_STATEMENTS or _UNUSUAL.search(statement) is not None:
        return _capped(_scanned(statement, stops_at_set=node_type in SETTING_STATEMENTS))
    if _EXPONENT.search(statement) is not None:
        return _capped(_scanned(statement, stops_at_set=False))
    kept = _UP_TO_LITERAL.sub(_with_mark, statement + b" ''")[:-2]
    if b"'" in kept:
        return _capped(_scanned(statement, stops_at_set=False))
    return _capped(b" ".join(kept.split()).decode("utf-8", "replace"))


def _with_mark(match: re.Match[bytes]) -> bytes:
    return match[1] + b"?"


def normalise_fallback(text: bytes) -> str:
    """What is recorded for a text that could not be analysed: its size alone."""
    return f"<unanalysable, {len(text)} bytes>"


def _normalise_setting(body: Node) -> str:
    """SET and RESET from their tree: the value may be a bare name."""
    if body["kind"] == "VAR_RESET_ALL":
        return "RESET ALL"
    name = body["name"]
    if body["kind"] == "VAR_RESET":
        return f"RESET {name}"
    scope = "LOCAL " if body.get("is_local") else ""
    if body["kind"] == "VAR_SET_MULTI":
        return f"SET {scope}{name}"
    return f"SET {scope}{name} TO {'DEFAULT' if body['kind'] == 'VAR_SET_DEFAULT' else '?'}"


def _scanned(statement: bytes, *, stops_at_set: bool) -> str:
    """The normalised text by PostgreSQL's own scanner; with `stops_at_set` up to the value of the first setting."""
    pieces: list[str] = []
    gap = False
    setting = False
    for name, is_keyword, text, has_gap in tokens_of(statement.decode("utf-8")):
        gap = gap or has_gap
        if name in _COMMENTS:
            gap = True
            continue
        if stops_at_set and name == "SET":
            setting = True
        if gap and pieces:
            pieces.append(" ")
        gap = False
        pieces.append(text if is_keyword or name in _NAMES_AND_OPERATORS else "?")
        if setting and name in ("TO", "ASCII_61", "TIME", "ROLE", "SESSION", "NAMES", "SCHEMA"):
            pieces.append("?" if pieces[-2:-1] != [" "] else " ?")
            break
    return " ".join("".join(pieces).split())


def _capped(text: str) -> str:
    """A text within the limit, and without signs that would not be seen, or would play tricks on a terminal."""
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    if len(text) <= NORMALISED_CHARACTERS_MAX:
        return text
    return text[: NORMALISED_CHARACTERS_MAX - len(_CUT)] + _CUT
