"""`querywarden lineage` on real servers: what it says of columns, conditions and writes is what they understand, and nothing is run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import ROLE, ROLE_PASSWORD

from querywarden.demo.program import CommandResult, querywarden, write_configuration
from querywarden.demo.servers import PostgresServer

DATABASE = "lineage"
SCHEMA = f"""
CREATE SCHEMA app AUTHORIZATION {ROLE};
CREATE TABLE app.customers (id int PRIMARY KEY, email text, country text, born date);
COMMENT ON COLUMN app.customers.born IS 'querywarden: dob';
INSERT INTO app.customers VALUES (1, 'canary@postbox.example', 'AT', '1990-01-01');
CREATE TABLE app.notes (id int, note text);
CREATE VIEW app.contacts AS SELECT id, lower(email) AS contact FROM app.customers WHERE country > 'A';
CREATE SEQUENCE app.counter;
CREATE FUNCTION app.looked_up(int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT email FROM app.customers WHERE id = $1); END';
CREATE FUNCTION app.mail_of(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT email FROM app.customers WHERE id = $1';
GRANT ALL ON ALL TABLES IN SCHEMA app TO {ROLE};
GRANT ALL ON SEQUENCE app.counter TO {ROLE};
ALTER ROLE {ROLE} IN DATABASE {DATABASE} SET search_path = app;
"""


@pytest.fixture(scope="module")
def database(server: PostgresServer) -> Iterator[PostgresServer]:
    server.sql(f"DROP DATABASE IF EXISTS {DATABASE};")
    server.sql(f"CREATE DATABASE {DATABASE};")
    server.sql(SCHEMA, DATABASE)
    yield server
    server.sql(f"ALTER ROLE {ROLE} IN DATABASE {DATABASE} RESET search_path;")
    server.sql(f"DROP DATABASE {DATABASE} WITH (FORCE);")


@pytest.fixture
def configuration(database: PostgresServer, tmp_path: Path) -> Path:
    here = {"host": "127.0.0.1", "port": database.port, "role": ROLE, "password": ROLE_PASSWORD, "database": DATABASE}
    return write_configuration(
        tmp_path / "querywarden.yaml",
        {
            "listeners": [{"port": 6432, "allow_plaintext_loopback": True}],
            "databases": {"shop": {"server": here, "environment": "production"}},
            "identity": {},
        },
    )


def told(configuration: Path, text: str, *options: str, code: int = 0) -> dict[str, Any]:
    """What the command says of one statement."""
    done = run(configuration, text, *options, "--json")
    assert (done.code, done.err) == (code, ""), done.err
    found = json.loads(done.out)
    assert len(found["statements"]) == 1
    statement: dict[str, Any] = found["statements"][0]
    return statement


def run(configuration: Path, text: str, *options: str) -> CommandResult:
    return querywarden("lineage", text, "-c", str(configuration), *options)


def columns(statement: dict[str, Any]) -> list[tuple[str, str, str | None, list[str], str]]:
    """The columns: name, type, kind, what they are made of, treatment."""
    return [
        (each["name"], each["type"], each["kind"], [origin["column"] for origin in each["made_of"]], each["treatment"])
        for each in statement["columns"]
    ]


def test_columns_are_traced_through_what_only_the_server_resolves(configuration: Path) -> None:
    found = told(
        configuration,
        "WITH c AS (SELECT * FROM customers) SELECT id, email AS x, upper(email), born, count(*) OVER () FROM c "
        "UNION ALL SELECT id, country, contact, NULL, 1 FROM contacts JOIN customers USING (id)",
    )
    assert found["is_understood"] is True
    assert [each[:4] for each in columns(found)] == [
        ("id", "integer", "direct", ["app.customers.id"]),
        ("x", "text", "direct", ["app.customers.country", "app.customers.email"]),
        ("upper", "text", "derived", ["app.customers.email"]),
        ("born", "date", "direct", ["app.customers.born"]),
        ("count", "bigint", "constant", []),
    ]
    treatments = [each["treatment"] for each in found["columns"]]
    assert treatments[1] in ("masked", "null")
    assert (treatments[0], *treatments[2:]) == ("shown", "null", "masked", "shown")
    assert found["columns"][3]["operator"] == "year"
    assert {"app.customers", "app.contacts"} >= set(found["reads"]) >= {"app.customers"}


def test_conditions_and_writes_have_the_policys_answer(configuration: Path) -> None:
    found = told(configuration, "SELECT id FROM customers WHERE email LIKE 'canary%' AND born IS NOT NULL AND email = $1 ORDER BY id")
    kinds = {each["kind"]: each["ruling"]["outcome"] for each in found["conditions"]}
    assert kinds == {"comparison": "hold", "null_test": "passes", "equality": "passes"}
    assert found["decision"]["outcome"] == "hold"
    stored = told(configuration, "INSERT INTO notes SELECT id, email FROM customers")
    rulings = {each["target"]["column"]: each["ruling"]["outcome"] for each in stored["writes"]}
    assert rulings == {"app.notes.id": "passes", "app.notes.note": "deny"}
    assert (stored["changes"], stored["decision"]["outcome"]) == (["app.notes"], "deny")


def test_functions_are_followed_where_they_are_written_in_sql(configuration: Path) -> None:
    followed = told(configuration, "SELECT mail_of(1) AS m")
    assert (followed["functions"], columns(followed)[0][3:]) == ([], (["app.customers.email"], columns(followed)[0][4]))
    assert columns(followed)[0][4] != "shown"
    opaque = told(configuration, "SELECT looked_up(1) AS m")
    assert (opaque["functions"], columns(opaque)[0][4]) == (["looked_up"], "null")


def test_utilities_are_looked_into(configuration: Path) -> None:
    for text in (
        "COPY customers (email) TO STDOUT",
        "DECLARE c CURSOR FOR SELECT email FROM customers",
        "PREPARE p AS SELECT email FROM customers",
    ):
        assert [each[:4] for each in columns(told(configuration, text))] == [("email", "text", "direct", ["app.customers.email"])]
    kept = told(configuration, "CREATE TABLE copied AS SELECT email FROM customers")
    assert (columns(kept)[0][4], kept["decision"]["outcome"]) == ("stored", "deny")
    assert columns(told(configuration, "EXPLAIN SELECT email FROM customers"))[0][0] == "QUERY PLAN"
    assert told(configuration, "SHOW search_path")["gap"]["reason"] == "no_query"


def test_nothing_is_run_or_logged_or_printed_back(database: PostgresServer, configuration: Path) -> None:
    before = len(database.log_file.read_text(errors="replace"))
    text = run(configuration, "SELECT nextval('counter'), email FROM customers WHERE country = 'a literal 4711'").out
    assert "4711" not in text
    assert "canary" not in text
    assert "1" == database.sql("SELECT last_value FROM app.counter WHERE NOT is_called", DATABASE).strip().splitlines()[-1].strip()[:1]
    assert "parse tree" not in database.log_file.read_text(errors="replace")[before:]


def test_what_the_server_does_not_accept_ends_with_one_and_no_literal(configuration: Path) -> None:
    missing = told(configuration, "SELECT emial FROM customers WHERE country = 'canary'", code=1)
    assert missing["rejection"] == 'column "emial" does not exist (SQLSTATE 42703)'
    wrong = told(configuration, "SELECT 'not a number 4711'::int FROM customers", code=1)
    assert wrong["rejection"] == "SQLSTATE 22P02"


def test_another_search_path_and_principal(configuration: Path) -> None:
    found = told(configuration, "SELECT relname FROM pg_class", "--search-path", "pg_catalog", "--as", "ada", "--kind", "agent")
    assert columns(found)[0][3] == ["pg_catalog.pg_class.relname"]
    assert "does not exist" in told(configuration, "SELECT 1 FROM customers", "--search-path", "public", code=1)["rejection"]
    failed = run(configuration, "SELECT 1", "--role", "nobody here")
    assert failed.code == 1
    assert failed.err.startswith("error: --role nobody here")


def test_without_the_right_names_decide_and_the_remedy_is_told(database: PostgresServer, configuration: Path) -> None:
    database.sql(f"REVOKE SET ON PARAMETER log_min_messages FROM {ROLE};")
    try:
        found = told(configuration, "SELECT id, upper(email) FROM customers")
    finally:
        database.sql(f"GRANT SET ON PARAMETER log_min_messages TO {ROLE};")
    assert found["is_understood"] is False
    assert (found["gap"]["reason"], found["gap"]["remedy"]) == ("no_right", f"GRANT SET ON PARAMETER log_min_messages TO {ROLE};")
    assert [(each["name"], each["kind"], each["treatment"]) for each in found["columns"]] == [
        ("id", None, "shown"),
        ("upper", None, "null"),
    ]
