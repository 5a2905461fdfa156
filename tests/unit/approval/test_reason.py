"""Reasons are found in comments and nowhere else, and are fit to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querywarden.approval.reason import REASON_CHARACTERS_MAX, clean_reason, reason_in


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("DELETE FROM t /* reason: ticket 42 */", "ticket 42"),
        ("/*reason:ticket 42*/ DELETE FROM t", "ticket 42"),
        ("/* REASON = over\n  two lines */ SELECT 1", "over two lines"),
        ("/*+ reason: after a hint mark */ SELECT 1", "after a hint mark"),
        ("/* hello */ SELECT 1 /* reason: second */ /* reason: third */", "second"),
        ("SELECT 1 /* reason: */ /* reason: said */", "said"),
        ("SELECT 1 /* reason: outer /* inner */ end */ + 1", "outer /* inner */ end"),
        ("SELECT 1 /* reason: not closed", "not closed"),
        ("SELECT 1 /*application='shop',reason='fix%20it%27s%20ticket'*/", "fix it's ticket"),
        ("SELECT 1 /*reason='a\\'b', route='%2Fx'*/", "a'b"),
        ("SELECT 1 /*traceparent='00-1',reason='x' ,controller='y'*/", "x"),
        ("SELECT E'\\'/* reason: no */' /* reason: yes */", "yes"),
        ("SELECT E'a'\n'\\'/* reason: no */' /* reason: yes */", "yes"),
        ("SELECT e'a''\\'/* reason: no */' /* reason: yes */", "yes"),
        ("SELECT '\\' /* reason: yes */ || ''", "yes"),
        ("SELECT a$b$, $1 /* reason: yes */ FROM c$b$", "yes"),
        ("SELECT '''' /* reason: yes */", "yes"),
        ("SELECT typE'x' /* reason: yes */", "yes"),
    ],
)
def test_reason_is_found(text: str, reason: str) -> None:
    assert reason == reason_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT '/* reason: in a literal */'",
        "SELECT 'it''s /* reason: in a literal */'",
        "SELECT E'\\'/* reason: in a literal */'",
        'SELECT "/* reason: in a name */"',
        "SELECT $$/* reason: in dollars */$$",
        "SELECT $tag$ $$ /* reason: in dollars */ $tag$",
        "SELECT $é$/* reason: in dollars */$é$",
        "-- /* reason: in a line comment */\nSELECT 1",
        "-- reason: in a line comment",
        "SELECT 1 /* no reason: here */",
        "SELECT 1 /* /* reason: nested */ */",
        "SELECT 1 /* reasons: many */",
        "SELECT 1 /*reasonable='yes'*/",
        "SELECT 1 /* reason: \u202e\u200b\x07 */",
        "SELECT '/* reason: never closed */",
        "SELECT $$/* reason: never closed */",
    ],
)
def test_no_reason_is_no_reason(text: str) -> None:
    assert reason_in(text) is None


def test_reason_is_fit_to_be_shown() -> None:
    assert "a [2Jb c <!channel>" == reason_in("/* reason: a\x1b[2J\u202eb\r\n\x00c <!channel> */".replace("a\x1b", "a \x1b"))
    long = reason_in(f"/* reason: {'x' * 100_000} */")
    assert long is not None and REASON_CHARACTERS_MAX == len(long)
    assert None is clean_reason(None) is clean_reason(" \t\u2028")


@pytest.mark.parametrize("piece", ["/*", "'", "''", "E'\\", "$a$", "$", '"', "/* reason: ", "='", "'\n", "E'a'\n", "--"])
def test_hostile_texts_cost_no_more_than_their_length(piece: str) -> None:
    text = "/*" + piece * 100_000
    reason = reason_in(text)
    assert reason is None or len(reason) <= REASON_CHARACTERS_MAX
    reason = reason_in(piece * 100_000 + "/* reason: x */")
    assert reason is None or len(reason) <= REASON_CHARACTERS_MAX


PIECES = ("/*", "*/", "'", "''", '"', "$$", "$a$", "--", "\n", "E'", "\\", "reason: ", "reason='", "%41", "x", "\x00", "\ud800", "\u202e")


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_has_a_fit_reason_or_none(text: str) -> None:
    reason = reason_in(text)
    assert reason is None or (0 < len(reason) <= REASON_CHARACTERS_MAX and reason.isprintable() and reason == reason.strip())
