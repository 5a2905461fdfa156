"""Random legal message sequences whose statements touch classified columns and return others, so that the server is asked about them.

A text holds `@` for a label that is new each time, so that nothing about it can be known from before. Every sequence is made from a seed.
"""

from __future__ import annotations

import random

from tests.model.wire_client import COPY_DONE, FLUSH, SYNC, bind, close, copy_data, describe, execute, parse, query

SETUP = """
CREATE TABLE c (id int PRIMARY KEY, email text, score int, note text); CREATE TABLE d (id int PRIMARY KEY, v text);
CREATE SCHEMA IF NOT EXISTS other; CREATE TABLE other.d (id int, v text);
CREATE VIEW v AS SELECT id, email AS address, score, note FROM c;
CREATE TABLE "größe ☃" (id int, email text, "naïve" text);
CREATE FUNCTION note_of(which int) RETURNS text LANGUAGE sql STABLE AS 'SELECT note FROM c WHERE id = which';
"""
RESET = """
TRUNCATE c, d, "größe ☃", other.d; DROP TABLE IF EXISTS g, made, other.made; DROP VIEW IF EXISTS made_view;
CREATE TABLE g (id int PRIMARY KEY, note text);
INSERT INTO c SELECT n, 'mail' || n || '@postbox.example', n, 'note ' || n FROM generate_series(1, 5) n;
INSERT INTO d SELECT n, 'value ' || n FROM generate_series(1, 4) n; INSERT INTO g SELECT id, note FROM c;
INSERT INTO other.d VALUES (1, 'other'); INSERT INTO "größe ☃" VALUES (1, 'x@postbox.example', 'ü');
"""

_ASKED = (
    "SELECT id AS @, score FROM c WHERE email IS NOT NULL ORDER BY id", "SELECT note AS @ FROM v WHERE address IS NOT NULL ORDER BY id",
    "SELECT count(email) AS @ FROM c", "SELECT (SELECT count(*) FROM c WHERE email IS NOT NULL) AS @",
    "SELECT c.id AS @, d.v FROM c JOIN d USING (id) WHERE c.email IS NOT NULL ORDER BY 1", "SELECT upper(note) AS @ FROM c ORDER BY id",
    "SELECT id AS @, nope FROM c WHERE email IS NOT NULL", "SELECT id AS @, score / (id - 3) FROM c WHERE email IS NOT NULL",
    "SELECT @ FROM c", "SELECT id AS @ FROM c WHERE email IS NOT",
    "UPDATE c SET score = score + 1 WHERE email IS NOT NULL RETURNING id AS @, score", "DELETE FROM c WHERE id = 5 RETURNING id AS @",
    "INSERT INTO c VALUES (9, NULL, 9, 'n') ON CONFLICT DO NOTHING RETURNING id AS @",
    "INSERT INTO c (id, score) VALUES (1, 1) RETURNING 7 AS @",
    "WITH w AS (SELECT id, note FROM c WHERE email IS NOT NULL) SELECT note AS @ FROM w ORDER BY id",
    'SELECT "naïve" AS "@ ß" FROM "größe ☃" WHERE email IS NOT NULL',
    "SELECT g.* FROM g JOIN c USING (id) WHERE c.email IS NOT NULL ORDER BY 1",
    "SELECT g.*, 1 AS @ FROM g JOIN c USING (id) WHERE c.email IS NOT NULL ORDER BY 1", "SELECT note AS @ FROM made_view ORDER BY 1",
    "SELECT id AS @, x FROM c, t WHERE email IS NOT NULL ORDER BY 1, 2", "SELECT now() IS NOT NULL AS @ FROM c WHERE id = 1",
    "SELECT v AS @ FROM d, c WHERE c.id = d.id AND c.email IS NOT NULL ORDER BY 1",
    "INSERT INTO d SELECT id + 20, note FROM c WHERE score > 4 RETURNING id AS @",
)  # fmt: skip
_OF_BODIES = ("SELECT note_of(id) AS @ FROM c WHERE email IS NOT NULL ORDER BY id",)
"""For simple queries alone: in the middle of a segment the server isn't asked about functions, so that more is masked."""
_CURSORS = (
    "FETCH 2 FROM c", "FETCH ALL FROM c", "MOVE 1 IN c", "FETCH 1 FROM h", "CLOSE c", "CLOSE h", "CLOSE ALL",
    "PREPARE q AS SELECT note AS @ FROM c WHERE email IS NOT NULL ORDER BY id", "EXECUTE q", "EXECUTE s1", "DEALLOCATE q", "DEALLOCATE ALL",
)  # fmt: skip
_TRANSACTIONS = (
    "BEGIN", "BEGIN", "COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN READ ONLY",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION READ ONLY",
    "SET TRANSACTION READ WRITE", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
)  # fmt: skip
_SESSION = (
    "SET search_path = other, public", "RESET search_path", "SET LOCAL search_path = other, public", "SET client_min_messages = error",
    "SET LOCAL client_min_messages = error", "RESET client_min_messages", "DISCARD TEMP", "SHOW client_min_messages",
    "SHOW transaction_read_only", "SHOW transaction_isolation", "SHOW debug_print_rewritten", "SHOW log_min_messages", "RESET ALL",
    "SET TimeZone = 'Europe/Berlin'", "SET LOCAL DateStyle = 'German'", "SHOW DateStyle", "LISTEN l", "NOTIFY l, 'hello'", "UNLISTEN *",
    "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'querywarden%'", "SELECT pg_current_xact_id_if_assigned() IS NULL",
    "SELECT count(*) FROM pg_cursors", "SELECT count(*) FROM pg_locks WHERE relation = 'c'::regclass AND pid = pg_backend_pid()",
    "LOCK TABLE c IN SHARE MODE", "SELECT 1", "SELECT 1 / 0", "INSERT INTO d VALUES (7, 'seven')", "SELECT v FROM d ORDER BY id",
    "SET default_transaction_read_only = on", "SET default_transaction_isolation = 'repeatable read'",
)  # fmt: skip
_SCHEMA = (
    "CREATE TABLE made (x int)", "DROP TABLE IF EXISTS made", "CREATE OR REPLACE VIEW made_view AS SELECT id, note FROM c",
    "DROP VIEW IF EXISTS made_view", "ALTER TABLE g ADD COLUMN IF NOT EXISTS more int", "ALTER TABLE g DROP COLUMN IF EXISTS more",
    "CREATE TEMP TABLE t (x int)", "DROP TABLE IF EXISTS t", "INSERT INTO t VALUES (1), (2)", "CREATE TEMP TABLE d (id int, v text)",
)  # fmt: skip
_PLAIN = ("SELECT id AS @, score FROM c ORDER BY id", "SELECT note AS @ FROM c ORDER BY id", "SELECT id AS @, nope FROM c")
"""Of these a name tells as much as the server does, which can't be asked before the mode of its transaction is set."""
_SAVEPOINTS = (
    "DISCARD ALL", "DECLARE c CURSOR FOR SELECT id AS @, note FROM c WHERE email IS NOT NULL ORDER BY id",
    "DECLARE h CURSOR WITH HOLD FOR SELECT note AS @ FROM v ORDER BY id", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s",
    "SAVEPOINT querywarden_probe", "ROLLBACK TO querywarden_probe", "RELEASE querywarden_probe",
)  # fmt: skip
"""For simple queries alone: in a pipeline outside a transaction block they end the session of a server of any version (XX000)."""
_COPY_OUT = ("COPY (SELECT id, note AS @ FROM c WHERE email IS NOT NULL ORDER BY id) TO STDOUT", "COPY d TO STDOUT")
_SEVERAL = (
    "SELECT 1; {0}; {1}", "{0}; SELECT 1 / 0; {1}", "BEGIN; {0}; {1}; COMMIT", "BEGIN; SAVEPOINT s; {0}; RELEASE s; {1}",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; {2}", "SET TRANSACTION READ ONLY; {2}; {2}", "{0}; ROLLBACK",
    "SET LOCAL lock_timeout = 0; {0}; {1}", "{0}; BEGIN; {1}", "{0}; LISTEN l; {1}",
)  # fmt: skip
_STATEMENTS, _PORTALS = ("", "s1", "s2", "q"), ("", "p1", "p2")


class _Draw(random.Random):
    """A source of choices, and of labels that no other sequence has."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._seed = seed
        self._labels = 0

    def text(self, *groups: tuple[str, ...]) -> str:
        """A text of one of the groups; now and then one that was asked about before."""
        self._labels += 1
        return self.choice(self.choice(groups)).replace("@", "known" if self.random() < 0.2 else f"l{self._seed}_{self._labels}")

    def any(self) -> str:
        return self.text(_ASKED, _ASKED, _ASKED, _ASKED, _CURSORS, _TRANSACTIONS, _SESSION, _SCHEMA)


def sequence(seed: int) -> list[list[bytes]]:
    """The batches of a seed. A Query comes behind extended messages without a Sync in `_mixed` alone."""
    draw = _Draw(seed)
    return [_batch(draw) for _ in range(draw.randint(1, 7))]


def _batch(draw: _Draw) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(draw.randint(1, 4)):
        found += draw.choices((_simple, _pipeline, _copy_in, _mixed), (6, 8, 1, 1))[0](draw)
    return found


def _simple(draw: _Draw) -> list[bytes]:
    if draw.random() < 0.2:
        return [query(draw.choice(_SEVERAL).format(draw.text(_ASKED), draw.text(_ASKED), draw.text(_PLAIN)))]
    return [query(draw.text(_COPY_OUT, _SAVEPOINTS, _TRANSACTIONS, _OF_BODIES) if draw.random() < 0.3 else draw.any())]


def _run(draw: _Draw) -> list[bytes]:
    """One statement, as a driver would run it."""
    statement, portal = draw.choice(_STATEMENTS[:3]), draw.choice(_PORTALS)
    text = draw.text(_COPY_OUT) if draw.random() < 0.05 else draw.any()
    found = [parse(text, statement), bind(portal, statement)]
    if draw.random() < 0.6:
        found.append(describe("P", portal))
    if draw.random() < 0.2:
        found.insert(1, describe("S", statement))
    # What a portal that returns rows of a change has changed is seen once another statement has been executed, and ours are such.
    rows = (0,) if "RETURNING" in text else (0, 0, 1, 2)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        found.append(execute(portal, draw.choice(rows)))
    if statement and draw.random() < 0.7:
        found.insert(0, close("S", statement))
    return found


def _odd(draw: _Draw) -> list[bytes]:
    """A message by itself, which may well be an error."""
    statement, portal = draw.choice(_STATEMENTS), draw.choice(_PORTALS)
    prepared = (parse(draw.any(), statement), bind(portal, statement), describe("S", statement), close("S", statement))
    opened = (describe("P", portal), execute(portal, draw.choice((0, 1))), close("P", portal))
    return [draw.choice((*prepared, *opened, FLUSH))]


def _extended(draw: _Draw) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(draw.randint(1, 3)):
        found += _run(draw) if draw.random() < 0.65 else _odd(draw)
        if draw.random() < 0.25:
            found.append(FLUSH)
    return found


def _pipeline(draw: _Draw) -> list[bytes]:
    return [*_extended(draw), SYNC, *([SYNC] if draw.random() < 0.1 else [])]


def _mixed(draw: _Draw) -> list[bytes]:
    """A Query in the middle of a pipeline: the server answers it, or skips it after an error."""
    return [parse(draw.text(_ASKED)), bind(), execute(), query(draw.text(_ASKED)), *_extended(draw), SYNC]


def _copy_in(draw: _Draw) -> list[bytes]:
    rows = [copy_data(f"{100 + n}\trow {n}\n".encode()) for n in range(draw.randint(0, 3))]
    before, after = draw.choice((("", ""), ("{0}; ", ""), ("", "; {0}"), ("BEGIN; ", "; COMMIT")))
    return [query(f"{before}COPY d FROM STDIN{after}".format(draw.text(_ASKED))), *rows, COPY_DONE]
