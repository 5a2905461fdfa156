"""Holds: whose terms they carry, automatic and standing approvals, observed rules, and what the number of rows decides."""

import pytest

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import Catalogue, Column, Keys, Relation
from querywarden.model.decision import APPROVERS_DEFAULT, Agreement, Allow, ApprovalTerms, Deny, Estimate, Hold, Observed, WaitMode
from querywarden.model.facts import Verb
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.baseline import BASELINE, BASELINE_RULES
from querywarden.policy.evaluate import Request, judge
from querywarden.policy.explain import explain
from querywarden.policy.language import AutomaticApproval, Effect, Group, Limit, Policy, Rule, Trait, What, Where, Who
from querywarden.policy.windows import Period
from querywarden.postgresql.analysis import analyse

ALICE = Principal("alice", "idp", PrincipalKind.HUMAN, frozenset({"dev"}))
SHOP = Database("shop", Environment.PRODUCTION)
COLUMNS = {1: Column(1, "id", "int8"), 2: Column(2, "note", "text")}
ORDERS = Relation(1, "public", "orders", "table", COLUMNS, keys=Keys((frozenset({"id"}),), frozenset({"id"})))
CATALOGUE = Catalogue("1", {1: ORDERS})
ANY = Rule("any", Effect.ALLOW)
WRITES = frozenset({Verb.UPDATE, Verb.DELETE})
BULK = Rule("bulk", Effect.HOLD, what=What(verbs=WRITES, rows_over=100))
LOOK = Rule("look", Effect.HOLD, what=What(verbs=WRITES))


def judged(policy, sql, rows="not asked", now=0.0, is_blind=False, principal=ALICE, catalogue=CATALOGUE):
    (facts,) = analyse(sql.encode())
    estimate = None if rows == "not asked" else Estimate(rows)
    return judge(policy, Request(principal, SHOP, facts, catalogue, is_blind, estimate, now))


def decided(rules, sql="DELETE FROM orders WHERE note = 'x'", rows=None, now=0.0, **more):
    return judged(Policy("0", (*rules, ANY), **more), sql, rows, now).decision


def test_a_hold_carries_the_terms_of_its_rule_or_else_of_the_policy():
    own = ApprovalTerms(("dba",), 2, 900, WaitMode.FAIL)

    assert decided([LOOK]).terms == ApprovalTerms(APPROVERS_DEFAULT, 1, 1800)
    assert decided([LOOK], approvals=own).terms == own
    assert decided([Rule("look", Effect.HOLD, terms=own)], approvals=ApprovalTerms(("others",))).terms == own


def test_a_hold_says_what_holds_once_it_is_approved():
    hold = decided([LOOK], limits=(Limit("l", rows_max=10, bytes_max=20, seconds_max=3.0),))

    assert hold.allow == Allow("look", rows_max=10, bytes_max=20, seconds_max=3.0)


def test_of_several_holds_the_highest_quorum_decides_and_of_equals_the_first():
    first, second = (Rule(name, Effect.HOLD, terms=ApprovalTerms((name,))) for name in ("first", "second"))
    strict = Rule("strict", Effect.HOLD, terms=ApprovalTerms(("strict",), 2))

    assert decided([first, second]).rule == "first"
    assert decided([first, strict, second]).terms.approvers == ("strict",)


def test_the_approvers_of_every_rule_that_holds_are_asked():
    dba = Rule("dba", Effect.HOLD, what=What(rows_over=100), terms=ApprovalTerms(("dba",), seconds_max=900))
    security = Rule("security", Effect.HOLD, terms=ApprovalTerms(("security",), 2, 1800, WaitMode.FAIL))
    expected = ApprovalTerms(("security",), 2, 900, WaitMode.FAIL, also=(Agreement(("dba",)),))

    assert decided([dba, security], rows=500).terms == expected
    assert decided([dba, security], rows=50).terms == security.terms
    assert judged(Policy("0", (dba, security, ANY)), "DELETE FROM orders WHERE note = 'x'").wants_estimate


def test_an_approved_rule_asks_nobody_beside_another():
    other = Rule("other", Effect.HOLD, terms=ApprovalTerms(("others",)))

    assert decided([LOOK, other], automatic=(AutomaticApproval("a", frozenset({"look"})),)).terms == other.terms


def test_the_highest_quorum_decides_over_all_parts():
    strict = Rule("strict", Effect.HOLD, what=What(verbs=frozenset({Verb.DELETE})), terms=ApprovalTerms(quorum=2))
    mild = Rule("mild", Effect.HOLD, what=What(verbs=frozenset({Verb.SELECT})))
    sql = "WITH gone AS (DELETE FROM orders WHERE id = 1 RETURNING id) SELECT * FROM gone"

    assert decided([mild, strict], sql).rule == "strict"


AUTOMATIC = AutomaticApproval("small", frozenset({"look"}), rows_up_to=10)


@pytest.mark.parametrize(("rows", "expected"), [(0, Allow), (10, Allow), (11, Hold), (None, Hold)])
def test_an_automatic_approval_up_to_a_number_of_rows(rows, expected):
    decision = decided([LOOK], rows=rows, automatic=(AUTOMATIC,))

    assert isinstance(decision, expected)
    assert decision.rule == "look"
    if isinstance(decision, Allow):
        assert decision.automatic == "small"


def test_a_write_by_key_is_small_without_an_estimate():
    policy = Policy("0", (LOOK, ANY), automatic=(AUTOMATIC,))
    found = judged(policy, "DELETE FROM orders WHERE id = 1")

    assert (found.decision.automatic, found.wants_estimate) == ("small", False)


def test_an_approval_of_one_rule_is_none_for_another():
    assert decided([LOOK, BULK], rows=None, automatic=(AutomaticApproval("all", frozenset({"look"})),)).rule == "bulk"
    assert decided([LOOK, BULK], rows=50, automatic=(AutomaticApproval("all", frozenset({"look"})),)).automatic == "all"
    assert decided([LOOK, BULK], rows=500, automatic=(AutomaticApproval("all", frozenset({"look", "bulk"})),)).automatic == "all"


@pytest.mark.parametrize(
    ("approval", "expected"),
    [
        (AutomaticApproval("a", frozenset({"look"}), Who(Group(groups=("dev",)))), Allow),
        (AutomaticApproval("a", frozenset({"look"}), Who(Group(groups=("ops",)))), Hold),
        (AutomaticApproval("a", frozenset({"look"}), where=Where(("shop",))), Allow),
        (AutomaticApproval("a", frozenset({"look"}), where=Where(("blog",))), Hold),
        (AutomaticApproval("a", frozenset({"look"}), when=(Period(0.0, 100.0),)), Allow),
        (AutomaticApproval("a", frozenset({"look"}), when=(Period(100.0, 200.0),)), Hold),
        (AutomaticApproval("a", frozenset({"other"})), Hold),
    ],
)
def test_for_whom_where_and_when_an_automatic_approval_is(approval, expected):
    assert isinstance(decided([LOOK], automatic=(approval,), now=50.0), expected)


def test_a_refusal_is_never_approved():
    deny = Rule("deny", Effect.DENY, what=LOOK.what)

    assert decided([deny, LOOK], automatic=(AutomaticApproval("a", frozenset({"look", "deny"})),)).rule == "deny"


def test_a_standing_approval_is_named_in_the_terms():
    standing = AutomaticApproval("again", frozenset({"look"}), is_standing=True)

    assert decided([LOOK], automatic=(standing,)).terms.standing == "again"
    assert decided([LOOK]).terms.standing is None
    assert decided([LOOK], automatic=(standing, AUTOMATIC), rows=3).automatic == "small"


def test_a_standing_approval_is_enough_only_where_it_is_for_every_rule():
    standing = AutomaticApproval("again", frozenset({"look"}), is_standing=True)
    both = AutomaticApproval("again", frozenset({"look", "bulk"}), is_standing=True)

    assert decided([LOOK, BULK], automatic=(standing,)).terms.standing is None
    assert decided([LOOK, BULK], automatic=(both,)).terms.standing == "again"


ROWS = [
    # statement, whether an estimate is wanted, decision without one, with 100, with 101 rows
    ("DELETE FROM orders WHERE note = 'x'", True, Hold, Allow, Hold),
    ("UPDATE orders SET note = 'y' WHERE id IN (1, 2)", True, Hold, Allow, Hold),
    ("DELETE FROM orders WHERE id = 1", False, Allow, Allow, Allow),
    ("SELECT * FROM orders", False, Allow, Allow, Allow),
    ("WITH gone AS (DELETE FROM orders WHERE note = 'x' RETURNING id) SELECT * FROM gone", True, Hold, Allow, Hold),
    ("EXPLAIN DELETE FROM orders WHERE note = 'x'", False, Allow, Allow, Allow),
    ("EXPLAIN ANALYZE DELETE FROM orders WHERE note = 'x'", False, Hold, Hold, Hold),
    ("PREPARE p AS DELETE FROM orders WHERE note = $1", False, Allow, Allow, Allow),
    ("COPY (DELETE FROM orders WHERE note = 'x' RETURNING id) TO STDOUT", False, Hold, Hold, Hold),
]


@pytest.mark.parametrize(("sql", "wants", "unknown", "at", "above"), ROWS)
def test_the_number_of_rows_decides_where_it_is_known(sql, wants, unknown, at, above):
    policy = Policy("0", (BULK, ANY))
    first = judged(policy, sql)

    assert (first.wants_estimate, type(first.decision)) == (wants, unknown)
    assert [type(judged(policy, sql, rows).decision) for rows in (100, 101, None)] == [at, above, unknown]
    assert not judged(policy, sql, 5).wants_estimate


def test_a_key_proves_nothing_once_the_schema_has_changed():
    assert judged(Policy("0", (BULK, ANY)), "DELETE FROM orders WHERE id = 1", is_blind=True).wants_estimate


def test_an_estimate_is_not_wanted_for_what_is_refused_anyway():
    policy = Policy("0", (Rule("deny", Effect.DENY, what=What(verbs=WRITES)), BULK, ANY))

    assert not judged(policy, "DELETE FROM orders WHERE note = 'x'").wants_estimate


def test_an_estimate_is_not_wanted_where_another_rule_holds_anyway():
    policy = Policy("0", (LOOK, BULK, ANY))

    assert not judged(policy, "DELETE FROM orders WHERE note = 'x'").wants_estimate


def test_inserted_rows_are_counted_in_the_text():
    rule = Rule("many", Effect.HOLD, what=What(verbs=frozenset({Verb.INSERT}), rows_over=1))
    policy = Policy("0", (rule, ANY))
    one, two = (judged(policy, f"INSERT INTO orders (id) VALUES {values}") for values in ("(1)", "(1), (2)"))

    assert [(type(each.decision), each.wants_estimate) for each in (one, two)] == [(Allow, False), (Hold, False)]


def test_an_allow_for_many_rows_needs_to_know_them():
    policy = Policy("0", (Rule("odd", Effect.ALLOW, what=What(rows_over=10)),))

    assert [type(judged(policy, "SELECT 1", rows).decision) for rows in (10, 11, None)] == [Deny, Allow, Deny]


def test_an_observed_rule_is_recorded_and_nothing_else():
    seen = Rule("seen", Effect.DENY, reason=ReasonCode.DESTRUCTIVE, is_observed=True)
    held = Rule("held", Effect.HOLD, what=BULK.what, reason=ReasonCode.BULK_WRITE, is_observed=True)

    decision = decided([seen, held], rows=500)

    assert decision == Allow(
        "any", observed=(Observed("seen", "deny", ReasonCode.DESTRUCTIVE), Observed("held", "hold", ReasonCode.BULK_WRITE))
    )
    assert [each.rule for each in decided([seen, held], rows=5).observed] == ["seen"]
    assert [each.rule for each in decided([seen, LOOK]).observed] == ["seen"]


def test_an_observed_hold_that_would_be_approved_is_not_recorded():
    held = Rule("look", Effect.HOLD, is_observed=True)

    assert decided([held], automatic=(AutomaticApproval("a", frozenset({"look"})),)).observed == ()


def test_production_without_a_policy_asks_no_estimate_for_work_by_key():
    ordinary = [
        "INSERT INTO orders (id, note) VALUES (1, 'x') RETURNING id",
        "UPDATE orders SET note = 'x' WHERE orders.id = 1",
        "UPDATE orders SET note = $1 WHERE id = $2",
        "DELETE FROM orders WHERE id = 1",
        "SELECT * FROM orders WHERE note = 'x' LIMIT 21",
        "SELECT 1 FROM orders WHERE id = 1 FOR UPDATE",
        "BEGIN",
        "SAVEPOINT s1",
        "COMMIT",
    ]
    found = [judged(BASELINE, sql) for sql in ordinary]

    assert [(type(each.decision), each.wants_estimate) for each in found] == [(Allow, False)] * len(ordinary)


def test_the_explanation_names_what_was_approved_observed_or_not_now():
    rules = (
        LOOK,
        Rule("seen", Effect.DENY, is_observed=True),
        Rule("later", Effect.DENY, when=(Period(100.0, 200.0),)),
        Rule("many", Effect.DENY, what=What(rows_over=100)),
        ANY,
    )
    (facts,) = analyse(b"DELETE FROM orders WHERE note = 'x'")
    policy = Policy("0", rules, automatic=(AUTOMATIC,))

    explained = explain(policy, Request(ALICE, SHOP, facts, CATALOGUE, estimate=Estimate(3)))

    assert [(step.rule, step.outcome, step.why) for step in explained.parts[0].steps] == [
        ("look", "decides", "approved by small"),
        ("seen", "observed", "it would deny, and is only recorded"),
        ("later", "does not match", "it does not hold at this time"),
        ("many", "does not match", "not so many rows are expected"),
        ("any", "matches", "a stronger or earlier rule decides"),
    ]
    assert explain(policy, Request(ALICE, SHOP, facts, CATALOGUE)).wants_estimate


def test_predicates_on_masked_columns_can_be_allowed_by_a_rule():
    allow = Rule("analysts", Effect.ALLOW, overrides=frozenset({"baseline.classified_predicate"}))
    telling = next(rule for rule in BASELINE_RULES if rule.id == "baseline.classified_predicate")

    assert telling.what == What(properties=frozenset({Trait.CLASSIFIED_PREDICATE}))
    assert not telling.is_fixed
    assert isinstance(decided([allow, telling]), Allow)
