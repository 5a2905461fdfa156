"""The plan of masks: origins, expressions, unknown relations, reveals."""

from __future__ import annotations

import pytest

from querywarden.masking.operators import DEFAULT_OPERATORS, Operator, operator_of
from querywarden.masking.plan import ColumnMask, OutputColumn, plan_masks, unknown_relations
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.decision import Reveal
from querywarden.model.facts import Expression, StatementFacts, Verb
from querywarden.model.resource import FunctionName, RelationName

NOTHING = Reveal()
EMAIL = ColumnMask(DataClass.EMAIL, Operator.EMAIL, is_derived=False)
DERIVED = ColumnMask(DataClass.OPAQUE, Operator.NULL, is_derived=True)


def column(number: int, name: str, data_class: DataClass | None = None, type_name: str = "text") -> Column:
    return Column(number, name, type_name, Classification(data_class, "name") if data_class else None)


USERS = Relation(1, "public", "users", "table", {1: column(1, "id"), 2: column(2, "email", DataClass.EMAIL), 3: column(3, "country")})
PRODUCTS = Relation(2, "public", "products", "table", {1: column(1, "id"), 2: column(2, "name")})
MAILING = Relation(
    3,
    "public",
    "mailing",
    "table",
    {1: column(1, "id"), 2: column(2, "country", DataClass.CITY), 3: column(3, "mail", DataClass.EMAIL, "citext")},
)
CATALOGUE = Catalogue("g", {r.id: r for r in (USERS, PRODUCTS, MAILING)}, frozenset({"peek"}), opaque_operators=frozenset({"!@"}))
CLEAN = Catalogue("g", {2: PRODUCTS}, frozenset({"peek"}))


def facts(
    *reads: str, outputs: tuple[Expression, ...] | None = (), functions: tuple[str, ...] = (), verb: Verb = Verb.SELECT, **more: object
) -> StatementFacts:
    return StatementFacts(
        verb,
        "",
        reads=frozenset(RelationName(None, name) for name in reads),
        outputs=outputs,
        functions=frozenset(FunctionName(None, name) for name in functions),
        **more,  # type: ignore[arg-type]
    )


def expression(*names: str, **more: bool) -> Expression:
    return Expression(frozenset(names), **more)


def plan_one(
    given: StatementFacts | None, reveal: Reveal = NOTHING, catalogue: Catalogue = CATALOGUE, opaque: bool = False
) -> ColumnMask | None:
    """The mask of a single column without origin."""
    return plan_masks([OutputColumn("x", 0, 0)], given, catalogue, reveal, opaque)[0]


def plan_origin(relation_id: int, number: int, reveal: Reveal = NOTHING, opaque: bool = False, name: str = "x") -> ColumnMask | None:
    """The mask of a single column with an origin."""
    return plan_masks([OutputColumn(name, relation_id, number)], None, CATALOGUE, reveal, opaque)[0]


def test_every_class_has_an_operator() -> None:
    assert set(DEFAULT_OPERATORS) == set(DataClass)


def test_column_with_an_origin_has_the_class_of_its_origin_whatever_its_alias() -> None:
    assert plan_origin(1, 2) == EMAIL
    assert plan_origin(1, 1) is None
    assert plan_origin(1, 3) is None


def test_citext_is_told_from_other_types_of_unknown_oid() -> None:
    assert plan_origin(3, 3) == ColumnMask(DataClass.EMAIL, Operator.EMAIL, False, is_citext=True)


def test_system_columns_are_clear_and_whole_rows_of_classified_relations_are_not() -> None:
    assert plan_origin(1, -1) is None
    assert plan_origin(1, 0) == DERIVED
    assert plan_origin(2, 0) is None


@pytest.mark.parametrize(
    ("reveal", "expected"),
    [
        (Reveal(classes=frozenset({"email"})), None),
        (Reveal(columns=frozenset({"public.users.email"})), None),
        (Reveal(everything=True), None),
        (Reveal(classes=frozenset({"phone"}), columns=frozenset({"public.users.id"})), EMAIL),
    ],
)
def test_reveal_shows_a_class_a_column_or_everything(reveal: Reveal, expected: ColumnMask | None) -> None:
    assert plan_origin(1, 2, reveal) == expected


def test_expression_over_unclassified_relations_is_clear() -> None:
    assert plan_one(facts("products", outputs=None)) is None
    assert plan_one(facts("products", outputs=(expression("name"),))) is None


@pytest.mark.parametrize(
    "output",
    [expression(), expression("id"), expression("country"), expression("id", "country"), expression("ctid")],
)
def test_expression_of_unclassified_columns_alone_is_clear(output: Expression) -> None:
    assert plan_one(facts("users", outputs=(output,))) is None


@pytest.mark.parametrize(
    "given",
    [
        facts("users", outputs=(expression("email"),)),
        facts("users", outputs=(expression("id", "email"),)),
        facts("users", outputs=(expression("id", is_opaque=True),)),
        facts("users", outputs=(expression("nowhere"),)),
        facts("users", outputs=(expression("users"),)),
        facts("users", outputs=(expression("country"),), aliases=frozenset({"country"})),
        facts("users", outputs=(expression("country"),), from_is_plain=False),
        facts("users", "mailing", outputs=(expression("country"),)),
        facts("users", "unknown", outputs=(expression("country"),)),
        facts("users", outputs=None),
        facts("users", outputs=(expression("id"), expression("id"))),
        facts("users", outputs=(expression("id"),), functions=("peek",)),
        facts("products", outputs=(expression("id"),), functions=("peek",)),
        facts(outputs=(expression(),), operators=frozenset({"!@"})),
        facts(verb=Verb.FETCH),
        facts(verb=Verb.EXECUTE),
        None,
    ],
)
def test_expression_that_may_hold_a_classified_value_is_masked(given: StatementFacts | None) -> None:
    assert plan_one(given) == DERIVED


def test_expression_is_clear_when_all_that_is_touched_is_revealed() -> None:
    given = facts("users", outputs=None)
    assert plan_one(given, Reveal(classes=frozenset({"email"}))) is None
    assert plan_one(given, Reveal(columns=frozenset({"public.users.email"}))) is None
    assert plan_one(given, Reveal(classes=frozenset({"city"}))) == DERIVED
    assert plan_one(facts("users", outputs=None, functions=("peek",)), Reveal(classes=frozenset({"email"}))) == DERIVED


def test_function_of_the_database_is_clear_where_nothing_is_classified() -> None:
    assert plan_one(facts(outputs=None, functions=("peek",)), catalogue=CLEAN) is None
    secret = Column(1, "rolpassword", "text", Classification(DataClass.PASSWORD_HASH, "built_in"))
    server = Catalogue("g", {2: PRODUCTS, 9: Relation(9, "pg_catalog", "pg_authid", "table", {1: secret})}, frozenset({"peek"}))
    assert plan_one(facts(outputs=None, functions=("peek",)), catalogue=server) is None
    assert plan_one(facts("pg_authid", outputs=None), catalogue=server) == DERIVED


def test_plans_of_execution_and_settings_are_clear_but_for_folded_functions() -> None:
    assert plan_one(facts("users", verb=Verb.EXPLAIN, outputs=None)) is None
    assert plan_one(facts("users", verb=Verb.EXPLAIN, outputs=None, functions=("peek",))) == DERIVED
    assert plan_one(facts(verb=Verb.SHOW, outputs=None)) is None


def test_unknown_relations_are_told_by_id_and_by_missing_column() -> None:
    columns = [
        OutputColumn("a", 0, 0),
        OutputColumn("b", 1, 2),
        OutputColumn("c", 1, 9),
        OutputColumn("d", 77, 1),
        OutputColumn("e", 2, -1),
    ]
    assert unknown_relations(columns, CATALOGUE) == {1, 77}


def test_column_of_an_unknown_relation_is_masked_or_judged_by_its_name() -> None:
    assert plan_origin(77, 1, opaque=True) == DERIVED
    assert plan_origin(77, 1, name="email") == EMAIL
    assert plan_origin(77, 1, name="total") is None
    assert plan_origin(77, 0, name="total") == DERIVED
    assert plan_origin(77, 1, Reveal(classes=frozenset({"email"})), name="email") is None


def test_expression_over_an_unknown_relation_is_masked_or_judged_by_its_names() -> None:
    assert plan_one(facts("fresh", outputs=(expression("total"),)), opaque=True) == DERIVED
    assert plan_one(facts("fresh", outputs=(expression("total"),))) is None
    assert plan_one(facts("fresh", outputs=(expression("email"),))) == DERIVED
    assert plan_one(facts("fresh", outputs=None)) == DERIVED


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ((), Operator.EMAIL),
        ((("email", "redact"),), Operator.REDACT),
        ((("public.users.email", "shape"), ("email", "redact")), Operator.SHAPE),
        ((("public.mailing.mail", "shape"), ("phone", "redact")), Operator.EMAIL),
        ((("email", "no_such_operator"),), Operator.NULL),
        ((("email", ""),), Operator.NULL),
    ],
)
def test_an_operator_of_the_policy_takes_the_place_of_the_class_own(masks, expected):
    assert ColumnMask(DataClass.EMAIL, expected, is_derived=False) == plan_origin(1, 2, Reveal(masks=masks))


def test_an_operator_keeps_what_is_known_of_the_columns_type():
    assert plan_origin(3, 3, Reveal(masks=(("email", "redact"),))) == ColumnMask(DataClass.EMAIL, Operator.REDACT, False, is_citext=True)


def test_no_operator_of_the_policy_reaches_what_is_derived():
    everything = tuple((data_class.value, "shape") for data_class in DataClass)
    given = facts("users", outputs=(expression("email"),))
    assert DERIVED == plan_one(given, Reveal(masks=everything))


@pytest.mark.parametrize(("name", "expected"), [("shape", Operator.NULL), ("email", Operator.NULL), ("redact", Operator.REDACT)])
def test_a_column_of_no_known_content_keeps_nothing_whatever_the_policy_names(name, expected):
    assert expected is operator_of(DataClass.OPAQUE, name)


def test_what_is_shown_stays_shown():
    assert plan_origin(1, 2, Reveal(classes=frozenset({"email"}), masks=(("email", "redact"),))) is None


def test_the_client_does_not_choose_an_operator_by_the_name_of_an_output_column():
    reveal = Reveal(masks=(("email", "redact"), ("e_mail", "shape")))
    mask = plan_origin(99, 1, reveal, name="e_mail")
    assert ColumnMask(DataClass.EMAIL, Operator.REDACT, is_derived=False) == mask
