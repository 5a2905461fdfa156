"""Traits of keys and conditions: what is taken for a change of one row, for one without a key, for one that goes on, and for inference."""

from __future__ import annotations

import pytest

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Keys, Relation
from querywarden.model.decision import Reveal
from querywarden.model.evidence import Probe
from querywarden.model.facts import Expression, Hazard, StatementFacts, Verb
from querywarden.model.resource import FunctionName, RelationName
from querywarden.policy.language import Trait
from querywarden.policy.properties import parts_of

NO_KEYS = Keys()


def relation(number: int, name: str, columns: str, keys: Keys = NO_KEYS, schema: str = "public", **classes: DataClass) -> Relation:
    given = {
        at: Column(at, column, "text", Classification(classes[column], "name") if column in classes else None)
        for at, column in enumerate(columns.split(), 1)
    }
    return Relation(number, schema, name, "table", given, keys=keys)


def keys(*unique: str, **more: object) -> Keys:
    sets = tuple(frozenset(each.split()) for each in unique)
    return Keys(sets, frozenset(each.split()[0] for each in unique) | {"user_id"}, has_row_ids=True, **more)  # type: ignore[arg-type]


USERS = relation(1, "users", "id email name", keys("id", "email", delete_cascades=True), email=DataClass.EMAIL)
ORDERS = relation(2, "orders", "id user_id total name", keys("id", "user_id total", cascading=frozenset({"id"})))
OTHER = relation(3, "orders", "id email", keys("email"), schema="other")
LOG = relation(4, "log", "id text")
AUTHID = relation(5, "pg_authid", "rolname rolpassword", schema="pg_catalog", rolpassword=DataClass.PASSWORD_HASH)
CATALOGUE = Catalogue("1", {each.id: each for each in (USERS, ORDERS, LOG, AUTHID)}, opaque_functions=frozenset({"peek", "initials"}))
TWO_ORDERS = Catalogue("1", {each.id: each for each in (USERS, ORDERS, OTHER)})


def traits(facts: StatementFacts, catalogue: Catalogue = CATALOGUE, reveal: Reveal = Reveal(), *, is_blind: bool = False) -> set[Trait]:
    first = next(parts_of(facts, catalogue, reveal, (), is_blind))
    return {each for each in first.properties if isinstance(each, Trait)}


def change(verb: Verb, target: str, *given: str, **more: object) -> StatementFacts:
    return StatementFacts(verb, "", writes=frozenset({RelationName(None, target)}), key_equalities=frozenset(given), **more)  # type: ignore[arg-type]


def sets(*targets: str | None) -> tuple[Expression, ...]:
    return tuple(Expression(frozenset(), target=target) for target in targets)


@pytest.mark.parametrize("verb", [Verb.UPDATE, Verb.DELETE])
@pytest.mark.parametrize(
    ("target", "given", "choices", "expected"),
    [
        ("orders", ("id",), (), Trait.KEYED_WRITE),
        ("orders", ("id", "name"), (), Trait.KEYED_WRITE),
        ("orders", ("user_id", "total"), (), Trait.KEYED_WRITE),
        ("orders", ("ctid",), (), Trait.KEYED_WRITE),
        ("orders", ("user_id",), (), None),
        ("orders", (), ("id",), None),
        ("orders", ("total",), ("user_id",), None),
        ("orders", ("total",), (), Trait.UNKEYED_WRITE),
        ("orders", (), ("total",), Trait.UNKEYED_WRITE),
        ("orders", (), (), Trait.UNKEYED_WRITE),
        ("log", ("id",), (), Trait.UNKEYED_WRITE),
        ("nowhere", ("id",), (), Trait.UNKEYED_WRITE),
    ],
)
def test_a_key_names_one_row(verb: Verb, target: str, given: tuple[str, ...], choices: tuple[str, ...], expected: Trait | None) -> None:
    found = traits(change(verb, target, *given, key_choices=frozenset(choices))) & {Trait.KEYED_WRITE, Trait.UNKEYED_WRITE}

    assert found == ({expected} if expected else set())


def test_a_key_has_to_be_one_of_every_relation_that_the_name_may_mean() -> None:
    found = traits(change(Verb.DELETE, "orders", "id"), TWO_ORDERS)

    assert Trait.KEYED_WRITE not in found
    assert Trait.UNKEYED_WRITE in found
    assert Trait.KEYED_WRITE in traits(change(Verb.DELETE, "orders", "id", "email"), TWO_ORDERS)


def test_a_key_proves_nothing_where_the_catalogue_may_be_old_or_equality_is_not_the_servers() -> None:
    own = Catalogue("1", {ORDERS.id: ORDERS}, opaque_operators=frozenset({"="}))

    assert Trait.KEYED_WRITE not in traits(change(Verb.DELETE, "orders", "id"), is_blind=True)
    assert Trait.KEYED_WRITE not in traits(change(Verb.DELETE, "orders", "id"), own)


def test_two_targets_are_no_keyed_write() -> None:
    both = StatementFacts(
        Verb.DELETE, "", writes=frozenset({RelationName(None, "orders"), RelationName(None, "users")}), key_equalities=frozenset({"id"})
    )

    assert Trait.KEYED_WRITE not in traits(both)


def test_what_is_only_explained_has_no_key_traits() -> None:
    child = change(Verb.DELETE, "users")
    explain = StatementFacts(Verb.EXPLAIN, "", writes=child.writes, children=(child,))

    assert all(not part.properties & {Trait.UNKEYED_WRITE, Trait.CASCADES} for part in parts_of(explain, CATALOGUE, Reveal(), ()))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (change(Verb.DELETE, "users", "id"), True),
        (change(Verb.DELETE, "orders", "id"), False),
        (change(Verb.UPDATE, "orders", "id", assignments=sets("id")), True),
        (change(Verb.UPDATE, "orders", "id", assignments=sets("total")), False),
        (change(Verb.UPDATE, "orders", "id", assignments=None), True),
        (change(Verb.UPDATE, "users", "id", assignments=sets("id")), False),
        (change(Verb.MERGE, "users", hazards=frozenset({Hazard.MERGE_DELETE})), True),
        (change(Verb.MERGE, "users", assignments=sets("email")), False),
        (change(Verb.MERGE, "orders", assignments=sets("id")), True),
        (change(Verb.INSERT, "orders", assignments=sets("id", "total")), False),
        (change(Verb.INSERT, "orders", assignments=sets("id", "total", "total")), False),
        (change(Verb.INSERT, "orders", assignments=sets("id", "total", "id")), True),
        (change(Verb.INSERT, "orders", assignments=sets(None, None, "id")), True),
        (change(Verb.TRUNCATE, "users"), False),
    ],
)
def test_a_change_cascades_where_foreign_keys_say_so(facts: StatementFacts, expected: bool) -> None:
    assert expected == (Trait.CASCADES in traits(facts))


def probe(name: str | None, *relations: str, **more: object) -> Probe:
    columns = frozenset() if name is None else frozenset({name})
    named = frozenset(RelationName(None, each) for each in relations) or None
    return Probe(columns, is_opaque=name is None and not more, relations=named, **more)  # type: ignore[arg-type]


def select(*probes: Expression, reads: tuple[str, ...] = ("users", "orders"), **more: object) -> StatementFacts:
    return StatementFacts(Verb.SELECT, "", reads=frozenset(RelationName(None, each) for each in reads), probes=probes, **more)  # type: ignore[arg-type]


TELLING = {
    "a hidden column": select(probe("email", "users")),
    "a hidden column of whichever relation": select(probe("email")),
    "a plain expression of a hidden column": select(Expression(frozenset({"id", "email"}))),
    "a hidden column of one of two": select(probe("email", "orders", "users")),
    "any column": select(probe(None, "users")),
    "any column of anything": select(probe(None)),
    "the second column": select(probe(None, "users", position=2)),
    "a column beyond the last": select(probe(None, "users", position=9)),
    "a name that is no column": select(probe("to_jsonb", "users")),
    "a function of the database's own": select(probe(None, function="peek")),
    "a function written as an attribute": select(attribute_names=frozenset({"initials"})),
    "a secret of the server's": select(probe("rolpassword", "pg_authid"), reads=("pg_authid",)),
    "a child's": StatementFacts(Verb.EXECUTE, "", children=(select(probe("email", "users")),)),
}
SILENT = {
    "no probe": select(),
    "an unclassified column": select(probe("name", "users"), probe("total", "orders")),
    "a column of the name of a hidden one, of another relation": select(probe("email", "log")),
    "any column of a relation without hidden ones": select(probe(None, "orders")),
    "the first column": select(probe(None, "users", position=1)),
    "a name that may be of a relation that isn't known": select(probe("email", "scratch")),
    "a name that is no column but something harmless": select(probe("n", "users", is_optional=True)),
    "a system column": select(probe("ctid", "users")),
    "a function of the server's": select(probe(None, function="lower"), functions=frozenset({FunctionName(None, "lower")})),
    "a column that is named like a function": select(attribute_names=frozenset({"name"})),
    "the server's own": select(probe("rolname", "pg_authid"), reads=("pg_authid",)),
}


@pytest.mark.parametrize("name", TELLING)
def test_a_probe_of_what_is_hidden_is_inference(name: str) -> None:
    assert Trait.CLASSIFIED_PREDICATE in traits(TELLING[name])
    assert Trait.CLASSIFIED_PREDICATE not in traits(TELLING[name], reveal=Reveal(everything=True))


@pytest.mark.parametrize("name", SILENT)
def test_other_probes_are_ordinary(name: str) -> None:
    assert Trait.CLASSIFIED_PREDICATE not in traits(SILENT[name])


def test_who_may_see_a_column_may_probe_it() -> None:
    assert Trait.CLASSIFIED_PREDICATE not in traits(select(probe("email", "users")), reveal=Reveal(frozenset({"email"})))
    assert Trait.CLASSIFIED_PREDICATE not in traits(select(probe("email")), reveal=Reveal(columns=frozenset({"public.users.email"})))
    assert Trait.CLASSIFIED_PREDICATE in traits(select(probe("email")), reveal=Reveal(frozenset({"phone"})))


def test_names_prove_nothing_where_the_schema_has_changed_but_for_the_servers_own() -> None:
    assert Trait.CLASSIFIED_PREDICATE in traits(select(probe("total", "orders")), is_blind=True)
    assert Trait.CLASSIFIED_PREDICATE not in traits(select(probe("rolname", "pg_authid"), reads=("pg_authid",)), is_blind=True)
    assert Trait.CLASSIFIED_PREDICATE not in traits(select(), is_blind=True)


def test_a_call_of_a_trusted_procedure_is_told() -> None:
    call = StatementFacts(Verb.CALL, "CALL p()", functions=frozenset({FunctionName(None, "p")}))
    found = [
        Trait.TRUSTED_CALL in next(iter(parts_of(call, Catalogue("g", {}), Reveal(), trusted))).properties
        for trusted in ((), ("p",), ("p*",), ("q",))
    ]
    assert [False, True, True, False] == found
