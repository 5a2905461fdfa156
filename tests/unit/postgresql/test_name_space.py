"""The name space of a held statement: what the server is asked, and by which names."""

from __future__ import annotations

import pytest

from querywarden.model.facts import StatementFacts
from querywarden.postgresql.analysis import analyse
from querywarden.postgresql.name_space import SETTINGS, name_space_step


def facts_of(text: str) -> tuple[StatementFacts, ...]:
    found = analyse(text.encode())
    assert isinstance(found, tuple), found
    return found


def test_settings_and_temporary_relations_of_the_statements_names_are_asked_for() -> None:
    step = name_space_step(facts_of("DELETE FROM shop.orders USING items WHERE true; UPDATE users SET a = 1"))
    assert (b'{"items","orders","users"}',) == step.parameters
    assert [] == [name for name in SETTINGS if f"current_setting('{name}')" not in step.text.decode()]


def test_names_are_quoted() -> None:
    assert (b'{"a\\"b\\\\c,{}"}',) == name_space_step(facts_of('DELETE FROM "a""b\\c,{}"')).parameters


@pytest.mark.parametrize("text", ["DELETE FROM orders WHERE id = own_function()", "CALL own_procedure()"])
def test_code_of_the_database_may_use_any_temporary_relation(text: str) -> None:
    assert (None,) == name_space_step(facts_of(text)).parameters


def test_a_function_of_the_server_uses_none() -> None:
    assert (b'{"orders"}',) == name_space_step(facts_of("DELETE FROM orders WHERE at < now()")).parameters


def test_a_lock_takes_no_snapshot() -> None:
    assert b"SHOW search_path" == name_space_step(facts_of("LOCK TABLE orders")).text
    assert b"SELECT" == name_space_step(facts_of("LOCK TABLE orders; DELETE FROM orders")).text[:6]
