"""Properties of statements whose data flow is known: what is stored, told, copied and grouped, and by whose word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Function, OperatorName, Relation
from querywarden.model.data_flow import Assignment, Condition, ConditionKind, DataFlow, FlowKind, OutputFlow, ValueFlow
from querywarden.model.decision import Reveal
from querywarden.model.facts import CopyFormat, Expression, StatementFacts, Verb
from querywarden.model.resource import FunctionName, RelationName
from querywarden.policy.language import Property, Trait
from querywarden.policy.properties import parts_of, without_trusted


def relation(number: int, name: str, **classes: DataClass | None) -> Relation:
    columns = {
        place: Column(place, column, "text", Classification(given, "name") if given else None)
        for place, (column, given) in enumerate(classes.items(), 1)
    }
    return Relation(number, "public", name, "table", columns)


EMAIL, PHONE = DataClass.EMAIL, DataClass.PHONE
USERS = relation(1, "users", id=None, email=EMAIL, phone=PHONE, note=None, backup=EMAIL, spare=PHONE)
NOTES = relation(2, "notes", id=None, body=None, email=EMAIL)
BUILT_IN = ("lower", "substr", "texteq")
FUNCTIONS = {50 + place: Function(50 + place, "pg_catalog", name, "f", "i") for place, name in enumerate(BUILT_IN)}
FUNCTIONS |= {
    90: Function(90, "public", "peek", "f", "s", is_own=True),
    91: Function(91, "public", "change", "f", "v", is_own=True),
    92: Function(92, "public", "trusted", "f", "v", is_own=True),
}
CATALOGUE = Catalogue(
    "g",
    {1: USERS, 2: NOTES},
    opaque_functions=frozenset({"peek", "change", "trusted"}),
    volatile_functions=frozenset({"change", "trusted"}),
    functions=FUNCTIONS,
    operators={98: OperatorName("=", 52, is_built_in=True)},
)
CLEAN = Catalogue("g", {1: relation(1, "users", id=None, email=None, phone=None)}, frozenset({"peek"}), functions=FUNCTIONS)


def value(kind: FlowKind, *sources: tuple[int, int], code: tuple[str, ...] = ()) -> ValueFlow:
    return ValueFlow(kind, frozenset(sources), frozenset(code))


def direct(*sources: tuple[int, int], code: tuple[str, ...] = ()) -> ValueFlow:
    return value(FlowKind.DIRECT, *sources, code=code)


def derived(*sources: tuple[int, int], code: tuple[str, ...] = ()) -> ValueFlow:
    return value(FlowKind.DERIVED, *sources, code=code)


CONSTANT = value(FlowKind.CONSTANT)


def names(*found: str) -> frozenset[RelationName]:
    return frozenset(RelationName(None, each) for each in found)


def properties(
    facts: StatementFacts, flow: DataFlow | None, reveal: Reveal = Reveal(), is_blind: bool = False, catalogue: Catalogue = CATALOGUE
) -> frozenset[Property]:
    return next(parts_of(replace(facts, flow=flow), catalogue, reveal, ("trusted",), is_blind)).properties


# By names, all of these would be refused: the statement assigns in a way that isn't known from its text.
UPDATE = StatementFacts(Verb.UPDATE, "", writes=names("users"), assignments=None)


def stores(*assignments: Assignment, **more: object) -> bool:
    flow = DataFlow(None, assignments=assignments, functions=more.pop("functions", frozenset()))  # type: ignore[arg-type]
    return Trait.CLASSIFIED_WRITE in properties(UPDATE, flow, **more)  # type: ignore[arg-type]


def test_by_names_alone_the_statement_would_be_refused() -> None:
    assert Trait.CLASSIFIED_WRITE in properties(UPDATE, None)


KEPT = {
    "a constant": Assignment((1, 4), CONSTANT),
    "a value of the client's in a classified column": Assignment((1, 2), CONSTANT, takes_client_values=True),
    "an unclassified column": Assignment((1, 4), derived((1, 1), (2, 2))),
    "a classified column in one of its class": Assignment((2, 3), direct((1, 2))),
    "a column in itself": Assignment((1, 3), direct((1, 3))),
    "computed, in a column of the class that is wholly masked": Assignment((1, 2), derived((1, 2), (1, 5))),
    "what the policy trusts": Assignment((1, 4), derived(code=("trusted",))),
}


@pytest.mark.parametrize("assignment", KEPT.values(), ids=KEPT)
def test_what_stays_masked_may_be_stored(assignment: Assignment) -> None:
    assert not stores(assignment)
    assert not stores(Assignment((1, 4), CONSTANT), assignment)


LAUNDERED = {
    "in an unclassified column": Assignment((1, 4), direct((1, 2))),
    "in a column of another class": Assignment((1, 3), direct((1, 2))),
    "computed, in a column that is shown in part": Assignment((1, 3), derived((1, 3))),
    "one of several": Assignment((2, 3), direct((1, 2), (1, 3))),
    "in a row that can't be told apart": Assignment((1, 0), direct((1, 2))),
    "a whole row": Assignment((2, 3), value(FlowKind.WHOLE_ROW, (1, 0))),
    "in a relation that the catalogue doesn't have": Assignment((77, 1), direct((1, 2))),
    "in a column that the catalogue doesn't have": Assignment((1, 44), direct((1, 2))),
    "out of own code": Assignment((1, 4), derived(code=("peek",))),
    "out of own code in a classified column": Assignment((1, 2), derived(code=("peek",))),
    "out of code that the catalogue doesn't have": Assignment((1, 4), derived(code=("function 12345",))),
}


@pytest.mark.parametrize("assignment", LAUNDERED.values(), ids=LAUNDERED)
def test_what_would_lose_its_mask_is_not_stored(assignment: Assignment) -> None:
    assert stores(assignment, functions=frozenset({51}))
    assert stores(Assignment((1, 4), CONSTANT), assignment, functions=frozenset({51}))


def test_folding_case_leaves_a_partly_shown_value_where_it_was() -> None:
    assignment = Assignment((1, 3), derived((1, 3)))

    assert not stores(assignment, functions=frozenset({50, 52}))
    assert stores(assignment, functions=frozenset({50, 51}))
    assert stores(assignment, functions=frozenset({50, 12345}))


def test_a_target_that_the_principal_may_see_or_that_is_masked_otherwise_does_not_take_hidden_values() -> None:
    assignment = Assignment((2, 3), direct((1, 2)))

    assert stores(assignment, reveal=Reveal(columns=frozenset({"public.notes.email"})))
    assert stores(assignment, reveal=Reveal(masks=(("public.notes.email", "name"),)))
    assert not stores(assignment, reveal=Reveal(masks=(("email", "name"),)))
    assert not stores(Assignment((1, 4), direct((1, 2))), reveal=Reveal(classes=frozenset({"email"})))
    assert not stores(Assignment((1, 4), derived((1, 2), code=("peek",))), reveal=Reveal(everything=True))
    assert not stores(Assignment((1, 3), derived((1, 1), code=("peek",))), catalogue=CLEAN)


def test_arguments_that_functions_keep() -> None:
    select = StatementFacts(Verb.SELECT, "", reads=names("users"), functions=frozenset({FunctionName(None, "set_config")}))

    def keeps(kept: ValueFlow | None) -> bool:
        return Trait.CLASSIFIED_WRITE in properties(select, DataFlow((), stored_arguments=kept))

    assert Trait.CLASSIFIED_WRITE in properties(select, None)
    assert not keeps(None) and not keeps(CONSTANT) and not keeps(direct((1, 1)))
    assert keeps(derived((1, 2))) and keeps(derived((1, 1), code=("peek",)))


@pytest.mark.parametrize(
    ("kind", "output", "expected"),
    [
        ("table", direct((1, 2)), True),
        ("temporary_table", derived((1, 2)), True),
        ("materialized_view", derived(code=("peek",)), True),
        (None, direct((1, 2)), True),
        ("table", direct((1, 1)), False),
        ("view", direct((1, 2)), False),
        ("temporary_view", direct((1, 2)), False),
    ],
)
def test_what_is_made_of_a_query(kind: str | None, output: ValueFlow, expected: bool) -> None:
    star = StatementFacts(Verb.SELECT, "", reads=names("users"), outputs=None)
    create = StatementFacts(Verb.CREATE, "", writes=names("t"), reads=names("users"), object_kind=kind, children=(star,))

    assert (Trait.CLASSIFIED_WRITE in properties(create, DataFlow((OutputFlow("x", output),)))) == expected
    assert (Trait.CLASSIFIED_WRITE in properties(create, None)) == (kind not in ("view", "temporary_view"))


def test_what_is_only_explained_stores_nothing() -> None:
    explain = StatementFacts(Verb.EXPLAIN, "", writes=names("users"), children=(UPDATE,))

    assert Trait.CLASSIFIED_WRITE not in properties(explain, DataFlow(None, assignments=tuple(LAUNDERED.values())))


def test_a_writing_part_of_a_query_is_told_from_one_that_reads() -> None:
    root = StatementFacts(Verb.SELECT, "", children=(UPDATE, StatementFacts(Verb.SELECT, "", reads=names("users"))))
    flow = DataFlow((), assignments=(Assignment((1, 4), direct((1, 2))),))
    found = [Trait.CLASSIFIED_WRITE in part.properties for part in parts_of(replace(root, flow=flow), CATALOGUE, Reveal(), ())]

    assert found == [True, True, False]


SELECT = StatementFacts(Verb.SELECT, "", reads=names("users"), probes=(Expression(frozenset({"email"})),))


def tells(*conditions: Condition, **more: object) -> frozenset[Property]:
    flow = DataFlow((), conditions=frozenset(conditions), functions=more.pop("functions", frozenset()))  # type: ignore[arg-type]
    return properties(SELECT, flow, **more) & {Trait.CLASSIFIED_PREDICATE, Trait.CLASSIFIED_GROUPING}  # type: ignore[arg-type]


def condition(kind: ConditionKind, *sources: tuple[int, int], code: tuple[str, ...] = ()) -> Condition:
    return Condition(kind, frozenset(sources), frozenset(code))


def test_by_names_alone_the_condition_would_be_held() -> None:
    assert Trait.CLASSIFIED_PREDICATE in properties(SELECT, None)
    assert not tells()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ConditionKind.COMPARISON, {Trait.CLASSIFIED_PREDICATE}),
        (ConditionKind.ORDER, {Trait.CLASSIFIED_PREDICATE}),
        (ConditionKind.GROUP, {Trait.CLASSIFIED_GROUPING}),
        (ConditionKind.EQUALITY, set()),
        (ConditionKind.JOIN, set()),
        (ConditionKind.NULL_TEST, set()),
    ],
)
def test_conditions_tell_by_their_kind(kind: ConditionKind, expected: set[Trait]) -> None:
    assert tells(condition(kind, (1, 1), (1, 2))) == expected
    assert not tells(condition(kind, (1, 1), (1, 4)))
    assert not tells(condition(kind, (1, 2)), reveal=Reveal(columns=frozenset({"public.users.email"})))
    # What comes out of own code may be anything, so that any condition on it may tell.
    assert tells(condition(kind, code=("peek",))) >= {Trait.CLASSIFIED_PREDICATE}
    assert not tells(condition(kind, code=("trusted",)))
    assert not tells(condition(kind, code=("peek",)), catalogue=CLEAN)


def test_conditions_of_an_explained_statement_tell_by_its_estimates() -> None:
    explain = StatementFacts(Verb.EXPLAIN, "", reads=names("users"), children=(SELECT,))
    flow = DataFlow((), conditions=frozenset({condition(ConditionKind.COMPARISON, (1, 2))}))

    assert Trait.CLASSIFIED_PREDICATE in properties(explain, flow)


def test_in_a_transaction_that_has_changed_the_schema_only_what_the_catalogue_lacks_is_in_doubt() -> None:
    assert not tells(condition(ConditionKind.ORDER, (1, 1)), is_blind=True)
    assert tells(condition(ConditionKind.ORDER, (1, 2)), is_blind=True)
    assert tells(condition(ConditionKind.ORDER, (77, 1)), is_blind=True)
    assert tells(condition(ConditionKind.ORDER, (1, 44)), is_blind=True)
    assert not tells(condition(ConditionKind.ORDER, (77, 1)))
    assert not tells(condition(ConditionKind.ORDER, (77, 1)), is_blind=True, catalogue=CLEAN)
    # Own functions may have been replaced, so that names decide: by those the condition tells.
    assert tells(functions=frozenset({90}), is_blind=True)
    assert tells(functions=frozenset({12345}), is_blind=True)
    assert not tells(functions=frozenset({50}), is_blind=True)


def copied(output: ValueFlow, form: CopyFormat | None, flow: bool = True) -> bool:
    facts = StatementFacts(Verb.COPY_OUT, "", reads=names("users"), copy=form)
    return Trait.CLASSIFIED_COPY in properties(facts, DataFlow((OutputFlow("x", output),)) if flow else None)


def test_a_copy_is_refused_where_it_can_not_be_masked() -> None:
    plain, odd = CopyFormat(), CopyFormat(is_rewritable=False)

    assert not copied(direct((1, 2)), plain)
    assert not copied(derived(code=("peek",)), plain)
    assert copied(direct((1, 2)), odd)
    assert copied(direct((1, 2)), None)
    assert copied(derived(code=("peek",)), odd)
    assert not copied(direct((1, 1)), odd)
    assert copied(direct((1, 1)), plain, flow=False)


def test_what_names_suspect_and_the_server_denies_is_not_so() -> None:
    child = StatementFacts(Verb.SELECT, "", reads=names("users"), functions=frozenset({FunctionName(None, "change")}))
    root = replace(child, children=(child,), flow=DataFlow((), relations=frozenset({77_000}), functions=frozenset({50})))
    harmless = Catalogue("g", CATALOGUE.relations | {77_000: relation(77_000, "users", id=None)}, frozenset({"change"}),
                         frozenset({"change"}), functions=FUNCTIONS)  # fmt: skip
    suspected = {Trait.OWN_FUNCTION, Trait.VOLATILE_FUNCTION, Trait.TOUCHES_CLASSIFIED}

    assert [part.properties & suspected for part in parts_of(replace(root, flow=None), harmless, Reveal(), ())] == [suspected] * 2
    assert [part.properties & suspected for part in parts_of(root, harmless, Reveal(), ())] == [set()] * 2


def test_what_only_the_server_sees_is_so() -> None:
    flow = DataFlow((), relations=frozenset({1}), functions=frozenset({91}), code=frozenset({"change"}))
    hidden = StatementFacts(Verb.SELECT, "", reads=names("some_view"))

    assert properties(hidden, flow) >= {Trait.OWN_FUNCTION, Trait.VOLATILE_FUNCTION, Trait.TOUCHES_CLASSIFIED}
    assert Trait.READ_ONLY not in properties(hidden, flow)


def test_a_catalogue_with_trusted_functions_still_knows_functions_and_operators() -> None:
    trusting = without_trusted(CATALOGUE, ("trusted", "pe*"))

    assert trusting.opaque_functions == trusting.volatile_functions == frozenset({"change"})
    assert (trusting.functions, trusting.operators) == (CATALOGUE.functions, CATALOGUE.operators)
    assert trusting.has_classified


def test_writing_back_is_a_property_of_the_whole() -> None:
    root = StatementFacts(Verb.SELECT, "", children=(UPDATE,))
    found = [Trait.MASKED_WRITE_BACK in part.properties for part in parts_of(root, CATALOGUE, Reveal(), (), writes_back=True)]

    assert found == [True, False]
    assert Trait.MASKED_WRITE_BACK not in properties(root, None)
