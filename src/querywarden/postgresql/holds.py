"""Holds: a statement that others must agree to waits here, with its session, its transaction and the order of what comes after it.

The way of a held message: everything before it is answered; the server's plan is asked for; its `decided` record is safe; approvers are
asked; and what they say, or what happens to client, server, policy or proxy meanwhile, ends the wait. Each look at the message goes on
from where the last one stood, and what was decided is decided again before it is released.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from querywarden.approval.reason import reason_in
from querywarden.approval.request import HeldStatement
from querywarden.audit.record import COMPLETED, DECIDED, Stage, completed
from querywarden.errors import ReasonCode
from querywarden.gate.gate import Act, GateEvent
from querywarden.gate.gate import Stage as GateStage
from querywarden.model.decision import Allow, ApprovalTerms, Decision, Hold, WaitMode, combined
from querywarden.model.facts import Verb
from querywarden.model.principal import PrincipalKind
from querywarden.postgresql import hold_texts
from querywarden.postgresql.error_response import MESSAGE
from querywarden.postgresql.error_text import runs_own_code
from querywarden.postgresql.front import Asked, Front, OpenHold, Withdrawal
from querywarden.postgresql.hidden_exchange import settle_before
from querywarden.postgresql.judgement import Approved, Judgement, Ruled, consequences_of_hold, judge_refused, log_refusal, record_of
from querywarden.postgresql.judgement_wait import MustWait
from querywarden.postgresql.parameter_texts import parameter_texts
from querywarden.postgresql.planner import ask_settings, plan_of
from querywarden.postgresql.prepared import Portal
from querywarden.postgresql.refusal import Refusal, refusal_for
from querywarden.postgresql.session_state import SessionState
from querywarden.session.effects import ClearTimer, RequestApproval, SetTimer, WithdrawApproval
from querywarden.session.inputs import ApprovalOpened, ApprovalOutcome, ApprovalSettled, ApprovalUnavailable

HOLD_TIMER = "hold"
_IDLE_MARGIN_SECONDS = 1.0
"""How long before the server's own time-out a request expires, so that the client hears of it from us."""


def given_up(state: SessionState, stage: Stage, text: bytes, decisions: Iterable[Decision] = ()) -> Judgement | None:
    """The refusal of a message whose client has cancelled it while the server was asked about it, or that the server has an error for.

    Args: `decisions`: those on its statements. Where they don't let it run, the server's error goes before them: a mistyped name needs no
    approval.
    """
    refusal = cancelled(state) or _servers_own(state, decisions)
    return None if refusal is None else judge_refused(state, stage, len(text), refusal, text)


def _servers_own(state: SessionState, decisions: Iterable[Decision]) -> Refusal | None:
    front = state.front
    if front is None or front.hold is not None or front.probe is not None:
        return None
    error = front.broken
    if error is None and not all(isinstance(decision, Allow) for decision in decisions):
        error = front.wrong
    if error is None or (runs_own_code(error.fields) and error is not front.broken):
        return None
    said = (error.get(MESSAGE) or b"").decode("utf-8", "replace")
    sentence = "the server was interrupted when it was asked about this statement" if runs_own_code(error.fields) else said
    return refusal_for(ReasonCode.UNANALYSABLE, state.new_audit_id(), sentence, sqlstate=error.sqlstate.decode("ascii", "replace"))


def cancelled(state: SessionState) -> Refusal | None:
    """What is told of a message that its client has cancelled before it came to be held, once the server owes no answer about it."""
    front = state.front
    if front is None or front.withdrawn is None or front.hold is not None or front.probe is not None:
        return None
    return hold_texts.withdrawn(None, front.withdrawn, state.new_audit_id())


def pass_hold(state: SessionState, stage: Stage, text: bytes, statements: Sequence[Ruled], portal: Portal | None) -> Approved | Judgement:
    """See whether a message with held statements may go on: the approval that it may run on, or its refusal.

    Args: `text` is the message's whole text, to which the approval is bound; `statements` all of its statements with their decisions.
    Raises: MustWait until approvers, or somebody else, have said something.
    """
    front = settle_before(state, portal is not None)
    held = [ruled for ruled in statements if isinstance(ruled.decision, Hold)]
    if state.transaction == b"E":
        sentence = "current transaction is aborted, commands ignored until end of transaction block"
        refusal = refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), sentence, sqlstate="25P02")
        return judge_refused(state, stage, len(text), refusal)
    for ruled in held:
        if ruled.is_foreseeable:
            plan_of(state, ruled.index, ruled.text, ruled.facts, portal)
    abandoned = given_up(state, stage, text)
    if abandoned is not None:
        return abandoned
    ask_settings(state, front, [ruled.facts for ruled in held])
    first = held[0].decision
    assert isinstance(first, Hold)
    hold = front.hold
    terms = combined([ruled.decision.terms for ruled in held if isinstance(ruled.decision, Hold)])
    asked = (state.context.policy().version, first.rule, terms.agreements, {ruled.index for ruled in held})
    if hold is not None and (hold.policy_version, hold.rule, hold.terms.agreements, set(hold.acts)) != asked:
        # What approvers were asked is not what holds the statement now.
        _withdraw(state, front, Withdrawal.POLICY_CHANGED)
        _end(state, hold, "refused", "policy_changed")
        hold = front.hold = None
    if hold is None:
        hold = front.hold = _open(state, stage, held, first, terms, portal)
        if state.is_draining:
            front.withdrawn = Withdrawal.DRAINING
        raise MustWait
    return _look(state, front, hold, text, held, portal)


def _open(state: SessionState, stage: Stage, held: Sequence[Ruled], first: Hold, terms: ApprovalTerms, portal: Portal | None) -> OpenHold:
    """Record that the statements are held; approvers are asked once that is safe."""
    acts: dict[int, Act] = {}
    records: list[int] = []
    for ruled in held:
        audit_id = state.new_audit_id()
        act = acts[ruled.index] = Act(audit_id)
        act.advance(GateEvent.HOLD)
        found = consequences_of_hold(state, ruled)
        body = record_of(state, audit_id, stage, ruled, ruled.decision, found, portal)
        records.append(state.append(DECIDED, body, state.context.durability.refusals, audit_id))
        state.observe("statements", "hold", found.told["verb"])
    state.records += 1
    fails = _mode(state, terms) is WaitMode.FAIL
    return OpenHold(state.records, first.rule, terms, state.context.policy().version, first.sentence, fails, acts, records)


def _mode(state: SessionState, terms: ApprovalTerms) -> WaitMode:
    """Whether the client waits: a client that can't is always heard; else the rule, the client's wish and the default say it in turn."""
    if state.hold_mode is WaitMode.FAIL:
        return WaitMode.FAIL
    default = state.context.agent_hold_mode if state.principal.kind is PrincipalKind.AGENT else state.context.hold_mode
    return terms.mode or state.hold_mode or default


def _look(
    state: SessionState, front: Front, hold: OpenHold, text: bytes, held: Sequence[Ruled], portal: Portal | None
) -> Approved | Judgement:
    """See how far an open hold has come."""
    if not state.unsafe.isdisjoint(hold.records):
        raise MustWait
    if not state.failed.isdisjoint(hold.records):
        for act in hold.acts.values():
            act.advance(GateEvent.RECORD_FAILED)
        return Judgement(_first(hold), hold.records[0], refusal=log_refusal(None, hold.audit_id), is_answered=True)
    if front.withdrawn is not None:
        return _refused(state, hold, hold_texts.withdrawn(hold, front.withdrawn, hold.audit_id), "cancelled")
    if not hold.is_asked:
        # Made first: it may have to wait for a name to settle, and nobody has been asked then.
        asked = _asked(state, front, hold, text, held, portal)
        for act in hold.acts.values():
            act.advance(GateEvent.RECORD_SAFE)
        hold.is_asked = True
        state.effects.append(RequestApproval(hold.ticket, asked))
        raise MustWait
    if hold.unavailable is not None:
        return _refused(state, hold, hold_texts.unavailable(hold, hold.unavailable), "refused")
    answer = hold.settled
    if answer is None:
        if hold.fails and hold.opened is not None:
            return _refused(state, hold, hold_texts.come_again(hold, hold.opened), "refused")
        raise MustWait
    if answer.outcome is ApprovalOutcome.GRANTED:
        state.observe("holds", "granted")
        return Approved(answer.id, answer.by, hold.acts, hold.rule, hold.policy_version)
    return _refused(state, hold, hold_texts.settled(hold, answer), "refused")


def _asked(state: SessionState, front: Front, hold: OpenHold, text: bytes, held: Sequence[Ruled], portal: Portal | None) -> HeldStatement:
    """What approvers are asked."""
    first = held[0]
    decision = first.decision
    assert isinstance(decision, Hold)
    shown = _bound_text(state, text, held).decode("utf-8", "backslashreplace")
    plans = [front.planned.get(ruled.index) for ruled in held]
    rows = [plan.rows for plan in plans if plan is not None and plan.rows is not None]
    limit = front.idle_limit
    types = () if portal is None or portal.prepared is None else portal.prepared.parameter_types
    client = state.client
    return HeldStatement(
        principal=state.principal,
        database=state.context.database,
        session_id=state.context.session_id,
        audit_id=hold.audit_id,
        mode=WaitMode.FAIL if hold.fails else WaitMode.WAIT,
        rule=decision.rule,
        sentence=decision.sentence,
        terms=hold.terms,
        policy_version=hold.policy_version,
        text=shown,
        normalised="; ".join(ruled.facts.normalised for ruled in held),
        verb=first.facts.verb.value,
        parameters=() if portal is None else parameter_texts(portal.arguments, types, portal.parameters),
        parameters_digest=b"" if portal is None else portal.bound_commitment,
        reads=_names(name for ruled in held for name in ruled.facts.reads),
        writes=_names(name for ruled in held for name in ruled.facts.writes),
        functions=_names(name for ruled in held for name in ruled.facts.functions),
        properties=tuple(sorted({each for ruled in held for each in ruled.verdict.properties})),
        estimated_rows=max(rows) if rows else None,
        plan=next((plan.plan for plan in plans if plan is not None and plan.plan is not None), None),
        reason=reason_in(shown) or state.reason,
        client_ip=str(client.get("ip", "")),
        application=str(client.get("app", "")),
        # Where the server can't say, an approval is good for this one request.
        namespace=f"unknown to {hold.audit_id}" if front.name_space is None else front.name_space,
        seconds_max=None if limit is None else max(_IDLE_MARGIN_SECONDS / 2, limit.seconds - _IDLE_MARGIN_SECONDS),
    )


def _bound_text(state: SessionState, text: bytes, held: Sequence[Ruled]) -> bytes:
    """The text that an approval is bound to: with those of the prepared statements that it runs by name, which mean what they mean now."""
    bodies: dict[str, bytes] = {}
    pending = [ruled.facts for ruled in held]
    while pending:
        facts = pending.pop()
        pending.extend(facts.children)
        if facts.verb is Verb.EXECUTE and facts.subject_name is not None:
            prepared = state.registry.statement(facts.subject_name.encode())
            if prepared is not None:
                types = ", ".join(map(str, prepared.declared_types))
                bodies[facts.subject_name] = prepared.text + (b" /* types: %b */" % types.encode() if types else b"")
    return b"".join((text, *(b"\n/* prepared statement %b: */ %b" % (name.encode(), body) for name, body in sorted(bodies.items()))))


def _names(names: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({str(name) for name in names}))


def _first(hold: OpenHold) -> Act:
    return next(iter(hold.acts.values()))


def _refused(state: SessionState, hold: OpenHold, refusal: Refusal, outcome: str) -> Judgement:
    """The refusal of a held message that nobody has let go; its end is recorded before the client hears of it."""
    record = _end(state, hold, outcome, refusal.reason.value)
    state.observe("refusals", refusal.reason.value)
    state.observe("holds", "denied" if refusal.reason is ReasonCode.APPROVAL_DENIED else refusal.reason.value)
    return Judgement(_first(hold), record, refusal=refusal, is_answered=True)


def _end(state: SessionState, hold: OpenHold, outcome: str, reason: str) -> int:
    """Record that held statements will not run on this hold. Returns: the number of the last record."""
    record = 0
    answered = hold.settled is not None
    for act in hold.acts.values():
        # A no of approvers ends the act as a decision would; everything else takes it back.
        if act.stage in (GateStage.HOLDING, GateStage.HELD):
            act.advance(GateEvent.REJECT if answered and act.stage is GateStage.HELD else GateEvent.WITHDRAW)
        body = completed(
            act.audit_id,
            outcome="cancelled" if outcome == "cancelled" else "refused",
            session_id=state.context.session_id,
            reason=reason,
        )
        record = state.append(COMPLETED, body, state.context.durability.refusals)
    return record


# What happens to a hold from outside.


def take_opened(state: SessionState, opened: ApprovalOpened) -> None:
    """Approvers have been asked: the client is told where its statement stands."""
    hold = _of_ticket(state, opened.ticket)
    front = state.front
    if hold is None or front is None:
        return
    hold.opened = opened
    if not hold.fails:
        state.held_since = state.now
        state.to_client.send(hold_texts.first_notice(hold, opened, front.idle_limit))
        state.effects.append(SetTimer(HOLD_TIMER, state.context.notice_seconds))


def take_settled(state: SessionState, settled: ApprovalSettled) -> None:
    """The request has been answered, or has ended."""
    hold = _of_ticket(state, settled.ticket)
    if hold is not None:
        hold.settled = settled


def take_unavailable(state: SessionState, unavailable: ApprovalUnavailable) -> None:
    """Nobody can be asked."""
    hold = _of_ticket(state, unavailable.ticket)
    if hold is not None:
        hold.unavailable = unavailable


def _of_ticket(state: SessionState, ticket: int) -> OpenHold | None:
    hold = None if state.front is None else state.front.hold
    return hold if hold is not None and hold.ticket == ticket else None


def remind(state: SessionState) -> None:
    """Tell the client again that its statement waits."""
    hold = None if state.front is None else state.front.hold
    if hold is not None and hold.is_open and hold.opened is not None:
        state.to_client.send(hold_texts.next_notice(hold.opened, state.now - state.held_since))
        state.effects.append(SetTimer(HOLD_TIMER, state.context.notice_seconds))


def withdraw(state: SessionState, cause: Withdrawal) -> bool:
    """The message in front isn't to wait any more: it is refused at the next look. Returns: whether there was one that waited."""
    front = state.front
    if front is None or front.hold is None or front.withdrawn is not None:
        return False
    if front.hold.settled is not None:
        return False
    _withdraw(state, front, cause)
    front.withdrawn = cause
    return True


def cancel_probe(state: SessionState) -> bool:
    """The client gives up a message while the server is asked about it: it is refused once the server has answered.

    Returns: whether the server is to be told as well: where it may have to wait for locks without a time-out of ours. A plan comes within
    that, and a cancel might hit the end of the exchange.
    """
    front = state.front
    if front is None or front.probe is None:
        return False
    front.withdrawn = Withdrawal.CANCELLED
    return front.probe.is_in_segment or front.asked is not Asked.PLAN


def _withdraw(state: SessionState, front: Front, cause: Withdrawal) -> None:
    hold = front.hold
    if hold is not None and hold.is_open:
        state.effects.append(WithdrawApproval(hold.ticket, cause.value))
    state.effects.append(ClearTimer(HOLD_TIMER))


def leave(state: SessionState, cause: Withdrawal = Withdrawal.TRANSACTION_OVER) -> None:
    """The message in front has been admitted or dropped, or the session ends: nothing of its wait is left."""
    state.analyses.clear()
    front = state.front
    if front is None:
        return
    hold = front.hold
    if hold is not None:
        if hold.is_asked and hold.settled is None and hold.unavailable is None and not (hold.fails and hold.opened is not None):
            if front.withdrawn is None:
                _withdraw(state, front, cause)
        else:
            state.effects.append(ClearTimer(HOLD_TIMER))
        if any(act.stage in (GateStage.HOLDING, GateStage.HELD) for act in hold.acts.values()):
            _end(state, hold, "cancelled", cause.value)
    state.to_server.let_go()
    state.front = None
