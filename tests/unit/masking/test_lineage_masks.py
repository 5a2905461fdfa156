"""Masks by lineage: what the data flow says of each output, and what holds where it can't be relied on."""

from __future__ import annotations

from dataclasses import replace
from os import environ
from random import Random

import pytest

from querywarden.masking.operators import Operator
from querywarden.masking.plan import ColumnMask, OutputColumn, plan_masks
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Function, Relation
from querywarden.model.data_flow import DataFlow, FlowKind, OutputFlow, ValueFlow
from querywarden.model.decision import Reveal
from querywarden.model.facts import CopyFormat, StatementFacts, Verb
from querywarden.model.resource import RelationName

EMAIL = ColumnMask(DataClass.EMAIL, Operator.EMAIL, is_derived=False)
DERIVED = ColumnMask(DataClass.OPAQUE, Operator.NULL, is_derived=True)
NOTHING = Reveal()


def column(number: int, name: str, data_class: DataClass | None = None, source: str = "name", **more: object) -> Column:
    return Column(number, name, "text", Classification(data_class, source) if data_class else None, **more)  # type: ignore[arg-type]


def relation(number: int, name: str, *columns: Column, kind: str = "table") -> Relation:
    return Relation(number, "public", name, kind, {each.number: each for each in columns})


USERS = relation(
    1, "users", column(1, "id"), column(2, "email", DataClass.EMAIL), column(3, "phone", DataClass.PHONE), column(4, "country")
)
BACKUP = relation(2, "backup", column(1, "mail", DataClass.EMAIL), replace(column(2, "mail2", DataClass.EMAIL), type_name="citext"))
VIEW = relation(
    3, "contacts",
    column(1, "contact", DataClass.EMAIL, "view"),
    column(2, "number", DataClass.PHONE, "policy"),
    column(3, "how_many", DataClass.OPAQUE, "view"),
    column(4, "open", is_declared_none=True),
    kind="view",
)  # fmt: skip
PLAIN = relation(4, "products", column(1, "id"), column(2, "name"))
OWN = Function(90, "public", "peek", "f", "s", is_own=True)
CATALOGUE = Catalogue(
    "g",
    {each.id: each for each in (USERS, BACKUP, VIEW, PLAIN)},
    opaque_functions=frozenset({"peek"}),
    functions={90: OWN, 91: Function(91, "pg_catalog", "lower", "f", "i"), 92: Function(92, "public", "trusted", "f", "i", is_own=True)},
)


def value(kind: FlowKind, *sources: tuple[int, int], code: tuple[str, ...] = ()) -> ValueFlow:
    return ValueFlow(kind, frozenset(sources), frozenset(code))


def direct(*sources: tuple[int, int], code: tuple[str, ...] = ()) -> ValueFlow:
    return value(FlowKind.DIRECT, *sources, code=code)


def facts(*values: ValueFlow, verb: Verb = Verb.SELECT, functions: tuple[int, ...] = (), **more: object) -> StatementFacts:
    flow = DataFlow(
        tuple(OutputFlow(f"c{number}", each) for number, each in enumerate(values)),
        relations=frozenset(place[0] for each in values for place in each.sources),
        functions=frozenset(functions),
        code=frozenset(name for each in values for name in each.code),
        column_names={77: {1: "email", 2: "price"}},
    )
    # By names alone everything would be hidden: the names of the statement are those of no rule below.
    return StatementFacts(verb, "", reads=frozenset({RelationName(None, "users")}), outputs=None, flow=flow, **more)  # type: ignore[arg-type]


def mask_of(
    given: ValueFlow,
    origin: tuple[int, int] = (0, 0),
    reveal: Reveal = NOTHING,
    opaque: bool = False,
    functions: tuple[int, ...] = (),
    catalogue: Catalogue = CATALOGUE,
) -> ColumnMask | None:
    return plan_masks([OutputColumn("x", *origin)], facts(given, functions=functions), catalogue, reveal, opaque)[0]


SHOWN = {
    "an unclassified column": direct((1, 4)),
    "a constant": value(FlowKind.CONSTANT),
    "computed of unclassified columns": value(FlowKind.DERIVED, (1, 1), (4, 2)),
    "an aggregate of unclassified columns": value(FlowKind.AGGREGATE, (1, 1)),
    "a whole row without classified columns": value(FlowKind.WHOLE_ROW, (4, 0)),
    "a system column": direct((1, -1)),
    "what came through a function that the policy trusts": value(FlowKind.DERIVED, (1, 1), code=("trusted",)),
}


@pytest.mark.parametrize("given", SHOWN.values(), ids=SHOWN)
def test_what_holds_nothing_hidden_is_shown_whatever_the_names_say(given: ValueFlow) -> None:
    assert mask_of(given) is None


HIDDEN = {
    "computed of a classified column": value(FlowKind.DERIVED, (1, 2)),
    "computed of both": value(FlowKind.DERIVED, (1, 1), (1, 2)),
    "an aggregate": value(FlowKind.AGGREGATE, (1, 2)),
    "a whole row": value(FlowKind.WHOLE_ROW, (1, 0)),
    "a whole row of which it is said that it is unchanged": direct((1, 0)),
    "one of several columns of other classes": direct((1, 2), (1, 3)),
    "own code": value(FlowKind.DERIVED, code=("peek",)),
    "an unchanged column that came through own code": direct((1, 4), code=("peek",)),
    "code that the catalogue doesn't have": value(FlowKind.DERIVED, code=("function 12345",)),
}


@pytest.mark.parametrize("given", HIDDEN.values(), ids=HIDDEN)
def test_what_is_made_of_hidden_columns_is_masked_whole(given: ValueFlow) -> None:
    assert mask_of(given) == DERIVED


def test_a_column_passed_on_has_the_operator_of_its_class() -> None:
    assert mask_of(direct((1, 2))) == EMAIL
    assert mask_of(direct((1, 2), (2, 1), (4, 2))) == EMAIL
    assert mask_of(direct((2, 2))) == replace(EMAIL, is_citext=True)
    assert mask_of(direct((1, 2)), reveal=Reveal(masks=(("public.users.email", "redact"),))) == replace(EMAIL, operator=Operator.REDACT)
    assert mask_of(direct((1, 2), (2, 1)), reveal=Reveal(masks=(("public.users.email", "redact"),))) == DERIVED


def test_a_reveal_shows_what_it_names_and_nothing_beside_it() -> None:
    of_column = Reveal(columns=frozenset({"public.users.email"}))

    assert mask_of(direct((1, 2)), reveal=of_column) is None
    assert mask_of(value(FlowKind.DERIVED, (1, 2)), reveal=of_column) is None
    assert mask_of(value(FlowKind.DERIVED, (1, 2), (1, 3)), reveal=of_column) == DERIVED
    assert mask_of(direct((1, 2), (2, 1)), reveal=of_column) == EMAIL
    assert mask_of(value(FlowKind.DERIVED, code=("peek",)), reveal=of_column) == DERIVED
    assert mask_of(value(FlowKind.DERIVED, (1, 2), code=("peek",)), reveal=Reveal(everything=True)) is None


def test_of_lineage_and_the_servers_origin_the_stricter_holds() -> None:
    clear = value(FlowKind.CONSTANT)

    assert mask_of(clear, (1, 2)) == EMAIL
    assert mask_of(clear, (1, 0)) == DERIVED
    assert mask_of(clear, (3, 1)) == EMAIL
    assert mask_of(direct((1, 2)), (4, 2)) == EMAIL


def test_a_view_that_was_only_guessed_at_is_cleared_by_lineage_and_one_declared_clear_stays_so() -> None:
    clear = value(FlowKind.CONSTANT)

    assert mask_of(clear, (3, 3)) is None
    assert mask_of(clear, (3, 4)) is None


def test_a_class_that_the_policy_gives_to_a_views_column_decides_where_that_column_is_returned() -> None:
    phone = ColumnMask(DataClass.PHONE, Operator.PHONE, is_derived=False)

    assert mask_of(direct((1, 2), (3, 2)), (3, 2)) == phone
    assert mask_of(direct((1, 2), (3, 2))) == DERIVED


def test_a_views_column_revealed_by_its_name_is_shown_as_it_is_but_not_what_is_computed_of_it() -> None:
    reveal = Reveal(columns=frozenset({"public.contacts.contact"}))

    assert mask_of(direct((1, 2)), (3, 1), reveal) is None
    assert mask_of(value(FlowKind.DERIVED, (1, 2)), (0, 0), reveal) == DERIVED
    assert mask_of(direct((1, 2)), (1, 2), reveal) == EMAIL
    assert mask_of(direct((1, 2)), (3, 1), reveal, opaque=True) == EMAIL


def test_columns_that_the_catalogue_does_not_have_are_classified_by_the_servers_name_or_hidden() -> None:
    assert mask_of(direct((77, 1))) == EMAIL
    assert mask_of(direct((77, 2))) is None
    assert mask_of(value(FlowKind.DERIVED, (77, 1))) == DERIVED
    assert mask_of(value(FlowKind.WHOLE_ROW, (77, 0))) == DERIVED
    assert mask_of(direct((78, 1))) == DERIVED
    assert mask_of(direct((1, 9))) == DERIVED
    assert mask_of(direct((77, 1)), reveal=Reveal(classes=frozenset({"email"}))) is None
    assert mask_of(direct((77, 2)), opaque=True) == DERIVED
    assert mask_of(direct((1, 9)), opaque=True) == DERIVED
    assert mask_of(direct((1, 2)), opaque=True) == EMAIL
    assert mask_of(direct((1, 4)), opaque=True) is None


def test_where_code_may_have_been_replaced_names_decide() -> None:
    assert mask_of(direct((1, 4)), functions=(92,), opaque=True) == DERIVED
    assert mask_of(direct((1, 4)), functions=(12345,), opaque=True) == DERIVED
    assert mask_of(direct((1, 4)), functions=(91,), opaque=True) is None
    assert mask_of(direct((1, 4)), functions=(92,)) is None


def test_another_number_of_columns_leaves_it_to_names() -> None:
    columns = [OutputColumn("x", 0, 0), OutputColumn("y", 0, 0)]

    assert plan_masks(columns, facts(direct((1, 4))), CATALOGUE, NOTHING, False) == (DERIVED, DERIVED)
    assert plan_masks(columns[:1], replace(facts(), flow=DataFlow(None)), CATALOGUE, NOTHING, False) == (DERIVED,)


@pytest.mark.parametrize("verb", [Verb.COPY_OUT, Verb.EXECUTE, Verb.FETCH, Verb.DECLARE, Verb.INSERT, Verb.MERGE])
def test_what_a_statement_runs_or_returns_is_masked_by_the_flow_of_its_query(verb: Verb) -> None:
    given = facts(direct((1, 2)), value(FlowKind.DERIVED, (1, 2)), direct((1, 4)), verb=verb, copy=CopyFormat())
    columns = [OutputColumn("x", 0, 0)] * 3

    assert plan_masks(columns, given, CATALOGUE, NOTHING, False) == (EMAIL, DERIVED, None)


def test_a_plan_is_not_masked_by_the_outputs_of_the_query_in_it_but_for_the_code_that_it_may_have_folded() -> None:
    def plan(*values: ValueFlow, functions: tuple[int, ...] = (), verb: Verb = Verb.EXPLAIN) -> ColumnMask | None:
        children = () if verb is Verb.EXPLAIN else (StatementFacts(Verb.EXPLAIN, ""),)
        given = facts(*values, verb=verb, functions=functions, children=children)
        return plan_masks([OutputColumn("QUERY PLAN", 0, 0)], given, CATALOGUE, NOTHING, False)[0]

    assert plan(direct((1, 2))) is None
    assert plan(direct((1, 2)), functions=(91, 92)) is None
    assert plan(direct((1, 4)), functions=(90,)) == DERIVED
    assert plan(direct((1, 4)), functions=(12345,)) == DERIVED
    assert plan(direct((1, 4)), verb=Verb.EXECUTE) == DERIVED


PLACES = [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, -1), (2, 0), (2, 1), (2, 2), (3, 2), (4, 0), (4, 1), (4, 2)]
HIDDEN_PLACES = {(1, 0): "any", (1, 2): "email", (1, 3): "phone", (2, 0): "email", (2, 1): "email", (2, 2): "email", (3, 2): "phone"}


def test_whatever_has_something_hidden_in_it_is_masked_and_nothing_else() -> None:
    random = Random(4)
    for _ in range(int(environ.get("QUERYWARDEN_LINEAGE_ROUNDS", "2000"))):
        sources = tuple(random.sample(PLACES, random.randint(0, 3)))
        code = tuple(random.sample(["peek", "trusted", "function 12345"], random.choice((0, 0, 0, 1))))
        kind = random.choice(list(FlowKind))
        sees_email = random.random() < 0.3
        reveal = Reveal(classes=frozenset({"email"})) if sees_email else NOTHING
        hidden = {place for place in sources if place in HIDDEN_PLACES and not (sees_email and HIDDEN_PLACES[place] == "email")}
        is_opaque = bool(set(code) & {"peek", "function 12345"})

        mask = mask_of(value(kind, *sources, code=code), reveal=reveal)

        assert (mask is not None) == bool(hidden or is_opaque), (kind, sources, code, sees_email)
        if kind is not FlowKind.DIRECT or is_opaque or len({HIDDEN_PLACES[place] for place in hidden}) > 1:
            assert mask in (None, DERIVED)
