"""The text of a statement made readable for approvers. The exact text is always shown beside it: what is laid out anew can mislead."""

from __future__ import annotations

from collections.abc import Iterator

import sqlparse
from sqlparse import lexer
from sqlparse.exceptions import SQLParseError
from sqlparse.tokens import Whitespace

FORMATTED_CHARACTERS_MAX = 5_000
"""Longer texts are shown as they are: laying them out takes long, and nobody reads them by their layout."""


def formatted(text: str) -> str | None:
    """The text with line breaks and indentation; None where it is too long or can't be laid out."""
    if len(text) > FORMATTED_CHARACTERS_MAX:
        return None
    try:
        found = sqlparse.format(text, reindent=True, indent_width=4, wrap_after=100, strip_whitespace=False)
    except (SQLParseError, RecursionError, ValueError, IndexError, AttributeError):
        # A formatter's defect must not keep anybody from seeing the text itself.
        return None
    # Nothing but the space between tokens may differ: what lost a character, or slid into a comment, is not what would run.
    return found if _tokens(found) == _tokens(text) else None


def _tokens(text: str) -> list[str]:
    """The tokens of a text but for the space between them; literals and comments whole."""
    found: Iterator[tuple[object, str]] = lexer.tokenize(text)  # type: ignore[no-untyped-call]
    return [value.rstrip("\r\n") for kind, value in found if kind not in Whitespace]
