"""The copy data of a COPY … TO STDOUT: what masks it, settled when the server says that it begins.

A COPY sends no RowDescription. What its columns are the server has said of its query, before the statement was decided; the number of
columns that it announces now must be theirs.
Spec: PostgreSQL 18, "COPY Operations"; Message Formats, CopyOutResponse.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from querywarden.errors import ReasonCode
from querywarden.masking.plan import ColumnMask, OutputColumn, plan_masks, unknown_relations
from querywarden.model.catalogue import Catalogue
from querywarden.model.data_flow import DataFlow, FlowKind, OutputFlow
from querywarden.model.facts import CopyFormat
from querywarden.postgresql.copy_masks import copy_masker
from querywarden.postgresql.copy_rows import CopyMasker
from querywarden.postgresql.decisions import NO_CATALOGUE, facts_for_masks
from querywarden.postgresql.expected import Execution
from querywarden.postgresql.limited_copy import LimitedCopy
from querywarden.postgresql.limited_rows import NOTHING_TAKEN, LimitedRows, is_limited
from querywarden.postgresql.messages.backend import CopyOutResponse, decode_copy_out_response
from querywarden.postgresql.refusal import Refusal, refusal_for
from querywarden.postgresql.row_plan import STALE, RowPlan, UnknownRelation
from querywarden.postgresql.session_state import SessionState

_BINARY = 1


def begin_copy_masked(
    state: SessionState, execution: Execution, body: bytes, tried: frozenset[int]
) -> CopyMasker | LimitedRows | Refusal | None:
    """What takes the copy data that begins: a masker, a counter, both in one, or None where it passes as it is. A Refusal: none may pass.

    Sets the execution's row plan, which its record is made from. Args: `body` is the CopyOutResponse's; `tried` as for plan_rows.
    Raises: UnknownRelation when a newer catalogue may know more; PeerViolation when the message isn't well-formed.
    """
    response = decode_copy_out_response(body)
    masker: CopyMasker | None = None
    facts = execution.facts
    if facts.flow is not None and facts.flow.outputs is not None and not execution.allow.reveal.everything:
        planned = _plan(state, execution, facts.flow, response, tried)
        if isinstance(planned, Refusal):
            return planned
        masker = planned
    if not is_limited(state, execution):
        return masker
    if masker is not None:
        return LimitedCopy(state, execution, masker, len(response.column_formats))
    return LimitedRows(state, execution, None, 0, NOTHING_TAKEN, is_copy=True)


def end_copy(masker: object) -> None:
    """The server says that a COPY is done. Raises: RowViolation when its copy data end in the middle of something."""
    if isinstance(masker, CopyMasker | LimitedCopy):
        masker.end()


def copied_outputs(flow: DataFlow, count: int, catalogue: Catalogue) -> Sequence[int] | None:
    """The places of the outputs that a COPY with so many columns sends; None where that isn't certain.

    A COPY of a relation without a list of columns leaves out the generated ones, which its query has; under row security it sends them.
    """
    outputs = flow.outputs or ()
    if len(outputs) == count:
        return range(count)
    names = [output.name for output in outputs]
    for id_of_relation in flow.relations:
        relation = catalogue.relations.get(id_of_relation)
        if relation is None:
            continue
        columns = [relation.columns[number] for number in sorted(relation.columns) if number > 0]
        if [column.name for column in columns] == names:
            copied = [place for place, column in enumerate(columns) if not column.is_generated]
            return copied if len(copied) == count else None
    return None


def _plan(
    state: SessionState, execution: Execution, flow: DataFlow, response: CopyOutResponse, tried: frozenset[int]
) -> CopyMasker | Refusal | None:
    catalogue = state.catalogue or NO_CATALOGUE
    outputs, form = flow.outputs or (), execution.facts.copy
    unknown = unknown_relations(tuple(map(_column, outputs)), catalogue) - tried
    if state.changes.is_stale and STALE not in tried:
        unknown |= {STALE}
    if unknown:
        raise UnknownRelation(unknown)
    masks = _masks(state, execution, outputs, catalogue)
    if all(mask is None for mask in masks):
        return None
    places = copied_outputs(flow, len(response.column_formats), catalogue)
    if places is None or form is None or not _fits(form, response):
        return _refusal(execution)
    outputs, masks = tuple(outputs[place] for place in places), tuple(masks[place] for place in places)
    masked = tuple(
        (_origin(output, catalogue), mask.data_class.value) for output, mask in zip(outputs, masks, strict=True) if mask is not None
    )
    execution.row_plan = RowPlan((), masks, masked)
    context = state.context
    remembered = partial(context.remembered, state.principal, True)
    return copy_masker(form, outputs, masks, context.masking_key, context.limits.row_buffered_bytes_max, remembered)


def _masks(state: SessionState, execution: Execution, outputs: Sequence[OutputFlow], catalogue: Catalogue) -> tuple[ColumnMask | None, ...]:
    changes = state.changes
    opaque_unknown = changes.is_opaque or changes.has_code or changes.is_stale
    facts = None if changes.is_stale else facts_for_masks(state, execution.facts)
    return plan_masks(tuple(map(_column, outputs)), facts, catalogue, execution.allow.reveal, opaque_unknown)


def _column(output: OutputFlow) -> OutputColumn:
    """The column as a RowDescription would describe it: with an origin where its values are those of one column."""
    value = output.value
    if value.kind is FlowKind.DIRECT and len(value.sources) == 1 and not value.code:
        ((relation, number),) = value.sources
        return OutputColumn(output.name, relation, number)
    return OutputColumn(output.name, 0, 0)


def _origin(output: OutputFlow, catalogue: Catalogue) -> str:
    """The full name of the column that an output comes from, for the record."""
    column = _column(output)
    relation = catalogue.relations.get(column.relation_id)
    if relation is None:
        return "<expression>" if column.relation_id == 0 else f"<relation {column.relation_id}>"
    origin = relation.columns.get(column.column_number)
    return f"{relation.schema}.{relation.name}.{'*' if origin is None else origin.name}"


def _fits(form: CopyFormat, response: CopyOutResponse) -> bool:
    """Whether the server sends the form that the statement's text asks for, and it is one that can be rewritten."""
    code = _BINARY if form.format == "binary" else 0
    return form.is_rewritable and response.format == code and all(each == code for each in response.column_formats)


def _refusal(execution: Execution) -> Refusal:
    return refusal_for(
        ReasonCode.CLASSIFIED_COPY,
        execution.act.audit_id,
        "the rows of this COPY can't be masked: what the server sends isn't what its text says",
        "Run the query as a SELECT, whose rows are masked, or name the columns in the COPY.",
    )
