"""Holds and approvals as psql sees them: what is printed, what Ctrl-C does, pipelines and bound parameters."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from tests.integration.held_site import POLICY, Desk

from querywarden.demo.installations import Psql, wheel_psql

DELETE = "DELETE FROM parts WHERE id = 1;"


class Terminal:
    """A psql at work on a script."""

    def __init__(self, psql: Psql, desk: Desk, script: str, **environment: str) -> None:
        settings = {**desk.site.through("shop").environment(), **psql.environment(), **environment}
        self._process = subprocess.Popen(
            [str(psql.program), "-X", "-v", "ON_ERROR_STOP=0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env=settings, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(script)
        self._process.stdin.flush()

    @property
    def is_waiting(self) -> bool:
        return self._process.poll() is None

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate(timeout=10)

    def end(self) -> str:
        """What was printed, once the script is done."""
        return self._process.communicate(timeout=40)[0]


@pytest.fixture
def newest() -> Psql:
    found = wheel_psql(18)
    assert found is not None
    return found


def test_hold_and_approve_in_autocommit(desk: Desk, psql: Psql) -> None:
    erin = desk.approver()
    terminal = Terminal(psql, desk, DELETE + "\nSELECT 'after' AS then;\n")
    request = erin.wait_for_request(rule="deletes")
    assert terminal.is_waiting
    erin.approve(request["id"])
    shown = terminal.end()
    assert f"NOTICE:  Querywarden holds this statement for an approval: request {request['id']}" in shown
    assert "DETAIL:  Deletes of parts are looked at. Rule deletes." in shown
    assert f"querywarden approvals show {request['id']}" in shown
    assert "DELETE 1" in shown
    assert "after" in shown
    assert 99 == desk.count()


def test_hold_and_approve_in_an_open_transaction(desk: Desk, psql: Psql) -> None:
    erin = desk.approver()
    terminal = Terminal(psql, desk, f"BEGIN;\nINSERT INTO parts VALUES (700, 1);\n{DELETE}\nSELECT count(*) FROM parts;\nCOMMIT;\n")
    erin.approve(erin.wait_for_request()["id"])
    shown = terminal.end()
    assert ["BEGIN", "INSERT 0 1", "DELETE 1", "COMMIT"] == [
        line for line in shown.splitlines() if line.startswith(("BEGIN", "INSERT", "DELETE", "COMMIT"))
    ]
    assert 100 == desk.count()


def test_deny(desk: Desk, psql: Psql) -> None:
    erin = desk.approver()
    terminal = Terminal(psql, desk, DELETE + "\nSELECT 'after' AS then;\n")
    erin.deny(erin.wait_for_request()["id"], "ask the owner first")
    shown = terminal.end()
    assert "ERROR:  The approval of this statement was denied by erin: ask the owner first" in shown
    assert "after" in shown
    assert 100 == desk.count()


def test_expire(desk: Desk, psql: Psql) -> None:
    shown = Terminal(psql, desk, "UPDATE brief SET n = 2 WHERE id = 1;\n").end()
    assert "ERROR:  Nobody approved this statement in time" in shown


def test_ctrl_c(desk: Desk, psql: Psql) -> None:
    erin = desk.approver()
    terminal = Terminal(psql, desk, DELETE + "\nSELECT 'after' AS then;\n")
    request = erin.wait_for_request()
    terminal.interrupt()
    shown = terminal.end()
    assert "ERROR:  canceling statement due to user request" in shown
    assert f"Request {request['id']} was withdrawn." in shown
    assert [] == erin.requests()
    assert 100 == desk.count()


def test_psql_killed(desk: Desk, psql: Psql, wait_until) -> None:
    erin = desk.approver()
    terminal = Terminal(psql, desk, DELETE + "\n")
    request = erin.wait_for_request()
    terminal.kill()
    wait_until(lambda: not erin.requests(), "the withdrawal")
    assert 400 <= erin.approve(request["id"]).status_code < 500
    assert 100 == desk.count()


def test_server_gone(desk: Desk, psql: Psql, wait_until) -> None:
    erin = desk.approver()
    terminal = Terminal(psql, desk, DELETE + "\n")
    erin.wait_for_request()
    desk.site.server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND application_name LIKE 'alice%'")
    shown = terminal.end()
    assert "terminating connection" in shown or "server closed the connection" in shown
    wait_until(lambda: not erin.requests(), "the withdrawal")


def test_proxy_restarted_while_holding(desk: Desk, psql: Psql) -> None:
    desk.approver().requests()
    terminal = Terminal(psql, desk, DELETE + "\n")
    desk.approver().wait_for_request()
    desk.site.proxy.kill()
    assert "connection to server was lost" in terminal.end()
    desk.site.proxy.start()
    assert [] == desk.approver().requests()
    assert 100 == desk.count()


def test_bound_parameters_are_shown_and_bound(desk: Desk, newest: Psql) -> None:
    erin = desk.approver()
    for number in ("8", "9"):
        terminal = Terminal(newest, desk, f"DELETE FROM parts WHERE id = $1 \\bind {number} \\g\n")
        request = erin.wait_for_request()
        assert [number] == erin.show(request["id"])["statement"]["parameters"]
        erin.approve(request["id"])
        assert "DELETE 1" in terminal.end()
    assert 98 == desk.count()


def test_a_pipeline(desk: Desk, newest: Psql) -> None:
    erin = desk.approver()
    script = (
        "\\startpipeline\nINSERT INTO parts VALUES (800, 1) \\bind \\sendpipeline\nDELETE FROM parts WHERE id = 800 \\bind \\sendpipeline\n"
        "SELECT count(*) FROM parts \\bind \\sendpipeline\n\\endpipeline\n"
    )
    terminal = Terminal(newest, desk, script)
    erin.approve(erin.wait_for_request()["id"])
    shown = terminal.end()
    assert ["INSERT 0 1", "DELETE 1"] == [line for line in shown.splitlines() if line.startswith(("INSERT", "DELETE"))]
    assert 100 == desk.count()


def test_two_of_three(desk: Desk, psql: Psql) -> None:
    erin, frank = desk.approver(), desk.approver("frank")
    terminal = Terminal(psql, desk, "UPDATE ledger SET amount = 0 WHERE id = 1;\n")
    request = erin.wait_for_request(rule="two")
    erin.approve(request["id"])
    assert terminal.is_waiting
    frank.approve(request["id"])
    assert "UPDATE 1" in terminal.end()


def test_the_requester_cannot_approve(desk: Desk, psql: Psql) -> None:
    erin, alice = desk.approver(), desk.approver("alice")
    terminal = Terminal(psql, desk, DELETE + "\n")
    request = erin.wait_for_request()
    refused = alice.approve(request["id"])
    assert (403, True) == (refused.status_code, "own request" in refused.text)
    erin.approve(request["id"])
    assert "DELETE 1" in terminal.end()


def test_an_approver_who_has_lost_the_group(desk: Desk, psql: Psql) -> None:
    erin, frank = desk.approver(), desk.approver("frank")
    terminal = Terminal(psql, desk, "UPDATE ledger SET amount = 0 WHERE id = 2;\n")
    request = erin.wait_for_request(rule="two")
    erin.approve(request["id"])
    desk.approver("erin", ("engineers",)).requests()
    assert "pending" == frank.approve(request["id"]).json()["state"]
    assert terminal.is_waiting
    terminal.interrupt()
    assert "canceling statement" in terminal.end()
    assert "2" == desk.site.server.sql("SELECT amount FROM ledger WHERE id = 2", "people")


def test_the_policy_changes_while_holding(desk: Desk, psql: Psql, wait_until) -> None:
    erin = desk.approver()
    policy = desk.site.folder / "policy.yaml"
    terminal = Terminal(psql, desk, DELETE + "\n")
    erin.wait_for_request()
    policy.write_text(POLICY.replace("{id: deletes, effect: hold,", "{id: deletes, effect: deny,"))
    desk.site.proxy.signal(signal.SIGHUP)
    shown = terminal.end()
    assert "ERROR:  Deletes of parts are looked at." in shown
    before = desk.policy_changes()
    policy.write_text(POLICY)
    desk.site.proxy.signal(signal.SIGHUP)
    wait_until(lambda: desk.policy_changes() > before, "the first policy again")


def test_fail_and_retry(desk: Desk, psql: Psql) -> None:
    erin = desk.approver()
    options = {"PGOPTIONS": "-c querywarden.hold=fail"}
    script = f"DELETE FROM parts WHERE id = 55 /* {psql.program} */;\n"
    shown = Terminal(psql, desk, script, **options).end()
    request = erin.wait_for_request()
    assert f"It needs an approval: request {request['id']}" in shown
    erin.approve(request["id"])
    assert "DELETE 1" in Terminal(psql, desk, script, **options).end()
    assert "It needs an approval" in Terminal(psql, desk, script, **options).end()


def test_a_reason_in_a_comment_is_shown_to_approvers(desk: Desk, psql: Psql) -> None:
    erin = desk.approver()
    terminal = Terminal(psql, desk, "DELETE FROM parts WHERE id = 3 /* reason: ticket 4711 */;\n")
    request = erin.wait_for_request()
    assert "ticket 4711" == request["reason"]
    erin.approve(request["id"])
    assert "DELETE 1" in terminal.end()
