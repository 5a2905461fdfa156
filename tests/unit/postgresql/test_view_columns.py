"""View columns, read from the rules that real servers have kept (tests/data/catalogue, recorded on PostgreSQL 15 and 18)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from querywarden.postgresql.catalogue_query import CATALOGUE_QUERIES
from querywarden.postgresql.view_columns import ViewTree, parse_view

DATA = Path(__file__).parents[2] / "data" / "catalogue"
VIEWS = next(place for place, query in enumerate(CATALOGUE_QUERIES) if "ev_action" in query and "_RETURN" in query)


class Recorded:
    """The relations and views of a recorded server."""

    def __init__(self, major: int) -> None:
        answers = json.loads((DATA / f"catalogue_{major}.json").read_text())
        self.names = {int(row[0]): row[2] for row in answers[0]}
        self.columns = {(int(row[0]), int(row[1])): row[2] for row in answers[1]}
        self.rules = {self.names[int(row[0])]: row[1] for row in answers[VIEWS]}

    def view(self, name: str) -> ViewTree:
        found = parse_view(self.rules[name])
        assert found is not None
        return found

    def sources(self, name: str) -> dict[int, set[str]]:
        """What each column is made of, by names."""
        return {column.number: {self._place(place) for place in column.sources or ()} for column in self.view(name).columns}

    def _place(self, place: tuple[int, int]) -> str:
        return f"{self.names[place[0]]}.{self.columns.get(place, '*')}"


@pytest.fixture(params=[15, 18])
def recorded(request: pytest.FixtureRequest) -> Recorded:
    """Each recorded server."""
    return Recorded(request.param)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("counts", [{"users.country"}, set(), set(), {"users.id"}, {"users.country"}]),
        ("united", [{"products.name", "users.email"}]),
        ("cte", [{"users.email"}, {"users.country"}, {"users.country"}]),
        ("joined", [{"users.id", "notes.id"}, {"users.email", "notes.email"}]),
        ("valued", [set(), set()]),
    ],
)
def test_columns_are_followed_to_what_they_are_made_of(recorded: Recorded, view: str, expected: list[set[str]]) -> None:
    found = recorded.sources(view)
    assert expected == [found[number] for number in sorted(found)][: len(expected)]


def test_sub_selects_and_windows_are_followed(recorded: Recorded) -> None:
    found = recorded.sources("report")
    assert ({"users.email"}, {"users.email"}, set()) == (found[5], found[6], found[7])


def test_whole_rows_have_number_0(recorded: Recorded) -> None:
    assert {"users.*"} == recorded.sources("whole")[1]


def test_origins_are_what_the_server_says(recorded: Recorded) -> None:
    found = {column.number: column.origin for column in recorded.view("report").columns}
    assert found[2] is not None
    assert ("users", "email") == (recorded.names[found[2][0]], recorded.columns[found[2]])
    assert found[4] is None


def test_relations_and_functions_of_all_parts_are_listed(recorded: Recorded) -> None:
    names = {recorded.names.get(number) for number in recorded.view("report").relations}
    assert {"orders", "users", "products"} <= names
    assert {2147, 2803} <= recorded.view("counts").functions


@pytest.mark.parametrize("tree", ["", "<>", "x", "({QUERY :commandType 1})", "({NOTIFYSTMT :conditionname a :payload <>})", "(" * 5000])
def test_what_is_not_understood_is_none(tree: str) -> None:
    assert parse_view(tree) is None


def test_two_queries_are_no_view(recorded: Recorded) -> None:
    rule = recorded.rules["united"]
    assert parse_view(f"{rule[:-1]} {rule[1:]}") is None


def test_changed_rules_are_not_understood(recorded: Recorded) -> None:
    for word in (":targetList", "{VAR ", ":rtable", ":varattno"):
        assert parse_view(recorded.rules["report"].replace(word, word[0] + "other" + word[1:])) is None
