"""Policy files: what they come to, and that every mistake is told with its line and a way out."""

from hashlib import sha256
from pathlib import Path

import pytest

from querywarden.config.policy_file import PROPERTIES, load_policy
from querywarden.errors import ConfigurationError, ReasonCode
from querywarden.model.catalogue import DataClass
from querywarden.model.facts import Hazard, Verb
from querywarden.model.principal import PrincipalKind
from querywarden.model.resource import Environment
from querywarden.policy.baseline import BASELINE_LIMITS, BASELINE_RULES, FIXED_RULES
from querywarden.policy.language import Access, ColumnClassRule, Effect, Group, Limit, RevealRule, Rule, Trait, What, Where, Who

EXAMPLE = Path(__file__).parents[3] / "config" / "policy.example.yaml"


@pytest.fixture
def write(tmp_path):
    def written(text: str) -> Path:
        path = tmp_path / "policy.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


WHOLE = """\
version: 1
access:
  - who: {groups: [dev, ops]}
    databases: shop
rules:
  - id: payroll
    effect: deny
    who: {not: {groups: [hr]}, delegated: false}
    relations: [hr.*]
    because: Payroll is for HR.
    hint: Ask HR.
  - id: look-twice
    effect: hold
    environments: production
    verbs: [update, delete]
    writes: prices
    reads: [a]
    functions: [f]
    object_kinds: table
    properties: [unconditional, changes_data]
    without: temporary
  - id: migrate
    effect: allow
    who: {kinds: service, subjects: [deploy-*]}
    overrides: baseline.schema_change
reveal:
  - id: support
    who: {groups: support}
    classes: [email, phone]
    columns: public.users.note
  - classes: all
    environments: [sandbox]
columns:
  users.handle: username
  "*.audit.*": none
  users.ip: {class: ip, databases: [shop]}
limits:
  - rows: 10
trusted_functions: [order_value]
"""


def test_a_whole_file(write):
    policy = load_policy(write(WHOLE))

    payroll, twice, migrate, *built_in = policy.rules
    assert payroll == Rule(
        "payroll",
        Effect.DENY,
        Who(Group(), Group(groups=("hr",)), delegated=False),
        Where(),
        What(relations=("hr.*",)),
        ReasonCode.POLICY_DENIED,
        "Payroll is for HR.",
        "Ask HR.",
    )
    assert twice.effect is Effect.HOLD
    assert twice.reason is ReasonCode.APPROVAL_REQUIRED
    assert twice.where == Where((), frozenset({Environment.PRODUCTION}))
    assert twice.what == What(
        verbs=frozenset({Verb.UPDATE, Verb.DELETE}),
        reads=("a",),
        writes=("prices",),
        functions=("f",),
        properties=frozenset({Hazard.UNCONDITIONAL, Trait.CHANGES_DATA}),
        without=frozenset({Trait.TEMPORARY}),
        object_kinds=("table",),
    )
    assert twice.sentence
    assert twice.hint
    assert migrate.overrides == {"baseline.schema_change"}
    assert migrate.who == Who(Group(subjects=("deploy-*",), kinds=frozenset({PrincipalKind.SERVICE})))
    assert tuple(built_in) == BASELINE_RULES
    assert policy.access == (Access("access.1", Who(Group(groups=("dev", "ops"))), Where(("shop",))),)
    assert policy.reveals == (
        RevealRule(
            "support", Who(Group(groups=("support",))), Where(), frozenset({DataClass.EMAIL, DataClass.PHONE}), ("public.users.note",)
        ),
        RevealRule("reveal.2", Who(), Where((), frozenset({Environment.SANDBOX})), everything=True),
    )
    assert policy.column_classes == (
        ColumnClassRule("users.handle", DataClass.USERNAME),
        ColumnClassRule("*.audit.*", None),
        ColumnClassRule("users.ip", DataClass.IP, Where(("shop",))),
    )
    assert policy.limits == (Limit("limits.1", rows_max=10),)
    assert policy.limits_default == BASELINE_LIMITS
    assert policy.trusted_functions == ("order_value",)


def test_the_version_is_the_hash_of_the_bytes(write):
    path = write("version: 1\n")

    assert load_policy(path).version == sha256(b"version: 1\n").hexdigest()


def test_the_smallest_file_is_the_baseline(write):
    policy = load_policy(write("version: 1\n"))

    assert policy.rules == BASELINE_RULES
    assert policy.access == ()


def test_a_policy_of_its_own_keeps_the_fixed_rules(write):
    policy = load_policy(write("version: 1\nextends: none\n"))

    assert policy.rules == FIXED_RULES
    assert policy.limits_default == ()


def test_the_example_is_a_policy():
    policy = load_policy(EXAMPLE)

    assert [rule.id for rule in policy.rules if not rule.is_baseline] == [
        "payroll-for-hr",
        "price-changes-need-a-second-look",
        "many-orders-at-once",
        "emails-in-office-hours",
        "agents-name-a-limit",
        "release-engineers-migrate",
        "touch-user-is-harmless",
        "year-end",
    ]


def test_no_two_properties_have_one_name():
    assert len(PROPERTIES) == len(Hazard) + len(Trait)


def rule(*lines: str) -> str:
    return "\n".join(["version: 1", "rules:", "  - id: r", "    effect: deny", *(f"    {line}" for line in lines)]) + "\n"


MISTAKES = [
    # name, text, line, what the message says, what the hint says
    ("verb", rule("verbs: [delte]"), 5, "unknown verb 'delte'", "did you mean delete?"),
    ("verb in its line", rule("verbs:", "  - select", "  - delte"), 7, "unknown verb 'delte'", "delete"),
    ("property", rule("properties: [uncond]"), 5, "unknown property 'uncond'", "unconditional"),
    ("environment", rule("environments: [prod]"), 5, "unknown environment 'prod'", "production"),
    ("kind", rule("who: {kinds: [robot]}"), 5, "unknown kind 'robot'", "agent, human, service"),
    ("effect", "version: 1\nrules:\n  - id: r\n    effect: refuse\n", 4, "unknown effect 'refuse'", "allow, deny, hold"),
    ("class", "version: 1\nreveal:\n  - classes: [emial]\n", 3, "unknown class 'emial'", "did you mean email?"),
    ("class of a column", "version: 1\ncolumns:\n  a.b: emial\n", 3, "unknown class 'emial'", "did you mean email?"),
    ("class that YAML reads as false", "version: 1\ncolumns:\n  a.b: no\n", 3, "true or false", "write none"),
    ("key", "version: 1\nruels: []\n", 2, "unknown key 'ruels'", "did you mean rules?"),
    ("key of a rule", rule("verb: delete"), 5, "unknown key 'verb' in rules.0", "did you mean verbs?"),
    ("key in not", rule("who: {not: {group: [a]}}"), 5, "unknown key 'group'", "did you mean groups?"),
    ("key of a column", "version: 1\ncolumns:\n  a.b: {clas: email, class: email}\n", 3, "unknown key 'clas'", "class"),
    ("missing id", "version: 1\nrules:\n  - effect: deny\n", 3, "rules.0.id is missing", None),
    ("missing version", "rules: []\n", 1, "version is missing", None),
    ("other version", "version: 2\n", 1, "not a valid version", "1"),
    ("id", "version: 1\nrules:\n  - id: a b\n    effect: deny\n", 3, "rules.0.id", None),
    ("reserved id", "version: 1\nrules:\n  - id: baseline.x\n    effect: deny\n", 3, "reserved", "built in"),
    ("two rules", "version: 1\nrules:\n  - {id: a, effect: deny}\n  - {id: a, effect: deny}\n", 4, "two rules", "line 3"),
    ("two keys", "version: 1\nversion: 1\n", 2, "'version' stands twice", "line 1"),
    ("override of a deny", rule("overrides: [baseline.destructive]"), 5, "does not allow", "effect: allow"),
    ("text with a line break", rule('because: "a\\nb"'), 5, "because", None),
    ("list", rule("relations: {a: b}"), 5, "must be a list", None),
    ("text", rule("relations: [1]"), 5, "must be text", None),
    ("mapping", "version: 1\naccess: [dev]\n", 2, "must be a mapping", None),
    ("rows", "version: 1\nlimits:\n  - rows: 0\n", 3, "limits.0.rows", None),
    ("empty reveal", "version: 1\nreveal:\n  - who: {groups: [a]}\n", 3, "reveals nothing", "classes: all"),
    ("trusted with schema", "version: 1\ntrusted_functions: [a.b]\n", 2, "by its name", "leave the schema out"),
    ("no mapping", "- 1\n", 1, "holds no policy", "version: 1"),
    ("empty", "", 1, "holds no policy", "version: 1"),
    ("no YAML", "version: [1\n", 2, "not valid YAML", None),
    ("tab", "version: 1\nrules:\n\t- id: r\n", 3, "not valid YAML", None),
    ("merge", "a: &a {b: c}\nversion: 1\nd:\n  <<: *a\n", 4, "merge keys", None),
    ("tag", "version: !!python/object:os.system 1\n", 1, "not valid YAML", None),
    ("two documents", "version: 1\n---\nversion: 1\n", 2, "not valid YAML", None),
]


@pytest.mark.parametrize(("text", "line", "message", "hint"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES])
def test_a_mistake_is_told_with_its_line(write, text, line, message, hint):
    path = write(text)

    with pytest.raises(ConfigurationError) as caught:
        load_policy(path)

    assert message in caught.value.message
    assert caught.value.file == str(path)
    assert caught.value.line == line
    assert (hint or "") in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("overridden", "message", "hint"),
    [
        ("baseline.destructiv", "unknown rule 'baseline.destructiv'", "did you mean baseline.destructive?"),
        ("baseline.unknown_statement", "can't be overridden", "never let through"),
        ("baseline.classified_copy", "can't be overridden", "reveal"),
        ("baseline.classified_write", "can't be overridden", "laundering: hold"),
        ("baseline.masked_write_back", "can't be overridden", "lost"),
    ],
)
def test_overrides_name_rules_that_can_be_overridden(write, overridden, message, hint):
    path = write(f"version: 1\nrules:\n  - id: r\n    effect: allow\n    overrides:\n      - {overridden}\n")

    with pytest.raises(ConfigurationError) as caught:
        load_policy(path)

    assert message in caught.value.message
    assert caught.value.line == 6
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("extends", ["baseline", "none"])
@pytest.mark.parametrize(("laundering", "effect"), [("refuse", Effect.DENY), ("hold", Effect.HOLD)])
def test_laundering_is_refused_or_held_as_the_policy_says(write, extends, laundering, effect):
    policy = load_policy(write(f"version: 1\nextends: {extends}\nlaundering: {laundering}\n"))

    (rule,) = (rule for rule in policy.rules if rule.id == "baseline.classified_write")
    assert (rule.effect, rule.is_fixed, rule.reason) == (effect, True, ReasonCode.CLASSIFIED_WRITE)
    assert {rule.id for rule in FIXED_RULES} <= policy.fixed


def test_a_policy_of_its_own_has_no_baseline_to_override(write):
    path = write("version: 1\nextends: none\nrules:\n  - {id: r, effect: allow, overrides: [baseline.destructive]}\n")

    with pytest.raises(ConfigurationError, match="unknown rule"):
        load_policy(path)


def test_own_rules_can_be_overridden(write):
    path = write("version: 1\nrules:\n  - {id: a, effect: deny}\n  - {id: b, effect: allow, overrides: [a]}\n")

    assert load_policy(path).rules[1].overrides == {"a"}


def test_a_file_that_is_not_there():
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_policy("/nonexistent/policy.yaml")


def test_a_file_that_is_not_utf_8(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"version: 1\n# \xff\n")

    with pytest.raises(ConfigurationError, match="not UTF-8") as caught:
        load_policy(path)

    assert caught.value.line == 2


def test_a_mistyped_key_is_told_rather_than_the_one_that_is_missing_for_it(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nrules:\n  - {id: a, efect: hold}\n")
    with pytest.raises(ConfigurationError, match=r":3: unknown key 'efect' in rules\.0 \[and 1 more\] \(did you mean effect\?\)"):
        load_policy(file)
