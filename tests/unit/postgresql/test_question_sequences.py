"""Hidden questions under random events: each message of the client gets its answer, in order, and nothing of a question is among them."""

from __future__ import annotations

import os
import random
import re

import pytest
from tests.model.played_server import PlayedServer
from tests.model.statement_desk import SYNC, Desk, bind, describe, execute, fields_of, parse, query, split
from tests.unit.postgresql.test_statement_flow import EMAIL, KNOWING, LOUD, PLAIN, notice, tree_of

from querywarden.postgresql.framing import encode
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

SEEDS = int(os.environ.get("QUERYWARDEN_SEEDS", "100"))
TEXTS = (PLAIN, LOUD, EMAIL, "SELECT 1", "SELECT email, nope FROM users", "SELECT nope", "INSERT INTO products VALUES (1)")
TRANSACTIONS = ("BEGIN", "COMMIT", "ROLLBACK")
FLUSH = encode(b"H", b"")
_QUERY = re.compile("(TD|)CZ|EZ")
_SEGMENT = re.compile("(1(2T?D?C|2n?C)?)*(12?[TnD]*)?E?Z")


def said_of(text: str) -> bytes | None:
    tree = tree_of(re.sub(r"id = \d+", "id = 1", text))
    return None if tree is None else notice(tree)


class World:
    """A client, a server and an audit log that do what they do at any time, in pieces of any size."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.desk = Desk(keeps_records=True, tells_flows=True, catalogue=KNOWING)
        self.server = PlayedServer(said_of)
        self.units: list[str] = []
        self.told: list[tuple[str, bytes]] = []
        self.cancels = 0
        self._seen = 0
        self._input = bytearray()

    def text(self) -> str:
        text = self.draw.choice(TRANSACTIONS if self.draw.random() < 0.2 else TEXTS)
        return text.replace("id = 1", f"id = {self.draw.randrange(99)}")

    def step(self) -> None:
        self.look()
        moves = [self.client, self.deliver_to_server, self.deliver_to_server]
        if self.desk.phase.state.unsafe:
            moves += [self.record_safe] * 3
        if self.server.out:
            moves += [self.deliver_from_server] * 3
        if self.cancels:
            moves += [self.cancel_arrives] * 2
        if self.draw.random() < 0.1:
            moves += [self.cancel, self.schema_changes]
        self.draw.choice(moves)()

    def finish(self) -> None:
        """Nothing happens any more but what is under way: it must come to rest by itself."""
        for _ in range(20_000):
            self.look()
            if self.desk.phase.state.unsafe:
                self.record_safe()
            elif self.cancels:
                self.cancel_arrives()
            elif self.server.out:
                self.deliver_from_server()
            elif self._input:
                self.deliver_to_server()
            else:
                return
        raise AssertionError("the session does not come to rest")

    def client(self) -> None:
        if len(self.units) < 10:
            self.units.append(self.draw.choice("QSSF"))
            unit = [query(self.text())] if self.units[-1] == "Q" else self.segment()
            data = b"".join(unit)
            cut = self.draw.randrange(len(data))
            self.desk.from_client(data[:cut])
            self.desk.from_client(data[cut:])

    def segment(self) -> list[bytes]:
        found: list[bytes] = []
        for _ in range(self.draw.randrange(1, 4)):
            found += [parse(self.text()), bind(), *([describe("P")] if self.draw.random() < 0.5 else []), execute()]
            if self.units[-1] == "F":
                found.append(FLUSH)
        return [*found, SYNC]

    def record_safe(self) -> None:
        self.desk.give(ev.RecordSafe(min(self.desk.phase.state.unsafe)))

    def deliver_to_server(self) -> None:
        size = self.draw.randrange(1, len(self._input) + 1) if self._input else 0
        self._input, ready = self._input[size:], bytes(self._begun) + bytes(self._input[:size])
        whole = 0
        while whole + 5 <= len(ready) and whole + 1 + int.from_bytes(ready[whole + 1 : whole + 5], "big") <= len(ready):
            whole += 1 + int.from_bytes(ready[whole + 1 : whole + 5], "big")
        self._begun = ready[whole:]
        for kind, body in split(ready[:whole]):
            self.server.take(kind, body)

    _begun = b""

    def deliver_from_server(self) -> None:
        size = self.draw.randrange(1, min(len(self.server.out), self.draw.choice((1, 9, 200, 9999))) + 1)
        data, self.server.out = self.server.out[:size], self.server.out[size:]
        self.desk.from_server(data)

    def cancel(self) -> None:
        self.desk.give(ev.CancelRequested())

    def cancel_arrives(self) -> None:
        self.cancels -= 1
        self.server.is_interrupted = self.draw.random() < 0.7
        self.desk.give(ev.CancelAnswered())

    def schema_changes(self) -> None:
        self.desk.context.flows.schema_changes()

    def look(self) -> None:
        self.cancels += sum(isinstance(effect, fx.ForwardCancel) for effect in self.desk.effects[self._seen :])
        self._seen = len(self.desk.effects)
        self._input += self.desk.server
        self.desk.server.clear()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_message_gets_its_answer_in_order_and_no_byte_of_a_question(seed: int) -> None:
    world = World(seed)
    for _ in range(300):
        world.step()
    world.finish()
    assert not world.desk.phase.is_over
    told = "".join(kind for kind, _ in split(bytes(world.desk.client)))
    answers = re.findall("[^Z]*Z", told)
    assert "".join(answers) == told, f"{world.units}: {told}"
    assert len(answers) == len(world.units), f"{world.units}: {told}"
    for unit, answer in zip(world.units, answers, strict=True):
        assert (_QUERY if unit == "Q" else _SEGMENT).fullmatch(answer), f"{unit}: {answer} in {told}"
    codes = {fields_of(body)["C"] for kind, body in split(bytes(world.desk.client)) if kind == "E"}
    assert codes <= {"25P02", "42703", "57014", "26000", "34000", "40001", "42501"}
    assert not world.desk.phase.state.expected
    assert not len(world.desk.phase.state.to_server)
