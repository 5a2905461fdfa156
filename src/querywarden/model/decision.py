"""Decisions: what policy answers to a request, and what an allowed statement still owes."""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import Classification


@dataclass(frozen=True, slots=True)
class Reveal:
    """What a principal may see unmasked: whole classes, single columns (`schema.relation.column`), or everything."""

    classes: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    everything: bool = False

    def reveals(self, classification: Classification, column: str) -> bool:
        """Whether a column of this class and full name is shown as it is."""
        return self.everything or classification.data_class.value in self.classes or column in self.columns


@dataclass(frozen=True, slots=True)
class Allow:
    """The statement may run; its results are masked but for what `reveal` names. `rows_max` None: no cap."""

    rule: str
    reveal: Reveal = Reveal()
    rows_max: int | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """The statement may not run. The texts are public: they hold no literal and no row data."""

    rule: str
    reason: ReasonCode
    sentence: str
    hint: str


@dataclass(frozen=True, slots=True)
class Hold:
    """The statement may run once others agree; until approvals exist it is refused and says so."""

    rule: str
    reason: ReasonCode
    sentence: str
    hint: str


Decision = Allow | Deny | Hold
