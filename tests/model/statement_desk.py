"""A desk for sessions: a statement phase with stand-ins for the world, and the messages of both sides written short.

Records become safe at once unless `keeps_records` is set. What the session sent is kept as messages, with the basis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from querywarden.gate.permit import Basis
from querywarden.masking.key import MaskingKey
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Keys, Relation
from querywarden.model.facts import Analysis
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.baseline import BASELINE
from querywarden.policy.language import Policy
from querywarden.postgresql.analysis import analyse
from querywarden.postgresql.framing import encode
from querywarden.postgresql.login import Established
from querywarden.postgresql.messages.backend import BackendKeyData
from querywarden.postgresql.session_context import StatementContext
from querywarden.postgresql.statement_phase import StatementPhase
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

NOW = 1_700_000_000.0
USERS, PRODUCTS = 16401, 16402
TEXT, INT4 = 25, 23


def column(number: int, name: str, data_class: DataClass | None = None) -> Column:
    return Column(number, name, "text", None if data_class is None else Classification(data_class, "name"))


KEYS = Keys((frozenset({"id"}),), frozenset({"id"}))
_USERS_COLUMNS = {1: column(1, "id"), 2: column(2, "username"), 3: column(3, "email", DataClass.EMAIL)}
CATALOGUE = Catalogue(
    "1",
    {
        USERS: Relation(USERS, "public", "users", "table", _USERS_COLUMNS, keys=KEYS),
        PRODUCTS: Relation(PRODUCTS, "public", "products", "table", {1: column(1, "id"), 2: column(2, "name")}, keys=KEYS),
    },
)


def split(data: bytes) -> list[tuple[str, bytes]]:
    """The messages of a byte string, as (type, body)."""
    found, position = [], 0
    while position < len(data):
        length = int.from_bytes(data[position + 1 : position + 5], "big")
        found.append((chr(data[position]), data[position + 5 : position + 1 + length]))
        position += 1 + length
    return found


def fields_of(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse."""
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}


@dataclass
class Desk:
    """One statement phase at work."""

    kind: PrincipalKind = PrincipalKind.HUMAN
    environment: Environment = Environment.PRODUCTION
    catalogue: Catalogue = CATALOGUE
    policy: Policy = BASELINE
    keeps_records: bool = False
    analyse: Callable[[bytes], Analysis] = analyse
    gives_catalogue: bool = True
    tells_flows: bool = False
    """The server is asked what it understands."""
    effects: list[fx.Effect] = field(default_factory=list)
    records: list[fx.AppendRecord] = field(default_factory=list)
    bases: list[Basis] = field(default_factory=list)
    client: bytearray = field(default_factory=bytearray)
    server: bytearray = field(default_factory=bytearray)
    now: float = NOW

    def __post_init__(self) -> None:
        principal = Principal("alice", "https://idp.example", self.kind)
        database = Database("shop", self.environment)
        counter = iter(range(1, 1 << 30))
        self.context = StatementContext(
            session_id="s1",
            database=database,
            policy=lambda: self.policy,
            analyse=self.analyse,
            commit=lambda record, label, data: "c" * 64,
            draw=lambda n: next(counter).to_bytes(n, "big"),
            masking_key=MaskingKey(b"k" * 32),
            access_ended=lambda principal, now: None,
        )
        if not self.tells_flows:
            # As a server whose role may not silence its log: names decide.
            self.context.flows.refused_until = math.inf
        key = BackendKeyData(77, b"\0\0\0\x09")
        established = Established(
            principal, database, "app", (3, 0), {}, (), key, BackendKeyData(1, b"\0\0\0\1"), "alice", "psql", b"", b""
        )  # fmt: skip
        self.phase = StatementPhase(established, self.context, {"ip": "10.0.0.1", "port": 1}, self.now)
        self._take(self.phase.begin(established, self.now))

    def give(self, item: ev.Input) -> None:
        """Hand over an input and carry the effects out."""
        self.now += 0.001
        self._take(self.phase.handle(item, self.now))

    def _take(self, effects: list[fx.Effect]) -> None:
        waiting: list[ev.Input] = []
        for effect in effects:
            self.effects.append(effect)
            if isinstance(effect, fx.SendToClient):
                self.client += effect.data
            elif isinstance(effect, fx.SendToServer):
                self.server += effect.data
                self.bases.append(effect.basis)
            elif isinstance(effect, fx.AppendRecord):
                self.records.append(effect)
                if effect.number is not None and not self.keeps_records:
                    waiting.append(ev.RecordSafe(effect.number))
            elif isinstance(effect, fx.LoadCatalogue) and self.gives_catalogue:
                waiting.append(ev.CatalogueReady(self.catalogue))
        for item in waiting:
            self.give(item)

    def from_client(self, *messages: bytes) -> None:
        self.give(ev.ClientBytes(memoryview(b"".join(messages))))

    def from_server(self, *messages: bytes) -> None:
        self.give(ev.ServerBytes(memoryview(b"".join(messages))))

    def to_client(self) -> list[tuple[str, bytes]]:
        """What the client was sent since the last look."""
        found = split(bytes(self.client))
        self.client.clear()
        return found

    def to_server(self) -> list[tuple[str, bytes]]:
        """What the server was sent since the last look."""
        found = split(bytes(self.server))
        self.server.clear()
        return found

    def bodies(self, kind: str) -> list[Any]:
        """The bodies of the records of a type."""
        return [record.body for record in self.records if record.type == kind]


def query(text: str) -> bytes:
    return encode(b"Q", text.encode() + b"\0")


def parse(text: str, name: str = "") -> bytes:
    return encode(b"P", name.encode() + b"\0" + text.encode() + b"\0\0\0")


def bind(portal: str = "", statement: str = "") -> bytes:
    return encode(b"B", portal.encode() + b"\0" + statement.encode() + b"\0" + b"\0\0\0\0\0\0")


def describe(kind: str, name: str = "") -> bytes:
    return encode(b"D", kind.encode() + name.encode() + b"\0")


def execute(portal: str = "", rows: int = 0) -> bytes:
    return encode(b"E", portal.encode() + b"\0" + rows.to_bytes(4, "big"))


SYNC = encode(b"S", b"")
PARSED, BOUND, NO_DATA = encode(b"1", b""), encode(b"2", b""), encode(b"n", b"")


def row_description(*columns: tuple[str, int, int, int]) -> bytes:
    """Each column as (name, relation, number, type)."""
    body = len(columns).to_bytes(2, "big")
    for name, relation, number, kind in columns:
        body += name.encode() + b"\0" + relation.to_bytes(4, "big") + number.to_bytes(2, "big") + kind.to_bytes(4, "big")
        body += (-1).to_bytes(2, "big", signed=True) + (-1).to_bytes(4, "big", signed=True) + b"\0\0"
    return encode(b"T", body)


def row(*values: bytes | None) -> bytes:
    body = len(values).to_bytes(2, "big")
    for value in values:
        body += b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value
    return encode(b"D", body)


def complete(tag: str) -> bytes:
    return encode(b"C", tag.encode() + b"\0")


def ready(status: str = "I") -> bytes:
    return encode(b"Z", status.encode())


def error(sqlstate: str = "22P02", message: str = "bad", **fields: str) -> bytes:
    body = b"SERROR\0VERROR\0C" + sqlstate.encode() + b"\0M" + message.encode() + b"\0"
    for code, value in fields.items():
        body += code.encode() + value.encode() + b"\0"
    return encode(b"E", body + b"\0")


def kinds_of(messages: list[tuple[str, bytes]]) -> str:
    """The types of messages, one letter each."""
    return "".join(kind for kind, _ in messages)
