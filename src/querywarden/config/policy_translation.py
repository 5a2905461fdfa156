"""From the sections of a policy file to the policy language."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import replace

from querywarden.config.policy_kinds import PROPERTIES, zone_of
from querywarden.config.policy_sections import (
    AutomaticSection,
    BudgetSection,
    FreezeSection,
    GroupSection,
    LimitSection,
    MaskSection,
    Placed,
    RequestableSection,
    RuleSection,
    TermsSection,
    WhenSection,
    WhoSection,
)
from querywarden.errors import ReasonCode
from querywarden.model.catalogue import DataClass
from querywarden.model.decision import ApprovalTerms, Budget, BudgetMetric, BudgetPeriod
from querywarden.policy.language import (
    TERMS_DEFAULT,
    AutomaticApproval,
    Effect,
    Group,
    Limit,
    MaskRule,
    Requestable,
    Rule,
    What,
    Where,
    Who,
)
from querywarden.policy.matching import FREEZE_PROPERTIES
from querywarden.policy.windows import DAYS, MINUTES_OF_DAY, Period, Weekly, Window

_DENIED = "A rule of the policy does not allow this statement."
_HELD = "A rule of the policy holds this statement for an approval."
_HINT = "Ask the owner of the policy, and name the rule."
_FROZEN_HINT = "Wait until the freeze is over, or ask the owner of the policy, and name the freeze."


def terms_of(section: TermsSection | None, default: ApprovalTerms = TERMS_DEFAULT) -> ApprovalTerms:
    """Approval terms: what a section states over what holds by default."""
    if section is None:
        return default
    return replace(
        default,
        approvers=section.approvers or default.approvers,
        quorum=section.quorum or default.quorum,
        seconds_max=section.expires or default.seconds_max,
        mode=section.mode or default.mode,
    )


def rule_of(rule: RuleSection, default: ApprovalTerms) -> Rule:
    """A rule of the file."""
    what = What(
        verbs=frozenset(rule.verbs),
        relations=rule.relations,
        reads=rule.reads,
        writes=rule.writes,
        functions=rule.functions,
        properties=frozenset(PROPERTIES[name] for name in rule.properties),
        without=frozenset(PROPERTIES[name] for name in rule.without),
        object_kinds=rule.object_kinds,
        columns=rule.columns,
        rows_over=rule.rows_over,
    )
    is_hold = rule.effect is Effect.HOLD
    return Rule(
        id=rule.id,
        effect=rule.effect,
        who=who_of(rule.who),
        where=where_of(rule),
        what=what,
        reason=ReasonCode.APPROVAL_REQUIRED if is_hold else ReasonCode.POLICY_DENIED,
        sentence=rule.because or (_HELD if is_hold else _DENIED),
        hint=rule.hint or _HINT,
        overrides=frozenset(rule.overrides),
        when=windows_of(rule.when),
        is_observed=rule.observe,
        terms=None if rule.approval is None else terms_of(rule.approval, default),
    )


def freeze_of(freeze: FreezeSection, default: ApprovalTerms) -> Rule:
    """A freeze as the rule that it is."""
    period = period_of(freeze)
    return Rule(
        id=freeze.id,
        effect=freeze.effect,
        who=who_of(freeze.who),
        where=where_of(freeze),
        what=What(properties=FREEZE_PROPERTIES),
        reason=ReasonCode.FREEZE,
        sentence=freeze.because or f"A freeze is in force {period}: changes wait.",
        hint=freeze.hint or _FROZEN_HINT,
        when=(period,),
        is_observed=freeze.observe,
        terms=None if freeze.approval is None else terms_of(freeze.approval, default),
        is_freeze=True,
    )


def period_of(freeze: FreezeSection) -> Period:
    """The period of a freeze; a day without a time is in it from its first second to its last."""
    zone = zone_of(freeze.zone)
    return Period(_seconds(freeze.starts, zone, is_end=False), _seconds(freeze.ends, zone, is_end=True), zone)


def _seconds(moment: datetime.date, zone: datetime.tzinfo, is_end: bool) -> float:
    if isinstance(moment, datetime.datetime):
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).timestamp()
    day = moment + datetime.timedelta(days=1) if is_end else moment
    return datetime.datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def windows_of(sections: Iterable[WhenSection]) -> tuple[Window, ...]:
    """The windows of a rule."""
    return tuple(
        Weekly(
            frozenset(map(DAYS.index, section.days)),
            section.starts or 0,
            MINUTES_OF_DAY if section.ends is None else section.ends,
            zone_of(section.zone),
        )
        for section in sections
    )


def automatic_of(section: AutomaticSection) -> AutomaticApproval:
    """An automatic approval."""
    return AutomaticApproval(
        section.id,
        frozenset(section.rules),
        who_of(section.who),
        where_of(section),
        windows_of(section.when),
        section.rows_up_to,
        section.standing,
    )


def requestable_of(section: RequestableSection, default: ApprovalTerms) -> Requestable:
    """What may be asked for, for a time."""
    terms = None if section.approval is None else terms_of(section.approval, default)
    return Requestable(section.id, who_of(section.who), section.groups, section.databases, section.for_up_to, terms)


def mask_of(section: MaskSection, name: str) -> MaskRule:
    """An operator in place of the classes' own."""
    classes = classes_of(section.classes)
    return MaskRule(name, section.operator.value, who_of(section.who), where_of(section), classes, section.columns)


def classes_of(names: tuple[str, ...]) -> frozenset[DataClass]:
    """The classes of data that names stand for."""
    return frozenset(DataClass) if "all" in names else frozenset(map(DataClass, names))


def limit_of(section: LimitSection, name: str) -> Limit:
    """A limit, with its budgets counted under its name."""
    periods = ((BudgetPeriod.HOUR, section.per_hour), (BudgetPeriod.DAY, section.per_day))
    return Limit(
        name,
        who_of(section.who),
        where_of(section),
        rows_max=section.rows,
        bytes_max=section.bytes,
        seconds_max=section.seconds,
        sessions_max=section.sessions,
        budgets=tuple(budget for period, stated in periods if stated is not None for budget in _budgets(name, period, stated)),
    )


def _budgets(name: str, period: BudgetPeriod, section: BudgetSection) -> Iterator[Budget]:
    for metric in BudgetMetric:
        amount = getattr(section, metric.value)
        if amount is not None:
            yield Budget(name, metric, period, amount)


def who_of(section: WhoSection) -> Who:
    """The principals of an entry."""
    return Who(_group(section), _group(section.excluded), section.delegated)


def _group(section: GroupSection) -> Group:
    return Group(section.groups, section.subjects, frozenset(section.kinds))


def where_of(section: Placed) -> Where:
    """The databases of an entry."""
    return Where(section.databases, frozenset(section.environments))
