"""A long list of rows is asked about by a few of them."""

from __future__ import annotations

import time

import pytest

from querywarden.postgresql.analysis.parse import parse
from querywarden.postgresql.analysis.representative import representative
from querywarden.postgresql.analysis.text_shape import shape_of

MANY = 200


def short(text: str) -> str | None:
    found = representative(text.encode())
    return None if found is None else found.decode()


def test_two_rows_of_each_kind_stay() -> None:
    rows = [f"({number}, 'it''s {number}', -{number}.5, null)" for number in range(MANY)]
    assert "insert into t (a, b) values (0, 'it''s 0', -0.5, null),(1, 'it''s 1', -1.5, null) returning a" == short(
        f"insert into t (a, b) values {', '.join(rows)} returning a"
    )


def test_rows_of_several_kinds_stay_in_turn() -> None:
    rows = ["(1, 'x')", "(2, null)", "(3, 2.5)"] * MANY
    assert "INSERT INTO \"s\".\"T\" VALUES (1, 'x'),(2, null),(3, 2.5),(1, 'x'),(2, null),(3, 2.5);" == short(
        f'INSERT INTO "s"."T" VALUES {",".join(rows)};'
    )


def test_what_is_no_row_of_literals_stays_with_all_behind_it() -> None:
    rows = ["(1, 'x')"] * MANY
    end = ", (2, now()), (3, E'a\\'),(1, '), (4, 'x')"
    assert f"insert into t values (1, 'x'),(1, 'x'){end}" == short(f"insert into t values {','.join(rows)}{end}")


@pytest.mark.parametrize(
    "text",
    ["insert into t values {}", "insert into t as x (a, \"values (\") overriding system value values {}",
     "\ninsert into s.t(a,b)values{} on conflict do nothing"],
)  # fmt: skip
def test_representatives_are_one_text_for_any_number_of_rows(text: str) -> None:
    few, many = (short(text.format(", ".join(["(1, 'x')"] * count))) for count in (MANY, 3 * MANY))
    assert few is not None
    assert few == many
    assert isinstance(parse(few.encode()), list)
    assert shape_of(few.encode()) == shape_of(text.format("(3, 'z'), (4, '')").encode())


@pytest.mark.parametrize(
    "start",
    ["select * from (values {}) as v", "insert into t select * from (values {}) as v", "with x as (select 1) insert into t values {}",
     "values {}",
     "insert into t /* c */ values {}", "insert into U&\"t\" values {}", "insert into t values (now()), {}", "insert into s.values {}"],
)  # fmt: skip
def test_other_texts_have_no_representative(start: str) -> None:
    assert short(start.format(", ".join(["(1, 'x')"] * MANY))) is None


@pytest.mark.parametrize(
    "row", ["(1, $1)", "(2147483648)", "('a'\n'b')", "(E'a')", "(1e5)", "(a)", "((1))", "(1::numeric(5))", "($$x$$)", "(1 + 1)"]
)
def test_rows_that_say_more_are_all_kept(row: str) -> None:
    assert short(f"insert into t values {', '.join([row] * MANY)}") is None


def test_a_short_text_or_one_of_different_rows_is_not_shortened() -> None:
    assert short("insert into t values (1), (2), (3)") is None
    assert short(f"insert into t values ('{'x' * 2000}'), ('y')") is None


@pytest.mark.parametrize("junk", ["(1),", "(", "('a'", "a ", "(1", '"a" ', '"', "- ", "(1::", "(null,", "a.", "(a,"])
@pytest.mark.parametrize("start", ["insert into t values ", "insert into ", "insert into t "])
def test_no_text_takes_long(start: str, junk: str) -> None:
    text = (start + junk * (100_000 // len(junk))).encode()
    started = time.process_time()
    representative(text)
    assert time.process_time() - started < 1.0
