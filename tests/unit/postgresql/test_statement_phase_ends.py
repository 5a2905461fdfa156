"""How things end: cancels, limits, drains, failures of either side, and messages that have begun."""

import hashlib
from dataclasses import replace

import pytest
from tests.model.statement_desk import (
    BOUND,
    INT4,
    PARSED,
    PRODUCTS,
    SYNC,
    TEXT,
    USERS,
    Desk,
    bind,
    complete,
    describe,
    error,
    execute,
    fields_of,
    kinds_of,
    parse,
    query,
    ready,
    row,
    row_description,
)

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.principal import PrincipalKind
from querywarden.policy.baseline import BASELINE
from querywarden.postgresql.framing import encode
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

CANARY = b"canary-7f3a@example.org"


def test_an_outcome_that_cannot_be_recorded_ends_the_session() -> None:
    desk = Desk(keeps_records=True)
    desk.from_client(query("select 1"))
    desk.give(ev.RecordSafe(desk.records[-1].number or 0))
    desk.from_server(row_description(("?column?", 0, 0, INT4)), complete("SELECT 0"), ready())
    desk.give(ev.RecordFailed(desk.records[-1].number or 0))
    shown = desk.to_client()
    assert "TE" == kinds_of(shown)
    assert "FATAL" == fields_of(shown[1][1])["S"]
    assert desk.phase.is_over


def test_cancel_reaches_the_server_only_while_it_works() -> None:
    desk = Desk()
    desk.give(ev.CancelRequested())
    assert not [effect for effect in desk.effects if isinstance(effect, fx.ForwardCancel)]
    desk.from_client(query("select name from products"))
    desk.give(ev.CancelRequested())
    assert [fx.ForwardCancel(77, b"\0\0\0\x09")] == [effect for effect in desk.effects if isinstance(effect, fx.ForwardCancel)]
    desk.to_server()
    desk.from_server(error("57014", "canceling statement due to user request"), ready())
    desk.from_client(query("select 1"))
    assert [] == desk.to_server()
    desk.give(ev.CancelAnswered())
    assert "Q" == kinds_of(desk.to_server())
    assert "cancelled" == desk.bodies("db.query.completed")[0]["outcome"]


def test_a_server_that_goes_away_gives_one_honest_error() -> None:
    desk = Desk()
    desk.from_client(query("select name from products"))
    desk.give(ev.ServerClosed())
    shown = desk.to_client()
    assert "E" == kinds_of(shown)
    assert ("FATAL", "08006") == (fields_of(shown[0][1])["S"], fields_of(shown[0][1])["C"])
    assert "unknown" == desk.bodies("db.query.completed")[-1]["outcome"]


def test_a_fatal_error_of_the_server_is_told_once() -> None:
    desk = Desk()
    desk.from_server(encode(b"E", b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"))
    desk.give(ev.ServerClosed())
    assert "E" == kinds_of(desk.to_client())
    assert desk.phase.is_over


def test_draining_waits_for_the_end_of_the_transaction() -> None:
    desk = Desk()
    desk.from_client(query("begin"))
    desk.from_server(complete("BEGIN"), ready("T"))
    desk.to_client()
    desk.give(ev.Draining())
    assert [] == desk.to_client()
    desk.from_client(query("commit"))
    desk.from_server(complete("COMMIT"), ready("I"))
    shown = desk.to_client()
    assert "CZE" == kinds_of(shown)
    assert "57P01" == fields_of(shown[-1][1])["C"]


def test_goodbye_follows_what_was_asked_before() -> None:
    desk = Desk(keeps_records=True)
    desk.from_client(query("select 1"), encode(b"X", b""))
    assert not desk.phase.is_over
    desk.give(ev.RecordSafe(desk.records[-1].number or 0))
    assert "QX" == kinds_of(desk.to_server())
    assert desk.phase.is_over
    assert "conn.closed" == desk.records[-1].type


def test_access_that_ends_between_statements_ends_the_session() -> None:
    desk = Desk()
    desk.give(ev.AccessEnded("The token has expired."))
    shown = desk.to_client()
    assert ("FATAL", "57P01", "The token has expired.") == tuple(fields_of(shown[0][1])[code] for code in "SCM")
    assert desk.phase.is_over


def test_access_that_ends_in_a_pipeline_refuses_the_rest_and_ends_at_its_sync() -> None:
    desk = Desk()
    desk.from_client(parse("select name from products", "s"), SYNC)
    desk.from_server(PARSED, ready())
    desk.from_client(bind("", "s"))
    desk.give(ev.AccessEnded("The token has expired."))
    desk.to_server()
    desk.from_client(describe("P"), execute(), SYNC)
    assert "DBS" == kinds_of(desk.to_server())
    desk.from_server(BOUND, row_description(("name", PRODUCTS, 2, TEXT)), error("26000"), ready())
    shown = desk.to_client()
    assert "1Z2TEZE" == kinds_of(shown)
    assert "FATAL" == fields_of(shown[-1][1])["S"]
    assert desk.phase.is_over


def test_a_drain_lets_a_pipeline_reach_its_sync() -> None:
    desk = Desk()
    desk.from_client(parse("select name from products"))
    desk.from_server(PARSED)
    desk.give(ev.Draining())
    assert not desk.phase.is_over
    desk.from_client(bind(), execute(), SYNC)
    desk.from_server(BOUND, row_description(("name", PRODUCTS, 2, TEXT)), complete("SELECT 0"), ready())
    assert desk.phase.is_over


def test_copy_data_that_has_begun_is_finished_though_the_copy_has_failed() -> None:
    """A message cut in the middle would be read by the server as something else."""
    desk = Desk()
    desk.from_client(query("copy products from stdin"))
    desk.from_server(encode(b"G", b"\0\0\x02\0\0\0\0"))
    desk.to_server()
    whole = encode(b"d", b"x" * 100)
    desk.from_client(whole[:50])
    desk.from_server(error("22P04"), ready())
    desk.from_client(whole[50:] + encode(b"d", b"late") + encode(b"c", b""), query("select 1"))
    assert "dQ" == kinds_of(desk.to_server())


def test_a_large_bind_that_has_begun_is_finished_though_an_error_has_come() -> None:
    desk = Desk()
    desk.from_client(parse("select name from products where name = $1"))
    size = desk.context.limits.bind_buffered_bytes_max + 10
    whole = encode(b"B", b"\0\0\0\0\0\x01" + size.to_bytes(4, "big") + b"v" * size + b"\0\0")
    desk.from_client(whole[:50_000])
    desk.from_server(error("42601"))
    desk.from_client(whole[50_000:], SYNC)
    assert [("P", 45), ("B", len(whole) - 5), ("S", 0)] == [(kind, len(body)) for kind, body in desk.to_server()]


def test_large_binds_are_committed_to_as_small_ones() -> None:
    body = b"\0\0\0\0\0\x01" + (3).to_bytes(4, "big") + b"abc" + b"\0\0"
    seen = []
    for whole in (True, False):
        desk = Desk()
        desk.from_client(parse("select name from products where name = $1"))
        desk.to_server()
        if whole:
            desk.from_client(encode(b"B", body))
        else:
            size = desk.context.limits.bind_buffered_bytes_max
            body = b"\0\0\0\0\0\x01" + size.to_bytes(4, "big") + b"v" * size + b"\0\0"
            data = encode(b"B", body)
            for at in range(0, len(data), 100_000):
                desk.from_client(data[at : at + 100_000])
        portal = desk.phase.state.registry.portal(b"")
        assert portal is not None
        seen.append((portal.parameters, portal.parameters_commitment == hashlib.sha256(body[2:]).digest()))
    assert [(1, True), (1, True)] == seen


def test_a_row_too_large_to_be_masked_ends_its_statement_only() -> None:
    desk = Desk(catalogue=with_dates())
    desk.from_client(query("select born from people"))
    desk.to_server()
    desk.from_server(row_description(("born", PEOPLE, 2, DATE_ARRAY)), row(b"{}"))
    large = row(b"{" + b"2000-01-02," * 200_000 + CANARY + b"}")
    for at in range(0, len(large), 100_000):
        desk.from_server(large[at : at + 100_000])
    desk.from_server(row(b"{}"), error("57014"), ready())
    shown = desk.to_client()
    assert "TDEZ" == kinds_of(shown)
    assert "54000" == fields_of(shown[2][1])["C"]
    assert any(isinstance(effect, fx.ForwardCancel) for effect in desk.effects)
    assert not desk.phase.is_over


PEOPLE, DATE_ARRAY = 16403, 1182


def with_dates() -> Catalogue:
    columns = {1: Column(1, "id", "integer"), 2: Column(2, "born", "date[]", Classification(DataClass.DOB, "name"))}
    return Catalogue("1", {PEOPLE: Relation(PEOPLE, "public", "people", "table", columns)})


@pytest.mark.parametrize("chunk", [7, 50, 1000])
@pytest.mark.parametrize("name", ["name", "email"])
def test_a_result_ends_at_the_row_limit_of_its_principal(chunk: int, name: str) -> None:
    desk = Desk(kind=PrincipalKind.AGENT, policy=replace(BASELINE, limits_default=(replace(BASELINE.limits_default[0], rows_max=3),)))
    number, relation = (3, USERS) if name == "email" else (2, PRODUCTS)
    desk.from_client(query(f"select {name} from {'users' if name == 'email' else 'products'}"))
    answer = row_description((name, relation, number, TEXT)) + row(b"one@b.example") * 5 + complete("SELECT 5") + ready()
    for at in range(0, len(answer), chunk):
        desk.from_server(answer[at : at + chunk])
    shown = desk.to_client()
    assert "TDDDNEZ" == kinds_of(shown)
    assert "54000" == fields_of(shown[5][1])["C"]
    assert [effect for effect in desk.effects if isinstance(effect, fx.ForwardCancel)]
    assert 3 == desk.bodies("db.query.completed")[-1]["rows"]


def test_a_result_that_just_fits_the_row_limit_is_whole() -> None:
    desk = Desk(kind=PrincipalKind.AGENT, policy=replace(BASELINE, limits_default=(replace(BASELINE.limits_default[0], rows_max=3),)))
    desk.from_client(query("select name from products"))
    desk.from_server(row_description(("name", PRODUCTS, 2, TEXT)), row(b"soap"), row(b"soap"), row(b"soap"), complete("SELECT 3"), ready())
    assert "TDDDNCZ" == kinds_of(desk.to_client())


def test_the_end_of_a_session_tells_how_much_it_carried() -> None:
    desk = Desk()
    asked, answered = query("select 1"), row_description(("?column?", 0, 0, 23)) + row(b"1") + complete("SELECT 1") + ready()
    desk.from_client(asked)
    desk.from_server(answered)
    goodbye = encode(b"X", b"")
    desk.from_client(goodbye)
    closed = desk.bodies("conn.closed")[-1]
    assert (1, len(asked + goodbye), len(answered)) == (closed["statements"], closed["bytes_in"], closed["bytes_out"])
