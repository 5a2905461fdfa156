"""The statement phase as a dialogue: what the client says, what the server is told, what each of them hears."""


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
    kinds_of,
    parse,
    query,
    ready,
    row,
    row_description,
)

from querywarden.gate.permit import Housekeeping, Permit
from querywarden.postgresql.framing import encode
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

CANARY = b"canary-7f3a@example.org"


def test_a_query_goes_out_on_a_permit_and_its_rows_come_back() -> None:
    desk = Desk()
    desk.from_client(query("select name from products"))
    assert [("Q", b"select name from products\0")] == desk.to_server()
    assert isinstance(desk.bases[-1], Permit)
    desk.from_server(row_description(("name", PRODUCTS, 2, TEXT)), row(b"soap"), complete("SELECT 1"), ready())
    shown = desk.to_client()
    assert "TDCZ" == kinds_of(shown)
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
    assert "Q" == kinds_of(desk.to_server())


def test_the_end_is_told_after_the_completed_record_is_safe() -> None:
    desk = Desk(keeps_records=True)
    desk.from_client(query("select 1"))
    desk.give(ev.RecordSafe(desk.records[-1].number or 0))
    desk.from_server(row_description(("?column?", 0, 0, INT4)), row(b"1"), complete("SELECT 1"), ready())
    assert "TD" == kinds_of(desk.to_client())
    desk.give(ev.RecordSafe(desk.records[-1].number or 0))
    assert "CZ" == kinds_of(desk.to_client())


def test_a_record_that_cannot_be_written_refuses_its_statement_and_runs_nothing() -> None:
    desk = Desk(keeps_records=True)
    desk.from_client(query("delete from products where id = 1"))
    desk.give(ev.RecordFailed(desk.records[-1].number or 0))
    sent = desk.to_server()
    assert b"delete" not in sent[0][1]
    assert desk.bases[-1] is Housekeeping.REFUSAL
    desk.from_server(error("42601"), ready())
    shown = desk.to_client()
    assert "EZ" == kinds_of(shown)
    assert "53100" == fields_of(shown[0][1])["C"]


def test_a_refusal_is_raised_by_the_server_in_its_place_and_told_in_our_words() -> None:
    desk = Desk()
    desk.from_client(query("drop table users"))
    sent = desk.to_server()
    assert "Q" == kinds_of(sent)
    assert b"drop" not in sent[0][1]
    assert b"querywarden refused" in sent[0][1]
    desk.from_server(error("42601", "syntax error"), ready("E"))
    shown = desk.to_client()
    assert "EZ" == kinds_of(shown)
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
    assert "PBDEPSPBDES" == kinds_of(desk.to_server())
    desk.from_server(
        PARSED, BOUND, row_description(("name", PRODUCTS, 2, TEXT)), row(b"soap"), complete("SELECT 1"), error("42601"), ready(),
        PARSED, BOUND, row_description(("?column?", 0, 0, INT4)), row(b"1"), complete("SELECT 1"), ready(),
    )  # fmt: skip
    shown = desk.to_client()
    assert "12TDCEZ12DCZ" == kinds_of(shown)
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
    assert "PBDES" == kinds_of(desk.to_server())
    desk.from_server(PARSED, BOUND, row_description(("email", USERS, 3, TEXT)), row(CANARY), complete("SELECT 1"), ready())
    assert "12DCZ" == kinds_of(desk.to_client())
    assert CANARY not in bytes(desk.client)


def test_masks_persist_over_suspended_executes() -> None:
    desk = Desk()
    desk.from_client(parse("select email from users"), bind("p"), execute("p", 1), execute("p", 1), SYNC)
    assert "PBDEES" == kinds_of(desk.to_server())
    suspended = encode(b"s", b"")
    desk.from_server(PARSED, BOUND, row_description(("email", USERS, 3, TEXT)), row(CANARY), suspended, row(CANARY), suspended, ready("T"))
    assert CANARY not in bytes(desk.client)
    assert "12DsDsZ" == kinds_of(desk.to_client())


def test_a_statement_skipped_by_the_server_does_not_take_over_a_name() -> None:
    """The server keeps the old unnamed statement when it skips a Parse: what runs then is masked as what it is."""
    desk = Desk()
    desk.from_client(parse("select lower(email) from users"), SYNC)
    desk.from_server(PARSED, ready())
    desk.to_server()
    desk.from_client(bind(), parse("select 1"), SYNC, bind(), execute(), SYNC)
    assert "BPS" == kinds_of(desk.to_server())  # The Bind of a name that isn't settled waits for the server's answer.
    desk.from_server(error("22P02"), ready())
    assert "BDES" == kinds_of(desk.to_server())
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
    assert "SQ" == kinds_of(desk.to_server())


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
    assert "QQ" == kinds_of(desk.to_server())
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
    assert "ddc" == kinds_of(desk.to_server())
    desk.from_server(complete("COPY 2"), ready())
    assert "GCZ" == kinds_of(desk.to_client())


def test_a_sync_inside_copy_in_has_no_answer() -> None:
    desk = Desk()
    desk.from_client(parse("copy products from stdin"), bind(), execute(), SYNC)
    desk.from_server(PARSED, BOUND, NO_DATA, encode(b"G", b"\0\0\x02\0\0\0\0"))
    desk.from_client(encode(b"d", b"1\tx\n"), encode(b"c", b""), SYNC)
    desk.from_server(complete("COPY 1"), ready())
    assert "12GCZ" == kinds_of(desk.to_client())
    assert not desk.phase.state.expected


def test_a_relation_that_the_catalogue_lacks_makes_it_be_read_again_before_rows_are_shown() -> None:
    desk = Desk(gives_catalogue=True)
    desk.from_client(query("select name from products"))
    desk.gives_catalogue = False
    desk.from_server(row_description(("e", 999, 1, TEXT)), row(CANARY), complete("SELECT 1"), ready())
    assert CANARY not in bytes(desk.client)
    assert any(isinstance(effect, fx.PauseServer) for effect in desk.effects)
    desk.give(ev.CatalogueReady(desk.catalogue))
    assert "TDCZ" == kinds_of(desk.to_client())
