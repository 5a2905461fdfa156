"""The lineage of a statement in words: what each output is made of and what would be done with it, conditions, writes, and why.

It is put together from the same judgement and the same plan of masks that a session follows, and holds names alone: no literal of the
statement and no value of a row is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from querywarden.admin.lineage_places import Origin, Places
from querywarden.admin.lineage_rulings import Ruling, Rulings
from querywarden.masking.key import KEY_BYTES, MaskingKey
from querywarden.masking.plan import ColumnMask, OutputColumn, plan_masks
from querywarden.model.data_flow import Condition, DataFlow, FlowKind, OutputFlow, ValueFlow
from querywarden.model.decision import Allow, Decision, Deny, Hold, Reveal
from querywarden.model.facts import StatementFacts, Verb
from querywarden.policy.evaluate import Request, judge, may_connect, reveal_of
from querywarden.policy.language import Policy
from querywarden.postgresql.cell_masks import Action
from querywarden.postgresql.value_masks import cell_mask

_NO_KEY = MaskingKey(bytes(KEY_BYTES))
"""What a mask does with a type doesn't hang on the key."""

PLAN = OutputColumn("QUERY PLAN", 0, 0)
"""The one column of EXPLAIN."""


@dataclass(frozen=True, slots=True)
class Output:
    """A column of a result as the server describes it."""

    column: OutputColumn
    type_oid: int
    type_modifier: int
    type_name: str


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """An output column: what it is made of, and what is done with it.

    `kind` None: that isn't known. `treatment` is `shown`, `masked` (by `operator`, which keeps something), `constant`, `null`, or `stored`
    where the statement keeps the column in a relation.
    """

    name: str
    type_name: str
    kind: str | None
    made_of: tuple[Origin, ...]
    functions: tuple[str, ...]
    treatment: str
    operator: str | None
    data_class: str | None
    why: str


@dataclass(frozen=True, slots=True)
class ConditionReport:
    """A condition, an order or a grouping that rests on classified columns, or on functions that aren't followed."""

    kind: str
    columns: tuple[Origin, ...]
    functions: tuple[str, ...]
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class WriteReport:
    """A value that the statement stores. `target` None: in what functions keep, such as settings, sequences and notifications."""

    target: Origin | None
    kind: str
    made_of: tuple[Origin, ...]
    functions: tuple[str, ...]
    takes_client_values: bool
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class Gap:
    """Why the server's understanding isn't there; `remedy` puts that right, where anything does."""

    reason: str
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class StatementReport:
    """The lineage of one statement. `gap` None: the server has said what it understands.

    `columns` None: it returns none, or which isn't known. `rejection`: the server doesn't accept the statement, so that nothing would run.
    """

    verb: str
    decision: Decision
    access: Deny | None
    gap: Gap | None = None
    columns: tuple[ColumnReport, ...] | None = None
    conditions: tuple[ConditionReport, ...] = ()
    writes: tuple[WriteReport, ...] = ()
    functions: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    rejection: str | None = None
    is_understood: bool = False
    wants_estimate: bool = False
    """The planner's estimate of the rows, which isn't asked for here, could change the decision."""


def report(
    policy: Policy, request: Request, outputs: Sequence[Output] | None, gap: Gap | None, rejection: str | None = None
) -> StatementReport:
    """The lineage of one statement.

    Args: `request.facts` has the data flow where it is known. `outputs` are the columns that the server describes, or those of the query in
    the statement; None where there are none.
    """
    judgement = judge(policy, request)
    access = may_connect(policy, request.principal, request.database)
    facts, flow = request.facts, request.facts.flow
    places = Places(
        request.catalogue, _reveal(judgement.decision) or reveal_of(policy, request.principal, request.database, request.catalogue)
    )
    columns = _columns(facts, outputs, places) if outputs is not None else None
    if flow is None:
        found = StatementReport(facts.verb.value, judgement.decision, access, gap, columns, rejection=rejection)
        return replace(found, wants_estimate=judgement.wants_estimate)
    places.names = flow.column_names
    rulings = Rulings(policy, request, flow)
    return StatementReport(
        verb=facts.verb.value,
        decision=judgement.decision,
        access=access,
        columns=columns,
        conditions=tuple(_condition(each, places, rulings) for each in _telling(flow, places)),
        writes=tuple(_writes(flow, places, rulings)),
        functions=tuple(sorted(flow.code)),
        reads=tuple(sorted(places.relation(each) for each in flow.relations - flow.written)),
        changes=tuple(sorted(places.relation(each) for each in flow.written)),
        rejection=rejection,
        is_understood=True,
        wants_estimate=judgement.wants_estimate,
    )


def _reveal(decision: Decision) -> Reveal | None:
    match decision:
        case Allow():
            return decision.reveal
        case Hold():
            return decision.allow.reveal
        case Deny():
            return None


# Columns


def _columns(facts: StatementFacts, outputs: Sequence[Output], places: Places) -> tuple[ColumnReport, ...]:
    flows: tuple[OutputFlow, ...] | None = None
    if facts.flow is not None and facts.verb is not Verb.EXPLAIN:
        flows = facts.flow.outputs
        places.names = facts.flow.column_names
    if flows is not None and len(flows) != len(outputs):
        flows = None
    masks = plan_masks([each.column for each in outputs], facts, places.catalogue, places.reveal, opaque_unknown=False)
    return tuple(
        _column(facts, output, mask, None if flows is None else flows[index].value, places)
        for index, (output, mask) in enumerate(zip(outputs, masks, strict=True))
    )


def _column(facts: StatementFacts, output: Output, mask: ColumnMask | None, value: ValueFlow | None, places: Places) -> ColumnReport:
    treatment, operator = _treatment(output, mask)
    if facts.verb is Verb.CREATE:
        treatment, operator = "stored", None
    return ColumnReport(
        name=output.column.name,
        type_name=output.type_name,
        kind=None if value is None else value.kind.value,
        made_of=() if value is None else places.origins(value.sources),
        functions=() if value is None else tuple(sorted(value.code)),
        treatment=treatment,
        operator=operator,
        data_class=None if mask is None else mask.data_class.value,
        why=_why_by_name(facts, output, mask, places) if value is None else _why(output, mask, value, places),
    )


def _treatment(output: Output, mask: ColumnMask | None) -> tuple[str, str | None]:
    if mask is None:
        return "shown", None
    action = cell_mask(output.type_oid, output.type_modifier, 0, mask, _NO_KEY).action
    if action is Action.NULL:
        return "null", None
    return ("constant", None) if action is Action.CONSTANT else ("masked", mask.operator.value)


def _why(output: Output, mask: ColumnMask | None, value: ValueFlow, places: Places) -> str:
    """Why a column is shown or masked whose lineage is known."""
    origins = places.origins(value.sources)
    hidden = [each for each in origins if not each.is_shown]
    if mask is None:
        return f"the policy shows {places.origin_name(output.column)}" if hidden else _why_shown(value, origins)
    if value.code and not hidden:
        return f"it comes out of {_listed(sorted(value.code))}, whose body isn't known"
    if not hidden:
        return f"the server traces it to {places.origin_name(output.column)}"
    if value.kind is FlowKind.DIRECT and not mask.is_derived:
        return hidden[0].reason
    names = _listed([each.column for each in hidden])
    match value.kind:
        case FlowKind.DIRECT:
            return f"it is one of {names}, which are masked in different ways" if len(hidden) > 1 else hidden[0].reason
        case FlowKind.AGGREGATE:
            return f"{value.function or 'an aggregate'} over {names}"
        case FlowKind.WHOLE_ROW:
            return f"a row made of {names}"
        case _:
            return f"computed from {names}"


def _why_shown(value: ValueFlow, origins: tuple[Origin, ...]) -> str:
    if value.is_constant:
        return "nothing of a column is in it"
    classified = [each for each in origins if each.classes]
    if classified:
        return f"the policy shows {_listed([each.column for each in classified])}"
    return "no classified column is in it"


def _why_by_name(facts: StatementFacts, output: Output, mask: ColumnMask | None, places: Places) -> str:
    """Why a column is shown or masked where names have to decide."""
    if facts.verb is Verb.EXPLAIN:
        return "a plan" if mask is None else "a plan that may hold what functions of the database's own return"
    if output.column.relation_id:
        return f"the server traces it to {places.origin_name(output.column)}"
    if mask is None:
        return "the names in it prove that no classified column is"
    return "computed in a statement that touches classified columns"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


# Conditions and writes


def _telling(flow: DataFlow, places: Places) -> list[Condition]:
    """The conditions that rest on classified columns or on what isn't known, in a stable order."""
    found = [each for each in flow.conditions if each.code or any(origin.classes for origin in places.origins(each.sources))]
    return sorted(found, key=lambda each: (each.kind, sorted(each.sources), sorted(each.code)))


def _condition(condition: Condition, places: Places, rulings: Rulings) -> ConditionReport:
    columns = tuple(origin for origin in places.origins(condition.sources) if origin.classes)
    return ConditionReport(condition.kind.value, columns, tuple(sorted(condition.code)), rulings.on_condition(condition))


def _writes(flow: DataFlow, places: Places, rulings: Rulings) -> list[WriteReport]:
    found = [
        _write(places.origin(each.target), each.value, each.takes_client_values, places, rulings.on_flow(assignments=(each,)))
        for each in flow.assignments
    ]
    kept = flow.stored_arguments
    if kept is not None:
        found.append(_write(None, kept, False, places, rulings.on_flow(stored_arguments=kept)))
    return found


def _write(target: Origin | None, value: ValueFlow, takes_client_values: bool, places: Places, ruling: Ruling) -> WriteReport:
    return WriteReport(target, value.kind.value, places.origins(value.sources), tuple(sorted(value.code)), takes_client_values, ruling)
