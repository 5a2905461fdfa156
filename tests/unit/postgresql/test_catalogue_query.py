"""The catalogue from what real servers answered (tests/data/catalogue, recorded on PostgreSQL 15 and 18)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from querywarden.model.catalogue import Catalogue, Classification, DataClass, Keys, Relation
from querywarden.postgresql.built_in_classes import built_in_class
from querywarden.postgresql.catalogue_classes import families
from querywarden.postgresql.catalogue_query import CATALOGUE_QUERIES, GENERATION_QUERY, PolicyClass, Row, build_catalogue

DATA = Path(__file__).parents[2] / "data" / "catalogue"


def recorded(version: str) -> list[list[Row]]:
    """The recorded answers of a server."""
    answers = json.loads((DATA / f"catalogue_{version}.json").read_text())
    return [[tuple(None if cell is None else cell.encode() for cell in row) for row in rows] for rows in answers]


@pytest.fixture(params=["15", "18"])
def answers(request: pytest.FixtureRequest) -> list[list[Row]]:
    """The answers of each recorded server."""
    return recorded(request.param)


@pytest.fixture
def catalogue(answers: list[list[Row]]) -> Catalogue:
    """The catalogue that they make."""
    return build_catalogue("g1", answers)


def relation(catalogue: Catalogue, name: str) -> Relation:
    """The one relation of a name in `public`."""
    [found] = [r for r in catalogue.relations.values() if r.name == name and r.schema in ("public", "pg_catalog")]
    return found


def classes(catalogue: Catalogue, name: str) -> dict[str, str | None]:
    """The classes of a relation's columns by name."""
    columns = relation(catalogue, name).columns.values()
    return {c.name: c.classification.data_class.value if c.classification else None for c in columns}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("users", {"id": None, "email": "email", "full_name": "person_name", "country": None, "created_at": None, "address": "address"}),
        ("products", {"id": None, "name": None, "price": None, "contact": "email"}),
        ("notes", {"id": None, "email": None, "body": None}),
        ("active", {"id": None, "contact": "email", "country": None}),
        ("active_again", {"c": "email", "u": "opaque", "k": None, "n": None}),
        ("counts", {"country": None, "n": None, "m": None, "s": None}),
        ("report", {"id": None, "who": "email", "what": None, "twice": None, "sub": "opaque", "r": "opaque", "lit": None}),
        ("united", {"a": "opaque"}),
        ("clean", {"id": None, "label": None, "t": None}),
        ("none_of_it", {"email": None}),
        ("opaque", {"id": None, "p": "opaque"}),
        ("cte", {"e": "email", "k": None, "lk": None}),
        ("mat", {"email": "email", "country": None}),
        ("odd", {":targetList (": None, "{x": "email"}),
        ("stats", {"tablename": None, "t": "opaque"}),
        ("valued", {"column1": None, "column2": None}),
        ("staff", {"id": None, "phone": "phone", "badge": None}),
    ],
)
def test_classes_follow_names_comments_views_and_inheritance(catalogue: Catalogue, name: str, expected: dict[str, str | None]) -> None:
    assert {column: found for column, found in classes(catalogue, name).items() if column in expected} == expected


def test_whole_row_in_a_view_is_opaque_and_its_other_columns_keep_their_classes(catalogue: Catalogue) -> None:
    found = classes(catalogue, "whole")
    assert (found["u"], found["email"], found["id"]) == ("opaque", "email", None)


def test_joined_columns_without_origin_are_opaque(catalogue: Catalogue) -> None:
    assert classes(catalogue, "joined")["email"] == "opaque"


def test_statistics_are_classified_and_the_catalogue_relations_that_tools_read_are_not(catalogue: Catalogue) -> None:
    assert classes(catalogue, "pg_stats")["most_common_vals"] == "opaque"
    assert set(classes(catalogue, "pg_class").values()) == {None}
    assert built_in_class("pg_catalog", "pg_authid", "rolpassword") is not None
    assert built_in_class("public", "pg_authid", "rolpassword") is None
    assert built_in_class("monitoring", "pg_stat_statements", "query") is not None


def test_own_functions_operators_and_notifications_are_told(catalogue: Catalogue) -> None:
    assert {"peek", "tell", "act"} <= catalogue.opaque_functions
    assert "peek" not in catalogue.volatile_functions
    assert {"tell", "act"} <= catalogue.volatile_functions
    assert catalogue.opaque_operators == {"!@"}
    assert catalogue.notifying_functions


def test_functions_of_computing_extensions_are_not_opaque_but_those_that_read_are() -> None:
    catalogue = build_catalogue("g", recorded("15"))
    assert not {"crypt", "gen_salt", "regexp_match", "citext_eq"} & catalogue.opaque_functions
    assert "dblink" in catalogue.opaque_functions


def test_trusted_functions_are_not_opaque(answers: list[list[Row]]) -> None:
    catalogue = build_catalogue("g", answers, is_trusted=lambda name: name == "peek")
    assert "peek" not in catalogue.opaque_functions
    assert not catalogue.opaque_operators
    assert classes(catalogue, "opaque")["p"] is None


def test_policy_beats_comments_names_and_origins(answers: list[list[Row]]) -> None:
    said = {
        ("users", "email"): PolicyClass(None),
        ("users", "country"): PolicyClass(DataClass.CITY),
        ("notes", "email"): PolicyClass(DataClass.SECRET),
        ("mat", "country"): PolicyClass(DataClass.HEALTH),
        ("people", "phone"): PolicyClass(None),
    }
    catalogue = build_catalogue("g", answers, lambda schema, relation, column: said.get((relation, column)))
    assert classes(catalogue, "users")["email"] is None
    assert classes(catalogue, "active")["contact"] is None
    assert classes(catalogue, "active")["country"] == "city"
    assert classes(catalogue, "none_of_it")["email"] == "secret"
    assert classes(catalogue, "mat")["country"] == "health"
    assert classes(catalogue, "staff")["phone"] is None


def test_view_whose_tree_is_not_understood_is_opaque(answers: list[list[Row]]) -> None:
    views = [(row[0], b"({SURPRISE })") for row in answers[2]]
    catalogue = build_catalogue("g", [*answers[:2], views, *answers[3:]])
    assert classes(catalogue, "clean") == {"id": "opaque", "label": "opaque", "t": "opaque"}
    assert relation(catalogue, "clean").columns[1].classification == Classification(
        DataClass.OPAQUE, "view", "the view's definition was not understood"
    )


def test_number_of_answers_must_be_that_of_the_queries(answers: list[list[Row]]) -> None:
    with pytest.raises(ValueError, match="one answer"):
        build_catalogue("g", answers[:-1])
    assert len(CATALOGUE_QUERIES) == len(answers)
    assert ";" not in GENERATION_QUERY


def test_families_join_parents_and_children_however_far() -> None:
    assert sorted(sorted(family) for family in families([(2, 1), (3, 2), (5, 4), (6, 3), (4, 9)])) == [[1, 2, 3, 6], [4, 5, 9]]


def test_a_generated_column_holds_what_it_is_computed_from(answers: list[list[Row]]) -> None:
    users = relation(build_catalogue("g", answers), "users")
    numbers = {column.name: str(number).encode() for number, column in users.columns.items()}
    place = (str(users.id).encode(), numbers["created_at"])
    computed = [
        ([(*place, numbers["email"], None)], "opaque"),
        ([(*place, numbers["country"], None)], None),
        ([(*place, numbers["country"], None), (*place, None, next(row[0] for row in answers[4] if row[1] == b"peek"))], "opaque"),
    ]
    for generated, expected in computed:
        assert expected == classes(build_catalogue("g", [*answers[:8], generated, *answers[9:]]), "users")["created_at"]


def test_a_relation_has_its_keys(catalogue: Catalogue) -> None:
    assert Keys((frozenset({"id"}),), frozenset({"id"}), has_row_ids=True) == relation(catalogue, "users").keys
    assert Keys() == relation(catalogue, "people").keys
    assert Keys(has_row_ids=True) == relation(catalogue, "staff").keys
    assert Keys() == relation(catalogue, "active").keys


def test_what_is_declared_to_hold_nothing_and_what_is_generated_is_told(answers: list[list[Row]]) -> None:
    catalogue = build_catalogue("g", answers, lambda schema, table, column: PolicyClass(None) if column == "u" else None)
    declared = {(r.name, c.name) for r in catalogue.relations.values() for c in r.columns.values() if c.is_declared_none}
    assert declared == {("notes", "email"), ("cleared", "plain"), ("active_again", "u"), ("whole", "u")}
    assert {"plain": None, "loud": "opaque"} == classes(catalogue, "cleared")
    generated = {(r.name, c.name) for r in catalogue.relations.values() for c in r.columns.values() if c.is_generated}
    assert generated == {("computed", "twice")}
