"""Local relations: what a session is told of relations that the catalogue doesn't have."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querywarden.model.catalogue import NO_KEYS, Catalogue, Classification, Column, DataClass, Function, Keys, Relation
from querywarden.postgresql.catalogue_query import PolicyClass, silent
from querywarden.postgresql.local_relations import RELATIONS_MAX, local_relations_query, with_relations

EMAIL = Classification(DataClass.EMAIL, "name", "name email")
SECRET = Classification(DataClass.SECRET, "comment", "tagged querywarden: secret")
CLEAR = Column(3, "phone", "text", is_declared_none=True)
PARENT = Relation(
    20000,
    "public",
    "parent",
    "table",
    {1: Column(1, "note", "text", SECRET), 2: Column(2, "size", "integer"), 3: CLEAR},
    keys=Keys((frozenset({"size"}),), frozenset({"size"}), True, frozenset({"size"}), True),
)
CATALOGUE = Catalogue("g", {20000: PARENT}, functions={9: Function(9, "pg_catalog", "upper", "f", "i")})


def answer(*columns: list[Any], kind: str = "r", **parts: Any) -> str:
    """The answer about one relation, 30000, with these columns."""
    relations = [["30000", "pg_temp_3", "made", kind]]
    return json.dumps({"relations": relations, "columns": list(columns), "parents": None, "generated": None, **parts})


def column(number: int, name: str, *, type_name: str = "text", comment: str | None = None, generated: str = "") -> list[Any]:
    """A row about a column."""
    return ["30000", str(number), name, type_name, comment, generated]


def classes(catalogue: Catalogue) -> dict[str, str | None]:
    """The classes of the relation's columns."""
    columns = catalogue.relations[30000].columns.values()
    return {each.name: each.classification.data_class.value if each.classification else None for each in columns}


def test_columns_have_the_classes_that_policy_comments_and_names_give_them() -> None:
    told = answer(
        column(1, "id", type_name="integer"), column(2, "email"), column(4, "note", comment="querywarden: phone"),
        column(5, "mail", comment="querywarden: none"), column(6, "said"),
    )  # fmt: skip
    found = with_relations(CATALOGUE, told, lambda schema, table, name: PolicyClass(DataClass.IBAN) if name == "said" else None)
    assert {"id": None, "email": "email", "note": "phone", "mail": None, "said": "iban"} == classes(found)
    made = found.relations[30000]
    assert (30000, "pg_temp_3", "made", "table", NO_KEYS) == (made.id, made.schema, made.name, made.kind, made.keys)
    assert [5] == [each.number for each in made.columns.values() if each.is_declared_none]
    assert (PARENT, CATALOGUE.functions) == (found.relations[20000], found.functions)


@pytest.mark.parametrize("kind", ["v", "m"])
def test_columns_of_views_are_opaque_unless_something_is_said_of_them(kind: str) -> None:
    told = answer(column(1, "id"), column(2, "email", comment="querywarden: none"), column(3, "size"), kind=kind)
    found = with_relations(CATALOGUE, told, lambda schema, table, name: PolicyClass(DataClass.CITY) if name == "size" else None)
    assert {"id": "opaque", "email": None, "size": "city"} == classes(found)
    assert found.relations[30000].reads_classified


def test_a_child_has_the_classes_of_its_ancestors_in_the_catalogue() -> None:
    columns = (column(1, "note"), column(2, "size"), column(3, "phone"), column(4, "email"))
    assert {"note": None, "size": None, "phone": "phone", "email": "email"} == classes(with_relations(CATALOGUE, answer(*columns), silent))
    made = json.loads(answer(*columns))["relations"]
    between, above = ["30001", "public", "between", "r"], ["20000", "public", "parent", "r"]
    for relations, parents in (
        ([*made, above], [["30000", "20000"]]),
        ([*made, between, above], [["30000", "30001"], ["30001", "20000"]]),
    ):
        found = with_relations(CATALOGUE, answer(*columns, relations=relations, parents=parents), silent)
        assert {"note": "secret", "size": None, "phone": None, "email": "email"} == classes(found)
        assert found.relations[20000] is PARENT


@pytest.mark.parametrize(
    ("source", "function", "expected"), [("2", None, "opaque"), ("1", None, None), (None, "9", None), (None, "17000", "opaque")]
)
def test_a_generated_column_holds_what_it_is_computed_from(source: str | None, function: str | None, expected: str | None) -> None:
    columns = (column(1, "size"), column(2, "email"), column(3, "made_of", generated="s"))
    found = with_relations(CATALOGUE, answer(*columns, generated=[["30000", "3", source, function]]), silent)
    assert expected == classes(found)["made_of"]
    assert [3] == [each.number for each in found.relations[30000].columns.values() if each.is_generated]


def test_a_relation_of_the_catalogue_stays_as_it_is() -> None:
    told = answer(relations=[["20000", "s", "renamed", "r"]], columns=[["20000", "7", "email", "text", None, ""]])
    assert with_relations(CATALOGUE, told, silent) is CATALOGUE


def test_nothing_found_adds_nothing() -> None:
    told = json.dumps({"relations": None, "columns": None, "parents": None, "generated": None})
    assert CATALOGUE == with_relations(CATALOGUE, told, silent)


@pytest.mark.parametrize(
    "told",
    [
        "", "null", "[]", "{}", "{", "7", answer([]), answer(["30000", "x", "a", "text", None, ""]), answer(parents=[["1"]]),
        answer([30000, 1, "a", "text", None, ""]), answer(generated=[["1", "2"]]), answer(generated=7), "[" * 100_000,
        answer(parents=[["30000", "12345"]]), answer(parents=[["12345", "30000"]]),
    ],
)  # fmt: skip
def test_an_answer_of_another_form_is_refused(told: str) -> None:
    with pytest.raises(ValueError):
        with_relations(CATALOGUE, told, silent)


@given(st.recursive(st.none() | st.text(max_size=3) | st.integers(), lambda inner: st.lists(inner, max_size=4), max_leaves=20))
def test_any_answer_is_read_or_refused(part: Any) -> None:
    for name in ("relations", "columns", "parents", "generated"):
        try:
            found = with_relations(CATALOGUE, answer(column(1, "email"), **{name: part}), silent)
        except ValueError:
            continue
        assert found.relations[20000] is PARENT


def test_the_query_names_ids_alone_and_everything_in_it_by_its_schema() -> None:
    text = local_relations_query([7, 3, 7])
    assert "('{3,7}'::pg_catalog.oid[])" in text
    for ids in ([0], [-1], [1 << 32], range(1, RELATIONS_MAX + 2)):
        with pytest.raises(ValueError):
            local_relations_query(ids)
    assert not re.search(r"::(?!pg_catalog\.)", text)
    assert not re.search(r"(?<!\.)\b[a-z_]+\((?!SELECT)", text)
    assert not re.search(r"[=<>~!|+]", re.sub(r"OPERATOR\(pg_catalog\.(=|<>|>)\)", "", text))
    assert not re.search(r"\bIN\b|\bLIKE\b|\bBETWEEN\b|;", text)
    assert not re.search(r"(FROM|JOIN) (?!pg_catalog\.|\(SELECT|up\b)", text)
