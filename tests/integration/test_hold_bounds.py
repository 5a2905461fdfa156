"""Holds on a real server: several rules that ask different people, and how many questions one principal may ask."""

from __future__ import annotations

import psycopg
import pytest
from tests.integration.approvers import Waiting
from tests.integration.held_site import Desk


def test_the_approvers_of_every_rule_that_holds_have_to_agree(desk: Desk) -> None:
    erin, frank, gina = desk.approver(), desk.approver("frank", ("security",)), desk.approver("gina", ("sales",))
    with desk.connect() as connection:
        waiting = Waiting(lambda: connection.execute("DELETE FROM brief WHERE id = 1").rowcount)
        request = erin.wait_for_request(rule="by-dba")
        assert [["dba"], ["security"]] == [each["approvers"] for each in request["agreements"]]
        assert [] == gina.requests()
        erin.approve(request["id"])
        assert 409 == erin.approve(request["id"]).status_code
        assert [1, 0] == [each["approvals"] for each in frank.requests()[0]["agreements"]]
        assert waiting.is_waiting
        assert 1 == desk.count("brief")
        frank.approve(request["id"])
        assert 1 == waiting.result()
    assert 0 == desk.count("brief")


def test_who_belongs_to_both_is_enough(desk: Desk) -> None:
    heidi = desk.approver("heidi", ("dba", "security"))
    with desk.connect() as connection:
        waiting = Waiting(lambda: connection.execute("DELETE FROM brief WHERE id = 1").rowcount)
        heidi.approve(heidi.wait_for_request(rule="by-dba")["id"])
        assert 1 == waiting.result()


def test_nobody_asks_more_than_can_be_answered(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect("flo") as flo, desk.connect() as alice:
        for number in range(1, 21):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="It needs an approval: request"):
                psycopg.ClientCursor(flo).execute(f"DELETE FROM ledger WHERE id = {number}")
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded, match="20 of your requests wait") as raised:
            psycopg.ClientCursor(flo).execute("DELETE FROM ledger WHERE id = 21")
        assert "tell the operator" not in str(raised.value.diag.message_hint)
        # What was asked already is asked still, and others are heard.
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="It needs an approval: request"):
            psycopg.ClientCursor(flo).execute("DELETE FROM ledger WHERE id = 20")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="It needs an approval: request"):
            psycopg.ClientCursor(alice).execute("DELETE FROM ledger WHERE id = 21")
        for request in erin.requests():
            assert 200 == erin.deny(request["id"]).status_code
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="It needs an approval: request"):
            psycopg.ClientCursor(flo).execute("DELETE FROM ledger WHERE id = 22")
    assert 100 == desk.count("ledger")
