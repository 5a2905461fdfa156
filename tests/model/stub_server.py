"""A server that answers as PostgreSQL does, as far as a session without sockets needs it: in order, skipping to the Sync after an error."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.statement_desk import (
    BOUND,
    NO_DATA,
    PARSED,
    PRODUCTS,
    TEXT,
    USERS,
    complete,
    error,
    ready,
    row,
    row_description,
    split,
)

from querywarden.postgresql.framing import encode

CANARY = b"canary-7f3a@example.org"
_RESULTS = {
    "select name from products": (row_description(("name", PRODUCTS, 2, TEXT)), [row(b"soap"), row(b"tea")]),
    "select username, email from users": (
        row_description(("username", USERS, 2, TEXT), ("email", USERS, 3, TEXT)),
        [row(b"ann", CANARY), row(b"bob", None), row(b"eve", CANARY)],
    ),
}
INSERT, FAIL, COPY = "insert into products (name) values ('x')", "select 1 / 0", "copy products from stdin"
TEXTS = (*_RESULTS, INSERT, FAIL)


@dataclass
class StubServer:
    """The server's side of a session; `answer` takes what it was sent and gives what it says."""

    statements: dict[bytes, str] = field(default_factory=dict)
    portals: dict[bytes, str] = field(default_factory=dict)
    is_skipping: bool = False
    is_copying: bool = False

    def answer(self, data: bytes) -> bytes:
        return b"".join(self._one(kind, body) for kind, body in split(data))

    def _one(self, kind: str, body: bytes) -> bytes:
        if self.is_copying:
            return self._copy(kind)
        if self.is_skipping and kind != "S":
            return b""
        if kind == "S":
            self.is_skipping = False
            self.portals.clear()
            return ready()
        if kind == "Q":
            return self._query(body[:-1].decode())
        found = self._extended(kind, body)
        self.is_skipping = found.startswith(b"E") or b"C22012\0" in found
        return found

    def _copy(self, kind: str) -> bytes:
        if kind == "d":
            return b""
        self.is_copying = False
        return (complete("COPY 1") if kind == "c" else error("57014", "copy failed")) + ready()

    def _query(self, text: str) -> bytes:
        self.statements.pop(b"", None)
        self.portals.clear()
        if text == COPY:
            self.is_copying = True
            return encode(b"G", b"\0\0\2\0\0\0\0")
        described = _RESULTS[text][0] if text in _RESULTS else b""
        return (described + self._run(text) if text in TEXTS else error("42601", "syntax error")) + ready()

    @staticmethod
    def _run(text: str) -> bytes:
        if text in _RESULTS:
            rows = _RESULTS[text][1]
            return b"".join(rows) + complete(f"SELECT {len(rows)}")
        return complete("INSERT 0 1") if text == INSERT else error("22012", "division by zero")

    def _extended(self, kind: str, body: bytes) -> bytes:
        names = body.split(b"\0")
        if kind == "P":
            return self._parse(names[0], names[1].decode())
        if kind == "B":
            if names[1] not in self.statements:
                return error("26000", "no such statement")
            self.portals[names[0]] = self.statements[names[1]]
            return BOUND
        if kind == "D":
            known = self.statements if body[:1] == b"S" else self.portals
            name = body[1:-1]
            if name not in known:
                return error("26000" if body[:1] == b"S" else "34000", "no such name")
            parameters = encode(b"t", b"\0\0") if body[:1] == b"S" else b""
            return parameters + (_RESULTS[known[name]][0] if known[name] in _RESULTS else NO_DATA)
        if kind == "E":
            return self._run(self.portals[names[0]]) if names[0] in self.portals else error("34000", "no such portal")
        if kind == "C":
            (self.statements if body[:1] == b"S" else self.portals).pop(body[1:-1], None)
            return encode(b"3", b"")
        return b""

    def _parse(self, name: bytes, text: str) -> bytes:
        if not name:
            self.statements.pop(b"", None)
        if text not in TEXTS:
            return error("42601", "syntax error")
        if name in self.statements:
            return error("42P05", "exists")
        self.statements[name] = text
        return PARSED
