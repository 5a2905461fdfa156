"""The facts of some hundred statements, one of each form, against a reviewed table.

`golden.txt` holds a statement on a line and below it, indented, its facts as `render` writes them; what has its default value
is left out. After a change that is meant, print the new table with `python tests/unit/postgresql/analysis/test_golden.py` and review it.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from querywarden.model.facts import Expression, SettingChange, StatementFacts, Verb
from querywarden.postgresql.analysis import analyse

TABLE = Path(__file__).parent / "golden.txt"
LEFT_OUT = {"verb", "normalised", "start", "end", "children", "copy"}
"""The form of a COPY has tests of its own."""


def render(facts: StatementFacts, depth: int = 1) -> list[str]:
    """The facts of a statement as lines, children indented below."""
    words = [facts.verb.value]
    for field in dataclasses.fields(StatementFacts):
        value = getattr(facts, field.name)
        if field.name not in LEFT_OUT and value != field.default:
            words.append(f"{field.name}={_render_value(value)}")
    lines = ["    " * depth + " ".join(words)]
    for child in facts.children:
        lines += render(child, depth + 1)
    return lines


def _render_value(value: Any) -> str:
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(str(item) for item in value)) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_render_value(item) for item in value) + "]"
    if isinstance(value, Expression):
        target = f"{value.target}:" if value.target else ""
        mark = "?" if value.is_opaque else "=" if value.is_plain_column else ""
        return target + mark + "+".join(sorted(value.columns))
    if isinstance(value, SettingChange):
        return f"{'local ' if value.is_local else ''}{value.name}:{value.value}"
    return str(value)


def render_text(text: str) -> list[str]:
    """The facts of every statement of a text as lines."""
    analysis = analyse(text.encode())
    assert isinstance(analysis, tuple), (text, analysis)
    return [line for facts in analysis for line in render(facts)]


def read_table() -> list[tuple[str, list[str]]]:
    """The statements of the table with the lines below each."""
    entries: list[tuple[str, list[str]]] = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            entries[-1][1].append(line)
        elif line and not line.startswith("#"):
            entries.append((line, []))
    return entries


@pytest.mark.parametrize(("text", "expected"), read_table() if TABLE.exists() else [])
def test_facts_are_those_of_the_table(text: str, expected: list[str]) -> None:
    assert expected == render_text(text)


def test_table_has_every_verb() -> None:
    seen = {Verb(line.split()[0]) for _, lines in read_table() for line in lines}

    assert set(Verb) - seen == {Verb.EMPTY, Verb.UNKNOWN}


if __name__ == "__main__":
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("    "):
            sys.stdout.write(line + "\n")
            if line and not line.startswith("#"):
                sys.stdout.write("".join(f"{fact}\n" for fact in render_text(line)))
