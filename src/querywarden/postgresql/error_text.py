"""Error and notice text of statements that touch classified columns: the codes stay, the values go.

The server's errors quote values (`Key (email)=(…) already exists`, `invalid input syntax for type integer: "…"`). What is kept
is what can only hold names: SQLSTATE, severity, the object fields, and messages of the kinds listed here.
Spec: PostgreSQL 18, "Error and Notice Message Fields".
"""

from __future__ import annotations

from querywarden.postgresql.error_response import DETAIL, HINT, MESSAGE, POSITION, ErrorFields, Fields

_CONTEXT = b"W"
_KEPT = frozenset({b"S", b"V", b"C", b"P", b"s", b"t", b"c", b"d", b"n", b"F", b"L", b"R"})
"""Severity, SQLSTATE, position, names of schema, table, column, type and constraint, and the place in the server's source."""

_NAMES_ONLY = frozenset({"23", "25", "40", "53", "57"})
"""Classes whose messages hold names at the most; constraint violations (23) keep values in DETAIL only."""
_NAMES_ONLY_STATES = frozenset({"22001", "22012", "55P03"})
_GRAMMAR = frozenset({"0A", "3D", "3F", "42"})
"""Classes that the grammar and name resolution raise, with a position in the text; at run time they quote values cast to a name."""
_SERVER_FRAMES = (b"COPY ", b"JSON data, line ", b"unnamed portal ", b'portal "', b"while ", b"parallel worker", b"extended query ")
"""How the server's own frames of a context begin: COPY's place in its input, a JSON text's, a parameter's, a tuple being updated."""
WITHHELD = "the server reported an error while it ran this statement; its text is withheld, since the statement touches classified columns"


def withheld(fields: Fields, detail: str | None = None) -> Fields:
    """The fields of an error or notice without any that may hold a value.

    A message stays where its SQLSTATE says that it holds names only, or where it was raised by the grammar or by name resolution
    (it has a position then), and no code of the database's own (which may raise any text under any SQLSTATE) was running.
    """
    error = ErrorFields(fields)
    state = error.sqlstate.decode("ascii", "replace")
    code_was_running = runs_own_code(fields)
    from_grammar = state[:2] in _GRAMMAR and error.get(POSITION) is not None
    keeps_message = not code_was_running and (state[:2] in _NAMES_ONLY or state in _NAMES_ONLY_STATES or from_grammar or state == "00000")
    if state == "00000" and error.severity not in (b"NOTICE", b"INFO", b"WARNING"):
        keeps_message = False
    kept: list[tuple[bytes, bytes]] = []
    for code, value in fields:
        if code in _KEPT:
            kept.append((code, value))
        elif code == MESSAGE:
            kept.append((code, value if keeps_message else WITHHELD.encode()))
        elif code == HINT and from_grammar and not code_was_running:
            kept.append((code, value))
    if not keeps_message and detail is not None:
        kept.append((DETAIL, detail.encode()))
    return tuple(kept)


def runs_own_code(fields: Fields) -> bool:
    """Whether code of the database's own (a trigger, a function) was running when the server wrote these fields.

    Each line of the context is a frame. The server's own frames begin as listed; a frame of a function begins with its language.
    """
    return any(code == _CONTEXT and not all(_is_servers_own(line) for line in value.split(b"\n")) for code, value in fields)


def _is_servers_own(frame: bytes) -> bool:
    return frame.startswith(_SERVER_FRAMES) or not frame
