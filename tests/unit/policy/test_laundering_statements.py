"""Laundering as SQL: each way to store a classified value that the grammar offers, and the ordinary writes beside it."""

import pytest

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.decision import Allow, Deny
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.baseline import BASELINE
from querywarden.policy.evaluate import Request, decide
from querywarden.postgresql.analysis import analyse


def relation(number, name, **classes):
    columns = {
        position: Column(position, column, "text", Classification(given, "name") if given else None)
        for position, (column, given) in enumerate(classes.items(), 1)
    }
    return Relation(number, "public", name, "table", columns)


CATALOGUE = Catalogue(
    "1",
    {
        1: relation(1, "users", id=None, email=DataClass.EMAIL, card=DataClass.CREDIT_CARD, nick=None, seen=None),
        2: relation(2, "notes", id=None, body=None),
        3: relation(3, "orders", id=None, user_id=None, total=None),
    },
    opaque_functions=frozenset({"get_email"}),
    opaque_operators=frozenset({"!@"}),
    opaque_casts=frozenset({"contact"}),
)

STORING = """
INSERT INTO notes (body) SELECT email FROM users
INSERT INTO notes SELECT id, email FROM users
INSERT INTO notes SELECT * FROM users
INSERT INTO notes (body) TABLE users
INSERT INTO notes (body) SELECT u.email AS nick FROM users u
INSERT INTO notes (body) SELECT lower(email) FROM users
INSERT INTO notes (body) SELECT email::text FROM users
INSERT INTO notes (body) SELECT min(email) FROM users
INSERT INTO notes (body) SELECT string_agg(email, ',') FROM users
INSERT INTO notes (body) SELECT CASE WHEN email LIKE 'a%' THEN 'y' ELSE 'n' END FROM users
INSERT INTO notes (body) SELECT u FROM users u
INSERT INTO notes (body) SELECT users FROM users
INSERT INTO notes (body) SELECT to_jsonb(u) FROM users u
INSERT INTO notes (body) SELECT (u).email FROM users u
INSERT INTO notes (body) SELECT email(u) FROM users u
INSERT INTO notes (body) SELECT email(users) FROM users
INSERT INTO notes (body) SELECT u.*::text FROM users u
INSERT INTO notes (body) SELECT row(u.*)::text FROM users u
INSERT INTO notes (body) SELECT x FROM (SELECT email AS x FROM users) AS s
INSERT INTO notes (body) SELECT nick FROM (SELECT email AS nick FROM users) AS s
INSERT INTO notes (body) SELECT nick FROM users AS u (id, nick)
INSERT INTO notes (body) SELECT c FROM users u, LATERAL (SELECT u.email AS c) AS l
INSERT INTO notes (body) SELECT c FROM users u, unnest(ARRAY[u.email]) AS c
INSERT INTO notes (body) WITH w AS (SELECT email AS body FROM users) SELECT body FROM w
WITH w AS (SELECT email AS body FROM users) INSERT INTO notes (body) SELECT body FROM w
WITH w (nick) AS (SELECT email FROM users) INSERT INTO notes (body) SELECT nick FROM w
WITH w AS (SELECT email AS body FROM users), i AS (INSERT INTO notes (body) SELECT body FROM w) SELECT 1
WITH w AS (DELETE FROM users WHERE id = 1 RETURNING email AS body) INSERT INTO notes (body) SELECT body FROM w
WITH w AS (DELETE FROM users WHERE id = 1 RETURNING *) INSERT INTO notes SELECT * FROM w
INSERT INTO notes (body) VALUES ((SELECT email FROM users LIMIT 1))
INSERT INTO notes (body) SELECT (SELECT email FROM users LIMIT 1)
INSERT INTO notes (body) SELECT body FROM notes UNION SELECT email FROM users
INSERT INTO notes (body) VALUES (get_email(1))
INSERT INTO notes (body) SELECT !@ 1
INSERT INTO notes (body) SELECT ('1'::contact)::text
INSERT INTO users SELECT * FROM orders ON CONFLICT (id) DO UPDATE SET nick = users.email
INSERT INTO users (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET nick = users.email
INSERT INTO users (id, email) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET nick = excluded.email
UPDATE users SET nick = email WHERE id = 1
UPDATE users SET (nick, seen) = (email, 'x') WHERE id = 1
UPDATE users SET (nick) = (SELECT u.email FROM users u WHERE u.id = users.id) WHERE id = 1
UPDATE users SET nick = (SELECT email FROM users LIMIT 1) WHERE id = 1
UPDATE notes SET body = email FROM users WHERE users.id = notes.id
UPDATE notes SET body = u.email FROM users u WHERE u.id = notes.id
UPDATE users SET card = substr(card, 1, 4) || '9' WHERE id = 1
UPDATE users SET card = overlay(card placing '' from 1) WHERE id = 1
UPDATE users SET email = card WHERE id = 1
MERGE INTO notes n USING users u ON u.id = n.id WHEN MATCHED THEN UPDATE SET body = u.email
MERGE INTO notes n USING users u ON u.id = n.id WHEN NOT MATCHED THEN INSERT (body) VALUES (u.email)
CREATE TEMP TABLE t AS SELECT email FROM users
CREATE TEMP TABLE t AS SELECT nick, card AS x FROM users
CREATE TEMP TABLE t AS TABLE users
CREATE TEMP TABLE t AS SELECT get_email(1)
CREATE TEMP TABLE t (nick) AS SELECT email FROM users
CREATE TEMP TABLE t AS SELECT nick FROM users UNION ALL SELECT email FROM users
CREATE TEMP TABLE t AS WITH w AS (SELECT email AS nick FROM users) SELECT nick FROM w
SELECT email INTO TEMP t FROM users
SELECT * INTO TEMP t FROM users
EXPLAIN ANALYZE INSERT INTO notes (body) SELECT email FROM users
EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT email FROM users
PREPARE p AS INSERT INTO notes (body) SELECT email FROM users
SELECT set_config('application_name', email, false) FROM users LIMIT 1
SELECT lo_put(1, 0, email::bytea) FROM users
SELECT pg_try_advisory_xact_lock(card::bigint) FROM users
CREATE MATERIALIZED VIEW v AS SELECT email FROM users
CREATE TABLE t AS SELECT email FROM users
CREATE TABLE t (id int, code text DEFAULT get_email(1))
CREATE DOMAIN d AS text DEFAULT get_email(1)
ALTER DOMAIN d SET DEFAULT get_email(1)
ALTER TABLE notes ADD COLUMN code text DEFAULT get_email(1)
ALTER TABLE notes ALTER COLUMN body SET DEFAULT get_email(1)
ALTER VIEW v ALTER COLUMN body SET DEFAULT get_email(1)
CREATE RULE r AS ON UPDATE TO notes DO INSTEAD UPDATE users SET nick = 'x' RETURNING id, email
CREATE RULE r AS ON INSERT TO notes DO ALSO SELECT email FROM users
""".strip().splitlines()

PASSING = """
INSERT INTO notes (body) VALUES ('x'), ($1)
INSERT INTO notes (body) SELECT nick FROM users
INSERT INTO notes (id, body) SELECT u.id, u.nick FROM users u JOIN orders o ON o.user_id = u.id WHERE u.email = 'a@b.c'
INSERT INTO notes (id) SELECT count(*) FROM users
INSERT INTO notes (body) SELECT upper(nick) || '!' FROM users
INSERT INTO users (email) VALUES (lower($1))
INSERT INTO users (email, card) SELECT email, card FROM users WHERE id = 1
INSERT INTO users SELECT * FROM orders
INSERT INTO users (id, email) SELECT id, email FROM staged
INSERT INTO users (id, email) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET email = excluded.email
INSERT INTO orders SELECT * FROM orders
UPDATE users SET nick = 'x', seen = now() WHERE id = 1
UPDATE users SET seen = seen + 1 WHERE email = 'a@b.c'
UPDATE users SET email = trim(lower(email)) WHERE id = 1
UPDATE users SET card = coalesce($1, card) WHERE id = 1
UPDATE users SET card = NULL WHERE id = 1
UPDATE users SET nick = o.total FROM orders o WHERE o.user_id = users.id
DELETE FROM users WHERE email = 'a@b.c'
WITH w AS (DELETE FROM users WHERE id = 1 RETURNING email) SELECT * FROM w
CREATE TEMP TABLE t AS SELECT id, nick FROM users
CREATE TEMP TABLE t AS SELECT count(*) AS n FROM users
CREATE TEMP TABLE t AS SELECT * FROM orders
EXPLAIN INSERT INTO notes (body) SELECT email FROM users
SELECT set_config('search_path', '', false)
CREATE VIEW v AS SELECT email FROM users
CREATE FUNCTION f() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT email FROM users; END
CREATE TABLE t (id int, code text DEFAULT lower('A'), seen timestamptz DEFAULT now())
ALTER TABLE users ADD COLUMN code text DEFAULT 'x', ALTER COLUMN nick DROP DEFAULT, ALTER COLUMN seen SET DEFAULT now()
CREATE RULE r AS ON DELETE TO notes DO INSTEAD UPDATE users SET nick = 'x' WHERE id = OLD.id RETURNING id, nick
""".strip().splitlines()


def decided(sql):
    (facts,) = analyse(sql.encode())
    principal = Principal("alice", "idp", PrincipalKind.HUMAN)
    return decide(BASELINE, Request(principal, Database("shop", Environment.SANDBOX), facts, CATALOGUE))


@pytest.mark.parametrize("sql", STORING)
def test_classified_values_are_not_stored_where_nothing_masks_them(sql):
    decision = decided(sql)

    assert isinstance(decision, Deny)
    assert decision.reason is ReasonCode.CLASSIFIED_WRITE


@pytest.mark.parametrize("sql", PASSING)
def test_ordinary_writes_pass(sql):
    assert isinstance(decided(sql), Allow)
