"""The reason that a requester gives inside a statement: a comment of its own, or a tag of sqlcommenter.

It is a claim for approvers to read, and changes no decision. Only comments are looked at: what stands in a literal, a quoted name or
between dollar quotes is data.

Spec: PostgreSQL 18, "SQL Syntax", "Lexical Structure"; sqlcommenter, "Specification", "Parsing".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

REASON_CHARACTERS_MAX = 500
_COMMENT_CHARACTERS_MAX = 8192
"""Of a comment: more is no reason. Keeps a large comment cheap."""

_OPENING = re.compile(
    r"""
      (?P<comment>/\*)
    | --[^\r\n]*
    | (?<![\w$])[eE]'(?:[^'\\]++|\\.|'')*+(?:'[ \t\f\v]*[\r\n]\s*'(?:[^'\\]++|\\.|'')*+)*+'?
    | '[^']*'?
    | "[^"]*"?
    | (?<![\w$])(?P<dollar>\$(?:[^\W\d]\w*)?\$)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")
_REASON = re.compile(r"[\s*!+]*reason\s*[:=]\s*(.*)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"\s*([^\s=',]+)\s*=\s*'((?:[^'\\]|\\.)*)'\s*(,|\Z)", re.DOTALL)


def reason_in(text: str) -> str | None:
    """The reason that a statement's text gives: `/* reason: … */`, or the sqlcommenter tag `reason`; the first that says something."""
    if "/*" not in text:
        return None
    for comment in _comments(text):
        reason = clean_reason(_reason_of(comment[:_COMMENT_CHARACTERS_MAX]))
        if reason is not None:
            return reason
    return None


def clean_reason(text: str | None) -> str | None:
    """A reason as it is shown: one line of printable characters, bounded; None when nothing is left.

    Characters that steer a terminal, turn the direction of text or can't be seen are taken out.
    """
    if text is None:
        return None
    spaced = (" " if char.isspace() else char for char in text[:_COMMENT_CHARACTERS_MAX])
    printable = "".join(char for char in spaced if char == " " or unicodedata.category(char)[0] not in "CZ")
    words = " ".join(printable.split())
    return words[:REASON_CHARACTERS_MAX].rstrip() or None


def _comments(text: str) -> Iterator[str]:
    """What stands in the block comments of a text; nested ones are part of theirs, as in PostgreSQL."""
    position = 0
    while (found := _OPENING.search(text, position)) is not None:
        if found["comment"] is not None:
            end, position = _comment_end(text, found.end())
            yield text[found.end() : end]
        elif found["dollar"] is not None:
            end = text.find(found["dollar"], found.end())
            position = len(text) if end < 0 else end + len(found["dollar"])
        else:
            position = found.end()


def _comment_end(text: str, position: int) -> tuple[int, int]:
    """Where a comment's content ends, and where the text goes on."""
    depth = 1
    while (mark := _COMMENT_MARK.search(text, position)) is not None:
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
        if depth == 0:
            return mark.start(), position
    return len(text), len(text)


def _reason_of(comment: str) -> str | None:
    written = _REASON.fullmatch(comment)
    tags = _tags(comment)
    if tags is not None:
        return tags.get("reason")
    return None if written is None else written[1]


def _tags(comment: str) -> dict[str, str] | None:
    """The tags of a comment that is sqlcommenter's from end to end."""
    tags: dict[str, str] = {}
    position = 0
    while (tag := _TAG.match(comment, position)) is not None:
        value = re.sub(r"\\(.)", r"\1", tag[2], flags=re.DOTALL)
        tags.setdefault(unquote(tag[1]), unquote(value))
        position = tag.end()
        if tag[3] == "":
            return tags
    return None
