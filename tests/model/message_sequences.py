"""Random legal message sequences of a PostgreSQL client: simple, extended and pipelined, with errors in the middle, COPY and cursors.

A sequence is a list of batches; a batch is sent in one go. Every sequence is made from a seed alone.
"""

from __future__ import annotations

import random

from tests.model.wire_client import COPY_DONE, COPY_FAIL, FLUSH, SYNC, bind, close, copy_data, describe, execute, parse, query

SETUP = """
CREATE TABLE d (id int PRIMARY KEY, v text); CREATE TABLE kid (id int REFERENCES d DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION tell(n int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE NOTICE 'told %', n; RETURN n; END $$;
"""
RESET = "TRUNCATE d, kid; INSERT INTO d SELECT n, 'value ' || n FROM generate_series(1, 4) n"

_TEXTS = (
    "SELECT id, v FROM d ORDER BY id", "SELECT 1 AS one, 'x'::text, NULL::int", "SELECT 1 / 0",
    "SELECT n / (n - 3) FROM generate_series(1, 4) n", "SELECT nothing FROM d", "SELEC 1", "INSERT INTO d VALUES (7, 'seven')",
    "INSERT INTO d VALUES (1, 'twice')", "INSERT INTO d VALUES (8, 'eight') ON CONFLICT DO NOTHING RETURNING id, v",
    "UPDATE d SET v = v || '!' WHERE id = 2 RETURNING v", "DELETE FROM d WHERE id = 4", "INSERT INTO kid VALUES (99)", "SELECT tell(5)",
    "SELECT * FROM generate_series(1, 9) n", "BEGIN", "COMMIT", "ROLLBACK", "COMMIT AND CHAIN",
    "DECLARE c CURSOR FOR SELECT id, v FROM d ORDER BY id", "DECLARE h CURSOR WITH HOLD FOR SELECT v FROM d ORDER BY id",
    "FETCH 2 FROM c", "FETCH ALL FROM h", "MOVE 1 IN c", "CLOSE c", "CLOSE h", "CLOSE ALL", "PREPARE q AS SELECT v FROM d ORDER BY id",
    "EXECUTE q", "EXECUTE s1", "DEALLOCATE q", "DEALLOCATE ALL", "SET TimeZone = 'Europe/Berlin'", "SET TimeZone = 'UTC'",
    "SHOW TimeZone", "SET LOCAL DateStyle = 'German'", "CREATE TEMP TABLE t (x int)", "DROP TABLE IF EXISTS t",
    "INSERT INTO t VALUES (1), (2)", "SELECT x FROM t", "LISTEN l", "NOTIFY l, 'hello'", "UNLISTEN *",
    "EXPLAIN (COSTS OFF) SELECT * FROM d", "VALUES (1, 'a'), (2, 'b')", "SELECT repeat('long ', 3000) FROM generate_series(1, 4)",
    "DISCARD PLANS", "LOCK TABLE d IN SHARE MODE", "SET CONSTRAINTS ALL IMMEDIATE",
)  # fmt: skip
_SAVEPOINTS = ("SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "ROLLBACK TO nowhere")
"""For simple queries alone: in a pipeline outside a transaction block they end the session of a server of any version (XX000)."""
_SEVERAL = (
    "SELECT 1; SELECT 2", "INSERT INTO d VALUES (11, 'a'); SELECT 1 / 0; SELECT 3",
    "BEGIN; INSERT INTO d VALUES (12, 'b'); COMMIT; SELECT 4", "SELECT 5; BEGIN; SELECT 6",
    "SELECT v FROM d WHERE id = 1; UPDATE d SET v = 'w' WHERE id = 1; SELECT v FROM d WHERE id = 1", "BEGIN; SELECT 1 / 0; COMMIT",
    ";;SELECT 7;;", "PREPARE q AS SELECT 8; EXECUTE q; DEALLOCATE q", "DECLARE h CURSOR WITH HOLD FOR SELECT 9; SELECT 1 / 0",
    "COMMIT; SELECT 10", "BEGIN; SAVEPOINT s; RELEASE s; SELECT 12", "INSERT INTO kid VALUES (98); SELECT 11",
)  # fmt: skip
_COPY_OUT = (
    "COPY d TO STDOUT", "COPY (SELECT v FROM d ORDER BY id) TO STDOUT (FORMAT csv)",
    "COPY (SELECT 1 / (n - 2) FROM generate_series(1, 4) n) TO STDOUT",
)  # fmt: skip
_STATEMENTS, _PORTALS = ("", "s1", "s2", "q"), ("", "p1", "p2", "c", "h")


def sequence(seed: int) -> list[list[bytes]]:
    """The batches of a seed. A Query comes behind extended messages without a Sync in `_mixed` alone."""
    draw = random.Random(seed)
    return [_batch(draw) for _ in range(draw.randint(1, 7))]


def _batch(draw: random.Random) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(draw.randint(1, 4)):
        found += draw.choices((_simple, _pipeline, _copy_in, _copy_in_extended, _mixed), (4, 8, 1, 1, 1))[0](draw)
    return found


def _simple(draw: random.Random) -> list[bytes]:
    return [query(draw.choice(draw.choices((_TEXTS, _SEVERAL, _COPY_OUT, _SAVEPOINTS), (6, 3, 1, 1))[0]))]


def _run(draw: random.Random) -> list[bytes]:
    """One statement, as a driver would run it."""
    statement, portal = draw.choice(_STATEMENTS[:3]), draw.choice(_PORTALS[:3])
    found = [parse(draw.choice((*_TEXTS, *_COPY_OUT)), statement), bind(portal, statement)]
    if draw.random() < 0.6:
        found.append(describe("P", portal))
    if draw.random() < 0.2:
        found.insert(1, describe("S", statement))
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        found.append(execute(portal, draw.choice((0, 0, 1, 2))))
    if statement and draw.random() < 0.7:
        found.insert(0, close("S", statement))
    return found


def _odd(draw: random.Random) -> list[bytes]:
    """A message by itself, which may well be an error."""
    statement, portal = draw.choice(_STATEMENTS), draw.choice(_PORTALS)
    prepared = (parse(draw.choice(_TEXTS), statement), bind(portal, statement), describe("S", statement), close("S", statement))
    opened = (describe("P", portal), execute(portal, draw.choice((0, 1))), close("P", portal))
    return [draw.choice((*prepared, *opened, FLUSH))]


def _extended(draw: random.Random) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(draw.randint(1, 3)):
        found += _run(draw) if draw.random() < 0.65 else _odd(draw)
        if draw.random() < 0.2:
            found.append(FLUSH)
    return found


def _pipeline(draw: random.Random) -> list[bytes]:
    return [*_extended(draw), SYNC, *([SYNC] if draw.random() < 0.1 else [])]


def _mixed(draw: random.Random) -> list[bytes]:
    """A Query in the middle of a pipeline: the server answers it, or skips it after an error."""
    return [*_extended(draw), query(draw.choice(_TEXTS)), *_extended(draw), SYNC]


def _rows(draw: random.Random) -> list[bytes]:
    rows = [f"{100 + n}\trow {n}\n".encode() for n in range(draw.randint(0, 3))]
    if draw.random() < 0.4:
        rows.insert(draw.randint(0, len(rows)), draw.choice((b"1\ttwice\n", b"no number\tx\n", b"5\n")))
    return [copy_data(row) for row in rows]


def _copy_end(draw: random.Random) -> bytes:
    return COPY_DONE if draw.random() < 0.75 else COPY_FAIL


def _copy_in(draw: random.Random) -> list[bytes]:
    before, after = draw.choice((("", ""), ("SELECT 1; ", ""), ("", "; SELECT 2"), ("BEGIN; ", "; COMMIT")))
    return [query(f"{before}COPY d FROM STDIN{after}"), *_rows(draw), _copy_end(draw)]


def _copy_in_extended(draw: random.Random) -> list[bytes]:
    found = [parse("COPY d FROM STDIN"), bind(), execute(), *([SYNC] if draw.random() < 0.4 else []), *_rows(draw), _copy_end(draw), SYNC]
    return found if draw.random() < 0.7 else [parse("SELECT 1 / 0"), bind(), execute(), *found]
