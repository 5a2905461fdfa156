"""What a catalogue says of a statement: from its data flow where that is known, and from names else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Function, Relation
from querywarden.model.data_flow import DataFlow
from querywarden.model.facts import StatementFacts, Verb
from querywarden.model.resource import FunctionName, RelationName

SECRET = Relation(1, "public", "a", "table", {1: Column(1, "x", "text", Classification(DataClass.SECRET, "name"))})
CLEAN = Relation(2, "public", "b", "table", {1: Column(1, "x", "text")})
VIEW = Relation(3, "public", "v", "view", {1: Column(1, "x", "text")}, reads_classified=True)
OWN = Function(20000, "public", "own", "f", "s", is_own=True)
WRITING = Function(20001, "public", "writing", "f", "v", is_own=True)
PROCEDURE = Function(20002, "public", "procedure", "p", "s", is_own=True)
RANDOM = Function(1598, "pg_catalog", "random", "f", "v")
CATALOGUE = Catalogue(
    "1",
    {each.id: each for each in (SECRET, CLEAN, VIEW)},
    opaque_functions=frozenset({"own", "writing", "procedure"}),
    volatile_functions=frozenset({"writing", "procedure"}),
    functions={each.id: each for each in (OWN, WRITING, PROCEDURE, RANDOM)},
)
NO_ROWS = DataFlow(outputs=None)


def facts(verb: Verb, flow: DataFlow | None, *, reads: str = "", calls: str = "") -> StatementFacts:
    """The facts of a statement that reads a relation and calls a function, by their names."""
    return StatementFacts(
        verb,
        "",
        reads=frozenset({RelationName(None, reads)} if reads else ()),
        functions=frozenset({FunctionName(None, calls)} if calls else ()),
        flow=flow,
    )


@pytest.mark.parametrize(("relation", "expected"), [(SECRET.id, True), (VIEW.id, True), (CLEAN.id, False), (99, True)])
def test_a_flow_touches_what_its_relations_hold_and_what_is_not_known(relation: int, expected: bool) -> None:
    flow = DataFlow(None, relations=frozenset({relation}))
    assert expected is CATALOGUE.touches_classified(facts(Verb.SELECT, flow))


def test_names_that_the_server_understood_otherwise_do_not_count() -> None:
    flow = DataFlow(None, relations=frozenset({CLEAN.id}))
    query = facts(Verb.SELECT, flow, reads="a", calls="writing")
    assert not CATALOGUE.touches_classified(query)
    assert not CATALOGUE.is_opaque(query)
    assert not CATALOGUE.calls_volatile(query)
    by_names = replace(query, flow=None)
    assert (True, True, True) == (
        CATALOGUE.touches_classified(by_names), CATALOGUE.is_opaque(by_names), CATALOGUE.calls_volatile(by_names),
    )  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), [("own", True), ("function 12345", True), ("random", False)])
def test_code_in_a_flow_is_opaque_unless_the_catalogue_knows_it_and_it_is_trusted(name: str, expected: bool) -> None:
    query = facts(Verb.SELECT, DataFlow(None, code=frozenset({name})))
    assert expected is CATALOGUE.is_opaque(query)
    assert expected is CATALOGUE.touches_classified(query)
    trusting = replace(CATALOGUE, opaque_functions=frozenset({"writing"}))
    assert (name == "function 12345") is trusting.is_opaque(query)


def test_opaque_code_touches_nothing_classified_where_there_is_none() -> None:
    clean = replace(CATALOGUE, relations={CLEAN.id: CLEAN})
    query = facts(Verb.SELECT, DataFlow(None, code=frozenset({"own"})))
    assert (True, False) == (clean.is_opaque(query), clean.touches_classified(query))


@pytest.mark.parametrize(("function", "expected"), [(20000, False), (20001, True), (20002, True), (1598, False), (99, True)])
def test_a_flow_calls_volatile_code_of_the_databases_own_and_what_is_not_known(function: int, expected: bool) -> None:
    assert expected is CATALOGUE.calls_volatile(facts(Verb.SELECT, DataFlow(None, functions=frozenset({function}))))


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb not in (Verb.COPY_OUT, Verb.FETCH, Verb.PREPARE, Verb.DECLARE)])
def test_names_stay_in_force_beside_the_flow_of_what_is_more_than_a_query(verb: Verb) -> None:
    is_query = verb in (Verb.SELECT, Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.EXPLAIN)
    statement = facts(verb, NO_ROWS, reads="a", calls="writing")
    assert is_query is not CATALOGUE.is_opaque(statement)
    assert is_query is not CATALOGUE.calls_volatile(statement)
    assert is_query is not CATALOGUE.touches_classified(statement)
    assert is_query is not CATALOGUE.touches_classified(facts(verb, NO_ROWS, reads="a"))


def test_a_catalogue_with_other_functions_keeps_its_relations() -> None:
    other = replace(CATALOGUE, opaque_functions=frozenset())
    assert (CATALOGUE.relations, CATALOGUE.functions) == (other.relations, other.functions)
    assert (SECRET,) == other.candidates(RelationName(None, "a"))
