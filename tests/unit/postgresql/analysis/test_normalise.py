"""Normalised text keeps the shape of a statement and none of its literals."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querywarden.model.facts import Unanalysable
from querywarden.postgresql.analysis import analyse, normalise_fallback
from querywarden.postgresql.analysis.normalise import NORMALISED_CHARACTERS_MAX, _scanned, normalise
from querywarden.postgresql.analysis.parse import parse
from querywarden.postgresql.analysis.statements import SETTING_STATEMENTS


def normalised(text: str) -> str:
    """The normalised text of one statement."""
    analysis = analyse(text.encode())
    assert isinstance(analysis, tuple), (text, analysis)
    return analysis[0].normalised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select  a,\n b from t\twhere c = 'x' and d = 5", "select a, b from t where c = ? and d = ?"),
        ("select $1, $12::text, a$1 from t1", "select ?, ?::text, a$1 from t1"),
        ("select 1.5e-3, .5, 0x1F, 1_000, -7", "select ?, ?, ?, ?, -?"),
        ("select 'it''s', E'a\\'b', B'101', x'ff', N'n', U&'d\\0061'", "select ?, ?, ?, ?, N?, ?"),
        ("select $$a$$, $tag$ b $$ $tag$", "select ?, ?"),
        ('select "Quoted ""x""", U&"d\\0061t" from "s"."T"', 'select "Quoted ""x""", U&"d\\0061t" from "s"."T"'),
        ("select 1 -- secret\n, /* secret /* nested */ */ 2", "select ? , ?"),
        ("/* secret */ select 1", "select ?"),
        ("set app.password = 'x'", "SET app.password TO ?"),
        ("set local search_path = secret", "SET LOCAL search_path TO ?"),
        ("set time zone secret", "SET timezone TO ?"),
        ("set role secret", "SET role TO ?"),
        ("reset all", "RESET ALL"),
        ("set x to default", "SET x TO DEFAULT"),
        ("alter role x set app.key = secret", "alter role x set app.key = ?"),
        ("alter role x in database d set role to secret", "alter role x in database d set role ?"),
        ("alter system set a.b = secret, more", "alter system set a.b = ?"),
        (
            "create function f() returns int language sql set a.b to secret as 'x'",
            "create function f() returns int language sql set a.b to ?",
        ),
        ("create function f() returns int language sql as 'x'", "create function f() returns int language sql as ?"),
        ("create role r password 'x' valid until 'y'", "create role r password ? valid until ?"),
        ("do $$ begin end $$", "do ?"),
        ("select a->>'b' from t -- end", "select a->>? from t"),
        ("select 'x'\n'y'", "select ?"),
        ("copy t from program 'x' with (delimiter 'y')", "copy t from program ? with (delimiter ?)"),
    ],
)
def test_normalised_text(text: str, expected: str) -> None:
    assert expected == normalised(text).replace("? ?", "?")


def test_statements_of_one_text_are_normalised_each() -> None:
    analysis = analyse(b"select 'a'; -- x\n  update t set b = 'c' where d = 1 ;")

    assert not isinstance(analysis, Unanalysable)
    assert [facts.normalised for facts in analysis] == ["select ?", "update t set b = ? where d = ?"]


def test_offsets_are_bytes_of_the_text() -> None:
    text = "select 'é' ;  select ü from t ; ".encode()
    analysis = analyse(text)

    assert not isinstance(analysis, Unanalysable)
    assert ["select 'é'".encode(), "select ü from t".encode()] == [text[facts.start : facts.end] for facts in analysis]


def test_long_text_is_cut() -> None:
    text = normalised("select " + ", ".join(f"column_{number}" for number in range(5000)))

    assert len(text) == NORMALISED_CHARACTERS_MAX
    assert text.endswith(" …")


def test_signs_that_play_tricks_on_a_terminal_are_replaced() -> None:
    assert normalised('select "\x1b[31mx"') == 'select "\N{REPLACEMENT CHARACTER}[31mx"'


def test_fallback_tells_the_size_alone() -> None:
    assert normalise_fallback(b"selct 'secret'") == "<unanalysable, 14 bytes>"


CANARY = "zqx7canary"
NUMBER = "918273645"
POSITIONS = [
    "select {s}", "select a from t where b = {s} or c = {n} order by d limit {n}", "select {s}::text, a[{n}], interval {s}, date {s}",
    "insert into t (a, b) values ({s}, {n}), ({n}, {s})", "update t set a = {s} || b, c = c + {n} where d in ({s}, {n})",
    "delete from t where a like {s} escape {s}", "copy t from {s} with (delimiter {s}, null {s})", "copy t to program {s}",
    "create role r password {s} valid until {s}", "alter role r password {s}", "alter role r set a.b to {s}",
    "create subscription x connection {s} publication p", "create server x foreign data wrapper w options (host {s}, password {s})",
    "create user mapping for x server y options (password {s})", "set a.b = {s}", "set a.b = {s}, {s}, {n}",
    "set session authorization {s}",
    "set time zone {s}", "set names {s}", "select set_config({s}, {s}, false)", "do {s}", "do language plpgsql {s}",
    "create function f() returns int language sql as {s}", "create function f(a text default {s}) returns text language sql return {s}",
    "create function f() returns int language sql set a.b = {s} as {s}", "comment on table t is {s}", "notify x, {s}",
    "prepare transaction {s}", "load {s}", "create tablespace x location {s}", "security label on table t is {s}",
    "create table t (a text default {s}, b int check (b > {n}), c text generated always as ({s}) stored)", "alter system set a = {s}",
    "explain select {s}", "prepare p as select {s}", "execute p({s}, {n})", "declare c cursor for select {s}",
    "create view v as select {s}",
    "with x as (select {s}) select {n} from x", "select * from f({s}, {n}) x", "select xmlelement(name a, {s})",
    "merge into t using u on a = {s} when matched then update set b = {n}",
    "create type e as enum ({s})", "alter type e add value {s}", "create policy p on t using (a = {s})", "call p({s})",
    "create trigger x before update on t execute function f({s}, {n})", "select a at time zone {s}, extract(year from {s}), {s} ~ {s}",
    "create extension x version {s}", "alter database d set a to {s}", "set transaction snapshot {s}",
]  # fmt: skip
QUOTED = [
    "'{c}'", "'it''s {c} --'", "E'{c}\\'\\n{c}'", "$${c}$$", "$q${c} ' $q$", "U&'{c}\\0061'", "'/* {c} */'", "'a' /* x */\n'{c}'",
    "'a'\n'{c}'",
    "'\\{c}'", "N'{c}'", "'\"{c}\"'",
]  # fmt: skip
AROUND = ["", " ", "\n\t", "/* {c} ' */", "-- {c} ' $$\n"]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(POSITIONS), st.sampled_from(QUOTED), st.sampled_from(AROUND), st.sampled_from(AROUND))
def test_no_literal_survives(position: str, quoted: str, before: str, after: str) -> None:
    literal = (before + " " + quoted + " " + after).replace("{c}", CANARY)
    text = position.format(s=literal, n=NUMBER)
    analysis = analyse(text.encode())

    if isinstance(analysis, Unanalysable):
        assert CANARY not in analysis.detail
        assert NUMBER not in analysis.detail
        return
    for facts in analysis:
        assert CANARY not in facts.normalised
        assert NUMBER not in facts.normalised


def test_most_positions_take_most_literals() -> None:
    """The property above would say nothing if every text were refused."""
    taken = [isinstance(analyse(position.format(s="'x'", n=NUMBER).encode()), tuple) for position in POSITIONS]

    assert [position for position, is_taken in zip(POSITIONS, taken, strict=True) if not is_taken] == []


PIECES = [
    "select", "a", "t1",
    '"Q ""x"""', "'lit'", "'it''s'", "5", "1.5e3", "1e5", ".5", "$1", "+", "->>", "::text", ",", "(b)", "=", "<>", "a$1",
    "B'1'",
    "E'x'", "'x'::text", "[1]", "-1", "0x1f", "e", "N'x'", "é", "||",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([" ", "", "\n"])), min_size=1, max_size=8))
def test_pattern_and_scanner_agree(pieces: list[tuple[str, str]]) -> None:
    """The quick way to normalise says what PostgreSQL's own scanner says."""
    text = ("select " + "".join(piece + gap for piece, gap in pieces)).encode()
    parsed = parse(text)
    if isinstance(parsed, Unanalysable):
        return
    for tree, start, end in parsed:
        statement = text[start:end]
        if next(iter(tree)) not in SETTING_STATEMENTS and "VariableSetStmt" not in tree:
            # Literals that stand below each other are one to the scanner.
            quick = re.sub(r"\?(?: \?)+", "?", normalise(statement, tree))
            assert re.sub(r"\?(?: \?)+", "?", _scanned(statement, stops_at_set=False)) == quick
