"""Simple Query: a text with any number of statements; judged one by one, released or refused as a whole.

Spec: PostgreSQL 18, "Simple Query" and "Multiple Statements in a Simple Query".
"""

from __future__ import annotations

from querywarden.errors import ReasonCode
from querywarden.gate.permit import Housekeeping
from querywarden.model.facts import StatementFacts, Unanalysable, Verb
from querywarden.postgresql.completion import finish_skipped
from querywarden.postgresql.expected import Awaited, Execution, Expected
from querywarden.postgresql.judgement import (
    Judgement,
    analysis_of,
    basis_of,
    decide_statement,
    judge,
    judge_refused,
    judge_unanalysable,
    log_refusal,
    resolved,
    settle_catalogue,
    too_many_names,
)
from querywarden.postgresql.messages.frontend import Query, decode_query, encode_query
from querywarden.postgresql.outgoing import ToServer
from querywarden.postgresql.prepared import Definition, Portal, Prepared
from querywarden.postgresql.refusal import Refusal, refusal_for, substitute
from querywarden.postgresql.session_state import SessionState

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
    entry = Expected(Awaited.QUERY)
    opened: list[Definition] = []
    judgements: list[Judgement] = []
    changes_before = (state.changes.is_opaque, state.changes.has_code, state.changes.has_any)
    try:
        for facts in statements:
            judgement = _judge_one(state, text if len(statements) == 1 else text[facts.start : facts.end], facts)
            if judgement.refusal is not None:
                # Undo what the statements before it would have defined: none of them runs.
                for definition in opened:
                    state.registry.discard(definition)
                state.changes.is_opaque, state.changes.has_code, state.changes.has_any = changes_before
                _withdraw(state, judgements)
                refuse_query(state, judgement)
                return
            judgements.append(judgement)
            assert judgement.execution is not None
            define_names(state, judgement.execution)
            opened.extend(judgement.execution.definitions)
            entry.changes_schema |= state.note_schema_change(facts)
            entry.takes_copy_data |= facts.verb is Verb.COPY_IN and facts.is_from_stdin
    except Exception:
        for definition in opened:
            state.registry.discard(definition)
        raise
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


def _judge_one(state: SessionState, text: bytes, facts: StatementFacts) -> Judgement:
    excess = too_many_names(state, facts)
    if excess is not None:
        return judge_refused(state, "simple", len(text), excess, text)
    try:
        whole, shown = resolved(state, facts)
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
    return judge(state, "simple", text, whole, shown, decide_statement(state, whole))


def define_names(state: SessionState, execution: Execution) -> None:
    """Note the names that a statement gives or takes away; they hold once the server has completed it."""
    facts = execution.facts
    name = (facts.subject_name or "").encode()
    registry = state.registry
    if facts.verb is Verb.PREPARE and facts.children:
        prepared = Prepared(b"", facts.children[0], execution.allow, basis_of(state))
        execution.definitions = [registry.define(False, name, prepared)]
    elif facts.verb is Verb.DECLARE and facts.children:
        prepared = Prepared(b"", facts.children[0], execution.allow, basis_of(state))
        execution.definitions = [registry.define(True, name, Portal(prepared, is_held=facts.cursor_is_held))]
    elif facts.verb is Verb.DEALLOCATE and facts.subject_name is not None:
        execution.definitions = [registry.define(False, name, None)]
    elif facts.verb is Verb.CLOSE and facts.subject_name is not None:
        execution.definitions = [registry.define(True, name, None)]


def refuse_query(state: SessionState, judgement: Judgement) -> None:
    """Queue the Query that the server rejects in place of a refused one."""
    refusal = judgement.refusal
    if refusal is None:
        raise AssertionError("only a refused judgement can be refused")
    entry = Expected(Awaited.QUERY, refusal=refusal)
    message = ToServer(
        substitute(_QUERY, b"", judgement.act.audit_id),
        Housekeeping.REFUSAL,
        acts=(judgement.act,),
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

