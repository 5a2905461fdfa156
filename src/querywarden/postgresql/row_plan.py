"""Row plans: what becomes of each column of a result, from its RowDescription and the facts of its statement."""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.masking.plan import ColumnMask, OutputColumn, plan_masks, unknown_relations
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Reveal
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.expected import Execution
from querywarden.postgresql.judgement import NO_CATALOGUE, facts_for_masks
from querywarden.postgresql.result import FieldDescription, compile_rows, decode_row_description, output_columns
from querywarden.postgresql.rows import RowMasker
from querywarden.postgresql.session_state import SessionState

PLANS_PER_STATEMENT_MAX = 16
"""Row plans kept with a prepared statement: one for each combination of result formats and catalogue in use."""


@dataclass(frozen=True, slots=True)
class RowPlan:
    """The plan of one result: its fields, their masks, and for the record the masked columns with their classes."""

    fields: tuple[FieldDescription, ...]
    masks: tuple[ColumnMask | None, ...]
    masked: tuple[tuple[str, str], ...]

    def masker(self, state: SessionState) -> RowMasker | None:
        """A fresh masker for one run, None when nothing is masked."""
        if not self.masked:
            return None
        context = state.context
        return compile_rows(self.fields, (), self.masks, context.masking_key, context.limits.row_buffered_bytes_max)


class UnknownRelation(Exception):
    """A result comes from relations that the catalogue doesn't have: it may be too old."""

    def __init__(self, ids: frozenset[int]) -> None:
        super().__init__()
        self.ids = ids


def plan_rows(state: SessionState, body: bytes, execution: Execution, tried: frozenset[int]) -> RowPlan:
    """The plan for a RowDescription.

    Args: `tried` are the relations for which a newer catalogue has been asked for already.
    Raises: UnknownRelation when a newer catalogue may know more; PeerViolation when the message isn't well-formed.
    """
    catalogue = state.catalogue or NO_CATALOGUE
    prepared = execution.prepared
    key = (body, catalogue.generation, state.changes.is_opaque, state.changes.has_code, execution.allow.reveal)
    if prepared is not None and key in prepared.plans:
        found: RowPlan = prepared.plans[key]
        return found
    fields = decode_row_description(body)
    columns = output_columns(fields)
    unknown = unknown_relations(columns, catalogue) - tried
    if unknown:
        raise UnknownRelation(unknown)
    plan = _plan(state, fields, columns, execution.shown, execution.allow.reveal, catalogue)
    if prepared is not None:
        if len(prepared.plans) >= PLANS_PER_STATEMENT_MAX:
            prepared.plans.clear()
        prepared.plans[key] = plan
    return plan


def _plan(
    state: SessionState,
    fields: tuple[FieldDescription, ...],
    columns: tuple[OutputColumn, ...],
    shown: StatementFacts | None,
    reveal: Reveal,
    catalogue: Catalogue,
) -> RowPlan:
    opaque_unknown = state.changes.is_opaque or state.changes.has_code
    masks = plan_masks(columns, facts_for_masks(state, shown), catalogue, reveal, opaque_unknown)
    masked = tuple(
        (_origin(column, catalogue), mask.data_class.value) for column, mask in zip(columns, masks, strict=True) if mask is not None
    )
    return RowPlan(fields, masks, masked)


def _origin(column: OutputColumn, catalogue: Catalogue) -> str:
    """The column's full name in the database; an alias is the client's own text and stays out of the record."""
    relation = catalogue.relations.get(column.relation_id)
    if relation is None:
        return "<expression>" if column.relation_id == 0 else f"<relation {column.relation_id}>"
    origin = relation.columns.get(column.column_number)
    return f"{relation.schema}.{relation.name}.{'*' if origin is None else origin.name}"
