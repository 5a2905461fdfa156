"""What a policy file's entries must be to each other: names that are there and stand once, and entries that say something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NoReturn

from querywarden.config.policy_sections import AutomaticSection, FreezeSection, LimitSection, PolicyFile, RuleSection
from querywarden.config.policy_translation import period_of
from querywarden.config.yaml_lines import LineMap, suggestion
from querywarden.errors import ConfigurationError
from querywarden.model.decision import BudgetMetric
from querywarden.model.facts import Verb
from querywarden.policy.language import Effect, Rule
from querywarden.policy.row_counts import COUNTED

_RESERVED = ("baseline.", "policy.", "credential.", "proxy.")
_WAY_ROUND = {
    "baseline.classified_copy": "name the principals and classes under reveal",
    "baseline.classified_write": "name the principals and classes under reveal, or let people decide: laundering: hold",
    "baseline.masked_write_back": "what was masked is lost once it is stored",
    "baseline.unknown_statement": "what can't be analysed is never let through",
    "baseline.analysis_setting": "the analysis rests on it",
}
_YEARS_MAX = 9000
"""Dates beyond are mistakes, and a day after the last of them could not be told."""


def check(parsed: PolicyFile, built_in: Sequence[Rule], lines: LineMap, path: str | Path) -> None:
    """Check a policy file whose sections are valid each by itself.

    Args: `built_in` are the built-in rules that stand beside the file's.
    Raises: ConfigurationError, with file, line and what would be right.
    """
    _Check(parsed, built_in, lines, path).run()


class _Check:
    def __init__(self, parsed: PolicyFile, built_in: Sequence[Rule], lines: LineMap, path: str | Path) -> None:
        self._parsed = parsed
        self._lines = lines
        self._path = path
        self._fixed = {rule.id for rule in built_in if rule.is_fixed}
        self._effects = {rule.id: rule.effect for rule in built_in}
        self._effects |= {rule.id: rule.effect for rule in parsed.rules}
        self._effects |= {freeze.id: freeze.effect for freeze in parsed.freezes}

    def run(self) -> None:
        parsed = self._parsed
        self._ids_once()
        for number, rule in enumerate(parsed.rules):
            self._rule(rule, ("rules", number))
        for number, freeze in enumerate(parsed.freezes):
            self._freeze(freeze, ("freezes", number))
        for number, entry in enumerate(parsed.automatic_approvals):
            self._automatic(entry, ("automatic_approvals", number))
        for number, limit in enumerate(parsed.limits):
            self._limit(limit, ("limits", number))
        self._entries_that_name_nothing()

    def _fail(self, message: str, *place: str | int, hint: str | None = None) -> NoReturn:
        raise ConfigurationError(message, str(self._path), self._lines.line(place), hint)

    def _ids_once(self) -> None:
        parsed = self._parsed
        rules = _named("rules", [rule.id for rule in parsed.rules])
        self._each_once("two rules", [*rules, *_named("freezes", [freeze.id for freeze in parsed.freezes])])
        others: dict[str, list[str | None]] = {
            "access": [entry.id for entry in parsed.access],
            "automatic_approvals": [entry.id for entry in parsed.automatic_approvals],
            "requestable": [entry.id for entry in parsed.requestable],
            "reveal": [entry.id for entry in parsed.reveal],
            "masks": [entry.id for entry in parsed.masks],
            "limits": [entry.id for entry in parsed.limits],
        }
        for key, names in others.items():
            self._each_once(f"two entries of {key}", _named(key, names))

    def _each_once(self, what: str, entries: list[tuple[str, int, str]]) -> None:
        seen: dict[str, int | None] = {}
        for key, number, name in entries:
            line = self._lines.line((key, number, "id"))
            if name in seen:
                self._fail(f"{what} have the id {name!r}", key, number, "id", hint=f"the first is on line {seen[name]}")
            seen[name] = line
            if name.startswith(_RESERVED):
                hint = f"ids that begin with {', '.join(_RESERVED)} are built in"
                self._fail(f"the id {name!r} is reserved", key, number, "id", hint=hint)

    def _rule(self, rule: RuleSection, place: tuple[str, int]) -> None:
        if rule.overrides and rule.effect is not Effect.ALLOW:
            self._fail(f"the rule {rule.id!r} overrides others, but does not allow", *place, "overrides", hint="effect: allow")
        if rule.observe and rule.effect is Effect.ALLOW:
            self._fail(f"the rule {rule.id!r} allows, and can't be only observed", *place, "observe", hint="observe is for deny and hold")
        if rule.approval is not None and rule.effect is not Effect.HOLD:
            self._fail(f"the rule {rule.id!r} says who approves, but holds nothing", *place, "approval", hint="effect: hold")
        if rule.rows_over is not None and rule.verbs and not _counted(rule.verbs):
            hint = "rows are counted for " + ", ".join(sorted(COUNTED))
            self._fail(f"the rule {rule.id!r} counts rows of statements that have none", *place, "rows_over", hint=hint)
        for position, overridden in enumerate(rule.overrides):
            self._known(overridden, *place, "overrides", position)
            if overridden in self._fixed:
                hint_of_fixed = _WAY_ROUND.get(overridden)
                self._fail(f"the rule {overridden!r} can't be overridden", *place, "overrides", position, hint=hint_of_fixed)

    def _known(self, name: str, *place: str | int) -> None:
        if name not in self._effects:
            self._fail(f"unknown rule {name!r}", *place, hint=suggestion(name, self._effects))

    def _freeze(self, freeze: FreezeSection, place: tuple[str, int]) -> None:
        for key, moment in (("from", freeze.starts), ("until", freeze.ends)):
            if not _is_near(moment):
                self._fail(f"freezes.{place[1]}.{key}: not a date that will come", *place, key, hint="as 2026-12-20")
        period = period_of(freeze)
        if period.starts >= period.ends:
            self._fail(f"the freeze {freeze.id!r} ends before it begins", *place, "until", hint="until is the last day, or the end")
        if freeze.approval is not None and freeze.effect is not Effect.HOLD:
            self._fail(f"the freeze {freeze.id!r} says who approves, but holds nothing", *place, "approval", hint="effect: hold")

    def _automatic(self, entry: AutomaticSection, place: tuple[str, int]) -> None:
        for position, name in enumerate(entry.rules):
            self._known(name, *place, "rules", position)
            if self._effects[name] is not Effect.HOLD:
                self._fail(
                    f"the rule {name!r} holds nothing that could be approved", *place, "rules", position, hint="name rules with effect hold"
                )
        is_narrowed = entry.who.model_fields_set or entry.databases or entry.environments or entry.when or entry.rows_up_to is not None
        if not (entry.standing or is_narrowed):
            self._fail(
                f"the entry {entry.id!r} approves everything that its rules hold", *place,
                hint="say for whom, where, when or up to how many rows; or take the rules out of force by an allow rule with overrides",
            )  # fmt: skip

    def _limit(self, limit: LimitSection, place: tuple[str, int]) -> None:
        stated = limit.model_fields_set - {"id", "who", "databases", "environments"}
        budgets = [(name, section) for name, section in (("per_hour", limit.per_hour), ("per_day", limit.per_day)) if section is not None]
        if not any(getattr(limit, name) is not None for name in stated):
            self._fail("the entry limits nothing", *place, hint="name rows, bytes, seconds, sessions, per_hour or per_day")
        for name, section in budgets:
            if all(getattr(section, metric.value) is None for metric in BudgetMetric):
                self._fail("the budget limits nothing", *place, name, hint="name statements, rows, bytes or guesses")
        if budgets and limit.id is None:
            hint = "what is used of per_hour and per_day is counted under it, also after a restart"
            self._fail(f"limits.{place[1]}.id is missing", *place, hint=hint)

    def _entries_that_name_nothing(self) -> None:
        parsed = self._parsed
        for number in _nameless((entry.classes, entry.columns) for entry in parsed.reveal):
            self._fail("the entry reveals nothing", "reveal", number, hint="name classes or columns, or classes: all")
        for number in _nameless((entry.classes, entry.columns) for entry in parsed.masks):
            self._fail("the entry masks nothing", "masks", number, hint="name classes or columns, or classes: all")
        for number in _nameless((entry.groups, entry.databases) for entry in parsed.requestable):
            self._fail("the entry offers nothing", "requestable", number, hint="name groups or databases that may be asked for")


def _named(key: str, names: Sequence[str | None]) -> list[tuple[str, int, str]]:
    """The entries of a section that have a name: section, number, name."""
    return [(key, number, name) for number, name in enumerate(names) if name is not None]


def _counted(verbs: Sequence[Verb]) -> bool:
    return not COUNTED.isdisjoint(verbs)


def _is_near(moment: date) -> bool:
    return 1970 <= moment.year <= _YEARS_MAX


def _nameless(entries: Iterable[tuple[tuple[str, ...], ...]]) -> Iterator[int]:
    return (number for number, names in enumerate(entries) if not any(names))
