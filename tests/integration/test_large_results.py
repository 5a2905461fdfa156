"""Large values and long results pass through in bounded memory, whatever the reader's pace."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import psycopg
import pytest

MIB = 1024 * 1024


def _resident_bytes(process_id):
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


class _Watch:
    """The largest resident size that the proxy reaches within a block, above what it had before."""

    def __init__(self, process_id):
        self._process_id = process_id
        self._ended = threading.Event()

    def __enter__(self):
        self.before = self.peak = _resident_bytes(self._process_id)
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()
        return self

    def _follow(self):
        while not self._ended.wait(0.02):
            self.peak = max(self.peak, _resident_bytes(self._process_id))

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    @property
    def growth(self):
        return self.peak - self.before


@pytest.fixture
def big_site(make_site, server18):
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc")
    server18.sql("SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app;", "people")
    return make_site()


@pytest.mark.parametrize("binary", [False, True])
def test_a_cell_of_200_megabytes(big_site, binary):
    size = 200 * MIB
    with big_site.through().connect() as connection, _Watch(big_site.proxy.process_id) as watch:
        cursor = connection.cursor(binary=binary)
        (text,) = cursor.execute(f"SELECT repeat('0123456789abcdef', {size // 16})").fetchone()
    assert len(text) == size
    assert hashlib.sha256(text.encode()).hexdigest() == hashlib.sha256(b"0123456789abcdef" * (size // 16)).hexdigest()
    assert watch.growth < 32 * MIB, f"{watch.growth / MIB:.0f} MiB more"


def test_a_parameter_of_100_megabytes(big_site):
    value = "x" * (100 * MIB)
    with big_site.through().connect() as connection, _Watch(big_site.proxy.process_id) as watch:
        assert connection.execute("SELECT length(%s::text)", [value]).fetchone() == (len(value),)
    assert watch.growth < 32 * MIB, f"{watch.growth / MIB:.0f} MiB more"


def test_a_masked_cell_of_50_megabytes_does_not_leave(big_site, server18):
    server18.sql(
        "SET ROLE app; CREATE TABLE customers (id int, email text);"
        f"INSERT INTO customers VALUES (1, 'canary-start' || repeat('canary!!', {50 * MIB // 8})), (2, 'small@canary.example');",
        "people",
    )
    with big_site.through("people").connect() as connection, _Watch(big_site.proxy.process_id) as watch:
        outcome = _rows_or_state(connection, "SELECT id, email FROM customers ORDER BY id")
        # Either the row is refused as too large, or it arrives without its value.
        assert outcome == "54000" or [row[0] for row in outcome] == [1, 2]
        assert "canary" not in str(outcome)
        assert connection.execute("SELECT 'after'").fetchone() == ("after",)
    assert watch.growth < 32 * MIB, f"{watch.growth / MIB:.0f} MiB more"


def _rows_or_state(connection, statement):
    try:
        return connection.execute(statement).fetchall()
    except psycopg.Error as error:
        return error.sqlstate


@pytest.mark.parametrize("masked", [False, True])
def test_a_result_of_300_megabytes_streams(big_site, server18, masked):
    rows = 300_000
    column = "email" if masked else "filler"
    server18.sql(f"SET ROLE app; CREATE TABLE wide (id int, {column} text, note text);", "people")
    server18.sql(f"INSERT INTO wide SELECT n, 'v' || n, repeat('y', 1000) FROM generate_series(1, {rows}) n;", "people")
    with big_site.through("people").connect(autocommit=True) as connection, _Watch(big_site.proxy.process_id) as watch:
        total = count = 0
        for row in connection.cursor().stream("SELECT * FROM wide"):
            total += len(row[2])
            count += 1
    assert (rows, rows * 1000) == (count, total)
    assert watch.growth < 24 * MIB, f"{watch.growth / MIB:.0f} MiB more"


def test_a_reader_that_stands_still_holds_up_nobody_and_nothing_piles_up(big_site, server18):
    endpoint = big_site.through()
    with _Watch(big_site.proxy.process_id) as watch, endpoint.connect() as slow, endpoint.connect() as other:
        slow.pgconn.send_query(b"SELECT repeat('z', 10000) FROM generate_series(1, 50000)")
        slow.pgconn.flush()
        # The slow side reads nothing; the other goes on meanwhile.
        for n in range(2000):
            assert other.execute("SELECT %s::int", [n]).fetchone() == (n,)
        slow.pgconn.finish()
    assert watch.growth < 24 * MIB, f"{watch.growth / MIB:.0f} MiB more"


def test_full_duplex_pipelines_do_not_lock_up(big_site):
    """Both directions are full at once: much goes to the server while much comes from it."""
    block = "d" * 100_000
    with big_site.through().connect() as connection, connection.pipeline():
        cursors = [connection.execute("SELECT %s::text || %s::text", [block, str(n)]) for n in range(300)]
        lengths = [len(cursor.fetchone()[0]) for cursor in cursors]
    assert lengths == [len(block) + len(str(n)) for n in range(300)]


def test_copy_in_of_100_megabytes(big_site, server18):
    server18.sql("DROP TABLE IF EXISTS loaded; SET ROLE app; CREATE TABLE loaded (id int, filler text);", "plain")
    line = b"%d\t" + b"w" * 1000 + b"\n"
    with big_site.through().connect() as connection, _Watch(big_site.proxy.process_id) as watch:
        with connection.cursor().copy("COPY loaded FROM STDIN") as copy:
            for n in range(100):
                copy.write(b"".join(line % m for m in range(n * 1000, n * 1000 + 1000)))
        assert connection.execute("SELECT count(*), sum(length(filler)) FROM loaded").fetchone() == (100_000, 100_000_000)
    assert watch.growth < 24 * MIB, f"{watch.growth / MIB:.0f} MiB more"
    server18.sql("DROP TABLE loaded", "plain")
