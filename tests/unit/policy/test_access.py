"""Access for a time, who may agree, limits and budgets."""

import pytest

from querywarden.model.decision import ApprovalTerms, Budget, BudgetMetric, BudgetPeriod
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.access import AccessOffer, may_connect, requestable_for
from querywarden.policy.baseline import AGENT_ROWS_MAX, BASELINE, BASELINE_LIMITS, GUESSES_PER_HOUR
from querywarden.policy.language import Access, Group, Limit, Policy, Requestable, Where, Who
from querywarden.policy.limits import StatementLimits, budgets_of, sessions_max_of, statement_limits_of

ALICE = Principal("alice", "idp", PrincipalKind.HUMAN, frozenset({"engineers"}))
BOT = Principal("bot", "idp", PrincipalKind.AGENT)
SHOP = Database("shop", Environment.PRODUCTION)
BLOG = Database("blog", Environment.SANDBOX)
ENGINEERS = Who(Group(groups=("engineers",)))


def test_what_was_granted_for_a_time_widens_access():
    policy = Policy("0", (), access=(Access("a", Who(), Where(("blog",))),))

    assert may_connect(policy, ALICE, SHOP).rule == "policy.access"
    assert may_connect(policy, ALICE, SHOP, frozenset({"shop"})) is None
    assert may_connect(policy, ALICE, SHOP, frozenset({"sho*"})).rule == "policy.access"


def test_what_was_granted_never_widens_the_credential():
    narrow = Principal("svc", "tokens", PrincipalKind.SERVICE, databases=frozenset({"blog"}))

    assert may_connect(BASELINE, narrow, SHOP, frozenset({"shop"})).rule == "credential.databases"


TERMS = ApprovalTerms(("leads",), 2)
OFFERS = Policy(
    "0",
    (),
    approvals=TERMS,
    requestable=(
        Requestable("oncall", ENGINEERS, ("oncall", "team-*"), ("shop",), 8 * 3600),
        Requestable("audit", Who(), ("auditors",), (), 3600, ApprovalTerms(("security",))),
    ),
)


@pytest.mark.parametrize(
    ("principal", "wanted", "expected"),
    [
        (ALICE, {"group": "oncall"}, AccessOffer("oncall", 8 * 3600, TERMS)),
        (ALICE, {"group": "team-blue"}, AccessOffer("oncall", 8 * 3600, TERMS)),
        (ALICE, {"database": "shop"}, AccessOffer("oncall", 8 * 3600, TERMS)),
        (ALICE, {"group": "oncall", "database": "shop"}, AccessOffer("oncall", 8 * 3600, TERMS)),
        (ALICE, {"group": "oncall", "database": "blog"}, None),
        (ALICE, {"group": "auditors", "database": "shop"}, None),
        (ALICE, {"group": "auditors"}, AccessOffer("audit", 3600, ApprovalTerms(("security",)))),
        (ALICE, {"group": "dba"}, None),
        (ALICE, {}, None),
        (BOT, {"group": "oncall"}, None),
        (BOT, {"group": "auditors"}, AccessOffer("audit", 3600, ApprovalTerms(("security",)))),
    ],
)
def test_what_may_be_asked_for(principal, wanted, expected):
    assert expected == requestable_for(OFFERS, principal, **wanted)


def hourly(limit, amount, metric=BudgetMetric.ROWS):
    return Budget(limit, metric, BudgetPeriod.HOUR, amount)


def test_of_limits_that_match_the_smallest_holds_measure_by_measure():
    policy = Policy(
        "0",
        (),
        limits=(
            Limit("a", rows_max=100, seconds_max=60.0, sessions_max=5),
            Limit("b", ENGINEERS, rows_max=500, bytes_max=10, sessions_max=3),
            Limit("c", ENGINEERS, Where(("blog",)), rows_max=1),
        ),
    )

    assert statement_limits_of(policy, ALICE, SHOP) == StatementLimits(100, 10, 60.0)
    assert statement_limits_of(policy, ALICE, BLOG) == StatementLimits(1, 10, 60.0)
    assert statement_limits_of(policy, BOT, SHOP) == StatementLimits(100, None, 60.0)
    assert (sessions_max_of(policy, ALICE, SHOP), sessions_max_of(policy, BOT, SHOP)) == (3, 5)
    assert (statement_limits_of(BASELINE, ALICE, SHOP), sessions_max_of(BASELINE, ALICE, SHOP)) == (StatementLimits(), None)


def test_own_limits_take_the_place_of_the_built_in_ones_for_their_measure_alone():
    agents = Who(Group(kinds=frozenset({PrincipalKind.AGENT})))
    others = Policy("0", (), limits=(Limit("a", agents, bytes_max=10),), limits_default=BASELINE_LIMITS)
    rows = Policy("0", (), limits=(Limit("a", agents, rows_max=50_000),), limits_default=BASELINE_LIMITS)

    assert statement_limits_of(others, BOT, SHOP) == StatementLimits(AGENT_ROWS_MAX, 10)
    assert statement_limits_of(rows, BOT, SHOP) == StatementLimits(50_000)


def test_all_budgets_hold():
    own = (Limit("a", budgets=(hourly("a", 10), hourly("a", 5, BudgetMetric.BYTES))), Limit("b", ENGINEERS, budgets=(hourly("b", 3),)))
    built_in = (Limit("z", budgets=(hourly("z", 1), hourly("z", 7, BudgetMetric.STATEMENTS))),)
    policy = Policy("0", (), limits=own, limits_default=built_in)

    assert budgets_of(policy, ALICE, SHOP) == (
        hourly("a", 10), hourly("a", 5, BudgetMetric.BYTES), hourly("b", 3), hourly("z", 7, BudgetMetric.STATEMENTS),
    )  # fmt: skip


def test_people_and_agents_have_a_budget_of_guesses_unless_the_policy_says_otherwise():
    built_in = (Budget("baseline.guesses", BudgetMetric.GUESSES, BudgetPeriod.HOUR, GUESSES_PER_HOUR),)
    service = Principal("svc", "idp", PrincipalKind.SERVICE)
    generous = Policy("0", (), limits=(Limit("a", budgets=(hourly("a", 9000, BudgetMetric.GUESSES),)),), limits_default=BASELINE_LIMITS)

    assert budgets_of(BASELINE, ALICE, SHOP) == budgets_of(BASELINE, BOT, SHOP) == built_in
    assert budgets_of(BASELINE, service, SHOP) == ()
    assert budgets_of(generous, ALICE, SHOP) == (hourly("a", 9000, BudgetMetric.GUESSES),)
