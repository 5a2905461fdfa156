"""A played server for sessions at a desk: it works as a real one does, message by message, and says what it is told to say of trees.

It knows transactions and their failure, skips to the next Sync after an error of the extended protocol, keeps its answers back until a
Sync, a Flush, an error or the end of a Query, and may be interrupted before any message.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.model.statement_desk import BOUND, PARSED, TEXT, complete, error, ready, row, row_description

from querywarden.postgresql.framing import encode

NAMES = b'[["pg_catalog", "public"], "app", "app", "on", "origin", "off", null]'
_CLOSED = encode(b"3", b"")
_ENDS = ("COMMIT", "ROLLBACK", "END")
_NEEDS_BLOCK = ("SAVEPOINT", "RELEASE", "ROLLBACK TO")


class Rejected(Exception):
    """The server's error for a text. Secrets: none."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class PlayedServer:
    """What the server has said and not sent yet (`held`), what it has sent (`out`), and the texts that it has run."""

    def __init__(self, tree_of: Callable[[str], bytes | None]) -> None:
        self._tree_of = tree_of
        self.status = "I"
        self.held = b""
        self.out = b""
        self.ran: list[str] = []
        self.parsed: list[str] = []
        self.is_interrupted = False
        self._skips = False
        self._prints = False
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}

    def take(self, kind: str, body: bytes) -> None:
        """Work on a message."""
        if kind == "S":
            self._skips = self._prints = False
            if self.status == "I":
                self._portals.clear()
            self._send(ready(self.status))
            return
        if self._skips:
            return
        try:
            if self.is_interrupted and kind != "H":
                self.is_interrupted = False
                raise Rejected("57014")
            self._work(kind, body)
        except Rejected as rejected:
            self._send(error(rejected.sqlstate, "no"))
            self.status = "I" if self.status == "I" else "E"
            self._skips = kind != "Q"
        if kind == "Q":
            self._send(ready(self.status))

    def _send(self, last: bytes = b"") -> None:
        self.out += self.held + last
        self.held = b""

    def _work(self, kind: str, body: bytes) -> None:
        first, _, rest = body.partition(b"\0")
        if kind == "Q":
            self._run(first.decode(), row_description(("x", 0, 0, TEXT)))
        elif kind == "P":
            self._parse(first, rest.split(b"\0")[0].decode())
        elif kind == "B":
            self._portals[first] = self._known(self._statements, rest.split(b"\0")[0])
            self.held += BOUND
        elif kind == "D":
            self._known(self._portals if body[:1] == b"P" else self._statements, body[1:-1])
            self.held += row_description(("x", 0, 0, TEXT))
        elif kind == "E":
            self._run(self._known(self._portals, first), b"")
        elif kind == "C":
            (self._portals if body[:1] == b"P" else self._statements).pop(body[1:-1], None)
            self.held += _CLOSED
        elif kind == "H":
            self._send()

    def _known(self, names: dict[bytes, str], name: bytes) -> str:
        if name not in names:
            raise Rejected("26000")
        return names[name]

    def _check(self, text: str) -> None:
        if self.status == "E" and not text.startswith(_ENDS):
            raise Rejected("25P02")
        if self.status == "I" and text.startswith(_NEEDS_BLOCK):
            raise Rejected("25P01")
        if text.startswith("querywarden refused"):
            raise Rejected("42601")

    def _parse(self, name: bytes, text: str) -> None:
        self.parsed.append(text)
        self._statements.pop(name, None)
        self._check(text)
        if self._prints:
            tree = self._tree_of(text)
            if tree is not None and "set_config" not in text:
                self.held += tree
        if "nope" in text:
            raise Rejected("42703")
        self._statements[name] = text
        self.held += PARSED

    def _run(self, text: str, description: bytes) -> None:
        self._check(text)
        if "nope" in text:
            raise Rejected("42703")
        self.ran.append(text)
        if text.startswith(("BEGIN", "ROLLBACK TO")):
            self.status = "T"
        elif text.startswith(_ENDS):
            self.status = "I"
        if "json_build_array" in text:
            self.held += row(NAMES)
        elif "set_config" in text:
            self._prints = "split_part" not in text
            self.held += row(b"on")
        elif text.startswith("SELECT"):
            self.held += description + row(b"value")
        self.held += complete(text.split()[0])
