"""Limits on a real server: rows, bytes and time of a statement end it with an error, in whatever way its result is taken."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import asyncpg
import psycopg
import pytest

POLICY = """
version: 1
rules:
  - {id: sleeping, effect: allow, functions: [pg_sleep, generate_series], overrides: [baseline.dangerous_function]}
limits:
  - {id: few-rows, who: {subjects: [rona]}, rows: 100}
  - {id: few-bytes, who: {subjects: [bert]}, bytes: 20000}
  - {id: short, who: {subjects: [tina]}, seconds: 1}
  - {id: by-the-day, who: {subjects: [dora]}, per_day: {rows: 150}}
"""
SCHEMA = """
SET client_min_messages = warning;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION app;
CREATE TABLE public.numbers AS SELECT n, 'abcdefghij'::text AS filler FROM generate_series(1, 5000) AS n;
CREATE TABLE public.people AS SELECT n AS id, 'p' || n || '@secret.example' AS email FROM generate_series(1, 5000) AS n;
ALTER TABLE public.numbers OWNER TO app;
ALTER TABLE public.people OWNER TO app;
"""


class Taker:
    """A connection of somebody with a limit, and the notices it has got."""

    def __init__(self, site, user: str) -> None:
        self.connection = site.through("people", user).connect()
        self.notices: list[tuple[str | None, ...]] = []
        # What a notice says is there only while its handler runs.
        self.connection.add_notice_handler(lambda told: self.notices.append((told.severity, told.sqlstate, told.message_primary)))

    def rows(self, text: str) -> int:
        return len(self.connection.execute(text).fetchall())

    def warned(self) -> list[str]:
        """The texts of the warnings since the last look."""
        found = [str(text) for severity, sqlstate, text in self.notices if (severity, sqlstate) == ("WARNING", "01000")]
        self.notices.clear()
        return found


@pytest.fixture(scope="module")
def started():
    """The one proxy of this file, once it has been started; its log is verified at the end."""
    sites: list = []
    yield sites
    for site in sites:
        assert site.proxy.stop() == 0
        verified = site.verify()
        assert verified.code == 0, verified.out + verified.err


@pytest.fixture
def limited_site(started, server18, issuer, certificates, tmp_path_factory, site_class):
    if not started:
        folder = tmp_path_factory.mktemp("limits")
        (folder / "policy.yaml").write_text(POLICY)
        server18.sql(SCHEMA, "people")
        started.append(site_class(server18, issuer, certificates, folder, policy={"file": str(folder / "policy.yaml")}))
        started[0].proxy.start()
    return started[0]


@pytest.fixture
def take(limited_site):
    opened: list[Taker] = []

    def begin(user: str) -> Taker:
        opened.append(Taker(limited_site, user))
        return opened[-1]

    yield begin
    for taker in opened:
        taker.connection.close()


def taken(pieces: Iterable[Any]) -> tuple[list[Any], str | None]:
    """What came of a result piece by piece, and the SQLSTATE that it ended with."""
    found: list[Any] = []
    try:
        for piece in pieces:
            found.append(piece)
    except psycopg.Error as ended:
        return found, ended.sqlstate
    return found, None


def copied(taker: Taker, text: str) -> Iterator[bytes]:
    """The lines of a COPY."""
    with taker.connection.cursor().copy(text) as copy:
        for line in copy:
            yield bytes(line)


def write_slowly(copy: psycopg.Copy) -> None:
    """Two lines with a pause between them, longer than the time of the statement."""
    copy.write(b"1\ta\n")
    time.sleep(1.5)
    copy.write(b"2\tb\n")


def expect_end(taker: Taker, sqlstate: str, text: str, parameters: tuple[object, ...] | None = None, **options: object) -> str:
    """The statement ends with an error of this SQLSTATE, and the session goes on. Returns the error's text."""
    with pytest.raises(psycopg.Error) as raised:
        taker.connection.execute(text, parameters, **options).fetchall()
    assert sqlstate == raised.value.sqlstate
    assert [(1,)] == taker.connection.execute("select 1").fetchall()
    return str(raised.value.diag.message_primary)


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("table", ["numbers", "people"], ids=["plain", "masked"])
def test_rows(take, table, binary):
    taker = take("rona")
    assert 79 == taker.rows(f"select * from {table} limit 79")
    assert [] == taker.warned()
    assert 100 == taker.rows(f"select * from {table} limit 100")
    assert ["80 of at most 100 rows have been returned"] == taker.warned()
    told = expect_end(taker, "54000", f"select * from {table} limit 101", binary=binary)
    assert "the result has more than 100 rows, which is the limit for you here" == told
    expect_end(taker, "54000", f"select * from {table} where n > %s" if table == "numbers" else "select * from people where id > %s", (0,))


def test_rows_that_were_sent_before_the_end_have_arrived(take):
    taker = take("rona")
    seen, ended = taken(row[0] for row in taker.connection.cursor().stream("select n from numbers order by n"))
    assert ("54000", list(range(1, 101))) == (ended, seen)
    assert [(1,)] == taker.connection.execute("select 1").fetchall()


@pytest.mark.parametrize("table", ["numbers", "people"], ids=["plain", "masked"])
def test_bytes(take, table):
    taker = take("bert")
    assert 300 == taker.rows(f"select * from {table} limit 300")
    assert [] == taker.warned()
    told = expect_end(taker, "54000", f"select * from {table}")
    assert "the result has more than 20000 bytes, which is the limit for you here" == told
    assert 1 == len(warned := taker.warned())
    assert warned[0].endswith("of at most 20000 bytes have been returned")
    expect_end(taker, "54000", "select repeat('x', 30000)")
    assert [] == taker.warned()


@pytest.mark.parametrize(("user", "options"), [("rona", ""), ("bert", ""), ("rona", " with (format binary)")])
def test_copy(take, user, options):
    taker = take(user)
    got, ended = taken(copied(taker, f"copy numbers to stdout{options}"))
    assert "54000" == ended
    assert 1 == len(taker.warned())
    size = sum(map(len, got))
    assert 0 < size <= 20_000
    if not options:
        assert all(bytes(line).endswith(b"\n") for line in got), "no row is cut"
    with taker.connection.cursor().copy(f"copy (select * from numbers limit 100) to stdout{options}") as copy:
        assert list(copy)
    assert [(1,)] == taker.connection.execute("select 1").fetchall()


def test_a_cursor_of_sql_is_limited_by_its_fetches(take):
    taker = take("rona")
    with taker.connection.transaction():
        taker.connection.execute("declare c cursor for select n from numbers")
        for _ in range(3):
            assert 70 == taker.rows("fetch 70 from c")
        with pytest.raises(psycopg.Error) as raised, taker.connection.transaction():
            taker.rows("fetch 101 from c")
        assert "54000" == raised.value.sqlstate
        assert [(1,)] == taker.connection.execute("select 1").fetchall()


def test_a_statement_of_a_pipeline_ends_alone(take):
    taker = take("rona")
    with taker.connection.pipeline() as pipeline:
        first = taker.connection.execute("select n from numbers limit 10")
        pipeline.sync()
        with pytest.raises(psycopg.Error) as raised:
            taker.connection.execute("select n from numbers").fetchall()
        assert "54000" == raised.value.sqlstate
        pipeline.sync()
        last = taker.connection.execute("select n from numbers limit 20")
        assert (10, 20) == (len(first.fetchall()), len(last.fetchall()))


def test_time(take):
    taker = take("tina")
    began = time.monotonic()
    told = expect_end(taker, "57014", "select pg_sleep(20)")
    assert 0.9 < time.monotonic() - began < 6
    assert "the statement was cancelled after 1 seconds, which is the limit for you here" == told
    assert ["the statement has been running for 0.8 of at most 1 seconds"] == taker.warned()


def test_the_time_of_one_statement_is_not_that_of_the_next(take):
    taker = take("tina")
    with taker.connection.transaction():
        for _ in range(3):
            taker.rows("select pg_sleep(0.5)")
            time.sleep(0.2)
    assert [] == taker.warned()
    with taker.connection.pipeline():
        sleepers = [taker.connection.execute("select pg_sleep(0.5)") for _ in range(3)]
    assert 3 == sum(len(sleeper.fetchall()) for sleeper in sleepers)
    assert [] == taker.warned()


def test_time_ends_a_copy_and_a_result_that_flows(take):
    taker = take("tina")
    seen, ended = taken(taker.connection.cursor().stream("select n, pg_sleep(0.001) from generate_series(1, 100000) as n"))
    assert ("57014", 1) == (ended, len(taker.warned()))
    assert seen
    with pytest.raises(psycopg.Error) as raised, taker.connection.cursor().copy("copy numbers from stdin") as copy:
        write_slowly(copy)
    assert "57014" == raised.value.sqlstate
    assert [(5000,)] == taker.connection.execute("select count(*) from numbers").fetchall()


def test_what_a_budget_has_left_ends_a_result_and_then_there_is_none(take):
    taker = take("dora")
    assert 100 == taker.rows("select * from numbers limit 100")
    with pytest.raises(psycopg.Error) as raised:
        taker.rows("select * from numbers limit 60")
    assert ("54000", "the result has more than 50 rows, which is what your budget has left") == (
        raised.value.sqlstate,
        raised.value.diag.message_primary,
    )
    assert ["40 of at most 50 rows have been returned"] == taker.warned()
    with pytest.raises(psycopg.Error) as raised:
        take("dora").rows("select 1")
    assert "54000" == raised.value.sqlstate
    assert "Your budget of 150 rows per day is used up." == raised.value.diag.message_primary


async def test_a_portal_that_is_taken_in_pieces_has_one_limit(limited_site):
    connection = await asyncpg.connect(**limited_site.through("people", "rona").asyncpg())
    warned: list[str] = []
    connection.add_log_listener(lambda _, told: warned.append(told.message))
    try:
        async with connection.transaction():
            cursor = await connection.cursor("select n from numbers order by n")
            assert [30, 30, 30] == [len(await cursor.fetch(30)) for _ in range(3)]
            with pytest.raises(asyncpg.PostgresError) as raised:
                await cursor.fetch(30)
        assert "54000" == raised.value.sqlstate
    except asyncpg.PostgresError:
        pass  # The transaction has failed with its statement, and says so at its end.
    assert ["80 of at most 100 rows have been returned"] == warned
    assert 1 == await connection.fetchval("select 1")
    await connection.close()
