"""psql 15 and 18 do their ordinary work through the proxy as they do without it."""

from __future__ import annotations

import re
import signal
import subprocess
import time

import pytest

_TABLE = """
CREATE TABLE parts (id int PRIMARY KEY, label text NOT NULL, weight numeric(8, 2) DEFAULT 1.5, made date);
CREATE INDEX parts_label ON parts (label);
COMMENT ON TABLE parts IS 'What things are made of';
CREATE VIEW heavy AS SELECT id, label FROM parts WHERE weight > 10;
INSERT INTO parts SELECT n, 'part ' || n, n * 1.25, date '2020-01-01' + n FROM generate_series(1, 20) n;
"""


@pytest.mark.parametrize(
    "command",
    [r"\d", r"\d parts", r"\d+ parts", r"\dt", r"\dt+", r"\di", r"\dv", r"\dn", r"\df", r"\dT", r"\du app", r"\dp parts", r"\conninfo",
     r"\encoding", r"\sv heavy", r"\dd", r"\dconfig search_path", r"\l plain", r"\drds"],
)  # fmt: skip
def test_describing_commands_answer_the_same(expect_both, run_psql, psql, command):
    def scenario(endpoint):
        made = run_psql(psql, endpoint, _TABLE, "-q", "-v", "ON_ERROR_STOP=1")
        assert made.returncode == 0, made.stderr
        done = run_psql(psql, endpoint, command + "\n")
        if command == r"\conninfo":
            return done.returncode  # it names host and port, which differ
        # Sizes and object ids aside, the answers are the same.
        return done.returncode, re.sub(r"\d+ (kB|bytes)", "size", done.stdout), done.stderr

    expect_both(scenario)


def test_scripts_answer_the_same(expect_both, run_psql, psql):
    script = (
        _TABLE
        + r"""
SELECT * FROM parts ORDER BY id LIMIT 3;
SELECT label, weight FROM heavy JOIN parts USING (id, label) ORDER BY 1; SELECT 1 AS one; SELECT 2 AS two\; SELECT 3 AS three;
SELECT count(*) AS n FROM parts \gset
\echo :n
SELECT 'a' AS "A", NULL AS nothing \gx
BEGIN; UPDATE parts SET weight = 0 WHERE id = 1; SAVEPOINT s; SELECT 1/0; ROLLBACK TO s; COMMIT;
SELECT weight FROM parts WHERE id = $1 \bind 1 \g
\crosstabview
SELECT made FROM parts WHERE id = 2 \gdesc
SELECT * FROM nowhere;
;
EXPLAIN (COSTS OFF) SELECT * FROM parts WHERE id = 1;
DO $$ BEGIN RAISE NOTICE 'hello'; END $$;
"""
    )
    if psql.major < 16:
        script = "\n".join(line for line in script.splitlines() if r"\bind" not in line)
    # DO is code that the analysis can't see into; whether it may run is the policy's matter, not this test's.
    script = script.replace("DO $$ BEGIN RAISE NOTICE 'hello'; END $$;", "")

    def scenario(endpoint):
        done = run_psql(psql, endpoint, script)
        return done.returncode, done.stdout, done.stderr

    expect_both(scenario)


def test_copy_in_and_out(expect_both, run_psql, psql, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("".join(f'{n},"line {n}, with comma",{n}.50,2021-02-03\n' for n in range(1, 3001)))

    def scenario(endpoint):
        out = tmp_path / "out.csv"
        out.unlink(missing_ok=True)
        done = run_psql(
            psql,
            endpoint,
            f"{_TABLE}TRUNCATE parts;\n\\copy parts FROM '{source}' CSV\n\\copy (SELECT * FROM parts ORDER BY id) TO '{out}' CSV\n"
            "COPY parts (id, label) FROM stdin;\n5001\tfrom stdin\n\\.\nCOPY (SELECT count(*), sum(weight) FROM parts) TO STDOUT;\n"
            "\\copy parts FROM '/nonexistent' CSV\nCOPY parts (id) FROM stdin;\nnot a number\n\\.\nSELECT 'still here';\n",
            "-q",
        )
        return done.returncode, done.stdout, done.stderr.replace(str(out), ""), out.read_text()

    _, stdout, _, copied = expect_both(scenario)
    assert source.read_text() == copied
    assert "still here" in stdout


def test_watch(expect_both, run_psql, psql):
    """It goes on until the statement fails, the fourth time, and psql with it."""

    def scenario(endpoint):
        script = "CREATE SEQUENCE ticks;\nSELECT 42 / (4 - nextval('ticks')) \\watch 0.05\nSELECT 'after';\n"
        done = run_psql(psql, endpoint, script, "-A", "-t")
        return [line for line in done.stdout.splitlines() if line in ("14", "21", "42", "after")], "division by zero" in done.stderr

    assert expect_both(scenario) == (["14", "21", "42", "after"], True)


def test_interrupt_cancels_the_statement(expect_both, psql, wait_until, site):
    def scenario(endpoint):
        environment = {**endpoint.environment(), **psql.environment(), "PGAPPNAME": "interrupted"}
        with subprocess.Popen(
            [str(psql.program), "-X", "-A", "-t"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment,
        ) as process:  # fmt: skip
            assert process.stdin is not None
            process.stdin.write("SELECT count(*) FROM generate_series(1, 3000000000) AS slow;\n")
            process.stdin.flush()
            running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%AS slow%' AND state = 'active' AND pid <> pg_backend_pid()"
            wait_until(lambda: site.server.sql(running) == "1", "the statement's start")
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            wait_until(lambda: site.server.sql(running) == "0", "the cancel")
            # Without a terminal psql ends there; that the session goes on is shown with the drivers.
            _, err = process.communicate(timeout=20)
            return "canceling statement due to user request" in err, time.monotonic() - began < 15

    assert expect_both(scenario) == (True, True)


def test_listen_and_notify(expect_both, run_psql, psql):
    def scenario(endpoint):
        done = run_psql(
            psql, endpoint, "LISTEN news;\nNOTIFY news, 'payload';\nSELECT pg_notify('news', 'second');\nUNLISTEN news;\nNOTIFY news;\n"
        )
        return done.returncode, re.sub(r"PID \d+", "PID", done.stdout), done.stderr

    _, stdout, _ = expect_both(scenario)
    assert stdout.count("Asynchronous notification") == 2


def test_large_objects_of_the_fast_path_are_refused_with_a_reason_and_the_session_goes_on(site, run_psql, psql, tmp_path):
    """psql's own commands move large objects with FunctionCall: a statement in disguise that nothing can analyse."""
    source = tmp_path / "large.bin"
    source.write_bytes(bytes(range(256)) * 400)
    done = run_psql(psql, site.through(), f"\\lo_import '{source}'\nSELECT 'still ' || 'here';\n", "-A", "-t")
    assert "Querywarden" in done.stderr
    assert "still here" in done.stdout
    assert site.server.sql("SELECT count(*) FROM pg_largeobject_metadata", "plain") == "0"


def test_large_objects_by_functions_work_or_are_refused_with_a_reason(site, run_psql, psql):
    done = run_psql(psql, site.through(), "SELECT lo_unlink(lo_from_bytea(0, '\\xdeadbeef'));\nSELECT 'still ' || 'here';\n", "-A", "-t")
    assert "still here" in done.stdout
    if done.stderr:
        assert re.search(r"ERROR:.*\nDETAIL:.*\nHINT:", done.stderr), done.stderr
    else:
        assert done.stdout.splitlines()[0] == "1"
