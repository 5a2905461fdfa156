"""Statements laid out for approvers: only the space between tokens may differ, and nothing a requester writes breaks or delays it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querywarden.admin import statement_text
from querywarden.admin.statement_text import FORMATTED_CHARACTERS_MAX, formatted


def test_a_statement_is_laid_out() -> None:
    assert "select a, b\nfrom t\nwhere x = 'a  b'\n    and y = $1" == formatted("select a, b from t where x = 'a  b' and y = $1")


@pytest.mark.parametrize(
    "text", ["", " ", ";", "'", '"', "$a$", "/*", "--", "(" * 500, "select" + " 1+" * 800, "case " * 800, "\x00", "é\u202e"]
)
def test_strange_texts_do_no_harm(text: str) -> None:
    found = formatted(text)
    assert found is None or "".join(found.split()) == "".join(text.split())


def test_long_texts_are_left_alone() -> None:
    assert formatted("select 1" + " " * FORMATTED_CHARACTERS_MAX) is None


def test_a_layout_that_changes_the_statement_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for changed in ("select 2", "select 1 -- x", "select '1'"):
        monkeypatch.setattr(statement_text.sqlparse, "format", lambda *_, changed=changed, **__: changed)
        assert formatted("select 1") is None
    # A line that slides behind a comment's two hyphens is no longer run.
    monkeypatch.setattr(statement_text.sqlparse, "format", lambda *_, **__: "select 1 -- note where id = 1")
    assert formatted("select 1 -- note\nwhere id = 1") is None


@given(st.text(alphabet="aA1 \n'\"$-/*();,.\\=", max_size=200))
def test_no_character_is_lost(text: str) -> None:
    found = formatted(text)
    assert found is None or "".join(found.split()) == "".join(text.split())
