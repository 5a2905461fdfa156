"""Literals: the values that a statement's text gives in quotes and digits, as the server reads them."""

from __future__ import annotations

from collections.abc import Iterator

from querywarden.model.facts import Unanalysable
from querywarden.postgresql.analysis.parse import parse, placed_tokens

_NUMBERS = frozenset({"ICONST", "FCONST"})
_MINUS = "ASCII_45"


def literal_values(text: bytes) -> Iterator[str]:
    """The string and number literals of a text, decoded, in order; a number behind a minus sign with it as well as without.

    Bit strings are left out. Secrets: the values. Raises: ValueError where the text can't be divided into tokens.
    """
    source = text.decode()
    tokens = placed_tokens(source)
    for index, (name, start, end) in enumerate(tokens):
        piece = source[start:end]
        if name in _NUMBERS:
            yield piece
            if index and tokens[index - 1][0] == _MINUS:
                yield f"-{piece}"
        elif name == "SCONST":
            yield _decoded(piece)
        elif name == "USCONST":
            following = tokens[index + 1 : index + 3]
            has_escape = [token[0] for token in following] == ["UESCAPE", "SCONST"]
            yield _read_by_server_rules(f"{piece} {source[following[0][1] : following[1][2]]}" if has_escape else piece)


def _decoded(piece: str) -> str:
    if piece[0] == "'":
        inner = piece[1:-1].replace("''", "\0")
        if "'" not in inner:
            return inner.replace("\0", "'")
    elif piece[0] == "$":
        tag = piece[: piece.index("$", 1) + 1]
        return piece[len(tag) : -len(tag)]
    return _read_by_server_rules(piece)


def _read_by_server_rules(piece: str) -> str:
    """The value of a literal with escapes, or in parts on several lines: the parser knows best."""
    parsed = parse(f"SELECT {piece}".encode())
    if isinstance(parsed, Unanalysable):
        raise ValueError("a literal can not be read")
    constant = parsed[0][0]["SelectStmt"]["targetList"][0]["ResTarget"]["val"]["A_Const"]
    return str(constant["sval"].get("sval", ""))
