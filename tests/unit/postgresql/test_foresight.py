"""Foresight: which statements of a text leave those behind them as the planner sees them now, and which names a session has made."""

from __future__ import annotations

import pytest

from querywarden.model.catalogue import Catalogue
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.analysis import analyse
from querywarden.postgresql.foresight import NAMES_MAX, Before, NamesMade

CATALOGUE = Catalogue(generation="1", relations={}, opaque_functions=frozenset({"change"}), volatile_functions=frozenset({"change"}))


def facts_of(text: str) -> tuple[StatementFacts, ...]:
    found = analyse(text.encode())
    assert isinstance(found, tuple), found
    return found


def leaves(before: str, after: str = "UPDATE orders SET total = 0 WHERE id > 5") -> bool:
    seen = Before()
    for facts in facts_of(before):
        seen.add(facts, CATALOGUE)
    return seen.leaves(facts_of(after)[0])


@pytest.mark.parametrize(
    "before",
    [
        "BEGIN", "START TRANSACTION", "SAVEPOINT a", "RELEASE a", "SELECT 1", "SHOW search_path",
        "SET statement_timeout = 5",
        "SET LOCAL lock_timeout = '1s'", "SET querywarden.reason = 'x'", "INSERT INTO orders VALUES (1), (2)",
        "UPDATE orders SET total = 1",
        "DELETE FROM orders", "INSERT INTO items SELECT 1", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "LOCK TABLE orders",
    ],
)  # fmt: skip
def test_what_leaves_the_next_statement_as_it_is(before: str) -> None:
    assert leaves(before)


@pytest.mark.parametrize(
    "before",
    [
        "SET search_path = other", "SET LOCAL search_path = other", "RESET search_path", "RESET ALL", "DISCARD ALL",
        "SET datestyle = 'ISO, DMY'",
        "SET TIME ZONE 'UTC'", "SET ROLE other", "SELECT set_config('search_path', 'other', true)", "COMMIT", "ROLLBACK", "ROLLBACK TO a",
        "CREATE TEMP TABLE orders (id int)", "CREATE TEMP TABLE x AS SELECT 1", "SELECT 1 AS id INTO TEMP orders",
        "DROP TABLE pg_temp.orders",
        "ALTER TABLE items RENAME TO orders", "DO 'BEGIN END'", "CALL change()", "SELECT change()",
        "SELECT 1; SET search_path = other; SELECT 1",
    ],
)  # fmt: skip
def test_what_may_change_what_the_next_statement_means(before: str) -> None:
    assert not leaves(before)


@pytest.mark.parametrize(
    "before",
    [
        "INSERT INTO orders SELECT n FROM generate_series(1, 9) n", "COPY orders FROM STDIN",
        "WITH a AS (INSERT INTO orders SELECT 1) SELECT 1",
        "MERGE INTO orders USING items ON true WHEN NOT MATCHED THEN INSERT VALUES (1)", "REFRESH MATERIALIZED VIEW orders",
        "INSERT INTO pg_temp.orders TABLE items",
    ],
)  # fmt: skip
def test_rows_that_come_are_not_foreseen_where_they_count(before: str) -> None:
    assert not leaves(before)
    assert not leaves(before, "DELETE FROM items WHERE id IN (SELECT id FROM orders)")
    assert leaves(before, "DELETE FROM items WHERE id > 5")


class TestNamesMade:
    def test_a_name_is_new_to_what_was_prepared_before_and_known_to_what_comes_after(self) -> None:
        made, update = NamesMade(), facts_of("UPDATE orders SET total = 0")[0]
        then = made.now
        made.note(facts_of("CREATE TEMP TABLE orders (id int)")[0])
        assert made.since(then, update)
        assert not made.since(then, facts_of("UPDATE items SET n = 0")[0])
        assert not made.since(made.now, update)

    @pytest.mark.parametrize(
        "text",
        ["CREATE TEMP VIEW orders AS SELECT 1", "SELECT 1 INTO TEMP orders", "ALTER TABLE items RENAME TO orders", "CREATE SCHEMA other"],
    )
    def test_what_makes_a_name(self, text: str) -> None:
        made = NamesMade()
        made.note(facts_of(text)[0])
        assert made.since(0, facts_of("UPDATE orders SET total = 0")[0])

    @pytest.mark.parametrize("text", ["SELECT 1", "CREATE INDEX i ON orders (id)", "INSERT INTO orders VALUES (1)", "DROP TABLE orders"])
    def test_what_makes_none(self, text: str) -> None:
        made = NamesMade()
        made.note(facts_of(text)[0])
        assert not made.since(0, facts_of("UPDATE orders SET total = 0")[0])

    def test_names_without_end_are_not_kept(self) -> None:
        made, update = NamesMade(), facts_of("UPDATE orders SET total = 0")[0]
        for number in range(NAMES_MAX + 2):
            made.note(facts_of(f"CREATE TEMP TABLE t{number} (id int)")[0])
        assert made.since(NAMES_MAX - 1, update)
        assert not made.since(made.now, update)
