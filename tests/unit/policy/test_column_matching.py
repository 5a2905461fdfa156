"""Matching columns: a deny wherever one may be meant, an allow only where all of them surely are."""

from dataclasses import replace

import pytest

from querywarden.model.catalogue import Catalogue, Column, Relation
from querywarden.model.data_flow import Assignment, Condition, ConditionKind, DataFlow, FlowKind, OutputFlow, ValueFlow
from querywarden.policy.column_matching import matches_columns
from querywarden.postgresql.analysis import analyse


def table(number, schema, name, *columns):
    return Relation(number, schema, name, "table", {place: Column(place, each, "text") for place, each in enumerate(columns, 1)})


CATALOGUE = Catalogue(
    "1",
    {
        1: table(1, "public", "users", "id", "email", "name"),
        2: table(2, "hr", "users", "id", "salary"),
        3: table(3, "public", "orders", "id", "user_id", "total"),
    },
)
EMAIL = ("public.users.email",)
OPEN = ("public.orders.id", "orders.total", "public.users.id", "hr.users.id")

DENIED = [
    # patterns, statement, whether a deny matches
    (EMAIL, "SELECT email FROM users", True),
    (EMAIL, "SELECT u.email FROM public.users u", True),
    (EMAIL, "SELECT id FROM users WHERE email = 'x'", True),
    (EMAIL, "SELECT id FROM users ORDER BY email", True),
    (EMAIL, "SELECT * FROM users", True),
    (EMAIL, "SELECT u FROM users u", True),
    (EMAIL, "SELECT to_jsonb(u) FROM users u", True),
    (EMAIL, "SELECT (u).email FROM users u", True),
    (EMAIL, "SELECT o.id FROM orders o JOIN users u USING (id)", False),
    (EMAIL, "TABLE users", True),
    (EMAIL, "COPY users TO STDOUT", True),
    (EMAIL, "COPY users (id, name) TO STDOUT", False),
    (EMAIL, "COPY users (id, email) TO STDOUT", True),
    (EMAIL, "COPY users FROM STDIN", True),
    (EMAIL, "INSERT INTO users VALUES (1, 'x', 'y')", True),
    (EMAIL, "INSERT INTO users (email) VALUES ('x')", True),
    (EMAIL, "INSERT INTO users (id, name) VALUES (1, 'x')", False),
    (EMAIL, "UPDATE users SET email = 'x' WHERE id = 1", True),
    (EMAIL, "UPDATE users SET name = 'x' WHERE id = 1 RETURNING *", True),
    (EMAIL, "UPDATE users SET name = 'x' WHERE id = 1", False),
    (EMAIL, "SELECT id, name FROM users", False),
    (EMAIL, "SELECT count(*) FROM users", False),
    (EMAIL, "SELECT email FROM hr.users", False),
    (EMAIL, "SELECT email FROM orders", False),
    (EMAIL, "SELECT * FROM orders", False),
    (EMAIL, "SELECT 1", False),
    (EMAIL, "WITH x AS (SELECT email FROM users) SELECT 1 FROM x", True),
    (EMAIL, "CREATE VIEW v AS SELECT email FROM users", True),
    (EMAIL, "TRUNCATE users", True),
    (("users.salary",), "SELECT salary FROM users", True),
    (("*.salary",), "SELECT salary FROM users", True),
    (("salary",), "SELECT salary FROM users", True),
    (("*.unknown.email",), "SELECT email FROM unknown", True),
    (("hr.unknown.email",), "SELECT email FROM unknown", True),
    (("hr.unknown.email",), "SELECT email FROM public.unknown", False),
    (("hr.unknown.email",), "SELECT * FROM unknown", True),
    (("hr.unknown.email",), "SELECT id FROM unknown", False),
]


def matched(patterns, sql, needs_all):
    (facts,) = analyse(sql.encode())
    return matches_columns(patterns, facts, CATALOGUE, needs_all)


@pytest.mark.parametrize(("patterns", "sql", "expected"), DENIED)
def test_a_deny_matches_where_a_column_may_be_meant(patterns, sql, expected):
    assert expected == matched(patterns, sql, False)


ALLOWED = [
    (OPEN, "SELECT id, total FROM orders", True),
    (OPEN, "SELECT o.id FROM orders o WHERE o.total > 3", True),
    (OPEN, "SELECT total AS t FROM orders ORDER BY t", False),  # t may be anything
    (OPEN, "SELECT id FROM users", True),
    (OPEN, "UPDATE orders SET total = 3 WHERE id = 1", True),
    (OPEN, "SELECT id, user_id FROM orders", False),
    (OPEN, "SELECT id FROM orders WHERE user_id = 3", False),
    (OPEN, "SELECT * FROM orders", False),
    (OPEN, "SELECT o FROM orders o", False),
    (OPEN, "SELECT count(*) FROM orders", False),
    (OPEN, "SELECT id FROM orders, unknown", False),
    (OPEN, "SELECT email FROM users", False),
    (OPEN, "SELECT 1", False),
    (OPEN, "DELETE FROM orders WHERE id = 1", False),
    (OPEN, "COPY orders TO STDOUT", False),
    (OPEN, "COPY orders (id, total) TO STDOUT", True),
    (OPEN, "INSERT INTO orders VALUES (1, 2, 3)", False),
    (OPEN, "ALTER TABLE orders DROP COLUMN total", False),
    (("public.*.id",), "SELECT id FROM users", False),
    (("*.*.id",), "SELECT id FROM unknown", True),
    (("public.*.id",), "SELECT id FROM unknown", False),
    (("public.*.id",), "SELECT id FROM public.unknown", True),
]


@pytest.mark.parametrize(("patterns", "sql", "expected"), ALLOWED)
def test_an_allow_matches_only_where_every_column_is_meant(patterns, sql, expected):
    assert expected == matched(patterns, sql, True)


VIEWS = Catalogue(
    "1", dict(CATALOGUE.relations) | {4: Relation(4, "public", "people", "view", {1: Column(1, "contact", "text")}), 5: table(5, "x", "y")}
)


def flowing(sql, *sources, conditions=(), targets=(), stored=(), relations=()):
    outputs = tuple(OutputFlow("x", ValueFlow(FlowKind.DERIVED, frozenset({place}))) for place in sources)
    (facts,) = analyse(sql.encode())
    return replace(
        facts,
        flow=DataFlow(
            outputs,
            relations=frozenset(place[0] for place in (*sources, *conditions, *targets)) | frozenset(relations),
            conditions=frozenset({Condition(ConditionKind.ORDER, frozenset(conditions))}),
            assignments=tuple(Assignment(target, ValueFlow(FlowKind.CONSTANT)) for target in targets),
            stored_arguments=ValueFlow(FlowKind.DERIVED, frozenset(stored)),
        ),
    )


FLOWING = [
    # patterns, facts, whether a deny matches
    (EMAIL, flowing("SELECT * FROM users", (1, 1), (1, 3)), False),
    (EMAIL, flowing("SELECT * FROM users", (1, 1), (1, 2)), True),
    (EMAIL, flowing("SELECT u FROM users u", (1, 0)), True),
    (EMAIL, flowing("SELECT ctid, * FROM users", (1, -1), (1, 1)), False),
    (EMAIL, flowing("SELECT contact FROM people", (1, 2)), True),
    (EMAIL, flowing("SELECT 1 FROM people ORDER BY contact", conditions=((1, 2),)), True),
    (EMAIL, flowing("UPDATE people SET contact = 'x'", targets=((1, 2),)), True),
    (EMAIL, flowing("SELECT set_config('a', contact, false) FROM people", stored=((1, 2),)), True),
    (EMAIL, flowing("SELECT count(email) FROM users"), True),
    (EMAIL, flowing("SELECT * FROM users", (1, 44)), True),
    (EMAIL, flowing("SELECT * FROM nowhere", (77, 1)), False),
    (("hr.users.email",), flowing("SELECT * FROM users", (1, 2)), False),
    (("users.email",), flowing("SELECT * FROM people", (1, 2)), True),
]


@pytest.mark.parametrize(("patterns", "facts", "expected"), FLOWING)
def test_a_deny_sees_the_columns_behind_stars_and_views_where_the_server_has_told_them(patterns, facts, expected):
    assert matches_columns(patterns, facts, VIEWS, needs_all=False) == expected


PERMITTED = [
    # patterns, facts, whether an allow matches
    (OPEN, flowing("SELECT * FROM orders", (3, 1), (3, 3)), True),
    (OPEN, flowing("SELECT * FROM orders", (3, 1), (3, 2)), False),
    (OPEN, flowing("SELECT *, user_id FROM orders", (3, 1)), False),
    (OPEN, flowing("SELECT * FROM orders", (3, 1), conditions=((1, 2),)), False),
    (OPEN, flowing("SELECT * FROM orders", (3, 1), (77, 1)), False),
    (OPEN, flowing("SELECT * FROM orders", (3, 1), relations=(77,)), False),
    (OPEN, flowing("SELECT * FROM orders"), False),
    (("people.contact", "users.email"), flowing("SELECT * FROM people", (1, 2), relations=(4,)), False),
    (("people.contact",), flowing("SELECT contact FROM people", (1, 2), relations=(4,)), True),
    (OPEN, flowing("DELETE FROM orders", conditions=((3, 1),)), False),
]


@pytest.mark.parametrize(("patterns", "facts", "expected"), PERMITTED)
def test_an_allow_sees_the_columns_behind_stars_of_tables_alone(patterns, facts, expected):
    assert matches_columns(patterns, facts, VIEWS, needs_all=True) == expected
