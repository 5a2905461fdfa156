"""Attacks on holds, on a real server: approvals used for something else, estimates that are led astray, and waits that are disturbed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import pq
from tests.integration.approvers import Waiting
from tests.integration.held_site import Desk
from tests.model import wire_client as wire

NOT_ALLOWED = psycopg.errors.InsufficientPrivilege


@pytest.fixture(autouse=True)
def nothing_left(desk: Desk) -> Iterator[None]:
    """A principal may have only so many requests open."""
    yield
    erin = desk.approver()
    for request in erin.requests():
        erin.deny(request["id"])


@pytest.fixture
def client(desk: Desk) -> Iterator[wire.WireClient]:
    with wire.WireClient(desk.site.through("shop", tls=False)) as client:
        yield client


@pytest.fixture
def locker(desk: Desk) -> Iterator[psycopg.Connection]:
    """Somebody else, at the server itself."""
    with desk.site.direct("people").connect(autocommit=False) as connection:
        yield connection
        connection.rollback()


def typed_parse(text: str, name: str, *types: int) -> bytes:
    told = len(types).to_bytes(2, "big") + b"".join(each.to_bytes(4, "big") for each in types)
    body = name.encode() + b"\0" + text.encode() + b"\0" + told
    return wire.encode(b"P", body)


def binary_bind(*values: bytes, statement: str = "", portal: str = "") -> bytes:
    body = portal.encode() + b"\0" + statement.encode() + b"\0\0\1\0\1" + len(values).to_bytes(2, "big")
    return wire.encode(b"B", body + b"".join(len(value).to_bytes(4, "big") + value for value in values) + b"\0\0")


INT8, FLOAT8 = 20, 701
ONE_AS_FLOAT8 = bytes.fromhex("3ff0000000000000")


def test_parameters_of_another_type_are_other_parameters(desk: Desk, client: wire.WireClient) -> None:
    """The same bytes are 1.0 as a float8 and 4607182418800017408 as an int8."""
    erin = desk.approver()
    text = "DELETE FROM ledger WHERE id <= $1"

    def run(kind: int) -> str:
        return wire.told(client.ask(typed_parse(text, "", kind), binary_bind(ONE_AS_FLOAT8), wire.execute(), wire.SYNC))

    assert "42501" in run(FLOAT8)
    request = erin.wait_for_request(rule="again")
    assert ["1.0"] == erin.show(request["id"])["statement"]["parameters"]
    assert 200 == erin.approve(request["id"]).status_code
    assert "42501" in run(INT8)
    assert 100 == desk.count("ledger")
    assert "DELETE 1" in run(FLOAT8)


def test_a_temporary_table_in_front_of_the_real_one_is_another_question(desk: Desk) -> None:
    erin = desk.approver()
    text = "DELETE FROM ledger WHERE id < 1000"
    with desk.connect() as connection:
        connection.execute("CREATE TEMP TABLE ledger (id int)")
        with pytest.raises(NOT_ALLOWED):
            connection.execute(text)
        assert 200 == erin.approve(erin.wait_for_request(rule="again")["id"]).status_code
        connection.execute("DROP TABLE pg_temp.ledger")
        with pytest.raises(NOT_ALLOWED):
            connection.execute(text)
    assert 100 == desk.count("ledger")


def test_settings_that_change_what_constants_mean_are_another_question(desk: Desk) -> None:
    erin = desk.approver()
    text = "DELETE FROM ledger WHERE DATE '2026-05-01' + id < '2/1/2026'"
    with desk.connect() as connection:
        connection.execute("SET datestyle = 'ISO, DMY'")
        with pytest.raises(NOT_ALLOWED):
            connection.execute(text)
        assert 200 == erin.approve(erin.wait_for_request(rule="again")["id"]).status_code
        connection.execute("SET datestyle = 'ISO, MDY'")
        with pytest.raises(NOT_ALLOWED):
            connection.execute(text)


@pytest.mark.parametrize(
    "before",
    [
        "SET search_path = public",
        "SELECT set_config('search_path', 'public', false)",
        "DROP TABLE parts",
        "SET search_path = small; COMMIT",
    ],
)
def test_an_estimate_does_not_count_after_a_statement_that_changes_names(desk: Desk, before: str) -> None:
    """The planner is asked before the text runs, and would look at the small table."""
    desk.site.server.sql(
        "SET client_min_messages = warning; DROP SCHEMA IF EXISTS small CASCADE; SET ROLE app; CREATE SCHEMA small;"
        "CREATE TABLE small.parts (id int PRIMARY KEY, weight int);"
        "INSERT INTO small.parts VALUES (1, 1); ANALYZE small.parts",
        "people",
    )
    with desk.connect(options="-c querywarden.hold=fail") as connection:
        if "COMMIT" in before:
            connection.execute("BEGIN; SET LOCAL search_path = small")
            before = "COMMIT"
        elif "DROP" in before:
            connection.execute("CREATE TEMP TABLE parts (id int, weight int)")
            connection.execute("INSERT INTO parts VALUES (1, 1)")
            connection.execute("ANALYZE parts")
            before = "DROP TABLE pg_temp.parts"
        else:
            connection.execute("SET search_path = small")
        assert 1 == connection.execute("UPDATE parts SET weight = 0 WHERE id > 0").rowcount
        with pytest.raises(NOT_ALLOWED):
            connection.execute(f"{before}; UPDATE parts SET weight = 0 WHERE id > 0")
    assert "0" == desk.site.server.sql("SELECT count(*) FROM public.parts WHERE weight = 0", "people")


@pytest.mark.parametrize("before", ["BEGIN", "SET statement_timeout = '9s'", "INSERT INTO brief VALUES (2, 2)", "SAVEPOINT a; SELECT 1"])
def test_an_estimate_counts_after_a_statement_that_changes_nothing_of_it(desk: Desk, before: str) -> None:
    with desk.connect(options="-c querywarden.hold=fail", autocommit=False) as connection:
        connection.execute("SELECT 1")
        connection.execute(f"{before.removeprefix('BEGIN;')}; UPDATE parts SET weight = 0 WHERE id > 99")
        connection.commit()
    assert "1" == desk.site.server.sql("SELECT count(*) FROM public.parts WHERE weight = 0", "people")


def test_what_was_prepared_before_a_temporary_table_took_its_name_is_not_estimated_by_that(desk: Desk, client: wire.WireClient) -> None:
    """The server goes on with the table that the name meant when it was prepared; EXPLAIN of the text would see the temporary one."""
    text = "UPDATE parts SET weight = 0 WHERE id > 0"
    client.run("SET querywarden.hold = 'fail'")
    client.run("CREATE TEMP TABLE other (id int)")
    client.ask(wire.parse(text, "early"), wire.SYNC)
    client.run("CREATE TEMP TABLE parts (id int, weight int)")
    client.run("INSERT INTO parts VALUES (1, 1)")
    client.run("ANALYZE parts")
    told = wire.told(client.ask(wire.bind("", "early"), wire.execute(), wire.SYNC))
    assert "0A000" in told, told
    assert "UPDATE 1" in wire.told(client.ask(wire.parse(text), wire.bind(), wire.execute(), wire.SYNC))
    assert "0" == desk.site.server.sql("SELECT count(*) FROM public.parts WHERE weight = 0", "people")


def test_an_estimate_does_not_count_after_rows_that_the_text_brings(desk: Desk) -> None:
    with desk.connect(options="-c querywarden.hold=fail") as connection:
        connection.execute("CREATE TEMP TABLE wanted (id int PRIMARY KEY)")
        connection.execute("INSERT INTO wanted VALUES (1)")
        connection.execute("ANALYZE wanted")
        with pytest.raises(NOT_ALLOWED):
            connection.execute(
                "INSERT INTO pg_temp.wanted SELECT n FROM generate_series(2, 90) n;"
                "UPDATE parts SET weight = 0 WHERE id IN (SELECT id FROM pg_temp.wanted)"
            )
    assert "0" == desk.site.server.sql("SELECT count(*) FROM parts WHERE weight = 0", "people")


def test_all_that_a_rewrite_rule_adds_is_estimated(desk: Desk) -> None:
    desk.site.server.sql(
        "SET ROLE app; CREATE RULE more AS ON UPDATE TO parts WHERE old.id = 1 DO ALSO UPDATE brief SET n = 1 WHERE id = 1",
        "people",
    )
    with desk.connect(options="-c querywarden.hold=fail") as connection:
        assert 2 == connection.execute("UPDATE parts SET weight = 0 WHERE id < 3").rowcount
        with pytest.raises(NOT_ALLOWED):
            connection.execute("UPDATE parts SET weight = 0 WHERE id > 3")


def test_the_arguments_of_execute_do_not_run_before_the_approval(desk: Desk, client: wire.WireClient) -> None:
    """EXPLAIN EXECUTE evaluates them."""
    desk.site.server.sql(
        "SET ROLE app; CREATE TABLE traces (id int); CREATE FUNCTION trace() RETURNS int LANGUAGE sql VOLATILE AS "
        "'INSERT INTO traces VALUES (1) RETURNING id'; CREATE SEQUENCE numbers;",
        "people",
    )
    client.run("SET querywarden.hold = 'fail'")
    client.ask(typed_parse("DELETE FROM parts WHERE id = $1", "p", 23), wire.SYNC)
    began = time.monotonic()
    for argument in ("trace()", "nextval('numbers')", "1 + trace()", "length(pg_sleep(1.5)::text)"):
        for before in ((), (wire.parse("INSERT INTO brief VALUES (7, 7)"), wire.bind(), wire.execute())):
            told = wire.told(client.ask(*before, wire.parse(f"EXECUTE p({argument})"), wire.bind(), wire.execute(), wire.SYNC))
            assert "42501" in told, told
        assert "42501" in wire.told(client.run(f"EXECUTE p({argument})"))
    assert time.monotonic() - began < 4
    assert "0" == desk.site.server.sql("SELECT count(*) FROM traces", "people")
    assert "f" == desk.site.server.sql("SELECT is_called FROM numbers", "people")
    assert "100" == desk.site.server.sql("SELECT count(*) FROM parts", "people")


def test_a_statement_that_is_fetched_in_portions_is_approved_once(desk: Desk, client: wire.WireClient) -> None:
    erin = desk.approver()
    client.run("BEGIN")
    client.send(wire.parse("DELETE FROM parts WHERE id <= 5 RETURNING id"), wire.bind("c"), wire.execute("c", 2), wire.SYNC)
    erin.approve(erin.wait_for_request(rule="deletes")["id"])
    messages = client.ready() + client.ask(wire.execute("c", 2), wire.SYNC) + client.ask(wire.execute("c"), wire.SYNC)
    kinds = "".join(kind for kind, _ in messages)
    assert "N12DDsZDDsZDCZ" == kinds
    assert "2DDDDDCZ" != client.run("COMMIT")
    # Bound anew it is another run of the statement.
    client.run("BEGIN")
    client.send(wire.parse("DELETE FROM parts WHERE id <= 5 RETURNING id"), wire.bind("c"), wire.execute("c", 2), wire.SYNC)
    erin.wait_for_request(rule="deletes")
    assert 95 == desk.count()


@pytest.mark.parametrize("text", ["DELETE FROM parts WHERE id = 1", "UPDATE parts SET weight = 0 WHERE id > 98"])
def test_a_cancel_while_the_planner_is_asked(desk: Desk, locker: psycopg.Connection, text: str) -> None:
    """The planner waits for a lock, and the client gives up meanwhile."""
    erin = desk.approver()
    locker.execute("LOCK TABLE parts IN ACCESS EXCLUSIVE MODE")
    with desk.connect() as connection:
        waiting = Waiting(lambda: connection.execute(text))
        time.sleep(0.7)
        connection.cancel_safe(timeout=5)
        time.sleep(0.3)
        locker.rollback()
        with pytest.raises(psycopg.errors.QueryCanceled):
            waiting.result(6)
        assert pq.TransactionStatus.IDLE == connection.info.transaction_status
        assert (100,) == connection.execute("SELECT count(*) FROM parts WHERE weight > 0").fetchone()
    assert [] == erin.requests()


def test_a_cancel_while_the_planner_is_asked_in_a_segment_that_has_begun(desk: Desk, locker: psycopg.Connection) -> None:
    """There is no time-out of ours then: the server is told."""

    def work(connection: psycopg.Connection) -> None:
        with connection.pipeline():
            connection.execute("INSERT INTO brief VALUES (9, 9)")
            connection.execute("EXECUTE p(99)")

    with desk.connect() as connection:
        connection.execute("PREPARE p(int) AS UPDATE parts SET weight = 0 WHERE id > $1")
        locker.execute("LOCK TABLE parts IN ACCESS EXCLUSIVE MODE")
        waiting = Waiting(lambda: work(connection))
        time.sleep(0.7)
        assert waiting.is_waiting
        connection.cancel_safe(timeout=5)
        with pytest.raises(psycopg.errors.QueryCanceled):
            waiting.result(6)
        locker.rollback()
        assert (0,) == connection.execute("SELECT count(*) FROM brief WHERE id = 9").fetchone()


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("where", ["a_lock", "a_function"])
def test_a_planner_that_runs_out_of_time_leaves_the_session_as_it_was(
    desk: Desk, locker: psycopg.Connection, where: str, autocommit: bool
) -> None:
    """It waits for a lock when it parses, and for a function that it folds when it plans."""
    desk.site.server.sql("CREATE FUNCTION slow() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1 FROM pg_sleep(3)'", "people")
    with desk.connect(autocommit=autocommit, options="-c querywarden.hold=fail") as connection:
        connection.execute("INSERT INTO brief VALUES (2, 2)")
        if where == "a_lock":
            locker.execute("LOCK TABLE parts IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(NOT_ALLOWED):
            connection.execute("DELETE FROM parts WHERE id = 1" if where == "a_lock" else "DELETE FROM parts WHERE id = slow()")
        if not autocommit:
            connection.rollback()
        locker.rollback()
        assert pq.TransactionStatus.IDLE == connection.info.transaction_status
        assert ("off",) == connection.execute("SHOW transaction_read_only").fetchone()
        assert 2 == connection.execute("UPDATE parts SET weight = 0 WHERE id > 98").rowcount
        connection.commit()


def test_cancels_by_others_in_the_middle_of_a_question_leave_the_session_as_it_was(desk: Desk, client: wire.WireClient) -> None:
    question = wire.parse("UPDATE parts SET weight = 0 WHERE id > $1"), wire.bind("", "", b"97"), wire.execute(), wire.SYNC
    client.run("SET querywarden.hold = 'fail'")
    process = int(next(body for kind, body in client.run("SELECT pg_backend_pid()") if kind == "D")[6:])
    storm = Waiting(
        lambda: desk.site.server.sql(
            f"DO $$ BEGIN FOR n IN 1..1500 LOOP PERFORM pg_cancel_backend({process}); PERFORM pg_sleep(0.001); END LOOP; END $$"
        )
    )
    while storm.is_waiting:
        # Cancelled or not, each leaves no transaction behind.
        assert b"I" == client.ask(*question)[-1][1]
    storm.result()
    assert "UPDATE 3" in wire.told(client.ask(*question))
    assert "off" in wire.told(client.run("SHOW transaction_read_only"))


def test_a_client_that_floods_and_goes_is_noticed(desk: Desk) -> None:
    erin = desk.approver()
    client = wire.WireClient(desk.site.through("shop", tls=False))
    client.send(wire.query("DELETE FROM parts WHERE id = 1"), *[wire.query("SELECT 1")] * 3000)
    erin.wait_for_request(rule="deletes")
    client.close()
    time.sleep(2)
    assert [] == erin.requests()


@pytest.mark.parametrize(
    "text",
    [
        "MERGE INTO parts USING ledger ON parts.id = ledger.id AND parts.id = 1 WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM parts WHERE id = 1 RETURNING id) SELECT * FROM gone",
        "EXPLAIN ANALYZE DELETE FROM parts WHERE id = 1",
        "COPY (DELETE FROM parts WHERE id = 1 RETURNING id) TO STDOUT",
        "INSERT INTO brief VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = 2",
        "MERGE INTO brief USING parts ON brief.id = parts.id WHEN MATCHED THEN UPDATE SET n = 2",
    ],
)
def test_a_change_is_held_by_what_it_does_under_whatever_name(desk: Desk, client: wire.WireClient, text: str) -> None:
    client.run("SET querywarden.hold = 'fail'")
    assert "It needs an approval" in wire.told(client.run(text))
    assert (100, "1") == (desk.count(), desk.site.server.sql("SELECT n FROM brief WHERE id = 1", "people"))


def test_approvers_see_what_decides_what_a_text_means(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect(options="-c querywarden.hold=fail") as connection:
        connection.execute("SET search_path = pg_temp, public")
        connection.execute("CREATE TEMP TABLE parts (id int, weight int)")
        with pytest.raises(NOT_ALLOWED):
            connection.execute("DELETE FROM parts WHERE id = 1")
        seen = json.loads(erin.show(erin.wait_for_request(rule="deletes")["id"])["statement"]["namespace"])
    assert ("pg_temp, public", "app", ["parts"]) == (seen["search_path"], seen["role"], list(seen["temporary"]))


def test_names_with_quotes_are_asked_for_as_they_are(desk: Desk) -> None:
    erin = desk.approver()
    name = 'we"ird\\ {n},ame'
    quoted = '"' + name.replace('"', '""') + '"'
    with desk.connect(options="-c querywarden.hold=fail") as connection:
        connection.execute(f"CREATE TEMP TABLE {quoted} (id int)")
        with pytest.raises(NOT_ALLOWED):
            connection.execute(f"DELETE FROM parts USING {quoted} w WHERE parts.id = w.id")
        seen = json.loads(erin.show(erin.wait_for_request(rule="deletes")["id"])["statement"]["namespace"])
    assert [name] == list(seen["temporary"])
