"""Data flows that are known: how many, and how much of them, a database's sessions keep."""

from __future__ import annotations

from querywarden.postgresql.analysis import analyse
from querywarden.postgresql.data_flows import CHARACTERS_MAX, ENTRIES_MAX, DataFlows, Key, Known


def known(text: str) -> Known:
    facts = analyse(text.encode())
    assert isinstance(facts, tuple)
    return Known(None, facts[0], facts[0])


def key(number: int) -> Key:
    return ("names", "1", str(number).encode(), ())


def test_the_oldest_texts_are_forgotten_first() -> None:
    flows, one = DataFlows(), known("SELECT email FROM users")
    for number in range(ENTRIES_MAX + 2):
        flows.keep(key(number), one)
    assert [flows.get(key(number)) is one for number in (0, 1, 2, ENTRIES_MAX + 1)] == [False, False, True, True]


def test_long_texts_are_kept_as_long_as_they_are_no_more_than_so_much_together() -> None:
    flows, long = DataFlows(), known("SELECT " + ", ".join(f"upper(email) AS label_{number}" for number in range(2000)) + " FROM users")
    fit = CHARACTERS_MAX // long.characters
    assert 10 < fit < ENTRIES_MAX
    for number in range(fit + 1):
        flows.keep(key(number), long)
        flows.keep(key(number), long)
    assert [flows.get(key(number)) is long for number in (0, 1, fit)] == [False, True, True]


def test_a_change_of_the_schema_makes_room_for_all_of_it() -> None:
    flows, long = DataFlows(), known("SELECT " + ", ".join(f"upper(email) AS label_{number}" for number in range(2000)) + " FROM users")
    fit = CHARACTERS_MAX // long.characters
    for start in (0, fit):
        for number in range(start, start + fit):
            flows.keep(key(number), long)
        assert flows.get(key(start)) is long
        flows.schema_changes()
        assert flows.get(key(start)) is None
