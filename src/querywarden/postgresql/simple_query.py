"""Simple Query: a text with any number of statements; judged one by one, released or refused as a whole.

Spec: PostgreSQL 18, "Simple Query" and "Multiple Statements in a Simple Query".
"""

from __future__ import annotations

from dataclasses import replace

from querywarden.errors import ReasonCode
from querywarden.gate.permit import Housekeeping
from querywarden.model.decision import Deny, Hold
from querywarden.model.facts import StatementFacts, Unanalysable, Verb
from querywarden.postgresql.client_settings import note_settings
from querywarden.postgresql.completion import finish_skipped
from querywarden.postgresql.decisions import NO_CATALOGUE, decided, undeterminable, verdict_on
from querywarden.postgresql.expected import Awaited, Expected
from querywarden.postgresql.foresight import Before
from querywarden.postgresql.holds import given_up, pass_hold
from querywarden.postgresql.judgement import (
    Approved,
    Judgement,
    Ruled,
    analysis_of,
    judge,
    judge_refused,
    judge_unanalysable,
    log_refusal,
    renamed_since,
    settle_catalogue,
    too_many_names,
    understood,
)
from querywarden.postgresql.messages.frontend import Query, decode_query, encode_query
from querywarden.postgresql.outgoing import ToServer
from querywarden.postgresql.prepared import Definition, Portal, Prepared
from querywarden.postgresql.refusal import Refusal, refusal_for, substitute
from querywarden.postgresql.session_state import IDLE, SessionState
from querywarden.postgresql.write_back_check import look_for_masks

_QUERY = ord("Q")


def admit_query(state: SessionState, body: bytes) -> None:
    """Judge a Query message and queue it, or what the server rejects in its place.

    Raises: MustWait or NotSettled when it has to be judged again later; nothing has been recorded then.
    """
    text = decode_query(body).query
    analysis = analysis_of(state, text)
    if isinstance(analysis, Unanalysable):
        refuse_query(state, judge_unanalysable(state, "simple", text, analysis))
        return
    if not analysis:
        entry = Expected(Awaited.QUERY, definitions=[state.registry.define(False, b"", None)])
        state.queue(ToServer(encode_query(Query(b"")), Housekeeping.EMPTY, entry=entry))
        state.registry.segment += 1
        return
    unavailable = settle_catalogue(state, analysis)
    if unavailable is not None:
        refuse_query(state, judge_refused(state, "simple", len(text), unavailable, text))
        return
    _admit_statements(state, text, analysis)


def _admit_statements(state: SessionState, text: bytes, statements: tuple[StatementFacts, ...]) -> None:
    ruled = _rule_all(state, text, statements)
    if isinstance(ruled, Judgement):
        refuse_query(state, ruled)
        return
    decisions = [each.decision for each in ruled]
    cancelled = given_up(state, "simple", text, decisions)
    if cancelled is not None:
        refuse_query(state, cancelled)
        return
    approved: Approved | None = None
    if any(isinstance(decision, Hold) for decision in decisions) and not any(isinstance(decision, Deny) for decision in decisions):
        answer = pass_hold(state, "simple", text, ruled, None)
        if isinstance(answer, Judgement):
            refuse_query(state, answer)
            return
        approved = answer
    _release(state, text, ruled, approved)


def _release(state: SessionState, text: bytes, statements: list[Ruled], approved: Approved | None) -> None:
    """Record the decisions and queue the text, or what takes its place where one of its statements is denied."""
    entry = Expected(Awaited.QUERY)
    opened: list[Definition] = []
    judgements: list[Judgement] = []
    marks = state.changes.marks
    for ruled in statements:
        if isinstance(ruled.decision, Hold) and approved is None:
            continue  # Another statement of the text is denied, so nobody is asked about this one.
        judgement = judge(state, "simple", ruled, approved=approved)
        if judgement.refusal is not None:
            # Undo what the statements before it would have defined: none of them runs.
            for definition in opened:
                state.registry.discard(definition)
            state.changes.go_back(marks)
            _withdraw(state, judgements)
            refuse_query(state, judgement)
            return
        judgements.append(judgement)
        execution = judgement.execution
        assert execution is not None
        execution.definitions = names_of(state, ruled)
        opened.extend(execution.definitions)
        entry.changes_schema |= state.note_schema_change(ruled.facts)
        state.note_admitted(ruled.facts)
        entry.takes_copy_data |= ruled.facts.verb is Verb.COPY_IN and ruled.facts.is_from_stdin
        note_settings(state, ruled.facts)
    entry.executions = [judgement.execution for judgement in judgements if judgement.execution is not None]
    entry.definitions = [state.registry.define(False, b"", None)]
    state.statements += len(judgements)
    state.queue(
        ToServer(
            encode_query(Query(text)),
            acts=tuple(judgement.act for judgement in judgements),
            records=tuple(judgement.record for judgement in judgements),
            entry=entry,
            on_refusal=lambda: _refuse_unrecorded(entry, judgements[0].act.audit_id),
        )
    )
    state.registry.segment += 1


def _rule_all(state: SessionState, text: bytes, statements: tuple[StatementFacts, ...]) -> list[Ruled] | Judgement:
    """Decide all statements of a text, each in the light of those before it; nothing is recorded or defined when this returns.

    Returns: the statements with their decisions, or the judgement on a text that is refused whatever the policy says.
    Raises: MustWait or NotSettled.
    """
    if len(statements) == 1:
        found = _ruled_or_refused(state, 0, text, statements[0], may_ask=True)
        return found if isinstance(found, Judgement) else [_with_estimate(state, found)]
    opened: list[Definition] = []
    marks = state.changes.marks
    ruled: list[Ruled] = []
    before = Before()
    try:
        for index, facts in enumerate(statements):
            may_ask = before.leaves_names and _may_query(state, before)
            found = _ruled_or_refused(state, index, text[facts.start : facts.end], facts, may_ask=may_ask)
            before.add(facts, state.catalogue or NO_CATALOGUE)
            if isinstance(found, Judgement):
                return found
            ruled.append(found)
            if isinstance(found.decision, Deny) and not found.verdict.wants_estimate:
                return ruled  # None of the text runs, so nothing more need be known of it.
            opened.extend(names_of(state, found))
            state.note_schema_change(facts)
        return [_with_estimate(state, each) for each in _foreseen(state, ruled)]
    finally:
        for definition in opened:
            state.registry.discard(definition)
        state.changes.go_back(marks)


def _foreseen(state: SessionState, statements: list[Ruled]) -> list[Ruled]:
    """The statements of a text, each with whether those before it leave it as it is."""
    before = Before()
    found = []
    for ruled in statements:
        found.append(replace(ruled, is_foreseeable=before.leaves(ruled.facts) and _may_query(state, before)))
        before.add(ruled.facts, state.catalogue or NO_CATALOGUE)
    return found


def _may_query(state: SessionState, before: Before) -> bool:
    """Whether the server may be asked something in the client's transaction before what stands before a statement in its text runs."""
    return state.transaction == IDLE or not before.sets_mode


def _with_estimate(state: SessionState, ruled: Ruled) -> Ruled:
    if ruled.is_foreseeable:
        verdict = decided(state, ruled.verdict, ruled.index, ruled.text, ruled.facts, None)
    else:
        verdict = undeterminable(state, ruled.verdict, ruled.facts)
    return ruled if verdict is ruled.verdict else replace(ruled, verdict=verdict)


def _ruled_or_refused(state: SessionState, index: int, text: bytes, facts: StatementFacts, *, may_ask: bool) -> Ruled | Judgement:
    excess = too_many_names(state, facts)
    if excess is not None:
        return judge_refused(state, "simple", len(text), excess, text)
    try:
        whole, shown = understood(state, index, text, facts, may_ask=may_ask)
    except KeyError as unknown:
        name = str(unknown.args[0])
        refusal = refusal_for(
            ReasonCode.UNSUPPORTED,
            state.new_audit_id(),
            f'prepared statement "{name}" does not exist',
            "Prepare it in this session first.",
            sqlstate="26000",
        )
        return judge_refused(state, "simple", len(text), refusal, text)
    masks = look_for_masks(state, text, whole)
    if isinstance(masks, Refusal):
        return judge_refused(state, "simple", len(text), masks, text)
    verdict = verdict_on(state, whole, masks)
    renamed = renamed_since(state, facts, whole, verdict)
    if renamed is not None:
        return judge_refused(state, "simple", len(text), renamed, text)
    return Ruled(index, text, whole, shown, verdict)


def names_of(state: SessionState, ruled: Ruled) -> list[Definition]:
    """Note the names that a statement gives or takes away; they hold once the server has completed it."""
    facts = ruled.facts
    name = (facts.subject_name or "").encode()
    registry = state.registry
    # The body of a name is decided anew when it runs: what is decided here is that it may be given one.
    if facts.verb is Verb.PREPARE and facts.children:
        return [registry.define(False, name, Prepared(ruled.text, facts.children[0], is_of_sql=True, names_at=state.names_made.now))]
    if facts.verb is Verb.DECLARE and facts.children:
        body = Prepared(ruled.text, replace(facts.children[0], flow=facts.flow), is_of_sql=True)
        return [registry.define(True, name, Portal(body, is_held=facts.cursor_is_held))]
    if facts.verb is Verb.DEALLOCATE and facts.subject_name is not None:
        return [registry.define(False, name, None)]
    if facts.verb is Verb.CLOSE and facts.subject_name is not None:
        return [registry.define(True, name, None)]
    return []


def refuse_query(state: SessionState, judgement: Judgement) -> None:
    """Queue the Query that the server rejects in place of a refused one."""
    refusal = judgement.refusal
    if refusal is None:
        raise AssertionError("only a refused judgement can be refused")
    entry = Expected(Awaited.QUERY, refusal=refusal)
    message = ToServer(
        substitute(_QUERY, b"", judgement.act.audit_id),
        Housekeeping.REFUSAL,
        acts=judgement.waiting_acts,
        records=(judgement.record,),
        entry=entry,
    )
    state.queue(message)
    state.registry.segment += 1


def _withdraw(state: SessionState, judgements: list[Judgement]) -> None:
    """Statements of a text that was refused for a neighbour: they were decided, and will not run."""
    for judgement in judgements:
        if judgement.execution is not None:
            finish_skipped(state, judgement.execution)


def _refuse_unrecorded(entry: Expected, audit_id: str) -> bytes:
    entry.refusal = log_refusal(None, audit_id)
    return substitute(_QUERY, b"", audit_id)


def refuse_function_call(state: SessionState, length: int) -> None:
    """Refuse a FunctionCall in its place; the session goes on."""
    refusal: Refusal = refusal_for(
        ReasonCode.UNSUPPORTED,
        state.new_audit_id(),
        "Querywarden does not pass on the fast-path function call",
        "Call the function with SELECT; it is then analysed, masked and recorded like any statement.",
    )
    refuse_query(state, judge_refused(state, "simple", length, refusal))


def refuse_oversize(state: SessionState, length: int) -> None:
    """Refuse a Query whose text is above the limit; its bytes have been skipped."""
    limit = state.context.limits.statement_bytes_max
    refusal = refusal_for(
        ReasonCode.STATEMENT_TOO_LARGE,
        state.new_audit_id(),
        f"the statement has {length} bytes; Querywarden analyses up to {limit}",
        "Send large values as parameters or with COPY.",
    )
    refuse_query(state, judge_refused(state, "simple", length, refusal))
