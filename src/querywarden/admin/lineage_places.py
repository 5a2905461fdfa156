"""Places by name: the relations and columns of a data flow as people know them, with their classes and whether they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from querywarden.masking.column_classifier import classify_name
from querywarden.masking.plan import OutputColumn
from querywarden.model.catalogue import Catalogue, Classification, Relation
from querywarden.model.data_flow import Place
from querywarden.model.decision import Reveal


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """A column that a value is made of, or the whole row of a relation: `schema.relation.column`, or `schema.relation.*`.

    `classes` are its own, or those of the row's columns; `is_shown`: the principal sees all of it. `reason`: where the class comes from.
    """

    column: str
    classes: tuple[str, ...] = ()
    is_shown: bool = True
    reason: str = ""


class Places:
    """The places of one catalogue as one principal sees them. `names` are those that the server has told besides."""

    def __init__(self, catalogue: Catalogue, reveal: Reveal) -> None:
        self.catalogue = catalogue
        self.reveal = reveal
        self.names: Mapping[int, Mapping[int, str]] = {}

    def relation(self, relation_id: int) -> str:
        """The full name of a relation; by its id where the catalogue doesn't have it."""
        relation = self.catalogue.relations.get(relation_id)
        return f"relation {relation_id}" if relation is None else f"{relation.schema}.{relation.name}"

    def origins(self, places: Iterable[Place]) -> tuple[Origin, ...]:
        """The columns of places, in the order of their names."""
        return tuple(sorted(map(self.origin, places)))

    def origin(self, place: Place) -> Origin:
        """The column of a place."""
        relation_id, number = place
        relation = self.catalogue.relations.get(relation_id)
        if relation is None:
            return self._unknown(relation_id, number)
        prefix = f"{relation.schema}.{relation.name}"
        if number == 0:
            return self._row(relation, prefix)
        column = relation.columns.get(number)
        if column is None:
            return Origin(f"{prefix}.{self.names.get(relation_id, {}).get(number, f'column {number}')}")
        return self._classed(f"{prefix}.{column.name}", column.classification)

    def origin_name(self, column: OutputColumn) -> str:
        """Where the server says that an output column comes from."""
        return self.origin((column.relation_id, column.column_number)).column

    def _classed(self, name: str, classification: Classification | None) -> Origin:
        if classification is None:
            return Origin(name)
        because = "by the policy" if classification.source == "policy" else classification.reason
        reason = f"{name} is {classification.data_class.value}" + (f" ({because})" if because else "")
        return Origin(name, (classification.data_class.value,), self.reveal.reveals(classification, name), reason)

    def _row(self, relation: Relation, prefix: str) -> Origin:
        columns = [self._classed(f"{prefix}.{each.name}", each.classification) for each in relation.columns.values()]
        classes = tuple(sorted({data_class for each in columns for data_class in each.classes}))
        return Origin(f"{prefix}.*", classes, all(each.is_shown for each in columns))

    def _unknown(self, relation_id: int, number: int) -> Origin:
        """A column of a relation that the catalogue doesn't have is classed by its name."""
        name = "*" if number == 0 else self.names.get(relation_id, {}).get(number, f"column {number}")
        return self._classed(f"relation {relation_id}.{name}", classify_name(name) if number > 0 else None)
