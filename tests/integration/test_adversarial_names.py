"""Names that mean something else by the time they are used: cursors, prepared statements, views and columns, against real servers."""

from __future__ import annotations

import pytest
from tests.model.wire_client import SYNC, WireClient, bind, close, describe, execute, parse, query, told

CANARY = "canary.mail.7391@postbox.example"
_SCHEMA = f"""
SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app; SET ROLE app;
CREATE TABLE customers (id int PRIMARY KEY, email text, loyalty int); INSERT INTO customers VALUES (1, '{CANARY}', 4711);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, note text); INSERT INTO orders VALUES (1, 1, 'note 1');
CREATE VIEW notes AS SELECT note FROM orders;
CREATE VIEW filtered AS SELECT id FROM customers WHERE email::int > 0;
"""
_REPLACE = "CREATE OR REPLACE VIEW notes AS SELECT email AS note FROM customers"


@pytest.fixture
def people(site):
    site.server.sql(_SCHEMA, "people")
    with WireClient(site.through("people", tls=False)) as client:
        yield client
        assert CANARY.encode() not in bytes(client.seen), "a canary has left"


def _kinds(messages):
    return "".join(kind for kind, _ in messages)


def test_a_portal_over_fetch_does_not_show_a_cursor_opened_later_under_the_same_name(people):
    """Its columns were described when it was bound; its rows would come from the cursor of that name now."""
    people.run("BEGIN; DECLARE c CURSOR FOR SELECT note FROM orders")
    people.ask(parse("FETCH ALL FROM c", "s"), bind("p", "s"), describe("P", "p"), SYNC)
    people.run("CLOSE c; DECLARE c CURSOR FOR SELECT email FROM customers")
    answer = people.ask(execute("p"), SYNC)
    assert "EZ" == _kinds(answer), told(answer)


@pytest.mark.parametrize("fetched", [[execute("p"), SYNC], [query("FETCH ALL FROM p")]], ids=["execute", "fetch"])
def test_a_portal_over_execute_does_not_show_a_statement_prepared_later_under_the_same_name(people, fetched):
    people.run("PREPARE q AS SELECT note FROM orders; BEGIN")
    people.ask(parse("EXECUTE q", "s"), bind("p", "s"), describe("P", "p"), SYNC)
    people.run("DEALLOCATE q; PREPARE q AS SELECT email FROM customers")
    answer = people.ask(*fetched)
    assert "EZ" == _kinds(answer), told(answer)


def test_a_portal_over_execute_runs_what_it_was_bound_to(people):
    people.run("PREPARE q AS SELECT note FROM orders; BEGIN")
    people.ask(parse("EXECUTE q", "s"), bind("p", "s"), describe("P", "p"), SYNC)
    people.run("SELECT 1")
    answer = people.ask(execute("p"), SYNC)
    assert "DCZ" == _kinds(answer), told(answer)


def test_a_cursor_opened_by_code_under_the_name_of_one_that_was_rolled_back_is_not_taken_for_it(people):
    people.run("CREATE FUNCTION open_it(r refcursor) RETURNS refcursor LANGUAGE plpgsql AS"
               " $$ BEGIN OPEN r FOR SELECT email || '' FROM customers; RETURN r; END $$")  # fmt: skip
    people.run("BEGIN; SAVEPOINT s; DECLARE c CURSOR FOR SELECT 1 || ''; ROLLBACK TO s")
    people.run("SELECT open_it('c')")
    assert "TDCZ" == _kinds(people.run("FETCH ALL FROM c"))


def test_a_held_cursor_is_described_again_where_an_error_had_the_first_describe_skipped(people):
    """Nothing of ours may go missing with what the server skips: the session would end at rows that nobody described."""
    people.run("DECLARE h CURSOR WITH HOLD FOR SELECT note FROM orders")
    failing = (parse("SELECT 1 / 0"), bind(), execute(), describe("P", "h"), SYNC)
    assert "EZDCZ" == _kinds(people.ask(*failing, execute("h"), SYNC))[-5:]
    assert "TDCZ" == _kinds(people.run("SELECT 1"))


def test_a_held_cursor_of_a_transaction_that_was_rolled_back_is_gone(people):
    people.run("BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT note FROM orders; ROLLBACK")
    people.run("DECLARE i CURSOR WITH HOLD FOR SELECT note FROM orders; SELECT 1 / 0")
    for name in ("h", "i"):
        assert b"C34000\0" in people.ask(execute(name), SYNC)[0][1]


def test_the_unnamed_statement_outlives_deallocate_all(people):
    """As at the server, which drops the named ones alone."""
    people.ask(parse("SELECT 1"), parse("SELECT 2", "s"), SYNC)
    people.ask(parse("DEALLOCATE ALL", "d"), bind("", "d"), execute(), SYNC)
    assert "2DCZ" == _kinds(people.ask(bind(), execute(), SYNC))
    assert "EZ" == _kinds(people.ask(bind("", "s"), SYNC))


@pytest.mark.parametrize(
    "sequence",
    [
        [query(f"BEGIN; {_REPLACE}; SELECT note FROM notes; SELECT note || '' FROM notes; COMMIT")],
        [query(f"BEGIN; {_REPLACE}; COMMIT; SELECT note FROM notes; SELECT note || '' FROM notes")],
        [parse(_REPLACE), bind(), execute(), parse("SELECT note FROM notes"), bind(), execute(), SYNC],
        [parse(_REPLACE), bind(), execute(), SYNC, bind("", "plain"), execute(), bind("", "derived"), execute(), SYNC],
        [query(_REPLACE), bind("", "plain"), execute(), bind("", "derived"), execute(), SYNC],
        [query(_REPLACE), query("SELECT note FROM notes"), query("SELECT note || '' FROM notes")],
        [query(_REPLACE), query("COPY (SELECT note FROM notes) TO STDOUT")],
    ],
    ids=["open", "one query", "one pipeline", "prepared before", "query, then prepared", "queries", "copy"],
)
def test_a_view_replaced_a_moment_ago_is_masked_at_once(people, sequence):
    """The catalogue is older than the view: what it says of it holds no more."""
    people.ask(parse("SELECT note FROM notes", "plain"), parse("SELECT note || '' FROM notes", "derived"), SYNC)
    people.ask(bind("", "plain"), describe("P"), execute(), bind("", "derived"), execute(), SYNC)
    answer = people.ask(*sequence)
    assert "" not in {kind for kind, _ in answer}, told(answer)
    assert CANARY not in told(answer)
    assert "TDCZ" == _kinds(people.run("SELECT 1"))


def test_an_error_in_a_condition_of_a_view_holds_no_value(people):
    """No column of the view is classified; its condition reads one that is."""
    for answer in (people.run("SELECT id FROM filtered"), people.ask(parse("SELECT id FROM filtered"), bind(), execute(), SYNC)):
        assert any(b"C22P02\0" in body for kind, body in answer if kind == "E"), told(answer)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE customers RENAME COLUMN email TO remark",
        "ALTER TABLE customers ADD COLUMN remark text GENERATED ALWAYS AS (email || '') STORED",
        "ALTER TABLE customers ALTER COLUMN loyalty TYPE text USING email",
    ],
)
def test_a_classified_column_does_not_lose_its_class_by_ddl(people, statement):
    assert b"C42501\0" in people.run(statement)[0][1]
    people.run("SELECT * FROM customers")


def test_columns_without_a_class_may_be_renamed_and_computed_with(people):
    for statement in (
        "ALTER TABLE orders RENAME COLUMN note TO remark", "ALTER TABLE customers RENAME COLUMN loyalty TO points",
        "ALTER TABLE customers ADD COLUMN doubled int GENERATED ALWAYS AS (points * 2) STORED", "DROP VIEW filtered",
        "ALTER TABLE customers ALTER COLUMN email TYPE varchar(100)",
    ):  # fmt: skip
        assert "CZ" == _kinds(people.run(statement))


def test_a_closed_portals_name_may_be_used_again_in_the_same_pipeline(people):
    people.ask(parse("SELECT note FROM orders", "s"), parse("SELECT email FROM customers", "t"), SYNC)
    people.run("BEGIN")
    answer = people.ask(bind("p", "s"), describe("P", "p"), close("P", "p"), bind("p", "t"), execute("p"), SYNC)
    assert "2T32DCZ" == _kinds(answer)
