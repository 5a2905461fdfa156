"""Memory without end: names that a client makes in SQL are counted like those of the protocol, and forgotten when they are gone."""

from __future__ import annotations

import pytest
from tests.model.statement_desk import Desk, complete, error, fields_of, kinds_of, query, ready


def _run(desk: Desk, text: str, *answer: bytes) -> None:
    desk.from_client(query(text))
    desk.to_server()
    desk.from_server(*answer)


def _fill(desk: Desk) -> None:
    """As many names as a session may have, without the time that it takes to make them."""
    limits, registry = desk.context.limits, desk.phase.state.registry
    registry.statements.update({b"n%d" % number: registry.statements[b"p"] for number in range(limits.statements_max)})
    registry.portals.update({b"n%d" % number: registry.portals[b"c"] for number in range(limits.portals_max)})


@pytest.mark.parametrize("statement", ["prepare more as select name from products", "declare more cursor for select name from products"])
def test_no_more_names_than_a_session_may_have(statement: str) -> None:
    desk = Desk()
    _run(desk, "begin", complete("BEGIN"), ready("T"))
    _run(desk, "prepare p as select name from products", complete("PREPARE"), ready("T"))
    _run(desk, "declare c cursor for select name from products", complete("DECLARE CURSOR"), ready("T"))
    _fill(desk)
    desk.to_client()
    desk.from_client(query(statement))
    ((kind, body),) = desk.to_server()
    assert "Q" == kind
    assert b"refused" in body
    desk.from_server(error("42601"), ready("E"))
    shown = desk.to_client()
    assert "EZ" == kinds_of(shown)
    assert "53400" == fields_of(shown[0][1])["C"]


def test_held_cursors_of_transactions_that_were_rolled_back_are_forgotten() -> None:
    desk = Desk()
    for number in range(20):
        _run(desk, "begin", complete("BEGIN"), ready("T"))
        _run(desk, f"declare c{number} cursor with hold for select name from products", complete("DECLARE CURSOR"), ready("T"))
        _run(desk, "rollback", complete("ROLLBACK"), ready("I"))
    assert not desk.phase.state.registry.portals


def test_held_cursors_of_committed_transactions_survive_later_rollbacks() -> None:
    desk = Desk()
    _run(desk, "begin", complete("BEGIN"), ready("T"))
    _run(desk, "declare c cursor with hold for select name from products", complete("DECLARE CURSOR"), ready("T"))
    _run(desk, "commit", complete("COMMIT"), ready("I"))
    _run(desk, "begin", complete("BEGIN"), ready("T"))
    _run(desk, "rollback", complete("ROLLBACK"), ready("I"))
    assert [b"c"] == list(desk.phase.state.registry.portals)


def test_names_that_no_catalogue_has_are_not_remembered_without_end() -> None:
    desk = Desk()
    state = desk.phase.state
    for number in range(10_050):
        facts = state.context.analyse(f"select 1 from nowhere_{number}".encode())
        assert isinstance(facts, tuple)
        state.needs_catalogue_for(facts[0])
    assert len(state.tried_names) <= 10_001
