"""Row plans: what becomes of each column of a result, from its RowDescription and the facts of its statement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from querywarden.masking.plan import ColumnMask, OutputColumn, plan_masks, unknown_relations
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Reveal
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.decisions import NO_CATALOGUE, facts_for_masks
from querywarden.postgresql.expected import Execution
from querywarden.postgresql.result import FieldDescription, compile_rows, decode_row_description, output_columns
from querywarden.postgresql.rows import RowMasker
from querywarden.postgresql.session_state import SessionState

PLANS_PER_STATEMENT_MAX = 16
"""Row plans kept for a statement: one for each combination of result formats and catalogue in use."""


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
        remembered = partial(context.remembered, state.principal, True)
        return compile_rows(self.fields, (), self.masks, context.masking_key, context.limits.row_buffered_bytes_max, remembered)


STALE = 0
"""Among the relations that a newer catalogue is asked for: any of them, since the session's own changes are newer than the catalogue."""


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
    changes = state.changes
    if changes.is_stale and STALE not in tried:
        raise UnknownRelation(frozenset({STALE}))
    plans = _plans_of(state, execution)
    key = (body, changes.is_stale, execution.allow.reveal)
    found = plans.get(key)
    if found is not None:
        return found
    fields = decode_row_description(body)
    columns = output_columns(fields)
    unknown = unknown_relations(columns, catalogue) - tried
    if unknown:
        raise UnknownRelation(unknown)
    plan = _plan(state, fields, columns, execution.shown, execution.allow.reveal, catalogue)
    if len(plans) >= PLANS_PER_STATEMENT_MAX:
        plans.clear()
    plans[key] = plan
    return plan


def _plans_of(state: SessionState, execution: Execution) -> dict[tuple[bytes, bool, Reveal], RowPlan]:
    """The row plans that are kept for a statement, as long as its verdict holds: they rest on the same."""
    shown = execution.shown
    if shown is None:
        return {}
    kept = state.current_verdicts().plans
    plans = kept.get(shown)
    if plans is None:
        plans = {}
        kept.keep(shown, plans)
    return plans


def _plan(
    state: SessionState,
    fields: tuple[FieldDescription, ...],
    columns: tuple[OutputColumn, ...],
    shown: StatementFacts | None,
    reveal: Reveal,
    catalogue: Catalogue,
) -> RowPlan:
    changes = state.changes
    opaque_unknown = changes.is_opaque or changes.has_code or changes.is_stale
    masks = plan_masks(columns, None if changes.is_stale else facts_for_masks(state, shown), catalogue, reveal, opaque_unknown)
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
