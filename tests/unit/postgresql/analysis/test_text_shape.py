"""Texts that differ in literals of one type have one shape; those whose literals may mean more have not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querywarden.postgresql.analysis.text_shape import SHAPED_BYTES_MAX, shape_of


def shape(text: str) -> bytes | None:
    return shape_of(text.encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select a from t where b = 5", "select a from t where b = 123456789"),
        ("select a from t where b = 2146999999", "select a from t where b = 0"),
        ("select a from t where b = 2150000000", "select a from t where b = 8999999999999999999"),
        ("select a from t where b = 5000000000", "select a from t where b = 123456789012"),
        ("select a from t where b = 1234567890123456789", "select a from t where b = 3000000000"),
        ("select a from t where b = 1.5", "select a from t where b = 22.75"),
        ("select a from t where b = 'x'", "select a from t where b = 'it''s -- /* $$ order by 2'"),
        ("select a from t where b = '\\'", "select a from t where b = '\"'"),
        ("select a from t where b = -5", "select a from t where b = -7"),
        ("select a from t order by 1 limit 10 offset 20", "select a from t order by 1 limit 11 offset 30"),
        ("select a from t where b in (1, 2)", "select a from t where b in (5, 6)"),
        ("select a from t where b in (1, 2)", "select a from t where b in(5,6, 7, 8)".replace("in(", "in (")),
        ("select a from t where b in ('x', 'y') order by c", "select a from t where b in ('z', 'a', 'b') order by c"),
        ("insert into t (a, b) values (1, 'x')", "insert into t (a, b) values (7, '')"),
        ("insert into t values (1, 'x'), (2, 'y')", "insert into t values (3, 'x'), (4, 'y'), (5, 'z')"),
        ("insert into t values (1, now()),(2, now())", "insert into t values (3, now()),(4, now()),(5, now())"),
        ("select 'a' 'b'".replace(" '", "\n'"), "select 'c' 'd'".replace(" '", "\n'")),
        ("select date '2020-01-01'", "select date '2021-01-01'"),
        ('select "a" from "t" where "b" = 1', 'select "a" from "t" where "b" = 2'),
        ("select lower('x'), f('a', 1)", "select lower('y'), f('b', 2)"),
        ("with x as (select 'a') select * from x", "with x as (select 'b') select * from x"),
        ("select a + 5 from t group by a + 5", "select a + 6 from t group by a + 6"),
        ("select a from information_schema.columns where b = 'x'", "select a from information_schema.columns where b = 'y'"),
        ("select j->>'a', r[1] from t", "select j->>'b', r[2] from t"),
    ],
)
def test_literals_of_one_type_share_a_shape(one: str, other: str) -> None:
    assert shape(one) is not None
    assert shape(one) == shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select f(1) + 1", "select f(1) + 3000000000"),
        ("select 1", "select 2147483648"),
        ("select 2147483647", "select 2147483648"),
        ("select 2146999999", "select 2150000000"),
        ("select 1999999999", "select 2999999999"),
        ("select -2147483648", "select -2147483649"),
        ("select 3000000000", "select 9223372036854775808"),
        ("select 1", "select 1.0"),
        ("select 1", "select '1'"),
        ("select 1", "select null"),
        ("select 1.5", "select 1e5"),
        ("select 1", "select 0x1f"),
        ("select 1", "select 1_000"),
        ("select $1", "select $2"),
        ("select a1", "select a2"),
        ('select "a1"', 'select "a2"'),
        ("select 'x'", "select E'x'"),
        ("select 'x'", "select B'x'"),
        ("select a from t order by 1", "select a from t order by 2"),
        ("select a from t order by b, 1", "select a from t order by b, 2"),
        ("select a from t order by - - 1", "select a from t order by - - 2"),
        ("select a from t group by ((1))", "select a from t group by ((2))"),
        ("select a from t group by distinct 1", "select a from t group by distinct 2"),
        ("select a from t group by\n1", "select a from t group by\n2"),
        ("select distinct on (1) a, b from t", "select distinct on (2) a, b from t"),
        ("select distinct on (b, 1) a, b from t", "select distinct on (b, 2) a, b from t"),
        ("(select a, b from t) union select 1, 2 ORDER BY 1", "(select a, b from t) union select 1, 2 ORDER BY 2"),
        ("select a + 5 from t group by a + 5", "select a + 5 from t group by a + 6"),
        ("select f('k', 5) from t group by f('k', 5)", "select f('k', 6) from t group by f('k', 5)"),
        ("select a::varchar(5) from t", "select a::varchar(6) from t"),
        ("select a::numeric(5, 2) from t", "select a::numeric(5, 3) from t"),
        ("select a::character varying (5) from t", "select a::character varying (6) from t"),
        ("select cast(a as bit(5)) from t", "select cast(a as bit(6)) from t"),
        ("select '1'::float(24)", "select '1'::float(25)"),
        ("insert into t values (1)", "insert into t values (1), (2)"),
        ("values (1), (2)", "values (1), (2.5)"),
        ("values (1), (2), (3.5)", "values (1), (2.5), (3.5)"),
        ("values (1, 2)", "values (1), (2)"),
        ("select a in (1)", "select a in (1, 2)"),
        ("select a in (1, 2)", "select a in (1, 2.5)"),
        ("select s.in(1, 2)", "select s.in(1, 2, 3)"),
        ("select s.values (1), (1), (1)", "select s.values (1), (1)"),
        ("select évalues (1), (1), (1)", "select évalues (1), (1)"),
        ("select 1 as values, (1), (1), (1)", "select 1 as values, (1), (1)"),
        ("select * from t as values (a), (select 1), (select 1), (select 1)", "select * from t as values (a), (select 1), (select 1)"),
        ("select f(1, 2)", "select f(1, 2, 3)"),
    ],
)
def test_what_may_be_another_statement_has_another_shape(one: str, other: str) -> None:
    assert shape(one) is None or shape(one) != shape(other)


@pytest.mark.parametrize(
    "text",
    ["select 1 -- c", "select /* c */ 1", "select E'a\\'b'", "select e'\\\\' || 'x'", "select $$x$$", "select $tag$x$tag$",
     "select U&'d\\0061'",
     'select U&"d!0061" uescape \'!\' from t', "select 'open", "select 1 \x01", "select 'a\x02'", "select $1$2",
     "select a::geometry('Point', 4326) from t", "select a::s.\"T\"('x') from t", "select a::numeric((10)) from t",
     "select cast(a as f('x')) from t",
     "select a::f((b), 'x') from t", "select * from f() as (a g('x', 1))", "select * from f('1') as t (a numeric((10)))",
     "select * from f('{}') as w(a varchar(2), b numeric((1)))", "select * from f('{}') as w(a \"T\"('x'))", "select geometry('Point') 'x'",
     "select * from xmltable('/a' passing x columns a varchar(5) path 'b')", "select json_value(a, '$' returning f('x')) from t",
     "select s . in(1, 1, 1)", "select s.\nvalues (1), (1), (1)", f"select a::f({'b, ' * 200}1)"],
)  # fmt: skip
def test_where_a_literal_may_mean_more_there_is_no_shape(text: str) -> None:
    assert shape(text) is None


def test_there_is_none_of_a_huge_text() -> None:
    assert shape("select '" + "x" * (SHAPED_BYTES_MAX - 20) + "'") is not None
    assert shape("select '" + "x" * SHAPED_BYTES_MAX + "'") is None


@given(
    st.lists(
        st.sampled_from(
            [*"'\"()[],.;:$-+*/=eEuU&\\ \n59", "by", "in", "values", "as", "distinct", "12345678901", "1.5", "a", "é", "''", "--"]
        )
    )
)
def test_any_text_has_an_answer(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = shape(text)
    assert found is None or (b"'" not in found and b"--" not in found)


@pytest.mark.parametrize(
    "junk",
    ["f(", "'", '"', "a ", "1.", "(", "in (", "values (", "as a(", "values (1),", ":: a . ", "a.b.", "as a.a.a", "- ", "(1)- ", "$x",
     "as a(b(c),", "by 1, "],
)  # fmt: skip
def test_no_text_takes_long(junk: str) -> None:
    text = ("by " + junk * (100_000 // len(junk))).encode()
    started = time.process_time()
    shape_of(text)
    assert time.process_time() - started < 1.0
