"""The log holds what the server ran, whatever happens to the proxy: kill -9 under load, a full disk."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import threading

import psycopg
import pytest

from querywarden.demo.program import querywarden


def _records(site):
    for segment in sorted((site.audit_folder / "seg").glob("*.jsonl")):
        for line in segment.read_bytes().splitlines():
            yield json.loads(line)


def _bodies(site, record_type):
    return [record for record in _records(site) if record["type"] == record_type]


def _text(record):
    return json.dumps(record)


def test_statements_are_recorded_with_identity_and_without_literals(make_site):
    site = make_site()
    secret = "literal-that-must-not-be-recorded-7731"
    with site.through().connect() as connection:
        connection.execute("SELECT %s::text", [secret])
        psycopg.ClientCursor(connection).execute("SELECT %s AS here", [secret])
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT pg_read_file('/etc/passwd')")
        connection.execute("CREATE TEMP TABLE passing (id int)")
    assert site.proxy.stop() == 0
    verified = site.verify()
    assert verified.code == 0, verified.out + verified.err
    whole = b"".join(path.read_bytes() for path in sorted((site.audit_folder / "seg").glob("*.jsonl")))
    token = site.token()
    for forbidden in (secret, "/etc/passwd", token.split(".")[0] + "." + token.split(".")[1][:40]):
        assert forbidden.encode() not in whole
    decided = _bodies(site, "db.query.decided")
    completed = _bodies(site, "db.query.completed")
    assert decided
    assert completed
    assert all("alice" in _text(record) for record in decided)
    assert any("pg_read_file" in _text(record) and "deny" in _text(record) for record in decided)
    types = [record["type"] for record in _records(site)]
    assert "auth.succeeded" in types
    assert "conn.opened" in types
    assert types[-1] == "log.close"
    seq = [record["seq"] for record in _records(site)]
    assert seq == list(range(seq[0], seq[0] + len(seq)))
    tail = site.command("audit", "tail", "-n", "50")
    assert tail.code == 0
    assert "pg_read_file" in tail.out
    assert secret not in tail.out


def test_any_changed_byte_before_the_last_record_is_found(make_site):
    site = make_site()
    with site.through().connect() as connection:
        for n in range(20):
            connection.execute("SELECT %s::int", [n])
    assert site.proxy.stop() == 0
    segment = sorted((site.audit_folder / "seg").glob("*.jsonl"))[0]
    os.chmod(segment, 0o600)
    whole = segment.read_bytes()
    # Nothing follows the last record that could vouch for it; that takes a signed checkpoint.
    covered = whole.rstrip(b"\n").rfind(b"\n")
    for position in range(0, covered, covered // 12):
        segment.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert site.verify().code == 1, f"byte {position} was changed, and nothing was found"
    segment.write_bytes(whole)
    assert site.verify().code == 0


@pytest.mark.parametrize("durability", ["written", "durable"])
def test_kill_9_under_load_loses_no_record_of_what_the_server_ran(make_site, server18, wait_until, durability):
    site = make_site(audit={"directory": "audit", "durability": {"reads": durability, "writes": "durable"}})
    server18.sql("DROP TABLE IF EXISTS marks; SET ROLE app; CREATE TABLE marks (mark int);", "plain")
    marker = f"mark_{durability}"
    done = [0]

    def load(worker):
        try:
            with site.through().connect() as connection:
                for n in range(100_000):
                    # The column alias survives normalisation, so that server log and audit log can be matched.
                    connection.execute(f"SELECT {n} AS {marker}_{worker}_{n}")
                    connection.execute(f"INSERT INTO marks SELECT {n} AS {marker}_i_{worker}_{n}")
                    done[0] += 1
        except psycopg.Error:
            pass

    threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: done[0] > 200, "the load")
    site.proxy.kill()
    for thread in threads:
        thread.join()
    site.proxy.start()
    with site.through().connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert site.proxy.stop() == 0
    verified = site.verify()
    assert verified.code == 0, verified.out + verified.err
    decided = {record_mark for record in _bodies(site, "db.query.decided") for record_mark in _marks(_text(record), marker)}
    ran = set(_marks(server18.log_file.read_text(errors="replace"), marker))
    assert len(ran) > 400
    assert ran <= decided, f"{len(ran - decided)} statements ran without a record"


def _marks(text, marker):
    return re.findall(rf"{marker}_(?:i_)?\d+_\d+", text)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("no right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_statements_and_loses_nothing(make_site, server18, small_disk, wait_until):
    site = make_site(audit={"directory": str(small_disk / "audit")})
    site.audit_folder = small_disk / "audit"
    server18.sql("DROP TABLE IF EXISTS marks; SET ROLE app; CREATE TABLE marks (mark int);", "plain")
    with site.through().connect() as connection:
        connection.execute("INSERT INTO marks VALUES (1)")
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(b"x" * 4096)
        refused = _run_until_refused(connection)
        assert refused.sqlstate == "53100", refused
        before = server18.sql("SELECT count(*) FROM marks", "plain")
        with pytest.raises(psycopg.Error):
            connection.execute("INSERT INTO marks VALUES (2)")
        assert before == server18.sql("SELECT count(*) FROM marks", "plain")
        ballast.unlink()
    # With space again the proxy goes on, at the latest after a restart.
    site.proxy.stop()
    site.proxy.start()
    with site.through().connect() as connection:
        connection.execute("INSERT INTO marks VALUES (3)")
    assert site.proxy.stop() == 0
    verified = site.verify()
    assert verified.code == 0, verified.out + verified.err
    inserts = [r for r in _bodies(site, "db.query.decided") if "INSERT INTO marks" in _text(r) and "allow" in _text(r)]
    assert len(inserts) >= int(server18.sql("SELECT count(*) FROM marks", "plain"))


def _run_until_refused(connection):
    for n in range(200_000):
        try:
            connection.execute(f"INSERT INTO marks SELECT {n}")
        except psycopg.Error as error:
            return error
    pytest.fail("the full disk went unnoticed")


def test_one_proxy_alone_writes_a_log(make_site):
    site = make_site()
    second = querywarden("serve", "-c", str(site.configuration), seconds=30)
    assert second.code == 1
    assert "Traceback" not in second.err
