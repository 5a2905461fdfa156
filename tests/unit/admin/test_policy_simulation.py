"""Replaying the log: what a changed policy would have decided otherwise, and what a record doesn't hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from querywarden.admin.policy_simulation import Simulation, days_of, simulate
from querywarden.audit.record import completed, decided, of_session, of_statement
from querywarden.config.policy_file import load_policy
from querywarden.errors import ConfigurationError
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Estimate
from querywarden.model.facts import Unanalysable
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.baseline import BASELINE
from querywarden.policy.evaluate import Request, judge
from querywarden.policy.explain import outcome_of
from querywarden.postgresql.analysis import analyse

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ANN = Principal("ann", "issuer", PrincipalKind.HUMAN, frozenset({"developers"}))
SHOP = Database("shop", Environment.PRODUCTION)
EMPTY = Catalogue("none", {})


class Log:
    """A log's files as the proxy leaves them, but for the chain, which nobody looks at here."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "seg").mkdir(parents=True)
        self.lines: list[bytes] = []
        self.number = 0

    def statement(self, sql: str, at: datetime = NOW - timedelta(hours=1), tag: str | None = None, **changes: Any) -> str:
        """The records of a statement that the baseline has decided; `changes` are fields of its `decided`."""
        found = analyse(sql.encode())
        assert not isinstance(found, Unanalysable)
        [facts] = found
        principal = changes.pop("principal", ANN)
        rows = changes.get("rows_est") or (1 if tag is None else int(tag.split()[-1]))
        judgement = judge(BASELINE, Request(principal, SHOP, facts, EMPTY, estimate=Estimate(rows)))
        properties = sorted({each.value for part in judgement.parts for each in part.part.properties})
        decision = judgement.decision
        body = decided(
            of_session(principal, SHOP, "s"), of_statement(facts, properties=properties), stage="simple", effect=outcome_of(decision),
            rule=decision.rule, policy_version=BASELINE.version, statement_bytes=len(sql),
        )  # fmt: skip
        body |= {"verbs": sorted({part.part.facts.verb.value for part in judgement.parts})}
        if tag is None and judge(BASELINE, Request(principal, SHOP, facts, EMPTY)).wants_estimate:
            body["rows_est"] = rows
        if facts.values_rows is not None:
            body["values"] = facts.values_rows
        name = self.record("db.query.decided", {**body, **changes}, at)
        if tag is not None:
            self.record("db.query.completed", completed(name, outcome="ok", tag=tag), at)
        return name

    def record(self, kind: str, body: dict[str, Any], at: datetime) -> str:
        self.number += 1
        name = f"id{self.number}"
        self.lines.append(json.dumps({**body, "type": kind, "id": name, "t": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"}).encode())
        return name

    def write(self, segment: int = 0, end: bytes = b"\n") -> None:
        (self.directory / "seg" / f"{segment:020}.jsonl").write_bytes(b"\n".join(self.lines) + end)
        self.lines = []


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "audit")


def run(log: Log, rules: str, days: float = 7, catalogue: str | None = None) -> Simulation:
    if log.lines:
        log.write()
    file = log.directory / "policy.yaml"
    file.write_text("version: 1\n" + rules)
    known = None
    if catalogue is not None:
        known = log.directory / "catalogue.yaml"
        known.write_text(catalogue)
    return simulate(load_policy(file), log.directory, days, NOW, known)


def told(found: Simulation) -> list[tuple[str, str, str, int]]:
    return sorted((each.old, each.new, each.new_rule, each.count) for each in found.changes)


def test_an_unchanged_policy_changes_nothing(log: Log) -> None:
    statements = [
        "SELECT a FROM t", "DROP TABLE t", "CREATE TABLE u (a int)", "UPDATE t SET a = 1", "EXPLAIN DELETE FROM t", "SET ROLE x",
        "WITH d AS (DELETE FROM t WHERE a = 1 RETURNING a) SELECT a FROM d", "COPY t TO STDOUT", "BEGIN", "CREATE TEMP TABLE x (a int)",
        "PREPARE p AS SELECT 1", "DECLARE c CURSOR FOR SELECT 1", "LOCK t", "DO $$ BEGIN END $$", "NOTIFY x",
        "CREATE TABLE z AS SELECT 1", "CALL x()", "INSERT INTO t VALUES (1)", "LISTEN x",
        "SELECT pg_read_file('x')", "EXPLAIN ANALYZE DELETE FROM t WHERE a = 1",
    ]  # fmt: skip
    for statement in statements:
        log.statement(statement)
        log.statement(statement, principal=Principal("bot", "issuer", PrincipalKind.AGENT))
    found = run(log, "")
    assert ([], {}) == (told(found), dict(found.not_replayed))
    assert (2 * len(statements), 2 * len(statements), 0) == (found.decisions, found.same, found.other_rule)


def test_alike_decisions_are_counted_together(log: Log) -> None:
    first = NOW - timedelta(days=2)
    for hours in range(3):
        log.statement("SELECT pay FROM hr.salaries WHERE id = 7", first + timedelta(hours=hours))
    log.statement("SELECT pay FROM hr.salaries WHERE id = 7", principal=Principal("bob", "issuer", PrincipalKind.HUMAN))
    log.statement("SELECT 1")
    found = run(log, "rules: [{id: pay, effect: deny, relations: [hr.*]}]")
    assert [("allow", "deny", "pay", 1), ("allow", "deny", "pay", 3)] == told(found)
    change = found.changes[0]
    assert ("ann", "shop", "baseline.people_and_services") == (change.principal, change.database, change.old_rule)
    assert "SELECT pay FROM hr.salaries WHERE id = ?" == change.statement
    assert ("2026-05-30T12", "2026-05-30T14") == (change.first[:13], change.last[:13])
    assert (5, 1) == (found.decisions, found.same)


def test_what_would_be_held_allowed_and_observed(log: Log) -> None:
    log.statement("CREATE TABLE u (a int)")
    log.statement("DELETE FROM logs WHERE a = 1", tag="DELETE 3")
    log.statement("SELECT a FROM watched")
    rules = """
rules:
  - {id: free, effect: allow, properties: [schema_change], overrides: [baseline.schema_change]}
  - {id: gone, effect: hold, verbs: [delete], writes: [logs]}
  - {id: seen, effect: deny, relations: [watched], observe: true}
"""
    found = run(log, rules)
    assert [("allow", "hold", "gone", 1), ("hold", "allow", "free", 1)] == told(found)
    assert {"seen": 1} == dict(found.observed)


def test_rows_are_those_estimated_then_or_those_there_were(log: Log) -> None:
    rules = "rules: [{id: bulk, effect: hold, verbs: [update], rows_over: 10}]"
    log.statement("UPDATE a SET x = 1 WHERE y = 2", rows_est=11)
    log.statement("UPDATE b SET x = 1 WHERE y = 2", rows_est=10)
    log.statement("UPDATE c SET x = 1 WHERE y = 2", tag="UPDATE 400")
    log.statement("UPDATE d SET x = 1 WHERE y = 2", tag="UPDATE 4")
    log.statement("UPDATE e SET x = 1 WHERE y = 2", rows_est=None)
    found = run(log, rules)
    assert ["a", "c", "e"] == sorted(change.statement.split()[1] for change in found.changes)


def test_windows_are_looked_at_as_of_the_record(log: Log) -> None:
    rules = 'rules: [{id: night, effect: deny, verbs: [select], when: {from: "22:00", until: "06:00"}}]'
    log.statement("SELECT 1", datetime(2026, 5, 31, 23, tzinfo=UTC))
    log.statement("SELECT 2", datetime(2026, 5, 31, 21, tzinfo=UTC))
    assert [("allow", "deny", "night", 1)] == told(run(log, rules))


def test_access_counts(log: Log) -> None:
    log.statement("SELECT 1")
    assert [("allow", "deny", "policy.access", 1)] == told(run(log, "access: [{who: {groups: [dba]}}]"))


def test_names_without_a_schema_and_a_catalogue_that_places_them(log: Log) -> None:
    rules = "rules: [{id: pay, effect: deny, relations: [hr.salaries]}]"
    log.statement("SELECT pay FROM salaries")
    assert [("allow", "deny", "pay", 1)] == told(run(log, rules))
    assert [] == told(run(log, rules, catalogue="public.salaries: {pay: null}"))


def test_columns_that_were_recorded(log: Log) -> None:
    rules = "rules: [{id: card, effect: hold, columns: [public.orders.card]}]"
    log.statement("SELECT card FROM orders")
    log.statement("SELECT id FROM orders")
    log.statement("SELECT * FROM orders")
    assert ["SELECT * FROM orders", "SELECT card FROM orders"] == sorted(change.statement for change in run(log, rules).changes)


def test_what_is_decided_twice_counts_once(log: Log) -> None:
    rules = "rules: [{id: none, effect: deny, verbs: [select]}]"
    log.statement("SELECT 1", stage="parse")
    log.statement("SELECT 1", stage="execute")
    log.statement("SELECT 2", approval={"id": "r", "by": ["erin"], "held": "id9"})
    log.statement("DROP TABLE t", stage="parse")
    found = run(log, rules)
    assert (2, [("allow", "deny", "none", 1)]) == (found.decisions, told(found))


def test_what_a_record_does_not_hold_is_told(log: Log) -> None:
    old = {"props": None}
    log.statement("SELECT 1")
    log.lines = [json.dumps({k: v for k, v in json.loads(line).items() if k not in old}).encode() for line in log.lines]
    log.statement("SELECT 1", reads_more=3)
    log.statement("SELECT 1", verb="teleport")
    log.statement("SELECT 1", props=["read_only", "unheard_of"])
    log.statement("SELECT 1", who={"sub": "ann"})
    log.statement("SELECT 1", effect="deny", reason="budget")
    log.lines.append(b"not json")
    log.lines.append(b"[]")
    found = run(log, "")
    assert (6, 0) == (found.decisions, found.same)
    assert {1, 3} == set(found.not_replayed.values())
    assert 7 == sum(found.not_replayed.values())


def test_what_could_not_be_analysed_stays_refused(log: Log) -> None:
    body = decided(
        of_session(ANN, SHOP, "s"), of_statement(None, 12), stage="simple", effect="deny", rule="baseline.unanalysable",
        policy_version="x", statement_bytes=12,
    )  # fmt: skip
    log.record("db.query.decided", body, NOW)
    found = run(log, "extends: none\n")
    assert (1, 1, {}) == (found.decisions, found.same, dict(found.not_replayed))


def test_days_segments_and_a_line_that_is_being_written(log: Log) -> None:
    log.statement("SELECT 1", NOW - timedelta(days=30))
    log.write(0)
    log.statement("SELECT 2", NOW - timedelta(days=9))
    log.statement("SELECT 3", NOW - timedelta(days=6))
    log.write(2)
    log.statement("SELECT 4")
    log.statement("SELECT 5")
    log.write(4, end=b"")
    found = run(log, "")
    assert 2 == found.decisions
    assert (3, 4) == (run(log, "", days=10).decisions, run(log, "", days=31).decisions)
    assert 4 == run(log, "", days=10**6).decisions


def test_no_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no log"):
        simulate(BASELINE, tmp_path, 7, NOW)


@pytest.mark.parametrize(("text", "days"), [("7", 7.0), ("12h", 0.5), ("2w", 14.0), (" 3 d ", 3.0)])
def test_days(text: str, days: float) -> None:
    assert days == days_of(text)


@pytest.mark.parametrize("text", ["", "a week", "-1", "1.5", "7m"])
def test_what_is_no_number_of_days(text: str) -> None:
    with pytest.raises(ConfigurationError, match="days"):
        days_of(text)
