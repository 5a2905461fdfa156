"""Verdicts: what follows from a statement's facts, kept as long as everything else that it rests on is the same.

Drivers send the same statements again and again. What the policy says to one, how far its records must have come, what its record tells
of it and what becomes of its result's columns are functions of its facts, the policy, the catalogue and the session's open schema changes;
the database is the session's own. Facts are told apart by identity: they never change, and equal texts share them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Decision, Reveal
from querywarden.model.facts import StatementFacts
from querywarden.model.principal import Principal
from querywarden.policy.language import Policy
from querywarden.session.effects import Durability

STATEMENTS_KEPT_MAX = 256
"""Statements of a session whose verdicts are kept; with more in use all are forgotten and made anew."""
TEXT_CHARACTERS_MAX = 16 * 1024
"""Longer statements are not kept: they are rare, and making their verdicts is little beside reading them."""

T = TypeVar("T")


class ByFacts(Generic[T]):
    """One value for each of the statements last met."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[int, tuple[StatementFacts, T]] = {}

    def get(self, facts: StatementFacts) -> T | None:
        """The value kept for these facts."""
        found = self._kept.get(id(facts))
        return found[1] if found is not None and found[0] is facts else None

    def keep(self, facts: StatementFacts, value: T) -> None:
        """Keep a value, and the facts with it, so that nothing else can have their identity meanwhile."""
        if len(facts.normalised) > TEXT_CHARACTERS_MAX:
            return
        if len(self._kept) >= STATEMENTS_KEPT_MAX:
            self._kept.clear()
        self._kept[id(facts)] = (facts, value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The policy's answer to a statement: the decision, whether an estimate could change it, the statement's properties by name, and the
    estimate that it was given with.
    """

    decision: Decision
    wants_estimate: bool = False
    properties: tuple[str, ...] = ()
    estimated_rows: int | None = None
    writes_back: bool = False
    """It was given to a statement whose values are masks that were shown: others of the same facts have another."""


@dataclass(frozen=True, slots=True)
class Consequences:
    """What follows from a decision on a statement; `shown` and `decision` are what it was made for, `told` is the record's part."""

    shown: StatementFacts | None
    decision: Decision
    durability: Durability
    touches: bool
    told: Mapping[str, Any]


class Verdicts:
    """The verdicts of one session."""

    __slots__ = (
        "_catalogue", "_has_code", "_is_opaque", "_phase", "_policy", "_principal", "consequences", "decisions", "guesses", "harmless",
        "known", "plans", "stores", "wanted",
    )  # fmt: skip

    def __init__(self) -> None:
        self._policy: Policy | None = None
        self._phase = 0
        self._principal: Principal | None = None
        self._catalogue: Catalogue | None = None
        self._is_opaque = self._has_code = False
        self._forget()

    def rest_on(
        self, policy: Policy, phase: int, principal: Principal, catalogue: Catalogue | None, is_opaque: bool, has_code: bool
    ) -> None:
        """What verdicts rest on now; when any of it has changed, those that were kept are forgotten.

        Args: `phase`: the windows and freezes of the policy that hold now.
        """
        if (
            policy is self._policy
            and phase == self._phase
            and principal is self._principal
            and catalogue is self._catalogue
            and is_opaque is self._is_opaque
            and has_code is self._has_code
        ):  # fmt: skip
            return
        self._policy, self._phase, self._principal = policy, phase, principal
        self._catalogue, self._is_opaque, self._has_code = catalogue, is_opaque, has_code
        self._forget()

    def _forget(self) -> None:
        self.decisions: ByFacts[Verdict] = ByFacts()
        self.consequences: ByFacts[Consequences] = ByFacts()
        self.known: ByFacts[bool] = ByFacts()
        """Statements that name nothing that the catalogue doesn't have."""
        self.harmless: ByFacts[bool] = ByFacts()
        """Statements that change nothing of what others mean, and run no code."""
        self.guesses: ByFacts[int] = ByFacts()
        """How many conditions of a statement are guesses."""
        self.stores: ByFacts[bool] = ByFacts()
        """Whether a statement stores values of the client's choice in columns that the principal may not see."""
        self.wanted: ByFacts[bool] = ByFacts()
        """Whether the data flow of a statement matters."""
        self.plans: ByFacts[dict[tuple[bytes, bool, Reveal], Any]] = ByFacts()
        """Row plans, by the RowDescription, whether the catalogue is known to be old, and what is revealed."""
