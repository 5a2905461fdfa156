"""Data flows of trees that real servers have printed, and what catalogues and bodies add to them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.unit.postgresql.analysis.query_trees import described, flows, recorded, statements

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.data_flow import DataFlow, FlowKind, Unresolved, ValueFlow, WantsBodies
from querywarden.postgresql.analysis.query_tree import data_flow_of

VIEW = "SELECT * FROM twice WHERE mail = 'x'"
CALLS = "SELECT mail_of(1), with_x(mail), opaque(mail), same(name) FROM person"


@pytest.mark.parametrize("major", [15, 18])
@pytest.mark.parametrize(("text", "expected"), list(flows()), ids=[text[:60] for text, _ in flows()])
def test_the_flow_of_each_statement_is_as_it_is_written_down(text: str, expected: list[str], major: int) -> None:
    trees, bodies, catalogue = recorded(major)
    if text not in trees:
        assert text not in statements(major)
        return
    assert expected == described(data_flow_of([trees[text]], catalogue, bodies), catalogue)


def test_every_statement_is_written_down() -> None:
    assert {text for text, _ in flows()} == set(statements(18))


def flow(text: str, catalogue: Catalogue | None = None, major: int = 18) -> DataFlow:
    """The flow of a recorded statement, by another catalogue than the recorded one."""
    trees, bodies, own = recorded(major)
    found = data_flow_of([trees[text]], catalogue or own, bodies)
    assert isinstance(found, DataFlow)
    return found


def relation(name: str, major: int = 18) -> Relation:
    """The relation of a name."""
    [found] = [item for item in recorded(major)[2].relations.values() if item.name == name]
    return found


def with_class(name: str, column: str, change: Column, major: int = 18) -> Catalogue:
    """The catalogue in which a column is said to be something."""
    catalogue, known = recorded(major)[2], relation(name, major)
    columns = {number: change if item.name == column else item for number, item in known.columns.items()}
    numbered = {number: replace(item, number=number) for number, item in columns.items()}
    return replace(catalogue, relations={**catalogue.relations, known.id: replace(known, columns=numbered)})


def outputs(found: DataFlow) -> dict[str, ValueFlow]:
    """The outputs by name."""
    return {output.name: output.value for output in found.outputs or ()}


@pytest.mark.parametrize("major", [15, 18])
def test_a_view_column_that_is_declared_harmless_has_no_sources(major: int) -> None:
    catalogue = with_class("well_paid", "mail", Column(2, "mail", "text", is_declared_none=True), major)
    found = flow(VIEW, catalogue, major)
    assert ValueFlow(FlowKind.CONSTANT) == outputs(found)["mail"]
    assert not found.conditions


@pytest.mark.parametrize("major", [15, 18])
def test_a_view_column_with_a_class_of_its_own_is_a_source(major: int) -> None:
    own = Classification(DataClass.SECRET, "policy")
    catalogue = with_class("well_paid", "big", Column(3, "big", "text", own), major)
    [name] = [number for number, column in relation("person", major).columns.items() if column.name == "name"]
    places = {(relation("well_paid", major).id, 3), (relation("person", major).id, name)}
    assert ValueFlow(FlowKind.DIRECT, frozenset(places)) == outputs(flow(VIEW, catalogue, major))["big"]


def test_a_view_column_with_its_origins_class_is_its_origin() -> None:
    catalogue = with_class("well_paid", "mail", Column(2, "mail", "text", Classification(DataClass.EMAIL, "view")))
    assert outputs(flow(VIEW)) == outputs(flow(VIEW, catalogue))


def test_a_class_of_ones_own_over_a_classified_origin_leaves_the_value_derived() -> None:
    own = Classification(DataClass.SECRET, "policy")
    below = with_class("person", "name", Column(3, "name", "text", Classification(DataClass.PERSON_NAME, "name")))
    above = with_class("well_paid", "big", Column(3, "big", "text", own))
    catalogue = replace(below, relations={**below.relations, relation("well_paid").id: above.relations[relation("well_paid").id]})
    assert FlowKind.DERIVED is outputs(flow(VIEW, catalogue))["big"].kind


def test_what_is_written_through_a_view_has_the_views_own_classes() -> None:
    catalogue = with_class("checked", "name", Column(3, "name", "text", Classification(DataClass.SECRET, "policy")))
    found = flow("UPDATE checked SET mail = 'z' WHERE name = 'y' RETURNING name", catalogue)
    assert (relation("checked").id, 3) in outputs(found)["name"].sources


def test_functions_and_operators_that_the_catalogue_lacks_are_code() -> None:
    found = flow("SELECT 1 / (pay - 5000), upper(mail), mail || 'x' FROM person", replace(recorded(18)[2], functions={}, operators={}))
    assert found.code
    assert all(name.startswith(("function ", "operator ")) for name in found.code)
    assert all(output.value.code for output in found.outputs or ())


def test_bodies_that_are_text_are_asked_for_all_at_once() -> None:
    trees, bodies, catalogue = recorded(18)
    names = {number: function.name for number, function in catalogue.functions.items()}
    wanted = data_flow_of([trees[CALLS]], catalogue)
    assert isinstance(wanted, WantsBodies)
    assert {"same"} == {names[number] for number in wanted.functions}
    assert isinstance(data_flow_of([trees[CALLS]], catalogue, bodies), DataFlow)


def test_a_body_that_is_not_understood_is_code() -> None:
    trees, bodies, catalogue = recorded(18)
    found = data_flow_of([trees[CALLS]], catalogue, dict.fromkeys(bodies, ""))
    assert isinstance(found, DataFlow)
    assert {"opaque", "same"} == found.code


def test_an_own_function_without_a_body_taints_what_comes_out_of_it() -> None:
    catalogue = recorded(18)[2]
    blind = {number: replace(function, body=None) for number, function in catalogue.functions.items()}
    found = flow(CALLS, replace(catalogue, functions=blind))
    assert {"mail_of", "with_x", "opaque", "same"} == found.code
    assert frozenset({"mail_of"}) == outputs(found)["mail_of"].code


def test_views_in_a_followed_body_that_the_catalogue_lacks_are_code() -> None:
    catalogue = recorded(18)[2]
    without = {number: item for number, item in catalogue.relations.items() if item.name != "well_paid"}
    found = flow("SELECT p.mail, b.b FROM people_rows() p, bigs() b", replace(catalogue, relations=without))
    assert frozenset({f"view {relation('well_paid').id}"}) == outputs(found)["b"].code


def test_only_the_servers_own_count_tells_nothing() -> None:
    catalogue = recorded(18)[2]
    [text] = [text for text, _ in flows() if text.startswith("SELECT count(*), count(mail)")]
    counts = {number: replace(function, is_own=True) for number, function in catalogue.functions.items() if function.name == "count"}
    assert not flow(text).code
    assert {"count"} == flow(text, replace(catalogue, functions={**catalogue.functions, **counts})).code


@pytest.mark.parametrize(
    ("trees", "reason"),
    [
        ([], "no tree"),
        ([""], "the end is missing"),
        (["({QUERY :commandType 6 :querySource 0 :canSetTag true :utilityStmt\n{VACUUMSTMT :x 1}})"], "utility"),
        (["({NOVEL :a 1})"], "unknown node NOVEL"),
    ],
)
def test_what_is_not_understood_is_unresolved(trees: list[str], reason: str) -> None:
    assert Unresolved(reason) == data_flow_of(trees, recorded(18)[2])


def test_two_statements_are_not_one() -> None:
    tree = recorded(18)[0]["SELECT DISTINCT mail FROM person"]
    assert Unresolved("more than one statement") == data_flow_of([tree, tree], recorded(18)[2])


def test_names_of_columns_are_the_relations_own() -> None:
    person = relation("person").id
    assert "mail" == flow("SELECT DISTINCT mail FROM person").column_names[person][2]
    assert {1, 2}.isdisjoint(flow("SELECT u.c2 FROM person u(c1, c2)").column_names[person])


@pytest.mark.parametrize(("depth", "is_read"), [(100, True), (3000, False), (60_000, False)])
def test_deep_trees_are_bounded(depth: int, is_read: bool) -> None:
    trees, _, catalogue = recorded(18)
    text = " ".join(trees["SELECT $1, NULL, 'x'"].split())
    start = text.index("{PARAM")
    end = text.index("}", start) + 1
    relabelled = " :resulttype 25 :resulttypmod -1 :resultcollid 0 :relabelformat 2 :location -1}"
    deep = text[:start] + "{RELABELTYPE :arg " * depth + text[start:end] + relabelled * depth + text[end:]
    found = data_flow_of([deep], catalogue)
    assert isinstance(found, DataFlow) if is_read else found in (Unresolved("too deep"), Unresolved("too large"))


@pytest.mark.parametrize("field", ["varno", "varattno", "varlevelsup", "funccolcount", "rtindex", "ctelevelsup", "paramid", "winref"])
@pytest.mark.parametrize("number", [-1, 1 << 40, 1 << 400])
def test_numbers_of_any_size_are_answered_at_once(field: str, number: int) -> None:
    trees, bodies, catalogue = recorded(18)
    found = [" ".join(tree.split()) for tree in trees.values() if f":{field} " in " ".join(tree.split())]
    assert found
    for tree in found:
        changed = re.sub(rf":{field} -?[0-9]+", f":{field} {number}", tree)
        assert isinstance(data_flow_of([changed], catalogue, bodies), DataFlow | Unresolved)


def test_a_named_argument_stands_where_its_number_says() -> None:
    trees, bodies, catalogue = recorded(18)
    text = " ".join(trees["SELECT mail_of(1), with_x(mail), opaque(mail), same(name) FROM person"].split())
    start = text.index(":args ({CONST") + len(":args (")
    end = text.index("}", start) + 1
    for number, name in ((0, "NAMEDARGEXPR"), (1 << 40, None), (-1, None)):
        named = f"{{NAMEDARGEXPR :arg {text[start:end]} :name n :argnumber {number} :location -1}}"
        found = data_flow_of([text[:start] + named + text[end:]], catalogue, bodies)
        assert (name is not None) is isinstance(found, DataFlow)


def test_a_body_that_calls_what_does_more_than_compute_is_not_followed() -> None:
    found = flow("SELECT noted(mail), guess('a%'), hides('x') FROM person")
    assert found.outputs is not None
    assert [output.value.code for output in found.outputs] == [frozenset(), frozenset(), frozenset({"hides"})]
