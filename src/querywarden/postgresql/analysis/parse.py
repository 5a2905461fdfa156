"""Parsing: a text into libpg_query's parse trees, by its JSON form alone; the one module that imports pglast.

The JSON form answers long operator chains with a clean error where building nodes kills the process.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from pglast.parser import ParseError, parse_sql_json, scan

from querywarden.model.facts import Unanalysable

Node = dict[str, Any]
"""A node of the parse tree: `{type: fields}` where the grammar allows several types, the fields alone where it doesn't."""

TEXT_BYTES_MAX = 16 * 1024 * 1024
"""A statement's text: a parse tree takes some hundred times the bytes of a text of small tokens."""

TREE_TOKENS_MAX = 500_000
"""Tokens that a parse tree may stand for, where the grammar copies parts of it: each costs some hundred bytes."""

_TOO_SHORT_TO_MULTIPLY_BYTES = 256
"""Three statements nested by SET (…) = (…) at most, with some ten columns each."""

_NEAR = re.compile(r'(.*) at or near "(.*)"\Z', re.DOTALL)
_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}|[-+*/<>=~!@#%^&|?,;:.()\[\]]{1,3}")
_TOO_COMPLEX = ("memory exhausted", "stack depth limit exceeded", "out of memory")
_MULTIPLE_ASSIGNMENT = re.compile(rb"\)(?:\s|--|/\*)*=|\)\s*/\*|\)\s*--")


def parse(text: bytes) -> list[tuple[Node, int, int]] | Unanalysable:
    """The statements of a text, each with its first byte and the byte after its last.

    Returns: `Unanalysable` for what is no text, too large, too complex or not SQL.
    """
    if len(text) > TEXT_BYTES_MAX:
        return Unanalysable("too_large", f"the text has more than {TEXT_BYTES_MAX} bytes", "54000")
    if b"\0" in text:
        return Unanalysable("nul", "the text holds a NUL byte", "22021")
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        return Unanalysable("encoding", "the text is not valid UTF-8", "22021")
    if _may_multiply(text) and _is_multiplied_beyond_limit(decoded):
        return _too_complex()
    try:
        tree = orjson.loads(parse_sql_json(decoded))
    except ParseError as error:
        return _unparsed(error, decoded)
    except (orjson.JSONDecodeError, RecursionError, MemoryError):
        # orjson reads 1,024 levels of nesting and no more: about 500 nested operators, 140 nested sub-selects.
        return _too_complex()
    except ValueError:
        return Unanalysable("syntax", "the text can not be parsed", "42601")
    return [_bounded(raw, text) for raw in tree.get("stmts", ())]


def _bounded(raw: Node, text: bytes) -> tuple[Node, int, int]:
    start = raw.get("stmt_location", 0)
    length = raw.get("stmt_len", 0)
    end = start + length if length else len(text)
    body = text[start:end]
    leading = len(body) - len(body.lstrip())
    return raw["stmt"], start + leading, start + len(body.rstrip())


def _unparsed(error: ParseError, decoded: str) -> Unanalysable:
    """What PostgreSQL's own message says, without any piece of the text but a name or a sign that is no part of a literal."""
    message = str(error.args[0]) if error.args else "syntax error"
    if any(sign in message for sign in _TOO_COMPLEX):
        return _too_complex()
    position = _position_of(error, decoded)
    near = _NEAR.match(message)
    if near is None:
        return Unanalysable("syntax", message.split('"')[0].split("'")[0].strip() or "syntax error", "42601", position)
    before = decoded[: position - 1] if position else decoded
    is_safe = _TOKEN.fullmatch(near[2]) is not None and not any(quote in before for quote in "'$\"")
    return Unanalysable("syntax", message if is_safe else near[1], "42601", position)


def _position_of(error: ParseError, decoded: str) -> int | None:
    """Where the error is, in characters from 1; pglast is right about it only in a text without multi-byte characters."""
    if not decoded.isascii():
        try:
            parse_sql_json("".join(sign if sign.isascii() else "x" for sign in decoded))
        except ParseError as other:
            error = other
        else:
            return None
    location = error.args[1] if len(error.args) > 1 else None
    return location + 1 if isinstance(location, int) and location >= 0 else None


def _too_complex() -> Unanalysable:
    return Unanalysable("too_complex", "the statement is nested too deeply", "54001")


def _may_multiply(text: bytes) -> bool:
    """Whether the text may hold a `SET (a, b) = …`: cheap, and never wrongly no."""
    if len(text) <= _TOO_SHORT_TO_MULTIPLY_BYTES:
        return False
    return _MULTIPLE_ASSIGNMENT.search(text) is not None and b"set" in text.lower()


def _is_multiplied_beyond_limit(decoded: str) -> bool:
    """Whether `SET (a, b, …) = (…)`, whose right side the tree repeats for each column, would make the tree too large.

    Nested in each other they multiply: without this, some hundred bytes of text can ask for gigabytes.
    """
    try:
        tokens = scan(decoded)
    except ParseError:
        return False
    factors, bases, commas = [1], [1], [0]
    total, closed = 0, 0
    for token in tokens:
        name = token.name
        total += factors[-1]
        if total > TREE_TOKENS_MAX and total > 8 * len(tokens):
            return True
        if name in ("SQL_COMMENT", "C_COMMENT"):
            continue
        if name == "ASCII_40":
            factors.append(factors[-1])
            bases.append(factors[-1])
            commas.append(0)
        elif name == "ASCII_41" and len(commas) > 1:
            factors.pop()
            bases.pop()
            closed = commas.pop() + 1
            continue
        elif name == "ASCII_61" and closed > 1:
            factors[-1] = bases[-1] * closed
        elif name == "ASCII_44":
            commas[-1] += 1
            factors[-1] = bases[-1]
        elif name == "ASCII_59":
            factors[-1] = bases[-1]
        closed = 0
    return False


def tokens_of(statement: str) -> list[tuple[str, bool, str, bool]]:
    """The tokens of a text: name, whether it is a keyword, its text, whether a gap stands before it."""
    found = []
    end = -1
    for token in scan(statement):
        is_keyword = token.kind != "NO_KEYWORD"
        found.append((token.name, is_keyword, statement[token.start : token.end + 1], token.start > end + 1))
        end = token.end
    return found


def placed_tokens(statement: str) -> list[tuple[str, int, int]]:
    """The tokens of a text but its comments: name, first character, the character after the last.

    Keywords are named as the grammar does, signs by their number (`ASCII_40`). Raises: ValueError where the text has no end, as with an
    open quote.
    """
    try:
        tokens = scan(statement)
    except ParseError as error:
        raise ValueError("the text can not be divided into tokens") from error
    return [(token.name, token.start, token.end + 1) for token in tokens if token.name not in ("SQL_COMMENT", "C_COMMENT")]
