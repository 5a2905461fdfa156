"""Keys of relations, from rows as PostgreSQL 15 to 18 answer them."""

from __future__ import annotations

import pytest

from querywarden.model.catalogue import Column, Keys, Relation
from querywarden.postgresql.catalogue_keys import keys_of


def relation(number: int, name: str, kind: str = "table") -> Relation:
    return Relation(number, "public", name, kind, {at: Column(at, column, "text") for at, column in enumerate("abc", 1)})


RELATIONS = {each.id: each for each in (relation(20000, "t"), relation(20001, "child"), relation(20002, "parted", "partitioned_table"))}
VIEW = relation(20003, "v", "materialized_view")
ROWS = frozenset({"a"})


def keys(*rows: tuple[str, str, str, str], inheritance: tuple[tuple[int, int], ...] = (), of: int = 20000) -> Keys:
    return keys_of(RELATIONS | {VIEW.id: VIEW}, rows, inheritance).get(of, Keys())


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("unique", "20000", "1", "1"), Keys((ROWS,), ROWS, has_row_ids=True)),
        (("unique", "20000", "2 1", "2"), Keys((frozenset("ab"),), frozenset("b"), has_row_ids=True)),
        (("unique", "20000", "1 2", "1"), Keys((ROWS,), ROWS, has_row_ids=True)),
        (("unique", "20000", "0 1", "2"), Keys((), frozenset(), has_row_ids=True)),
        (("unique", "20000", "1 0", "2"), Keys((), ROWS, has_row_ids=True)),
        (("index", "20000", "3 1", "2"), Keys((), frozenset("c"), has_row_ids=True)),
        (("reference", "20000", "1 2", "ca"), Keys(delete_cascades=True, has_row_ids=True)),
        (("reference", "20000", "1 2", "an"), Keys(cascading=frozenset("ab"), has_row_ids=True)),
        (("reference", "20000", "1", "dc"), Keys(delete_cascades=True, cascading=ROWS, has_row_ids=True)),
        (("reference", "20000", "1", "ra"), Keys(has_row_ids=True)),
        (("rule", "20000", "", ""), Keys()),
        (("unique", "99999", "1", "1"), Keys(has_row_ids=True)),
    ],
)
def test_each_row_says_one_thing_of_a_relation(row: tuple[str, str, str, str], expected: Keys) -> None:
    assert expected == keys(row)


def test_a_rule_takes_the_keys_away() -> None:
    assert Keys((), ROWS) == keys(("unique", "20000", "1", "1"), ("rule", "20000", "", ""))


def test_the_keys_of_a_parent_do_not_hold_for_its_children_but_those_of_a_partitioned_table_do() -> None:
    unique = ("unique", "20000", "1", "1")

    assert Keys((), ROWS) == keys(unique, inheritance=((20001, 20000),))
    assert Keys((ROWS,), ROWS, has_row_ids=True) == keys(unique, inheritance=((20000, 20002),))
    assert Keys((ROWS,), ROWS) == keys(("unique", "20002", "1", "1"), inheritance=((20000, 20002),), of=20002)


def test_what_cascades_from_a_child_cascades_from_all_above_it() -> None:
    row = ("reference", "20001", "1", "cc")
    inheritance = ((20001, 20000), (20000, 20002))

    assert all(keys(row, inheritance=inheritance, of=each).delete_cascades for each in (20000, 20001, 20002))
    assert ROWS == keys(row, inheritance=inheritance, of=20002).cascading
    assert not keys(("reference", "20002", "1", "cc"), inheritance=inheritance, of=20001).delete_cascades


def test_a_view_that_holds_rows_has_no_keys_of_changes() -> None:
    assert Keys((), ROWS) == keys(("unique", "20003", "1", "1"), of=20003)
