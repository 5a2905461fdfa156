"""Laundering: classified values don't get into places where nothing masks them, and ordinary writes pass."""

import pytest

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.decision import Reveal
from querywarden.model.facts import Expression, StatementFacts, Verb
from querywarden.model.resource import FunctionName, RelationName
from querywarden.policy.laundering import Flow


def relation(number, schema, name, **classes):
    columns = {
        position: Column(position, column, "text", Classification(given, "name") if given else None)
        for position, (column, given) in enumerate(classes.items(), 1)
    }
    return Relation(number, schema, name, "table", columns)


USERS = relation(
    1, "public", "users", id=None, email=DataClass.EMAIL, phone=DataClass.PHONE, note=None, backup_email=DataClass.EMAIL, n=None
)
NOTES = relation(2, "public", "notes", id=None, body=None, email=DataClass.EMAIL)
ORDERS = relation(3, "public", "orders", id=None, total=None, user_id=None)
OTHER = relation(4, "other", "notes", id=None, body=None, email=DataClass.SECRET)
CATALOGUE = Catalogue("1", {each.id: each for each in (USERS, NOTES, ORDERS)}, opaque_functions=frozenset({"get_email"}))


def names(*found):
    return frozenset(RelationName(*(each.split(".") if "." in each else (None, each))) for each in found)


def column(name, target=None):
    return Expression(frozenset({name}), is_plain_column=True, target=target)


def derived(*columns, target=None):
    return Expression(frozenset(columns), target=target)


def functions(*found):
    return frozenset(FunctionName(None, each) for each in found)


def stores(facts, catalogue=CATALOGUE, reveal=Reveal(), root=None):
    return Flow(root or facts, catalogue, reveal).stores_classified(facts)


def update(*assignments, writes=("users",), reads=(), **more):
    return StatementFacts(Verb.UPDATE, "", writes=names(*writes), reads=names(*reads), assignments=assignments, **more)


def insert(*assignments, writes=("notes",), reads=("users",), **more):
    return StatementFacts(Verb.INSERT, "", writes=names(*writes), reads=names(*reads), assignments=assignments, **more)


PASSING = {
    "insert of literals and parameters": insert(derived(target="id"), derived(target="body"), reads=()),
    "insert of literals into a classified relation": insert(derived(target="email"), writes=("users",), reads=()),
    "update set last_login = now()": update(derived(target="note"), functions=functions("now")),
    "update set n = n + 1": update(derived("n", target="n"), operators=frozenset({"+"})),
    "update set email = $1": update(derived(target="email")),
    "update set email = lower(email)": update(derived("email", target="email"), functions=functions("lower")),
    "update set email = backup_email": update(column("backup_email", "email")),
    "update set phone = coalesce($1, phone)": update(derived("phone", target="phone"), functions=functions("coalesce")),
    "insert select of unclassified columns": insert(column("id", "id"), column("note", "body")),
    "insert select into a column of the same class": insert(column("email", "email")),
    "insert select * from an unclassified relation into a classified one": StatementFacts(
        Verb.INSERT, "INSERT INTO users SELECT * FROM orders", writes=names("users"), reads=names("orders"), assignments=None
    ),
    "insert from a relation that the catalogue doesn't have": insert(column("x", "body"), reads=("scratch",)),
    "delete": StatementFacts(Verb.DELETE, "", writes=names("users")),
    "create table as select of unclassified columns": StatementFacts(
        Verb.CREATE, "", reads=names("users"), writes=names("t"), object_kind="table",
        children=(StatementFacts(Verb.SELECT, "", reads=names("users"), outputs=(column("id"), derived("n"))),),
    ),
    "create table as select * from an unclassified relation": StatementFacts(
        Verb.CREATE, "", reads=names("orders"), writes=names("t"), object_kind="table",
        children=(StatementFacts(Verb.SELECT, "", reads=names("orders"), outputs=None),),
    ),
    "create view over classified columns": StatementFacts(
        Verb.CREATE, "", reads=names("users"), object_kind="view",
        children=(StatementFacts(Verb.SELECT, "", reads=names("users"), outputs=(column("email"),)),),
    ),
    "create table": StatementFacts(Verb.CREATE, "", writes=names("t"), object_kind="table"),
    "set_config beside an unclassified relation": StatementFacts(Verb.SELECT, "", reads=names("orders"), functions=functions("set_config")),
    "system columns": insert(derived("xmin", target="body")),
}  # fmt: skip

STORING = {
    "insert select of a classified column": insert(column("email", "body")),
    "insert select of a classified column, derived": insert(derived("email", target="body")),
    "insert select of a classified column into another class": insert(column("phone", "email")),
    "insert select by position": insert(column("email")),
    "insert select of hidden outputs": StatementFacts(Verb.INSERT, "", writes=names("notes"), reads=names("users"), assignments=None),
    "insert select through a sub-select": insert(column("body", "body"), from_is_plain=False),
    "insert select of a whole row": insert(column("u", "body"), aliases=frozenset({"u"})),
    "insert select of the relation's name": insert(column("users", "body")),
    "insert select of an opaque expression": insert(Expression(frozenset(), is_opaque=True, target="body")),
    "insert select of a column that nothing is known of": insert(column("mystery", "body")),
    "insert of an own function's result": insert(derived(target="body"), reads=(), functions=functions("get_email")),
    "update set note = email": update(column("email", "note")),
    "update of another relation from a classified one": update(column("email", "body"), writes=("notes",), reads=("users",)),
    "update that shifts a partly shown value in its own column": update(
        derived("phone", target="phone"), functions=functions("substr"), operators=frozenset({"||"})
    ),
    "update with hidden assignments": StatementFacts(Verb.UPDATE, "", writes=names("users"), assignments=None),
    "insert select * that updates on conflict": StatementFacts(
        Verb.INSERT,
        "insert into users select * from orders on conflict (id) do update set note = users.email",
        writes=names("users"),
        reads=names("orders"),
        assignments=None,
    ),
    "merge with opaque assignments": StatementFacts(
        Verb.MERGE, "", writes=names("notes"), reads=names("users"), assignments=(Expression(frozenset(), is_opaque=True, target="body"),)
    ),
    "create table as select of a classified column": StatementFacts(
        Verb.CREATE, "", reads=names("users"), writes=names("t"), object_kind="temporary_table",
        children=(StatementFacts(Verb.SELECT, "", reads=names("users"), outputs=(column("email"),)),),
    ),
    "create table as select *": StatementFacts(
        Verb.CREATE, "", reads=names("users"), writes=names("t"), object_kind="table",
        children=(StatementFacts(Verb.SELECT, "", reads=names("users"), outputs=None),),
    ),
    "create materialized view": StatementFacts(
        Verb.CREATE, "", reads=names("users"), object_kind="materialized_view",
        children=(StatementFacts(Verb.SELECT, "", reads=names("users"), outputs=(column("email"),)),),
    ),
    "set_config of a classified value": StatementFacts(Verb.SELECT, "", reads=names("users"), functions=functions("set_config")),
    "advisory lock on a classified value": StatementFacts(
        Verb.SELECT, "", reads=names("users"), functions=functions("pg_try_advisory_lock")
    ),
    "large object from a classified value": StatementFacts(
        Verb.SELECT, "", reads=names("users"), functions=functions("lo_from_bytea")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSING)
def test_ordinary_writes_pass(name):
    assert not stores(PASSING[name])


@pytest.mark.parametrize("name", STORING)
def test_laundering_is_seen(name):
    assert stores(STORING[name])


@pytest.mark.parametrize("name", STORING)
def test_who_sees_everything_may_store_everything(name):
    assert not stores(STORING[name], reveal=Reveal(everything=True))


@pytest.mark.parametrize("name", STORING)
def test_without_classified_columns_there_is_nothing_to_launder(name):
    clean = Catalogue("1", {2: relation(2, "public", "notes", id=None, body=None)}, opaque_functions=frozenset({"get_email"}))

    assert not stores(STORING[name], clean)


def test_who_sees_a_class_may_store_it_elsewhere_and_no_other_class():
    reveal = Reveal(classes=frozenset({"email"}))

    assert not stores(update(column("email", "note")), reveal=reveal)
    assert stores(update(column("phone", "note")), reveal=reveal)


def test_who_sees_a_column_may_store_it_elsewhere():
    reveal = Reveal(columns=frozenset({"public.users.email"}))

    assert not stores(update(column("email", "note")), reveal=reveal)
    assert stores(update(column("backup_email", "note")), reveal=reveal)


def test_values_that_come_through_a_common_table_expression_are_seen():
    writer = insert(column("email", "body"), reads=())
    root = StatementFacts(Verb.SELECT, "", reads=names("users"), writes=names("notes"), from_is_plain=False, children=(writer,))

    assert stores(writer, root=root)


def test_rows_that_another_part_deletes_and_returns_are_a_source():
    deleting = StatementFacts(Verb.DELETE, "", writes=names("users"))
    root = StatementFacts(Verb.INSERT, "", writes=names("notes", "users"), assignments=None, from_is_plain=False, children=(deleting,))

    assert stores(root)


def test_a_target_that_may_have_two_classes_has_none():
    ambiguous = Catalogue("1", {each.id: each for each in (USERS, NOTES, OTHER)})

    assert stores(insert(column("email", "email"), writes=("notes",)), ambiguous)
    assert not stores(insert(column("email", "email"), writes=("public.notes",)), ambiguous)


def test_a_target_that_the_catalogue_does_not_have_has_no_class():
    assert stores(insert(column("email", "email"), writes=("scratch",)))


@pytest.mark.parametrize(
    "name", ["insert select of unclassified columns", "update set n = n + 1", "create table as select of unclassified columns"]
)
def test_while_the_schema_is_open_no_name_proves_anything(name):
    facts = PASSING[name]

    assert Flow(facts, CATALOGUE, Reveal(), is_blind=True).stores_classified(facts)


def test_while_the_schema_is_open_parameters_can_still_be_stored():
    facts = PASSING["update set email = $1"]

    assert not Flow(facts, CATALOGUE, Reveal(), is_blind=True).stores_classified(facts)
