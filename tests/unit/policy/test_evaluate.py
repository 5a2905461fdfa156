"""Deciding: overrides, names, access, reveals, limits; each in a small case that can be read."""

import pytest

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.decision import Allow, Deny, Hold, Reveal
from querywarden.model.facts import Hazard, StatementFacts, Unanalysable, Verb
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment, FunctionName, RelationName
from querywarden.policy.baseline import AGENT_ROWS_MAX, BASELINE, BASELINE_LIMITS, BASELINE_RULES, FIXED_RULES, fingerprint
from querywarden.policy.evaluate import NO_RULE, Request, decide, may_connect, reveal_of, unanalysable
from querywarden.policy.language import (
    Access,
    ColumnClassRule,
    Effect,
    Group,
    Limit,
    MaskRule,
    Policy,
    RevealRule,
    Rule,
    Trait,
    What,
    Where,
    Who,
)

ALICE = Principal("alice", "idp", PrincipalKind.HUMAN, frozenset({"dev"}))
BOT = Principal("bot", "idp", PrincipalKind.AGENT)
SHOP = Database("shop", Environment.PRODUCTION)


def table(number, schema, name, **classes):
    columns = {
        position: Column(position, column, "text", Classification(given, "name") if given else None)
        for position, (column, given) in enumerate(classes.items(), 1)
    }
    return Relation(number, schema, name, "table", columns)


CATALOGUE = Catalogue(
    "1",
    {
        1: table(1, "public", "users", id=None, email=DataClass.EMAIL),
        2: table(2, "hr", "staff", id=None, phone=DataClass.PHONE),
        3: table(3, "public", "staff", id=None),
        4: table(4, "public", "orders", id=None),
    },
    opaque_functions=frozenset({"touch_user", "order_value"}),
    volatile_functions=frozenset({"touch_user"}),
)


def select(*relations, functions=(), hazards=()):
    return StatementFacts(
        Verb.SELECT,
        "",
        reads=frozenset(relations),
        functions=frozenset(FunctionName(None, name) for name in functions),
        hazards=frozenset(hazards),
    )


def delete(relation, *hazards):
    return StatementFacts(Verb.DELETE, "", writes=frozenset({relation}), hazards=frozenset(hazards))


def name(text):
    schema, _, last = text.rpartition(".")
    return RelationName(schema or None, last)


def decision(rules, facts, principal=ALICE, catalogue=CATALOGUE, database=SHOP, writes_back=False, **more):
    return decide(Policy("0", tuple(rules), **more), Request(principal, database, facts, catalogue, writes_back=writes_back))


ANY = Rule("any", Effect.ALLOW)


def test_no_rule_means_no():
    assert decision([], select()) == NO_RULE


def test_a_rule_refuses_with_its_own_texts():
    rule = Rule("r", Effect.DENY, reason=ReasonCode.DESTRUCTIVE, sentence="No.", hint="Ask.")

    assert decision([rule, ANY], select()) == Deny("r", ReasonCode.DESTRUCTIVE, "No.", "Ask.")


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ((Effect.ALLOW, Effect.HOLD, Effect.DENY), Deny),
        ((Effect.ALLOW, Effect.HOLD), Hold),
        ((Effect.HOLD, Effect.ALLOW), Hold),
        ((Effect.ALLOW,), Allow),
    ],
)
def test_deny_beats_hold_beats_allow(effects, expected):
    assert isinstance(decision([Rule(effect.value, effect) for effect in effects], select()), expected)


def test_the_worst_part_decides():
    inner = delete(name("orders"), Hazard.UNCONDITIONAL)
    outer = StatementFacts(Verb.SELECT, "", writes=inner.writes, hazards=inner.hazards, children=(inner,))
    rule = Rule("no-delete", Effect.DENY, what=What(verbs=frozenset({Verb.DELETE})))

    assert decision([rule, ANY], outer).rule == "no-delete"


def test_an_override_puts_a_rule_aside_only_where_it_matches():
    deny = Rule("deny", Effect.DENY, what=What(verbs=frozenset({Verb.DELETE})))
    allow = Rule("allow", Effect.ALLOW, what=What(writes=("orders",)), overrides=frozenset({"deny"}))

    assert decision([deny, allow, ANY], delete(name("orders"))).rule == "allow"
    assert decision([deny, allow, ANY], delete(name("users"))).rule == "deny"


def test_an_override_for_one_part_is_none_for_another():
    harmless, harmful = delete(name("orders")), delete(name("users"))
    outer = StatementFacts(Verb.SELECT, "", writes=harmless.writes | harmful.writes, children=(harmless, harmful))
    deny = Rule("deny", Effect.DENY, what=What(verbs=frozenset({Verb.DELETE})))
    allow = Rule("allow", Effect.ALLOW, what=What(writes=("orders",)), overrides=frozenset({"deny"}))

    assert decision([deny, allow, ANY], outer).rule == "deny"


def test_the_baseline_can_be_overridden_by_name():
    overrides = frozenset({"baseline.unconditional", "baseline.bulk_write"})
    allow = Rule("tidy", Effect.ALLOW, what=What(writes=("orders",)), overrides=overrides)

    assert decision([allow, *BASELINE_RULES], delete(name("orders"), Hazard.UNCONDITIONAL)).rule == "tidy"
    assert decision([*BASELINE_RULES], delete(name("orders"), Hazard.UNCONDITIONAL)).rule == "baseline.unconditional"


@pytest.mark.parametrize("fixed", [rule.id for rule in FIXED_RULES])
def test_the_fixed_rules_can_not_be_overridden(fixed):
    rule = next(rule for rule in FIXED_RULES if rule.id == fixed)
    facts = {
        "baseline.unknown_statement": StatementFacts(Verb.UNKNOWN, ""),
        "baseline.analysis_setting": StatementFacts(Verb.SET, "", hazards=frozenset({Hazard.ANALYSIS_SETTING})),
        "baseline.classified_copy": StatementFacts(Verb.COPY_OUT, "", reads=frozenset({name("users")})),
        "baseline.classified_write": StatementFacts(Verb.UPDATE, "", writes=frozenset({name("users")}), assignments=None),
        "baseline.masked_write_back": StatementFacts(Verb.UPDATE, "", writes=frozenset({name("notes")}), assignments=()),
    }[fixed]
    allow = Rule("all", Effect.ALLOW, overrides=frozenset({fixed}))

    assert decision([allow, rule], facts, writes_back=fixed == "baseline.masked_write_back").rule == fixed


RELATION_CASES = [
    # pattern, name in the statement, matched by a deny, matched by an allow
    ("hr.staff", "hr.staff", True, True),
    ("hr.staff", "public.staff", False, False),
    ("hr.staff", "staff", True, False),  # may mean either
    ("staff", "staff", True, True),
    ("*.staff", "staff", True, True),
    ("hr.*", "users", False, False),
    ("hr.*", "unknown", True, False),  # may be anywhere
    ("public.*", "users", True, True),
    ("unknown", "unknown", True, True),
    ("hr.unknown", "hr.unknown", True, True),
    ("Users", "users", False, False),
]


@pytest.mark.parametrize(("pattern", "written", "denied", "allowed"), RELATION_CASES)
def test_relations_match_conservatively(pattern, written, denied, allowed):
    what = What(relations=(pattern,))

    denying = decision([Rule("deny", Effect.DENY, what=what), ANY], select(name(written)))
    allowing = decision([Rule("allow", Effect.ALLOW, what=what)], select(name(written)))

    assert isinstance(denying, Deny) == denied
    assert isinstance(allowing, Allow) == allowed


def test_an_allow_needs_all_relations_and_a_deny_any():
    both = select(name("public.users"), name("hr.staff"))
    what = What(relations=("public.*",))

    assert isinstance(decision([Rule("allow", Effect.ALLOW, what=what)], both), Deny)
    assert isinstance(decision([Rule("deny", Effect.DENY, what=what), ANY], both), Deny)


def test_a_rule_about_relations_matches_no_statement_without_any():
    assert decision([Rule("allow", Effect.ALLOW, what=What(relations=("*",)))], select()) == NO_RULE


def test_reads_and_writes_are_told_apart():
    rule = Rule("r", Effect.DENY, what=What(writes=("users",)))

    assert isinstance(decision([rule, ANY], select(name("users"))), Allow)
    assert isinstance(decision([rule, ANY], delete(name("users"))), Deny)


def test_an_allow_for_an_own_function_lets_harmless_ones_stand_beside_it_but_no_other_own_one():
    allow = Rule("allow", Effect.ALLOW, what=What(functions=("touch_user",)), overrides=frozenset({"baseline.volatile_function"}))

    assert decision([allow, *BASELINE_RULES], select(functions=["touch_user", "now"])).rule == "allow"
    assert decision([allow, *BASELINE_RULES], select(functions=["touch_user", "order_value"])).rule == "baseline.volatile_function"


def test_an_allow_for_a_dangerous_function_must_name_every_function():
    allow = Rule("allow", Effect.ALLOW, what=What(functions=("pg_sleep",)), overrides=frozenset({"baseline.dangerous_function"}))
    hazards = [Hazard.DANGEROUS_FUNCTION]

    assert decision([allow, *BASELINE_RULES], select(functions=["pg_sleep"], hazards=hazards)).rule == "allow"
    assert (
        decision([allow, *BASELINE_RULES], select(functions=["pg_sleep", "pg_nextoid"], hazards=hazards)).rule
        == "baseline.dangerous_function"
    )


def test_a_deny_of_a_function_needs_one():
    rule = Rule("r", Effect.DENY, what=What(functions=("order_*",)))

    assert isinstance(decision([rule, ANY], select(functions=["now", "order_value"])), Deny)
    assert isinstance(decision([rule, ANY], select(functions=["now"])), Allow)


def test_trusted_functions_are_no_longer_opaque():
    facts = StatementFacts(
        Verb.INSERT, "", writes=frozenset({name("orders")}), functions=frozenset({FunctionName(None, "order_value")}),
        assignments=(),
    )  # fmt: skip
    rule = Rule("own", Effect.DENY, what=What(properties=frozenset({Trait.OWN_FUNCTION})))

    assert decision([rule, ANY], facts).rule == "own"
    assert decision([rule, ANY], facts, trusted_functions=("order_*",)).rule == "any"


def test_explain_without_analyze_judges_what_it_does_not_run_mildly():
    child = delete(name("orders"), Hazard.UNCONDITIONAL)
    explained = StatementFacts(Verb.EXPLAIN, "", writes=child.writes, hazards=child.hazards, children=(child,))
    run = StatementFacts(Verb.EXPLAIN, "", writes=child.writes, hazards=child.hazards | {Hazard.EXPLAIN_ANALYZE}, children=(child,))

    assert decision(BASELINE_RULES, explained, BOT).rule == "baseline.agents_read"
    assert decision(BASELINE_RULES, run).rule == "baseline.unconditional"
    assert decision(BASELINE_RULES, run, BOT).rule == "baseline.agent_read_only"


def test_explain_is_no_way_around_a_rule_of_the_policy():
    child = select(name("hr.staff"))
    explained = StatementFacts(Verb.EXPLAIN, "", reads=child.reads, children=(child,))

    assert decision([Rule("hr", Effect.DENY, what=What(relations=("hr.*",))), ANY], explained).rule == "hr"


WHO_CASES = [
    (Who(), True),
    (Who(Group(groups=("dev",))), True),
    (Who(Group(groups=("d*",))), True),
    (Who(Group(groups=("ops",))), False),
    (Who(Group(subjects=("ali*",))), True),
    (Who(Group(subjects=("bob",))), False),
    (Who(Group(kinds=frozenset({PrincipalKind.AGENT}))), False),
    (Who(Group(groups=("dev",), kinds=frozenset({PrincipalKind.AGENT}))), False),
    (Who(excluded=Group(groups=("dev",))), False),
    (Who(excluded=Group(groups=("ops",), subjects=("alice",))), False),
    (Who(excluded=Group(groups=("ops",))), True),
    (Who(delegated=False), True),
    (Who(delegated=True), False),
]


@pytest.mark.parametrize(("who", "expected"), WHO_CASES)
def test_who_a_rule_is_about(who, expected):
    assert who.matches(ALICE) == expected


def test_delegated_principals_are_told_from_others():
    delegated = Principal("alice", "idp", PrincipalKind.AGENT, actors=(Actor("bot", "idp"),))

    assert Who(delegated=True).matches(delegated)
    assert not Who(delegated=False).matches(delegated)


def test_everyone_may_connect_where_no_access_is_written():
    assert may_connect(BASELINE, ALICE, SHOP) is None


def test_once_access_is_written_whoever_matches_none_may_not_connect():
    policy = Policy("0", (), access=(Access("a", Who(Group(groups=("dev",))), Where(("shop",))),))

    assert may_connect(policy, ALICE, SHOP) is None
    assert may_connect(policy, BOT, SHOP).rule == "policy.access"
    assert may_connect(policy, ALICE, Database("blog", Environment.SANDBOX)).rule == "policy.access"


def test_a_credential_for_other_databases_does_not_connect():
    narrow = Principal("svc", "service tokens", PrincipalKind.SERVICE, databases=frozenset({"blog"}))

    assert may_connect(BASELINE, narrow, SHOP).rule == "credential.databases"
    assert may_connect(BASELINE, narrow, Database("blog", Environment.PRODUCTION)) is None


def test_reveals_add_up():
    policy = Policy(
        "0",
        (ANY,),
        reveals=(
            RevealRule("a", Who(Group(groups=("dev",))), classes=frozenset({DataClass.EMAIL})),
            RevealRule("b", columns=("hr.*.phone",)),
            RevealRule("c", columns=("users.email",)),
            RevealRule("d", Who(Group(groups=("fraud",))), everything=True),
        ),
    )

    assert reveal_of(policy, ALICE, SHOP, CATALOGUE) == Reveal(frozenset({"email"}), frozenset({"hr.staff.phone", "public.users.email"}))
    assert decide(policy, Request(ALICE, SHOP, select(), CATALOGUE)).reveal.classes == {"email"}


def test_everything_may_be_revealed():
    policy = Policy("0", (ANY,), reveals=(RevealRule("d", everything=True),))

    assert reveal_of(policy, ALICE, SHOP, CATALOGUE).everything


def test_copy_of_a_classified_relation_waits_for_every_class_to_be_revealed():
    facts = StatementFacts(Verb.COPY_OUT, "", reads=frozenset({name("users")}))
    reveals = (RevealRule("r", classes=frozenset({DataClass.EMAIL})),)

    assert decision(BASELINE_RULES, facts).reason is ReasonCode.CLASSIFIED_COPY
    assert isinstance(decision(BASELINE_RULES, facts, reveals=reveals), Allow)


def test_the_row_cap_of_agents_and_what_takes_its_place():
    own = (
        Limit("l", Who(Group(kinds=frozenset({PrincipalKind.AGENT}))), rows_max=50),
        Limit("m", Who(Group(subjects=("bot",))), rows_max=20),
    )

    assert decision(BASELINE_RULES, select(), BOT, limits_default=BASELINE_LIMITS).rows_max == AGENT_ROWS_MAX
    assert decision(BASELINE_RULES, select(), BOT, limits_default=BASELINE_LIMITS, limits=own).rows_max == 20
    assert decision(BASELINE_RULES, select(), ALICE, limits_default=BASELINE_LIMITS, limits=own).rows_max is None


@pytest.mark.parametrize(
    ("pattern", "column", "expected"),
    [
        ("public.users.handle", ("public", "users", "handle"), True),
        ("users.handle", ("hr", "users", "handle"), True),
        ("*.audit.*", ("public", "audit", "note"), True),
        ("handle", ("public", "users", "handle"), True),
        ("public.users.handle", ("hr", "users", "handle"), False),
        ("users.handle", ("public", "users", "name"), False),
    ],
)
def test_column_classes_match_by_name(pattern, column, expected):
    policy = Policy("0", (), column_classes=(ColumnClassRule(pattern, DataClass.USERNAME),))

    assert (policy.column_class(SHOP, *column) is not None) == expected


def test_the_first_column_class_holds_and_databases_narrow_it():
    policy = Policy(
        "0",
        (),
        column_classes=(
            ColumnClassRule("users.name", DataClass.USERNAME, Where(("blog",))),
            ColumnClassRule("users.name", None),
            ColumnClassRule("*.name", DataClass.PERSON_NAME),
        ),
    )

    assert policy.column_class(SHOP, "public", "users", "name").data_class is None
    assert policy.column_class(SHOP, "public", "staff", "name").data_class is DataClass.PERSON_NAME


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("syntax", ReasonCode.UNANALYSABLE),
        ("too_large", ReasonCode.STATEMENT_TOO_LARGE),
        ("unknown_statement", ReasonCode.UNKNOWN_STATEMENT),
        ("something new", ReasonCode.UNANALYSABLE),
    ],
)
def test_what_can_not_be_analysed_is_refused_with_a_way_forward(reason, expected):
    refusal = unanalysable(Unanalysable(reason, "near x"))

    assert refusal.reason is expected
    assert refusal.rule == "baseline.unanalysable"
    assert refusal.hint
    assert "near x" not in refusal.sentence + refusal.hint


def test_the_version_of_the_baseline_follows_its_rules():
    assert BASELINE.version == fingerprint(BASELINE_RULES, BASELINE_LIMITS)
    assert len(BASELINE.version) == 64
    assert fingerprint(BASELINE_RULES[1:], BASELINE_LIMITS) != BASELINE.version


@pytest.mark.parametrize("rule", [rule for rule in BASELINE_RULES if rule.effect is not Effect.ALLOW], ids=lambda rule: rule.id)
def test_every_refusal_of_the_baseline_has_a_sentence_and_a_way_forward(rule):
    assert rule.sentence.endswith(".")
    assert rule.hint.endswith(".")
    assert rule.is_baseline


def test_masks_by_column_stand_before_masks_by_class_and_the_first_of_each_holds():
    policy = Policy(
        "0",
        (ANY,),
        masks=(
            MaskRule("a", "redact", Who(Group(groups=("dev",))), classes=frozenset({DataClass.EMAIL, DataClass.PHONE})),
            MaskRule("b", "null", classes=frozenset({DataClass.PHONE})),
            MaskRule("c", "shape", columns=("hr.*.phone",)),
            MaskRule("d", "name", Who(Group(groups=("ops",))), columns=("*",)),
            MaskRule("e", "card", where=Where(("blog",)), columns=("*",)),
        ),
    )
    reveal = decide(policy, Request(ALICE, SHOP, select(), CATALOGUE)).reveal
    email, phone = Classification(DataClass.EMAIL, "name"), Classification(DataClass.PHONE, "name")

    assert reveal.masks == (("hr.staff.phone", "shape"), ("email", "redact"), ("phone", "redact"), ("phone", "null"))
    assert reveal.operator(email, "public.users.email") == "redact"
    assert reveal.operator(phone, "hr.staff.phone") == "shape"
    assert reveal.operator(phone, "public.other.phone") == "redact"
    assert reveal_of(policy, BOT, SHOP, CATALOGUE).operator(email, "public.users.email") is None


def test_a_mask_reveals_nothing_and_a_reveal_needs_no_mask():
    policy = Policy(
        "0",
        (ANY,),
        reveals=(RevealRule("r", classes=frozenset({DataClass.EMAIL})),),
        masks=(MaskRule("m", "redact", classes=frozenset({DataClass.EMAIL, DataClass.PHONE})),),
    )
    reveal = reveal_of(policy, ALICE, SHOP, CATALOGUE)

    assert reveal.reveals(Classification(DataClass.EMAIL, "name"), "public.users.email")
    assert not reveal.reveals(Classification(DataClass.PHONE, "name"), "hr.staff.phone")
