"""Masks by lineage: the mask of each output of a statement whose data flow the server has told.

A column that is passed on unchanged has the operator of its class; what is computed of hidden columns, or comes out of code that isn't
known, is masked whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from querywarden.masking.column_classifier import classify_name
from querywarden.masking.column_mask import DERIVED, ColumnMask, OutputColumn, mask_of_class
from querywarden.model.catalogue import Catalogue, Classification, DataClass
from querywarden.model.data_flow import DataFlow, FlowKind, OutputFlow, Place
from querywarden.model.decision import Reveal
from querywarden.model.hidden_columns import HiddenColumns

_WEAK = "view"
"""Where a class comes from that was read off a view's definition: the data flow has seen more of it than that."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """The outputs of a statement, and what of them a principal may see.

    `opaque_unknown` says what columns outside the catalogue are: True, that they may hold anything; False, that they are to be classified
    by name.
    """

    flow: DataFlow
    catalogue: Catalogue
    reveal: Reveal
    opaque_unknown: bool

    def masks(self, columns: Sequence[OutputColumn]) -> tuple[ColumnMask | None, ...] | None:
        """The mask of each output, None for those that are shown as they are; None altogether where there are other columns than outputs.

        Args: `columns` as the server describes them.
        """
        outputs = self.flow.outputs
        if outputs is None or len(columns) != len(outputs):
            return None
        hidden = HiddenColumns(self.catalogue, self.reveal, self.opaque_unknown)
        return tuple(self._mask(output, column, hidden) for output, column in zip(outputs, columns, strict=True))

    def _mask(self, output: OutputFlow, column: OutputColumn, hidden: HiddenColumns) -> ColumnMask | None:
        value = output.value
        origin = (column.relation_id, column.column_number)
        if hidden.is_opaque(value.code):
            return DERIVED
        found = {place: self._mask_of(place, hidden) for place in value.sources}
        masks = {place: mask for place, mask in found.items() if mask is not None}
        if not masks:
            return self._contradicted(origin, hidden)
        if value.kind is not FlowKind.DIRECT:
            return DERIVED
        if self._is_revealed_itself(origin):
            return None
        kinds = {replace(mask, is_citext=False) for mask in masks.values()}
        if len(kinds) > 1:
            # A view's column of a class of its own: the owner's word on what is shown there.
            return masks.get(origin, DERIVED)
        return replace(kinds.pop(), is_citext=any(mask.is_citext for mask in masks.values()))

    def _mask_of(self, place: Place, hidden: HiddenColumns) -> ColumnMask | None:
        """The mask of a value that is a column, unchanged."""
        if not self.opaque_unknown and not hidden.knows(place):
            return self._mask_of_unknown(place)
        if not hidden.is_hidden(place):
            return None
        classification = hidden.classification(place)
        if classification is None:
            return DERIVED
        return self._of_class(classification, place, hidden)

    def _of_class(self, classification: Classification, place: Place, hidden: HiddenColumns) -> ColumnMask:
        mask = mask_of_class(classification.data_class, hidden.operator(place))
        found = hidden.column(place)
        return replace(mask, is_citext=True) if found is not None and found[1].type_name == "citext" else mask

    def _mask_of_unknown(self, place: Place) -> ColumnMask | None:
        """The mask of a column that the catalogue doesn't have, by the name that the server knows it by."""
        names = self.flow.column_names.get(place[0], {})
        if place[1] < 0:
            return None
        if place[1] not in names:
            return DERIVED
        found = self._class_of_name(names[place[1]])
        return None if found is None else mask_of_class(found.data_class, self.reveal.operator(found, ""))

    def _class_of_name(self, name: str) -> Classification | None:
        found = classify_name(name)
        return None if found is None or self.reveal.reveals(found, name) else found

    def _contradicted(self, origin: Place, hidden: HiddenColumns) -> ColumnMask | None:
        """The mask of a column that is clear by its lineage, by the origin that the server names: of two answers the stricter one holds."""
        relation = self.catalogue.relations.get(origin[0])
        if relation is not None and origin[1] == 0 and relation.kind != "view" and hidden.is_hidden(origin):
            return DERIVED
        classification = hidden.classification(origin)
        if classification is None:
            return None
        if classification.source == _WEAK and classification.data_class is DataClass.OPAQUE:
            return None
        return self._of_class(classification, origin, hidden)

    def _is_revealed_itself(self, origin: Place) -> bool:
        """Whether the server's origin is a column of a view that the policy shows by its own name, whatever it is made of."""
        relation = self.catalogue.relations.get(origin[0])
        column = None if relation is None else relation.columns.get(origin[1])
        if relation is None or column is None or self.opaque_unknown:
            return False
        return relation.kind == "view" and f"{relation.schema}.{relation.name}.{column.name}" in self.reveal.columns
