"""Extent, keys and columns: how much a statement takes, which rows it names, and the names that it uses."""

from __future__ import annotations

import pytest

from querywarden.model.facts import Hazard, StatementFacts
from querywarden.postgresql.analysis import analyse


def facts_of(text: str) -> StatementFacts:
    """The facts of a text of one statement."""
    analysis = analyse(text.encode())
    assert isinstance(analysis, tuple), (text, analysis)
    return analysis[0]


CROSSED = [
    "select 1 from a, b",
    "select 1 from a cross join b",
    "select 1 from a join b on true",
    "select 1 from a left join b on 1 = 1",
    "select 1 from a full join b on a.x = 5",
    "select 1 from a, b where a.x = a.y",
    "select 1 from a, b where a.x <> b.y",
    "select 1 from a, b where a.x = b.y or true",
    "select 1 from a, b where a.x = b.y or a.z = 5",
    "select 1 from a, b where exists (select 1)",
    "select 1 from a, b where exists (select x from c where c.y = a.y)",
    "select 1 from a, b where a.x in (select y from c)",
    "select 1 from a, b where x = x",
    "select 1 from a, b, c where a.x = b.x",
    "select 1 from a, b, c where a.x = b.x and b.x = a.y",
    "select 1 from a join b using (x), c",
    "select 1 from a, (select * from b) s",
    "with s as (select * from b) select 1 from a, s",
    "select 1 from (with b as (select 1) select * from b) x, b, c",
    "select 1 from a, b limit 10",
    "select 1 from a, b where a.x = 1 and b.x = 2",
    "update t set a = 1 from (select 1 from a, b) s where t.id = 1",
]
LINKED = [
    "select 1 from a, b where a.id = b.a_id",
    "select 1 from a, b where (a.id, a.k) = (b.a_id, b.k) and a.x > 5",
    "select 1 from a, b where a.at between b.first and b.last",
    "select 1 from a, b where id = a_id",
    "select 1 from a, b, c where a.x = b.x and c.y = b.y",
    "select 1 from a, b where (a.x = b.x and a.z = 1) or (b.x = a.x and a.z = 2)",
    "select 1 from a join b on a.x = b.x left join c using (y) natural join d",
    "select 1 from a, b where exists (select 1 from c where c.a = a.id and c.b = b.id)",
    "select 1 from a, b where a.x = $1 and b.y = $1",
    "select 1 from a, b where a.x = 5 and b.y = 5",
    "select 1 from a, b where st_intersects(a.g, b.g)",
    "select 1 from a, lateral (select * from b where b.x = a.x) s",
    "select 1 from a, generate_series(1, 3) g, unnest(a.x) u",
    "select 1 from a, (values (1), (2)) v(x)",
    "select 1 from a, (select max(x) from b) s",
    "select 1 from a, (select x from b order by y limit 1) s",
    "with s as (select count(*) from b), v as (values (1), (2)) select 1 from a, s, v",
    "select 1 from pg_class c, pg_namespace n",
    "select 1 from pg_catalog.pg_class c, information_schema.tables t, a",
    "select 1 from a",
]


@pytest.mark.parametrize("text", CROSSED)
def test_relations_without_a_link_are_crossed(text: str) -> None:
    assert Hazard.CROSS_JOIN in facts_of(text).hazards


@pytest.mark.parametrize("text", LINKED)
def test_relations_with_links_and_small_items_are_not_crossed(text: str) -> None:
    assert Hazard.CROSS_JOIN not in facts_of(text).hazards


WHOLE = [
    "copy t to stdout",
    "copy t (a) to stdout",
    "copy (select * from t) to stdout",
    "copy (table t) to stdout",
    "copy (select * from t where 1 = 1) to stdout",
    "copy (select * from t where id is not null or a > 5) to stdout",
    "copy (select * from t limit all) to stdout",
    "copy (select * from t limit 999999999) to stdout",
    "copy (select * from (select * from t) s) to stdout",
    "copy (with c as (select * from t) select * from c) to stdout",
    "copy (with c as (select * from t), d as (select * from c) select * from d where true) to stdout",
    "copy (select a from t where a = 1 union all select a from u) to stdout",
    "copy (select * from (select * from t where id = 1) s, u) to stdout",
    "copy (select * from t where exists (select 1 from u)) to stdout",
]
PARTIAL = [
    "copy (select * from t where a = 1) to stdout",
    "copy (select * from t limit 100) to stdout",
    "copy (select count(*), max(a) from t) to stdout",
    "copy (select * from (select * from t where a = 1) s) to stdout",
    "copy (with c as (select * from t where a = 1) select * from c) to stdout",
    "copy (select 1) to stdout",
    "copy (values (1), (2)) to stdout",
    "copy (select * from generate_series(1, 5)) to stdout",
    "copy t from stdin",
    "select * from t",
]


@pytest.mark.parametrize("text", WHOLE)
def test_copy_of_all_rows_is_an_export(text: str) -> None:
    assert Hazard.WHOLE_RELATION_EXPORT in facts_of(text).hazards


@pytest.mark.parametrize("text", PARTIAL)
def test_copy_of_some_rows_is_none(text: str) -> None:
    assert Hazard.WHOLE_RELATION_EXPORT not in facts_of(text).hazards


def test_looking_through_common_tables_that_use_each_other_twice_costs_no_more_than_once() -> None:
    tables = ", ".join(f"c{n} as (select 1 from c{n - 1} a join c{n - 1} b on a.x = b.x)" for n in range(1, 60))

    assert Hazard.WHOLE_RELATION_EXPORT in facts_of(f"copy (with c0 as (select * from t), {tables} select * from c59) to stdout").hazards


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select * from t", True),
        ("select * from t limit all", True),
        ("select * from t limit null", True),
        ("select *, (select count(*) from u) from t", True),
        ("select count(*) over () from t", True),
        ("select * from t limit 5", False),
        ("select * from t limit $1", False),
        ("select count(*) from t", False),
        ("select 1 from t having true", False),
        ("select a, count(*) from t group by a", False),
        ("select count(*) from t union all select max(a) from u", False),
        ("select count(*) from t union all select a from u", True),
        ("select 1", False),
    ],
)
def test_a_query_without_a_limit(text: str, expected: bool) -> None:
    assert expected == (Hazard.NO_LIMIT in facts_of(text).hazards)


@pytest.mark.parametrize(
    ("text", "exact", "several"),
    [
        ("delete from t where id = 1", {"id"}, set()),
        ("delete from t where $1 = t.id and a > 5 and (b = 1 or c = 2)", {"id"}, set()),
        ("delete from t x where x.id = $1::int and x.k = -5", {"id", "k"}, set()),
        ("update t set a = 1 where (id, k) = (1, '2')", {"id", "k"}, set()),
        ("update t set a = 1 where id in (1) and k in (1, $2) and z = any($3)", {"id"}, {"k", "z"}),
        ("update t set a = 1 where z = any(array[1, 2]) and z = 5", {"z"}, set()),
        ("delete from t where id in ($1) and k = any(array['x'])", {"id", "k"}, set()),
        ("delete from t where (id, k) in ((1, $1)) and 5 in (z)", {"id", "k", "z"}, set()),
        ("delete from t where (id, k) in ((1, 2), (3, 4))", set(), set()),
        ("delete from t where id = any(array[-1])", {"id"}, set()),
        # What is an array itself may have any number of values.
        ("delete from t where id = any(array[$1])", set(), {"id"}),
        ("delete from t where id = any(array['{1,2}'::int[]])", set(), {"id"}),
        ("delete from t where id = any(array[array[1, 2]])", set(), set()),
        ("delete from t where id = any(array[]::int[])", set(), set()),
        ("update t set a = 1 where k = any('{1,2}'::int[]) and id operator(pg_catalog.=) 1", {"id"}, {"k"}),
        ("delete from t where current of c", {"ctid"}, set()),
        ("delete from t using u where t.id = 1 and k = 2 and u.z = 3", {"id"}, set()),
        ("update t set a = 1 from u where id = 1", set(), set()),
        ("delete from t where id = 1 or true", set(), set()),
        ("delete from t where not id = 1", set(), set()),
        ("delete from t where id <> 1 and k >= 2 and z is not distinct from 3", set(), set()),
        ("delete from t where id operator(public.=) 1", set(), set()),
        ("delete from t where id = k and z = lower('x') and lower(y) = 'x'", set(), set()),
        ("delete from t where id not in (1, 2) and k <> all($1) and z in (1, k)", set(), set()),
        ("delete from t where id = (select 1) or id = 5", set(), set()),
        ("delete from t where (t).id = 1 and s.t.k = 2", set(), set()),
        ("delete from t", set(), set()),
        ("select * from t where id = 1", set(), set()),
    ],
)
def test_the_columns_that_a_change_equates_with_values(text: str, exact: set[str], several: set[str]) -> None:
    facts = facts_of(text)

    assert (exact, several) == (set(facts.key_equalities), set(facts.key_choices))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("insert into t values (1)", 1),
        ("insert into t default values", 1),
        ("insert into t values (1, now()), (2, lower($1)), (3, default)", 3),
        ("insert into t values (nextval('s'), gen_random_uuid(), (select max(a) from u)) on conflict do nothing", 1),
        ("insert into t values (generate_series(1, 1000000))", None),
        ("insert into t values (unnest($1::int[]))", None),
        ("insert into t values (my_rows(1))", None),
        ("insert into t select 1", None),
        ("insert into t select * from u", None),
        ("insert into t with c as (select 1) values (1)", None),
        ("update t set a = 1 where id = 1", None),
        ("values (1), (2)", None),
    ],
)
def test_the_rows_that_an_insert_lists(text: str, expected: int | None) -> None:
    assert expected == facts_of(text).values_rows


@pytest.mark.parametrize(
    ("text", "columns", "has_star"),
    [
        ("select a, t.b, lower(c) from t where d = 1 order by e", {"a", "b", "c", "d", "e"}, False),
        ("select * from t", set(), True),
        ("select t.* from t", set(), True),
        ("select (t).* from t", {"t"}, True),
        ("select t from t", {"t"}, True),
        ("select row_to_json(u) from t u", {"u"}, True),
        ("select email(t) from t", {"t"}, True),
        ("select count(*) from t", set(), False),
        ("select c from t as u(a, b, c)", {"c"}, True),
        ("select 1 from t natural join u", set(), True),
        ("select 1 from t join u using (x, y)", {"x", "y"}, False),
        ("select 1 from t where exists (select 1 from u where u.x = t.y)", {"x", "y"}, False),
        ("table t", set(), True),
        ("insert into t values (1)", set(), True),
        ("insert into t (a, b) values (1, 2) on conflict (c) do update set d = excluded.e", {"a", "b", "c", "d", "e"}, False),
        ("insert into t default values", set(), False),
        ("update t set a = b, (c, d) = (1, 2) where e = 1 returning f", {"a", "b", "c", "d", "e", "f"}, False),
        ("delete from t where a = 1 returning *", {"a"}, True),
        ("merge into t using u on t.a = u.b when matched then update set c = 1 when not matched then insert (d) values (u.e)",
         {"a", "b", "c", "d", "e"}, False),
        ("merge into t using u on t.a = u.b when not matched then insert values (1)", {"a", "b"}, True),
        ("copy t to stdout", set(), True),
        ("copy t (a, b) from stdin", {"a", "b"}, False),
        ("copy (select a from t) to stdout", {"a"}, False),
        ("prepare p as select a from t where b = $1", {"a", "b"}, False),
        ("with d as (delete from t returning a) select b from u", {"a", "b"}, False),
        ("create index i on t (a, lower(b)) where c > 1", {"a", "b", "c"}, False),
        ("alter table t add foreign key (a) references u (b)", {"a", "b"}, False),
        ("alter table t drop column a, add column b int, alter column c set not null", {"a", "b", "c"}, False),
        ("alter table t rename column a to b", {"a", "b"}, False),
        ("comment on column t.a is 'x'", {"a"}, False),
        ("grant select (a, b) on t to r", {"a", "b"}, False),
    ],
)  # fmt: skip
def test_the_columns_that_a_statement_names(text: str, columns: set[str], has_star: bool) -> None:
    facts = facts_of(text)

    assert (columns, has_star) == (set(facts.column_names), facts.has_star)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("access share", False),
        ("row share", False),
        ("row exclusive", False),
        ("share update exclusive", False),
        ("share", True),
        ("share row exclusive", True),
        ("exclusive", True),
        ("access exclusive", True),
    ],
)
def test_a_lock_that_keeps_others_out(mode: str, expected: bool) -> None:
    assert expected == (Hazard.EXCLUSIVE_LOCK in facts_of(f"lock table only a, s.b in {mode} mode nowait").hazards)
    assert Hazard.EXCLUSIVE_LOCK in facts_of("lock a").hazards


def test_each_statement_of_several_in_one_text_says_so() -> None:
    several = analyse(b"select 1; ; update t set a = 1 where id = 1;")
    assert isinstance(several, tuple)

    assert [True, True] == [Hazard.MULTI_STATEMENT in facts.hazards for facts in several]
    assert Hazard.MULTI_STATEMENT not in facts_of("select 1; -- select 2;").hazards
    assert Hazard.MULTI_STATEMENT not in facts_of("select 'a; b';;").hazards


def test_a_merge_that_deletes_says_so() -> None:
    assert Hazard.MERGE_DELETE in facts_of("merge into t using u on t.a = u.a when matched then delete").hazards
    assert Hazard.MERGE_DELETE in facts_of("explain merge into t using u on t.a = u.a when not matched by source then delete").hazards
    assert Hazard.MERGE_DELETE not in facts_of("merge into t using u on t.a = u.a when matched then do nothing").hazards
