"""The catalogue read from real servers: every change of the schema that matters is seen, and what was read is what is there."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from querywarden.demo.servers import PostgresServer
from querywarden.model.catalogue import Catalogue
from querywarden.postgresql.catalogue_query import CATALOGUE_QUERIES, GENERATION_QUERY, Row, build_catalogue, silent
from querywarden.postgresql.local_relations import local_relations_query, with_relations

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


TRAP = """
CREATE SCHEMA trap;
CREATE FUNCTION trap.spring() RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE ''sprung''; END';
CREATE FUNCTION trap.oids(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT trap.spring(); SELECT true';
CREATE FUNCTION trap.chars("char", "char") RETURNS bool LANGUAGE sql AS 'SELECT trap.spring(); SELECT true';
CREATE FUNCTION trap.numbers(int2, int2) RETURNS bool LANGUAGE sql AS 'SELECT trap.spring(); SELECT true';
CREATE OPERATOR trap.= (FUNCTION = trap.oids, LEFTARG = oid, RIGHTARG = oid);
CREATE OPERATOR trap.= (FUNCTION = trap.chars, LEFTARG = "char", RIGHTARG = "char");
CREATE OPERATOR trap.<> (FUNCTION = trap.chars, LEFTARG = "char", RIGHTARG = "char");
CREATE OPERATOR trap.= (FUNCTION = trap.numbers, LEFTARG = int2, RIGHTARG = int2);
CREATE OPERATOR trap.> (FUNCTION = trap.numbers, LEFTARG = int2, RIGHTARG = int2);
CREATE FUNCTION trap.json_build_object(VARIADIC "any") RETURNS json LANGUAGE internal AS 'json_build_object';
CREATE TYPE trap.oid AS ENUM ('x'); CREATE TYPE trap.text AS ENUM ('x'); CREATE TYPE trap."char" AS ENUM ('x');
CREATE TABLE trap.pg_class (oid text); CREATE TABLE trap.up (id int);
COMMENT ON COLUMN t.b IS 'querywarden: secret';
"""
MADE = """
SET LOCAL search_path = trap, s, public, pg_catalog;
CREATE TABLE s.between () INHERITS (s.t);
CREATE TABLE s.made (email pg_catalog.text, twice int GENERATED ALWAYS AS (id * 2) STORED) INHERITS (s.between);
CREATE TEMPORARY VIEW shown AS SELECT id FROM s.t;
CREATE TEMPORARY TABLE kept (phone pg_catalog.text, note pg_catalog.text);
COMMENT ON COLUMN kept.note IS 'querywarden: email';
CREATE SEQUENCE s.numbers;
"""


def test_relations_of_an_open_transaction_are_told_whatever_the_search_path(links: tuple[psycopg.Connection, psycopg.Connection]) -> None:
    changing, looking = links
    changing.execute(TRAP)
    catalogue = read(looking)
    with changing.transaction():
        changing.execute(MADE)
        rows = changing.execute("SELECT relname, oid::pg_catalog.text FROM pg_catalog.pg_class").fetchall()
        ids = {name: int(oid) for name, oid in rows if name in ("made", "shown", "kept", "numbers")}
        assert not ids.keys() & {each.name for each in catalogue.relations.values()}
        row = changing.execute(local_relations_query([*ids.values(), 1 << 31])).fetchone()
    assert row is not None
    assert len(row) == 1
    found = with_relations(catalogue, row[0], silent)

    def classes(name: str) -> dict[str, str | None]:
        columns = found.relations[ids[name]].columns.values()
        return {each.name: each.classification.data_class.value if each.classification else None for each in columns}

    assert {"id": None, "a": None, "b": "secret", "g": None, "g2": None, "email": "email", "twice": None} == classes("made")
    assert {"id": "opaque"} == classes("shown")
    assert {"phone": "phone", "note": "email"} == classes("kept")
    assert {None} == set(classes("numbers").values())
    assert len(catalogue.relations) + len(ids) + 1 == len(found.relations)
    assert {"made": "table", "shown": "view", "kept": "table"} == {
        name: found.relations[ids[name]].kind for name in ("made", "shown", "kept")
    }
