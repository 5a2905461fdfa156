"""The plan of masks: which output columns of a statement are masked, and how.

Where the server has told the statement's data flow, that decides. Elsewhere a column whose origin the server names has the class of that
origin. One without an origin is an expression: it is shown only if the statement touches nothing classified, or if the names in the
expression prove that no classified value is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from querywarden.masking.column_classifier import classify_name
from querywarden.masking.column_mask import DERIVED
from querywarden.masking.column_mask import ColumnMask as ColumnMask
from querywarden.masking.column_mask import OutputColumn as OutputColumn
from querywarden.masking.column_mask import mask_of_class as mask_of_class
from querywarden.masking.lineage_masks import Lineage
from querywarden.model.catalogue import Catalogue, Classification, Column, Relation
from querywarden.model.decision import Reveal
from querywarden.model.facts import Expression, StatementFacts, Verb
from querywarden.model.hidden_columns import returns_its_outputs, settled_flow

_BY_REFERENCE = frozenset({Verb.EXECUTE, Verb.FETCH})
"""Statements that run another one: without its facts nothing is known of what they touch."""

_VIEWS = frozenset({"view", "materialized_view"})

SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


def unknown_relations(columns: Sequence[OutputColumn], catalogue: Catalogue) -> frozenset[int]:
    """The ids of relations that output columns come from and the catalogue doesn't have, or has without that column."""
    unknown = set()
    for column in columns:
        if column.relation_id == 0:
            continue
        relation = catalogue.relations.get(column.relation_id)
        if relation is None or (column.column_number > 0 and column.column_number not in relation.columns):
            unknown.add(column.relation_id)
    return frozenset(unknown)


def plan_masks(
    columns: Sequence[OutputColumn],
    facts: StatementFacts | None,
    catalogue: Catalogue,
    reveal: Reveal,
    opaque_unknown: bool,
) -> tuple[ColumnMask | None, ...]:
    """The mask of each output column of a statement, None for those that are shown as they are.

    Args: `facts` None stands for a statement of which nothing is known. `opaque_unknown` says what relations outside the
    catalogue are: True, that they may hold anything; False, that their columns are to be classified by name.
    """
    if reveal.everything:
        return (None,) * len(columns)
    masks = _masks_by_lineage(columns, facts, catalogue, reveal, opaque_unknown)
    if masks is not None:
        return masks
    if facts is not None and facts.verb in _BY_REFERENCE and not facts.children:
        facts = None
    statement = _Statement(facts, catalogue, reveal, opaque_unknown)
    outputs = facts.outputs if facts is not None else None
    if outputs is not None and len(outputs) != len(columns):
        outputs = None
    return tuple(
        statement.mask_of_origin(column)
        if column.relation_id
        else statement.mask_of_expression(column, outputs[index] if outputs is not None else None)
        for index, column in enumerate(columns)
    )


def _masks_by_lineage(
    columns: Sequence[OutputColumn], facts: StatementFacts | None, catalogue: Catalogue, reveal: Reveal, opaque_unknown: bool
) -> tuple[ColumnMask | None, ...] | None:
    if facts is None or not returns_its_outputs(facts):
        return None
    flow = settled_flow(facts, catalogue, opaque_unknown)
    return None if flow is None else Lineage(flow, catalogue, reveal, opaque_unknown).masks(columns)


def _full_name(relation: Relation, column: Column) -> str:
    return f"{relation.schema}.{relation.name}.{column.name}"


def _has_data_classified(catalogue: Catalogue) -> bool:
    """Whether a database's own relations hold something classified; the server's always do, and say nothing of its functions."""
    return any(
        column.classification is not None and column.classification.source != "built_in"
        for relation in catalogue.relations.values()
        for column in relation.columns.values()
    )


class _Statement:
    """What a statement touches, as far as masking needs to know."""

    def __init__(self, facts: StatementFacts | None, catalogue: Catalogue, reveal: Reveal, opaque_unknown: bool) -> None:
        self._facts = facts
        self._catalogue = catalogue
        self._reveal = reveal
        self._opaque_unknown = opaque_unknown
        self._touched: tuple[Relation, ...] = ()
        self._unknown_names = False
        if facts is not None:
            self._touched = tuple(catalogue.touched(facts))
            self._unknown_names = any(not catalogue.knows(name) for name in facts.reads | facts.writes)
        self._hidden = self._touches_hidden()

    def mask_of_origin(self, column: OutputColumn) -> ColumnMask | None:
        """The mask of a column that the server traces to a relation."""
        relation = self._catalogue.relations.get(column.relation_id)
        if relation is None or (column.column_number > 0 and column.column_number not in relation.columns):
            return self._mask_of_unknown(column)
        if self._opaque_unknown and relation.kind in _VIEWS:
            # A view may have been replaced by the change that isn't committed: its columns come from anywhere then.
            return DERIVED
        if column.column_number < 0:
            return None
        if column.column_number == 0:
            return DERIVED if self._is_hidden(relation) else None
        origin = relation.columns[column.column_number]
        classification = origin.classification
        if classification is None or self._shows(relation, origin, classification):
            return None
        mask = mask_of_class(classification.data_class, self._reveal.operator(classification, _full_name(relation, origin)))
        return replace(mask, is_citext=True) if origin.type_name == "citext" else mask

    def mask_of_expression(self, column: OutputColumn, expression: Expression | None) -> ColumnMask | None:
        """The mask of a column without an origin."""
        facts = self._facts
        if facts is not None and facts.verb is Verb.SHOW:
            return None
        if facts is not None and facts.verb is Verb.EXPLAIN:
            # A plan shows the client's own literals and the catalogue's names; only folded function results are data.
            return DERIVED if self._folds_own_code(facts) and _has_data_classified(self._catalogue) else None
        if self._hidden:
            return None if expression is not None and self._is_clean(expression) else DERIVED
        if self._unknown_names and not self._opaque_unknown:
            return self._mask_by_names(column, expression)
        return None

    def _folds_own_code(self, facts: StatementFacts) -> bool:
        """Whether a plan may hold what functions of the database's own have returned, those included whose bodies are known."""
        called = () if facts.flow is None else (self._catalogue.functions.get(each) for each in facts.flow.functions)
        if any(each is None or (each.is_own and self._catalogue.is_opaque_code(each.name)) for each in called):
            return True
        return self._catalogue.is_opaque(facts) or self._catalogue.is_opaque(replace(facts, flow=None))

    def _touches_hidden(self) -> bool:
        """Whether values that the principal may not see can take part in the statement."""
        facts = self._facts
        if facts is None:
            return self._catalogue.has_classified or self._opaque_unknown
        if self._opaque_unknown and self._unknown_names:
            return True
        if self._catalogue.is_opaque(facts) and _has_data_classified(self._catalogue):
            return True
        return any(self._is_hidden(relation) for relation in self._touched)

    def _is_hidden(self, relation: Relation) -> bool:
        return any(
            column.classification is not None and not self._shows(relation, column, column.classification)
            for column in relation.columns.values()
        )

    def _shows(self, relation: Relation, column: Column, classification: Classification) -> bool:
        return self._reveal.reveals(classification, _full_name(relation, column))

    def _mask_of_unknown(self, column: OutputColumn) -> ColumnMask | None:
        if self._opaque_unknown:
            return DERIVED
        if column.column_number < 0:
            return None
        if column.column_number == 0:
            return DERIVED
        found = classify_name(column.name)
        if found is None or self._reveal.reveals(found, column.name):
            return None
        # By its class alone: the name of an output column is the client's own choice.
        return mask_of_class(found.data_class, self._reveal.operator(found, ""))

    def _mask_by_names(self, column: OutputColumn, expression: Expression | None) -> ColumnMask | None:
        if expression is None or expression.is_opaque:
            return DERIVED
        names = {column.name, *expression.columns} if expression.is_plain_column else expression.columns
        return DERIVED if any(classify_name(name) is not None for name in names) else None

    def _is_clean(self, expression: Expression) -> bool:
        """Whether the names in an expression prove that no classified value is in it."""
        facts = self._facts
        if facts is None or expression.is_opaque or self._catalogue.is_opaque(facts):
            return False
        if not expression.columns:
            return True
        if not facts.from_is_plain or self._unknown_names:
            return False
        names_of_rows = facts.aliases | {name.name for name in facts.reads | facts.writes}
        return all(name not in names_of_rows and self._is_clean_name(name) for name in expression.columns)

    def _is_clean_name(self, name: str) -> bool:
        if name in SYSTEM_COLUMNS:
            return True
        found = [(relation, column) for relation in self._touched for column in relation.columns.values() if column.name == name]
        return bool(found) and all(
            column.classification is None or self._shows(relation, column, column.classification) for relation, column in found
        )
