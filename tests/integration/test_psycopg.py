"""psycopg does its ordinary work: sync, async, pipeline mode, binary, COPY, server-side cursors, two kinds of transactions."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import ipaddress
import uuid

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

_PARTS = "CREATE TABLE parts (id int PRIMARY KEY, label text, weight numeric)"


def _errors(call):
    """The outcome of a call: its value, or the error's state and text."""
    try:
        return call()
    except psycopg.Error as error:
        return type(error).__name__, error.sqlstate, error.diag.message_primary


@pytest.mark.parametrize("binary", [False, True])
def test_values_of_all_common_types(expect_both, binary):
    values = {
        "bool": True, "int2": -2, "int4": 2**31 - 1, "int8": -(2**63), "float4": 0.5, "float8": 1e300, "numeric": decimal.Decimal("-1.250"),
        "text": "naïve ✓ \\ ' \"", "varchar": "", "bytea": b"\0\xff", "date": datetime.date(2024, 2, 29), "time": datetime.time(1, 2, 3, 4),
        "timestamp": datetime.datetime(2024, 2, 29, 12, 0, 1), "interval": datetime.timedelta(days=2, seconds=5),  # noqa: DTZ001
        "uuid": uuid.UUID(int=7), "inet": ipaddress.ip_address("::1"), "cidr": ipaddress.ip_network("10.0.0.0/8"),
        "jsonb": Jsonb({"a": [1, None, "x"]}), "int4[]": [1, None, 3], "text[]": ["a", 'b"c', None],
    }  # fmt: skip

    def scenario(endpoint):
        with endpoint.connect() as connection, connection.cursor(binary=binary) as cursor:
            found = {}
            for name, value in values.items():
                row = cursor.execute(sql.SQL("SELECT %s::{}, NULL::{}").format(sql.SQL(name), sql.SQL(name)), [value]).fetchone()
                found[name] = repr(row)
            description = [(c.name, c.type_code, c.internal_size, c.precision) for c in cursor.description or ()]
            return found, description

    expect_both(scenario)


def test_transactions_errors_and_savepoints(expect_both):
    def scenario(endpoint):
        with endpoint.connect(autocommit=False) as connection:
            connection.execute(_PARTS)
            connection.commit()
            states = [connection.info.transaction_status]
            connection.execute("INSERT INTO parts VALUES (1, 'one', 1)")
            with pytest.raises(psycopg.errors.UniqueViolation) as violation, connection.transaction():
                connection.execute("INSERT INTO parts VALUES (1, 'again', 1)")
            states.append(connection.info.transaction_status)
            connection.execute("INSERT INTO parts VALUES (2, 'two', 2)")
            with pytest.raises(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 1 / 0")
            states.append(connection.info.transaction_status)
            failed = _errors(lambda: connection.execute("SELECT 1"))
            connection.rollback()
            rows = connection.execute("SELECT count(*) FROM parts").fetchone()
            diag = violation.value.diag
            return states, failed, rows, diag.sqlstate, diag.constraint_name, diag.message_detail, diag.table_name

    expect_both(scenario)


def test_prepared_statements_many_rows_and_cursors(expect_both):
    def scenario(endpoint):
        with endpoint.connect(autocommit=False) as connection:
            connection.execute(_PARTS)
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO parts VALUES (%s, %s, %s)", [(n, f"part {n}", n * 2) for n in range(1000)])
                affected = cursor.rowcount
                changes = [("a", 1), ("b", 2), ("c", -1)]
                cursor.executemany("UPDATE parts SET label = %s WHERE id = %s RETURNING id", changes, returning=True)
                returned = []
                while True:
                    returned.append(cursor.fetchall())
                    if not cursor.nextset():
                        break
            for _ in range(8):  # past psycopg's prepare threshold
                row = connection.execute("SELECT label FROM parts WHERE id = %s", [7]).fetchone()
            prepared = connection.execute("SELECT count(*) > 0 FROM pg_prepared_statements").fetchone()
            with connection.cursor(name="walk") as walk:
                walk.itersize = 100
                walk.execute("SELECT id FROM parts ORDER BY id")
                walked = sum(n for (n,) in walk)
            with connection.cursor(name="roll", scrollable=True) as roll:
                roll.execute("SELECT id FROM parts ORDER BY id")
                roll.scroll(500, "absolute")
                at = roll.fetchone()
                roll.scroll(-100)
                back = roll.fetchmany(2)
            connection.commit()
            return affected, returned, row, prepared, walked, at, back

    expect_both(scenario)


def test_pipeline_mode(expect_both):
    def scenario(endpoint):
        with endpoint.connect() as connection:
            connection.execute(_PARTS)
            with connection.pipeline():
                cursors = [connection.execute("INSERT INTO parts VALUES (%s, 'x', 1) RETURNING id", [n]) for n in range(200)]
                inserted = [cursor.fetchone() for cursor in cursors]
            failed = _errors(lambda: _broken_pipeline(connection))
            status = connection.info.transaction_status
            after = connection.execute("SELECT count(*), max(id) FROM parts").fetchone()
            return inserted, failed, status, after

    expect_both(scenario)


def _broken_pipeline(connection):
    with connection.pipeline() as pipeline:
        connection.execute("INSERT INTO parts VALUES (1000, 'y', 1)")
        connection.execute("INSERT INTO parts VALUES (1, 'twice', 1)")
        connection.execute("INSERT INTO parts VALUES (1001, 'aborted with it', 1)")
        pipeline.sync()


@pytest.mark.parametrize("form", ["", "(FORMAT csv)", "(FORMAT binary)"])
def test_copy(expect_both, form):
    def scenario(endpoint):
        with endpoint.connect() as connection, connection.cursor() as cursor:
            cursor.execute(_PARTS)
            with cursor.copy("COPY parts (id, label, weight) FROM STDIN") as copy:
                for n in range(5000):
                    copy.write_row((n, f"part\t{n}\\", n / 4))
            with cursor.copy(sql.SQL("COPY (SELECT * FROM parts ORDER BY id) TO STDOUT {}").format(sql.SQL(form))) as copy:
                data = b"".join(bytes(chunk) for chunk in copy)
            half_way = _errors(lambda: _broken_copy(cursor))
            gave_up = _errors(lambda: _abandoned_copy(cursor))
            cursor.execute("SELECT count(*) FROM parts")
            return data, half_way, gave_up, cursor.fetchone()

    data = expect_both(scenario)[0]
    assert len(data) > 50_000


def _broken_copy(cursor):
    with cursor.copy("COPY parts FROM STDIN") as copy:
        for n in range(20_000, 30_000):
            copy.write(f"{n}\tx\t1\n")
        copy.write("not a number\tx\t1\n")


def _abandoned_copy(cursor):
    with cursor.copy("COPY parts FROM STDIN") as copy:
        copy.write("99999\tx\t1\n")
        raise psycopg.DataError("the program changed its mind")


def test_notices_notifications_and_parameters(expect_both):
    def scenario(endpoint):
        notices = []
        with endpoint.connect() as connection:
            connection.add_notice_handler(lambda diag: notices.append((diag.severity, diag.message_primary)))
            connection.execute("CREATE TABLE IF NOT EXISTS one (id int)")
            connection.execute("CREATE TABLE IF NOT EXISTS one (id int)")
            connection.execute("SET DateStyle = 'German'")
            connection.execute("SET TimeZone = 'Europe/Oslo'")
            styles = connection.info.parameter_status("DateStyle"), connection.info.parameter_status("TimeZone")
            connection.execute("LISTEN here")
            connection.execute("NOTIFY here, 'now'")
            heard = [(n.channel, n.payload) for n in connection.notifies(timeout=5, stop_after=1)]
            return notices, styles, heard, connection.info.encoding, connection.info.server_version

    expect_both(scenario)


async def test_async_connections_side_by_side(expect_both_async):
    async def one(endpoint, n):
        connection = await psycopg.AsyncConnection.connect(endpoint.conninfo, autocommit=True)
        async with connection, connection.cursor() as cursor:
            found = []
            for m in range(20):
                await cursor.execute("SELECT %s::int * %s::int", [n, m])
                found.append(await cursor.fetchone())
            return found

    async def scenario(endpoint):
        return await asyncio.gather(*(one(endpoint, n) for n in range(8)))

    await expect_both_async(scenario)


def test_cancel(expect_both):
    def scenario(endpoint):
        with endpoint.connect() as connection:
            with pytest.raises(psycopg.errors.QueryCanceled):
                _cancel_soon(connection)
            return connection.execute("SELECT 'after'").fetchone()

    expect_both(scenario)


def _cancel_soon(connection):
    import threading

    timer = threading.Timer(0.5, connection.cancel_safe)
    timer.start()
    try:
        connection.execute("SELECT count(*) FROM generate_series(1, 3000000000)")
    finally:
        timer.join()
