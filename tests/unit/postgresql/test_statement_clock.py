"""The time of a statement: a warning near its end, a cancel at it, and an error of ours in place of the server's."""

from __future__ import annotations

from tests.model.limited_results import LimitedDesk, whole_messages
from tests.model.statement_desk import PRODUCTS, TEXT, complete, error, fields_of, kinds_of, ready, row, row_description

from querywarden.model.decision import Allow
from querywarden.postgresql.prepared import Portal
from querywarden.postgresql.statement_clock import TIMER
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

PLAIN = row_description(("name", PRODUCTS, 2, TEXT))
TEN = Allow("r", seconds_max=10)
TICK = ev.RecordSafe(-1)
"""An input that changes nothing, after which the session looks what is running."""


def timers(desk: LimitedDesk) -> list[float | None]:
    """The settings of the timer since the last look, None for a clearing."""
    found = [
        round(effect.seconds, 1) if isinstance(effect, fx.SetTimer) else None
        for effect in desk.effects
        if isinstance(effect, (fx.SetTimer, fx.ClearTimer)) and effect.name == TIMER
    ]
    desk.effects.clear()
    return found


def after(desk: LimitedDesk, seconds: float) -> None:
    """The timer of the statement runs out after so long."""
    desk.now += seconds
    desk.give(ev.TimerFired(TIMER))


def test_a_statement_is_warned_about_and_cancelled_when_its_time_is_up():
    desk = LimitedDesk()
    desk.put(TEN)
    desk.give(TICK)
    assert [8.0] == timers(desk)
    after(desk, 8)
    assert "N" == kinds_of(told := desk.to_client())
    assert ("01000", "the statement has been running for 8 of at most 10 seconds") == (
        fields_of(told[0][1])["C"],
        fields_of(told[0][1])["M"],
    )
    assert ([2.0], 0) == (timers(desk), desk.cancels)
    after(desk, 2)
    assert 1 == desk.cancels
    assert "" == kinds_of(desk.to_client())
    desk.give(ev.CancelAnswered())
    desk.from_server(error("57014", "canceling statement due to user request"), ready())
    told = desk.to_client()
    assert "EZ" == kinds_of(told)
    assert ("57014", "the statement was cancelled after 10 seconds, which is the limit for you here") == (
        fields_of(told[0][1])["C"], fields_of(told[0][1])["M"],
    )  # fmt: skip
    assert ("refused", "57014") == (desk.bodies("db.query.completed")[-1]["outcome"], desk.bodies("db.query.completed")[-1]["sqlstate"])
    assert None is timers(desk)[-1]


def test_rows_that_were_sent_stay_and_the_warning_stands_between_them():
    desk, whole = LimitedDesk(), row(b"x" * 100)
    desk.put(TEN)
    desk.from_server(PLAIN, row(b"a"), whole[:50])
    after(desk, 8)
    assert b"01000" not in desk.client
    desk.from_server(whole[50:], row(b"b"))
    after(desk, 2)
    desk.give(ev.CancelAnswered())
    desk.from_server(row(b"c"), error("57014"), ready())
    assert "TDDNDDEZ" == kinds_of(whole_messages(bytes(desk.client)))


def test_a_cancel_that_did_not_end_it_is_sent_again():
    desk = LimitedDesk()
    desk.put(TEN)
    desk.give(TICK)
    after(desk, 8)
    after(desk, 2)
    after(desk, 2)
    assert 1 == desk.cancels, "the first one has not been answered"
    desk.give(ev.CancelAnswered())
    after(desk, 2)
    assert 2 == desk.cancels


def test_a_result_that_was_ended_is_cancelled_again_until_it_ends():
    desk = LimitedDesk()
    desk.put(Allow("r", rows_max=1))
    desk.from_server(PLAIN, row(b"a") * 3)
    desk.give(ev.CancelAnswered())
    after(desk, 2)
    assert 2 == desk.cancels
    desk.give(ev.CancelAnswered())
    desk.from_server(error("57014"), ready())
    assert "TDNEZ" == kinds_of(whole_messages(bytes(desk.client)))
    after(desk, 2)
    assert 2 == desk.cancels


def test_one_that_ends_in_time_clears_the_clock():
    desk = LimitedDesk()
    desk.put(TEN)
    desk.give(TICK)
    desk.from_server(complete("UPDATE 1"), ready())
    assert [8.0, None] == timers(desk)
    after(desk, 8)
    assert "CZ" == kinds_of(desk.to_client())


def test_in_a_pipeline_the_clock_of_a_statement_starts_when_the_one_before_has_ended():
    desk = LimitedDesk()
    for _ in range(2):
        desk.put(TEN, Portal(None, description=PLAIN[5:]))
    desk.put_sync()
    desk.give(TICK)
    after(desk, 8)
    desk.now += 1
    desk.from_server(complete("SELECT 0"))
    assert [8.0, 2.0, 8.0] == timers(desk)
    after(desk, 8)
    after(desk, 2)
    desk.from_server(error("57014"), ready())
    assert "NCNEZ" == kinds_of(desk.to_client())


def test_another_error_than_the_cancel_is_shown_as_it_is():
    desk = LimitedDesk()
    desk.put(TEN)
    desk.give(TICK)
    after(desk, 8)
    after(desk, 2)
    desk.from_server(error("22012", "division by zero"), ready())
    told = desk.to_client()
    assert ("NEZ", "22012") == (kinds_of(told), fields_of(told[1][1])["C"])


def test_a_cancel_of_the_client_is_told_as_the_server_tells_it():
    desk = LimitedDesk()
    desk.put(TEN)
    desk.give(TICK)
    desk.from_server(error("57014", "canceling statement due to user request"), ready())
    assert "canceling statement due to user request" == fields_of(desk.to_client()[0][1])["M"]


def test_a_portal_that_is_taken_in_pieces_has_one_time():
    desk, portal = LimitedDesk(), Portal(None, description=PLAIN[5:])
    for _ in range(2):
        desk.put(TEN, portal)
        desk.give(TICK)
        desk.now += 3
        desk.from_server(row(b"a"), b"s\0\0\0\4")
    desk.put(TEN, portal)
    desk.give(TICK)
    assert [8.0, None, 5.0, None, 2.0] == timers(desk)


def test_a_statement_without_a_limit_sets_no_timer():
    desk = LimitedDesk()
    desk.put(Allow("r"))
    desk.give(TICK)
    desk.from_server(complete("UPDATE 1"), ready())
    assert [] == timers(desk)
