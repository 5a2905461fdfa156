"""Holds and approvals on a real server: every way that a wait can end, with psycopg."""

from __future__ import annotations

import contextlib
import signal
import time

import psycopg
import pytest
from psycopg import pq
from tests.integration.approvers import Approver, Waiting
from tests.integration.held_site import POLICY, Desk


def delete(connection, number: int = 1, *, parameter: bool = False):
    if parameter:
        return connection.execute("DELETE FROM parts WHERE id = %s", (number,)).rowcount
    return psycopg.ClientCursor(connection).execute(f"DELETE FROM parts WHERE id = {number}").rowcount


def test_hold_and_approve_in_autocommit(desk: Desk) -> None:
    erin = desk.approver()
    notices: list[str] = []
    with desk.connect() as connection:
        connection.add_notice_handler(lambda diag: notices.append(f"{diag.message_primary} {diag.message_detail} {diag.message_hint}"))
        waiting = Waiting(lambda: delete(connection))
        request = erin.wait_for_request(rule="deletes")
        assert waiting.is_waiting
        assert 100 == desk.count()
        assert 200 == erin.approve(request["id"]).status_code
        assert 1 == waiting.result()
        assert 99 == desk.count()
        assert request["id"] in notices[0]
        assert "Deletes of parts are looked at." in notices[0]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DROP TABLE parts")


def test_the_client_is_told_again_while_it_waits(desk: Desk) -> None:
    erin = desk.approver()
    notices: list[str] = []
    with desk.connect() as connection:
        connection.add_notice_handler(lambda diag: notices.append(diag.message_primary or ""))
        waiting = Waiting(lambda: delete(connection))
        request = erin.wait_for_request()
        time.sleep(2.5)
        erin.approve(request["id"])
        waiting.result()
    assert len([notice for notice in notices if request["id"] in notice]) >= 3, notices


def test_hold_and_approve_in_an_open_transaction(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect(autocommit=False) as connection:
        connection.execute("INSERT INTO parts VALUES (500, 1)")
        backend = connection.execute("SELECT pg_backend_pid()").fetchone()
        waiting = Waiting(lambda: delete(connection, 500))
        request = erin.wait_for_request()
        erin.approve(request["id"])
        assert 1 == waiting.result()
        assert backend == connection.execute("SELECT pg_backend_pid()").fetchone()
        assert (100,) == connection.execute("SELECT count(*) FROM parts").fetchone()
        connection.rollback()
    assert 100 == desk.count()


def test_a_no_in_an_open_transaction_fails_it_as_any_error_does(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect(autocommit=False) as connection:
        connection.execute("INSERT INTO parts VALUES (500, 1)")
        connection.execute("SAVEPOINT before")
        waiting = Waiting(lambda: delete(connection))
        erin.deny(erin.wait_for_request()["id"], "not now")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="denied by erin: not now"):
            waiting.result()
        assert pq.TransactionStatus.INERROR == connection.info.transaction_status
        connection.execute("ROLLBACK TO before")
        connection.commit()
    assert 101 == desk.count()


def test_hold_and_approve_in_a_pipeline(desk: Desk) -> None:
    erin = desk.approver()

    def work(connection):
        with connection.pipeline():
            first = connection.execute("INSERT INTO parts VALUES (600, 1) RETURNING id")
            second = connection.execute("DELETE FROM parts WHERE id = %s RETURNING id", (600,))
            third = connection.execute("SELECT count(*) FROM parts")
            return first.fetchone(), second.fetchone(), third.fetchone()

    with desk.connect() as connection:
        waiting = Waiting(lambda: work(connection))
        erin.approve(erin.wait_for_request()["id"])
        assert ((600,), (600,), (100,)) == waiting.result()


def test_a_denied_statement_in_a_pipeline_skips_to_the_sync(desk: Desk) -> None:
    erin = desk.approver()

    def work(connection):
        with connection.pipeline():
            connection.execute("INSERT INTO parts VALUES (600, 1)")
            connection.execute("DELETE FROM parts WHERE id = 1")
            connection.execute("INSERT INTO parts VALUES (601, 1)")

    with desk.connect() as connection:
        waiting = Waiting(lambda: work(connection))
        erin.deny(erin.wait_for_request()["id"])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            waiting.result()
        assert (1,) == connection.execute("SELECT 1").fetchone()
    assert 100 == desk.count()


def test_an_approver_sees_who_what_with_which_parameters_and_what_it_would_do(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect() as connection:
        connection.execute("SET querywarden.reason = 'ticket 4711'")
        waiting = Waiting(lambda: delete(connection, 7, parameter=True))
        request = erin.wait_for_request()
        shown = erin.show(request["id"])
        statement = shown["statement"]
        assert ["7"] == statement["parameters"]
        assert "DELETE FROM parts WHERE id = $1" == statement["text"]
        assert 1 == statement["estimated_rows"]
        assert '"Operation": "Delete"' in statement["plan"]
        assert "ticket 4711" == request["reason"]
        assert "alice" == request["requester"]
        erin.approve(request["id"])
        assert 1 == waiting.result()
    assert "0" == desk.site.server.sql("SELECT count(*) FROM parts WHERE id = 7", "people")


def test_an_approval_is_for_these_parameters_and_for_one_use(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect() as connection:
        for number in (1, 1, 2):
            waiting = Waiting(lambda number=number: delete(connection, number, parameter=True))
            request = erin.wait_for_request()
            assert [str(number)] == erin.show(request["id"])["statement"]["parameters"]
            erin.approve(request["id"])
            waiting.result()
    assert 98 == desk.count()


def test_deny(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect() as connection:
        waiting = Waiting(lambda: delete(connection))
        request = erin.wait_for_request()
        assert 200 == erin.deny(request["id"], "use the archive job").status_code
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="use the archive job"):
            waiting.result()
        assert 409 == desk.approver("frank").approve(request["id"]).status_code
        assert (100,) == connection.execute("SELECT count(*) FROM parts").fetchone()


def test_expire(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect() as connection:
        waiting = Waiting(lambda: connection.execute("UPDATE brief SET n = 2 WHERE id = 1"))
        request = erin.wait_for_request(rule="brief")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="in time"):
            waiting.result()
        assert 400 <= erin.approve(request["id"]).status_code < 500
        assert (1,) == connection.execute("SELECT n FROM brief").fetchone()


def test_ctrl_c(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect() as connection:
        waiting = Waiting(lambda: delete(connection))
        request = erin.wait_for_request()
        connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            waiting.result()
        assert [] == erin.requests()
        assert 400 <= erin.approve(request["id"]).status_code < 500
        assert 99 == 100 - delete_approved(connection, erin)


def delete_approved(connection, erin: Approver) -> int:
    waiting = Waiting(lambda: delete(connection))
    erin.approve(erin.wait_for_request()["id"])
    return waiting.result()


def test_client_gone(desk: Desk, wait_until) -> None:
    erin = desk.approver()
    connection = desk.open()
    connection.pgconn.send_query(b"DELETE FROM parts WHERE id = 1")
    request = erin.wait_for_request()
    connection.pgconn.finish()
    wait_until(lambda: not erin.requests(), "the withdrawal")
    assert 400 <= erin.approve(request["id"]).status_code < 500
    time.sleep(1)
    assert 100 == desk.count()


def test_server_gone(desk: Desk, wait_until) -> None:
    erin = desk.approver()
    with contextlib.suppress(psycopg.Error), desk.connect() as connection:
        (backend,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        waiting = Waiting(lambda: delete(connection))
        request = erin.wait_for_request()
        desk.site.server.sql(f"SELECT pg_terminate_backend({backend})", "people")
        with pytest.raises(psycopg.OperationalError):
            waiting.result()
    wait_until(lambda: not erin.requests(), "the withdrawal")
    assert 400 <= erin.approve(request["id"]).status_code < 500
    assert 100 == desk.count()


def test_an_idle_limit_of_the_server_is_foreseen_and_told(desk: Desk) -> None:
    erin = desk.approver()
    notices: list[str] = []
    with desk.connect(autocommit=False) as connection:
        connection.add_notice_handler(lambda diag: notices.append(diag.message_detail or ""))
        connection.execute("SET idle_in_transaction_session_timeout = '3s'")
        waiting = Waiting(lambda: delete(connection))
        erin.wait_for_request()
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="in time"):
            waiting.result()
        connection.rollback()
        assert (100,) == connection.execute("SELECT count(*) FROM parts").fetchone()
    assert "3 s (idle_in_transaction_session_timeout)" in notices[0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_proxy_restarted_while_holding(desk: Desk, number: signal.Signals) -> None:
    erin = desk.approver()
    connection = desk.open()
    waiting = Waiting(lambda: delete(connection))
    request = erin.wait_for_request()
    if number is signal.SIGKILL:
        desk.site.proxy.kill()
    else:
        assert 0 == desk.site.proxy.stop()
    with pytest.raises(psycopg.OperationalError):
        waiting.result()
    desk.site.proxy.start()
    erin = desk.approver()
    assert [] == erin.requests()
    assert 400 <= erin.approve(request["id"]).status_code < 500
    with desk.connect() as again:
        assert 1 == delete_approved(again, erin)
    assert 99 == desk.count()


def test_the_requester_cannot_approve_also_not_as_a_delegated_agent(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect("alice") as connection:
        waiting = Waiting(lambda: delete(connection))
        request = erin.wait_for_request()
        for claims in ({}, {"act": {"sub": "robot"}}):
            token = desk.site.token("alice", groups=["dba"], **claims)
            alice = Approver(desk.socket, token)
            assert alice.approve(request["id"]).status_code == (404 if claims else 403)
            alice.close()
        token = desk.site.token("bob", groups=["dba"], act={"sub": "alice"})
        through_bob = Approver(desk.socket, token)
        assert 404 == through_bob.approve(request["id"]).status_code
        through_bob.close()
        assert waiting.is_waiting
        erin.approve(request["id"])
        waiting.result()


def test_somebody_outside_the_group_is_not_told_that_there_is_a_request(desk: Desk) -> None:
    erin, mallory = desk.approver(), desk.approver("mallory", ("engineers",))
    with desk.connect() as connection:
        waiting = Waiting(lambda: delete(connection))
        request = erin.wait_for_request()
        assert [] == mallory.requests()
        assert mallory.approve("NOSUCHID").status_code == mallory.approve(request["id"]).status_code == 404
        erin.approve(request["id"])
        waiting.result()


def test_two_of_three(desk: Desk) -> None:
    erin, frank, grace = desk.approver(), desk.approver("frank"), desk.approver("grace")
    with desk.connect() as connection:
        waiting = Waiting(lambda: connection.execute("UPDATE ledger SET amount = 0 WHERE id = 1").rowcount)
        request = erin.wait_for_request(rule="two")
        assert 200 == erin.approve(request["id"]).status_code
        assert 409 == erin.approve(request["id"]).status_code
        time.sleep(1)
        assert waiting.is_waiting
        assert 200 == frank.approve(request["id"]).status_code
        assert 1 == waiting.result()
        assert 409 == grace.approve(request["id"]).status_code


def test_one_denial_is_final(desk: Desk) -> None:
    erin, frank, grace = desk.approver(), desk.approver("frank"), desk.approver("grace")
    with desk.connect() as connection:
        waiting = Waiting(lambda: connection.execute("UPDATE ledger SET amount = 0 WHERE id = 1"))
        request = erin.wait_for_request(rule="two")
        erin.approve(request["id"])
        frank.deny(request["id"])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            waiting.result()
        assert 409 == grace.approve(request["id"]).status_code


def test_an_approver_who_has_lost_the_group_does_not_count_at_release(desk: Desk) -> None:
    erin, frank = desk.approver(), desk.approver("frank")
    with desk.connect() as connection:
        waiting = Waiting(lambda: connection.execute("UPDATE ledger SET amount = 0 WHERE id = 1").rowcount)
        request = erin.wait_for_request(rule="two")
        assert 200 == erin.approve(request["id"]).status_code
        # Erin's next token no longer has the group; the proxy sees it when she logs in.
        without = desk.approver("erin", ("engineers",))
        without.requests()
        time.sleep(1)
        frank.approve(request["id"])
        time.sleep(1.5)
        assert waiting.is_waiting
        assert "1" == desk.site.server.sql("SELECT amount FROM ledger WHERE id = 1", "people")
        connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            waiting.result()


@pytest.mark.parametrize("change", ["allows", "denies", "holds"])
def test_the_policy_changes_while_holding(desk: Desk, change: str, wait_until) -> None:
    erin = desk.approver()
    policy = desk.site.folder / "policy.yaml"
    with desk.connect() as connection:
        waiting = Waiting(lambda: delete(connection))
        first = erin.wait_for_request(rule="deletes")
        line = "  - {id: deletes, effect: hold,"
        changed = {"allows": "  - {id: deletes, effect: allow,", "denies": "  - {id: deletes, effect: deny,", "holds": line}[change]
        policy.write_text(POLICY.replace(line, changed) + "# another version\n")
        desk.site.proxy.signal(signal.SIGHUP)
        if change == "allows":
            assert 1 == waiting.result()
        elif change == "denies":
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                waiting.result()
        else:
            wait_until(lambda: [each["id"] for each in erin.requests()] not in ([], [first["id"]]), "the new request")
            assert 400 <= erin.approve(first["id"]).status_code < 500
            assert waiting.is_waiting
            erin.approve(erin.wait_for_request()["id"])
            assert 1 == waiting.result()
    assert (100 if change == "denies" else 99) == desk.count()
    before = desk.policy_changes()
    policy.write_text(POLICY)
    desk.site.proxy.signal(signal.SIGHUP)
    wait_until(lambda: desk.policy_changes() > before, "the first policy again")


def test_fail_and_retry(desk: Desk) -> None:
    erin = desk.approver()
    statement = "DELETE FROM ledger WHERE id = %s"
    with desk.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as first:
            connection.execute(statement, (1,))
        request = erin.wait_for_request(rule="again")
        assert request["id"] in str(first.value)
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as second:
            connection.execute(statement, (1,))
        assert request["id"] in str(second.value)
        assert 1 == len(erin.requests())
        erin.approve(request["id"])
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as other:
            connection.execute(statement, (2,))
        assert request["id"] not in str(other.value)
    with desk.connect() as later:
        assert 1 == later.execute(statement, (1,)).rowcount
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            later.execute(statement, (1,))
    with desk.connect("bob") as somebody_else, pytest.raises(psycopg.errors.InsufficientPrivilege):
        somebody_else.execute(statement, (1,))
    assert 99 == desk.count("ledger")


def test_fail_and_retry_survives_a_restart_of_the_proxy(desk: Desk) -> None:
    erin = desk.approver()
    with desk.connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM ledger WHERE id = 1")
    erin.approve(erin.wait_for_request()["id"])
    desk.site.proxy.kill()
    desk.site.proxy.start()
    with desk.connect() as connection:
        assert 1 == connection.execute("DELETE FROM ledger WHERE id = 1").rowcount


def test_an_approval_for_a_window_and_a_count(desk: Desk) -> None:
    erin = desk.approver()
    statement = "DELETE FROM ledger WHERE id > 1000"
    with desk.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
        assert 200 == erin.approve(erin.wait_for_request()["id"], uses=2, valid_for="1h").status_code
        for _ in range(2):
            assert 0 == connection.execute(statement).rowcount
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


@pytest.mark.parametrize("how", ["option", "set"])
def test_a_client_may_wish_to_fail_rather_than_wait(desk: Desk, how: str) -> None:
    options = {"options": "-c querywarden.hold=fail"} if how == "option" else {}
    with desk.connect(**options) as connection:
        if how == "set":
            connection.execute("SET querywarden.hold = 'fail'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="request"):
            delete(connection)


def test_another_search_path_is_another_question(desk: Desk) -> None:
    erin = desk.approver()
    desk.site.server.sql("CREATE SCHEMA other AUTHORIZATION app; CREATE TABLE other.ledger AS SELECT * FROM ledger;"
                         "ALTER TABLE other.ledger OWNER TO app", "people")  # fmt: skip
    statement = "DELETE FROM ledger WHERE id = 3"
    with desk.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
        erin.approve(erin.wait_for_request()["id"])
        connection.execute("SET search_path = other, public")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
        connection.execute("RESET search_path")
        assert 1 == connection.execute(statement).rowcount


class TestEstimates:
    def test_few_rows_pass_and_many_are_held_with_the_parameters_that_are_bound(self, desk: Desk) -> None:
        erin = desk.approver()
        statement = "UPDATE parts SET weight = 0 WHERE id > %s"
        with desk.connect() as connection:
            assert 5 == connection.execute(statement, (95,)).rowcount
            waiting = Waiting(lambda: connection.execute(statement, (5,)).rowcount)
            request = erin.wait_for_request(rule="many")
            assert 80 < request["estimated_rows"] <= 100
            erin.approve(request["id"])
            assert 95 == waiting.result()

    def test_they_leave_no_trace_in_the_session(self, desk: Desk) -> None:
        notices: list[str] = []
        with desk.connect(autocommit=False) as connection:
            connection.add_notice_handler(lambda diag: notices.append(diag.message_primary or ""))
            connection.execute("CREATE TEMP TABLE mine (id int)")
            connection.execute("SAVEPOINT one")
            connection.execute("UPDATE parts SET weight = 0 WHERE id > 98")
            assert ("off", "0") == connection.execute(
                "SELECT current_setting('transaction_read_only'), current_setting('statement_timeout')"
            ).fetchone()
            assert [] == connection.execute("SELECT name FROM pg_prepared_statements WHERE name LIKE 'querywarden%'").fetchall()
            connection.execute("ROLLBACK TO one")
            connection.commit()
            with pytest.raises(psycopg.errors.InvalidSavepointSpecification):
                connection.execute("BEGIN; ROLLBACK TO querywarden_probe")
        assert [] == [notice for notice in notices if "probe" in notice or "Plan" in notice]

    def test_a_transaction_with_uncommitted_rows_is_estimated_where_it_stands(self, desk: Desk) -> None:
        erin = desk.approver()
        with desk.connect(autocommit=False) as connection:
            connection.execute("CREATE TEMP TABLE wanted AS SELECT n AS id FROM generate_series(1, 90) n")
            connection.execute("ANALYZE wanted")
            waiting = Waiting(lambda: connection.execute("UPDATE parts SET weight = 0 WHERE id IN (SELECT id FROM wanted)").rowcount)
            erin.approve(erin.wait_for_request(rule="many")["id"])
            assert 90 == waiting.result()
            connection.rollback()

    def test_batches_of_parameters_go_on_in_order(self, desk: Desk) -> None:
        with desk.connect() as connection, connection.cursor() as cursor:
            cursor.executemany("UPDATE parts SET weight = %s WHERE id > %s", [(number, 95 + number % 3) for number in range(40)])
            assert (39,) == connection.execute("SELECT weight FROM parts WHERE id = 100").fetchone()

    def test_a_statement_that_the_server_cannot_plan_gets_the_servers_error(self, desk: Desk) -> None:
        with desk.connect(options="-c querywarden.hold=fail") as connection:
            with pytest.raises(psycopg.Error):
                connection.execute("UPDATE parts SET weight = no_such_column")
            assert (100,) == connection.execute("SELECT count(*) FROM parts").fetchone()
