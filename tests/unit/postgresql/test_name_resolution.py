"""Name resolution: what may move the name space of a session, and how long its server's answer holds."""

from __future__ import annotations

import pytest

from querywarden.model.catalogue import Catalogue
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.analysis import analyse
from querywarden.postgresql.name_resolution import NameResolution, moves

CATALOGUE = Catalogue("1", {}, opaque_functions=frozenset({"own"}))
PLAIN = '[["pg_catalog", "public"], "app", "app", "on", "origin", "off", null]'
WITH_TEMPORARY = '[["pg_temp_3", "pg_catalog", "public"], "app", "app", "on", "origin", "off", "16400"]'


def facts(text: str) -> StatementFacts:
    found = analyse(text.encode())
    assert isinstance(found, tuple)
    return found[0]


def settled() -> NameResolution:
    names = NameResolution()
    names.settle(PLAIN, "s1")
    return names


@pytest.mark.parametrize(
    "text",
    [
        "SET search_path = other", "SET LOCAL search_path TO a, b", "RESET search_path", "RESET ALL", "DISCARD ALL", "DISCARD TEMP",
        "SELECT set_config('search_path', 'x', false)", "SELECT set_config($1, $2, true)", "SET ROLE other", "SET SESSION AUTHORIZATION x",
        "SET session_replication_role = replica", "SET row_security = off", "CREATE TEMP TABLE t (a int)", "CREATE TABLE t AS SELECT 1",
        "SELECT 1 AS a INTO TEMP t", "DROP TABLE t", "ALTER TABLE t RENAME TO u", "DO $$ BEGIN END $$", "CALL p()", "SELECT own(1)",
        "SELECT a FROM t WHERE own(a)", "EXPLAIN ANALYZE SELECT own(1)", "SELECT t.own FROM t", "SET transform_null_equals = on",
    ],
)  # fmt: skip
def test_what_may_move_the_name_space(text: str) -> None:
    names = settled()
    names.note(facts(text), CATALOGUE)
    assert moves(facts(text), CATALOGUE)
    assert names.key is None
    assert names.epoch == 1


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1", "SELECT upper(a) FROM t", "INSERT INTO t VALUES (1)", "SET application_name = 'x'", "SET LOCAL work_mem = '4MB'",
        "BEGIN",
        "COMMIT", "ROLLBACK", "SHOW search_path", "EXPLAIN SELECT 1", "DECLARE c CURSOR FOR SELECT 1", "FETCH c", "LISTEN x",
    ],
)  # fmt: skip
def test_what_leaves_it(text: str) -> None:
    names = settled()
    names.note(facts(text), CATALOGUE)
    assert names.key == PLAIN
    assert names.epoch == 0


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "ROLLBACK TO SAVEPOINT s"])
def test_the_end_of_a_transaction_may_move_back_what_moved_in_it(end: str) -> None:
    names = settled()
    names.note(facts("SET LOCAL search_path = x"), CATALOGUE)
    names.settle(PLAIN, "s1")
    names.note(facts(end), CATALOGUE)
    assert names.key is None


def test_a_transaction_that_fails_moves_back_too() -> None:
    names = settled()
    names.note(facts("SET search_path = x"), CATALOGUE)
    names.settle(PLAIN, "s1")
    names.transaction_ended()
    assert names.key is None
    names.settle(PLAIN, "s1")
    names.transaction_ended()
    assert names.key == PLAIN


def test_temporary_relations_make_it_the_sessions_own() -> None:
    one, other = NameResolution(), NameResolution()
    one.settle(WITH_TEMPORARY, "s1")
    other.settle(WITH_TEMPORARY, "s2")
    assert one.key != other.key
    assert settled().key == PLAIN


def test_no_answer_settles_nothing() -> None:
    names = NameResolution()
    names.settle(None, "s1")
    assert names.key is None
