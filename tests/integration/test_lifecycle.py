"""The proxy over time: draining, reloading, restarting, a server that dies, cancels that reach only their own session."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import urllib.request

import psycopg
import pytest


def test_sigterm_lets_what_runs_finish_and_takes_nobody_new(make_site, wait_until):
    site = make_site()
    outcome = []

    def work(connection):
        outcome.append(connection.execute("SELECT count(*) FROM generate_series(1, 8000000)").fetchone())

    with site.through().connect() as busy, site.through().connect(autocommit=False) as in_transaction:
        in_transaction.execute("CREATE TEMP TABLE kept (id int)")
        thread = threading.Thread(target=work, args=(busy,))
        thread.start()
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%8000000%' AND state = 'active' AND pid <> pg_backend_pid()"
        wait_until(lambda: site.server.sql(running) == "1", "the statement's start")
        site.proxy.signal(signal.SIGTERM)

        def takes_nobody():
            try:
                socket.create_connection(("127.0.0.1", site.port), timeout=1).close()
            except OSError:
                return True
            return False

        wait_until(takes_nobody, "the listener's end")
        in_transaction.execute("INSERT INTO kept VALUES (1)")
        assert in_transaction.execute("SELECT count(*) FROM kept").fetchone() == (1,)
        in_transaction.commit()
        thread.join(30)
    assert outcome == [(8_000_000,)]
    assert site.proxy.wait() == 0
    assert site.verify().code == 0


def test_a_drained_idle_session_is_told(make_site):
    site = make_site()
    with site.through().connect() as idle:
        idle.execute("SELECT 1")
        assert site.proxy.stop() == 0
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")


def test_policy_reload_is_atomic_and_reaches_open_sessions(make_site, wait_until, tmp_path):
    policy = "version: 1\nrules:\n  - id: no-inserting\n    effect: deny\n    verbs: [insert]\n    because: Inserting is closed for now.\n"
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nrules: []\n")
    site = make_site(policy={"file": str(file)})
    with site.through().connect() as connection:
        connection.execute("CREATE TEMP TABLE things (id int)")
        connection.execute("INSERT INTO things VALUES (1)")
        file.write_text(policy)
        site.proxy.signal(signal.SIGHUP)

        def is_refused():
            try:
                connection.execute("INSERT INTO things VALUES (2)")
            except psycopg.errors.InsufficientPrivilege:
                return True
            return False

        wait_until(is_refused, "the new policy")
        file.write_text("version: 1\nrules: [this is not a rule\n")
        site.proxy.signal(signal.SIGHUP)
        wait_until(lambda: "policy" in site.proxy.log_end().lower(), "a line about the broken policy")
        assert is_refused(), "a broken file must leave the old policy in force"
        file.write_text("version: 1\nrules: []\n")
        site.proxy.signal(signal.SIGHUP)
        wait_until(lambda: not is_refused(), "the policy without the rule")


def test_a_restart_loses_nothing(make_site):
    site = make_site()
    for n in range(3):
        with site.through().connect() as connection:
            assert connection.execute("SELECT %s::int", [n]).fetchone() == (n,)
        assert site.proxy.stop() == 0
        if n < 2:
            site.proxy.start()
    verified = site.verify()
    assert verified.code == 0, verified.out + verified.err


def test_a_server_that_dies_gives_one_honest_error(make_site, server18):
    site = make_site()
    with site.through().connect() as connection:
        connection.execute("SELECT 1")
        server18.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND pid <> pg_backend_pid()"
            " AND application_name LIKE 'alice%'"
        )
        with pytest.raises(psycopg.OperationalError) as ended:
            connection.execute("SELECT 1")
        assert "terminat" in str(ended.value) or "server" in str(ended.value)
    with site.through().connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_unreachable_server_is_said_so(make_site):
    gone = {"host": "127.0.0.1", "port": 1, "database": "x", "role": "x"}
    site = make_site(databases={"plain": {"server": gone, "environment": "development"}})
    with pytest.raises(psycopg.OperationalError, match="FATAL") as failed:
        site.through().connect().close()
    assert "authentication failed" not in str(failed.value)


def _send_cancel(port, process_id, key):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(struct.pack("!iiI", 12 + len(key), 80877102, process_id) + key)
        assert raw.recv(1) == b""


def test_a_cancel_with_a_wrong_key_reaches_nobody(site, wait_until):
    with site.through(tls=False).connect() as connection:
        process_id = connection.pgconn.backend_pid
        outcome = []
        thread = threading.Thread(
            target=lambda: outcome.append(connection.execute("SELECT count(*) FROM generate_series(1, 6000000) AS uncancelled").fetchone())
        )
        thread.start()
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%uncancelled%' AND state = 'active' AND pid <> pg_backend_pid()"
        wait_until(lambda: site.server.sql(running) == "1", "the statement's start")
        for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0" * 32):
            _send_cancel(site.plain_port, process_id, key)
        thread.join(60)
        assert outcome == [(6_000_000,)]


def test_a_cancel_does_not_hit_the_next_statement(site):
    with site.through().connect() as connection:
        for n in range(30):
            connection.cancel_safe()
            assert connection.execute("SELECT %s::int", [n]).fetchone() == (n,)


def _get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.status, answer.read().decode()


def test_health_and_metrics(site):
    with site.through().connect() as connection:
        connection.execute("SELECT 1")
        assert _get(site.admin_port, "/healthz")[0] == 200
        assert _get(site.admin_port, "/readyz")[0] == 200
        status, text = _get(site.admin_port, "/metrics")
    assert status == 200
    for word in ("sessions", "statements", "rows", "masked_cells", "log_sync", "refusals"):
        assert word in text, f"no metric about {word}"


def test_doctor_and_config_and_catalogue(site):
    healthy = site.command("doctor")
    assert healthy.code == 0, healthy.out + healthy.err
    effective = site.command("config")
    assert effective.code == 0
    assert "app-password-of-the-tests" not in effective.out + healthy.out
    site.server.sql("SET ROLE app; CREATE TABLE IF NOT EXISTS catalogue_customers (id int, email text)", "people")
    catalogue = site.command("catalogue", "people")
    site.server.sql("DROP TABLE catalogue_customers", "people")
    assert catalogue.code == 0, catalogue.out + catalogue.err
    assert "catalogue_customers" in catalogue.out
    assert "email" in catalogue.out
