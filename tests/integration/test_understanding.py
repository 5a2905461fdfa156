"""What the server is asked about statements: it decides what is masked, once for each text, and nobody notices that it was asked."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest
from psycopg import sql

CANARY = "canary.flow.5573@postbox.example"
SCHEMA = f"""
SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app;
GRANT CREATE ON DATABASE people TO app; SET ROLE app;
CREATE TABLE customers (id int PRIMARY KEY, email text, phone text, score int, note text);
INSERT INTO customers
    SELECT n, CASE n WHEN 1 THEN '{CANARY}' ELSE 'other' || n || '@postbox.example' END, '+49 30 55573' || n, n, 'note ' || n
    FROM generate_series(1, 5) n;
CREATE TABLE parts (id int PRIMARY KEY, label text);
INSERT INTO parts SELECT n, 'part ' || n FROM generate_series(1, 3) n;
DROP SCHEMA IF EXISTS other CASCADE; CREATE SCHEMA other;
CREATE TABLE other.parts (id int, label text); COMMENT ON COLUMN other.parts.label IS 'querywarden: secret';
INSERT INTO other.parts VALUES (1, '{CANARY}');
CREATE VIEW contacts AS SELECT id, email AS address, note AS remark, length(note) AS size FROM customers;
CREATE VIEW nested AS SELECT c.id, c.address, c.remark || '!' AS loud FROM contacts c WHERE c.size > 0;
CREATE FUNCTION plain_add(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE FUNCTION remark_of(which int) RETURNS text LANGUAGE sql STABLE AS 'SELECT note FROM customers WHERE id = which';
CREATE FUNCTION address_of(which int) RETURNS text LANGUAGE sql STABLE AS 'SELECT email FROM customers WHERE id = which';
CREATE FUNCTION hidden(which int) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN (SELECT email FROM customers WHERE id = which); END $$;
"""


@pytest.fixture
def people(site):
    site.server.sql(SCHEMA, "people")
    return site.through("people")


@pytest.fixture
def client(people):
    with people.connect(autocommit=True) as connection:
        yield connection


def rows(client: psycopg.Connection[Any], text: str, *arguments: object) -> list[tuple[Any, ...]]:
    return client.execute(text, arguments or None).fetchall()


class TestMasks:
    """By where a column comes from, not by what it is called."""

    @pytest.mark.parametrize(
        "text",
        [
            "SELECT email FROM customers WHERE id = 1",
            "SELECT x FROM (SELECT email AS x FROM customers WHERE id = 1) s",
            "WITH w AS MATERIALIZED (SELECT email AS x, id FROM customers) SELECT x FROM w WHERE id = 1",
            "SELECT address FROM contacts WHERE id = 1",
            "SELECT address FROM nested WHERE id = 1",
            "SELECT email FROM customers WHERE id = 1 UNION ALL SELECT address FROM contacts WHERE id = 9",
            "SELECT (SELECT email FROM customers WHERE id = 1)",
            "SELECT l.x FROM parts p, LATERAL (SELECT email AS x FROM customers c WHERE c.id = p.id) l WHERE p.id = 1",
            "WITH RECURSIVE w(x, n) AS (SELECT email, 1 FROM customers WHERE id = 1 UNION SELECT x, 2 FROM w WHERE n < 1) SELECT x FROM w",
            "SELECT (customers).email FROM customers WHERE id = 1",
            "SELECT email::varchar FROM customers WHERE id = 1",
            "SELECT address_of(1)",
        ],
    )
    def test_a_column_that_is_passed_on_keeps_its_own_mask(self, client, text: str) -> None:
        ((value,),) = rows(client, text)
        assert value.startswith("u_")
        assert value.endswith("@example.com")

    @pytest.mark.parametrize(
        "expression",
        ["upper(email)", "email || ''", "length(email)", "md5(email)", "to_jsonb(customers)", "customers::text", "upper(address_of(id))",
         "hidden(id)",
         "CASE WHEN email = 'x' THEN 1 ELSE 2 END", "ARRAY[email]", "ROW(email)::text", "coalesce(email, note)", "(email = 'x')::text",
         "jsonb_build_object('a', email)", "row_number() OVER (ORDER BY id) + length(email)"],
    )  # fmt: skip
    def test_what_is_derived_is_null(self, client, expression: str) -> None:
        assert rows(client, f"SELECT {expression} FROM customers WHERE id = 1") == [(None,)]

    @pytest.mark.parametrize(
        ("expression", "value"),
        [
            ("upper(note)", "NOTE 1"), ("score * 2", 2), ("plain_add(score, 3)", 4), ("remark_of(id)", "note 1"), ("id || note", "1note 1"),
            ("(SELECT label FROM parts p WHERE p.id = customers.id)", "part 1"), ("row_number() OVER ()", 1), ("now() IS NOT NULL", True),
            ("(SELECT count(*) FROM customers)", 5), ("(SELECT count(DISTINCT email) FROM customers)", 5),
            ("EXISTS (SELECT 1 FROM customers c WHERE c.email = 'x')", False), ("ARRAY[score, id]", [1, 1]),
            ("customers.ctid IS NULL", False),
            ("jsonb_build_object('n', note)", {"n": "note 1"}), ("CASE WHEN score > 0 THEN note END", "note 1"),
        ],
    )  # fmt: skip
    def test_what_is_made_of_other_columns_is_shown(self, client, expression: str, value: object) -> None:
        assert rows(client, f"SELECT {expression} FROM customers WHERE id = 1") == [(value,)]

    def test_other_columns_of_views_and_aggregates_are_shown(self, client) -> None:
        assert rows(client, "SELECT remark, size FROM contacts WHERE id = 2") == [("note 2", 6)]
        assert rows(client, "SELECT loud FROM nested WHERE id = 2") == [("note 2!",)]
        assert rows(client, "SELECT max(score), sum(score), count(email), max(email) FROM customers") == [(5, 15, 5, None)]

    def test_statements_that_differ_in_literals_are_understood_alike(self, client) -> None:
        for number in range(1, 6):
            (found,) = rows(client, f"SELECT upper(note), upper(email), 'x{number}' FROM customers WHERE id = {number}")
            assert found == (f"NOTE {number}", None, f"x{number}")

    def test_parameters_and_binary_form(self, client) -> None:
        with client.cursor(binary=True) as cursor:
            found = cursor.execute(
                "SELECT note || %b, email, length(email), score FROM customers WHERE id = %b", ("?", 1), prepare=True
            ).fetchall()
        ((note, email, length, score),) = found
        assert (note, length, score) == ("note 1?", None, 1)
        assert email.startswith("u_")

    def test_a_cursor_follows_its_query(self, client) -> None:
        with client.transaction():
            client.execute("DECLARE c CURSOR FOR SELECT upper(note), upper(email) FROM customers ORDER BY id")
            assert rows(client, "FETCH 2 FROM c") == [("NOTE 1", None), ("NOTE 2", None)]

    def test_a_statement_prepared_in_sql_follows_its_body(self, client) -> None:
        client.execute("PREPARE p(int) AS SELECT upper(note), upper(email) FROM customers WHERE id = $1")
        assert rows(client, "EXECUTE p(3)") == [("NOTE 3", None)]


class TestNobodyNotices:
    """The client, its transaction, its names, its notices and the server's log."""

    def test_nothing_is_left_on_and_nothing_is_said(self, people, client) -> None:
        heard: list[Any] = []
        client.add_notice_handler(heard.append)
        settings = (
            "SELECT current_setting('client_min_messages'), current_setting('debug_print_rewritten'), current_setting('log_min_messages')"
        )
        before = rows(client, settings)
        rows(client, "SELECT upper(note) FROM customers WHERE email IS NOT NULL")
        with client.transaction():
            rows(client, "SELECT upper(note), 1 FROM customers WHERE email IS NOT NULL")
            assert rows(client, settings) == before
            assert rows(client, "SELECT pg_current_xact_id_if_assigned()::text") == [(None,)]
            assert rows(client, "SHOW transaction_read_only") == [("off",)]
        assert rows(client, settings) == before
        assert rows(client, "SELECT name FROM pg_prepared_statements WHERE name LIKE 'querywarden%'") == []
        assert heard == []

    def test_the_clients_unnamed_statement_stays(self, client) -> None:
        connection = client.pgconn
        assert connection.prepare(b"", b"SELECT 'mine'").status == psycopg.pq.ExecStatus.COMMAND_OK
        assert connection.prepare(b"other", b"SELECT upper(note), 2 FROM customers WHERE email IS NOT NULL").status == 1
        assert connection.exec_prepared(b"", None).get_value(0, 0) == b"mine"

    def test_a_wrong_statement_gets_the_servers_own_error(self, site, client) -> None:
        direct = site.direct("people").connect(autocommit=True)
        for connection in (client, direct):
            with pytest.raises(psycopg.errors.UndefinedColumn) as failed:
                connection.execute("SELECT email, nope FROM customers")
            assert failed.value.diag.message_primary == 'column "nope" does not exist'
            assert failed.value.diag.statement_position == "15"
            assert rows(connection, "SELECT 1") == [(1,)]
        direct.close()

    def test_a_wrong_statement_ends_the_transaction_as_ever(self, client) -> None:
        client.execute("BEGIN")
        with pytest.raises(psycopg.errors.UndefinedColumn):
            client.execute("SELECT email, nope FROM customers")
        assert client.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            client.execute("SELECT upper(email) FROM customers")
        client.execute("ROLLBACK")

    def test_in_a_pipeline_each_statement_has_its_answer(self, client) -> None:
        with client.pipeline():
            first = client.execute("SELECT 1")
            found = [
                client.execute(f"SELECT upper(note), upper(email), {'x' * n!r} FROM customers WHERE id = %s", (n,)) for n in range(1, 4)
            ]
            last = client.execute("SELECT 2")
        assert first.fetchone() == (1,)
        assert [each.fetchone() for each in found] == [(f"NOTE {n}", None, "x" * n) for n in range(1, 4)]
        assert last.fetchone() == (2,)

    def test_a_wrong_statement_in_a_pipeline_fails_there(self, client) -> None:
        def run() -> None:
            with client.pipeline():
                client.execute("SELECT 1")
                client.execute("SELECT email, nope FROM customers")
                client.execute("SELECT 2")

        with pytest.raises(psycopg.errors.UndefinedColumn, match="nope"):
            run()
        assert rows(client, "SELECT 3") == [(3,)]

    def test_the_servers_log_has_none_of_it(self, site, client) -> None:
        before = site.server.log_file.stat().st_size
        rows(client, "SELECT upper(note), 'log' FROM customers WHERE email IS NOT NULL")
        with client.transaction():
            rows(client, "SELECT upper(note), 'log in transaction' FROM customers WHERE email IS NOT NULL")
        text = site.server.log_file.read_bytes()[before:].decode(errors="replace")
        assert "debug_print_rewritten" in text
        assert "rewritten parse tree" not in text
        assert "{QUERY" not in text

    def test_each_text_is_asked_about_once(self, site, people) -> None:
        def asked() -> int:
            return site.server.log_file.read_text(errors="replace").count("debug_print_rewritten")

        texts = [
            "SELECT upper(note), 'once', id FROM customers WHERE email IS NOT NULL",
            "SELECT lower(remark) FROM contacts WHERE address IS NULL",
        ]
        with people.connect(autocommit=True) as one:
            for text in texts:
                rows(one, text)
            before = asked()
            for text in texts * 5:
                rows(one, text)
        with people.connect(autocommit=True) as other:
            for text in texts * 5:
                rows(other, text)
        assert before > 0
        assert asked() == before

    def test_a_wait_for_a_lock_can_be_cancelled(self, site, client) -> None:
        with site.direct("people").connect(autocommit=False) as owner:
            owner.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
            threading.Timer(0.5, client.cancel).start()
            begun = time.monotonic()
            with pytest.raises(psycopg.errors.QueryCanceled):
                client.execute("SELECT upper(note), 'waits' FROM customers WHERE email IS NOT NULL")
            assert time.monotonic() - begun < 5
        assert rows(client, "SELECT 1") == [(1,)]

    def test_notifications_come_through(self, site, client) -> None:
        client.execute("LISTEN flow")
        site.server.sql("NOTIFY flow, 'hello'", "people")
        rows(client, "SELECT upper(note), 'listening' FROM customers WHERE email IS NOT NULL")
        assert [each.payload for each in client.notifies(timeout=2, stop_after=1)] == ["hello"]


class TestReportedSettings:
    """ParameterStatus is a carrier like any other: what code of the database puts into a setting isn't told."""

    def test_a_setting_that_a_function_fills(self, site, client) -> None:
        site.server.sql(
            "CREATE FUNCTION tell() RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
            " PERFORM set_config('application_name', (SELECT email FROM customers WHERE id = 1), false); RETURN 'told'; END $$",
            "people",
        )
        client.execute("SELECT tell()")
        assert CANARY not in client.info.parameter_status("application_name")
        client.execute("SET application_name = 'mine'")
        assert client.info.parameter_status("application_name") == "mine"

    def test_a_setting_that_a_trigger_fills(self, site, client) -> None:
        site.server.sql(
            "CREATE FUNCTION tell_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " PERFORM set_config('TimeZone',"
            " '<' || left(replace(replace((SELECT email FROM customers WHERE id = 1), '.', ''), '@', ''), 12) || '>5', false);"
            " RETURN NEW; END $$; CREATE TRIGGER tells BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION tell_all()",
            "people",
        )
        client.execute("INSERT INTO parts VALUES (90, 'x')")
        assert "canary" not in client.info.parameter_status("TimeZone")
        client.execute("SET TIME ZONE 'Asia/Tokyo'")
        assert client.info.parameter_status("TimeZone") == "Asia/Tokyo"


class TestNamesThatMove:
    """What a name means is asked again after whatever may have moved it."""

    @pytest.mark.parametrize(
        "move",
        [
            "SET search_path = other", "SELECT set_config('search_path', 'other', false)", "BEGIN; SET LOCAL search_path = other",
            "CREATE TEMP TABLE parts AS SELECT id, label FROM other.parts",
        ],
    )  # fmt: skip
    def test_a_moved_name_space(self, client, move: str) -> None:
        text = "SELECT upper(label::text) FROM parts WHERE id = 1"
        assert rows(client, text) == [("PART 1",)]
        try:
            client.execute(move)
        except psycopg.errors.InsufficientPrivilege:
            assert "TEMP" in move, "a store of classified values"
        assert CANARY.upper() not in str(rows(client, text))

    def test_and_back_again(self, client) -> None:
        text = "SELECT upper(label) FROM parts WHERE id = 1"
        assert rows(client, text) == [("PART 1",)]
        client.execute("SET search_path = other")
        assert rows(client, text) == [(None,)]
        client.execute("RESET search_path")
        assert rows(client, text) == [("PART 1",)]
        client.execute("BEGIN; SET LOCAL search_path = other")
        assert rows(client, text) == [(None,)]
        client.execute("ROLLBACK")
        assert rows(client, text) == [("PART 1",)]

    def test_a_prepared_statement_follows_the_search_path_as_in_the_server(self, client) -> None:
        text = "SELECT upper(label) FROM parts WHERE id = %s"
        assert client.execute(text, (1,), prepare=True).fetchall() == [("PART 1",)]
        client.execute("SET search_path = other")
        assert client.execute(text, (1,), prepare=True).fetchall() == [(None,)]

    def test_a_view_replaced_by_the_session_is_seen_before_its_commit(self, client, site) -> None:
        client.execute("CREATE VIEW shown AS SELECT id, note AS x FROM customers")
        text = "SELECT upper(x) FROM shown WHERE id = 1"
        assert rows(client, text) == [("NOTE 1",)]
        client.execute("BEGIN")
        client.execute("CREATE OR REPLACE VIEW shown AS SELECT id, email AS x FROM customers")
        assert rows(client, text) == [(None,)]
        client.execute("ROLLBACK")
        assert rows(client, text) == [("NOTE 1",)]

    def test_a_view_replaced_by_another_session_is_seen_at_once(self, client, people) -> None:
        client.execute("CREATE VIEW shared AS SELECT id, note AS x FROM customers")
        text = "SELECT upper(x) FROM shared WHERE id = 1"
        assert rows(client, text) == [("NOTE 1",)]
        with people.connect(autocommit=True) as other:
            other.execute("CREATE OR REPLACE VIEW shared AS SELECT id, email AS x FROM customers")
            assert rows(client, text) == [(None,)]

    def test_a_view_replaced_while_a_statement_waits_for_it(self, client, people) -> None:
        client.execute("CREATE VIEW raced AS SELECT id, note AS x FROM customers")
        text = "SELECT x FROM raced WHERE id = 1"
        assert rows(client, text) == [("note 1",)]
        found: list[Any] = []

        def read() -> None:
            try:
                found.extend(rows(client, text))
            except psycopg.errors.SerializationFailure as error:
                found.append(error.diag.message_primary)

        with people.connect(autocommit=False) as other:
            other.execute("CREATE OR REPLACE VIEW raced AS SELECT id, email AS x FROM customers")
            reader = threading.Thread(target=read)
            reader.start()
            time.sleep(0.5)
            other.commit()
            reader.join(20)
        assert found
        assert CANARY not in str(found)


def test_without_the_right_names_decide(make_site, server18) -> None:
    """The coarse rule: nothing leaks, and what can't be told apart is masked."""
    server18.sql(SCHEMA, "people")
    server18.sql("REVOKE SET ON PARAMETER log_min_messages FROM app")
    before = server18.log_file.stat().st_size
    try:
        site = make_site()
        with site.through("people").connect(autocommit=True) as client:
            assert rows(client, "SELECT upper(note) FROM customers WHERE id = 1") == [("NOTE 1",)]
            assert rows(client, "SELECT upper(x) FROM (SELECT note AS x FROM customers WHERE id = 1) s") == [(None,)]
            assert rows(client, "SELECT upper(address) FROM contacts WHERE id = 1") == [(None,)]
        assert "rewritten parse tree" not in server18.log_file.read_bytes()[before:].decode(errors="replace")
    finally:
        server18.sql("GRANT SET ON PARAMETER log_min_messages TO app")
        server18.sql("SET client_min_messages = warning; DROP SCHEMA IF EXISTS other CASCADE", "people")


def test_identifiers_are_the_clients_own(client) -> None:
    """Names that look like what the proxy uses itself."""
    name = sql.Identifier("querywarden.probe")
    client.execute(sql.SQL("PREPARE {} AS SELECT 1").format(name))
    assert rows(client, "SELECT upper(note), 'named' FROM customers WHERE email IS NOT NULL AND id = 1") == [("NOTE 1", "named")]
