"""Lineage: what a statement does with columns that the principal may not see, by the data flow that the server has told.

It takes the place of what names can tell (`laundering`): columns are known by ids, so that nothing else has to be feared but code that
isn't known, and relations that the catalogue doesn't have.
"""

from __future__ import annotations

from functools import cached_property

from querywarden.model.catalogue import Catalogue, Classification, DataClass
from querywarden.model.data_flow import Assignment, ConditionKind, DataFlow, FlowKind, Place
from querywarden.model.decision import Reveal
from querywarden.model.hidden_columns import HiddenColumns

PARTLY_SHOWN = frozenset(
    {
        DataClass.PHONE, DataClass.CREDIT_CARD, DataClass.IBAN, DataClass.BANK_ACCOUNT, DataClass.DOB, DataClass.IP, DataClass.MAC,
        DataClass.GEO, DataClass.POSTCODE, DataClass.OPAQUE,
    }
)  # fmt: skip
"""Classes whose masks keep a part of the value: shifting the value inside its own column would show the rest of it."""

CASE_FOLDING = frozenset({"lower", "upper", "initcap", "coalesce", "nullif", "normalize", "ltrim"})
"""Functions that leave every character of a value where a mask expects it, counted from its end."""

_TELLING = frozenset({ConditionKind.COMPARISON, ConditionKind.ORDER})
"""What tells more of a value than that it is equal to another one, or is missing."""


class Lineage:
    """What of a statement's data flow the principal may not see, and where it goes."""

    def __init__(self, flow: DataFlow, catalogue: Catalogue, reveal: Reveal, is_blind: bool) -> None:
        """Args: `is_blind`: what the catalogue doesn't have may hold anything, since the open transaction may have made it."""
        self._flow = flow
        self._catalogue = catalogue
        self._hidden = HiddenColumns(catalogue, reveal, is_blind and catalogue.has_classified)

    @cached_property
    def returns_hidden(self) -> bool:
        """Whether a result's columns may hold what the principal may not see."""
        return any(self._hidden.is_in(output.value) for output in self._flow.outputs or ())

    @cached_property
    def tells_classified(self) -> bool:
        """Whether a condition, an order or a computation tells about a hidden column by more than equality."""
        # What comes out of code that isn't known may be anything, so that equality with it, or NULL, may tell of anything.
        return any(
            (condition.kind in _TELLING and self._hidden.is_any_hidden(condition.sources)) or self._hidden.is_opaque(condition.code)
            for condition in self._flow.conditions
        )

    @cached_property
    def groups_classified(self) -> bool:
        """Whether rows are grouped, made distinct or partitioned by a hidden column."""
        return any(
            condition.kind is ConditionKind.GROUP and self._hidden.is_any_hidden(condition.sources) for condition in self._flow.conditions
        )

    @cached_property
    def assigns_classified(self) -> bool:
        """Whether a hidden value may be written into a column, or handed to a function that keeps it, where nothing masks it."""
        if not self._catalogue.has_classified:
            return False
        kept = self._flow.stored_arguments
        if kept is not None and self._hidden.is_in(kept):
            return True
        return not all(map(self._is_clean, self._flow.assignments))

    @cached_property
    def copies_classified(self) -> bool:
        """Whether hidden values may be in the outputs, were these stored in columns that have no class."""
        return self._catalogue.has_classified and (self._flow.outputs is None or self.returns_hidden)

    def _is_clean(self, assignment: Assignment) -> bool:
        """Whether storing a value keeps all hidden values in it masked: each comes from a column that is masked as the target is."""
        value, target = assignment.value, assignment.target
        if self._hidden.is_opaque(value.code):
            return False
        sources = list(self._hidden.hidden(value.sources))
        if not sources:
            return True
        kept = self._hidden.classification(target)
        if kept is None or not all(self._is_masked_alike(source, target, kept) for source in sources):
            return False
        return value.kind is FlowKind.DIRECT or kept.data_class not in PARTLY_SHOWN or self._folds_only

    def _is_masked_alike(self, source: Place, target: Place, kept: Classification) -> bool:
        found = self._hidden.classification(source)
        if found is None or found.data_class is not kept.data_class:
            return False
        return self._hidden.operator(source) == self._hidden.operator(target)

    @cached_property
    def _folds_only(self) -> bool:
        """Whether no function of the statement moves a character to where a mask would show it."""
        equalities = {operator.function for operator in self._catalogue.operators.values() if operator.is_built_in and operator.name == "="}
        for each in self._flow.functions - equalities:
            function = self._catalogue.functions.get(each)
            if function is None or function.schema != "pg_catalog" or function.name not in CASE_FOLDING:
                return False
        return True
