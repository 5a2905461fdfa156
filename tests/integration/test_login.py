"""Logins: no session without a verified credential, all failures alike, and the server sees who it is."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import time

import psycopg
import pytest

from querywarden.demo.installations import installations


def _failure(endpoint):
    with pytest.raises(psycopg.OperationalError) as failed:
        endpoint.connect().close()
    text = str(failed.value)
    # libpq puts host, port and address first, on each of its lines.
    return text.split("FATAL:", 1)[-1].strip()


def test_the_server_sees_the_principal(site):
    with site.through(user="alice").connect(application_name="report") as connection:
        row = connection.execute(
            "SELECT current_setting('querywarden.subject'), current_setting('querywarden.groups'), current_setting('application_name')"
        ).fetchone()
    assert row[0] == "alice"
    assert "engineers" in row[1]
    assert row[2].startswith("alice")


def test_all_bad_credentials_look_alike(site):
    good = site.token()
    header, claims, signature = good.split(".")
    forged = ".".join((header, claims, signature[:-8] + "AAAAAAAA"))
    attempts = {
        "nonsense": "correct horse",
        "forged": forged,
        "expired": site.token(issued_at=time.time() - 7200, lifetime_seconds=600),
        "not yet valid": site.token(nbf=int(time.time()) + 3600),
        "another audience": site.token(aud="another"),
        "another issuer": site.token(iss="http://127.0.0.1:1"),
        "no such service token": "qw_00000000_0000000000000000000000000000",
        "the server's own password": "app-password-of-the-tests",
    }
    texts = {name: _failure(site.through(token=token)) for name, token in attempts.items()}
    texts["no such database"] = _failure(site.through("nowhere"))
    assert len(set(texts.values())) == 1, texts
    assert "authentication failed" in texts["nonsense"]
    for token in attempts.values():
        assert token not in site.proxy.log_file.read_text(errors="replace")


def test_a_login_without_tls_is_refused_before_a_secret_moves(site):
    """A plaintext StartupMessage on a TLS listener is answered with an error, not with a request for the password."""
    body = struct.pack("!i", 196608) + b"user\0alice\0database\0plain\0\0"
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as raw:
        raw.sendall(struct.pack("!i", len(body) + 4) + body)
        answer = b""
        while chunk := raw.recv(4096):
            answer += chunk
    assert answer[:1] == b"E"
    assert b"TLS" in answer
    assert "TLS" in _failure(site.through().with_changes(authority=None))


def test_bytes_ahead_of_the_tls_handshake_end_the_connection(site):
    body = struct.pack("!i", 196608) + b"user\0mallory\0\0"
    injected = struct.pack("!i", len(body) + 4) + body
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as raw:
        raw.sendall(struct.pack("!ii", 8, 80877103) + injected)
        answer = raw.recv(1)
        assert answer in {b"", b"S", b"E"}
        raw.settimeout(10)
        context = ssl.create_default_context(cafile=str(site.authority))
        with pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(raw, server_hostname="localhost").close()


def test_direct_tls_needs_its_alpn(site):
    wanting = ssl.create_default_context(cafile=str(site.authority))
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as raw:
        try:
            with wanting.wrap_socket(raw, server_hostname="localhost") as inside:
                body = struct.pack("!i", 196608) + b"user\0alice\0database\0plain\0\0"
                inside.sendall(struct.pack("!i", len(body) + 4) + body)
                assert inside.recv(1) != b"R"
        except (ssl.SSLError, OSError):
            pass  # it may end during the handshake as well
    if psycopg.pq.version() >= 170000:
        endpoint = site.through()
        with psycopg.connect(endpoint.conninfo + " sslnegotiation=direct") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_revoked_service_token_ends(site, wait_until):
    name = f"revoked-{site.server.major}"
    made = site.command(
        "token", "create", name, "--owner", "alice", "--kind", "service", "--database", "plain", "--expires", "1h", "--quiet"
    )
    assert made.code == 0, made.err
    endpoint = site.through(token=made.out.strip())
    assert _failure(site.through("people", token=made.out.strip()))
    with endpoint.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        listed = site.command("token", "list", "--json")
        assert name in listed.out
        assert made.out.strip() not in listed.out
        token_id = made.out.strip().split("_")[1]
        assert site.command("token", "revoke", token_id).code == 0

        def has_ended():
            try:
                connection.execute("SELECT 1")
            except psycopg.OperationalError:
                return True
            return False

        wait_until(has_ended, "the end of the revoked session")
    assert "authentication failed" in _failure(endpoint)


def test_an_expired_token_ends_its_session(make_site, issuer, wait_until):
    rules = {"issuer": issuer.url, "audience": "querywarden", "leeway_seconds": 0}
    site = make_site(identity={"issuers": [rules], "recheck_seconds": 0.2})
    with site.through(token=site.token(lifetime_seconds=4)).connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)

        def has_ended():
            try:
                connection.execute("SELECT 1")
            except psycopg.OperationalError:
                return True
            return False

        wait_until(has_ended, "the end of the session", 15)


@pytest.mark.parametrize(
    "option",
    ["-c querywarden.subject=bob", "-c role=postgres", "-c session_replication_role=replica", "-c client_min_messages=panic",
     "-c standard_conforming_strings=off", "-c row_security=off"],
)  # fmt: skip
def test_start_up_options_that_the_analysis_or_the_identity_rest_on_are_refused(site, option):
    with pytest.raises(psycopg.OperationalError):
        site.through().connect(options=option).close()


def test_ordinary_start_up_options_pass(site):
    with site.through().connect(options="-c statement_timeout=12345 -c DateStyle=German") as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("12345ms",)
        assert connection.info.parameter_status("DateStyle") == "German, DMY"


def test_replication_is_refused(site):
    with pytest.raises(psycopg.OperationalError, match="replication"):
        psycopg.connect(site.through().conninfo + " replication=database").close()


def test_pg_isready_and_silent_probes_are_no_errors(site):
    program = installations()[site.server.major].program("pg_isready")
    done = subprocess.run([str(program), "-h", "127.0.0.1", "-p", str(site.plain_port)], capture_output=True, check=False, timeout=20)
    assert done.returncode == 0
    for _ in range(5):
        socket.create_connection(("127.0.0.1", site.port), timeout=5).close()
    with site.through().connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
