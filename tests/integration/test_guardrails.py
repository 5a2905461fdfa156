"""Guardrails that take the whole way: observed rules, automatic and standing approvals, freezes, limits over several statements."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from tests.integration.approvers import Approver, Waiting
from tests.integration.held_site import set_up

POLICY = """version: 1
approvals: {approvers: [dba], expires: 5m, mode: fail}
rules:
  - {id: watched, effect: deny, verbs: [select], reads: [brief], observe: true}
  - {id: updates, effect: hold, verbs: [update], writes: [parts]}
  - {id: deletes, effect: hold, verbs: [delete], writes: [parts]}
automatic_approvals:
  - {id: small, rules: [updates], rows_up_to: 10}
  - {id: again, rules: [deletes], standing: true}
freezes:
  - {id: thaw, from: 2020-01-01, until: 2020-02-01}
  - {id: winter, from: 2020-01-01, until: 2099-01-01, who: {groups: [contractors]}, because: Contractors rest.}
masks:
  - {id: nobody, classes: [email], operator: redact, who: {groups: [contractors]}}
"""


@pytest.fixture
def site(make_site, tmp_path) -> Iterator[Any]:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    site = make_site(policy={"file": str(policy)})
    set_up(site.server)
    yield site
    assert 0 == site.proxy.stop()
    assert 0 == site.verify().code


def decided(site, text: str) -> list[dict[str, Any]]:
    """The decisions on statements whose normalised text begins so."""
    lines = [line for file in sorted(site.audit_folder.rglob("*")) if file.is_file() for line in file.read_bytes().splitlines()]
    records = [json.loads(line) for line in lines if line.startswith(b"{") and b"db.query.decided" in line]
    return [record for record in records if record["stmt"]["norm"].startswith(text) and record["stage"] != "parse"]


def approver(site, subject: str = "erin") -> Approver:
    return Approver(site.folder / "data" / "querywarden.sock", site.token(subject, groups=["dba"]))


def test_an_observed_rule_is_recorded_and_has_no_effect(site) -> None:
    with site.through("shop").connect() as connection:
        assert (1,) == connection.execute("SELECT n FROM brief").fetchone()
    (record,) = decided(site, "SELECT n FROM brief")
    assert ("allow", [{"rule": "watched", "effect": "deny"}]) == (record["effect"], record["observed"])


def test_a_small_change_is_approved_by_rule_and_a_large_one_by_people(site) -> None:
    with site.through("shop").connect() as connection:
        assert 5 == connection.execute("UPDATE parts SET weight = 0 WHERE id > 95").rowcount
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="request"):
            connection.execute("UPDATE parts SET weight = 0 WHERE id > 50")
    small, large = decided(site, "UPDATE parts")
    assert ("allow", {"automatic": "small"}) == (small["effect"], small["approval"])
    assert "hold" == large["effect"]
    assert small["rows_est"] <= 10 < large["rows_est"]


def test_a_standing_approval_of_this_exact_statement_serves_others_but_not_its_approver(site) -> None:
    statement, erin = "DELETE FROM parts WHERE id > 1000", approver(site)
    with site.through("shop", "alice").connect() as alice, site.through("shop", "bob").connect() as bob:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            alice.execute(statement)
        request = erin.wait_for_request(requester="alice")
        assert 200 == erin.approve(request["id"], uses=5, valid_for="1h", standing=True).status_code
        assert 0 == alice.execute(statement).rowcount
        assert 0 == bob.execute(statement).rowcount
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            bob.execute("DELETE FROM parts WHERE id > 1001")
    with site.through("shop", "erin").connect() as own, pytest.raises(psycopg.errors.InsufficientPrivilege):
        own.execute(statement)
    erin.close()


def test_a_freeze_keeps_whom_it_names_from_changing_anything_and_from_nothing_else(site) -> None:
    token = site.token("carl", groups=["contractors"])
    with site.through("shop", "carl", token=token).connect() as carl:
        assert (100,) == carl.execute("SELECT count(*) FROM parts").fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"Contractors rest\."):
            carl.execute("INSERT INTO parts VALUES (900, 1)")
    with site.through("shop").connect() as alice:
        assert 1 == alice.execute("INSERT INTO parts VALUES (900, 1)").rowcount


def test_a_write_in_a_condition_is_held_with_what_it_would_do_unseen(site, run_psql, psql) -> None:
    done = run_psql(psql, site.through("shop"), "UPDATE parts SET weight = 1 WHERE id < 90;\n\\echo :SQLSTATE\n")
    assert "ERROR:  A rule of the policy holds this statement for an approval." in done.stderr
    assert "42501" in done.stdout
    assert "Plan" not in done.stderr + done.stdout


def test_waiting_is_the_clients_wish_too(site) -> None:
    erin = approver(site)
    with site.through("shop").connect(options="-c querywarden.hold=wait -c querywarden.reason=trial") as connection:
        waiting = Waiting(lambda: connection.execute("DELETE FROM parts WHERE id = 1"))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            waiting.result()
        assert "trial" == erin.wait_for_request(requester="alice")["reason"]
    erin.close()
