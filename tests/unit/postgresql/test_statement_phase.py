"""The statement phase as a dialogue: what the client says, what the server is told, what each of them hears."""

import hashlib

import pytest
from tests.model.statement_desk import (
    BOUND,
    INT4,
    NO_DATA,
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
    parse,
    query,
    ready,
    row,
    row_description,
)

from querywarden.gate.permit import Housekeeping, Permit
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.postgresql.framing import encode
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

CANARY = b"canary-7f3a@example.org"


def kinds(messages: list[tuple[str, bytes]]) -> str:
    return "".join(kind for kind, _ in messages)


def test_a_query_goes_out_on_a_permit_and_its_rows_come_back() -> None:
    desk = Desk()
    desk.from_client(query("select name from products"))
    assert [("Q", b"select name from products\0")] == desk.to_server()
    assert isinstance(desk.bases[-1], Permit)
    desk.from_server(row_description(("name", PRODUCTS, 2, TEXT)), row(b"soap"), complete("SELECT 1"), ready())
    shown = desk.to_client()
    assert "TDCZ" == kinds(shown)
    assert shown[1][1] == row(b"soap")[5:]


def test_classified_columns_are_masked_and_recorded() -> None:
    desk = Desk()
    desk.from_client(query("select username, email from users"))
    described = row_description(("username", USERS, 2, TEXT), ("email", USERS, 3, TEXT))
    desk.from_server(described, row(b"ann", CANARY), complete("SELECT 1"), ready())
    assert CANARY not in bytes(desk.client)
    assert b"ann" in bytes(desk.client)
    done = desk.bodies("db.query.completed")[-1]
    assert [{"column": "public.users.email", "class": "email"}] == done["masked"]
    assert 1 == done["masked_cells"]
    assert 1 == done["rows"]


def test_nothing_is_released_before_its_record_is_safe() -> None:
    desk = Desk(keeps_records=True)
    desk.from_client(query("select 1"))
    assert [] == desk.to_server()
    desk.give(ev.RecordSafe(desk.records[-1].number or 0))
    assert "Q" == kinds(desk.to_server())


def test_the_end_is_told_after_the_completed_record_is_safe() -> None:
    desk = Desk(keeps_records=True)
    desk.from_client(query("select 1"))
    desk.give(ev.RecordSafe(desk.records[-1].number or 0))
    desk.from_server(row_description(("?column?", 0, 0, INT4)), row(b"1"), complete("SELECT 1"), ready())
    assert "TD" == kinds(desk.to_client())
    desk.give(ev.RecordSafe(desk.records[-1].number or 0))
    assert "CZ" == kinds(desk.to_client())


def test_a_record_that_cannot_be_written_refuses_its_statement_and_runs_nothing() -> None:
    desk = Desk(keeps_records=True)
    desk.from_client(query("delete from products where id = 1"))
    desk.give(ev.RecordFailed(desk.records[-1].number or 0))
    sent = desk.to_server()
    assert b"delete" not in sent[0][1]
    assert desk.bases[-1] is Housekeeping.REFUSAL
    desk.from_server(error("42601"), ready())
    shown = desk.to_client()
    assert "EZ" == kinds(shown)
    assert "53100" == fields_of(shown[0][1])["C"]


def test_an_outcome_that_cannot_be_recorded_ends_the_session() -> None:
    desk = Desk(keeps_records=True)
    desk.from_client(query("select 1"))
    desk.give(ev.RecordSafe(desk.records[-1].number or 0))
    desk.from_server(row_description(("?column?", 0, 0, INT4)), complete("SELECT 0"), ready())
    desk.give(ev.RecordFailed(desk.records[-1].number or 0))
    shown = desk.to_client()
    assert "TE" == kinds(shown)
    assert "FATAL" == fields_of(shown[1][1])["S"]
    assert desk.phase.is_over


def test_a_refusal_is_raised_by_the_server_in_its_place_and_told_in_our_words() -> None:
    desk = Desk()
    desk.from_client(query("drop table users"))
    sent = desk.to_server()
    assert "Q" == kinds(sent)
    assert b"drop" not in sent[0][1]
    assert b"querywarden refused" in sent[0][1]
    desk.from_server(error("42601", "syntax error"), ready("E"))
    shown = desk.to_client()
    assert "EZ" == kinds(shown)
    told = fields_of(shown[0][1])
    assert ("42501", "ERROR") == (told["C"], told["S"])
    decided = desk.records[-1]
    assert "deny" == decided.body["effect"]
    assert decided.id is not None
    assert decided.id in told["D"]
    assert told["H"]
    assert b"E" == shown[1][1]


def test_a_refused_parse_leaves_pipelined_neighbours_unharmed() -> None:
    desk = Desk()
    desk.from_client(
        parse("select name from products"), bind(), describe("P"), execute(),
        parse("truncate products"), bind(), execute(), SYNC,
        parse("select 1"), bind(), execute(), SYNC,
    )  # fmt: skip
    assert "PBDEPSPBDES" == kinds(desk.to_server())
    desk.from_server(
        PARSED, BOUND, row_description(("name", PRODUCTS, 2, TEXT)), row(b"soap"), complete("SELECT 1"), error("42601"), ready(),
        PARSED, BOUND, row_description(("?column?", 0, 0, INT4)), row(b"1"), complete("SELECT 1"), ready(),
    )  # fmt: skip
    shown = desk.to_client()
    assert "12TDCEZ12DCZ" == kinds(shown)
    assert "42501" == fields_of(shown[5][1])["C"]
    outcomes = [body["outcome"] for body in desk.bodies("db.query.completed")]
    assert ["ok", "ok"] == outcomes


def test_all_statements_of_a_text_are_refused_with_one() -> None:
    desk = Desk()
    desk.from_client(query("update products set name = 'x' where id = 1; drop table products"))
    sent = desk.to_server()
    assert b"update" not in sent[0][1]
    assert ["skipped"] == [body["outcome"] for body in desk.bodies("db.query.completed")]


def test_an_execute_without_describe_is_described_by_us_and_masked() -> None:
    desk = Desk()
    desk.from_client(parse("select email from users", "s1"), bind("", "s1"), execute(), SYNC)
    assert "PBDES" == kinds(desk.to_server())
    desk.from_server(PARSED, BOUND, row_description(("email", USERS, 3, TEXT)), row(CANARY), complete("SELECT 1"), ready())
    assert "12DCZ" == kinds(desk.to_client())
    assert CANARY not in bytes(desk.client)


def test_masks_persist_over_suspended_executes() -> None:
    desk = Desk()
    desk.from_client(parse("select email from users"), bind("p"), execute("p", 1), execute("p", 1), SYNC)
    assert "PBDEES" == kinds(desk.to_server())
    suspended = encode(b"s", b"")
    desk.from_server(PARSED, BOUND, row_description(("email", USERS, 3, TEXT)), row(CANARY), suspended, row(CANARY), suspended, ready("T"))
    assert CANARY not in bytes(desk.client)
    assert "12DsDsZ" == kinds(desk.to_client())


def test_a_statement_skipped_by_the_server_does_not_take_over_a_name() -> None:
    """The server keeps the old unnamed statement when it skips a Parse: what runs then is masked as what it is."""
    desk = Desk()
    desk.from_client(parse("select lower(email) from users"), SYNC)
    desk.from_server(PARSED, ready())
    desk.to_server()
    desk.from_client(bind(), parse("select 1"), SYNC, bind(), execute(), SYNC)
    assert "BPS" == kinds(desk.to_server())  # The Bind of a name that isn't settled waits for the server's answer.
    desk.from_server(error("22P02"), ready())
    assert "BDES" == kinds(desk.to_server())
    desk.from_server(BOUND, row_description(("lower", 0, 0, TEXT)), row(CANARY), complete("SELECT 1"), ready())
    assert CANARY not in bytes(desk.client)


def test_after_an_error_without_sync_everything_is_skipped() -> None:
    desk = Desk()
    desk.from_client(parse("select 1"))
    desk.from_server(error("42601"))
    desk.to_server()
    desk.from_client(bind(), execute(), query("select name from products"))
    assert [] == desk.to_server()
    desk.from_client(SYNC, query("select name from products"))
    assert "SQ" == kinds(desk.to_server())


def test_error_text_of_a_statement_that_touches_classified_columns_is_withheld() -> None:
    desk = Desk()
    desk.from_client(query("select email::int from users"))
    text = f'invalid input syntax for type integer: "{CANARY.decode()}"'
    desk.from_server(error("22P02", text, D=CANARY.decode(), W="somewhere"), ready())
    assert CANARY not in bytes(desk.client)
    told = fields_of(desk.to_client()[0][1])
    assert "22P02" == told["C"]


def test_error_text_of_other_statements_is_the_servers_own() -> None:
    desk = Desk()
    desk.from_client(query("select 'x'::int"))
    desk.from_server(error("22P02", "invalid input syntax for type integer: \"x\""), ready())
    assert "invalid input syntax for type integer: \"x\"" == fields_of(desk.to_client()[0][1])["M"]


def test_constraint_names_stay_and_values_go() -> None:
    desk = Desk()
    desk.from_client(query("insert into users (id, email) values (1, 'a@b.c')"))
    text = 'duplicate key value violates unique constraint "users_email_key"'
    desk.from_server(error("23505", text, D=f"Key (email)=({CANARY.decode()})", n="users_email_key"), ready())
    assert CANARY not in bytes(desk.client)
    told = fields_of(desk.to_client()[0][1])
    assert "users_email_key" == told["n"]
    assert "users_email_key" in told["M"]


def test_function_call_is_refused_and_the_session_goes_on() -> None:
    desk = Desk()
    desk.from_client(encode(b"F", b"\0\0\0\x01" + b"\0" * 6), query("select 1"))
    assert "QQ" == kinds(desk.to_server())
    desk.from_server(error("42601"), ready())
    shown = desk.to_client()
    assert "0A000" == fields_of(shown[0][1])["C"]
    assert not desk.phase.is_over


@pytest.mark.parametrize("kind", [b"w", b"p", b"R", b"\x01"])
def test_unknown_messages_end_the_session(kind: bytes) -> None:
    desk = Desk()
    desk.from_client(encode(kind, b""))
    assert desk.phase.is_over
    assert "08P01" == fields_of(desk.to_client()[0][1])["C"]


def test_copy_data_flows_only_under_a_permitted_copy() -> None:
    desk = Desk()
    desk.from_client(encode(b"d", b"1\tx\n"), encode(b"c", b""))
    assert [] == desk.to_server()
    desk.from_client(query("copy products from stdin"))
    desk.to_server()
    desk.from_server(encode(b"G", b"\0\0\x02\0\0\0\0"))
    desk.from_client(encode(b"d", b"1\tx\n"), encode(b"d", b"2\ty\n"), encode(b"c", b""))
    assert "ddc" == kinds(desk.to_server())
    desk.from_server(complete("COPY 2"), ready())
    assert "GCZ" == kinds(desk.to_client())


def test_a_sync_inside_copy_in_has_no_answer() -> None:
    desk = Desk()
    desk.from_client(parse("copy products from stdin"), bind(), execute(), SYNC)
    desk.from_server(PARSED, BOUND, NO_DATA, encode(b"G", b"\0\0\x02\0\0\0\0"))
    desk.from_client(encode(b"d", b"1\tx\n"), encode(b"c", b""), SYNC)
    desk.from_server(complete("COPY 1"), ready())
    assert "12GCZ" == kinds(desk.to_client())
    assert not desk.phase.state.expected


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
    assert "Q" == kinds(desk.to_server())
    assert "cancelled" == desk.bodies("db.query.completed")[0]["outcome"]


def test_a_server_that_goes_away_gives_one_honest_error() -> None:
    desk = Desk()
    desk.from_client(query("select name from products"))
    desk.give(ev.ServerClosed())
    shown = desk.to_client()
    assert "E" == kinds(shown)
    assert ("FATAL", "08006") == (fields_of(shown[0][1])["S"], fields_of(shown[0][1])["C"])
    assert "unknown" == desk.bodies("db.query.completed")[-1]["outcome"]


def test_a_fatal_error_of_the_server_is_told_once() -> None:
    desk = Desk()
    desk.from_server(encode(b"E", b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"))
    desk.give(ev.ServerClosed())
    assert "E" == kinds(desk.to_client())
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
    assert "CZE" == kinds(shown)
    assert "57P01" == fields_of(shown[-1][1])["C"]


def test_a_relation_that_the_catalogue_lacks_makes_it_be_read_again_before_rows_are_shown() -> None:
    desk = Desk(gives_catalogue=True)
    desk.from_client(query("select name from products"))
    desk.gives_catalogue = False
    desk.from_server(row_description(("e", 999, 1, TEXT)), row(CANARY), complete("SELECT 1"), ready())
    assert CANARY not in bytes(desk.client)
    assert any(isinstance(effect, fx.PauseServer) for effect in desk.effects)
    desk.give(ev.CatalogueReady(desk.catalogue))
    assert "TDCZ" == kinds(desk.to_client())


def test_goodbye_follows_what_was_asked_before() -> None:
    desk = Desk(keeps_records=True)
    desk.from_client(query("select 1"), encode(b"X", b""))
    assert not desk.phase.is_over
    desk.give(ev.RecordSafe(desk.records[-1].number or 0))
    assert "QX" == kinds(desk.to_server())
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
    assert "DBS" == kinds(desk.to_server())
    desk.from_server(BOUND, row_description(("name", PRODUCTS, 2, TEXT)), error("26000"), ready())
    shown = desk.to_client()
    assert "1Z2TEZE" == kinds(shown)
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
    assert "dQ" == kinds(desk.to_server())


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
    assert "TDEZ" == kinds(shown)
    assert "54000" == fields_of(shown[2][1])["C"]
    assert any(isinstance(effect, fx.ForwardCancel) for effect in desk.effects)
    assert not desk.phase.is_over


PEOPLE, DATE_ARRAY = 16403, 1182


def with_dates() -> Catalogue:
    columns = {1: Column(1, "id", "integer"), 2: Column(2, "born", "date[]", Classification(DataClass.DOB, "name"))}
    return Catalogue("1", {PEOPLE: Relation(PEOPLE, "public", "people", "table", columns)})
