"""Hidden exchanges: what the server answers to them goes to nobody else, and changes nothing that the session knows."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from tests.model.limited_results import LimitedDesk
from tests.model.statement_desk import BOUND, NO_DATA, PARSED, complete, error, fields_of, kinds_of, ready, row, row_description

from querywarden.postgresql.expected import Awaited, Expected
from querywarden.postgresql.framing import encode

NOTICE = encode(b"N", b"SNOTICE\0C00000\0Mhello\0\0")
CLOSED = encode(b"3", b"")
FATAL = encode(b"E", b"SFATAL\0VFATAL\0C57P01\0Mgoing down\0\0")
PLAN = row_description(("QUERY PLAN", 0, 0, 114))


@dataclass
class Listener:
    """Takes what a hidden exchange is told, up to so many ReadyForQuery messages."""

    rounds: int = 1
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    def take(self, kind: int, body: bytes) -> bool:
        self.heard.append((chr(kind), body))
        self.rounds -= kind == 0x5A
        return not self.rounds


def asked(rounds: int = 1) -> tuple[LimitedDesk, Listener]:
    desk, listener = LimitedDesk(), Listener(rounds)
    desk.phase.state.expected.add(Expected(Awaited.PROBE, probe=listener))  # type: ignore[arg-type]
    return desk, listener


ANSWER = b"".join(
    (CLOSED, PARSED, BOUND, PLAN, row(b"[1]"), NOTICE, complete("EXPLAIN"), CLOSED, ready("T"), error("22012"), NO_DATA, ready("E"))
)


def test_every_split_of_the_answer_is_heard_and_nothing_of_it_reaches_the_client():
    for cut in range(1, len(ANSWER)):
        desk, listener = asked(2)
        desk.cut(ANSWER, [cut, len(ANSWER)])
        assert "312TDNC3ZEnZ" == kinds_of(listener.heard)
        assert row(b"[1]")[5:] == listener.heard[4][1]
        assert [] == desk.to_client()
        state = desk.phase.state
        assert (0, b"I", False) == (len(state.expected), state.transaction, state.has_failed)


def test_the_loop_goes_on_with_what_comes_behind():
    desk, listener = asked()
    desk.phase.state.expected.add(Expected(Awaited.SYNC))
    desk.from_server(PARSED, ready("T"), ready("T"))
    assert "1Z" == kinds_of(listener.heard)
    assert "Z" == kinds_of(desk.to_client())
    assert b"T" == desk.phase.state.transaction


def test_notifications_and_parameters_are_the_sessions():
    desk, listener = asked()
    desk.from_server(encode(b"A", b"\0\0\0\1ch\0hi\0"), encode(b"S", b"TimeZone\0UTC\0"), ready())
    assert "Z" == kinds_of(listener.heard)
    assert "AS" == kinds_of(desk.to_client())


def test_a_fatal_error_is_the_sessions():
    desk, listener = asked()
    desk.from_server(FATAL)
    assert [] == listener.heard
    assert "57P01" == fields_of(desk.to_client()[0][1])["C"]


@pytest.mark.parametrize("chunk", [1000, 300_000, 10_000_000])
def test_a_row_too_large_to_be_kept_is_skipped(chunk):
    desk, listener = asked()
    desk.cut(PLAN + row(b"x" * (2 << 20)) + row(b"x" * 500_000) + complete("EXPLAIN") + ready(), [chunk])
    assert "TDCZ" == kinds_of(listener.heard)
    assert 500_006 == len(listener.heard[1][1])
    assert [] == desk.to_client()
