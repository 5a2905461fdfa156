"""Globs over names: `*` stands for any run of characters, `?` for one, everything else for itself.

There are no character classes and no regular expressions: a policy is read by people.
"""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def _compile(pattern: str) -> re.Pattern[str]:
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile("".join(parts), re.DOTALL)


def is_match(pattern: str, name: str) -> bool:
    """Whether a name is one that the glob stands for; case matters, as it does in a catalogue."""
    if pattern == "*":
        return True
    return _compile(pattern).fullmatch(name) is not None


def is_any_match(patterns: tuple[str, ...], name: str) -> bool:
    """Whether any of the globs stands for the name."""
    return any(is_match(pattern, name) for pattern in patterns)


def split_name(pattern: str) -> tuple[str | None, str]:
    """The schema part (None: any schema) and the last part of a glob over `schema.name`."""
    schema, dot, name = pattern.rpartition(".")
    return (schema, name) if dot else (None, pattern)
