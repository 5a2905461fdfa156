"""JSON as a signed token may carry it: strictly, so that two readers can't understand two things.

Spec: RFC 8259 §4 leaves repeated names open; RFC 7519 §4 lets a reader refuse them, and this one does.
"""

from __future__ import annotations

import json
import re
from typing import Any

DEPTH_MAX = 16
"""Levels of nesting; real tokens have four or five."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


class StrictJsonError(ValueError):
    """A document that is not strict JSON; the text never quotes it."""


def decode_object(data: bytes) -> dict[str, Any]:
    """Decode a JSON object of UTF-8 bytes; anything that readers disagree about raises StrictJsonError."""
    _check_depth(data)
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except StrictJsonError:
        raise
    except (ValueError, RecursionError):
        raise StrictJsonError("not JSON") from None
    if not isinstance(value, dict):
        raise StrictJsonError("not a JSON object")
    return value


def _check_depth(data: bytes) -> None:
    """Refuse deep nesting before the parser recurses into it."""
    depth = 0
    for match in _BRACKET.finditer(_STRING.sub(b"", data)):
        depth += 1 if match[0] in b"[{" else -1
        if depth > DEPTH_MAX:
            raise StrictJsonError("nested too deeply")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJsonError("a name is repeated")
    return found


def _refuse_constant(name: str) -> None:
    raise StrictJsonError("not a JSON number")
