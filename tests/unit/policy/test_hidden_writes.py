"""Writes to hidden columns and guesses at them: exact by the data flow, erring towards yes by names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Keys, Relation
from querywarden.model.data_flow import Assignment, Condition, ConditionKind, DataFlow, FlowKind, ValueFlow
from querywarden.model.decision import Reveal
from querywarden.model.facts import StatementFacts, Verb
from querywarden.policy.hidden_writes import FREE_VALUES, guesses_of, takes_client_values_for_hidden
from querywarden.postgresql.analysis import analyse


def relation(number: int, name: str, **classes: DataClass | None) -> Relation:
    columns = {
        place: Column(place, column, "text", Classification(given, "name") if given else None)
        for place, (column, given) in enumerate(classes.items(), 1)
    }
    return Relation(number, "public", name, "table", columns)


CATALOGUE = Catalogue(
    "g",
    {
        1: relation(1, "users", id=None, email=DataClass.EMAIL, note=None),
        2: relation(2, "orders", id=None, total=None),
        3: relation(3, "odd", id=None, **{"E Mail": DataClass.EMAIL}),
    },
)
SEES_EMAIL = Reveal(classes=frozenset({"email"}))
CONSTANT = ValueFlow(FlowKind.CONSTANT)


def facts_of(sql: str) -> StatementFacts:
    found = analyse(sql.encode())
    assert isinstance(found, tuple)
    return found[0]


TAKING = [
    ("UPDATE users SET email = $1 WHERE id = 1", True),
    ("UPDATE users SET note = $1 WHERE id = 1", False),
    ("UPDATE users SET note = $1, email = 'x' WHERE id = 1", True),
    ("UPDATE orders SET total = 1", False),
    ("INSERT INTO users VALUES (1, 'x', 'y')", True),
    ("INSERT INTO users (id, note) VALUES (1, 'y')", False),
    ("INSERT INTO users (id, email) VALUES (1, 'y')", True),
    ("INSERT INTO orders VALUES (1, 2)", False),
    ("INSERT INTO users (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET email = 'x'", True),
    ("WITH u AS (UPDATE users SET email = $1 RETURNING id) SELECT * FROM u", True),
    ("MERGE INTO users USING orders ON users.id = orders.id WHEN MATCHED THEN UPDATE SET email = 'x'", True),
    ("COPY users FROM STDIN", True),
    ("COPY orders FROM STDIN", False),
    ("PREPARE p AS UPDATE users SET email = $1", True),
    ("SELECT email FROM users WHERE email = 'x'", False),
    ("DELETE FROM users WHERE email = 'x'", False),
]


@pytest.mark.parametrize(("sql", "expected"), TAKING)
def test_by_names_a_statement_takes_values_where_a_hidden_column_may_be_meant(sql: str, expected: bool) -> None:
    facts = facts_of(sql)

    assert takes_client_values_for_hidden(facts, CATALOGUE, Reveal()) == expected
    assert not takes_client_values_for_hidden(facts, CATALOGUE, SEES_EMAIL)
    assert not takes_client_values_for_hidden(facts, CATALOGUE, Reveal(everything=True))


def test_by_its_data_flow_a_statement_takes_values_where_it_does() -> None:
    facts = facts_of("INSERT INTO users VALUES (1, 'x', 'y')")

    def takes(*assignments: Assignment, reveal: Reveal = Reveal()) -> bool:
        return takes_client_values_for_hidden(replace(facts, flow=DataFlow(None, assignments=assignments)), CATALOGUE, reveal)

    assert takes(Assignment((1, 3), CONSTANT, True), Assignment((1, 2), CONSTANT, True))
    assert takes(Assignment((1, 0), CONSTANT, True))
    assert not takes(Assignment((1, 3), CONSTANT, True), Assignment((1, 2), CONSTANT, False))
    assert not takes(Assignment((2, 2), CONSTANT, True))
    assert not takes(Assignment((1, 2), CONSTANT, True), reveal=SEES_EMAIL)


def test_the_conditions_of_a_data_flow_are_counted() -> None:
    def guesses(*conditions: Condition, reveal: Reveal = Reveal()) -> int:
        facts = StatementFacts(Verb.SELECT, "", flow=DataFlow((), conditions=frozenset(conditions)))
        return guesses_of(facts, CATALOGUE, reveal)

    email = Condition(ConditionKind.EQUALITY, frozenset({(1, 2)}))
    other = Condition(ConditionKind.EQUALITY, frozenset({(3, 2), (1, 1)}))
    plain = Condition(ConditionKind.EQUALITY, frozenset({(1, 1)}))
    join = Condition(ConditionKind.JOIN, frozenset({(1, 2)}))

    assert guesses() == guesses(plain, join) == 0
    assert guesses(email, plain, join) == 1
    assert guesses(email, other) == 2
    assert guesses(email, other, reveal=Reveal(columns=frozenset({"public.users.email"}))) == 1
    assert guesses(email, reveal=Reveal(everything=True)) == 0


GUESSING = [
    ("SELECT id FROM users WHERE email = 'x'", 1),
    ("SELECT email FROM users WHERE email = 'x'", 1),
    ("SELECT * FROM users WHERE email IN ('x', 'y')", 1),
    ("SELECT * FROM users u WHERE 'x' = u.email", 1),
    ("SELECT email, note FROM users WHERE id = 1", 0),
    ("SELECT * FROM users", 0),
    ("SELECT total FROM orders WHERE id = 1", 0),
    ("UPDATE users SET email = $1 WHERE id = 1", 0),
    ("UPDATE users SET email = $1 WHERE email = $2", 1),
    ("UPDATE users SET note = $1 WHERE email = $2", 1),
    ("DELETE FROM users WHERE email = 'x'", 1),
    ("INSERT INTO users (id, email) VALUES (1, 'x')", 0),
    ("WITH a AS (SELECT id FROM users WHERE email = 'x') SELECT * FROM a", 1),
    ('SELECT id FROM odd WHERE "E Mail" = $1', 1),
    ('SELECT email FROM users WHERE U&"em\\0061il" = $1', 1),
]


@pytest.mark.parametrize(("sql", "expected"), GUESSING)
def test_by_names_a_statement_guesses_where_a_hidden_column_stands_in_a_condition(sql: str, expected: int) -> None:
    facts = facts_of(sql)

    assert guesses_of(facts, CATALOGUE, Reveal()) == expected
    assert guesses_of(facts, CATALOGUE, SEES_EMAIL) == 0


def test_a_value_that_may_be_there_already_is_a_guess_where_no_two_rows_may_agree() -> None:
    users = replace(CATALOGUE.relations[1], keys=Keys((frozenset({"id"}), frozenset({"email"}))))
    catalogue = Catalogue("g", {1: users})

    def guesses(*assignments: Assignment, known: Catalogue = catalogue) -> int:
        return guesses_of(StatementFacts(Verb.INSERT, "", flow=DataFlow(None, assignments=assignments)), known, Reveal())

    assert guesses(Assignment((1, 1), CONSTANT, True), Assignment((1, 2), CONSTANT, True)) == 1
    assert guesses(Assignment((1, 2), CONSTANT, False)) == guesses(Assignment((1, 3), CONSTANT, True)) == 0
    assert guesses(Assignment((1, 2), CONSTANT, True), known=CATALOGUE) == 0


@pytest.mark.parametrize("has_flow", [True, False])
def test_a_statement_with_many_values_guesses_as_often(has_flow: bool) -> None:
    def guesses(column: str, values: int) -> int:
        facts = facts_of(f"SELECT id FROM users WHERE {column} IN ({', '.join(['$1'] * values)})")
        place = {"email": (1, 2), "note": (1, 3)}[column]
        flow = DataFlow((), conditions=frozenset({Condition(ConditionKind.EQUALITY, frozenset({place}))}))
        return guesses_of(replace(facts, flow=flow if has_flow else None), CATALOGUE, Reveal())

    assert guesses("email", 1) == guesses("email", FREE_VALUES) == 1
    assert guesses("email", FREE_VALUES + 300) == 301
    assert guesses("note", 500) == 0


def test_a_text_that_is_cut_off_may_guess() -> None:
    facts = facts_of("SELECT email FROM users WHERE id = 1")

    assert guesses_of(replace(facts, normalised=facts.normalised + " " * 5000), CATALOGUE, Reveal()) == 1
