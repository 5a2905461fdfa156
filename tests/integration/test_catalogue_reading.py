"""The catalogue read from real servers: every change of the schema that matters is seen, and what was read is what is there."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from querywarden.demo.servers import PostgresServer
from querywarden.model.catalogue import Catalogue
from querywarden.postgresql.catalogue_query import CATALOGUE_QUERIES, GENERATION_QUERY, Row, build_catalogue

DATABASE = "catalogue_reading"
SET_UP = """
CREATE SCHEMA s; SET search_path = s, public;
CREATE TABLE t (id int PRIMARY KEY, a text, b text, g text GENERATED ALWAYS AS (upper(a)) STORED, g2 text GENERATED ALWAYS AS (a) STORED);
CREATE TABLE child () INHERITS (t);
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE TABLE part (id int);
CREATE VIEW v AS SELECT a FROM t;
CREATE MATERIALIZED VIEW m AS SELECT a FROM t;
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
CREATE FUNCTION same(text, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR === (FUNCTION = same, LEFTARG = text, RIGHTARG = text);
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE FUNCTION to_mood(int) RETURNS mood LANGUAGE sql AS 'SELECT ''good''::s.mood';
"""
CHANGES = """
CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 2'
ALTER FUNCTION f(int) IMMUTABLE
ALTER FUNCTION f(int) SECURITY DEFINER
ALTER FUNCTION f(int) SET search_path = s
ALTER FUNCTION f(int) RENAME TO ff
ALTER FUNCTION ff(int) SET SCHEMA public
DROP FUNCTION public.ff(int)
CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS 'SELECT 2'
CREATE OR REPLACE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '1')
ALTER OPERATOR === (text, text) SET (RESTRICT = eqsel)
ALTER OPERATOR === (text, text) SET SCHEMA public
DROP OPERATOR public.=== (text, text)
CREATE CAST (int AS mood) WITH FUNCTION to_mood(int)
DROP CAST (int AS mood)
ALTER TABLE t RENAME TO t9
ALTER TABLE t9 RENAME TO t
ALTER TABLE t RENAME COLUMN b TO bb
ALTER TABLE t ALTER COLUMN bb TYPE varchar(50)
ALTER TABLE t ALTER COLUMN g DROP EXPRESSION
ALTER TABLE t ADD COLUMN z int
ALTER TABLE t ADD COLUMN h text GENERATED ALWAYS AS (lower(bb)) STORED
ALTER TABLE t DROP COLUMN z
ALTER TABLE t SET SCHEMA public
ALTER TABLE public.t SET SCHEMA s
CREATE OR REPLACE VIEW v AS SELECT upper(a) AS a FROM t
ALTER VIEW v RENAME COLUMN a TO q
CREATE RULE r AS ON UPDATE TO v DO INSTEAD NOTHING
DROP RULE r ON v
COMMENT ON COLUMN t.a IS 'querywarden: none'
COMMENT ON COLUMN t.a IS 'querywarden: email'
COMMENT ON COLUMN t.a IS NULL
COMMENT ON COLUMN v.q IS 'querywarden: none'
ALTER TABLE t ENABLE ROW LEVEL SECURITY
CREATE POLICY own ON t USING (a = 'x')
ALTER POLICY own ON t USING (a = 'y')
DROP POLICY own ON t
GRANT SELECT ON t TO app
GRANT SELECT (a) ON t TO app
ALTER TABLE child NO INHERIT t
ALTER TABLE child INHERIT t
ALTER TABLE parts ATTACH PARTITION part FOR VALUES FROM (1) TO (2)
ALTER TABLE parts DETACH PARTITION part
ALTER SCHEMA s RENAME TO s2
ALTER SCHEMA s2 RENAME TO s
ALTER TYPE mood RENAME TO feeling
CREATE UNIQUE INDEX i ON t (a)
ALTER MATERIALIZED VIEW m RENAME TO m2
DROP MATERIALIZED VIEW m2
DROP VIEW v
""".strip().splitlines()
NO_CHANGES = (
    "CREATE TEMPORARY TABLE tt (a int)", "INSERT INTO child (id) VALUES (1)", "ANALYZE t", "VACUUM t", "COMMENT ON TABLE t IS 'words'",
    "SELECT s.f(1)",
)  # fmt: skip


@pytest.fixture
def links(server: PostgresServer) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    """Two superuser's connections to an empty database: one that changes it, one that looks."""
    server.sql(f"DROP DATABASE IF EXISTS {DATABASE}")
    server.sql(f"CREATE DATABASE {DATABASE}")
    where = {"host": str(server.folder), "port": server.port, "user": "postgres", "dbname": DATABASE, "autocommit": True}
    with psycopg.connect(**where) as changing, psycopg.connect(**where) as looking:
        changing.execute(SET_UP)
        yield changing, looking
    server.sql(f"DROP DATABASE {DATABASE}")


def generation(link: psycopg.Connection) -> str:
    """The fingerprint of the schema."""
    row = link.execute(GENERATION_QUERY).fetchone()
    assert row is not None
    return str(row[0])


def read(link: psycopg.Connection) -> Catalogue:
    """The catalogue as it is now."""
    results: list[list[Row]] = []
    for query in CATALOGUE_QUERIES:
        found = link.pgconn.exec_(query.encode())
        assert not found.error_message
        results.append([tuple(found.get_value(row, column) for column in range(found.nfields)) for row in range(found.ntuples)])
    return build_catalogue("g", results)


def test_every_change_that_matters_makes_a_new_generation(
    links: tuple[psycopg.Connection, psycopg.Connection], server: PostgresServer
) -> None:
    changing, looking = links
    changes = [*CHANGES, "ALTER TABLE t ALTER COLUMN g2 SET EXPRESSION AS (upper(a))"] if server.major >= 17 else CHANGES
    before = generation(looking)
    unseen = []
    for change in changes:
        changing.execute(change)
        after = generation(looking)
        if after == before:
            unseen.append(change)
        before = after
    assert unseen == []


def test_what_changes_no_schema_makes_no_new_generation(links: tuple[psycopg.Connection, psycopg.Connection]) -> None:
    changing, looking = links
    before = generation(looking)
    for statement in NO_CHANGES:
        changing.execute(statement)
        assert before == generation(looking), statement


def test_every_function_and_operator_of_the_server_is_there(links: tuple[psycopg.Connection, psycopg.Connection]) -> None:
    _, looking = links
    catalogue = read(looking)
    functions = looking.execute("SELECT oid::int8, proname, prokind, provolatile, oid >= 16384 FROM pg_proc").fetchall()
    assert {row[0]: tuple(row) for row in functions} == {
        each.id: (each.id, each.name, each.kind, each.volatility, each.is_own) for each in catalogue.functions.values()
    }
    operators = looking.execute("SELECT oid::int8, oprname, oprcode::oid::int8, oid < 16384 FROM pg_operator").fetchall()
    assert {row[0]: tuple(row[1:]) for row in operators} == {
        oid: (each.name, each.function, each.is_built_in) for oid, each in catalogue.operators.items()
    }
    assert read(looking) == catalogue
