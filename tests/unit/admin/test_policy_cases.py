"""Cases of a policy: what a file may say, where a mistake stands, and what comes out of running them."""

from __future__ import annotations

from pathlib import Path

import pytest

from querywarden.admin.policy_cases import read_cases
from querywarden.admin.policy_test import CaseResult, run_cases
from querywarden.errors import ConfigurationError
from querywarden.model.decision import Estimate
from querywarden.model.principal import PrincipalKind
from querywarden.model.resource import Database, Environment

NOW = 1_780_000_000.0

POLICY = """\
version: 1
approvals: {approvers: [dba]}
rules:
  - id: bulk
    effect: hold
    verbs: [update]
    writes: [orders]
    rows_over: 100
    approval: {approvers: [dba, leads], quorum: 2}
  - id: nightly
    effect: deny
    verbs: [insert]
    writes: [events]
    when: {from: "22:00", until: "06:00"}
  - {id: watched, effect: deny, relations: [events], observe: true}
reveal:
  - {who: {groups: [support]}, columns: [public.users.email]}
limits:
  - {who: {kinds: [agent]}, rows: 7}
"""


def results(tmp_path: Path, cases: str, policy: str = POLICY) -> list[CaseResult]:
    (tmp_path / "policy.yaml").write_text(policy)
    (tmp_path / "cases.yaml").write_text(cases)
    return run_cases(tmp_path / "cases.yaml", None, None, NOW)


def differences(result: CaseResult) -> list[tuple[str, str, str]]:
    return [(each.what, each.expected, each.actual) for each in result.differences]


HEAD = "policy: policy.yaml\ndefaults: {principal: ann, database: {name: shop, environment: production}}\n"


def test_what_passes_and_what_fails_with_all_that_differs(tmp_path: Path) -> None:
    found = results(
        tmp_path,
        HEAD
        + """\
cases:
  - {statement: UPDATE orders SET a = 1 WHERE b = 2, rows: 500, expect: hold, rule: bulk, approvers: [leads, dba], quorum: 2}
  - {statement: UPDATE orders SET a = 1 WHERE b = 2, rows: 500, expect: hold, rule: other, approvers: [dba], quorum: 1}
  - {statement: UPDATE orders SET a = 1 WHERE b = 2, rows: 5, expect: hold, rule: bulk}
  - {statement: DROP TABLE orders, expect: deny, rule: baseline.destructive, reason: destructive}
  - {statement: DROP TABLE orders, expect: deny, reason: schema_change}
""",
    )
    assert [True, False, False, True, False] == [each.passed for each in found]
    assert [("rule", "other", "bulk"), ("approvers", "dba", "dba, leads"), ("quorum", "1", "2")] == differences(found[1])
    assert ("decision", "hold", "allow by baseline.people_and_services") == differences(found[2])[0]
    assert [("reason", "schema_change", "destructive")] == differences(found[4])
    assert [4, 5, 6, 7, 8] == [each.line for each in found]


def test_several_statements_count_by_the_strictest(tmp_path: Path) -> None:
    found = results(tmp_path, HEAD + "cases: [{statement: 'SELECT 1; DROP TABLE a; SELECT 2', expect: deny, rule: baseline.destructive}]")
    assert [True] == [each.passed for each in found]


def test_time_and_observed_rules(tmp_path: Path) -> None:
    found = results(
        tmp_path,
        HEAD
        + """\
cases:
  - {statement: INSERT INTO events VALUES (1), at: 2026-06-01T23:30:00Z, expect: deny, rule: nightly, observed: [watched]}
  - {statement: INSERT INTO events VALUES (1), at: 2026-06-01T12:00:00Z, expect: allow, observed: [watched]}
  - {statement: INSERT INTO events VALUES (1), at: 2026-06-01T23:00:00-06:00, expect: deny}
  - {statement: INSERT INTO events VALUES (1), at: 2026-06-01T12:00:00Z, expect: allow, observed: []}
""",
    )
    assert [True, True, True, False] == [each.passed for each in found]
    assert [("observed", "none", "watched")] == differences(found[3])


def test_what_is_seen_and_how_much(tmp_path: Path) -> None:
    found = results(
        tmp_path,
        """\
policy: policy.yaml
principals: {sue: {groups: [support]}, bot: {kind: agent}}
databases: {shop: production}
catalogue:
  users: {id: null, email: email}
  public.keys: {columns: {key: secret}, kind: table}
defaults: {principal: sue, database: shop}
cases:
  - {statement: SELECT email FROM users, expect: allow, unmasked: [public.users.email, public.users.id], masked: public.keys.key}
  - {statement: SELECT email FROM users, principal: bot, expect: allow, unmasked: public.users.email, limits: {rows: 7, bytes: null}}
  - {statement: SELECT email FROM users, principal: bot, expect: allow, limits: {rows: 8, seconds: 5}}
""",
    )
    assert [] == differences(found[0])
    assert [("public.users.email", "as it is", "masked")] == differences(found[1])
    assert [("limits.rows", "8", "7"), ("limits.seconds", "5.0", "none")] == differences(found[2])


def test_keys_and_functions_of_the_catalogue_count(tmp_path: Path) -> None:
    found = results(
        tmp_path,
        HEAD
        + """\
catalogue:
  orders: {columns: {id: null, code: null, part: null, owner: null}, keys: [id, [code, part]], indexed: owner}
  users: {columns: {id: null}, keys: [id], delete_cascades: true}
functions: {purge: volatile, price: stable}
cases:
  - {statement: UPDATE orders SET owner = 1 WHERE id = 7, expect: allow}
  - {statement: UPDATE orders SET owner = 1 WHERE code = 'a' AND part = 2, expect: allow}
  - {statement: UPDATE orders SET owner = 1 WHERE code = 'a', rows: 101, expect: hold, rule: bulk}
  - {statement: SELECT purge(), expect: hold, rule: baseline.volatile_function}
  - {statement: SELECT price(), expect: allow}
  - {statement: DELETE FROM users WHERE id = 1, expect: hold, rule: cascading}
  - {statement: UPDATE orders SET id = 1 WHERE owner = 2, rows: 1, expect: allow}
""",
        POLICY.replace("rules:", "rules:\n  - {id: cascading, effect: hold, properties: [cascades, unkeyed_write]}", 1),
    )
    assert [([], "")] * 7 == [(differences(each), each.note) for each in found]


def test_a_decision_that_hangs_on_rows_says_so(tmp_path: Path) -> None:
    [found] = results(tmp_path, HEAD + "cases: [{statement: UPDATE orders SET a = 1 WHERE b = 2, expect: allow}]")
    assert not found.passed
    assert "rows" in found.note


def test_no_access_is_a_denial(tmp_path: Path) -> None:
    policy = "version: 1\naccess: [{who: {groups: [dba]}}]\n"
    found = results(tmp_path, HEAD + "cases: [{statement: SELECT 1, expect: deny, rule: policy.access}]", policy)
    assert [True] == [each.passed for each in found]


def test_a_text_that_is_no_sql_is_denied_and_an_empty_one_fails(tmp_path: Path) -> None:
    found = results(tmp_path, HEAD + "cases: [{statement: SELEC 1, expect: deny}, {statement: '-- nothing', expect: allow}]")
    assert [True, False] == [each.passed for each in found]


def test_who_and_where_a_case_is_about(tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(
        """\
principals:
  bot: {kind: agent, actors: [planner, runner], databases: shop}
databases:
  shop: staging
  other: {environment: sandbox}
defaults: {principal: {subject: ann, groups: dev}, database: shop, at: 2026-01-02}
cases:
  - {statement: SELECT 1, expect: allow}
  - {statement: SELECT 1, expect: allow, principal: bot, database: other, rows: unknown, at: 2026-01-02 10:00:00}
  - {statement: SELECT 1, expect: allow, principal: somebody, database: somewhere, rows: 3}
"""
    )
    first, second, third = read_cases(file, NOW).cases
    assert ("ann", frozenset({"dev"}), None) == (first.principal.subject, first.principal.groups, first.estimate)
    assert Database("shop", Environment.STAGING) == first.database
    assert (PrincipalKind.AGENT, "planner for bot", frozenset({"shop"})) == (
        second.principal.kind, second.principal.label, second.principal.databases,
    )  # fmt: skip
    assert (Database("other", Environment.SANDBOX), Estimate(None)) == (second.database, second.estimate)
    assert 10 * 3600.0 == second.now - first.now
    assert ("somebody", Database("somewhere", Environment.PRODUCTION), Estimate(3)) == (
        third.principal.subject, third.database, third.estimate,
    )  # fmt: skip


CASE = "cases:\n  - statement: SELECT 1\n    principal: a\n    database: b\n    expect: "

MISTAKES = {
    "cases: [{statement: SELECT 1, expect: allow, principal: a, database: b}]\ncase: []": (2, "unknown key 'case'", "did you mean cases?"),
    "cases:\n  - {expect: allow}": (2, "cases.0.statement is missing", None),
    "cases: []": (1, "cases", None),
    "[]": (1, "the file holds no cases", "cases:"),
    "cases:\n  - statement: SELECT 1\n    expect: alow": (3, "unknown expect 'alow'", "did you mean allow?"),
    "cases:\n  - {statement: SELECT 1, expect: allow}": (2, "names no principal", "principal:"),
    "cases:\n  - {statement: SELECT 1, expect: allow, principal: ann}": (2, "names no database", "database:"),
    CASE + "deny\n    quorum: 2": (6, "only what is expected to hold", None),
    CASE + "allow\n    reason: freeze": (6, "has no reason", None),
    CASE + "deny\n    reason: freez": (6, "unknown reason", "freeze"),
    "cases:\n  - statement: SELECT 1\n    at: soon\n    expect: deny": (3, "not a time", "2026"),
    "cases:\n  - statement: SELECT 1\n    rows: many\n    expect: deny": (3, "rows", None),
    "cases:\n  - statement: SELECT 1\n    rows: -1\n    expect: deny": (3, "rows", None),
    "catalogue:\n  users:\n    email: emial\ncases:\n  - {statement: SELECT 1, expect: deny}": (3, "unknown", "did you mean email?"),
    "catalogue:\n  users: {columns: {id: null}, keys: [[ix]]}\n" + CASE + "deny": (2, "'ix' is none of its columns", "id"),
    "functions: {f: slow}\n" + CASE + "deny": (1, "'slow'", "stable"),
    "catalogue:\n  a.b.c: {x: null}\ncases:\n  - {statement: SELECT 1, expect: deny}": (2, "not the name of a relation", None),
    "catalogue:\n  users: {email: email}\n" + CASE + "allow\n    masked: [public.users.emial]": (
        8, "no column of the catalogue", "did you mean public.users.email?",
    ),
    "principals:\n  ann: {group: dba}\ncases:\n  - {statement: SELECT 1, expect: deny}": (2, "unknown key 'group'", "groups?"),
    "cases: {": (None, "not valid YAML", None),
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    line, message, hint = MISTAKES[text]
    file = tmp_path / "cases.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as told:
        read_cases(file, NOW)
    assert message in told.value.message
    assert str(file) == told.value.file
    if line is not None:
        assert line == told.value.line
    if hint is not None:
        assert hint in (told.value.hint or "")
