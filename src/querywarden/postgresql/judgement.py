"""Judging statements: from a text or a prepared statement to a decision, its record, and what its results follow.

Nothing here sends: a judgement is a value, and its records are on their way when it is returned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from querywarden.audit.record import DECIDED, Effect, Stage, decided, of_statement
from querywarden.errors import ReasonCode
from querywarden.gate.gate import Act, GateEvent
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Allow, Decision, Hold
from querywarden.model.facts import Analysis, StatementFacts, Unanalysable, Verb
from querywarden.model.resource import RelationName
from querywarden.policy.evaluate import Request, decide
from querywarden.postgresql.expected import Execution
from querywarden.postgresql.prepared import Portal, Prepared
from querywarden.postgresql.refusal import Refusal, refusal_for, refusal_of, refusal_of_text
from querywarden.postgresql.session_state import SessionState
from querywarden.postgresql.verdicts import Consequences
from querywarden.session.effects import Analyse, Durability

UNCOMMITTED = RelationName("querywarden", "an uncommitted schema change")
"""Stands for what an open transaction may have renamed or made: a relation that no catalogue has."""

NO_CATALOGUE = Catalogue(generation="none", relations={})


class MustWait(Exception):
    """The message can't be judged yet; it is judged again when what it waits for has come."""


@dataclass(slots=True)
class Judgement:
    """An allowed statement (`execution`) or a refused one (`refusal`), and the record that has to be safe first."""

    act: Act
    record: int
    execution: Execution | None = None
    refusal: Refusal | None = None


def analysis_of(state: SessionState, text: bytes) -> Analysis:
    """The analysis of a text, in place or by the worker.

    Raises: MustWait until the worker has answered.
    """
    if len(text) <= state.context.limits.analysis_inline_bytes_max:
        return state.context.analyse(text)
    found = state.analyses.pop(text, None)
    if found is None:
        if not state.awaited_analysis:
            state.records += 1
            state.awaited_analysis = state.records
            state.effects.append(Analyse(state.awaited_analysis, text))
        raise MustWait
    return found


def settle_catalogue(state: SessionState, statements: tuple[StatementFacts, ...]) -> Refusal | None:
    """See to it that the catalogue is new enough for these statements; a refusal when it can't be had.

    Raises: MustWait until it has come.
    """
    if state.catalogue_failure is not None:
        detail, state.catalogue_failure = state.catalogue_failure, None
        hint = "Try again; if it stays so, `querywarden doctor` tells what is wrong."
        sentence = f"Querywarden can't read what this database holds: {detail}"
        return refusal_for(ReasonCode.CATALOGUE_UNAVAILABLE, state.new_audit_id(), sentence, hint)
    wanting = [facts for facts in statements if state.needs_catalogue_for(facts)]
    if wanting:
        state.ask_for_catalogue()
        raise MustWait
    return None


def target_of(state: SessionState, facts: StatementFacts) -> Prepared | Portal | None:
    """What the name in an EXECUTE or FETCH means now; None when the session doesn't know it.

    Raises: NotSettled when the name is pending.
    """
    name = (facts.subject_name or "").encode()
    return state.registry.statement(name) if facts.verb is Verb.EXECUTE else state.registry.portal(name)


def too_many_names(state: SessionState, facts: StatementFacts) -> Refusal | None:
    """The refusal of a PREPARE or DECLARE in a session that has as many names as it may."""
    limits, registry = state.context.limits, state.registry
    if facts.verb is Verb.PREPARE and len(registry.statements) >= limits.statements_max:
        what = "prepared statements"
    elif facts.verb is Verb.DECLARE and len(registry.portals) >= limits.portals_max:
        what = "open cursors"
    else:
        return None
    sentence = f"too many {what} in this session"
    return refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), sentence, "Close some of them first.", sqlstate="53400")


def resolved(state: SessionState, facts: StatementFacts) -> tuple[StatementFacts, StatementFacts | None]:
    """A statement with the bodies of what it runs by name, and the facts that its results follow.

    Raises: NotSettled when a name is pending; KeyError when EXECUTE names a statement that the session doesn't know.
    """
    if facts.verb is Verb.EXECUTE and facts.subject_name is not None:
        prepared = state.registry.statement(facts.subject_name.encode())
        if prepared is None:
            raise KeyError(facts.subject_name)
        body = prepared.facts
        return (facts, facts) if body is None else (_with_body(facts, body), body)
    if facts.verb is Verb.FETCH:
        portal = state.registry.portal((facts.subject_name or "").encode())
        if portal is not None and portal.runs_by_name:
            # Its columns were settled when it was bound, its rows come from what the name in it means now.
            raise KeyError(facts.subject_name)
        known = portal.prepared.facts if portal is not None and portal.prepared is not None and not portal.is_doubtful else None
        return facts, known
    if not facts.children:
        return facts, facts
    whole = replace(facts, children=tuple(resolved(state, child)[0] for child in facts.children))
    for child in whole.children:
        if child.verb is Verb.EXECUTE:
            whole = _with_body(whole, child)
    return whole, whole


def _with_body(facts: StatementFacts, body: StatementFacts) -> StatementFacts:
    return replace(
        facts,
        reads=facts.reads | body.reads,
        writes=facts.writes | body.writes,
        functions=facts.functions | body.functions,
        operators=facts.operators | body.operators,
        cast_types=facts.cast_types | body.cast_types,
        attribute_names=facts.attribute_names | body.attribute_names,
        hazards=facts.hazards | body.hazards,
        outputs=body.outputs,
        aliases=facts.aliases | body.aliases,
        from_is_plain=facts.from_is_plain and body.from_is_plain,
        children=(*(child for child in facts.children if child.verb is not Verb.EXECUTE), body),
    )


def basis_of(state: SessionState) -> tuple[object, ...]:
    """What a decision rests on: it is made again when any of this has changed."""
    generation = None if state.catalogue is None else state.catalogue.generation
    return (state.context.policy().version, generation, state.changes.is_opaque, state.changes.has_code)


def decide_statement(state: SessionState, facts: StatementFacts) -> Decision:
    """The policy's answer for one statement, with what an open transaction has made uncertain on the side of no."""
    verdicts = state.current_verdicts()
    decision = verdicts.decisions.get(facts)
    if decision is None:
        catalogue = state.catalogue or NO_CATALOGUE
        is_blind = state.changes.is_opaque or state.changes.has_code
        decision = decide(state.context.policy(), Request(state.principal, state.context.database, facts, catalogue, is_blind))
        verdicts.decisions.keep(facts, decision)
    return decision


def touches_classified(state: SessionState, shown: StatementFacts | None) -> bool:
    """Whether classified values may take part in a statement; errs towards yes."""
    catalogue = state.catalogue or NO_CATALOGUE
    if shown is None or state.changes.is_opaque or state.changes.has_code:
        return catalogue.has_classified
    return catalogue.touches_classified(shown)


def facts_for_masks(state: SessionState, shown: StatementFacts | None) -> StatementFacts | None:
    """The facts that the masks of a result follow, with an open schema change taken into account."""
    if shown is None or shown.verb in (Verb.SHOW, Verb.EXPLAIN) or not (state.changes.is_opaque or state.changes.has_code):
        return shown
    if state.changes.has_code:
        return None
    return replace(shown, reads=shown.reads | {UNCOMMITTED}, from_is_plain=False)


def judge(
    state: SessionState,
    stage: Stage,
    text: bytes,
    facts: StatementFacts,
    shown: StatementFacts | None,
    decision: Decision,
    *,
    prepared: Prepared | None = None,
    portal: Portal | None = None,
) -> Judgement:
    """Record a decision and give the judgement: the execution to come, or the refusal."""
    context = state.context
    audit_id = state.new_audit_id()
    act = Act(audit_id)
    is_allowed = isinstance(decision, Allow)
    act.advance(GateEvent.ALLOW if is_allowed else GateEvent.DENY)
    found = _consequences(state, facts, shown, decision)
    durability = context.durability.reads if stage == "parse" and is_allowed else found.durability
    effect: Effect = "allow" if is_allowed else "hold" if isinstance(decision, Hold) else "deny"
    body = decided(
        state.told,
        found.told,
        stage=stage,
        effect=effect,
        rule=decision.rule,
        policy_version=context.policy().version,
        statement_bytes=facts.end - facts.start if facts.end else len(text),
        reason=None if isinstance(decision, Allow) else decision.reason.value,
        commitment=context.commit(audit_id, "statement", text),
        parameters=0 if portal is None else portal.parameters,
        parameters_commitment=None if portal is None else context.commit(audit_id, "parameters", portal.parameters_commitment),
    )
    record = state.append(DECIDED, body, durability, audit_id)
    state.observe("statements", effect, found.told["verb"])
    if not isinstance(decision, Allow):
        state.observe("refusals", decision.reason.value)
        return Judgement(act, record, refusal=refusal_of(decision, audit_id))
    execution = Execution(act, facts, shown, decision, durability, found.touches, state.now, prepared, portal)
    return Judgement(act, record, execution=execution)


def _consequences(state: SessionState, facts: StatementFacts, shown: StatementFacts | None, decision: Decision) -> Consequences:
    """What follows from a decision, kept with the session's verdicts."""
    verdicts = state.current_verdicts()
    found = verdicts.consequences.get(facts)
    if found is None or found.shown is not shown or found.decision is not decision:
        durability = durability_of(state, facts, shown, decision)
        found = Consequences(shown, decision, durability, touches_classified(state, shown), of_statement(facts))
        verdicts.consequences.keep(facts, found)
    return found


def durability_of(state: SessionState, facts: StatementFacts, shown: StatementFacts | None, decision: Decision) -> Durability:
    """How far the records of a statement must have come: by whether it was refused, changes anything, or can't be known to."""
    durability = state.context.durability
    if not isinstance(decision, Allow):
        return durability.refusals
    catalogue = state.catalogue or NO_CATALOGUE
    changes = facts.changes_data or (shown is not None and shown.changes_data)
    return durability.writes if changes or catalogue.calls_volatile(facts) else durability.reads


def judge_refused(state: SessionState, stage: Stage, length: int, refusal: Refusal, text: bytes | None = None) -> Judgement:
    """Record a refusal that no policy rule asked for (unanalysable, too large, unsupported) and give the judgement."""
    act = Act(refusal.audit_id)
    act.advance(GateEvent.DENY)
    body = decided(
        state.told,
        of_statement(None, length),
        stage=stage,
        effect="deny",
        rule=refusal.rule or f"proxy.{refusal.reason.value}",
        policy_version=state.context.policy().version,
        statement_bytes=length,
        reason=refusal.reason.value,
        commitment=None if text is None else state.context.commit(act.audit_id, "statement", text),
    )
    record = state.append(DECIDED, body, state.context.durability.refusals, act.audit_id)
    state.observe("statements", "deny", "unknown")
    state.observe("refusals", refusal.reason.value)
    return Judgement(act, record, refusal=refusal)


def judge_unanalysable(state: SessionState, stage: Stage, text: bytes, failure: Unanalysable) -> Judgement:
    """Record that a text could not be analysed, and refuse it."""
    return judge_refused(state, stage, len(text), refusal_of_text(failure, state.new_audit_id()), text)


def log_refusal(refusal: Refusal | None, audit_id: str) -> Refusal:
    """The refusal of a statement whose record can't be written."""
    return refusal or refusal_for(
        ReasonCode.LOG_UNAVAILABLE,
        audit_id,
        "Querywarden can't write its audit log, so no statement runs",
        "Tell the operator: the log's disk is full or unreachable. Nothing of this statement has been run.",
    )
