"""Windows of time: hours of weekdays by the clock of a zone, over midnight and over changes of the clock; periods; phases."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Allow, Deny, Hold
from querywarden.model.facts import StatementFacts, Verb
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment, RelationName
from querywarden.policy.baseline import BASELINE
from querywarden.policy.evaluate import Request, decide
from querywarden.policy.language import AutomaticApproval, Effect, Policy, Rule, What
from querywarden.policy.matching import FREEZE_PROPERTIES
from querywarden.policy.windows import Period, Weekly
from querywarden.postgresql.analysis import analyse

VIENNA = ZoneInfo("Europe/Vienna")
NEW_YORK = ZoneInfo("America/New_York")
WORKDAYS = frozenset(range(5))


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


OFFICE = Weekly(WORKDAYS, 9 * 60, 17 * 60, VIENNA)
NIGHT = Weekly(frozenset({4}), 22 * 60, 6 * 60, VIENNA)
EARLY = Weekly(frozenset(), 2 * 60, 3 * 60, VIENNA)
HOLDS = [
    # window, time in UTC, whether it holds
    (OFFICE, "2026-01-14T07:59:59", False),  # Wednesday, 08:59:59 in Vienna
    (OFFICE, "2026-01-14T08:00:00", True),
    (OFFICE, "2026-01-14T15:59:59", True),
    (OFFICE, "2026-01-14T16:00:00", False),
    (OFFICE, "2026-07-15T06:59:59", False),  # summer time
    (OFFICE, "2026-07-15T07:00:00", True),
    (OFFICE, "2026-07-15T14:59:59", True),
    (OFFICE, "2026-07-15T15:00:00", False),
    (OFFICE, "2026-01-17T10:00:00", False),  # Saturday
    (NIGHT, "2026-01-16T20:59:59", False),  # Friday, 21:59:59
    (NIGHT, "2026-01-16T21:00:00", True),
    (NIGHT, "2026-01-17T04:59:59", True),  # Saturday, 05:59:59: still Friday's night
    (NIGHT, "2026-01-17T05:00:00", False),
    (NIGHT, "2026-01-17T21:00:00", False),  # Saturday evening
    (NIGHT, "2026-01-16T01:00:00", False),  # Friday, 02:00: Thursday's night
    (EARLY, "2026-03-29T00:59:59", False),  # 01:59:59, and then the clock goes to 03:00: there is no 02:30
    (EARLY, "2026-03-29T01:00:00", False),
    (EARLY, "2026-03-30T00:30:00", True),
    (EARLY, "2026-10-25T00:30:00", True),  # 02:30 the first time
    (EARLY, "2026-10-25T01:30:00", True),  # 02:30 the second time
    (EARLY, "2026-10-25T02:00:00", False),
    (Weekly(frozenset({6})), "2026-01-18T23:59:59", True),  # all Sunday
    (Weekly(frozenset({6})), "2026-01-19T00:00:00", False),
    (Weekly(frozenset(), 0, 1440), "2026-01-19T00:00:00", True),
    (Weekly(frozenset({0}), 0, 60, NEW_YORK), "2026-03-09T04:30:00", True),  # Monday, 00:30 there
    (Weekly(frozenset({0}), 0, 60, NEW_YORK), "2026-03-09T05:30:00", False),
    (Period(1000.0, 2000.0), "1970-01-01T00:16:39", False),
    (Period(1000.0, 2000.0), "1970-01-01T00:16:40", True),
    (Period(1000.0, 2000.0), "1970-01-01T00:33:19", True),
    (Period(1000.0, 2000.0), "1970-01-01T00:33:20", False),
]


@pytest.mark.parametrize(("window", "moment", "expected"), HOLDS)
def test_when_a_window_holds(window, moment, expected):
    assert expected == window.holds(utc(moment))


def test_a_window_tells_itself():
    assert str(OFFICE) == "mon, tue, wed, thu, fri 09:00–17:00 Europe/Vienna"
    assert str(Weekly()) == "every day 00:00–24:00 UTC"
    assert str(Period(utc("2026-12-19T23:00:00"), utc("2027-01-02T23:00:00"), VIENNA)) == (
        "from 2026-12-20 00:00 until 2027-01-03 00:00 Europe/Vienna"
    )


def test_a_policy_without_windows_has_one_phase():
    assert BASELINE.phase(0.0) == BASELINE.phase(1e9) == 0


def test_the_phase_tells_which_windows_hold():
    policy = Policy(
        "0",
        (Rule("a", Effect.DENY, when=(OFFICE,)), Rule("b", Effect.DENY, when=(OFFICE,)), Rule("c", Effect.DENY, when=(NIGHT, EARLY))),
        automatic=(AutomaticApproval("d", frozenset({"a"}), when=(Period(0.0, 2e9),)),),
    )
    moments = ["2026-01-14T08:00:00", "2026-01-14T08:00:00", "2026-01-14T20:00:00", "2026-01-16T21:00:00", "2026-01-17T01:30:00"]

    assert [policy.phase(utc(moment)) for moment in moments] == [0b101, 0b101, 0b100, 0b110, 0b110]
    assert policy.phase(3e9) & 0b100 == 0


ALICE = Principal("alice", "idp", PrincipalKind.HUMAN)
SHOP = Database("shop", Environment.SANDBOX)
FREEZE = Rule("year-end", Effect.DENY, what=What(properties=FREEZE_PROPERTIES), when=(Period(1000.0, 2000.0),), is_freeze=True)
ANY = Rule("any", Effect.ALLOW)


def decided(sql, now, rules=(FREEZE, ANY), functions=frozenset({"touch"})):
    (facts,) = analyse(sql.encode())
    catalogue = Catalogue("1", {}, opaque_functions=functions, volatile_functions=functions)
    return decide(Policy("0", rules), Request(ALICE, SHOP, facts, catalogue, now=now))


FROZEN = [
    ("UPDATE orders SET note = 'x' WHERE id = 1", True),
    ("INSERT INTO orders (id) VALUES (1)", True),
    ("WITH gone AS (DELETE FROM orders WHERE id = 1 RETURNING id) SELECT * FROM gone", True),
    ("CREATE TABLE t (id int)", True),
    ("ALTER TABLE t ADD COLUMN x int", True),
    ("TRUNCATE orders", True),
    ("COPY orders FROM STDIN", True),
    ("GRANT SELECT ON orders TO bob", True),
    ("SELECT touch(1)", True),
    ("UPDATE pg_temp.t SET x = touch(1)", True),
    ("SELECT lo_unlink(1)", True),
    ("EXPLAIN ANALYZE DELETE FROM orders WHERE id = 1", True),
    ("EXPLAIN DELETE FROM orders WHERE id = 1", False),
    ("SELECT * FROM orders", False),
    ("COPY orders TO STDOUT", False),
    ("UPDATE pg_temp.t SET x = 1", False),
    ("CREATE TEMP TABLE t (id int)", False),
    ("BEGIN", False),
    ("SET statement_timeout = 1000", False),
    ("VACUUM orders", False),
]


@pytest.mark.parametrize(("sql", "is_frozen"), FROZEN)
def test_a_freeze_is_about_what_changes_data_or_schema(sql, is_frozen):
    assert isinstance(decided(sql, 1500.0), Deny) == is_frozen
    assert isinstance(decided(sql, 999.0), Allow)
    assert isinstance(decided(sql, 2000.0), Allow)


def test_a_freeze_may_hold_and_an_allow_rule_may_override_it():
    holding = Rule("soft", Effect.HOLD, what=FREEZE.what, when=FREEZE.when, is_freeze=True)
    except_logs = Rule("logs", Effect.ALLOW, what=What(writes=("logs",)), overrides=frozenset({"soft"}))

    assert isinstance(decided("DELETE FROM orders WHERE id = 1", 1500.0, (holding, except_logs, ANY)), Hold)
    assert isinstance(decided("DELETE FROM logs WHERE id = 1", 1500.0, (holding, except_logs, ANY)), Allow)


def test_a_rule_outside_its_window_is_as_if_it_were_not_there():
    facts = StatementFacts(Verb.DELETE, "", writes=frozenset({RelationName(None, "orders")}))
    policy = Policy("0", (Rule("office", Effect.DENY, when=(OFFICE,)), ANY))
    request = Request(ALICE, SHOP, facts, Catalogue("1", {}))

    assert [
        decide(policy, Request(ALICE, SHOP, facts, Catalogue("1", {}), now=utc(moment))).rule
        for moment in ("2026-01-14T08:00:00", "2026-01-14T07:59:59")
    ] == ["office", "any"]
    assert decide(policy, request).rule == "any"
