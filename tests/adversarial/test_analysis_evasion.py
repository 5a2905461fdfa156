"""Evasion: the same deed in another wrapping has the same hazards; a tree or text made to break the analysis is refused."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.facts import Hazard, StatementFacts, Unanalysable, Verb
from querywarden.postgresql.analysis import analyse

DEEDS = [
    "delete from t",
    "delete from t where 1=1 returning 1",
    "update t set a = 1 where true returning 1",
    "insert into t select pg_read_file('x')",
    "delete from t where id = 1 and pg_terminate_backend(5)",
    "select set_config('role', 'x', false)",
    "select query_to_xml('select 1', true, true, '')",
    "select * from dblink('a', 'b') x(y text)",
    "select lo_export(1, 'x') from t",
    "with d as (delete from t returning *) select * from d",
    "merge into t using u on true when matched then delete",
    "select 1 from a, b",
]
SELECTS = [deed for deed in DEEDS if deed.startswith(("select", "with"))]
WRAPPINGS: list[Callable[[str], str]] = [
    lambda deed: f"explain analyze {deed}",
    lambda deed: f"explain (verbose, analyze true, buffers) {deed}",
    lambda deed: f"prepare p as {deed}",
    lambda deed: f"with w as ({deed}) select 1",
    lambda deed: f"with w as materialized ({deed}), x as (select 2) select * from x",
    lambda deed: f"copy ({deed}) to stdout",
    lambda deed: f"create function f() returns int begin atomic {deed}; end",
    lambda deed: f"explain analyze with w as ({deed}) select 1",
    lambda deed: f"insert into z with w as ({deed}) select 1",
    lambda deed: f"select (with w as ({deed}) select 1)",
    lambda deed: f"select 1 where exists (with w as ({deed}) select 1)",
    lambda deed: f"prepare p as with q as (select 1), w as ({deed}) select 1",
    lambda deed: f"/* x */ {deed} -- y",
]
SELECT_WRAPPINGS: list[Callable[[str], str]] = [
    lambda deed: f"declare c cursor for {deed}",
    lambda deed: f"create table z as {deed}",
    lambda deed: f"create view z as {deed}",
    lambda deed: f"create materialized view z as {deed}",
    lambda deed: f"insert into z {deed}",
    lambda deed: f"select * from ({deed}) x",
    lambda deed: f"select (({deed})) from y order by ({deed}) limit ({deed})",
    lambda deed: f"select 1 union all ({deed})",
    lambda deed: f"update z set a = ({deed}) where id = 1",
    lambda deed: f"delete from z where id in ({deed})",
    lambda deed: f"select array({deed}), row(({deed})), case when exists ({deed}) then 1 end",
    lambda deed: f"values (1), (({deed}))",
    lambda deed: f"execute p(({deed}))",
    lambda deed: f"call p(({deed}))",
    lambda deed: f"select count(*) filter (where exists ({deed})) over (partition by ({deed})) from z",
    lambda deed: f"select * from z join y on exists ({deed})",
    lambda deed: f"insert into z values (1) on conflict (a) do update set b = ({deed}) where exists ({deed}) returning ({deed})",
    lambda deed: f"select json_query(j, '$' passing ({deed}) as x), xmlelement(name a, ({deed}))",
    lambda deed: f"select * from f(({deed})) x, lateral ({deed}) y",
    lambda deed: f"create table z (a int default ({deed}))",
    lambda deed: f"alter table z add check (exists ({deed}))",
    lambda deed: f"create index i on z ((({deed})))",
    lambda deed: f"create policy p on z using (exists ({deed}))",
    lambda deed: f"create rule r as on insert to z do also {deed}",
]
NOT_INHERITED = {Hazard.NO_LIMIT}


def facts_of(text: str) -> StatementFacts:
    """The facts of a text of one statement."""
    analysis = analyse(text.encode())
    assert isinstance(analysis, tuple), (text, analysis)
    return analysis[0]


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_wrapping_keeps_hazards(deed: str, wrap: Callable[[str], str]) -> None:
    assert facts_of(deed).hazards - NOT_INHERITED <= facts_of(wrap(deed)).hazards


@pytest.mark.parametrize("deed", SELECTS)
@pytest.mark.parametrize("wrap", SELECT_WRAPPINGS)
def test_wrapping_a_query_keeps_hazards_and_functions(deed: str, wrap: Callable[[str], str]) -> None:
    plain, wrapped = facts_of(deed), facts_of(wrap(deed))

    assert plain.hazards - NOT_INHERITED <= wrapped.hazards
    assert plain.functions <= wrapped.functions
    assert plain.reads | plain.writes <= wrapped.reads | wrapped.writes


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(DEEDS), st.lists(st.sampled_from(WRAPPINGS[3:5] + WRAPPINGS[8:11]), max_size=4), st.sampled_from(WRAPPINGS))
def test_any_nest_of_wrappings_keeps_hazards(deed: str, inner: list[Callable[[str], str]], outer: Callable[[str], str]) -> None:
    text = deed
    for wrap in inner:
        text = wrap(text)

    assert facts_of(deed).hazards - NOT_INHERITED <= facts_of(outer(text)).hazards


TOO_DEEP = {
    "sum": "select " + "+".join(["1"] * 30_000),
    "concatenation": "select " + "||".join(["a"] * 30_000),
    "cast": "select 1" + "::int" * 40_000,
    "union": " union all ".join(["select 1"] * 20_000),
    "parentheses": "select " + "(" * 50_000 + "1" + ")" * 50_000,
    "calls": "select " + "f(" * 20_000 + "1" + ")" * 20_000,
    "sub-selects": "select " + "(select " * 5_000 + "1" + ")" * 5_000,
    "negation": "delete from t where " + "not " * 30_000 + "true",
    "case": "select " + "case when true then " * 5_000 + "1" + " end" * 5_000,
    "joins": "select * from a" + " join a on true" * 20_000,
    "arrays": "select " + "array[" * 20_000 + "1" + "]" * 20_000,
    "indirection": "select (a)" + ".b" * 50_000,
    "minus": "select " + "- " * 30_000 + "a",
    "common tables": "with a as (" * 3_000 + "select 1" + ") select 1" * 3_000,
}


@pytest.mark.parametrize("name", TOO_DEEP)
def test_deep_text_is_answered_without_an_exception(name: str) -> None:
    analysis = analyse(TOO_DEEP[name].encode())

    assert isinstance(analysis, tuple) or (analysis.reason in ("too_complex", "syntax"))


@pytest.mark.parametrize("depth", [50, 100, 130, 200, 400])
def test_depth_never_hides_a_deed(depth: int) -> None:
    texts = [
        "select " + "(select " * depth + "pg_read_file('x')" + ")" * depth,
        "select " + "f(" * depth + "pg_read_file('x')" + ")" * depth,
        "select * from " + "(select * from " * depth + "pg_read_file('x') z" + ") y" * depth,
        "select " + "1 + " * depth + "length(pg_read_file('x'))",
        "select " + "(select 1 union all " * depth + "select pg_read_file('x')" + ")" * depth,
        "select * from a" + " join a on true" * depth + " join pg_read_file('x') on true",
        "with x as (" * depth + "select pg_read_file('x')" + ") select 1" * depth,
    ]
    for text in texts:
        analysis = analyse(text.encode())
        if isinstance(analysis, Unanalysable):
            assert analysis.reason == "too_complex", text[:60]
        else:
            assert Hazard.FILE_ACCESS in analysis[0].hazards, text[:60]


@pytest.mark.parametrize("depth", [5, 50, 200, 450])
def test_depth_never_hides_a_tautology(depth: int) -> None:
    texts = [
        "delete from t where " + "not not " * (depth // 2) + "true",
        "delete from t where " + "(id = 1 or " * depth + "1=1" + ")" * depth,
        "delete from t where " + "(" * depth + "id = id" + ")" * depth,
        "delete from t where " + "coalesce(" * depth + "true" + ")" * depth,
        "delete from t where id = id" + " + 0" * depth,
        "delete from t where " + "case when true then " * depth + "true" + " end" * depth,
        "delete from t where id = " + "(select " * depth + "id" + ")" * depth,
    ]
    for text in texts:
        analysis = analyse(text.encode())
        if isinstance(analysis, Unanalysable):
            assert analysis.reason == "too_complex", text[:60]
        else:
            assert Hazard.TAUTOLOGICAL in analysis[0].hazards, text[:60]


def test_repeated_right_sides_do_not_take_all_memory() -> None:
    """SET (a, b, …) = (…) is repeated in the tree for each column, and nests: a kilobyte of text could ask for gigabytes."""
    columns = ",".join(f"c{number}" for number in range(60))
    text = "select 1"
    for _ in range(5):
        text = f"with w as (update t set ({columns}) = ({text}) where id = 1 returning 1) select 1"
    for spelling in (
        text,
        text.replace(") = (", ")/**/=/* */row("),
        text.replace(") = (", ") = f(("),
        text.replace(") = (", ")\n=\n--\n("),
    ):
        started = time.perf_counter()
        analysis = analyse(spelling.encode())

        assert isinstance(analysis, Unanalysable)
        assert analysis.reason in ("too_complex", "syntax")
        assert time.perf_counter() - started < 1.0


def test_ordinary_multiple_assignment_is_analysed() -> None:
    assert Verb.UPDATE is facts_of("update t set (a, b) = (select c, d from u where u.id = t.id), (e, f) = (1, 2) where id in (1, 2)").verb


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"select 1;\0 drop table t", "nul"),
        (b"\0", "nul"),
        (b"select '\xff'", "encoding"),
        (b"select '\xed\xa0\x80'", "encoding"),
        (b"select '\xc0\xaf'", "encoding"),
        (b"selct 1", "syntax"),
        (b"select 'abc", "syntax"),
        (b"select 1 /* x", "syntax"),
        (b"\\d users", "syntax"),
        (b"select ?", "syntax"),
        (b"IDENTIFY_SYSTEM", "syntax"),
        (b"START_REPLICATION SLOT x LOGICAL 0/0", "syntax"),
    ],
)
def test_what_is_no_sql_is_unanalysable(text: bytes, reason: str) -> None:
    analysis = analyse(text)

    assert isinstance(analysis, Unanalysable)
    assert reason == analysis.reason


@pytest.mark.parametrize("text", [b"", b";;;", b"-- x", b"/* x */", b" \n\t ", b";; -- y\n;"])
def test_empty_text_has_no_statements(text: bytes) -> None:
    assert analyse(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "select 'hunter2 secret' 'x",
        "select 'it's hunter2 secret' from t",
        "create role x password 'hunter2",
        "create role x hunter2 'a'",
        "select $$hunter2 secret",
        'select "hunter2 secret',
        "alter role x password $1 'hunter2'",
        "select from where 'hunter2'",
        "select 1 hunter2 2 'secret'",
    ],
)
def test_syntax_error_tells_no_literal(text: str) -> None:
    analysis = analyse(text.encode())

    assert isinstance(analysis, Unanalysable)
    assert "'" not in analysis.detail
    assert "secret" not in analysis.detail
    if "'" in text[: (analysis.position or 1) - 1]:
        assert "hunter2" not in analysis.detail


def test_syntax_error_names_the_place_in_characters() -> None:
    assert Unanalysable("syntax", 'syntax error at or near "selct"', "42601", 1) == analyse(b"selct 1")
    assert Unanalysable("syntax", "syntax error", "42601", 28) == analyse("select 'é', x from t wehre y".encode())
    assert Unanalysable("syntax", 'syntax error at or near "z"', "42601", 12) == analyse("select é x z".encode())


def test_large_list_is_analysed() -> None:
    text = "delete from t where id in (" + ",".join(map(str, range(130_000))) + ")"
    facts = facts_of(text)

    assert Verb.DELETE is facts.verb
    assert Hazard.TAUTOLOGICAL not in facts.hazards
    assert len(facts.normalised) <= 8192


def test_wide_or_of_conditions_is_judged_quickly() -> None:
    text = "delete from t where " + " or ".join(f"id = {number}" for number in range(10_000))

    assert Hazard.TAUTOLOGICAL not in facts_of(text).hazards
    assert Hazard.TAUTOLOGICAL in facts_of(text + " or id <> 5").hazards


@pytest.mark.parametrize(
    "opening_and_closing",
    [
        ("coalesce(", ", b)"),
        ("(id = 1 or ", ")"),
        ("case when a then ", " end"),
        ("exists (select 1 from t x where x.a = t.b and ", ")"),
        ("b in (select b from t where ", ")"),
        ("(true = ", ")"),
    ],
)
def test_cost_of_a_condition_does_not_multiply_with_its_depth(opening_and_closing: tuple[str, str]) -> None:
    opening, closing = opening_and_closing
    text = "delete from t where " + opening * 30 + "a" + closing * 30
    started = time.perf_counter()

    assert Hazard.TAUTOLOGICAL not in facts_of(text).hazards
    assert time.perf_counter() - started < 1.0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_answered(text: bytes) -> None:
    assert isinstance(analyse(text), (tuple, Unanalysable))


WORDS = [
    "select",
    "from",
    "where",
    "t",
    "a",
    ",",
    "(",
    ")",
    "*",
    "'x'",
    "1",
    "=",
    "and",
    "delete",
    "with",
    "as",
    "update",
    "set",
    ";",
    "--",
    "$1",
    "or",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=14))
def test_any_words_are_answered_with_known_verbs(words: list[str]) -> None:
    analysis = analyse(" ".join(words).encode())

    if isinstance(analysis, Unanalysable):
        assert analysis.reason in ("syntax", "too_complex")
    else:
        assert all(facts.verb is not Verb.UNKNOWN for facts in analysis)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT p.leak FROM products p",
        "SELECT (p).leak FROM products p",
        "SELECT (SELECT q.leak FROM products q LIMIT 1)",
        "SELECT name FROM products UNION SELECT p.leak FROM products p",
        "SELECT p.leak FROM products p JOIN decoy ON true",
        "INSERT INTO decoy (leak) SELECT p.leak FROM products p",
    ],
)
def test_a_function_written_as_an_attribute_is_seen(text: str) -> None:
    def relation(number: int, name: str, *columns: str, data_class: DataClass | None = None) -> Relation:
        given = None if data_class is None else Classification(data_class, "name")
        return Relation(number, "public", name, "table", {at: Column(at, column, "text", given) for at, column in enumerate(columns, 1)})

    users = relation(3, "users", "email", data_class=DataClass.EMAIL)
    relations = (relation(1, "products", "id", "name"), relation(2, "decoy", "leak"), users)
    catalogue = Catalogue("1", {each.id: each for each in relations}, opaque_functions=frozenset({"leak"}))
    analysis = analyse(text.encode())
    assert isinstance(analysis, tuple)
    assert catalogue.touches_classified(analysis[0])
