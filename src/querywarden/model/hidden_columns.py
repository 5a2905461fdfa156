"""Hidden columns: which places of a data flow hold what a principal may not see."""

from __future__ import annotations

from collections.abc import Iterator

from querywarden.model.catalogue import Catalogue, Classification, Column, Relation
from querywarden.model.data_flow import DataFlow, Place, ValueFlow
from querywarden.model.decision import Reveal
from querywarden.model.facts import StatementFacts, Verb

_OUT_OF_SIGHT = frozenset({Verb.EXPLAIN, Verb.SHOW})
_ROWS = frozenset(
    {
        Verb.SELECT, Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.COPY_OUT, Verb.DECLARE, Verb.FETCH, Verb.PREPARE,
        Verb.EXECUTE,
    }
)  # fmt: skip
"""Statements whose results are the outputs of the query in them."""


def settled_flow(facts: StatementFacts, catalogue: Catalogue, is_uncertain: bool) -> DataFlow | None:
    """The data flow of a statement, where it can be relied on.

    Args: `is_uncertain`: the open transaction has changed what the catalogue doesn't know. The server itself has resolved relations, but
    the bodies of the database's own functions were followed as the catalogue has them, so that a statement that calls one is left to names.
    """
    flow = facts.flow
    if flow is None or (is_uncertain and any(_is_own(each, catalogue) for each in flow.functions)):
        return None
    return flow


def _is_own(function_id: int, catalogue: Catalogue) -> bool:
    function = catalogue.functions.get(function_id)
    return function is None or function.is_own


def returns_its_outputs(facts: StatementFacts) -> bool:
    """Whether the rows of a statement's result are those of the query in it: not a plan of that query, nor a setting."""
    return facts.verb in _ROWS and not any(child.verb in _OUT_OF_SIGHT for child in facts.children)


class HiddenColumns:
    """What a principal may not see of a database, by ids and numbers."""

    def __init__(self, catalogue: Catalogue, reveal: Reveal, is_unknown_hidden: bool = False) -> None:
        """Args: `is_unknown_hidden`: columns that the catalogue doesn't have may hold anything."""
        self._catalogue = catalogue
        self._reveal = reveal
        self._is_unknown_hidden = is_unknown_hidden and not reveal.everything

    def knows(self, place: Place) -> bool:
        """Whether the catalogue has a column; a whole row and system columns are those of a known relation."""
        relation = self._catalogue.relations.get(place[0])
        return relation is not None and (place[1] <= 0 or place[1] in relation.columns)

    def column(self, place: Place) -> tuple[Relation, Column] | None:
        """A column that has a place of its own in the catalogue, with its relation."""
        relation = self._catalogue.relations.get(place[0])
        column = None if relation is None else relation.columns.get(place[1])
        return None if relation is None or column is None else (relation, column)

    def classification(self, place: Place) -> Classification | None:
        """The class of a column that is hidden; None where it is shown, and for whole rows and unknown columns."""
        found = self.column(place)
        if found is None:
            return None
        relation, column = found
        return column.classification if self._is_hidden(relation, column) else None

    def operator(self, place: Place) -> str | None:
        """The name of the operator that the policy masks a hidden column by; None: its class's own."""
        found, classification = self.column(place), self.classification(place)
        return None if found is None or classification is None else self._reveal.operator(classification, _full_name(*found))

    def is_hidden(self, place: Place) -> bool:
        """Whether a place may hold what the principal may not see: a whole row does if any of its columns does."""
        relation = self._catalogue.relations.get(place[0])
        if place[1] < 0:
            return False
        if relation is None:
            return self._is_unknown_hidden
        if place[1] == 0:
            return any(self._is_hidden(relation, column) for column in relation.columns.values())
        column = relation.columns.get(place[1])
        return self._is_unknown_hidden if column is None else self._is_hidden(relation, column)

    def hidden(self, places: frozenset[Place]) -> Iterator[Place]:
        """Those of some places that may hold what the principal may not see."""
        return (place for place in places if self.is_hidden(place))

    def is_any_hidden(self, places: frozenset[Place]) -> bool:
        """Whether any of some places may hold what the principal may not see."""
        return any(map(self.is_hidden, places))

    def is_opaque(self, code: frozenset[str]) -> bool:
        """Whether functions of the database's own, by names, may bring in what the principal may not see."""
        if self._reveal.everything or not code or not self._catalogue.has_classified:
            return False
        return any(self._catalogue.is_opaque_code(name) for name in code)

    def is_in(self, value: ValueFlow) -> bool:
        """Whether anything that the principal may not see may be in a value."""
        return self.is_any_hidden(value.sources) or self.is_opaque(value.code)

    def _is_hidden(self, relation: Relation, column: Column) -> bool:
        classification = column.classification
        return classification is not None and not self._reveal.reveals(classification, _full_name(relation, column))


def _full_name(relation: Relation, column: Column) -> str:
    return f"{relation.schema}.{relation.name}.{column.name}"
