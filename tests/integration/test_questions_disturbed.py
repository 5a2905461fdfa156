"""Hidden questions that are disturbed: locks, time-outs, cancels and ends of the session give the client what it would get without them."""

from __future__ import annotations

import threading
import time

import pytest
from tests.model.classified_sequences import RESET, SETUP
from tests.model.wire_client import FLUSH, SYNC, WireClient, bind, describe, execute, parse, query, told

LOCK = "LOCK TABLE c IN ACCESS EXCLUSIVE MODE"
TEXTS = iter(f"SELECT note AS disturbed{number} FROM c WHERE email IS NOT NULL ORDER BY id LIMIT 1" for number in range(10_000))
WAYS = {
    "query": lambda text: [query(text)],
    "extended": lambda text: [parse(text), bind(), describe("P"), execute(), SYNC],
    "in a segment": lambda text: [parse("SELECT 1", "a"), bind("a", "a"), execute("a"), FLUSH, parse(text), bind(), execute(), SYNC],
    "query in a segment": lambda text: [parse("SELECT 1", "a"), bind("a", "a"), execute("a"), FLUSH, query(text), SYNC],
}


@pytest.fixture
def people(site):
    site.server.sql(
        "SET client_min_messages = warning; DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS other CASCADE;"
        "GRANT CREATE ON DATABASE people TO app; CREATE SCHEMA public AUTHORIZATION app; SET ROLE app;" + SETUP + RESET,
        "people",
    )
    return site


@pytest.fixture
def client(people):
    with WireClient(people.through("people", tls=False)) as client:
        yield client


def disturb(site, verb: str) -> None:
    """Do something to the one who waits for the lock, once somebody does."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        done = site.server.sql(f"SELECT {verb}(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'app'", "people")
        if "t" in done.split():
            return
        time.sleep(0.02)


def codes(messages: list[tuple[str, bytes]]) -> list[str]:
    return [part[1:].decode() for kind, body in messages if kind == "E" for part in body.split(b"\0") if part[:1] == b"C"]


def lives_on(client: WireClient) -> bool:
    client.run("ROLLBACK")
    again = told(client.run(next(TEXTS)))
    return "note 1" in again and "notice" in told(client.run("SHOW client_min_messages"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("setting", ["statement_timeout = 300", "lock_timeout = 300"])
@pytest.mark.parametrize("begin", ["SELECT 1", "BEGIN"])
def test_a_time_out_of_the_client_is_told_when_it_is_over(people, client, way, setting, begin):
    client.run(f"SET {setting}")
    client.run(begin)
    with people.direct("people").connect(autocommit=False) as holder:
        holder.execute(LOCK)
        started = time.monotonic()
        found = client.ask(*WAYS[way](next(TEXTS)))
        assert time.monotonic() - started < 0.55, "the client has waited for the question and for its statement"
    assert codes(found) == ["57014" if setting.startswith("statement") else "55P03"]
    assert found[-1] == ("Z", b"E" if begin == "BEGIN" else b"I")
    assert lives_on(client)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("begin", ["SELECT 1", "BEGIN"])
def test_an_administrators_cancel_ends_the_statement(people, client, way, begin):
    client.run(begin)
    with people.direct("people").connect(autocommit=False) as holder:
        holder.execute(LOCK)
        canceller = threading.Thread(target=disturb, args=(people, "pg_cancel_backend"))
        canceller.start()
        found = client.ask(*WAYS[way](next(TEXTS)))
        canceller.join()
    assert codes(found) == ["57014"]
    assert found[-1] == ("Z", b"E" if begin == "BEGIN" else b"I")
    assert lives_on(client)


@pytest.mark.parametrize("way", WAYS)
def test_an_end_of_the_servers_session_is_told(people, client, way):
    with people.direct("people").connect(autocommit=False) as holder:
        holder.execute(LOCK)
        killer = threading.Thread(target=disturb, args=(people, "pg_terminate_backend"))
        killer.start()
        found = client.ask(*WAYS[way](next(TEXTS)))
        killer.join()
    assert codes(found) == ["57P01"]
    assert found[-1][0] == ""


def test_a_client_that_goes_leaves_nobody_waiting(people, wait_until):
    with people.direct("people").connect(autocommit=False) as holder:
        holder.execute(LOCK)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'app'"
        with WireClient(people.through("people", tls=False)) as client:
            client.send(query(next(TEXTS)))
            wait_until(lambda: people.server.sql(waiting, "people").split()[-1] == "1", "the question")
        wait_until(lambda: people.server.sql(waiting, "people").split()[-1] == "0", "the end of the question")
        assert holder.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "settings",
    [
        "client_min_messages = debug5", "debug_print_parse = on", "debug_print_plan = on", "debug_pretty_print = on",
        "log_statement_stats = on",
        "log_duration = on", "search_path = other, pg_catalog", "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'", "lc_messages = 'C'",
    ],
)  # fmt: skip
def test_settings_of_the_role_change_nothing(people, settings):
    server = people.server
    server.sql(
        "CREATE SCHEMA IF NOT EXISTS other; GRANT ALL ON SCHEMA other TO app; SET ROLE app; CREATE TABLE IF NOT EXISTS other.c AS TABLE c;"
        "CREATE OR REPLACE FUNCTION other.concat(VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';"
        "CREATE OR REPLACE FUNCTION other.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';"
        "CREATE OR REPLACE FUNCTION other.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';"
        "CREATE OR REPLACE FUNCTION other.eq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';"
        "DO $$ BEGIN CREATE OPERATOR other.= (LEFTARG = text, RIGHTARG = text, FUNCTION = other.eq);"
        " EXCEPTION WHEN duplicate_function THEN NULL; END $$",
        "people",
    )
    server.sql(f"ALTER ROLE app SET {settings}")
    try:
        answers = []
        texts = [next(TEXTS), next(TEXTS)]
        for way in (people.direct("people"), people.through("people", tls=False)):
            with WireClient(way) as client:
                found = client.run(texts[0]) + client.run("BEGIN") + client.ask(*WAYS["extended"](texts[1])) + client.run("COMMIT")
                answers.append([(kind, body) for kind, body in found if kind not in "TN"])
        assert answers[0] == answers[1]
    finally:
        server.sql(f"ALTER ROLE app RESET {settings.split()[0]}")
