"""Texts of one shape are one statement to a real server, but for constants: random statements with random literals, and cut-out queries."""

from __future__ import annotations

import os
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import pq

from querywarden.demo.servers import PostgresServer as Server
from querywarden.postgresql.analysis import analyse
from querywarden.postgresql.analysis.query_text import query_texts
from querywarden.postgresql.analysis.representative import representative
from querywarden.postgresql.analysis.text_shape import shape_of

STATEMENTS = int(os.environ.get("QUERYWARDEN_SHAPE_STATEMENTS", "400"))
FILLINGS = 6

SCHEMA = """
CREATE TABLE t (a int4, b int8, n numeric(10, 2), s varchar(20), d date, j jsonb, r int4[]);
CREATE TABLE u (a int4 PRIMARY KEY, s text, x date);
CREATE VIEW v AS SELECT a, s FROM t WHERE b > 5;
CREATE FUNCTION f(int4) RETURNS int4 LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f(int8) RETURNS int8 LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f(numeric) RETURNS numeric LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f(date) RETURNS date LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f(int4, VARIADIC int4[]) RETURNS text LANGUAGE sql AS 'SELECT ''''';
CREATE FUNCTION f(int4, VARIADIC numeric[]) RETURNS numeric LANGUAGE sql AS 'SELECT 1.5';
CREATE SCHEMA s;
CREATE FUNCTION s."in"(int4, int4) RETURNS int4 LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION s."in"(int4, int4, int4) RETURNS text LANGUAGE sql AS 'SELECT ''''';
CREATE FUNCTION s."values"(int4) RETURNS int4 LANGUAGE sql AS 'SELECT $1';
"""

_PLACES = re.compile(r" :(?:location|stmt_location|stmt_len|rexpr_list_start|rexpr_list_end|list_start|list_end|queryId|query_id) -?\d+")
_VALUE = re.compile(r":constvalue \d+ \[[^\]]*\]")
_LIST_START = re.compile(r":(?:values_lists|elements) \(")
_HOLE = re.compile(r"[?#]")


def _with_short_lists(tree: str, kept_max: int = 2) -> str:
    """A tree in which of the rows of VALUES, or the elements of an array, not more than two neighbours are equal; with 1, no two at all."""
    out, at = "", 0
    for found in _LIST_START.finditer(tree):
        if found.end() < at:
            continue
        out, at = out + tree[at : found.end()], found.end()
        kept: list[str] = []
        while tree[at] != ")":
            start, depth = at, 0
            while at == start or depth:
                depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(tree[at], 0)
                at += 1
            if tree[start:at] not in kept if kept_max == 1 else kept[-2:] != [tree[start:at]] * 2:
                kept.append(tree[start:at])
            at += tree[at] == " "
        out += " ".join(kept)
    return out + tree[at:]


class Trees:
    """A session in which the server tells what it understands of a text, and keeps it out of its log."""

    def __init__(self, server: Server) -> None:
        self._link = psycopg.connect(
            host="127.0.0.1", port=server.port, user="postgres", password=server.password, dbname="shapes", autocommit=True
        )
        self._told: list[str] = []
        self._link.pgconn.notice_handler = lambda result: self._told.append(
            (result.error_field(pq.DiagnosticField.MESSAGE_DETAIL) or b"").decode()
        )
        for text in ("client_min_messages=log", "debug_print_rewritten=on", "debug_pretty_print=off", "log_min_messages=fatal"):
            self._link.pgconn.exec_(f"set {text}".encode())

    def of(self, text: bytes) -> str | None:
        """The tree of a text without its constants' values and places; None where the server refuses the text."""
        self._told.clear()
        if self._link.pgconn.prepare(b"", text).status != pq.ExecStatus.COMMAND_OK:
            return None
        row = self._link.pgconn.describe_prepared(b"")
        columns = [(row.fname(at), row.ftype(at), row.fmod(at)) for at in range(row.nfields)]
        tree = _VALUE.sub("", _PLACES.sub("", " ".join("".join(self._told).split())))
        return f"{_with_short_lists(tree)} {columns}"

    def close(self) -> None:
        self._link.close()


@pytest.fixture(scope="module")
def trees(server: Server) -> Iterator[Trees]:
    server.sql("DROP DATABASE IF EXISTS shapes;")
    server.sql("CREATE DATABASE shapes;")
    server.sql(SCHEMA, "shapes")
    trees = Trees(server)
    yield trees
    trees.close()
    server.sql("DROP DATABASE shapes;")


class Grower:
    """Grows statements with holes for literals, and fills these."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def literal(self) -> str:
        """A literal of any kind; those near the bounds of types are the ones that matter."""
        if self.random.random() < 0.7:
            return self.pick(
                "1", "2", "3", "40", "'7'", "'x'", "'2020-01-01'", "2147483647", "2147483648", "2146999999", "2150000000", "1999999999"
            )
        return self.pick(
            "1", "2", "3", "07", "999999999", "2147483647", "2147483648", "9999999999", "123456789012", "9223372036854775807",
            "9223372036854775808", "8999999999999999999", "1.5", "2.25", "10.0", ".5", "1e5", "1E-2", "'x'", "'y''z'", "''", "'2020-01-01'",
            "'2021-02-03'", "'7'", "E'a'", "E'a\\'b'", "'{1,2}'", "$$x$$", "B'101'", "X'1f'", "N'x'", "'{\"k\": 1}'", "U&'d\\0061'", "0x1f",
        )  # fmt: skip

    def value(self, depth: int = 1) -> str:
        """An expression with `?` for each literal and `#` for each integer."""
        if depth == 0:
            return self.pick("?", "#", "#", "a", "b", "a", "-#", "null")
        inner = [self.value(depth - 1) for _ in range(3)]
        return self.pick(
            "?", "#", "a", "a + #", "- # + b", f"f({inner[0]})", f"f(#, {inner[1]})", f"f({inner[0]}, {inner[1]}, {inner[2]})",
            f"{inner[0]} + {inner[1]}", f"({inner[0]})", f"coalesce({inner[0]}, #)", f"{inner[0]}::varchar(#)", "cast(n as numeric(#,0))",
            f"{inner[0]}::numeric((#),0)", "varchar(#) 'x'", "date '2020-01-01'", "interval ? day", "interval(#) '1'", "r[#]", "j->#",
            "j->>?",
            "s || ?", f"case when a = {inner[1]} then {inner[2]} else # end", f"array[{inner[0]}, {inner[1]}]", "s.in(#, #, #)",
            "s.in(#,#)", "s . values (#)", "s.values(#), s.values(#)", "count(*)", "row(?, ?)",
            "a::float(#)", "current_time(#)", "'10:00'::time(#)",
            "greatest(#, #)", "substring(s from # for #)", "'u'::regclass", "$1 + #", "$1::text", "s like ?", "d - date '2020-01-01'",
        )  # fmt: skip

    def condition(self) -> str:
        item, many = self.value(0), ", ".join([self.pick("#", "?")] * self.random.randint(1, 5))
        numbers = ", ".join(["#"] * self.random.randint(1, 5))
        return self.pick(
            f"a = {item}", f"a in ({numbers})", f"a in ({many})", "(a, b) in ((#, #), (#, #))", f"b > {item}", "s::text in (?, ?, ?)",
            "s = ?",
            f"a = any (array[{numbers}])", f"exists (select ? from u where a = # order by {self.pick('?', '1', 'a + #')})",
            "a between # and #", "a is distinct from #",
        )  # fmt: skip

    def select(self) -> str:
        first, second = self.value(), self.value()
        end = self.pick("", "", "", "order by #", "order by 1, # desc", f"order by {first}", "group by #, #",
            f"group by {first}, {second}", "group by (#), rollup(#)", f"order by {second} limit # offset #", "limit #",
            "fetch first # rows only", "group by distinct #, 2")  # fmt: skip
        start = self.pick("select", "select", "select distinct", "select distinct on (#)", "select distinct on (a + #)", "SELECT")
        where = self.pick("", f"where {self.condition()}", f"where {self.condition()} and {self.condition()}")
        return f"{start} {first}, {second} from {self.pick('t', 'v as t (a, s, b, d, n, j, r)', 't cross join u as k (x)')} {where} {end}"

    def statement(self) -> str:
        """A statement with holes."""
        width = self.random.randint(1, 3)
        row = "(" + ", ".join(["#", self.pick("?", "s.in(#, #)"), self.pick("null", "'2020-01-01'", "now()")][:width]) + ")"
        rows = ",".join([row] * self.random.randint(1, 6))
        columns = ", ".join(["a", "s", "x"][:width])
        return self.pick(
            self.select(), self.select(), self.select(), f"insert into u ({columns}) values {rows}", f"values {rows}",
            f"select * from (values {rows}) as w order by #", f"insert into u values {rows} on conflict (a) do update set s = ?",
            f"with w as (select {self.value()} as z) select z, ? from w", f"update t set a = {self.value(0)} where {self.condition()}",
            f"delete from t where {self.condition()} returning {self.value()}", f"{self.select()} union {self.select()}",
            "select * from json_to_record('{}') as w(a varchar(#), b numeric((#)))",
            f"select * from generate_series(#, #) as w({self.pick('a', 'b')})",
            f"select s.in(#, #), s . in(#, #, #), {self.value()} from t",
            "select ? -- ?\n, ?", "select /* ? */ ?, ? from t", 'select a as "x # y", ? from t',
            "select f(#) as values, (#), (#), (#)", "select s.values (#), (#), (#), (#)",
        )  # fmt: skip

    def start(self, statement: str) -> list[str]:
        """Literals for the holes of a statement."""
        return [self.pick("1", "2", "3", "2", "2147483648") if hole == "#" else self.literal() for hole in _HOLE.findall(statement)]

    def fill(self, statement: str, start: list[str]) -> str:
        """The statement with literals in its holes, most of them such as in `start`."""
        pieces = _HOLE.split(statement)
        kept = [old if self.random.random() < 0.5 else self.alike(old) for old in start]
        return "".join(piece + literal for piece, literal in zip(pieces, [*kept, ""], strict=True))

    def alike(self, old: str) -> str:
        """A literal that often has the type of another."""
        if self.random.random() < 0.1:
            return self.literal()
        if old.isdigit() and len(old) < 5:
            return str(self.random.randint(0, 12))
        if old.isdigit():
            return str(self.random.randint(10 ** (len(old) - 1), 10 ** len(old) - 1))
        return self.pick("'a'", "'b''c'", "'3'", "'2022-03-04'", "'[1]'") if old.startswith("'") else old


def test_one_shape_is_one_tree(trees: Trees) -> None:
    grower = Grower(int(os.environ.get("QUERYWARDEN_SHAPE_SEED", "7")))
    groups: dict[bytes, dict[str, str]] = defaultdict(dict)
    asked = understood = 0
    for _ in range(STATEMENTS):
        statement = grower.statement()
        start = grower.start(statement)
        for _ in range(FILLINGS):
            text = grower.fill(statement, start)
            shape = shape_of(text.encode())
            tree = None if shape is None else trees.of(text.encode())
            asked += shape is not None
            if shape is None or tree is None:
                continue
            understood += 1
            other, example = next(iter(groups[shape].items()), (tree, text))
            assert other == tree, (example, text)
            groups[shape][tree] = text
    assert understood > STATEMENTS, f"only {understood} of {asked} texts were understood: the test says nothing"
    assert len(groups) < understood * 0.8, "hardly any text shared its shape: the test says nothing"
    print(f"{asked} texts with a shape, {understood} understood by the server, {len(groups)} shapes")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select f(1)", "select f(3000000000)"),
        ("select f(3000000000)", "select f(9999999999999999999)"),
        ("select f(1)", "select f(1.0)"),
        ("select f(1)", "select f('1')"),
        ("select a, s from t order by 1", "select a, s from t order by 2"),
        ("select a, s from u group by 1, 2", "select a, s from u group by 2, 1"),
        ("select distinct on (1) a, s from u", "select distinct on (2) a, s from u"),
        ("select a, s from u order by - - 1", "select a, s from u order by - - 2"),
        ("select a, s from u group by distinct 1, 2", "select a, s from u group by distinct 2, 1"),
        ("select s::varchar(5) from t", "select s::varchar(6) from t"),
        ("select cast(s as varchar(5)) from t", "select cast(s as varchar(6)) from t"),
        ("select n::numeric((5),(1)) from t", "select n::numeric((6),(1)) from t"),
        ("select '1'::float(24)", "select '1'::float(25)"),
        ("select * from json_to_record('{}') as w(a varchar(5))", "select * from json_to_record('{}') as w(a varchar(6))"),
        ("select time(1) '10:00'", "select time(2) '10:00'"),
        ("values (1)", "values (1), (2)"),
        ("values (1), (2)", "values (1), (2.5)"),
        ("select s.in(1,1)", "select s.in(1,1,1)"),
        ("select 1 as values, (1), (1), (1)", "select 1 as values, (1), (1)"),
        ("select a from t where a in (1)", "select a from t where a in (1, 2)"),
        ('select 1 as "A1"', 'select 1 as "A2"'),
        ("select 1 as a1", "select 1 as a2"),
    ],
)
def test_what_is_another_statement_has_another_shape(trees: Trees, one: str, other: str) -> None:
    first, second = trees.of(one.encode()), trees.of(other.encode())
    assert first is not None
    assert second is not None
    assert first != second
    assert shape_of(one.encode()) is None or shape_of(one.encode()) != shape_of(other.encode())


WRAPPERS: list[Callable[[str], str]] = [
    lambda query: f"explain {query}",
    lambda query: f"explain (costs off) {query};",
    lambda query: f"-- a ;\ncopy ({query}) to stdout",
    lambda query: f"create temp table z as {query} with no data",
    lambda query: f"prepare p as {query} ;",
    lambda query: f"declare c cursor for {query}",
    lambda query: f"create view z as {query}",
    lambda query: f"/* é */ explain create table z as {query}",
]


def test_a_query_that_is_cut_out_means_the_same(trees: Trees) -> None:
    grower = Grower(11)
    compared = 0
    for _ in range(STATEMENTS // 2):
        statement = grower.select()
        query = grower.fill(statement, grower.start(statement))
        expected = trees.of(query.encode())
        text = grower.random.choice(WRAPPERS)(query).encode()
        facts = analyse(text)
        if expected is None or not isinstance(facts, tuple):
            continue
        found = query_texts(text, facts[0])
        assert found is not None, text
        assert expected == trees.of(found.text), text
        compared += 1
    assert compared > STATEMENTS // 20


def test_a_representative_is_the_same_insert(trees: Trees) -> None:
    grower = Grower(5)
    kinds = [
        ["1", "-7", "1700000000"],
        ["'8'", "'it''s'"],
        ["null"],
        ["default"],
        ["2.5", "-1.25"],
        ["12345678901"],
        ["'2020-01-01'::date"],
    ]
    of_columns = [[0, 0, 0, 3, 4, 5], [0, 1, 1, 2, 3, 4, 6], [2, 3, 6]]
    compared = 0
    for _ in range(STATEMENTS // 4):
        shapes = [[kinds[grower.random.choice(some)] for some in of_columns] for _ in range(grower.random.randint(1, 3))]
        rows = [
            "(" + grower.pick(",", ", ", " , ").join(grower.pick(*kind) for kind in grower.random.choice(shapes)) + ")"
            for _ in range(grower.random.randint(60, 120))
        ]
        start = grower.pick(
            "insert into u values ", 'INSERT INTO public.u as "w" (a,s, x)VALUES', "insert into u (a, s, x) overriding user value values "
        )
        text = (
            start + grower.pick(",", ",\n ").join(rows) + grower.pick("", " on conflict (a) do update set s = 'x'", " returning *")
        ).encode()
        short = representative(text)
        if short is None:
            continue
        expected, actual = trees.of(text), trees.of(short)
        assert (expected is None) == (actual is None), (text, short)
        if expected is not None and actual is not None:
            assert _with_short_lists(expected, 1) == _with_short_lists(actual, 1), (text, short)
            compared += 1
    assert compared > STATEMENTS // 40


def test_types_of_a_prepared_statement_are_those_declared(trees: Trees) -> None:
    text = b"prepare p (int8, varchar(3), numeric[]) as select f($1), f($2), s from (select $3) w, t where $1 = a"
    facts = analyse(text)
    assert isinstance(facts, tuple)
    found = query_texts(text, facts[0])
    assert found is not None
    assert found.has_own_parameters
    told = trees.of(found.text)
    assert told is not None
    assert {"20", "1043", "1231"} == set(re.findall(r":paramtype (\d+)", told))
    assert trees.of(b"select f($1), f($2), s from (select $3) w, t where $1 = a") is None, "without types it is ambiguous"
