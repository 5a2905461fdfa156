"""asyncpg does its ordinary work: its cache of prepared statements, executemany, binary everywhere, cursors, COPY."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import io
import uuid

import asyncpg
import pytest

_PARTS = "CREATE TABLE parts (id int PRIMARY KEY, label text, weight numeric)"


async def test_values_prepared_statements_and_transactions(expect_both_async):
    async def scenario(endpoint):
        connection = await asyncpg.connect(**endpoint.asyncpg())
        try:
            await connection.execute(_PARTS)
            row = await connection.fetchrow(
                "SELECT $1::int4 AS a, $2::text AS b, $3::numeric AS c, $4::timestamptz AS d, $5::uuid AS e, $6::bytea AS f,"
                " $7::int[] AS g, $8::jsonb AS h, $9::bool AS i",
                7, "text ✓", decimal.Decimal("1.50"), datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC), uuid.UUID(int=5), b"\0\1",
                [1, 2, None], '{"k": 1}', True,
            )  # fmt: skip
            cached = [await connection.fetchval("SELECT $1::int * 2", n) for n in range(50)]
            statement = await connection.prepare("SELECT label, weight FROM parts WHERE id = $1")
            shape = [(a.name, a.type.name) for a in statement.get_attributes()], [p.name for p in statement.get_parameters()]
            async with connection.transaction():
                await connection.execute("INSERT INTO parts VALUES (1, 'one', 1)")
                with pytest.raises(asyncpg.UniqueViolationError) as violation:
                    async with connection.transaction():
                        await connection.execute("INSERT INTO parts VALUES (1, 'again', 1)")
            found = await statement.fetch(1)
            await connection.execute("ALTER TABLE parts ADD COLUMN extra int")
            again = await connection.fetch("SELECT * FROM parts")
            rows = tuple(row.values()), [tuple(r) for r in found], [tuple(r.items()) for r in again]
            return rows, cached, shape, violation.value.sqlstate
        finally:
            await connection.close()

    await expect_both_async(scenario)


async def test_executemany_cursors_and_copy(expect_both_async):
    async def scenario(endpoint):
        connection = await asyncpg.connect(**endpoint.asyncpg())
        try:
            await connection.execute(_PARTS)
            await connection.executemany("INSERT INTO parts VALUES ($1, $2, $3)", [(n, f"part {n}", n) for n in range(3000)])
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.executemany("INSERT INTO parts VALUES ($1, $2, $3)", [(n, "x", n) for n in (5000, 5001, 1, 5002)])
            counted = await connection.fetchval("SELECT count(*) FROM parts")
            async with connection.transaction():
                walked = [r["id"] async for r in connection.cursor("SELECT id FROM parts ORDER BY id", prefetch=64)]
                cursor = await connection.cursor("SELECT id FROM parts ORDER BY id")
                await cursor.forward(10)
                ten = [r["id"] for r in await cursor.fetch(10)]
            copied_in = await connection.copy_records_to_table("parts", records=[(n, "copied", n) for n in range(6000, 7000)])
            out = io.BytesIO()
            copied_out = await connection.copy_from_query("SELECT * FROM parts ORDER BY id", output=out, format="csv")
            binary = io.BytesIO()
            await connection.copy_from_table("parts", output=binary, format="binary")
            return counted, sum(walked), ten, copied_in, copied_out, out.getvalue(), len(binary.getvalue())
        finally:
            await connection.close()

    await expect_both_async(scenario)


async def test_types_of_the_database_are_introspected(expect_both_async):
    async def scenario(endpoint):
        connection = await asyncpg.connect(**endpoint.asyncpg())
        try:
            await connection.execute("CREATE TYPE mood AS ENUM ('calm', 'busy'); CREATE TYPE pair AS (a int, b text);")
            await connection.execute("CREATE TABLE things (id int, state mood, pair pair, states mood[])")
            await connection.execute("INSERT INTO things VALUES (1, 'calm', (1, 'x'), '{calm,busy}')")
            row = await connection.fetchrow("SELECT * FROM things WHERE state = $1", "calm")
            return tuple(map(str, row.values()))
        finally:
            await connection.close()

    await expect_both_async(scenario)


async def test_notifications_timeouts_and_a_pool(expect_both_async):
    async def scenario(endpoint):
        pool = await asyncpg.create_pool(**endpoint.asyncpg(), min_size=2, max_size=4)
        try:
            async with pool.acquire() as listener:
                heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

                def hear(_connection, _process_id, channel, payload):
                    heard.put_nowait((channel, payload))

                await listener.add_listener("news", hear)
                await pool.execute("SELECT pg_notify('news', 'payload')")
                news = await asyncio.wait_for(heard.get(), 10)
                await listener.remove_listener("news", hear)
            sums = await asyncio.gather(*(pool.fetchval("SELECT $1::int + 1", n) for n in range(40)))
            async with pool.acquire() as connection:
                with pytest.raises(TimeoutError):
                    await connection.fetchval("SELECT count(*) FROM generate_series(1, 3000000000)", timeout=0.5)
                after = await connection.fetchval("SELECT 'after'")
            return news, sums, after
        finally:
            await pool.close()

    await expect_both_async(scenario)
