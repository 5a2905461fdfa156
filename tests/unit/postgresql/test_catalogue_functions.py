"""The functions and operators of a catalogue, from what real servers answered (tests/data/catalogue)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from querywarden.model.catalogue import Catalogue, Function, OperatorName, SqlBody
from querywarden.postgresql.catalogue_functions import functions_of, operators_of
from querywarden.postgresql.catalogue_query import Row, build_catalogue

DATA = Path(__file__).parents[2] / "data" / "catalogue"
FUNCTIONS = 4
"""The place of the functions' rows among the answers."""


@pytest.fixture(params=["15", "18"])
def answers(request: pytest.FixtureRequest) -> list[list[Row]]:
    """The answers of each recorded server."""
    told = json.loads((DATA / f"catalogue_{request.param}.json").read_text())
    return [[tuple(None if cell is None else cell.encode() for cell in row) for row in rows] for rows in told]


@pytest.fixture
def catalogue(answers: list[list[Row]]) -> Catalogue:
    """The catalogue that they make."""
    return build_catalogue("g", answers)


def function(catalogue: Catalogue, name: str) -> Function:
    """The one function of a name."""
    [found] = [each for each in catalogue.functions.values() if each.name == name]
    return found


def body(catalogue: Catalogue, name: str) -> SqlBody:
    """The body of the one function of a name."""
    found = function(catalogue, name).body
    assert found is not None
    return found


def test_functions_of_the_server_are_there_and_not_own(catalogue: Catalogue) -> None:
    assert Function(870, "pg_catalog", "lower", "f", "i") == catalogue.functions[870]
    assert Function(1598, "pg_catalog", "random", "f", "v") == catalogue.functions[1598]
    assert {"a"} == {each.kind for each in catalogue.functions.values() if each.name == "count"}
    assert {"w", "a"} >= {each.kind for each in catalogue.functions.values() if each.name == "rank"} > {"a"}
    assert "information_schema" == function(catalogue, "_pg_truetypid").schema


def test_own_functions_are_those_of_the_database_that_are_not_known_to_be_pure(catalogue: Catalogue) -> None:
    own = {each.name for each in catalogue.functions.values() if each.is_own}
    assert {"peek", "tell", "act", "atomic", "definer", "pinned", "empty_body", "move_on", "total"} <= own
    assert own == catalogue.opaque_functions
    assert {each.name for each in catalogue.functions.values() if each.is_own and each.is_volatile} == catalogue.volatile_functions
    assert ("p", True) == (function(catalogue, "act").kind, function(catalogue, "act").is_volatile)
    assert not {"crypt", "citext_eq"} & own


def test_a_body_in_sql_is_a_text_or_a_tree_with_the_arguments_of_a_call(catalogue: Catalogue) -> None:
    assert SqlBody(None, "SELECT email FROM users WHERE id = $1", (23,), ("",)) == body(catalogue, "peek")
    assert SqlBody(None, "", (), ()) == body(catalogue, "empty_body")
    assert SqlBody(None, "UPDATE products SET id = a", (23,), ("a",)) == body(catalogue, "move_on")
    atomic = body(catalogue, "atomic")
    assert atomic.tree is not None
    assert atomic.tree.startswith("(({QUERY ")
    assert SqlBody(None, None, (23, 1007), ("person", "more"), returns_set=True) == replace(atomic, tree=None)


def test_what_runs_with_other_rights_or_settings_or_in_another_language_has_no_body(catalogue: Catalogue) -> None:
    assert {None} == {function(catalogue, name).body for name in ("definer", "pinned", "tell", "act", "total", "texteq")}


def test_a_body_that_is_not_valid_text_is_left_out(answers: list[list[Row]]) -> None:
    broken = [tuple(b"SELECT '\xff'" if cell is not None and cell.startswith(b"SELECT email") else cell for cell in row)
              for row in answers[FUNCTIONS]]  # fmt: skip
    peek = function(build_catalogue("g", [*answers[:FUNCTIONS], broken, *answers[FUNCTIONS + 1 :]]), "peek")
    assert (True, None) == (peek.is_own, peek.body)


def test_trusted_functions_are_not_own(answers: list[list[Row]]) -> None:
    peek = function(build_catalogue("g", answers, is_trusted=lambda name: name == "peek"), "peek")
    assert (False, None) == (peek.is_own, peek.body)


def test_operators_of_the_server_mean_what_their_names_say(catalogue: Catalogue) -> None:
    assert OperatorName("=", 67, True) == catalogue.operators[98]
    [peeking] = [each for each in catalogue.operators.values() if each.name == "!@"]
    assert (function(catalogue, "peek").id, False) == (peeking.function, peeking.is_built_in)


@pytest.mark.parametrize(
    ("extension", "own", "expected"),
    [("", frozenset(), False), ("citext", frozenset(), True), ("postgis", frozenset(), False), ("citext", frozenset({20001}), False)],
)
def test_operators_of_known_extensions_mean_what_their_names_say_unless_somebody_else_computes_them(
    extension: str, own: frozenset[int], expected: bool
) -> None:
    found = operators_of(b"", [("20000", "=", "20001", extension)], own)
    assert {20000: OperatorName("=", 20001, expected)} == found


def test_objects_of_the_server_are_shared_between_catalogues(answers: list[list[Row]]) -> None:
    first, second = build_catalogue("1", answers), build_catalogue("2", answers)
    assert first.functions[870] is second.functions[870]
    assert first.operators[98] is second.operators[98]


def test_answers_of_another_form_are_refused() -> None:
    with pytest.raises(ValueError):
        functions_of(b"870\tpg_catalog", [], lambda name: False)
    names = ("20000", "f", "f", "v", "", "f", "public", "t", "", "SELECT 1", "23 23", '["a"]', "", "f")
    with pytest.raises(ValueError):
        functions_of(b"", [names], lambda name: False)
