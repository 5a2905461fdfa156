"""Properties of decisions: they agree with the reference, are total, more deny never allows more, and estimates are asked for in time."""

from dataclasses import replace
from datetime import UTC
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model import policy as model

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Keys, Relation
from querywarden.model.decision import Allow, ApprovalTerms, Deny, Estimate, Hold
from querywarden.model.facts import Hazard, StatementFacts, Verb
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment, FunctionName, RelationName
from querywarden.policy.baseline import BASELINE, BASELINE_RULES
from querywarden.policy.evaluate import Request, decide, judge
from querywarden.policy.explain import explain
from querywarden.policy.language import AutomaticApproval, Effect, Group, Policy, Rule, Trait, What, Where, Who
from querywarden.policy.matching import FREEZE_PROPERTIES
from querywarden.policy.windows import Period, Weekly

CATALOGUE = Catalogue(
    "1",
    {
        1: Relation(
            1,
            "public",
            "users",
            "table",
            {1: Column(1, "id", "int8"), 2: Column(2, "email", "text", Classification(DataClass.EMAIL, "name"))},
        ),
        2: Relation(2, "hr", "users", "table", {1: Column(1, "id", "int8")}),
        3: Relation(3, "public", "orders", "table", {1: Column(1, "id", "int8")}, keys=Keys((frozenset({"id"}),), frozenset({"id"}))),
        4: Relation(4, "hr", "salaries", "table", {1: Column(1, "id", "int8")}),
    },
    opaque_functions=frozenset({"touch_user", "order_value"}),
    volatile_functions=frozenset({"touch_user"}),
)

groups = st.sampled_from(["dev", "hr", "release"])
relation_names = st.builds(
    RelationName,
    st.sampled_from([None, "public", "hr", "pg_temp", "elsewhere"]),
    st.sampled_from(["users", "orders", "salaries", "scratch"]),
)
patterns = st.sampled_from(["users", "hr.*", "public.users", "*.orders", "*", "pg_temp.*", "hr.s?laries", "scratch"])
properties = st.sampled_from([*Hazard, *Trait])
verbs = st.sampled_from(
    [
        Verb.SELECT,
        Verb.DELETE,
        Verb.UPDATE,
        Verb.INSERT,
        Verb.DROP,
        Verb.EXPLAIN,
        Verb.COPY_OUT,
        Verb.SET,
        Verb.UNKNOWN,
        Verb.PREPARE,
        Verb.EXECUTE,
        Verb.CREATE,
    ]
)

principals = st.builds(
    Principal,
    st.sampled_from(["alice", "bob", "bot-1"]),
    st.just("https://idp.example"),
    st.sampled_from(PrincipalKind),
    st.frozensets(groups, max_size=2),
    actors=st.sampled_from([(), (Actor("bot-1", "https://idp.example"),)]),
)
databases = st.builds(Database, st.sampled_from(["shop", "shop_eu", "blog"]), st.sampled_from(Environment))

functions = st.builds(FunctionName, st.sampled_from([None, "public", "pg_catalog"]), st.sampled_from(["now", "touch_user", "lo_get"]))


def facts_of(children):
    return st.builds(
        StatementFacts,
        verbs,
        st.just("?"),
        reads=st.frozensets(relation_names, max_size=2),
        writes=st.frozensets(relation_names, max_size=2),
        functions=st.frozensets(functions, max_size=2),
        hazards=st.frozensets(st.sampled_from(Hazard), max_size=2),
        object_kind=st.sampled_from([None, "table", "temporary_table", "index", "view"]),
        children=children,
        column_names=st.frozensets(st.sampled_from(["id", "email", "total"]), max_size=2),
        has_star=st.booleans(),
        key_equalities=st.sampled_from([frozenset(), frozenset({"id"})]),
        key_choices=st.sampled_from([frozenset(), frozenset({"id"})]),
        values_rows=st.sampled_from([None, None, 1, 50]),
        acts_as=st.sampled_from([frozenset(), frozenset({Verb.DELETE}), frozenset({Verb.INSERT, Verb.UPDATE})]),
    )


statements = facts_of(st.lists(facts_of(st.just(())), max_size=2).map(tuple))

member_groups = st.builds(
    Group,
    st.lists(groups, max_size=1).map(tuple),
    st.lists(st.sampled_from(["alice", "bot-*", "b?b"]), max_size=1).map(tuple),
    st.frozensets(st.sampled_from(PrincipalKind), max_size=2),
)
whats = st.builds(
    What,
    verbs=st.frozensets(verbs, max_size=3),
    relations=st.lists(patterns, max_size=2).map(tuple),
    reads=st.lists(patterns, max_size=1).map(tuple),
    writes=st.lists(patterns, max_size=1).map(tuple),
    properties=st.frozensets(properties, max_size=4),
    without=st.frozensets(properties, max_size=2),
    object_kinds=st.lists(st.sampled_from(["table", "temporary_*"]), max_size=1).map(tuple),
    columns=st.lists(st.sampled_from(["email", "users.*", "public.users.email", "hr.*.id", "*.*.id"]), max_size=1).map(tuple),
    rows_over=st.sampled_from([None, None, 0, 10, 1000]),
    spares_values=st.booleans(),
)
# Rows and nothing else: most statements meet these.
whats = st.one_of(whats, st.builds(What, rows_over=st.sampled_from([0, 10, 1000])))
wheres = st.builds(
    Where,
    st.lists(st.sampled_from(["shop", "shop*", "blog"]), max_size=1).map(tuple),
    st.frozensets(st.sampled_from(Environment), max_size=3),
)
rule_ids = st.sampled_from([f"r{number}" for number in range(6)])


whos = st.one_of(st.just(Who()), st.builds(Who, member_groups, member_groups, st.sampled_from([None, None, True, False])))
windows = st.one_of(
    st.builds(
        Weekly,
        st.frozensets(st.integers(0, 6), max_size=3),
        st.sampled_from([0, 9 * 60, 22 * 60]),
        st.sampled_from([6 * 60, 17 * 60, 24 * 60]),
        st.sampled_from([UTC, ZoneInfo("Europe/Vienna"), ZoneInfo("Asia/Kolkata")]),
    ),
    st.builds(Period, st.sampled_from([1.7e9, 1.75e9]), st.sampled_from([1.76e9, 1.8e9])),
)
timetables = st.lists(windows, max_size=2).map(tuple)
terms = st.sampled_from([None, None, ApprovalTerms(quorum=2), ApprovalTerms(("security",), 3)])


def _sound(rule, is_observed, is_freeze):
    """A rule with what its effect can have."""
    if rule.effect is Effect.ALLOW:
        return rule
    if is_freeze:
        rule = replace(rule, is_freeze=True, what=What(properties=FREEZE_PROPERTIES))
    return replace(rule, is_observed=is_observed)


def rules_with(effects, observed=st.sampled_from([False, False, True])):
    rules = st.builds(
        Rule,
        rule_ids,
        effects,
        whos,
        wheres,
        whats,
        overrides=st.frozensets(st.one_of(rule_ids, st.sampled_from([rule.id for rule in BASELINE_RULES])), max_size=2),
        when=timetables,
        terms=terms,
    )
    return st.builds(_sound, rules, observed, st.sampled_from([False, False, True]))


own_rules = st.lists(rules_with(st.sampled_from(Effect)), max_size=6, unique_by=lambda rule: rule.id)
HOLDING = [rule.id for rule in BASELINE_RULES if rule.effect is Effect.HOLD]
approvals = st.builds(
    AutomaticApproval,
    st.sampled_from(["auto.a", "auto.b"]),
    st.frozensets(st.one_of(rule_ids, st.sampled_from(HOLDING)), min_size=1, max_size=4),
    whos,
    wheres,
    timetables,
    st.sampled_from([None, 0, 10, 5000]),
    st.booleans(),
)
policies = st.builds(
    lambda rules, extends, automatic: Policy("0" * 64, (*rules, *(BASELINE_RULES if extends else ())), automatic=tuple(automatic)),
    own_rules,
    st.booleans(),
    st.lists(approvals, max_size=2),
)
numbers = st.sampled_from([0, 1, 9, 10, 11, 49, 50, 51, 999, 1000, 1001, 5000, 5001, 2_000_000])
estimates = st.one_of(st.none(), st.just(Estimate(None)), st.builds(Estimate, numbers))
times = st.integers(1_690_000_000, 1_810_000_000)
requests = st.builds(
    Request,
    principals,
    databases,
    statements,
    st.sampled_from([CATALOGUE, Catalogue("0", {})]),
    st.booleans(),
    estimates,
    times.map(float),
)


@settings(max_examples=400, deadline=None)
@given(policies, requests)
def test_decide_agrees_with_the_reference(policy, request):
    decision = decide(policy, request)

    automatic = decision.automatic if isinstance(decision, Allow) else None
    observed = tuple(each.rule for each in decision.observed)
    assert (model.rank(decision), decision.rule, automatic, observed) == model.outcome(policy, request)


@settings(max_examples=300, deadline=None)
@given(policies, requests, st.lists(st.frozensets(st.sampled_from(["querywarden-approvers", "security"])), max_size=4))
def test_enough_have_agreed_when_enough_have_for_every_rule(policy, request, people):
    decision = decide(policy, request)
    if isinstance(decision, Hold):
        met = all(sum(each.is_for(groups) for groups in people) >= each.quorum for each in decision.terms.agreements)
        assert met == model.has_agreed(policy, request, people)


def without_observed(decision):
    return replace(decision, observed=())


@settings(max_examples=400, deadline=None)
@given(policies, requests, numbers)
def test_where_no_estimate_is_wanted_none_changes_the_decision(policy, request, rows):
    judged = judge(policy, replace(request, estimate=None))
    other = decide(policy, replace(request, estimate=Estimate(rows)))

    if not judged.wants_estimate:
        assert without_observed(other) == without_observed(judged.decision)
        if not isinstance(other, Deny):
            assert other == judged.decision


@settings(max_examples=250, deadline=None)
@given(policies, requests)
def test_an_estimate_is_wanted_only_where_it_can_change_the_decision(policy, request):
    judged = judge(policy, replace(request, estimate=None))

    if judged.wants_estimate:
        bounds = {0, 10, 1000, 5000, 1, 11, 1001, 5001}
        others = [decide(policy, replace(request, estimate=Estimate(rows))) for rows in sorted(bounds)]
        assert any(other != judged.decision for other in others)


@settings(max_examples=250, deadline=None)
@given(policies, requests, numbers)
def test_a_number_that_nobody_knows_allows_no_more_than_any_number(policy, request, rows):
    unknown = decide(policy, replace(request, estimate=Estimate(None)))
    known = decide(policy, replace(request, estimate=Estimate(rows)))

    assert decide(policy, replace(request, estimate=None)) == unknown
    assert isinstance(known, Allow) or not isinstance(unknown, Allow)
    if known.rule != "policy.no_rule":
        assert model.rank(unknown) >= model.rank(known)


@settings(max_examples=250, deadline=None)
@given(policies, requests, rules_with(st.sampled_from([Effect.DENY, Effect.HOLD]), st.just(True)), st.integers(0, 40))
def test_an_observed_rule_changes_nothing_but_what_is_observed(policy, request, added, position):
    added = replace(added, overrides=frozenset())
    before, after = decide(policy, request), decide(_with_rule(policy, added, position), request)

    assert without_observed(after) == without_observed(before)
    assert [each for each in after.observed if each.rule != "added"] == list(before.observed)


@settings(max_examples=250, deadline=None)
@given(policies, requests, approvals)
def test_an_automatic_approval_turns_no_refusal(policy, request, added):
    before = decide(replace(policy, automatic=()), request)
    after = decide(replace(policy, automatic=(added,)), request)

    if isinstance(before, Hold):
        assert isinstance(after, Hold | Allow)
        if isinstance(after, Allow):
            assert (after.automatic, added.is_standing) == (added.id, False)
    else:
        assert without_observed(after) == without_observed(before)


@settings(max_examples=250, deadline=None)
@given(policies, requests, times)
def test_in_the_same_phase_the_decision_is_the_same(policy, request, later):
    if policy.phase(request.now) == policy.phase(later):
        assert decide(policy, replace(request, now=float(later))) == decide(policy, request)


def _with_rule(policy, added, position):
    rules = list(policy.rules)
    rules.insert(position, replace(added, id="added"))
    return replace(policy, rules=tuple(rules))


@settings(max_examples=250, deadline=None)
@given(policies, requests, rules_with(st.just(Effect.DENY), st.just(False)), st.integers(0, 40))
def test_adding_a_deny_never_allows_more(policy, request, added, position):
    before, after = decide(policy, request), decide(_with_rule(policy, added, position), request)
    assert model.rank(after) >= model.rank(before)


@settings(max_examples=250, deadline=None)
@given(policies, requests, rules_with(st.just(Effect.HOLD), st.just(False)), st.integers(0, 40))
def test_adding_a_hold_lets_nothing_run_that_did_not(policy, request, added, position):
    """What no rule spoke of is refused, and becomes held: it still doesn't run before somebody agrees."""
    before, after = decide(policy, request), decide(_with_rule(policy, added, position), request)
    assert isinstance(before, Allow) or not isinstance(after, Allow)
    if before.rule != "policy.no_rule":
        assert model.rank(after) >= model.rank(before)


@settings(max_examples=150, deadline=None)
@given(policies, requests, rules_with(st.just(Effect.ALLOW)))
def test_an_allow_without_overrides_undoes_no_deny_and_no_hold(policy, request, added):
    before = decide(policy, request)
    after = decide(replace(policy, rules=(replace(added, id="added", overrides=frozenset()), *policy.rules)), request)

    if before.rule != "policy.no_rule":
        assert model.rank(after) == model.rank(before)


@settings(max_examples=150, deadline=None)
@given(policies, requests)
def test_the_fixed_rules_hold_whatever_is_overridden(policy, request):
    fixed = [rule for rule in BASELINE_RULES if rule.is_fixed]
    override = Rule("everything", Effect.ALLOW, overrides=frozenset(rule.id for rule in BASELINE_RULES))
    strict = replace(policy, rules=(override, *fixed))

    if any(model.matches(rule, request, part) for rule in fixed for part in _parts(request)):
        assert isinstance(decide(strict, request), Deny)
    else:
        assert isinstance(decide(strict, request), Allow)


def _parts(request):
    from querywarden.model.decision import Reveal
    from querywarden.policy.properties import parts_of

    return parts_of(request.facts, request.catalogue, Reveal(), (), request.is_blind)


@settings(max_examples=150, deadline=None)
@given(policies, requests)
def test_the_explanation_tells_the_same_decision_and_one_rule_that_decides_each_part(policy, request):
    explained = explain(policy, request)

    assert explained.decision == decide(policy, request)
    for part in explained.parts:
        deciding = [step.rule for step in part.steps if step.outcome == "decides"]
        assert deciding == ([part.decision.rule] if part.decision.rule != "policy.no_rule" else [])


@settings(max_examples=100, deadline=None)
@given(requests)
def test_unknown_statements_are_refused_wherever_they_stand(request):
    facts = replace(request.facts, children=(StatementFacts(Verb.UNKNOWN, "?"), *request.facts.children))

    assert isinstance(decide(BASELINE, replace(request, facts=facts)), Deny)


def test_depth_costs_no_stack():
    facts = StatementFacts(Verb.SELECT, "?")
    for _ in range(10_000):
        facts = StatementFacts(Verb.EXPLAIN, "?", children=(facts,))
    request = Request(Principal("a", "i", PrincipalKind.HUMAN), Database("shop", Environment.SANDBOX), facts, CATALOGUE)
    policy = Policy("0", (Rule("a", Effect.HOLD, what=What(verbs=frozenset({Verb.SELECT}))), Rule("b", Effect.ALLOW)))

    assert isinstance(decide(policy, request), Hold)
