"""Matching columns: a deny wherever one may be meant, an allow only where all of them surely are."""

import pytest

from querywarden.model.catalogue import Catalogue, Column, Relation
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
