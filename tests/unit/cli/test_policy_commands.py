"""`querywarden policy`: what a person reads, exit codes, and that nothing from a log can act on a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from querywarden.audit.record import decided, of_session, of_statement
from querywarden.cli.main import app
from querywarden.model.facts import StatementFacts, Verb
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment

POLICY = """\
version: 1
approvals: {approvers: [dba], expires: 90s}
rules:
  - id: bulk
    effect: hold
    verbs: [update, delete]
    rows_over: 100
    when: {days: [mon, tue], from: "09:00", until: "17:00", zone: Europe/Vienna}
    because: Many rows would change.
    approval: {approvers: [dba, leads], quorum: 2, expires: 2h, mode: fail}
  - {id: seen, effect: deny, relations: [watched], observe: true}
freezes:
  - {id: year-end, from: 2026-12-20, until: 2027-01-02, effect: deny}
automatic_approvals:
  - {id: few, rules: [bulk], rows_up_to: 200}
  - {id: again, rules: [bulk], standing: true}
requestable:
  - {id: oncall, groups: [oncall], for_up_to: 8h}
masks:
  - {id: short, classes: [email], operator: redact}
limits:
  - {id: people, rows: 1000, seconds: 60, sessions: 3, per_hour: {bytes: 5000}}
"""
MONDAY = "2026-06-01T12:00:00+02:00"
UPDATE = "UPDATE t SET a = 1 WHERE b = 2"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["policy", *map(str, arguments)])


def test_check_tells_all_of_a_policy(policy: Path) -> None:
    shown = run("check", policy)
    assert 0 == shown.exit_code
    for text in (
        "hold  bulk  everyone, everywhere", "delete or update; over 100 rows", "when mon, tue 09:00–17:00 Europe/Vienna",
        "approved by 2 people of dba or leads within 2 hours, mode fail", "deny  seen  everyone, everywhere  (observed only)",
        "approvals  one person of dba within 90 seconds", "whatever changes data or schema",
        "when from 2026-12-20 00:00 until 2027-01-03 00:00 UTC",
        "automatic  few: what bulk hold", "up to 200 rows", "with a standing approval of the exact statement",
        "requestable  oncall: everyone: group oncall, for up to 8 hours", "masks  short: everyone, everywhere: email by redact",
        "limits  people: everyone, everywhere: 1000 rows per statement, 1 minute per statement, 3 sessions at once, 5000 bytes per hour",
    ):  # fmt: skip
        assert text in shown.output
    data = json.loads(run("check", policy, "--json").output)
    assert "bulk" == data["rules"][0]["id"]


def test_check_of_the_baseline_and_of_a_mistake(policy: Path) -> None:
    assert "baseline.destructive" in run("check").output
    policy.write_text("version: 1\nruls: []\n")
    shown = run("check", policy)
    assert (1, f"{policy}:2: unknown key 'ruls' (did you mean rules?)\n") == (shown.exit_code, shown.stderr)


def test_explain_with_rows_and_time(policy: Path) -> None:
    common = ("explain", policy, "-s", UPDATE, "--environment", "development")
    held = run(*common, "--rows", "5000", "--at", MONDAY).output
    for text in ("HOLD  by bulk", "Many rows would change.", "2 people of dba or leads", "at most 1000 rows per statement", "by again"):
        assert text in held
    assert "ALLOW" in run(*common, "--rows", "5000", "--at", "2026-06-03T12:00").output
    automatic = run(*common, "--rows", "150", "--at", MONDAY).output
    assert "approved by the automatic rule few" in automatic
    assert "ask the server for an estimate" in run(*common, "--at", MONDAY).output
    assert "ask the server" not in held
    assert "HOLD  by bulk" in run(*common, "--rows", "unknown", "--at", MONDAY).output
    assert "DENY  by" in run(*common, "--rows", "1", "--at", "2026-12-24").output
    seen = run("explain", policy, "-s", "SELECT a FROM watched", "--at", MONDAY, "--rows", "1")
    assert "observed: seen would deny it" in seen.output


def test_explain_as_data(policy: Path) -> None:
    [found] = json.loads(run("explain", policy, "-s", UPDATE, "--rows", "5000", "--at", MONDAY, "--json").output)
    decision = found["decision"]
    assert ("hold", 2, ["dba", "leads"]) == (decision["outcome"], decision["terms"]["quorum"], decision["terms"]["approvers"])
    assert ("allow", 1000) == (decision["once_approved"]["outcome"], decision["once_approved"]["rows_max"])
    assert found["wants_estimate"] is False


@pytest.mark.parametrize("arguments", [("--rows", "many"), ("--rows", "-1"), ("--rows", "²"), ("--at", "tomorrow")])
def test_explain_refuses_what_is_no_number_and_no_time(policy: Path, arguments: tuple[str, str]) -> None:
    shown = run("explain", policy, "-s", "SELECT 1", *arguments)
    assert 1 == shown.exit_code
    assert "not a " in shown.stderr


def test_test_tells_what_differs_and_where(policy: Path, tmp_path: Path) -> None:
    cases = tmp_path / "cases.yaml"
    cases.write_text(
        f"defaults: {{principal: ann, database: shop, at: '{MONDAY}'}}\ncases:\n"
        f"  - {{statement: {UPDATE}, rows: 900, expect: hold}}\n  - {{statement: {UPDATE}, rows: 900, expect: deny, name: never}}\n"
    )
    failed = run("test", cases, "--policy", policy)
    assert 1 == failed.exit_code
    assert f"FAIL  {cases}:4: never" in failed.output
    assert "decision: expected deny, decided hold by bulk" in failed.output
    assert "1 of 2 cases failed" in failed.output
    cases.write_text(cases.read_text().replace("expect: deny", "expect: hold"))
    passed = run("test", cases, "-p", policy)
    assert (0, "2 cases passed\n") == (passed.exit_code, passed.output)
    [first, _] = json.loads(run("test", cases, "-p", policy, "--json").output)
    assert (True, "hold", "bulk", 3) == (first["passed"], first["decision"], first["rule"], first["line"])


def test_test_takes_the_policy_of_the_configuration(policy: Path, tmp_path: Path) -> None:
    cases, config = tmp_path / "cases.yaml", tmp_path / "querywarden.yaml"
    cases.write_text(
        f"cases: [{{principal: ann, database: shop, at: '{MONDAY}', statement: {UPDATE}, rows: 900, expect: hold, rule: bulk}}]"
    )
    config.write_text(
        "listeners: [{port: 6432, allow_plaintext_loopback: true}]\n"
        "databases: {shop: {server: {host: 127.0.0.1, database: shop, role: app}}}\n"
        'identity: {issuers: [{issuer: "http://127.0.0.1:1", audience: querywarden}]}\npolicy: {file: policy.yaml}\n'
    )
    assert 0 == run("test", cases, "-c", config).exit_code
    assert 1 == run("test", cases).exit_code


def test_test_tells_a_mistake_in_the_cases(tmp_path: Path) -> None:
    cases = tmp_path / "cases.yaml"
    cases.write_text("cases:\n  - {statement: SELECT 1}\n")
    shown = run("test", cases)
    assert (1, f"{cases}:2: cases.0.expect is missing\n") == (shown.exit_code, shown.stderr)


def write_log(directory: Path, norm: str) -> None:
    facts = StatementFacts(Verb.SELECT, norm)
    body = decided(
        of_session(Principal("ann\x1b[2J", "i", PrincipalKind.HUMAN), Database("shop", Environment.PRODUCTION), "s"),
        of_statement(facts, properties=["read_only"]), stage="simple", effect="allow", rule="baseline.people_and_services",
        policy_version="x", statement_bytes=9,
    )  # fmt: skip
    (directory / "seg").mkdir(parents=True)
    line = {**body, "type": "db.query.decided", "id": "i", "t": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}
    (directory / "seg" / f"{0:020}.jsonl").write_text(json.dumps(line) + "\n")


def test_simulate_shows_what_would_differ(tmp_path: Path) -> None:
    write_log(tmp_path / "audit", "SELECT \x1b]0;owned\x07 \u202e[bold]x")
    policy = tmp_path / "new.yaml"
    policy.write_text("version: 1\nrules: [{id: closed, effect: deny, verbs: [select]}]\n")
    shown = run("simulate", "--policy", policy, "--log", tmp_path / "audit")
    assert 0 == shown.exit_code
    expected = ("1 decision from", "allow → deny  once  by closed (was baseline.people_and_services)", "1 would differ", "[bold]x")
    for text in expected:
        assert text in shown.output
    assert not {"\x1b", "\x07", "\u202e"} & set(shown.output)
    data = json.loads(run("simulate", "-p", policy, "--log", tmp_path / "audit", "--json", "--days", "1h").output)
    assert ("closed", 1) == (data["changes"][0]["new_rule"], data["changes"][0]["count"])


@pytest.mark.parametrize(
    ("arguments", "message"), [((), "which log?"), (("--log", "/nowhere"), "no log"), (("--days", "soon"), "not a number")]
)
def test_simulate_tells_what_is_missing(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    policy = tmp_path / "new.yaml"
    policy.write_text("version: 1\n")
    shown = run("simulate", "--policy", policy, *arguments)
    assert 1 == shown.exit_code
    assert message in shown.stderr
