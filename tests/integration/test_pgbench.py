"""pgbench's own scripts run through the proxy in all three of its protocols, and leave the database as they should."""

from __future__ import annotations

import re
import subprocess

import pytest

from querywarden.demo.installations import installations

CLIENTS, TRANSACTIONS = 4, 50


@pytest.fixture(scope="module")
def pgbench():
    for installation in installations().values():
        if installation.program("pgbench").exists():
            return installation.program("pgbench")
    pytest.fail("pgbench is missing: it is in Debian's postgresql-15")


@pytest.fixture
def run_pgbench(pgbench):
    def run(endpoint, *arguments):
        done = subprocess.run(
            [str(pgbench), *arguments], capture_output=True, text=True, check=False, timeout=180, env=endpoint.environment()
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def tables(site, run_pgbench):
    site.server.sql("SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app;", "plain")
    run_pgbench(site.direct(), "-i", "-q", "-s", "1")


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("script", ["tpcb-like", "select-only", "simple-update"])
def test_scripts_run(site, run_pgbench, tables, protocol, script):
    answer = run_pgbench(site.through(), "-n", "-M", protocol, "-b", script, "-c", str(CLIENTS), "-j", "2", "-t", str(TRANSACTIONS))
    done = re.search(r"number of transactions actually processed: (\d+)/(\d+)", answer)
    assert done is not None
    assert (str(CLIENTS * TRANSACTIONS),) * 2 == done.groups()
    assert "number of failed transactions: 0" in answer
    written = 0 if script == "select-only" else CLIENTS * TRANSACTIONS
    assert str(written) == site.server.sql("SELECT count(*) FROM pgbench_history", "plain")
    if script == "tpcb-like":
        sums = site.server.sql(
            "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(tbalance) FROM pgbench_tellers),"
            "(SELECT sum(delta) FROM pgbench_history) = (SELECT sum(bbalance) FROM pgbench_branches)",
            "plain",
        )
        assert sums == "t|t"


def test_initialisation_through_the_proxy(expect_both, run_pgbench):
    def scenario(endpoint):
        run_pgbench(endpoint, "-i", "-q", "-s", "1", "--foreign-keys")
        with endpoint.connect() as connection:
            return connection.execute("SELECT (SELECT count(*) FROM pgbench_accounts), (SELECT count(*) FROM pgbench_tellers)").fetchone()

    assert expect_both(scenario) == (100_000, 10)
