"""Attacks on the data flow, through the proxy against real servers: by any way, none of them may show a byte of a masked column.

Each is what somebody who may change the schema sends. What isn't a leak but an answer about masked values has to be held or refused.
"""

from __future__ import annotations

import pytest
from tests.model.wire_client import SYNC, WireClient, bind, execute, parse, told

from querywarden.postgresql.error_response import decode_fields

CANARY = "canary.flow.8842@postbox.example"
_SCHEMA = f"""
SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app;
DROP SCHEMA IF EXISTS other CASCADE; GRANT CREATE ON DATABASE people TO app; SET ROLE app;
CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE, phone text, score int, note text);
INSERT INTO customers VALUES (1, '{CANARY}', '+49 30 5557301', 1, 'note 1'), (2, 'other@postbox.example', '+49 30 5557302', 2, 'note 2');
CREATE TABLE parts (id int PRIMARY KEY, label text); INSERT INTO parts VALUES (1, 'part 1'), (2, 'part 2');
CREATE TABLE logged (x int);
CREATE VIEW contacts AS SELECT id, email AS address, note AS remark FROM customers;
"""
_LEAK = "CREATE FUNCTION leak() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT email FROM customers WHERE id = 1); END $$"
_FORMS = (CANARY.encode(), CANARY.upper().encode(), CANARY[::-1].encode(), CANARY.encode().hex().encode(), CANARY[:6].encode())
_CANARY_HERE = "(SELECT email FROM customers WHERE id = 1)"


@pytest.fixture(scope="module")
def warm(site):
    site.server.sql(_SCHEMA, "people")
    with WireClient(site.through("people", tls=False)) as client:
        yield client


@pytest.fixture
def people(site):
    site.server.sql(_SCHEMA, "people")
    with WireClient(site.through("people", tls=False)) as client:
        yield client
        _assert_clean(client)


def _assert_clean(client: WireClient) -> None:
    seen = bytes(client.seen)
    assert not [form for form in _FORMS if form in seen], "a canary has left"


def _extended(client: WireClient, text: str):
    return client.ask(parse(text), bind(binary=True), execute(), SYNC)


_ATTACKS = {
    "what a rule adds hides what a body returns": [
        "CREATE RULE r AS ON INSERT TO parts DO ALSO INSERT INTO logged VALUES (1)",
        f"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ INSERT INTO parts VALUES (9, 'x') RETURNING {_CANARY_HERE} $$",
        "SELECT f()", "DELETE FROM parts WHERE id = 9", "SELECT * FROM f()", "DELETE FROM parts WHERE id = 9", "SELECT f() || ''",
    ],
    "fields behind one that was dropped": [
        "CREATE TABLE rows (gone int, a text, b text, c text); ALTER TABLE rows DROP gone",
        "CREATE FUNCTION f() RETURNS SETOF rows LANGUAGE sql AS 'SELECT note, email, note FROM customers WHERE id = 1'",
        "CREATE FUNCTION g() RETURNS rows LANGUAGE sql AS 'SELECT ROW(note, email, note) FROM customers WHERE id = 1'",
        "SELECT b FROM f()", "SELECT b || '' FROM f()", "SELECT (f()).b", "SELECT (s.r).b FROM (SELECT f() AS r) s", "SELECT b FROM g()",
        "SELECT (g()).b", "SELECT x.b FROM ROWS FROM (generate_series(1, 1), f()) AS x (n, a, b, c)", "SELECT y FROM f() AS t (x, y, z)",
    ],
    "a child's row in another order than its parent's": [
        "CREATE TABLE parents (email text, note text); CREATE TABLE children (note text, email text)",
        "ALTER TABLE children INHERIT parents", "INSERT INTO children SELECT note, email FROM customers WHERE id = 1",
        "CREATE FUNCTION f() RETURNS SETOF parents LANGUAGE sql AS 'SELECT c FROM children c'",
        "SELECT email || '' FROM f()", "SELECT (f()).email || ''", "SELECT note || '' FROM f()",
    ],
    "an argument that looks like a column in capitals": [
        'CREATE VIEW accented AS SELECT email AS "É" FROM customers WHERE id = 1',
        'CREATE FUNCTION f("é" text) RETURNS text LANGUAGE sql AS $$ SELECT É FROM accented $$', "SELECT f('x')", "SELECT f('x') || ''",
    ],
    "an argument that is called like a relation": [
        "CREATE FUNCTION f(customers text) RETURNS text LANGUAGE sql AS $$ SELECT to_jsonb(customers)::text FROM public.customers $$",
        "CREATE FUNCTION g(contacts text) RETURNS text LANGUAGE sql AS $$ SELECT (contacts)::text FROM public.contacts $$",
        "SELECT f('x')", "SELECT g('x')",
    ],
    "what a rule returns in a table's place": [
        "CREATE TABLE stand (x text); INSERT INTO stand VALUES ('a'); CREATE VIEW front AS SELECT 'a'::text AS x",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql BEGIN ATOMIC UPDATE stand SET x = 'y' RETURNING x; END",
        "CREATE RULE r AS ON UPDATE TO stand DO INSTEAD UPDATE customers SET score = score WHERE id = 1 RETURNING email",
        "CREATE RULE r AS ON INSERT TO front DO INSTEAD UPDATE customers SET score = score WHERE id = 1 RETURNING email",
        "UPDATE stand SET x = 'y' RETURNING x", "UPDATE stand SET x = 'y' RETURNING x || ''", "INSERT INTO front VALUES ('a') RETURNING x",
        "SELECT f()",
    ],
    "what a rule selects and stores": [
        "CREATE TABLE stand (x text)", "CREATE RULE r AS ON INSERT TO stand DO ALSO SELECT email || '' FROM customers",
        "CREATE RULE r AS ON INSERT TO stand DO ALSO INSERT INTO parts SELECT 55, email FROM customers WHERE id = 1",
        "INSERT INTO stand VALUES ('x')", "SELECT * FROM parts",
    ],
    "a default that reads": [
        _LEAK, "CREATE TABLE filled (id int, a text DEFAULT leak())", "CREATE TABLE later (id int, a text)",
        "ALTER TABLE later ALTER a SET DEFAULT leak()", "INSERT INTO later VALUES (1)", "ALTER TABLE later ADD b text DEFAULT leak()",
        "CREATE DOMAIN word AS text DEFAULT leak()", "CREATE DOMAIN other_word AS text", "ALTER DOMAIN other_word SET DEFAULT leak()",
        "CREATE TABLE of_words (id int, a other_word)", "INSERT INTO of_words VALUES (1) RETURNING a", "SELECT * FROM later",
        "SELECT * FROM filled", "ALTER VIEW contacts ALTER remark SET DEFAULT leak()",
    ],
    "defaults of arguments": [
        f"CREATE FUNCTION e() RETURNS text LANGUAGE sql AS $$ SELECT email FROM customers WHERE id = 1 $$; {_LEAK}",
        "CREATE FUNCTION g(a text, b text DEFAULT e()) RETURNS text LANGUAGE sql AS 'SELECT b'",
        "CREATE FUNCTION h(a text DEFAULT leak(), b text DEFAULT 'k') RETURNS text LANGUAGE sql AS 'SELECT a'",
        "SELECT g('a') || ''", "SELECT g(a => 'a') || ''", "SELECT h(b => 'z')", "SELECT h()",
    ],
    "results in several columns": [
        "CREATE FUNCTION f(OUT a text, OUT b text) LANGUAGE sql AS 'SELECT note, email FROM customers WHERE id = 1'",
        "CREATE FUNCTION g() RETURNS SETOF record LANGUAGE sql AS 'SELECT note, email FROM customers WHERE id = 1'",
        "CREATE FUNCTION v(VARIADIC a text[]) RETURNS text LANGUAGE sql AS 'SELECT a[2]'",
        "SELECT b || '' FROM f()", "SELECT (f()).b || ''", "SELECT b || '' FROM g() AS t (a text, b text)", "SELECT g()::text",
        "SELECT v('x', email) FROM customers WHERE id = 1",
    ],
    "casts that aren't written": [
        f"CREATE FUNCTION c(parts) RETURNS text LANGUAGE sql AS $$ SELECT {_CANARY_HERE} $$",
        "CREATE CAST (parts AS text) WITH FUNCTION c(parts) AS IMPLICIT", "SELECT upper(parts) FROM parts",
        "SELECT lower(p) FROM (SELECT parts AS p FROM parts) s",
    ],
    "fields and elements": [
        "CREATE TYPE pair AS (a text, b text); CREATE TABLE pairs (c pair, d text[]); INSERT INTO pairs VALUES (ROW('a', 'b'), '{a}')",
        "SELECT (x).a || '' FROM (SELECT ROW(email, note)::pair AS x FROM customers WHERE id = 1) s",
        f"UPDATE pairs SET c.a = {_CANARY_HERE}", f"UPDATE pairs SET d[2] = {_CANARY_HERE}",
        "INSERT INTO pairs (c.a) SELECT email FROM customers", f"INSERT INTO pairs (c.a, c.b) VALUES ('x', {_CANARY_HERE})",
        "UPDATE customers SET (note, score) = (SELECT email, 1)", "SELECT * FROM pairs", "SELECT note FROM customers",
    ],
    "writes of one column's value into another": [
        "INSERT INTO customers (id, note) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET note = customers.email",
        "INSERT INTO customers (id, email) SELECT id, email FROM customers ON CONFLICT (id) DO UPDATE SET note = excluded.email",
        "WITH u AS (UPDATE customers SET score = 1 RETURNING id, email) INSERT INTO parts SELECT id + 50, email FROM u",
        "MERGE INTO parts p USING customers c ON p.id = c.id WHEN MATCHED THEN UPDATE SET label = c.email",
        "MERGE INTO parts p USING (SELECT id + 9 AS n, email FROM customers) c ON p.id = n WHEN NOT MATCHED THEN INSERT VALUES (n, email)",
        "SELECT * FROM parts", "SELECT note FROM customers",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", _ATTACKS)
def test_an_attack_shows_nothing(people, name: str) -> None:
    for text in _ATTACKS[name]:
        for answer in (people.run(text), _extended(people, text) if text.startswith("SELECT") else ()):
            assert "" not in {kind for kind, _ in answer}, told(list(answer))


def _tree(site, text: str) -> str:
    """What the server prints of a statement."""
    with WireClient(site.direct("people")) as client:
        client.run("SET client_min_messages = log; SET debug_pretty_print = off; SET log_min_messages = fatal")
        client.run("SET debug_print_rewritten = on")
        notices = [dict(decode_fields(body)) for kind, body in client.run(text) if kind == "N"]
    return next(each[b"D"].decode() for each in notices if each[b"M"] == b"rewritten parse tree:")


@pytest.mark.parametrize(
    "silencing",
    [
        "PERFORM set_config('debug_print_rewritten', 'off', true)", "PERFORM set_config('client_min_messages', 'error', true)",
        "FOR n IN 1 .. 40 LOOP RAISE LOG 'flood'; END LOOP", "PERFORM 1",
    ],
    ids=["not printed", "not sent", "too many", "both"],
)  # fmt: skip
def test_a_tree_that_a_check_of_a_domain_has_made_up_is_not_believed(site, people, silencing: str) -> None:
    """The input of a row runs while the server analyses: it can say what it likes before the real tree, and keep that from being sent."""
    # The server's log, which has the text of statements, is looked through for trees by others.
    tree = _tree(site, "SELECT 'x'::text AS upper, 'y'::text AS pair").replace("{QUERY", "{QERY")
    people.run(
        "CREATE FUNCTION lie() RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN IF current_setting('debug_print_rewritten') = 'on' THEN"
        f" RAISE LOG USING MESSAGE = 'rewritten' || ' parse tree:', DETAIL = replace($t${tree}$t$, '{{Q', '{{QU');"
        f" {silencing}; END IF; RETURN true; END $f$"
    )
    people.run("CREATE DOMAIN checked AS text CHECK (lie()); CREATE TYPE pair AS (x checked)")
    for n in range(1, 4):
        # Other texts, since the first time its own statements are printed as well.
        people.run(f"SELECT upper(email) AS u{n}, '(a)'::pair FROM customers WHERE id = 1")


def test_ordinary_definitions_are_made(people) -> None:
    for text in (
        "CREATE TABLE made (id serial PRIMARY KEY, a text DEFAULT 'x', b timestamptz DEFAULT now(), c text DEFAULT lower('A') || 'b')",
        "ALTER TABLE made ADD e int DEFAULT 5, ALTER a SET DEFAULT 'z', ALTER b DROP DEFAULT", "CREATE DOMAIN word AS text DEFAULT 'k'",
        "ALTER DOMAIN word SET DEFAULT 'm'", "ALTER DOMAIN word DROP DEFAULT", "ALTER DOMAIN word ADD CHECK (VALUE <> '')",
        "ALTER TABLE customers ADD made timestamptz NOT NULL DEFAULT now()",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT email FROM customers WHERE id = 1; END",
        "CREATE RULE r AS ON INSERT TO contacts DO INSTEAD INSERT INTO customers (id, email) VALUES (NEW.id, NEW.address)",
        "CREATE RULE r AS ON DELETE TO parts DO INSTEAD UPDATE parts SET label = 'gone' WHERE id = OLD.id RETURNING parts.id, parts.label",
    ):  # fmt: skip
        assert "CZ" == "".join(kind for kind, _ in people.run(text)), text
    people.run("SELECT f()")


_TELLING = [
    "WHERE (email, 1) > ('a', 0)", "WHERE email BETWEEN SYMMETRIC 'a' AND 'd'", "WHERE email > ANY (ARRAY['a'])",
    "WHERE nullif(email, 'x') > 'c'", "WHERE CASE WHEN email LIKE 'can%' THEN true END", "WHERE customers::text LIKE '%can%'",
    "WHERE to_jsonb(customers) ->> 'email' = 'x'", "WHERE (SELECT customers.email) LIKE 'c%'", "WHERE starts_with(email, 'c')",
    "WHERE id = (SELECT max(id) FROM customers WHERE email < 'd')", "ORDER BY customers", "ORDER BY email",
    "LIMIT (SELECT length(email) FROM customers WHERE id = 1)", "OFFSET (SELECT count(*) FROM customers WHERE email LIKE 'can%')",
    "GROUP BY id HAVING max(email) > 'a'", ", unnest(string_to_array(email, 'a'))",
    "CROSS JOIN LATERAL (SELECT 1 WHERE email LIKE 'c%') l", "JOIN (VALUES ('can')) v(x) ON left(email, 3) = x",
    ", LATERAL generate_series(1, length(email))", "UNION SELECT 1 FROM customers WHERE email < 'd'",
]  # fmt: skip
_TELLING_QUERIES = [
    "SELECT count(*) FILTER (WHERE email LIKE 'ca%') FROM customers", "SELECT count(email < 'd' OR NULL) FROM customers",
    "SELECT count(DISTINCT left(email, 3)) FROM customers", "SELECT DISTINCT ON (left(email, 1)) id FROM customers",
    "SELECT left(email, 3) FROM customers INTERSECT SELECT 'can'", "SELECT EXISTS (SELECT FROM customers WHERE email LIKE 'can%')",
    "SELECT 1 / (length(email) - 32) FROM customers", "SELECT generate_series(1, length(email)) > 0 FROM customers",
    "SELECT regexp_split_to_table(email, 'a') IS NULL FROM customers", "SELECT sum(1) OVER (ORDER BY email) FROM customers",
    f"SELECT sum(1) OVER (ORDER BY id ROWS length({_CANARY_HERE}) PRECEDING) FROM customers",
    "SELECT id, row_number() OVER (PARTITION BY left(email, 1)) FROM customers", "SELECT array_agg(id ORDER BY email) FROM customers",
    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY email) FROM customers",
    "SELECT rank('d') WITHIN GROUP (ORDER BY email) FROM customers",
    "SELECT grouping(left(email, 2)), count(*) FROM customers GROUP BY ROLLUP (left(email, 2))",
    f"SELECT * FROM parts TABLESAMPLE BERNOULLI ((SELECT length({_CANARY_HERE})))", "EXPLAIN SELECT 1 FROM customers WHERE email < 'd'",
    "SELECT 1 FROM (SELECT left(email, 3) AS z FROM customers) c NATURAL JOIN (VALUES ('can')) v(z)",
    "MERGE INTO parts p USING customers c ON p.id = c.id WHEN MATCHED AND c.email LIKE 'ca%' THEN DO NOTHING",
    "UPDATE parts SET label = 'hit' FROM customers c WHERE c.id = parts.id AND c.email LIKE 'ca%'",
    f"INSERT INTO parts VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET label = 'q' WHERE {_CANARY_HERE} LIKE 'ca%'",
    f"UPDATE parts SET label = CASE WHEN {_CANARY_HERE} LIKE 'can%' THEN 'y' ELSE 'n' END",
    "INSERT INTO parts SELECT 500 + length(email) FROM customers", "SELECT id FROM contacts WHERE address LIKE 'can%'",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r, customers WHERE id = 1 AND n < length(email)) TABLE r",
]  # fmt: skip


@pytest.mark.parametrize("text", [*(f"SELECT id FROM customers {rest}" for rest in _TELLING), *_TELLING_QUERIES])
def test_what_tells_about_a_masked_column_is_held_or_refused(warm, text: str) -> None:
    answer = warm.run(text)
    assert "EZ" == "".join(kind for kind, _ in answer), told(answer)
    assert b"C42501\0" in answer[0][1], told(answer)
    _assert_clean(warm)
