"""Query trees of real servers: what each version prints is read in full, and means the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import yaml
from tests.integration.conftest import VERSIONS, absent
from tests.unit.postgresql.analysis.query_trees import DATA, Asking, catalogue_of, described, flows, statements

from querywarden.demo.installations import installations
from querywarden.demo.servers import PostgresServer
from querywarden.model.catalogue import Catalogue
from querywarden.model.data_flow import DataFlow, FlowKind, Unresolved, WantsBodies
from querywarden.postgresql.analysis.query_tree import data_flow_of

CORPUS = Path(__file__).parents[1] / "adversarial" / "corpus"


class Asked:
    """A server with the schema of the statements, and what is known of it."""

    def __init__(self, server: PostgresServer, link: psycopg.Connection[tuple[object, ...]]) -> None:
        self.major = server.major
        self.link = link
        self.asking = Asking(link)
        self.catalogue = Catalogue("none", {})
        self.bodies: dict[int, str] = {}
        self.look()

    def look(self) -> None:
        """Read the catalogue anew."""
        self.catalogue = catalogue_of(self.asking.rows())
        self.bodies = self.asking.bodies(self.catalogue)

    def flow(self, text: str) -> DataFlow | Unresolved | WantsBodies:
        """The data flow of a statement."""
        return data_flow_of([self.asking.tree(text)], self.catalogue, self.bodies)

    def says(self, text: str) -> list[str]:
        """The same in words."""
        return described(self.flow(text), self.catalogue)


@pytest.fixture(scope="module", params=VERSIONS)
def own_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    found = installations().get(request.param)
    if found is None:
        absent(f"PostgreSQL {request.param}")
        raise AssertionError
    server = PostgresServer(found)
    try:
        yield server.start()
    finally:
        server.remove()


@contextmanager
def asking(server: PostgresServer, database: str, schema: str) -> Iterator[Asked]:
    """A database with a schema, as somebody sees it who is under its policies."""
    server.sql(f"CREATE DATABASE {database}; CREATE ROLE {database}")
    with psycopg.connect(host=str(server.folder), port=server.port, user="postgres", dbname=database, autocommit=True) as link:
        link.execute(schema)
        link.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {database}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {database}")
        link.execute(f"GRANT ALL ON SCHEMA public TO {database}; GRANT TEMPORARY ON DATABASE {database} TO {database}")
        asked = Asked(server, link)
        link.execute(f"SET ROLE {database}")
        yield asked


@pytest.fixture(scope="module")
def asked(own_server: PostgresServer) -> Iterator[Asked]:
    with asking(own_server, "plain", (DATA / "schema.sql").read_text()) as found:
        yield found


def test_every_statement_means_what_is_written_down(asked: Asked) -> None:
    expected = dict(flows())
    wrong = {text: found for text in statements(asked.major) if (found := asked.says(text)) != expected[text]}
    assert not wrong


def test_outputs_have_the_names_and_types_that_the_server_describes(asked: Asked) -> None:
    domains = {row[0]: row[1] for row in asked.link.execute("SELECT oid::int8, typbasetype::int8 FROM pg_type WHERE typtype = 'd'")}
    for text in statements(asked.major):
        found = asked.flow(text)
        assert isinstance(found, DataFlow)
        read = [(output.name, domains.get(output.type_id, output.type_id)) for output in found.outputs or ()]
        told = asked.asking.types(text)
        assert [name for name, _ in told] == [name for name, _ in read], text
        # Of an array that a sub-query gives, the tree says the type of its elements alone.
        assert all(mine in (0, theirs) for (_, mine), (_, theirs) in zip(read, told, strict=True)), text


def test_every_statement_of_the_corpus_is_understood(own_server: PostgresServer) -> None:
    cases = [case for name in ("pg.yaml", "more.yaml") for case in yaml.safe_load((CORPUS / name).read_text())["cases"]]
    texts = {step["sql"] for case in cases for step in case["steps"] if isinstance(step.get("sql"), str)}
    found: dict[str, str] = {}
    with asking(own_server, "corpus", (CORPUS / "schema" / "pg_schema.sql").read_text()) as asked:
        for text in sorted(texts):
            try:
                flow = asked.flow(text)
            except (AssertionError, ValueError):
                continue  # an error of the statement's own, or one that the server prints no tree of
            found[text] = str(flow) if isinstance(flow, Unresolved | WantsBodies) else ""
    assert {str(Unresolved("utility")), ""} == set(found.values())
    assert list(found.values()).count("") > 250


def test_the_servers_own_views_are_understood(asked: Asked) -> None:
    names = [row[0] for row in asked.link.execute("SELECT c.oid::regclass::text FROM pg_class c WHERE relkind = 'v' AND oid < 16384")]
    assert len(names) > 100
    unresolved = {}
    for name in names:
        try:
            tree = asked.asking.tree(f"SELECT * FROM {name}")
        except AssertionError:
            continue  # no right to read it
        found = data_flow_of([tree], asked.catalogue, asked.bodies)
        if not isinstance(found, DataFlow):
            unresolved[name] = found
    assert not unresolved


def test_common_tables_that_double_are_read_once(asked: Asked) -> None:
    tables = ", ".join(f"w{n} AS (SELECT a.mail FROM w{n - 1} a, w{n - 1} b)" for n in range(1, 60))
    found = asked.says(f"WITH w0 AS (SELECT mail FROM person), {tables} SELECT * FROM w59 a, w59 b")
    assert ["out mail: direct person.mail"] * 2 == found[:2]


def test_functions_that_double_are_given_up(asked: Asked) -> None:
    asked.link.execute("CREATE FUNCTION f0(a int) RETURNS int LANGUAGE sql RETURN a")
    for number in range(1, 12):
        calls = " + ".join([f"f{number - 1}(a)"] * 8)
        asked.link.execute(f"CREATE FUNCTION f{number}(a int) RETURNS int LANGUAGE sql RETURN {calls}")
    known = asked.catalogue
    asked.look()
    try:
        found = asked.flow("SELECT f11(id) FROM person")
        assert isinstance(found, DataFlow)
        assert found.code
        assert ["out f2: derived person.id"] == asked.says("SELECT f2(id) FROM person")[:1]
    finally:
        asked.catalogue = known


def test_a_relation_of_the_session_is_a_place(asked: Asked) -> None:
    asked.link.execute("CREATE TEMP TABLE mine (a text, b text)")
    found = asked.flow("SELECT b FROM mine")
    assert isinstance(found, DataFlow)
    [output] = found.outputs or ()
    [(relation, number)] = output.value.sources
    assert (FlowKind.DIRECT, 2, "b") == (output.value.kind, number, found.column_names[relation][2])


def test_names_that_the_server_breaks_are_not_taken_for_others(asked: Asked) -> None:
    long, odd = "(" * 60, " ".join("{x} :y" for _ in range(9))
    assert Unresolved("a name is too long to be read") == asked.flow(f'SELECT mail AS "{long}" FROM person')
    for width in range(1, 40):
        found = asked.flow(f'WITH "{odd}" AS (SELECT mail AS "{odd}" FROM person p{"x" * width}) SELECT * FROM "{odd}"')
        assert isinstance(found, DataFlow)
        assert ["direct person.mail"] == [line.rsplit(": ", 1)[1] for line in described(found, asked.catalogue) if line.startswith("out")]


def test_utility_statements_are_told_apart(asked: Asked) -> None:
    assert Unresolved("utility") == asked.flow("DECLARE c CURSOR FOR SELECT mail FROM person")
