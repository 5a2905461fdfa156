"""Function bodies: how arguments that a body calls by name become its parameters."""

from __future__ import annotations

import pytest

from querywarden.model.catalogue import Catalogue, Column, Function, Relation, SqlBody
from querywarden.postgresql.function_bodies import body_steps


def _asked(text: str, *names: str) -> list[str]:
    """What the server is asked about a body with arguments of these names."""
    function = Function(20000, "public", "f", "f", "v", True, SqlBody(None, text, (25,) * len(names), names))
    relation = Relation(16400, "public", "people", "table", {1: Column(1, "mail", "text")})
    return [step.text.decode() for _, step in body_steps(Catalogue("1", {16400: relation}, functions={20000: function}), [20000])]


def test_arguments_become_parameters() -> None:
    assert _asked('SELECT mail || Which || "which" FROM people WHERE mail = other;', "which", "other") == [
        "SELECT mail || $1 || $1 FROM people WHERE mail = $2"
    ]


def test_letters_beyond_ascii_are_not_folded() -> None:
    """`É` is another name than the argument's, and may be a column's."""
    assert _asked("SELECT É, é FROM people", "é") == ["SELECT É , $1 FROM people"]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT mail FROM people", "SELECT to_jsonb(people) FROM public.people", "SELECT x FROM people AS who, public.people",
        "SELECT who FROM public.people AS who", "SELECT who FROM public.strangers",
    ],
)  # fmt: skip
def test_names_that_may_be_a_column_s_or_a_row_s_are_left_alone(text: str) -> None:
    assert _asked(text, "mail", "people", "who") == []
