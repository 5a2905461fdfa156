"""Random statements over random schemas with canaries: by no carrier does a byte of one reach the client, and what is clean comes as it is.

QUERYWARDEN_NIGHTLY=1 runs ten thousand statements, else there are some hundreds. A failure names the seed and the statement, which hold no
personal data. QUERYWARDEN_RANDOM_SEED=n,m runs these seeds alone.
"""

from __future__ import annotations

import copy
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import psycopg
import pytest
import yaml
from tests.model import carriers
from tests.model.carriers import Answer
from tests.model.random_queries import Queries, Statement, add_views
from tests.model.random_schema import Schema, SchemaMaker
from tests.model.wire_client import SYNC, WireClient, bind, describe, execute, parse

NIGHTLY = os.environ.get("QUERYWARDEN_NIGHTLY") == "1"
SEEDS = tuple(map(int, os.environ.get("QUERYWARDEN_RANDOM_SEED", "").split(","))) if "QUERYWARDEN_RANDOM_SEED" in os.environ else (
    tuple(range(1, 18)) if NIGHTLY else (1, 2)
)  # fmt: skip
STATEMENTS = 200 if NIGHTLY else 75
"""For each seed, on each of three servers."""

VALID_SHARE_MIN = 0.8
CLEAN_SHARE_MIN = 0.9
"""Of the statements that are made of nothing classified, so many come through whole. (Addresses in views are masked by their type.)"""


@dataclass
class Tally:
    """What came of the statements of a run, with examples for whoever looks into it."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, example: str = "") -> None:
        self.counts[what] += 1
        if example:
            self.examples.setdefault(what, []).append(example)


def _schemas(server, seed: int) -> list[Schema]:
    """Two schemas with relations of the same names, made in the database; what views can't be made of is drawn again."""
    made = []
    for number in (1, 2):
        name = f"s{seed}x{number}"
        schema = SchemaMaker(name, seed * 10 + number).make()
        with psycopg.connect(f"host=127.0.0.1 port={server.port} user=postgres password={server.password} dbname=people") as connection:
            connection.autocommit = True
            connection.execute(f"SET client_min_messages = warning; SET ROLE app; DROP SCHEMA IF EXISTS {name} CASCADE")
            for statement in schema.statements:
                connection.execute(statement)
            made.append(_with_views(connection, schema, seed * 1000))
    return made


def _with_views(connection: psycopg.Connection, schema: Schema, seed: int) -> Schema:
    for attempt in range(100):
        tried = copy.deepcopy(schema)
        add_views(tried, seed + attempt * 10)
        try:
            with connection.transaction():
                for statement in tried.statements[len(schema.statements) :]:
                    connection.execute(statement)
        except psycopg.Error:
            continue
        return tried
    raise AssertionError(f"no views could be made with the seed {seed}")


@pytest.fixture(scope="module")
def schemas(server) -> dict[int, list[Schema]]:
    return {seed: _schemas(server, seed) for seed in SEEDS}


@pytest.fixture(scope="module")
def random_site(server, schemas, issuer, certificates, site_class, tmp_path_factory) -> Iterator:
    """A proxy whose policy gives the classes that no name and no comment tells."""
    folder = tmp_path_factory.mktemp(f"random{server.major}")
    classes = {column: name for made in schemas.values() for schema in made for column, name in schema.classes.items()}
    policy = {"version": 1, "columns": classes, "approvals": {"expires": "10s"}}
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False))
    site = site_class(server, issuer, certificates, folder, policy={"file": "policy.yaml"})
    site.proxy.start()
    yield site
    assert 0 == site.proxy.stop()
    assert 0 == site.verify().code


class Both:
    """A client of the server and one of the proxy, which are told the same."""

    def __init__(self, site, seed: int, schemas: list[Schema]) -> None:
        self._ways = (site.direct("people"), site.through("people", f"user{seed}", tls=False))
        self._schemas = schemas
        self.direct, self.through = (WireClient(way) for way in self._ways)

    def run(self, statement: Statement, carrier) -> tuple[Answer, Answer]:
        answers = [self._run(client, statement, carrier) for client in (self.direct, self.through)]
        return answers[0], answers[1]

    def _run(self, client: WireClient, statement: Statement, carrier) -> Answer:
        for text in ("BEGIN", "SET LOCAL statement_timeout = '5s'", *filter(None, statement.setting.split("; "))):
            client.run(text)
        answer = carrier(client, statement.text)
        client.run("ROLLBACK")
        return answer

    def canary(self) -> str | None:
        """What of a canary the client has been sent since the last time."""
        seen = bytes(self.through.seen)
        self.direct.seen.clear()
        self.through.seen.clear()
        return next((found for schema in self._schemas if (found := schema.canaries.find(seen)) is not None), None)

    def close(self) -> None:
        self.direct.close()
        self.through.close()


def _columns(rows: carriers.Cells, place: int) -> list[bytes | None]:
    return sorted((row[place] for row in rows), key=lambda cell: (cell is None, cell or b""))


def _judge(statement: Statement, direct: Answer, through: Answer, where: str, tally: Tally) -> None:
    """Count what came of a statement that the server itself would run."""
    kind = "shadowed" if not statement.claims else "touching" if statement.touches else "clean"
    if through.is_error:
        state = "held" if "approv" in through.message.lower() or through.sqlstate == "53400" else "refused"
        tally.add(f"{kind} {state}", f"{where} [{through.sqlstate} {through.message}]")
        return
    masked = False
    for place, each in enumerate(statement.fields):
        if not direct.rows:
            break
        told = len(direct.rows) == len(through.rows) and _columns(direct.rows, place) == _columns(through.rows, place)
        if each.is_hidden:
            if told and statement.claims and any(row[place] not in (None, b"") for row in direct.rows):
                tally.add("shown", f"{where} column {place + 1}: {_columns(through.rows, place)[:3]}")
            masked |= not told
        elif not each.is_opaque:
            masked |= not told
            tally.add("clean columns")
            if not told and statement.claims:
                tally.add("clean columns masked", f"{where} column {place + 1}")
    tally.add(f"{kind} {'masked' if masked else 'clear'}", where if masked and kind == "clean" else "")


@pytest.mark.parametrize("seed", SEEDS)
def test_random_statements(random_site, schemas, seed: int) -> None:
    both, chance, tally = Both(random_site, seed, schemas[seed]), random.Random(seed), Tally()
    makers = [Queries(seed * 100 + number, schema) for number, schema in enumerate(schemas[seed])]
    for number in range(STATEMENTS):
        statement = chance.choice(makers).statement()
        carrier = chance.choice(carriers.FOR_QUERIES if statement.is_query else carriers.FOR_ALL)
        direct, through = both.run(statement, carrier)
        where = f"PostgreSQL {random_site.server.major}, seed {seed}, {number}, {carrier.__name__}: {statement.setting}; {statement.text}"
        found = both.canary()
        if found is not None:
            tally.add("leaked", f"{where} [{found}]")
        tally.add("all")
        if through.sqlstate.startswith(("08", "XX", "57P")):
            tally.add("broken", f"{where} [{through.sqlstate} {through.message}]")
            both.close()
            both = Both(random_site, seed, schemas[seed])
        if direct.is_error:
            tally.add("invalid")
            continue
        fields = () if carrier is carriers.explained else statement.fields
        _judge(replace(statement, fields=fields), direct, through, where, tally)
    both.close()
    _report(random_site.server.major, seed, tally)
    assert [] == tally.examples.get("leaked", [])
    assert [] == tally.examples.get("shown", [])
    assert [] == tally.examples.get("broken", [])
    assert tally.counts["invalid"] <= (1 - VALID_SHARE_MIN) * tally.counts["all"]
    assert [] == tally.examples.get("clean refused", [])
    clean = {what: tally.counts[f"clean {what}"] for what in ("clear", "held", "masked")}
    assert clean["clear"] >= CLEAN_SHARE_MIN * sum(clean.values()), tally.examples


def _report(major: int, seed: int, tally: Tally) -> None:
    print(f"PostgreSQL {major}, seed {seed}: " + ", ".join(f"{name} {count}" for name, count in sorted(tally.counts.items())))
    folder = os.environ.get("QUERYWARDEN_RANDOM_REPORT")
    if folder:
        with open(os.path.join(folder, f"random-{major}-{seed}.yaml"), "w", encoding="utf-8") as out:
            yaml.safe_dump({"counts": dict(tally.counts), "examples": tally.examples}, out, width=2000)


def _hidden_text(schema: Schema):
    return next(
        (made, each) for made in schema.relations if made.is_table for each in made.fields if each.is_hidden and each.type == "text"
    )


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_statements_prepared_before_their_view_changed(random_site, schemas, seed: int) -> None:
    """A view of nothing classified is replaced by one that is, by the session itself: what was prepared before is masked from then on."""
    schema = schemas[seed][0]
    made, column = _hidden_text(schema)
    both = Both(random_site, seed, schemas[seed])
    client, view = both.through, f"{schema.name}.replaced"
    client.run(f"DROP VIEW IF EXISTS {view}")
    assert "" == carriers.text(client, f"CREATE VIEW {view} AS SELECT id, 'open'::text AS word FROM {schema.name}.{made.name}").sqlstate
    query = f"SELECT word FROM {view} ORDER BY id"
    client.run(f"PREPARE q AS {query}")
    client.ask(parse(query, "s"), SYNC)
    assert b"open" in carriers.text(client, "EXECUTE q").rows[0]
    for undone in (True, False):
        if undone:
            client.run("BEGIN")
        replaced = f"CREATE OR REPLACE VIEW {view} AS SELECT id, {column.name}::text AS word FROM {schema.name}.{made.name}"
        assert "" == carriers.text(client, replaced).sqlstate
        for messages in ((bind("", "s"), execute(), SYNC), (bind("", "s", binary=True), describe("P"), execute(), SYNC)):
            client.ask(*messages)
        for again in ("EXECUTE q", query, "DECLARE c CURSOR WITH HOLD FOR EXECUTE q", f"COPY ({query}) TO STDOUT"):
            client.run(again)
        if undone:
            client.run("ROLLBACK")
            assert b"open" in carriers.text(client, "EXECUTE q").rows[0], "what was undone has not stayed"
    assert both.canary() is None
    client.run(f"DROP VIEW {view}")
    both.close()
