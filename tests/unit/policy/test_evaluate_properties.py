"""Properties of decisions: they agree with the reference, are total, and more deny never allows more."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model import policy as model

from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.decision import Allow, Deny, Hold
from querywarden.model.facts import Hazard, StatementFacts, Verb
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment, FunctionName, RelationName
from querywarden.policy.baseline import BASELINE, BASELINE_RULES
from querywarden.policy.evaluate import Request, decide
from querywarden.policy.explain import explain
from querywarden.policy.language import Effect, Group, Policy, Rule, Trait, What, Where, Who

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
        3: Relation(3, "public", "orders", "table", {1: Column(1, "id", "int8")}),
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
    [Verb.SELECT, Verb.DELETE, Verb.UPDATE, Verb.DROP, Verb.EXPLAIN, Verb.COPY_OUT, Verb.SET, Verb.UNKNOWN, Verb.PREPARE]
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
        object_kind=st.sampled_from([None, "table", "temporary_table", "index"]),
        children=children,
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
)
wheres = st.builds(
    Where,
    st.lists(st.sampled_from(["shop", "shop*", "blog"]), max_size=1).map(tuple),
    st.frozensets(st.sampled_from(Environment), max_size=3),
)
rule_ids = st.sampled_from([f"r{number}" for number in range(6)])


def rules_with(effects):
    return st.builds(
        Rule,
        rule_ids,
        effects,
        st.builds(Who, member_groups, member_groups, st.sampled_from([None, None, True, False])),
        wheres,
        whats,
        overrides=st.frozensets(st.one_of(rule_ids, st.sampled_from([rule.id for rule in BASELINE_RULES])), max_size=2),
    )


own_rules = st.lists(rules_with(st.sampled_from(Effect)), max_size=6, unique_by=lambda rule: rule.id)
policies = st.builds(lambda rules, extends: Policy("0" * 64, (*rules, *(BASELINE_RULES if extends else ()))), own_rules, st.booleans())
requests = st.builds(Request, principals, databases, statements, st.sampled_from([CATALOGUE, Catalogue("0", {})]))


@settings(max_examples=400, deadline=None)
@given(policies, requests)
def test_decide_agrees_with_the_reference(policy, request):
    decision = decide(policy, request)

    assert (model.rank(decision), decision.rule) == model.outcome(policy, request)


def _with_rule(policy, added, position):
    rules = list(policy.rules)
    rules.insert(position, replace(added, id="added"))
    return replace(policy, rules=tuple(rules))


@settings(max_examples=250, deadline=None)
@given(policies, requests, rules_with(st.just(Effect.DENY)), st.integers(0, 40))
def test_adding_a_deny_never_allows_more(policy, request, added, position):
    before, after = decide(policy, request), decide(_with_rule(policy, added, position), request)
    assert model.rank(after) >= model.rank(before)


@settings(max_examples=250, deadline=None)
@given(policies, requests, rules_with(st.just(Effect.HOLD)), st.integers(0, 40))
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

    return parts_of(request.facts, request.catalogue, Reveal(), ())


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
