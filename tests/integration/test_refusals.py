"""Refusals arrive in order, say why, and harm nothing around them: transactions, pipelines, neighbours."""

from __future__ import annotations

import re

import psycopg
import pytest
from psycopg import pq

_AUDIT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture
def shop(site):
    """A database labelled production, with a table to destroy."""
    site.server.sql(
        "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app; SET ROLE app;"
        "CREATE TABLE parts (id int PRIMARY KEY, weight int); INSERT INTO parts SELECT n, n FROM generate_series(1, 100) n;",
        "people",
    )
    return site.through("shop")


@pytest.fixture
def counted(site):
    return lambda: site.server.sql("SELECT count(*) FROM parts", "people")


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE parts", "TRUNCATE parts", "DELETE FROM parts", "DELETE FROM parts WHERE true", "UPDATE parts SET weight = 0 WHERE 1 = 1",
     "WITH gone AS (DELETE FROM parts RETURNING *) SELECT count(*) FROM gone", "ALTER TABLE parts DROP COLUMN weight",
     "GRANT ALL ON parts TO public", "COPY parts TO '/tmp/parts'", "COPY parts TO PROGRAM 'cat'", "SELECT pg_read_file('/etc/passwd')",
     "SET ROLE postgres", "SET querywarden.subject = 'someone else'", "SELECT set_config('querywarden.subject', 'someone else', false)",
     "DO $$ BEGIN DELETE FROM parts; END $$", "CREATE EXTENSION dblink", "ALTER SYSTEM SET fsync = off"],
)  # fmt: skip
@pytest.mark.parametrize("extended", [False, True])
def test_refused_statements_say_why_and_change_nothing(shop, counted, statement, extended):
    with shop.connect() as connection:
        cursor = connection.cursor() if extended else psycopg.ClientCursor(connection)
        with pytest.raises(psycopg.Error) as refused:
            cursor.execute(statement, prepare=extended) if extended else cursor.execute(statement)
        diag = refused.value.diag
        assert diag.sqlstate == "42501", (diag.sqlstate, diag.message_primary)
        assert diag.severity == "ERROR"
        assert diag.message_primary
        assert diag.message_detail
        assert diag.message_hint
        told = " ".join((diag.message_primary, diag.message_detail, diag.message_hint))
        assert _AUDIT_ID.search(told), told
        assert connection.info.transaction_status == pq.TransactionStatus.IDLE
        assert connection.execute("SELECT 'after'").fetchone() == ("after",)
    assert counted() == "100"


@pytest.mark.parametrize("statement", ["SELEC nonsense", "SELECT 1 +", "SELECT 'open"])
def test_a_syntax_error_is_told_as_the_server_would(shop, statement):
    with shop.connect() as connection:
        with pytest.raises(psycopg.errors.SyntaxError):
            connection.execute(statement)
        assert connection.info.transaction_status == pq.TransactionStatus.IDLE
        assert connection.execute("SELECT 'after'").fetchone() == ("after",)


def test_a_refusal_in_a_transaction_fails_it_as_an_error_of_the_server_would(shop, counted):
    with shop.connect(autocommit=False) as connection:
        connection.execute("INSERT INTO parts VALUES (101, 1)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM parts")
        assert connection.info.transaction_status == pq.TransactionStatus.INERROR
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM parts").fetchone() == (100,)
        with connection.transaction():
            connection.execute("INSERT INTO parts VALUES (101, 1)")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute("TRUNCATE parts")
            connection.execute("INSERT INTO parts VALUES (102, 1)")
        connection.commit()
    assert counted() == "102"


def test_neighbours_in_a_pipeline_are_unharmed(shop, counted):
    with shop.connect() as connection:
        with connection.pipeline() as pipeline:
            before = [connection.execute("SELECT %s::int", [n]) for n in range(5)]
            pipeline.sync()
            refused = connection.execute("DELETE FROM parts WHERE true")
            skipped = connection.execute("INSERT INTO parts VALUES (500, 1)")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                pipeline.sync()
            after = [connection.execute("SELECT %s::int", [n]) for n in range(5, 10)]
            results = [cursor.fetchone() for cursor in (*before, *after)]
        assert [(n,) for n in range(10)] == results
        assert refused.pgresult is None or refused.pgresult.status != pq.ExecStatus.COMMAND_OK
        assert skipped.pgresult is None or skipped.pgresult.status != pq.ExecStatus.COMMAND_OK
        assert connection.info.transaction_status == pq.TransactionStatus.IDLE
    assert counted() == "100"


def test_a_refused_statement_among_several_of_one_query(shop, counted):
    """PostgreSQL runs the statements of one Query as one transaction: refused one, refused all, and nothing of it stays."""
    with shop.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO parts VALUES (900, 1); DELETE FROM parts; SELECT 1")
        assert connection.info.transaction_status == pq.TransactionStatus.IDLE
        assert connection.execute("SELECT count(*) FROM parts WHERE id = 900").fetchone() == (0,)
    assert counted() == "100"


def test_a_refused_parse_leaves_the_statement_name_free(shop):
    with shop.connect() as connection:
        pg = connection.pgconn
        refused = pg.prepare(b"s1", b"DROP TABLE parts")
        assert refused.status == pq.ExecStatus.FATAL_ERROR
        assert refused.error_field(pq.DiagnosticField.SQLSTATE) == b"42501"
        again = pg.prepare(b"s1", b"SELECT 7")
        assert again.status == pq.ExecStatus.COMMAND_OK
        assert pg.exec_prepared(b"s1", []).get_value(0, 0) == b"7"


def test_an_agent_reads_only(site, shop, counted):
    made = site.command("token", "create", f"agent-{site.server.major}", "--owner", "alice", "--kind", "agent", "--database", "shop",
                        "--expires", "1h", "--quiet")  # fmt: skip
    assert made.code == 0, made.err
    agent = site.through("shop", "agent", token=made.out.strip())
    with agent.connect() as connection:
        assert connection.execute("SELECT sum(weight) FROM parts").fetchone() == (5050,)
        writes = ("INSERT INTO parts VALUES (200, 1)", "UPDATE parts SET weight = 1 WHERE id = 1", "DELETE FROM parts WHERE id = 1")
        for statement in writes:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    assert counted() == "100"


def test_the_servers_log_explains_a_refusal(site, shop):
    """The message that the server rejects in place of a refused one names Querywarden, for the DBA who reads the server's log."""
    with shop.connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        connection.execute("DROP TABLE parts")
    told = " ".join(filter(None, (refused.value.diag.message_detail, refused.value.diag.message_hint)))
    found = _AUDIT_ID.search(told)
    assert found is not None
    log = site.server.log_file.read_text(errors="replace")
    assert any("uerywarden" in line for line in log.splitlines() if found.group() in line), "the audit id isn't in the server's log"
