"""Policy files: approvals, windows, freezes, automatic approvals, what may be asked for, masks and limits, and mistakes in them."""

import re
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from querywarden.config.policy_file import load_policy
from querywarden.errors import ConfigurationError, ReasonCode
from querywarden.masking.operators import Operator
from querywarden.model.catalogue import DataClass
from querywarden.model.decision import ApprovalTerms, Budget, BudgetMetric, BudgetPeriod, WaitMode
from querywarden.model.principal import PrincipalKind
from querywarden.model.resource import Environment
from querywarden.policy.baseline import BASELINE_LIMITS
from querywarden.policy.language import AutomaticApproval, Effect, Group, Limit, MaskRule, Requestable, What, Where, Who
from querywarden.policy.matching import FREEZE_PROPERTIES
from querywarden.policy.windows import Period, Weekly

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "policy.md"
VIENNA = ZoneInfo("Europe/Vienna")

WHOLE = """\
version: 1
approvals: {approvers: dba, quorum: 2, expires: 1h, mode: wait}
rules:
  - id: bulk
    effect: hold
    verbs: [update, delete]
    columns: public.users.email
    rows_over: 1000
    when:
      - {days: [mon, fri], from: "09:00", until: "17:00", zone: Europe/Vienna}
      - {from: "22:00", until: "06:00"}
    approval: {approvers: [security, "dba-*"], expires: 15m, mode: fail}
  - id: exports
    effect: deny
    properties: whole_relation_export
    observe: true
    when: {days: sun}
  - id: plain
    effect: hold
freezes:
  - {id: year-end, from: 2026-12-20, until: 2027-01-02, zone: Europe/Vienna, databases: shop}
  - {id: move, from: "2026-03-01 18:00", until: 2026-03-01 23:30:00, effect: hold, because: We move., approval: {quorum: 3}, observe: true}
automatic_approvals:
  - {id: small, rules: bulk, who: {groups: release}, rows_up_to: 10, when: {from: "10:00"}}
  - {id: again, rules: [bulk, move, baseline.schema_change], standing: true}
requestable:
  - {id: oncall, who: {groups: engineers}, groups: [oncall], databases: shop, for_up_to: 2d, approval: {approvers: leads}}
  - {id: blog, databases: blog}
masks:
  - {id: agents, who: {kinds: agent}, classes: all, operator: redact}
  - {columns: [public.users.email], operator: "null", environments: staging}
limits:
  - {id: a, who: {kinds: agent}, rows: 5, bytes: 10MB, seconds: 5m, sessions: 2, per_hour: {statements: 9}, per_day: {rows: 7, bytes: 64KB}}
  - {bytes: 1000, seconds: 0.5}
"""


@pytest.fixture
def write(tmp_path):
    def written(text: str) -> Path:
        path = tmp_path / "policy.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.fixture
def whole(write):
    return load_policy(write(WHOLE))


def test_rules_with_columns_rows_and_windows(whole):
    bulk, exports, plain = whole.rules[:3]

    assert (bulk.what.columns, bulk.what.rows_over) == (("public.users.email",), 1000)
    assert bulk.when == (Weekly(frozenset({0, 4}), 540, 1020, VIENNA), Weekly(frozenset(), 22 * 60, 6 * 60, UTC))
    assert (exports.is_observed, exports.when) == (True, (Weekly(frozenset({6})),))
    assert (plain.is_observed, plain.when, plain.terms) == (False, (), None)


def test_the_terms_of_a_rule_stand_over_those_of_the_policy(whole):
    bulk, _, plain = whole.rules[:3]

    assert whole.approvals == ApprovalTerms(("dba",), 2, 3600, WaitMode.WAIT)
    assert whole.terms(bulk) == ApprovalTerms(("security", "dba-*"), 2, 900, WaitMode.FAIL)
    assert whole.terms(plain) == whole.approvals


def test_freezes_are_rules(whole):
    year_end, move = whole.rules[3:5]

    assert (year_end.id, year_end.effect, year_end.reason, year_end.is_freeze) == ("year-end", Effect.DENY, ReasonCode.FREEZE, True)
    assert year_end.what == What(properties=FREEZE_PROPERTIES)
    assert year_end.where == Where(("shop",))
    # From the first second of the first day until the last of the last one.
    assert year_end.when == (Period(1797721200.0, 1798930800.0, VIENNA),)
    assert year_end.sentence == "A freeze is in force from 2026-12-20 00:00 until 2027-01-03 00:00 Europe/Vienna: changes wait."
    assert move.when == (Period(1772388000.0, 1772407800.0, UTC),)
    assert (move.effect, move.sentence, move.is_observed) == (Effect.HOLD, "We move.", True)
    assert whole.terms(move).quorum == 3


def test_automatic_approvals(whole):
    assert whole.automatic == (
        AutomaticApproval(
            "small", frozenset({"bulk"}), Who(Group(groups=("release",))), when=(Weekly(frozenset(), 600, 1440),), rows_up_to=10
        ),
        AutomaticApproval("again", frozenset({"bulk", "move", "baseline.schema_change"}), is_standing=True),
    )


def test_what_may_be_asked_for(whole):
    oncall, blog = whole.requestable

    assert oncall == Requestable(
        "oncall", Who(Group(groups=("engineers",))), ("oncall",), ("shop",), 2 * 86_400, ApprovalTerms(("leads",), 2, 3600, WaitMode.WAIT)
    )
    assert blog == Requestable("blog", databases=("blog",), seconds_max=8 * 3600)
    assert whole.terms(blog) == whole.approvals


def test_masks(whole):
    assert whole.masks == (
        MaskRule("agents", "redact", Who(Group(kinds=frozenset({PrincipalKind.AGENT}))), classes=frozenset(DataClass)),
        MaskRule("masks.2", "null", where=Where((), frozenset({Environment.STAGING})), columns=("public.users.email",)),
    )


def test_limits(whole):
    assert whole.limits == (
        Limit(
            "a",
            Who(Group(kinds=frozenset({PrincipalKind.AGENT}))),
            rows_max=5,
            bytes_max=10_000_000,
            seconds_max=300.0,
            sessions_max=2,
            budgets=(
                Budget("a", BudgetMetric.STATEMENTS, BudgetPeriod.HOUR, 9),
                Budget("a", BudgetMetric.ROWS, BudgetPeriod.DAY, 7),
                Budget("a", BudgetMetric.BYTES, BudgetPeriod.DAY, 64_000),
            ),
        ),
        Limit("limits.2", bytes_max=1000, seconds_max=0.5),
    )
    assert whole.limits_default == BASELINE_LIMITS


def test_two_loads_of_one_file_are_equal(write):
    path = write(WHOLE)

    assert load_policy(path) == load_policy(path)


@pytest.mark.parametrize("operator", [each.value for each in Operator])
def test_every_operator_may_be_named(write, operator):
    assert load_policy(write(f'version: 1\nmasks:\n  - {{classes: email, operator: "{operator}"}}\n')).masks[0].operator == operator


def rule(*lines: str, effect: str = "hold") -> str:
    return "\n".join(["version: 1", "rules:", "  - id: r", f"    effect: {effect}", *(f"    {line}" for line in lines)]) + "\n"


def section(name: str, entry: str) -> str:
    return f"version: 1\n{name}:\n  - {entry}\n"


def freeze(more: str) -> str:
    return section("freezes", f"{{id: f, {more}}}")


HELD = "version: 1\nrules:\n  - {id: r, effect: hold}\n  - {id: d, effect: deny}\nautomatic_approvals:\n  - "

MISTAKES = [
    # name, text, line, what the message says, what the hint says
    ("observed allow", rule("observe: true", effect="allow"), 5, "can't be only observed", "deny and hold"),
    ("approval of a deny", rule("approval: {quorum: 2}", effect="deny"), 5, "holds nothing", "effect: hold"),
    ("quorum", rule("approval: {quorum: 0}"), 5, "quorum", None),
    ("quorum as text", rule('approval: {quorum: "2"}'), 5, "quorum", None),
    ("no approvers", rule("approval: {approvers: []}"), 5, "approvers", None),
    ("expires", rule("approval: {expires: 30}"), 5, "not a duration", "30m"),
    ("expires without end", rule("approval: {expires: 9999d}"), 5, "not a duration", "365d"),
    ("mode", rule("approval: {mode: later}"), 5, "unknown mode 'later'", "fail, wait"),
    ("key of an approval", rule("approval: {approver: dba}"), 5, "unknown key 'approver'", "did you mean approvers?"),
    ("rows of statements without", rule("verbs: [create]", "rows_over: 3"), 6, "that have none", "update"),
    ("rows below none", rule("rows_over: -1"), 5, "rows_over", None),
    ("rows as text", rule("rows_over: many"), 5, "rows_over", None),
    ("day", rule("when: {days: [monday]}"), 5, "unknown day 'monday'", "mon"),
    ("key of a window", rule("when: {day: mon}"), 5, "unknown key 'day'", "did you mean days?"),
    ("empty window", rule("when: {}"), 5, "names no time", "always"),
    ("window without a minute", rule('when: {from: "09:00", until: "09:00"}'), 5, "no minute", "whole day"),
    ("time that YAML reads as a number", rule("when:", '  from: "09:00"', "  until: 17:00"), 5, "as a number", '"17:00"'),
    ("time", rule('when: {from: "9"}'), 5, "not a time of day", "09:30"),
    ("minutes", rule('when: {from: "09:60"}'), 5, "not a time of day", "09:30"),
    ("time after midnight", rule('when: {until: "24:01"}'), 5, "not a time of day", "09:30"),
    ("zone", rule("when: {days: mon, zone: Europe/Vienn}"), 5, "unknown time zone", "did you mean Europe/Vienna?"),
    ("zone that is a path", rule("when: {days: mon, zone: ../../etc/passwd}"), 5, "unknown time zone", "Europe"),
    ("second window", rule("when:", "  - {days: mon}", "  - {days: tu}"), 7, "unknown day 'tu'", "tue"),
    ("freeze without an end", freeze("from: 2026-12-20"), 3, "until is missing", None),
    ("freeze that ends before", freeze("from: 2026-12-20, until: 2026-12-19"), 3, "ends before it begins", "last day"),
    ("freeze without a day", freeze("from: 2026-12-40, until: 2027-01-01"), 3, "not a value", "quotation marks"),
    ("freeze with no date", freeze("from: soon, until: 2027-01-01"), 3, "not a date", "2026-12-20"),
    ("freeze in a far future", freeze("from: 2026-01-01, until: 9999-12-31"), 3, "not a date that will come", "2026-12-20"),
    ("freeze that allows", freeze("from: 2026-12-20, until: 2027-01-01, effect: allow"), 3, "unknown effect", "deny, hold"),
    ("freeze that denies with approvers", freeze("from: 2026-12-20, until: 2027-01-01, approval: {quorum: 2}"), 3, "holds nothing", "hold"),
    ("freeze with the id of a rule", rule() + "freezes:\n  - {id: r, from: 2026-01-01, until: 2026-02-01}\n", 6, "two rules", "line 3"),
    ("reserved freeze", "version: 1\nfreezes:\n  - {id: proxy.f, from: 2026-01-01, until: 2026-02-01}\n", 3, "reserved", "baseline."),
    ("automatic approval of an unknown rule", HELD + "{id: a, rules: [rr], standing: true}\n", 6, "unknown rule 'rr'", "r"),
    ("automatic approval of a deny", HELD + "{id: a, rules: [d], standing: true}\n", 6, "holds nothing", "effect hold"),
    ("automatic approval of a built-in deny", HELD + "{id: a, rules: [baseline.destructive], standing: true}\n", 6, "holds nothing", None),
    ("automatic approval of everything", HELD + "{id: a, rules: [r]}\n", 6, "approves everything", "for whom"),
    ("automatic approval of nothing", HELD + "{id: a, rules: [], standing: true}\n", 6, "rules", None),
    ("two automatic approvals", HELD + "{id: a, rules: [r], standing: true}\n  - {id: a, rules: [r], standing: true}\n",
     7, "two entries of automatic_approvals", "line 6"),
    ("offer of nothing", section("requestable", "{id: a}"), 3, "offers nothing", "groups or databases"),
    ("offer for no time", section("requestable", "{id: a, groups: b, for_up_to: 0h}"), 3, "not a duration", "8h"),
    ("mask of nothing", section("masks", "{operator: redact}"), 3, "masks nothing", "classes"),
    ("mask without an operator", section("masks", "{classes: email}"), 3, "operator is missing", None),
    ("operator", section("masks", "{classes: email, operator: hide}"), 3, "unknown operator 'hide'", "redact"),
    ("operator that YAML reads as nothing", section("masks", "{classes: email, operator: null}"), 3, "as nothing", '"null"'),
    ("limit of nothing", section("limits", "{id: a}"), 3, "limits nothing", "per_hour"),
    ("budget of nothing", section("limits", "{id: a, per_day: {}}"), 3, "the budget limits nothing", "bytes or guesses"),
    ("budget without an id", section("limits", "{per_day: {rows: 3}}"), 3, "id is missing", "counted under it"),
    ("limit of no rows", section("limits", "{rows: 0}"), 3, "rows", None),
    ("limit of rows that are true", section("limits", "{rows: true}"), 3, "rows", None),
    ("limit of bytes", section("limits", "{bytes: 10 apples}"), 3, "not a number of bytes", "64KiB"),
    ("limit of a unit that is none", section("limits", "{bytes: 10ib}"), 3, "not a number of bytes", "64KiB"),
    ("limit of seconds", section("limits", "{seconds: .inf}"), 3, "not a number of seconds", "5m"),
    ("limit of seconds as text", section("limits", "{seconds: long}"), 3, "not a duration", "30m"),
    ("two limits", section("limits", "{id: a, rows: 1}\n  - {id: a, rows: 2}"), 4, "two entries of limits", "line 3"),
    ("reserved limit", section("limits", "{id: baseline.agent_rows, rows: 1}"), 3, "reserved", "built in"),
    ("key of a budget", section("limits", "{id: a, per_day: {row: 1}}"), 3, "unknown key 'row'", "did you mean rows?"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "message", "hint"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES])
def test_a_mistake_is_told_with_its_line(write, text, line, message, hint):
    path = write(text)

    with pytest.raises(ConfigurationError) as caught:
        load_policy(path)

    assert message in caught.value.message
    assert (caught.value.file, caught.value.line) == (str(path), line)
    assert (hint or "") in (caught.value.hint or "")


def examples() -> list[str]:
    blocks = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL)
    return [block for block in blocks if not block.startswith("when:")]


def test_the_examples_of_the_reference_are_policies(write):
    """All of them together are one file, since some name the rules of others."""
    policy = load_policy(write("version: 1\n" + "".join(examples())))

    assert {"bulk", "year-end"} < {rule.id for rule in policy.rules}
    assert policy.automatic and policy.requestable and policy.masks and policy.limits
