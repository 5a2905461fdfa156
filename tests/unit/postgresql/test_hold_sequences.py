"""Holds under random sequences of events: whatever comes in whatever order, nothing held runs without its yes, and order stays."""

from __future__ import annotations

import random
from collections import deque

import pytest
from tests.model.statement_desk import BOUND, PARSED, Desk, complete, error, fields_of, query, ready, row, split

from querywarden.postgresql.framing import encode
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

HELD = [f"ALTER TABLE products ADD COLUMN c{number} int" for number in range(8)]
FREE = "SELECT 1"


class World:
    """A desk with a server that answers one message after the other, and approvers who say anything at any time."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.desk = Desk(keeps_records=True)
        self.texts: list[str] = []
        self.ran: list[str] = []
        self.told: list[str] = []
        self.answers: deque[bytes] = deque()
        self.granted: set[int] = set()
        self.dead: set[int] = set()
        self.asked: dict[int, str] = {}
        self.open: set[int] = set()
        self.cancels = 0
        self._seen = 0
        self._probe_text = b""

    def step(self) -> None:
        self._look()
        moves = [self._client]
        if self.desk.phase.state.unsafe:
            moves += [self._record_safe] * 3
        if self.answers:
            moves += [self._server] * 3
        if self.cancels:
            moves += [self._cancel_answered] * 3
        if self.open:
            moves += [self._settle, self._remind, self._cancel]
        self.draw.choice(moves)()
        self._look()

    def finish(self) -> None:
        """Let everything come to its end: what is still asked is granted."""
        for _ in range(5000):
            self._look()
            if self.desk.phase.state.unsafe:
                self._record_safe()
            elif self.answers:
                self._server()
            elif self.cancels:
                self._cancel_answered()
            elif self.open:
                self._settle(ev.ApprovalOutcome.GRANTED)
            else:
                return
        raise AssertionError("the session does not come to rest")

    def _client(self) -> None:
        if len(self.texts) < 12:
            text = self.draw.choice([*HELD, FREE, FREE])
            self.texts.append(text)
            data = query(text)
            cut = self.draw.randrange(1, len(data))
            self.desk.from_client(data[:cut])
            self.desk.from_client(data[cut:])

    def _record_safe(self) -> None:
        self.desk.give(ev.RecordSafe(min(self.desk.phase.state.unsafe)))

    def _server(self) -> None:
        data = self.answers.popleft()
        cut = self.draw.randrange(0, len(data))
        self.desk.from_server(data[:cut])
        self.desk.from_server(data[cut:])

    def _settle(self, outcome: ev.ApprovalOutcome | None = None) -> None:
        ticket = self.draw.choice(sorted(self.open))
        outcome = outcome or self.draw.choice(list(ev.ApprovalOutcome))
        self.open.discard(ticket)
        if outcome is ev.ApprovalOutcome.GRANTED and ticket not in self.dead:
            self.granted.add(ticket)
        self.desk.give(ev.ApprovalSettled(ticket, f"R{ticket}", outcome, ("erin",)))

    def _remind(self) -> None:
        self.desk.give(ev.TimerFired("hold"))

    def _cancel(self) -> None:
        self.desk.give(ev.CancelRequested())

    def _cancel_answered(self) -> None:
        self.cancels = 0
        self.desk.give(ev.CancelAnswered())

    def _look(self) -> None:
        """See what the session has sent and asked since the last look."""
        for effect in self.desk.effects[self._seen :]:
            if isinstance(effect, fx.RequestApproval):
                self.asked[effect.ticket] = effect.held.text
                self.open.add(effect.ticket)
            elif isinstance(effect, fx.WithdrawApproval):
                self.dead.add(effect.ticket)
            elif isinstance(effect, fx.ForwardCancel):
                self.cancels += 1
        self._seen = len(self.desk.effects)
        for ticket in sorted(self.open):
            if self.draw.random() < 0.5:
                self.desk.give(ev.ApprovalOpened(ticket, f"R{ticket}", self.desk.now + 60, "Ask."))
        for kind, body in split(bytes(self.desk.server)):
            self._answer(kind, body)
        self.desk.server.clear()
        for kind, body in self.desk.to_client():
            if kind in "CE":
                self.told.append(body[:-1].decode() if kind == "C" else fields_of(body)["C"])

    def _answer(self, kind: str, body: bytes) -> None:
        if kind == "Q":
            text = body[:-1].decode()
            if text.startswith("querywarden refused"):
                self.answers.append(error("42601") + ready())
                return
            self.ran.append(text)
            if text in HELD:
                assert any(self.asked.get(ticket) == text for ticket in self.granted), f"{text} ran without its yes"
                self.granted.discard(next(ticket for ticket in self.granted if self.asked[ticket] == text))
            self.answers.append(complete(text.split()[0]) + ready())
        elif kind == "P":
            self._probe_text = body.split(b"\0")[1]
            self.answers.append(PARSED)
        elif kind == "B":
            self.answers.append(BOUND)
        elif kind == "C":
            self.answers.append(encode(b"3", b""))
        elif kind == "E":
            self.answers.append((row(b"0") if self._probe_text.startswith(b"SHOW") else b"") + complete("SHOW"))
        elif kind == "S":
            self.answers.append(ready())


@pytest.mark.parametrize("seed", range(40))
def test_nothing_held_runs_without_its_yes_and_every_statement_gets_one_answer_in_order(seed: int) -> None:
    world = World(seed)
    for _ in range(120):
        world.step()
    world.finish()
    assert len(world.texts) == len(world.told), (world.texts, world.told)
    expected = iter(world.ran)
    for text, told in zip(world.texts, world.told, strict=True):
        if told in ("42501", "57014"):
            assert text in HELD
        else:
            assert text == next(expected)
            assert told == text.split()[0]
    assert None is next(expected, None)
    assert not world.desk.phase.is_over
