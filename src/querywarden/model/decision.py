"""Decisions: what policy answers to a request, and what an allowed statement still owes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import Classification
from querywarden.model.glob import is_any_match

APPROVERS_DEFAULT = ("querywarden-approvers",)
"""The group whose members may approve where the policy names nobody."""
APPROVAL_SECONDS_DEFAULT = 1800


@dataclass(frozen=True, slots=True)
class Reveal:
    """What a principal may see unmasked: whole classes, single columns (`schema.relation.column`), or everything.

    `masks` are the operators that take the place of a class's own: pairs of a column's full name or a class, and the operator's name;
    the first that fits a column holds, columns standing before classes.
    """

    classes: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    everything: bool = False
    masks: tuple[tuple[str, str], ...] = ()

    def reveals(self, classification: Classification, column: str) -> bool:
        """Whether a column of this class and full name is shown as it is."""
        return self.everything or classification.data_class.value in self.classes or column in self.columns

    def operator(self, classification: Classification, column: str) -> str | None:
        """The name of the operator that masks a column of this class and full name; None: the class's own."""
        for name, operator in self.masks:
            if name in (column, classification.data_class.value):
                return operator
        return None


class WaitMode(StrEnum):
    """What a client meets whose statement is held: it waits, or it gets an error with the approval's id and comes again."""

    WAIT = "wait"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Agreement:
    """So many different people have to agree, each of them in a group that one of these globs names."""

    approvers: tuple[str, ...]
    quorum: int = 1

    def is_for(self, groups: Collection[str]) -> bool:
        """Whether a member of these groups is among those who can agree."""
        return any(is_any_match(self.approvers, group) for group in groups)

    def includes(self, other: Agreement) -> bool:
        """Whether whoever satisfies this one satisfies the other with it."""
        return self.quorum >= other.quorum and set(self.approvers) <= set(other.approvers)


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """Who has to agree to a held statement, and for how long the question stands.

    `approvers` are globs of groups, one of which an approver must be in; `quorum` counts different people. `also` is who has to agree
    besides, where several rules hold the statement and ask different people: who is in groups of both counts for both. `mode` None: the
    client's wish, or the default of the principal's kind. `standing` names the automatic rule under which a standing approval of the exact
    statement is enough, whoever it was first given to.
    """

    approvers: tuple[str, ...] = APPROVERS_DEFAULT
    quorum: int = 1
    seconds_max: int = APPROVAL_SECONDS_DEFAULT
    mode: WaitMode | None = None
    standing: str | None = None
    also: tuple[Agreement, ...] = ()

    @property
    def agreements(self) -> tuple[Agreement, ...]:
        """All that have to be reached."""
        return Agreement(self.approvers, self.quorum), *self.also

    def is_for(self, groups: Collection[str]) -> bool:
        """Whether a member of these groups is asked, as far as groups say."""
        return any(each.is_for(groups) for each in self.agreements)


def combined(several: Sequence[ApprovalTerms]) -> ApprovalTerms:
    """The terms that satisfy all of several ones, of which there is one at least.

    Everybody is asked, for the shortest of the times; the rest is said by the terms with the highest quorum, the first of equals.
    A standing approval is enough only where it is enough for each.
    """
    first = max(several, key=lambda terms: terms.quorum)
    also: list[Agreement] = []
    for each in (each for terms in several for each in terms.agreements):
        if not any(other.includes(each) for other in (first.agreements[0], *also)):
            also = [other for other in also if not each.includes(other)] + [each]
    return replace(
        first,
        seconds_max=min(terms.seconds_max for terms in several),
        standing=first.standing if all(terms.standing is not None for terms in several) else None,
        also=tuple(also),
    )


@dataclass(frozen=True, slots=True)
class Observed:
    """A rule in observe mode that would have denied or held a statement; it is recorded and has no other effect."""

    rule: str
    effect: str
    reason: ReasonCode


@dataclass(frozen=True, slots=True)
class Allow:
    """The statement may run; its results are masked but for what `reveal` names. A limit of None is no limit.

    `automatic` names the rule that approved a statement which `rule` would hold.
    """

    rule: str
    reveal: Reveal = Reveal()
    rows_max: int | None = None
    bytes_max: int | None = None
    seconds_max: float | None = None
    automatic: str | None = None
    observed: tuple[Observed, ...] = ()


@dataclass(frozen=True, slots=True)
class Deny:
    """The statement may not run. The texts are public: they hold no literal and no row data."""

    rule: str
    reason: ReasonCode
    sentence: str
    hint: str
    observed: tuple[Observed, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """The statement may run, as `allow` says, once others agree under `terms`."""

    rule: str
    reason: ReasonCode
    sentence: str
    hint: str
    terms: ApprovalTerms = ApprovalTerms()
    allow: Allow = Allow("")
    observed: tuple[Observed, ...] = ()


Decision = Allow | Deny | Hold


class BudgetMetric(StrEnum):
    """What a budget counts."""

    STATEMENTS = "statements"
    ROWS = "rows"
    BYTES = "bytes"
    GUESSES = "guesses"
    """Conditions that ask whether a masked value is equal to one that the client names."""


class BudgetPeriod(StrEnum):
    """The stretch of time, in UTC, after which a budget is full again."""

    HOUR = "hour"
    DAY = "day"

    @property
    def seconds(self) -> int:
        """Its length."""
        return 3600 if self is BudgetPeriod.HOUR else 86_400

    def starts(self, now: float) -> int:
        """When the period that a time lies in has begun, in seconds since the epoch."""
        return int(now // self.seconds) * self.seconds


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a principal may use in a period, by the limit of the policy that says so. Counted per principal and database name."""

    limit: str
    metric: BudgetMetric
    period: BudgetPeriod
    amount: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many rows a statement would return or change, as the server's planner expects; None when it can't be said."""

    rows: int | None
