"""Judging statements: from a decision to its record, and what the statement's results follow.

Nothing here sends: a judgement is a value, and its records are on their way when it is returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from querywarden.audit.record import DECIDED, Effect, Stage, decided, of_statement
from querywarden.errors import ReasonCode
from querywarden.gate.gate import Act, GateEvent
from querywarden.model.decision import Allow, Decision, Deny, Hold
from querywarden.model.facts import Analysis, StatementFacts, Unanalysable, Verb
from querywarden.postgresql.budgets import under_budget
from querywarden.postgresql.decisions import NO_CATALOGUE, touches_classified
from querywarden.postgresql.expected import Execution
from querywarden.postgresql.judgement_wait import MustWait
from querywarden.postgresql.prepared import Portal, Prepared
from querywarden.postgresql.refusal import Refusal, refusal_for, refusal_of, refusal_of_text
from querywarden.postgresql.session_state import SessionState
from querywarden.postgresql.statement_flow import with_flow
from querywarden.postgresql.verdicts import Consequences, Verdict
from querywarden.session.effects import Analyse, Durability, Spend


@dataclass(slots=True)
class Judgement:
    """An allowed statement (`execution`) or a refused one (`refusal`), and the record that has to be safe first.

    `is_answered`: the act was held and has found its end already; the record is all that its refusal waits for.
    """

    act: Act
    record: int
    execution: Execution | None = None
    refusal: Refusal | None = None
    is_answered: bool = False

    @property
    def waiting_acts(self) -> tuple[Act, ...]:
        """The act, if the record decides where it goes."""
        return () if self.is_answered else (self.act,)


@dataclass(frozen=True, slots=True)
class Approved:
    """An approval that a held message may run on: its request, who agreed, and the acts of the statements that were held by it."""

    request_id: str
    by: tuple[str, ...]
    acts: Mapping[int, Act]
    rule: str
    policy_version: str
    goes_on: str | None = None
    """Set where it lets a portal go on that was released on it before: the audit id of the statement that was held."""

    def going_on(self) -> Approved:
        """The same approval, for what is left of the rows of the portal that it has released."""
        held = self.goes_on or next(iter(self.acts.values())).audit_id
        return replace(self, acts={}, goes_on=held)


@dataclass(frozen=True, slots=True)
class Ruled:
    """A statement with the policy's answer: its place in the text, its facts, and those that its results follow."""

    index: int
    text: bytes
    facts: StatementFacts
    shown: StatementFacts | None
    verdict: Verdict
    is_foreseeable: bool = True
    """Whether nothing before it in its text may change what it means or touches, so that the planner can be asked about it."""

    @property
    def decision(self) -> Decision:
        """The policy's decision."""
        return self.verdict.decision


def analysis_of(state: SessionState, text: bytes) -> Analysis:
    """The analysis of a text, in place or by the worker.

    Raises: MustWait until the worker has answered.
    """
    if len(text) <= state.context.limits.analysis_inline_bytes_max:
        return state.context.analyse(text)
    found = state.analyses.get(text)
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


def renamed_since(
    state: SessionState, facts: StatementFacts, whole: StatementFacts, verdict: Verdict, prepared: Prepared | None = None
) -> Refusal | None:
    """The refusal of what was prepared before the session made something that it names, where the server or others are asked about it.

    The server goes by what the names meant when it was prepared; a plan, and what approvers are shown, by what they mean now.
    """
    if not verdict.wants_estimate and not isinstance(verdict.decision, Hold):
        return None
    thens = [] if prepared is None else [prepared.names_at]
    pending = [facts]
    while pending:
        part = pending.pop()
        pending.extend(part.children)
        named = state.registry.statement((part.subject_name or "").encode()) if part.verb is Verb.EXECUTE else None
        if named is not None:
            thens.append(named.names_at)
    if not thens or not state.names_made.since(min(thens), whole):
        return None
    sentence = "what this prepared statement names may be something else since this session has made tables or views"
    return refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), sentence, "Prepare it again.", sqlstate="0A000")


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


def understood(
    state: SessionState,
    index: int,
    text: bytes,
    facts: StatementFacts,
    types: tuple[int, ...] = (),
    *,
    is_extended: bool = False,
    may_ask: bool = True,
) -> tuple[StatementFacts, StatementFacts | None]:
    """The same as `resolved`, with the data flow of the statement, or of what it runs by name, where the server can tell it.

    Raises: NotSettled, KeyError and MustWait as that and `with_flow` do.
    """
    whole, shown = resolved(state, facts)
    if facts.verb is Verb.EXECUTE and shown is not None:
        prepared = state.registry.statement((facts.subject_name or "").encode())
        if prepared is None or prepared.facts is not shown or (state.catalogue or NO_CATALOGUE).is_opaque(facts):
            return whole, shown
        types = prepared.declared_types
        holder = Verb.PREPARE if prepared.is_of_sql else None
        flowing = with_flow(state, index, prepared.text, shown, types, holder=holder, is_extended=is_extended, may_ask=may_ask)
        return (whole, shown) if flowing.flow is None else (replace(whole, flow=flowing.flow), flowing)
    flowing = with_flow(state, index, text, whole, types, is_extended=is_extended, may_ask=may_ask)
    return flowing, flowing if shown is whole else shown


def _with_body(facts: StatementFacts, body: StatementFacts) -> StatementFacts:
    return replace(
        facts,
        reads=facts.reads | body.reads,
        writes=facts.writes | body.writes,
        functions=facts.functions | body.functions,
        operators=facts.operators | body.operators,
        cast_types=facts.cast_types | body.cast_types,
        attribute_names=facts.attribute_names | body.attribute_names,
        column_names=facts.column_names | body.column_names,
        has_star=facts.has_star or body.has_star,
        probes=facts.probes + body.probes,
        hazards=facts.hazards | body.hazards,
        outputs=body.outputs,
        aliases=facts.aliases | body.aliases,
        from_is_plain=facts.from_is_plain and body.from_is_plain,
        children=(*(child for child in facts.children if child.verb is not Verb.EXECUTE), body),
    )


def judge(
    state: SessionState,
    stage: Stage,
    ruled: Ruled,
    *,
    prepared: Prepared | None = None,
    portal: Portal | None = None,
    approved: Approved | None = None,
) -> Judgement:
    """Record a decision and give the judgement: the execution to come, or the refusal.

    Args:
        ruled: what was decided; a Hold is passed on when it is only prepared, or where `approved` lets it run.
    """
    act = None if approved is None else approved.acts.get(ruled.index)
    goes_on = None if approved is None else approved.goes_on
    values = 0 if portal is None else portal.values
    decision, caps = _settled(state, stage, ruled, act is not None or goes_on is not None, values)
    audit_id = state.new_audit_id()
    held_id = goes_on if act is None else act.audit_id
    if act is None:
        act = Act(audit_id)
        act.advance(GateEvent.ALLOW if isinstance(decision, Allow) else GateEvent.DENY)
    elif isinstance(decision, Allow):
        act.approve(audit_id)
    else:
        act.advance(GateEvent.REJECT)
    found = _consequences(state, ruled, decision)
    durability = found.durability
    if held_id is not None:
        durability = state.context.durability.refusals
    elif stage == "parse" and isinstance(decision, Allow):
        durability = state.context.durability.reads
    body = record_of(state, audit_id, stage, ruled, decision, found, portal)
    if held_id is not None and approved is not None:
        body["approval"] = {"id": approved.request_id, "by": list(approved.by), "held": held_id}
    record = state.append(DECIDED, body, durability, audit_id)
    state.observe("statements", body["effect"], found.told["verb"])
    if not isinstance(decision, Allow):
        state.observe("refusals", decision.reason.value)
        return Judgement(act, record, refusal=refusal_of(decision, audit_id))
    if state.has_budgets and stage != "parse":
        state.effects.append(Spend(statements=1))
    execution = Execution(act, ruled.facts, ruled.shown, decision, durability, found.touches, state.now, prepared, portal)
    execution.others_changes, execution.budget_caps = state.others_changes, caps
    return Judgement(act, record, execution=execution)


def _settled(state: SessionState, stage: Stage, ruled: Ruled, is_approved: bool, values: int) -> tuple[Allow | Deny, frozenset[ReasonCode]]:
    """What a statement is released or refused with, its principal's budgets taken into account, and which caps come from these."""
    decision = ruled.decision
    if isinstance(decision, Hold):
        if stage != "parse" and not is_approved:
            raise AssertionError("a held statement may not be released without an approval")
        decision = replace(decision.allow, rule=decision.rule, observed=decision.observed)
    elif isinstance(decision, Deny) and stage == "parse" and ruled.verdict.wants_estimate:
        # What the planner expects may clear it; nothing of it runs before it is executed, and that is decided then.
        decision = Allow(decision.rule)
    if isinstance(decision, Deny) or stage == "parse":
        return decision, frozenset()
    return under_budget(state, ruled.facts, decision, values)


def record_of(
    state: SessionState,
    audit_id: str,
    stage: Stage,
    ruled: Ruled,
    decision: Decision,
    found: Consequences,
    portal: Portal | None,
) -> dict[str, Any]:
    """The body of the `decided` record of a statement; `decision` is what becomes of it now."""
    context, facts, text = state.context, ruled.facts, ruled.text
    effect: Effect = "allow" if isinstance(decision, Allow) else "deny"
    if isinstance(decision, Hold) or (stage == "parse" and isinstance(ruled.decision, Hold)):
        effect = "hold"
    return decided(
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
        estimated_rows=ruled.verdict.estimated_rows,
        automatic=decision.automatic if isinstance(decision, Allow) else None,
        observed=[(each.rule, each.effect) for each in decision.observed],
    )


def consequences_of_hold(state: SessionState, ruled: Ruled) -> Consequences:
    """What a hold's record tells."""
    return _consequences(state, ruled, ruled.decision)


def _consequences(state: SessionState, ruled: Ruled, decision: Decision) -> Consequences:
    """What follows from a decision, kept with the session's verdicts."""
    facts, shown = ruled.facts, ruled.shown
    verdicts = state.current_verdicts()
    found = verdicts.consequences.get(facts)
    if found is None or found.shown is not shown or found.decision is not decision:
        durability = durability_of(state, facts, shown, decision)
        told = of_statement(facts, properties=ruled.verdict.properties)
        found = Consequences(shown, decision, durability, touches_classified(state, shown), told)
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
