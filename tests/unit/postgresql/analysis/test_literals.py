"""The literals of a text, as the server reads them."""

from __future__ import annotations

import pytest

from querywarden.postgresql.analysis.literals import literal_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("insert into t values ('a''b', 12, -3.5, null, true)", ["a'b", "12", "3.5", "-3.5"]),
        ("select E'a\\'b\\n\\u00e9', e'\\\\'", ["a'b\né", "\\"]),
        ("select 'a\\b'", ["a\\b"]),
        ("select $$it's$$, $tag$ $$ é $tag$", ["it's", " $$ é "]),
        ("select 'one'\n  'two', 'thr''ee'\n'four'", ["onetwo", "thr'eefour"]),
        ("select U&'d\\0061t', U&'d!0061t' UESCAPE '!'", ["dat", "dat", "!"]),
        ("select 1e5, .5, 0x1F, N'n', B'1', X'1f'", ["1e5", ".5", "0x1F", "n"]),
        ("select 'ü' -- 'no'\n, /* 'no' */ 'yes', \"no 'no'\", '', $1", ["ü", "yes", ""]),
        ("select date '2020-01-01', 'x'::text", ["2020-01-01", "x"]),
        ("", []),
    ],
)
def test_literals_are_decoded(text: str, expected: list[str]) -> None:
    assert expected == list(literal_values(text.encode()))


@pytest.mark.parametrize("text", ["select 'open", "select $$open", "select /* open"])
def test_a_text_without_an_end_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="tokens"):
        list(literal_values(text.encode()))
