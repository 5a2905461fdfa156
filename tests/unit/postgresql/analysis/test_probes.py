"""Probes: what a statement compares, orders or searches by more than equality, followed to the columns that it comes from."""

from __future__ import annotations

import time

import pytest

from querywarden.model.evidence import Probe
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.analysis import analyse


def facts_of(text: str) -> StatementFacts:
    """The facts of a text of one statement."""
    analysis = analyse(text.encode())
    assert isinstance(analysis, tuple), (text, analysis)
    return analysis[0]


def render(probe: object) -> str:
    """A probe in short: `relation.column`, `*` for any column, `#2` for the second one, `f()` for a function."""
    assert isinstance(probe, Probe)
    if probe.function is not None:
        return f"{probe.function}()"
    relations = "?" if probe.relations is None else "|".join(sorted(map(str, probe.relations)))
    column = "*" if probe.is_opaque else f"#{probe.position}" if probe.position is not None else next(iter(probe.columns))
    return f"{relations}.{column}" + ("~" if probe.is_optional else "")


def probes_of(text: str) -> str:
    """All probes of a statement."""
    return " ".join(sorted(map(render, facts_of(text).probes)))


NONE = [
    "select id, email, lower(email), email || 'x', length(email), substr(email, 1, 3), salary * 2, salary / 12 from users",
    "select * from users where email = $1",
    "select * from users where email <> 'x' and phone in ('a', 'b') and ssn not in ($1, $2) and dob is not null",
    "select * from users where email = any($1) or email = any(array['a', $2]) or email <> all(array['a'])",
    "select * from users where email = any(array(select email from other))",
    "select * from users where email is distinct from 'x' or email is not distinct from $1",
    "select * from users where (email, phone) = ('a', 'b') or (email, phone) in (('a', 'b'), ($1, $2))",
    "select * from users where email::text = 'x' or email::varchar = $1 or email = 'x'::citext",
    "select * from users where email = lower($1) and email = (select email from other where id = 1)",
    "select * from users where email in (select email from other) or exists (select from other o where o.email = users.email)",
    "select * from users u join other o on o.email = u.email join third using (email)",
    "select * from users natural join other",
    "select count(*), count(email), count(distinct email) from users",
    "select count(email) filter (where email = 'x' or email is null) from users",
    "select email, count(*) from users group by email having count(email) > 1",
    "select distinct email from users",
    "select email from users union select email from other except select 'x'",
    "select row_number() over (partition by email) from users",
    "select case email when 'x' then 1 else 2 end, case when email = 'x' then 1 end, nullif(email, 'x') from users",
    "select * from users where coalesce(email, phone) = 'x' and nullif(email, '') = 'y'",
    "select * from users where case when email = 'a' then phone else ssn end = 'b'",
    "select max(email), array_agg(email), json_build_object('e', email), to_jsonb(u), row(email, phone), array[email] from users u",
    "select extract(year from dob)::int, round(salary)::int, (email = 'x')::int, email::varchar(3), dob::text, email::bytea from users",
    "select (address).city, contacts[1], profile->'a'->>'b', xmlforest(email) from users",
    "select get_email(id), my_schema.mask(email) from users",
    "select * from find_users('x'), contact_list() c",
    "update users set email = lower(email), phone = regexp_replace(phone, 'x', 'y'), salary = salary / n where email = $1",
    "insert into users (email, dob) values (lower($1), $2::date) on conflict (email) do update set email = excluded.email",
    "insert into notes select id, to_date(dob, 'YYYY') from users where email = 'x'",
    "delete from users where email in ($1, $2)",
    "merge into users u using new_users n on u.email = n.email when matched then update set phone = n.phone",
    "with recursive t as (select id, email from users union all select u.id, u.email from users u join t on t.id = u.n) select 1 from t",
    "select e from (select email as e from users) s where e = 'x'",
    "with c(k, v) as (select id, email from users) select k from c where v = $1",
    "select * from users limit 5 offset $1",
    "select 1/0, 'a' < 'b', $1 like $2",
    "create table t (email text check (email like '%@%'))",
    "create index i on users (lower(email))",
    "alter table users add column x int default 5, alter column email set not null",
    "select * from (values (1, 'a')) v(k, t) where t like 'a%' order by k",
    "select g from generate_series(1, 3) g where g > 1 order by g",
    "begin",
    "set search_path = a",
    "",
]


@pytest.mark.parametrize("text", NONE[:-1])
def test_equality_and_what_is_merely_handed_out_is_no_probe(text: str) -> None:
    assert probes_of(text) == ""


SOME = {
    # Comparisons.
    "select id from users where email like 'x%'": "users.email",
    "select id from users where email ilike 'x%' or phone ~ 'x' or ssn similar to 'x' or bio !~~ 'y'":
        "users.bio users.email users.phone users.ssn",
    "select id from users where dob between '1990-01-01' and '1991-01-01'": "users.dob",
    "select id from users where dob not between symmetric $1 and $2": "users.dob",
    "select id from users where salary > 5 and $1 >= bonus": "users.bonus users.salary",
    "select id from users where profile @> '{}' or tags && array['a'] or profile ? 'x' or profile @? '$.a'": "users.profile users.tags",
    "select id from users where (email, id) > ('a', 1)": "users.email users.id",
    "select id from users where email > any(array['a']) or phone < all($1)": "users.email users.phone",
    "select id from users where email operator(pg_catalog.~~) 'x%' or phone operator(public.=) 'x'": "users.email users.phone",
    "select id from users where (dob, dob) overlaps ($1, $2)": "users.dob",
    "select id from users where starts_with(email, 'x') or regexp_like(phone, 'y')": "users.email users.phone",
    "select id from users where (email < 'x') is true or not (phone < 'x')": "users.email users.phone",
    "select id from users where email collate \"C\" < 'x'": "users.email",
    "select id from users where email is json or dob is document": "users.dob users.email",
    # Equality of something computed.
    "select id from users where length(email) = 30": "users.email",
    "select id from users where lower(email) in ('x')": "users.email",
    "select id from users where email || 'x' = 'y' or 'a' = -salary": "users.email users.salary",
    "select id from users where email::varchar(3) = 'abc' or dob::date = 'x' or salary::int = 5": "users.dob users.email users.salary",
    "select id from users where greatest(email, 'm') = 'm' or least('m', phone) = 'm'": "users.email users.phone",
    "select id from users where substr(email, 1, 1) = any($1)": "users.email",
    "select id from users where profile->>'a' = 'b' or (address).city = 'c' or tags[1] = 'd'": "users.address users.profile users.tags",
    "select id from users where lower(email) is null": "users.email",
    "select id from users where case when email like 'a%' then 1 end = 1": "users.email",
    "select id from users group by id having max(email) = 'x'": "users.email",
    "select id from users where salary = (select max(salary) from users)": "users.salary",
    "select id from numbers where id in (select length(email) from users)": "numbers|users.email",
    "select id from users where (select email like 'x%')": "users.email",
    "select id from users where get_email(id) = 'x'": "get_email() users.id",
    # Outputs.
    "select id, email < 'x' from users": "users.email",
    "select case when position('7' in ssn) > 0 then 1 end from users": "users.ssn",
    "select 1/(case when email like 'a%' then 0 else 1 end) from users": "users.email",
    "select 1/(ascii(email) - 5), 5 % salary from users": "users.email users.salary",
    "select (email like 'x%')::int, sqrt(salary), substr(phone, 1, 1)::int, (profile->>'age')::int from users":
        "users.email users.phone users.profile users.salary",
    "select generate_series(1, ascii(email)) from users": "users.email",
    "select regexp_matches(email, 'x') from users": "users.email",
    "select count(*) filter (where email like 'x%') from users": "users.email",
    "select count(case when email like 'x%' then 1 end), count(length(phone)) from users": "users.email users.phone",
    "select sum(case when email like 'x%' then 1 else 0 end) from users": "users.email",
    "select distinct length(email) from users": "users.email",
    "select id from users intersect select length(email) from users": "users.email",
    # Orders.
    "select id from users order by email": "users.email",
    "select id from users order by reverse(email) desc nulls last limit 3": "users.email",
    "select id, email from users order by 2": "users.email",
    "select id, upper(email) as u from users order by u": "users.email",
    "select id from users order by email using >": "users.email",
    "select distinct on (email) id from users": "users.email",
    "select id, rank() over (order by email) from users": "users.email",
    "select id, sum(n) over w from users window w as (partition by lower(phone) order by email range 5 preceding)":
        "users.email users.phone",
    "select array_agg(id order by email), percentile_disc(0.5) within group (order by salary) from users": "users.email users.salary",
    "select lower(email), count(*) from users group by 1": "users.email",
    "select date_trunc('year', dob) as y, count(*) from users group by rollup (y)": "users.dob",
    "select id from users union all select id from other order by id": "other.id users.id",
    "select * from users order by 2": "users.#2",
    "select * from users u, other o order by 2": "other.* users.*",
    "select * from (select id, email from users) s order by 2": "users.email",
    # Bounds, joins, functions in FROM.
    "select id from users limit (select length(ssn) from users where id = 1)": "users.ssn",
    "select id from products offset (select salary from users where id = 1)": "products|users.salary",
    "select 1 from products p join users u on p.id < u.salary": "products.id users.salary",
    "select 1 from users u, generate_series(1, length(u.email)) g": "users.email",
    "select 1 from users u, lateral unnest(u.tags) t, jsonb_array_elements(u.profile) e": "users.profile users.tags",
    "select 1 from users u, json_table(u.profile, '$' columns (a int)) j": "users.profile",
    "select 1 from (select length(email) as id from users) s natural join numbers": "users.email",
    "select 1 from (select length(email) as id from users) s join numbers using (id)": "numbers.id~ users.email",
    # Names that lead elsewhere.
    "select id from (select id, email as e from users) s where e like 'x%'": "users.email",
    "select id from (select s.e as f, id from (select id, email as e from users) s) t where t.f like 'x%'": "users.email",
    "with c(k, v) as (select id, email from users) select k from c where v like 'x%'": "users.email",
    "with c as (select * from users), d as (select * from c) select 1 from d where email like 'x%'": "users.email",
    "with c as (delete from users where id = 1 returning email e) select 1 from c where e like 'x%'": "users.email",
    "select c3 from users as u(c1, c2, c3) where c3 like 'x%'": "users.*",
    "select 1 from users u where u::text like '%x%'": "users.* users.u~",
    "select 1 from users where to_jsonb(users)->>'email' like 'x%'": "users.* users.users~",
    "select 1 from users u where (u).email like 'x%'": "users.* users.u~",
    "select 1 from users u where email(u) like 'x%'": "email() users.* users.u~",
    "select 1 from users u where u.* > row(1)": "users.*",
    "select 1 from (users u join orders o on u.id = o.user_id) as j where j.email like 'x%'": "orders|users.email",
    "select 1 from (select length(email) as n from users) s where n = 30": "users.email",
    "select 1 from (select length(email) as n from users) s where s.n = 30": "users.email",
    "select 1 from (select email e from users union all select 'x') s where e > 'a'": "users.email",
    "select 1 from (values ((select email from users where id = 1))) v(x) where x like 'a%'": "users.email",
    "with recursive r(a, b) as (select id, email from users union all select b, a from r) select 1 from r where a like 'x%'":
        "users.email users.id",
    "select 1 from orders o where exists (select 1 from users u where u.id = o.user_id and u.email like 'x%')": "users.email",
    "select 1 from orders o join users u on u.id = o.user_id where o.name like 'x%'": "orders.name",
    "select 1 from s.users where s.users.email like 'x%'": "s.users.email",
    "select 1 from users, orders where email like 'x%'": "orders|users.email",
    "select 1 from users u where U&\"em\\0061il\" /* x */ like 'x%'": "users.email",
    "select 1 from (select a.email from users a join orders b on true) s where email like 'x'": "users.email",
    "select who from contact_list() c where who like 'x%'": "contact_list()",
    # Changes.
    "update users set n = case when email like 'x%' then 1 else 2 end where id = 1": "users.email",
    "update users set n = 1 where email like 'x%' returning id": "users.email",
    "update orders set n = 1 from users u where u.email like 'x%'": "users.email",
    "delete from orders o using users u where u.id = o.user_id and u.salary > 5": "users.salary",
    "delete from users where id = 1 returning email like 'x%'": "users.email",
    "insert into notes select id from users where email like 'x%'": "users.email",
    "insert into users (email) select regexp_split_to_table(email, '') from users": "users.email",
    "insert into users (id) values (1) on conflict (id) do update set n = 1 where users.email like 'x%'": "users.email",
    "merge into orders o using users u on o.user_id = u.id and u.email like 'x%' when matched and u.salary > 5 then delete":
        "users.email users.salary",
    # Wrappings and definitions.
    "explain select id from users where email like 'x%'": "users.email",
    "prepare p as select id from users where email like $1": "users.email",
    "declare c cursor for select id from users order by email": "users.email",
    "copy (select id from users where email like 'x%') to stdout": "users.email",
    "create view v as select id from users where email like 'x%'": "users.email",
    "create table t as select id from users where email like 'x%'": "users.email",
    "select id into t from users where email like 'x%'": "users.email",
    "create function f() returns int begin atomic select id from users where email like 'x%'; end": "users.email",
    "alter table users add check (email like 'x%')": "users.email",
    "alter table users add column ok int check (email < 'm')": "users.email",
    "create index i on users (id) where email like 'x%'": "users.email",
    "create policy p on users using (email like 'x%')": "users.email",
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SOME.items())
def test_what_tells_more_than_equality_is_a_probe(text: str, expected: str) -> None:
    assert expected == probes_of(text)


def test_each_part_of_a_statement_has_the_probes_of_the_whole() -> None:
    facts = facts_of("prepare p as with d as (delete from t returning a) select 1 from d where a like 'x%'")

    assert [facts.probes] * 2 == [child.probes for child in (facts.children[0], facts.children[0].children[0])]
    assert ["t.a"] == [render(probe) for probe in facts.probes]


def test_names_that_can_not_be_followed_within_bounds_may_be_anything() -> None:
    arms = ", ".join(f"c{n} as (select a.x, b.y from {f'c{n - 1}' if n else 'r'} a, {f'c{n - 1}' if n else 'r'} b)" for n in range(40))
    inside = f"with {arms} select x, y from c39"
    text = f"with recursive r as (select id as x, email as y from users union all ({inside})) select 1 from r where x like 'a'"
    started = time.perf_counter()

    assert "?.*" == probes_of(text)
    assert time.perf_counter() - started < 2.0


def test_a_long_chain_of_common_tables_is_followed() -> None:
    tables = ", ".join(f"c{n} as (select id, e{n} as e{n + 1} from c{n - 1})" for n in range(1, 40))

    assert "users.email" == probes_of(f"with c0 as (select id, email as e1 from users), {tables} select 1 from c39 where e40 like 'x'")
