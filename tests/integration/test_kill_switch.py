"""What reaches into open sessions from outside, on a real server: kills, blocks, access for a time, budgets, webhooks, two proxies."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psycopg
import pytest
from tests.integration.approvers import Approver, Waiting
from tests.integration.conftest import ROLE, ROLE_PASSWORD

POLICY = """version: 1
approvals: {approvers: [dba], expires: 5m}
rules:
  - {id: deletes, effect: hold, verbs: [delete], writes: [parts]}
  - {id: sleeping, effect: allow, functions: [pg_sleep], overrides: [baseline.dangerous_function]}
requestable:
  - {id: oncall, who: {groups: [engineers]}, groups: [oncall], for_up_to: 8h}
limits:
  - {id: rows, who: {subjects: [counted]}, per_day: {rows: 100}}
  - {id: two, who: {subjects: [crowd]}, sessions: 2}
access:
  - {id: everybody, who: {groups: [engineers]}, databases: [people, shop]}
  - {id: oncall, who: {groups: [oncall]}, databases: [plain]}
"""
PATIENCE = 3.0
"""Seconds within which a kill has ended a running statement; one, but machines that test are slower than those that serve."""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def site(make_site, policy: Path):
    site = make_site(policy={"file": str(policy)}, approvals={"mode": "wait"})
    fill(site)
    return site


def fill(site) -> None:
    site.server.sql(
        "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app; SET ROLE app;"
        "CREATE TABLE parts (id int PRIMARY KEY); INSERT INTO parts SELECT generate_series(1, 100); ANALYZE;",
        "people",
    )


@pytest.fixture
def at_the_api() -> Iterator[Callable[[Approver], Approver]]:
    """Keeps people at the API until the test is over."""
    with contextlib.ExitStack() as stack:
        yield lambda approver: stack.enter_context(contextlib.closing(approver))


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.05)


def running(site) -> int:
    sleeping = "query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()"
    return int(site.server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE {sleeping}", "people"))


def listed(site) -> list[dict[str, object]]:
    return json.loads(site.command("sessions", "list", "--json").out)


def log_lines(site) -> list[dict[str, object]]:
    return [json.loads(line) for path in sorted(site.audit_folder.glob("seg/*.jsonl")) for line in path.read_text().splitlines()]


def kinds(site) -> list[object]:
    return [line["type"] for line in log_lines(site)]


@pytest.mark.parametrize("how", ["session", "principal", "block"])
def test_a_running_statement_is_cancelled_at_the_server(site, how: str) -> None:
    with contextlib.closing(site.through("people", "mallory").connect()) as connection, site.through("people", "alice").connect() as other:
        waiting = Waiting(lambda: connection.execute("SELECT pg_sleep(60)"))
        until(lambda: running(site) == 1)
        until(lambda: len(listed(site)) == 2)
        number = next(str(session["id"]) for session in listed(site) if session["principal"] == "mallory")
        commands = {
            "session": ("sessions", "kill", number, "-m", "runaway"),
            "principal": ("sessions", "kill", "--principal", "mallory"),
            "block": ("principals", "block", "mallory", "-m", "left"),
        }
        done = site.command(*commands[how])
        assert done.code == 0, done.err
        began = time.monotonic()
        until(lambda: running(site) == 0)
        assert time.monotonic() - began < PATIENCE
        with pytest.raises(psycopg.OperationalError):
            waiting.result()
        assert other.execute("SELECT 1").fetchone() == (1,)
    if how == "block":
        with pytest.raises(psycopg.OperationalError, match="blocked"):
            site.through("shop", "mallory").connect()
        assert site.command("principals", "unblock", "mallory").code == 0
        until(lambda: _can_connect(site, "mallory"))
    until(lambda: {"session": "session.killed", "principal": "session.killed", "block": "principal.unblocked"}[how] in kinds(site))


def _can_connect(site, who: str, database: str = "shop") -> bool:
    try:
        site.through(database, who).connect().close()
    except psycopg.OperationalError:
        return False
    return True


def test_sessions_at_once(site) -> None:
    with site.through("shop", "crowd").connect(), site.through("shop", "crowd").connect():
        with pytest.raises(psycopg.OperationalError, match="You have 2 sessions open on this database already"):
            site.through("shop", "crowd").connect()
        with site.through("people", "crowd").connect() as elsewhere:
            assert elsewhere.execute("SELECT 1").fetchone() == (1,)
    assert _can_connect(site, "crowd")


def test_budgets_survive_a_restart(site) -> None:
    with site.through("shop", "counted").connect() as connection:
        assert len(connection.execute("SELECT id FROM parts WHERE id <= 60").fetchall()) == 60
    assert site.proxy.stop() == 0
    site.proxy.start()
    with site.through("shop", "counted").connect() as connection:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            connection.execute("SELECT id FROM parts WHERE id <= 60").fetchall()
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="used up"):
            connection.execute("SELECT id FROM parts WHERE id = 1")


def test_access_for_a_time(site, at_the_api) -> None:
    """A group is asked for, given, felt by an open session, and ends by itself."""
    socket = site.folder / "data" / "querywarden.sock"
    alice, erin = at_the_api(Approver(socket, site.token("alice"))), at_the_api(Approver(socket, site.token("erin", groups=["dba"])))
    with contextlib.closing(site.through("shop", "alice").connect()):
        assert not _can_connect(site, "alice", "plain")
        asked = alice.ask(group="oncall", valid_for="3s", reason="incident 7")
        assert asked.status_code in (200, 201), asked.text
        assert erin.approve(erin.wait_for_request(kind="access")["id"]).status_code == 200
        with contextlib.closing(site.through("plain", "alice").connect()) as inside:
            assert inside.execute("SELECT 1").fetchone() == (1,)
            until(lambda: not _can_connect(site, "alice", "plain"))
            time.sleep(1.0)
            with pytest.raises(psycopg.OperationalError):
                inside.execute("SELECT 1")
    until(lambda: "access.ended" in kinds(site))
    assert {"approval.requested", "approval.voted", "approval.granted", "access.granted"} <= set(kinds(site))


class _Sink(HTTPServer):
    """A webhook's receiver."""

    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sink.events.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def sink() -> Iterator[_Sink]:
    sink = _Sink()
    thread = threading.Thread(target=sink.serve_forever, daemon=True)
    thread.start()
    yield sink
    sink.shutdown()
    sink.server_close()
    thread.join()


def test_two_proxies_on_one_store(make_site, site, policy: Path, sink: _Sink, at_the_api) -> None:
    """What waits at one proxy is approved at another; both tell webhooks, once."""
    hooks = [{"url": f"http://127.0.0.1:{sink.server_port}/hook", "secret": "shared"}]
    store = {"url": f"sqlite:///{site.folder / 'control.db'}"}
    second = make_site(policy={"file": str(policy)}, approvals={"mode": "wait"}, control=store, webhooks=hooks)
    erin = at_the_api(Approver(site.folder / "data" / "querywarden.sock", site.token("erin", groups=["dba"])))
    with second.through("shop", "alice").connect() as connection:
        waiting = Waiting(lambda: connection.execute("DELETE FROM parts WHERE id = 1").rowcount)
        request = erin.wait_for_request(rule="deletes")
        assert erin.approve(request["id"]).status_code == 200
        assert waiting.result() == 1
        until(lambda: len(listed(site)) == 1)
    assert site.proxy.stop() == 0
    assert second.proxy.stop() == 0
    assert kinds(second).count("approval.requested") == kinds(second).count("approval.used") == 1
    assert kinds(site).count("approval.voted") == kinds(site).count("approval.granted") == 1
    # The proxy where the vote was cast has no webhooks of its own.
    assert [event["type"] for event in sink.events] == ["approval.requested", "approval.used"]


@pytest.fixture
def control(server18) -> Iterator[str]:
    """A database of its own for the control store."""
    server18.sql("CREATE DATABASE control OWNER app")
    yield f"postgresql://{ROLE}:{ROLE_PASSWORD}@127.0.0.1:{server18.port}/control"
    server18.sql("DROP DATABASE control WITH (FORCE)")


def test_a_store_that_goes_away_stops_holds_and_nothing_else(make_site, policy: Path, control: str, at_the_api) -> None:
    site = make_site(policy={"file": str(policy)}, approvals={"mode": "wait"}, control={"url": control})
    fill(site)
    erin = at_the_api(Approver(site.folder / "data" / "querywarden.sock", site.token("erin", groups=["dba"])))
    with site.through("shop", "alice").connect() as connection, site.through("shop", "bob").connect() as other:
        waiting = Waiting(lambda: other.execute("DELETE FROM parts WHERE id = 1").rowcount)
        request = erin.wait_for_request(rule="deletes")
        site.server.sql("ALTER DATABASE control ALLOW_CONNECTIONS false")
        site.server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'control'")
        until(lambda: "approvals.unavailable" in kinds(site))
        with pytest.raises(psycopg.Error, match="control store"):
            connection.execute("DELETE FROM parts WHERE id = 2")
        assert connection.execute("SELECT count(*) FROM parts").fetchone() == (100,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DROP TABLE parts")
        assert _can_connect(site, "carol")
        assert erin.approve(request["id"]).status_code == 503
        assert waiting.is_waiting
        site.server.sql("ALTER DATABASE control ALLOW_CONNECTIONS true")
        until(lambda: erin.approve(request["id"]).status_code == 200)
        assert waiting.result() == 1
    assert kinds(site).count("approvals.unavailable") == 1
