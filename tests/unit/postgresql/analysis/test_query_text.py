"""The query in a statement is cut out as it stands, or not at all."""

from __future__ import annotations

import random

import pytest

from querywarden.postgresql.analysis import analyse
from querywarden.postgresql.analysis.parse import parse
from querywarden.postgresql.analysis.query_text import CUT_BYTES_MAX, QueryText, is_same_tree, query_texts

DECLARED = 'WITH "querywarden parameters" AS (SELECT CAST($1 AS "pg_catalog"."int4"))'


def found(text: str) -> QueryText | None:
    facts = analyse(text.encode())
    assert isinstance(facts, tuple), (text, facts)
    assert 1 == len(facts)
    return query_texts(text.encode(), facts[0])


def cut(text: str) -> str | None:
    """The query's text where it is a part of the statement."""
    query = found(text)
    assert query is None or not query.is_whole
    return None if query is None else query.text.decode()


@pytest.mark.parametrize(
    "text",
    ["select 1", "with x as (delete from t returning *) select * from x", "values (1)", "table t", "insert into t select 1",
     "update t set a = 1",
     "delete from t", "merge into t using s on true when matched then delete", "(select 1) union select 2", "select 'ü' -- end"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", ";", " ; \n", ";;"])
def test_a_query_is_its_own_text(text: str, end: str) -> None:
    assert QueryText(text.encode(), is_whole=True) == found(text + ("\n" if "--" in text else "") + end)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("explain select 1", "select 1"),
        ("explain analyze verbose select 1", "select 1"),
        ("explain (analyze, format json) select 1", "select 1"),
        ("explain (select 1)", "(select 1)"),
        ("explain (verbose) (select 1) union select 2", "(select 1) union select 2"),
        ("-- c ;\n/* x */ explain /* ( */ (analyze) /* é */ select 'ü' -- end\n;;", "select 'ü'"),
        ("explain create table x(a) as select 1 with no data", "select 1"),
        ("explain declare c cursor for select 1", "select 1"),
        ("explain delete from t", "delete from t"),
        ('declare "for" no scroll cursor with hold for select 1', "select 1"),
        ("declare c cursor for select a from t for update", "select a from t for update"),
        ("prepare p as select $1", "select $1"),
        ("create table if not exists a (x, y) with (fillfactor=10) on commit drop as table b with data", "table b"),
        ("create unlogged table a as select b from c where d in (select 'as') with no data", "select b from c where d in (select 'as')"),
        ("create table a as (select 1) with data", "(select 1)"),
        ("create materialized view m (a) as values (1), (2) with no data", "values (1), (2)"),
        ("create or replace view v (a) with (security_barrier) as select 'with check option' with local check option",
         "select 'with check option'"),
        ("create view v as with x as (select 1) select * from x with check option", "with x as (select 1) select * from x"),
        ("create temp recursive view v (a, \"B\") as select 1, 2",
         'WITH RECURSIVE "v" ("a", "B") AS (select 1, 2) SELECT "a", "B" FROM "v"'),
        ('copy (select 1 as ")") to stdout', 'select 1 as ")"'),
        ("copy (insert into t values (1) returning *) to stdout (format csv)", "insert into t values (1) returning *"),
        ('copy s."T é" (a, "B""c") to stdout with csv', 'SELECT "a", "B""c" FROM ONLY "s"."T é"'),
        ("copy t (a) to '/x' delimiters ','", 'SELECT "a" FROM ONLY "t"'),
        ("select 1 into t from x union select 2", "select 1   from x union select 2"),
        ("(select 'é' as é, 1 into temp table a.t from x) union select 2;", "(select 'é' as é, 1   from x) union select 2"),
        ("with a as (select 1) select * into unlogged a.b from a", "with a as (select 1) select *   from a"),
        ("explain select 1 into t", "select 1  "),
    ],
)  # fmt: skip
def test_a_query_is_cut_out(text: str, expected: str) -> None:
    assert expected == cut(text)


@pytest.mark.parametrize(
    "text",
    ["create table a as execute y", "explain execute y", "execute y", "fetch 1 from c", "call f()", "do 'x'", "copy t from stdin",
     "create table a (b int)",
     "create schema s create view v as select 1", "create rule r as on insert to t do select 1", "refresh materialized view a", "begin",
     "create function f() returns int language sql as 'select 1'", "explain refresh materialized view m", "prepare p(unknown) as select $1",
     "create function f() returns int begin atomic select 1; end", "select 1 into U&\"d\\0061t\" uescape '!' from t",
     "prepare p(int) as (with a as (select 1) select $1)", "prepare p(int) as select $1 from \"querywarden parameters\"", "notify x"],
)  # fmt: skip
def test_where_there_is_no_query_or_no_sure_cut_there_is_none(text: str) -> None:
    assert found(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prepare p(int) as select $1", f"{DECLARED} select $1"),
        ("prepare p(int) as update t set a = $1;", f"{DECLARED} update t set a = $1"),
        ("prepare p(int) as select $1 into x", f"{DECLARED} select $1  "),
        ("prepare p(int) as (select $1) union select 2", f"{DECLARED} (select $1) union select 2"),
        (
            "prepare p(int) as with recursive a(n) as (select $1) insert into t select n from a",
            DECLARED.replace("WITH", "with recursive") + ", a(n) as (select $1) insert into t select n from a",
        ),
    ],
)
def test_parameters_keep_their_declared_types(text: str, expected: str) -> None:
    assert QueryText(expected.encode(), is_whole=False, has_own_parameters=True) == found(text)


def test_types_are_written_in_full_and_without_length() -> None:
    text = cut('prepare p(varchar(10)[], s."T y", char) as select $1')
    assert text is not None
    assert 'CAST($1 AS "pg_catalog"."varchar"[]), CAST($2 AS "s"."T y"), CAST($3 AS "pg_catalog"."bpchar")' in text


def test_a_relation_that_is_copied_whole_is_told_apart() -> None:
    assert QueryText(b'SELECT * FROM ONLY "t"', is_whole=False, omits_generated=True) == found("copy t to stdout")
    assert QueryText(b'SELECT * FROM ONLY "d"."s"."t"', is_whole=False, omits_generated=True) == found("copy binary d.s.t to program 'x'")


def test_nothing_is_cut_out_of_a_large_text() -> None:
    assert found(f"explain select '{'x' * CUT_BYTES_MAX}'") is None
    assert found(f"select '{'x' * CUT_BYTES_MAX}'") is not None


def test_nothing_is_cut_out_of_two_statements() -> None:
    text = b"explain select 1; explain select 2"
    facts = analyse(text)
    assert isinstance(facts, tuple)
    assert query_texts(text, facts[0]) is None


QUERIES = [
    "select a, 'as ''é' from t as x", "values (1, 'for'), ($$with no data$$, 2)", "with a as (select 1 as \"as\") select * from a",
    "table \"é\"",
    "select (select 1) as \"for\", b::text from (select 2 as b) as c order by 1 limit 2", "(select 1 union all select 2) order by 1",
    "select a from t for update", "select 1 where exists (select from t) -- é )\n", "select /* ; as for ( */ 1",
]  # fmt: skip
WRAPPERS = [
    ("explain ", ""), ("explain (verbose, costs off) ", ";"), ("explain analyze ", ""), ("declare c cursor for ", " ;"),
    ("/* é */ prepare é as ", ""),
    ("create table é.x (a, b) as ", " with no data"), ("create temp table x on commit drop as ", " with data"), ("create table x as ", ""),
    ("create materialized view x as ", ""), ("create view x as ", " with cascaded check option"), ("copy (", ") to stdout"),
    ("explain create table x as ", ""), ("-- (\ncopy/**/(", ")to '/é' csv header -- x"), ("explain declare c cursor for ", ""),
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_cut_out_parses_as_what_was_put_in(query: str, wrapper: tuple[str, str]) -> None:
    text = cut(query.join(wrapper))
    assert text is not None
    there, put_in = parse(text.encode()), parse(query.encode())
    assert isinstance(there, list)
    assert isinstance(put_in, list)
    assert is_same_tree(put_in[0][0], there[0][0])


def test_near_misses_are_never_an_error_nor_another_query() -> None:
    """Texts with a piece of them taken out, doubled or swapped: a cut of them is a query, and parses as part of the whole."""
    numbers = random.Random(3)
    cuts = 0
    for _ in range(3000):
        pieces = numbers.choice(QUERIES).join(numbers.choice(WRAPPERS)).replace("(", " ( ").replace(")", " ) ").split(" ")
        at, other = numbers.randrange(len(pieces)), numbers.randrange(len(pieces))
        match numbers.randrange(3):
            case 0:
                pieces.pop(at)
            case 1:
                pieces.insert(other, pieces[at])
            case _:
                pieces[at], pieces[other] = pieces[other], pieces[at]
        text = " ".join(pieces).encode()
        facts = analyse(text)
        if not isinstance(facts, tuple) or len(facts) != 1:
            continue
        query = query_texts(text, facts[0])
        if query is None or query.is_whole:
            continue
        cuts += 1
        tree, whole = parse(query.text), parse(text)
        assert isinstance(tree, list)
        assert isinstance(whole, list)
        assert _holds(whole[0][0], tree[0][0]), text
    assert cuts > 300


def _holds(tree: object, part: object) -> bool:
    """Whether a tree has a part somewhere in it."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if is_same_tree(node, part):
            return True
        stack += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return False


def test_trees_differ_in_more_than_places() -> None:
    assert is_same_tree({"a": [1, {"location": 3}]}, {"a": [1, {"location": 4}]})
    assert not is_same_tree({"a": [1]}, {"a": [1, 2]})
    assert not is_same_tree({"a": 1}, {"a": True})
    assert not is_same_tree({"a": 1}, {"b": 1})
    assert not is_same_tree({"a": 1}, {"a": 1, "b": 1})
    assert not is_same_tree([{}], [[]])
