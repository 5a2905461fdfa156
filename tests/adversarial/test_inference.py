"""Inference: no way of writing a condition on a hidden column passes for an ordinary statement, and ordinary ones aren't taken for one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.decision import Reveal
from querywarden.policy.language import Trait
from querywarden.policy.properties import parts_of
from querywarden.postgresql.analysis import analyse

HIDDEN = {"email": DataClass.EMAIL, "ssn": DataClass.NATIONAL_ID, "rolpassword": DataClass.PASSWORD_HASH, "query": DataClass.OPAQUE}


def relation(number: int, name: str, columns: str, schema: str = "public") -> Relation:
    return Relation(
        number,
        schema,
        name,
        "table",
        {
            at: Column(at, column, "text", Classification(HIDDEN[column], "name") if column in HIDDEN else None)
            for at, column in enumerate(columns.split(), 1)
        },
    )


RELATIONS = (
    relation(1, "users", "id name email ssn country created_at"),
    relation(2, "orders", "id user_id product_id total status name created_at"),
    relation(3, "products", "id name price"),
    relation(4, "pg_class", "oid relname relkind relnamespace relowner", "pg_catalog"),
    relation(5, "pg_namespace", "oid nspname", "pg_catalog"),
    relation(6, "pg_attribute", "attrelid attname attnum attisdropped atttypid atttypmod attnotnull", "pg_catalog"),
    relation(7, "pg_authid", "oid rolname rolpassword", "pg_catalog"),
    relation(8, "pg_stat_activity", "pid usename state query query_start", "pg_catalog"),
)
CATALOGUE = Catalogue("1", {each.id: each for each in RELATIONS}, opaque_functions=frozenset({"reveal", "initials"}))


def is_inference(text: str) -> bool:
    """Whether any part of a text is taken to tell about hidden columns."""
    analysis = analyse(text.encode())
    assert isinstance(analysis, tuple), (text, analysis)
    return any(
        Trait.CLASSIFIED_PREDICATE in part.properties for facts in analysis for part in parts_of(facts, CATALOGUE, Reveal(), ())
    )


TESTS = [
    "{e} like 'x%'",
    "{e} < 'm'",
    "not {e} >= 'm'",
    "({e}, 1) > ('m', 0)",
    "{e} between symmetric 'a' and 'b'",
    "length({e}) = 30",
    "{e}::varchar(2) = 'ab'",
    "{e} || '' = 'x'",
    "'x' = lower({e})",
    "substr({e}, 1, 1) in ('a', 'b')",
    "greatest({e}, 'm') = 'm'",
    "coalesce({e}, '') ~ '^x'",
    "nullif({e}, 'q') ilike 'x%'",
    "case when {e} similar to 'x%' then true end",
    "case lower({e}) when 'x' then true end",
    "(select {e} > 'm')",
    "exists (select 1 where {e} > 'm')",
    "exists (select 1 from orders o where o.id = length({e}))",
    "length({e}) = any(array[1, 2])",
    "array[{e}] && array['x']",
    "{e} > any(array['m'])",
    "to_jsonb({e}) @> '\"x\"'",
    "int4range(0, length({e})) @> 5",
    "ascii({e}) & 1 = 1",
    "({e} is not null and {e} like 'x%') is true",
    "starts_with({e}, 'x')",
    "U&\"starts\\005fwith\"({e}, 'x')",
    "{e} operator(pg_catalog.~~) 'x%'",
    "1/(case when {e} like 'x%' then 0 else 1 end) = 1",
    "reveal({e}) = 'x'",
    "id < (select length({e}))",
]
COLUMNS = ["email", "u.email", "users.email", 'U&"em\\0061il"', "/* x */ email -- y\n", "(email)", "(email collate \"C\")"]
PLACES: list[Callable[[str], str]] = [
    lambda test: f"select id from users u where {test}",
    lambda test: f"select id from users u where country = 'x' and (id = 5 or {test})",
    lambda test: f"select count(*) from users u where {test}",
    lambda test: f"select count(*) filter (where {test}) from users u",
    lambda test: f"select id, {test} from users u",
    lambda test: f"select sum(case when {test} then 1 else 0 end) from users u",
    lambda test: f"select id from users u order by {test}",
    lambda test: f"select id from users u group by id, {test}",
    lambda test: f"select id from users u group by id having bool_or({test})",
    lambda test: f"select o.id from orders o join users u on u.id = o.user_id and {test}",
    lambda test: f"select o.id from orders o where exists (select 1 from users u where u.id = o.user_id and {test})",
    lambda test: f"select id from orders where user_id in (select id from users u where {test})",
    lambda test: f"select id from products limit (select count(*) from users u where {test})",
    lambda test: f"with c as (select id from users u where {test}) select * from c",
    lambda test: f"with c as (select id, {test} as t from users u) select id from c where t",
    lambda test: f"select id from products union all select id from users u where {test}",
    lambda test: f"update users u set country = 'x' where {test}",
    lambda test: f"update orders o set total = 0 from users u where u.id = o.user_id and {test}",
    lambda test: f"delete from users u where id = 1 returning {test}",
    lambda test: f"insert into products (id) select id from users u where {test}",
    lambda test: f"explain analyze select id from users u where {test}",
    lambda test: f"prepare p as select id from users u where {test}",
    lambda test: f"copy (select id from users u where {test}) to stdout",
    lambda test: f"declare c cursor for select id from users u where {test}",
    lambda test: f"create view v as select id from users u where {test}",
    lambda test: f"select id from users u, lateral (select 1 where {test}) s",
    lambda test: f"select rank() over (order by ({test})) from users u",
    lambda test: f"merge into orders o using users u on u.id = o.user_id when matched and {test} then delete",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("test", TESTS)
def test_no_place_hides_a_condition(test: str, place: Callable[[str], str]) -> None:
    text = place(test.format(e="u.email"))

    assert is_inference(text), text


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TESTS), st.sampled_from(COLUMNS), st.sampled_from(PLACES[:9]))
def test_no_spelling_hides_a_column(test: str, column: str, place: Callable[[str], str]) -> None:
    text = place(test.format(e=column))
    if "users." in column:
        text = text.replace("users u", "users")

    assert is_inference(text), text


RENAMINGS: list[Callable[[str], str]] = [
    lambda inner: f"select id, x from ({inner}) r",
    lambda inner: f"select r.* from ({inner}) r",
    lambda inner: f"select * from ({inner}) as r (id, x)",
    lambda inner: f"with r as ({inner}) select * from r",
    lambda inner: f"with r (id, x) as materialized ({inner}) select r.id, r.x from r",
    lambda inner: f"(select id, x from ({inner}) r) union all select 1, 'x'",
    lambda inner: f"select id, coalesce(x, 'a') as x from ({inner}) r",
    lambda inner: f"select id, (select r.x) as x from ({inner}) r",
    lambda inner: f"select id, max(x) over (partition by id) as x from ({inner}) r",
    lambda inner: f"select r.id, s.x from ({inner}) r, lateral (select r.x) s",
    lambda inner: f"select id, x from ({inner}) r limit 10",
    lambda inner: f"with recursive r as (({inner}) union all select id, x from r) select id, x from r",
    lambda inner: f"select a.id, b.x from ({inner}) a join ({inner}) b on a.id = b.id",
    lambda inner: f"select id, x from ({inner}) q group by id, x",
]
OUTERMOST = [
    "select id from ({inner}) s where x like 'a%'",
    "select id from ({inner}) s where s.x > 'a'",
    "select id from ({inner}) s order by x",
    "select id from ({inner}) s order by s.x desc limit 1",
    "select count(*) filter (where x ~ 'a') from ({inner}) s",
    "select id, x from ({inner}) s order by 2",
    "select * from ({inner}) s order by 2",
    "select id from products where name > (select x from ({inner}) s limit 1)",
    "select id from ({inner}) s where s::text like '%a%'",
    "select id from ({inner}) s where to_jsonb(s)->>'x' = 'a'",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(RENAMINGS), max_size=4), st.sampled_from(OUTERMOST))
def test_no_renaming_shakes_a_column_off(renamings: list[Callable[[str], str]], outermost: str) -> None:
    hidden, plain = "select id, email as x from users", "select id, country as x from users"
    for rename in renamings:
        hidden, plain = rename(hidden), rename(plain)

    assert is_inference(outermost.format(inner=hidden)), hidden
    if "s::text" not in outermost and "to_jsonb" not in outermost:
        assert not is_inference(outermost.format(inner=plain)), plain


OTHER_WAYS = [
    "select id from users u where u.initials = 'AB'",
    "select id from users u where u.to_jsonb ->> 'email' = 'x'",
    "select id from users where reveal(id) = 'x'",
    "select id from reveal(5) r where r like 'x%'",
    "select (users).id from users where (users).email like 'x%'",
    "select id from users where row(users.*)::text like '%x%'",
    "select id from (select * from users) as q (a, b, c) where c like 'x%'",
    "select c from users as u (a, b, c) order by c",
    "select id from users natural join (select lower(email) as name from users) s",
    "select p.id from products p join (select length(email) as id from users) s using (id)",
    "select id from products where id in (select length(email) from users)",
    "select id from users intersect select length(ssn) from users",
    "select count(distinct substr(ssn, 1, 1)) from users",
    "select generate_series(1, ascii(email)) from users",
    "select g from users, generate_series(1, ascii(email)) g",
    "select regexp_split_to_table(email, '') from users",
    "select 1/(ascii(email) - 97) from users",
    "select substr(ssn, 1, 1)::int from users",
    "select ssn from users order by 1",
    "select * from users order by 3",
    "select distinct on (email) id from users",
    "select array_agg(id order by email) from users",
    "select rolname from pg_authid where rolpassword like 'md5a%'",
    "select pid from pg_stat_activity where query like '%secret%'",
    "alter table users add constraint c check (email < 'm')",
    "create index i on users (id) where ssn like '1%'",
    "select id from users fetch first (select ascii(email) from users limit 1) rows only",
    "select id from users tablesample system ((select ascii(email) from users limit 1))",
    "select sum(id) over (order by id range between length(email) preceding and current row) from users",
]
ORDINARY = [
    "SELECT id, total FROM orders WHERE status LIKE 'p%' ORDER BY id",
    "SELECT * FROM users WHERE email = $1 AND ssn IS NULL",
    "SELECT * FROM users WHERE email IN ($1, $2) ORDER BY created_at DESC LIMIT 10",
    ("SELECT o.id, u.email, p.name FROM orders o JOIN users u ON u.id = o.user_id JOIN products p ON p.id = o.product_id "
     "WHERE p.name ILIKE '%x%' AND o.total > 5 AND u.created_at > now() - interval '1 day' ORDER BY p.name, o.id"),
    "SELECT count(*), count(DISTINCT email) FROM users GROUP BY country HAVING count(*) > 5 ORDER BY 1 DESC",
    "SELECT u.country, count(DISTINCT u.email) AS n FROM users u GROUP BY u.country ORDER BY n DESC",
    "SELECT email, count(*) FROM users GROUP BY email HAVING count(*) > 1 ORDER BY count(*) DESC",
    "SELECT lower(email), substr(ssn, 1, 3), email || 'x' FROM users WHERE id > 5 ORDER BY id",
    "SELECT max(email), array_agg(DISTINCT ssn) FROM users",
    "SELECT * FROM users ORDER BY 1",
    "SELECT id, row_number() OVER (PARTITION BY email ORDER BY created_at) FROM users",
    "WITH recent AS (SELECT * FROM users WHERE created_at > $1) SELECT r.id, r.email FROM recent r ORDER BY r.created_at",
    ("WITH RECURSIVE t AS (SELECT id, name, 1 AS depth FROM users WHERE id = 1 UNION ALL SELECT u.id, u.name, depth + 1 FROM users u "
     "JOIN t ON u.id = t.id + 1 WHERE depth < 5) SELECT * FROM t ORDER BY depth, name"),
    "SELECT users.* FROM users, generate_series(1, 3) g WHERE g > 1 AND id = g ORDER BY g",
    "UPDATE users SET email = lower(email), country = 'x' WHERE id = $1 RETURNING id, email",
    "INSERT INTO users (id, email) VALUES (1, lower($1)) ON CONFLICT (email) DO UPDATE SET email = excluded.email RETURNING id",
    "DELETE FROM users WHERE email = $1 AND created_at < now()",
    "SELECT reveal(5), reveal(id) FROM users",
    ("SELECT c.relname, a.attname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid "
     "LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND a.attnum > 0 "
     "AND c.relkind = ANY (ARRAY['r']) "
     "AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1, 2"),
    "SELECT rolname FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY 1",
    "SELECT pid, usename, state, query FROM pg_stat_activity WHERE state <> 'idle' AND query_start < now() ORDER BY query_start",
    "CREATE TABLE fresh (email text CHECK (email LIKE '%@%'))",
    "CREATE UNIQUE INDEX i ON users (lower(email))",
    "ALTER TABLE users ADD COLUMN x int CHECK (x > 0)",
    "SELECT 1",
]  # fmt: skip


@pytest.mark.parametrize("text", OTHER_WAYS)
def test_other_ways_are_seen(text: str) -> None:
    assert is_inference(text)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_statements_are_left_alone(text: str) -> None:
    assert not is_inference(text)
