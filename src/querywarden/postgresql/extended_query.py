"""Extended Query: Parse, Bind, Describe, Execute, Close, Flush and Sync, pipelined as clients please.

A text is judged when it is parsed, and each Execute has its own record; it is decided again when what the decision rested on has
changed. Before an Execute whose portal the client didn't describe, a Describe of our own asks what the rows will be.
Spec: PostgreSQL 18, "Extended Query" and "Pipelining".
"""

from __future__ import annotations

import hashlib

from querywarden.audit.record import Stage
from querywarden.errors import PeerViolation, ReasonCode
from querywarden.gate.permit import Housekeeping
from querywarden.model.decision import Hold
from querywarden.model.facts import StatementFacts, Unanalysable, Verb
from querywarden.postgresql.client_settings import note_settings
from querywarden.postgresql.decisions import basis_of, decided, verdict_on
from querywarden.postgresql.expected import Awaited, Expected
from querywarden.postgresql.framing import encode
from querywarden.postgresql.guesses import values_of
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
    resolved,
    settle_catalogue,
    target_of,
    too_many_names,
    understood,
)
from querywarden.postgresql.messages.frontend import (
    Describe,
    Parse,
    decode_bind,
    decode_close,
    decode_describe,
    decode_execute,
    decode_parse,
    encode_describe,
    encode_execute,
    encode_parse,
)
from querywarden.postgresql.outgoing import ToServer
from querywarden.postgresql.prepared import NotSettled, Portal, Prepared
from querywarden.postgresql.refusal import Refusal, refusal_for, substitute
from querywarden.postgresql.session_state import SessionState
from querywarden.postgresql.simple_query import names_of
from querywarden.postgresql.write_back_check import keeps_arguments, look_for_masks, scan_of

_PARSE, _BIND, _EXECUTE, _DESCRIBE = ord("P"), ord("B"), ord("E"), ord("D")


def admit_parse(state: SessionState, body: bytes) -> None:
    """Judge the text of a Parse and queue it.

    Raises: MustWait or NotSettled when it has to be judged again later.
    """
    message = decode_parse(body)
    analysis = analysis_of(state, message.statement)
    if isinstance(analysis, Unanalysable):
        refuse_extended(state, _PARSE, message.name, judge_unanalysable(state, "parse", message.statement, analysis))
        return
    refused = _refused_parse(state, message, analysis)
    if refused is not None:
        refuse_extended(state, _PARSE, message.name, refused)
        return
    if not analysis:
        empty = Parse(message.name, b"", message.parameter_types)
        prepared = Prepared(b"", None)
        definition = state.registry.define(False, message.name, prepared)
        state.queue(ToServer(encode_parse(empty), Housekeeping.EMPTY, entry=Expected(Awaited.PARSE, definitions=[definition])))
        return
    unavailable = settle_catalogue(state, analysis)
    if unavailable is not None:
        refuse_extended(state, _PARSE, message.name, judge_refused(state, "parse", len(message.statement), unavailable))
        return
    _prepare(state, message, analysis[0])


def _refused_parse(state: SessionState, message: Parse, statements: tuple[StatementFacts, ...]) -> Judgement | None:
    if len(statements) > 1:
        sentence = "cannot insert multiple commands into a prepared statement"
        refusal = refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), sentence, sqlstate="42601")
        return judge_refused(state, "parse", len(message.statement), refusal, message.statement)
    if message.name and len(state.registry.statements) >= state.context.limits.statements_max:
        sentence = "too many prepared statements in this session"
        refusal = refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), sentence, "Close some of them first.", sqlstate="53400")
        return judge_refused(state, "parse", len(message.statement), refusal, message.statement)
    return None


def _prepare(state: SessionState, message: Parse, facts: StatementFacts) -> None:
    text = message.statement
    decided_on = facts
    try:
        decided_on = understood(state, 0, text, facts, _without_trailing_zeros(message.parameter_types), is_extended=True)[0]
    except KeyError:
        pass  # EXECUTE of a name that isn't there yet is judged when it runs.
    verdict = verdict_on(state, decided_on)
    cancelled = given_up(state, "parse", text, [verdict.decision])
    if cancelled is not None:
        refuse_extended(state, _PARSE, message.name, cancelled)
        return
    judgement = judge(state, "parse", Ruled(0, text, facts, facts, verdict))
    if judgement.refusal is not None:
        refuse_extended(state, _PARSE, message.name, judgement)
        return
    prepared = Prepared(text, facts, verdict, basis_of(state), message.parameter_types, names_at=state.names_made.now)
    prepared.understood, prepared.understood_at = decided_on, state.names.epoch
    prepared.declared_types = _without_trailing_zeros(message.parameter_types)
    entry = Expected(Awaited.PARSE, prepared=prepared, definitions=[state.registry.define(False, message.name, prepared)])
    state.queue(
        ToServer(
            encode_parse(message),
            acts=(judgement.act,),
            records=(judgement.record,),
            entry=entry,
            on_refusal=lambda: _refuse_unrecorded(entry, _PARSE, message.name, judgement.act.audit_id),
        )
    )


def _without_trailing_zeros(types: tuple[int, ...]) -> tuple[int, ...]:
    """Types as declared: a zero leaves one open, and so does none at the end."""
    last = max((index for index, each in enumerate(types, 1) if each), default=0)
    return types[:last]


def admit_bind(state: SessionState, data: bytes, body: bytes, is_whole: bool) -> Portal | None:
    """Queue a Bind: `data` are its raw bytes, `body` what is there of its body (all of it if `is_whole`).

    Returns: the portal, whose commitment a Bind in pieces completes later; None when it was refused.
    Raises: NotSettled.
    """
    names = body.split(b"\0", 2)
    if len(names) < 3:
        raise PeerViolation("Bind: its names are not terminated")
    portal_name, statement_name, rest = names
    prepared = state.registry.statement(statement_name)
    if prepared is None or len(state.registry.portals) >= state.context.limits.portals_max:
        shown = statement_name.decode("utf-8", "replace")
        what = "unnamed prepared statement does not exist" if not shown else f'prepared statement "{shown}" does not exist'
        refusal = refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), what, sqlstate="26000")
        if prepared is not None:
            refusal = refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), "too many open portals in this session", sqlstate="53400")
        refuse_extended(state, _BIND, b"", judge_refused(state, "execute", len(body), refusal))
        return None
    count = _parameter_count(rest)
    digest = hashlib.sha256(rest).digest() if is_whole else b""
    portal = Portal(prepared, count, digest, values_of(body) if is_whole else 0, bound_at=state.statements, bound_names=state.names.epoch)
    must_look = keeps_arguments(state, prepared)
    if is_whole and (must_look or prepared.may_wait):
        portal.arguments = decode_bind(body)
    elif must_look and not is_whole:
        portal.scan = scan_of(state, prepared)
        portal.scan.feed(rest)
    if portal.runs_by_name and prepared.facts is not None:
        portal.target = target_of(state, prepared.facts)
    definition = state.registry.define(True, portal_name, portal)
    entry = Expected(Awaited.BIND, portal=portal, prepared=prepared, definitions=[definition])
    state.queue(ToServer(data, Housekeeping.BIND, entry=entry))
    return portal


def _no_unnamed(state: SessionState, length: int) -> Judgement:
    sentence = "unnamed prepared statement does not exist"
    refusal = refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), sentence, sqlstate="26000")
    return judge_refused(state, "parse", length, refusal)


def _parameter_count(rest: bytes) -> int:
    """The number of parameters that a Bind's bytes after its names tell; the server checks what follows."""
    formats = int.from_bytes(rest[:2], "big")
    at = 2 + 2 * formats
    if len(rest) < at + 2:
        raise PeerViolation("Bind: shorter than its formats")
    return int.from_bytes(rest[at : at + 2], "big")


def admit_describe(state: SessionState, body: bytes) -> None:
    """Queue a Describe; that of a portal also tells us what its rows will be.

    Raises: NotSettled.
    """
    message = decode_describe(body)
    if message.kind == b"S":
        try:
            prepared = state.registry.statement(message.name)
            if prepared is None and not message.name:
                # The server may still have one: a Parse that failed when it was asked about hasn't reached it.
                refuse_extended(state, _BIND, b"", _no_unnamed(state, len(body)))
                return
        except NotSettled:
            prepared = None  # Only its parameters' types would be learnt.
        entry = Expected(Awaited.DESCRIBE_STATEMENT, prepared=prepared)
        state.queue(ToServer(encode(b"D", body), Housekeeping.DESCRIBE, entry=entry))
        return
    portal = state.registry.portal(message.name)
    if portal is not None:
        portal.described_in = state.registry.segment
    state.queue(ToServer(encode(b"D", body), Housekeeping.DESCRIBE, entry=Expected(Awaited.DESCRIBE_PORTAL, portal=portal)))


def admit_execute(state: SessionState, body: bytes) -> None:
    """Judge an Execute and queue it.

    Raises: MustWait or NotSettled when it has to be judged again later.
    """
    message = decode_execute(body)
    portal = state.registry.portal(message.portal)
    if portal is None or portal.prepared is None:
        shown = message.portal.decode("utf-8", "replace")
        refusal = refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), f'portal "{shown}" does not exist', sqlstate="34000")
        refuse_extended(state, _EXECUTE, b"", judge_refused(state, "execute", len(body), refusal))
        return
    prepared = portal.prepared
    if prepared.facts is None:
        state.queue(ToServer(encode_execute(message), Housekeeping.EMPTY, entry=Expected(Awaited.EXECUTE, portal=portal)))
        return
    judgement, ruled = _judge_execute(state, portal, prepared, prepared.facts)
    execution = judgement.execution
    if execution is None or ruled is None:
        refuse_extended(state, _EXECUTE, b"", judgement)
        return
    execution.definitions = names_of(state, ruled)
    note_settings(state, execution.facts)
    if portal.description is None and portal.described_in != state.registry.segment:
        portal.described_in = state.registry.segment
        hidden = Expected(Awaited.DESCRIBE_PORTAL, portal=portal, is_hidden=True)
        state.queue(ToServer(encode_describe(Describe(b"P", message.portal)), Housekeeping.DESCRIBE, entry=hidden))
    entry = Expected(Awaited.EXECUTE, [execution], portal=portal, prepared=prepared)
    entry.changes_schema = state.note_schema_change(execution.facts)
    state.note_admitted(execution.facts)
    entry.takes_copy_data = execution.facts.verb is Verb.COPY_IN and execution.facts.is_from_stdin
    if entry.takes_copy_data:
        state.copy_execute = entry
    state.statements += 1
    state.queue(
        ToServer(
            encode_execute(message),
            acts=(judgement.act,),
            records=(judgement.record,),
            entry=entry,
            on_refusal=lambda: _refuse_unrecorded(entry, _EXECUTE, b"", judgement.act.audit_id),
        )
    )


def _judge_execute(state: SessionState, portal: Portal, prepared: Prepared, facts: StatementFacts) -> tuple[Judgement, Ruled | None]:
    unavailable = settle_catalogue(state, (facts,))
    refused = unavailable or too_many_names(state, facts)
    if refused is not None:
        return judge_refused(state, "execute", len(prepared.text), refused), None
    if portal.runs_by_name:
        target = target_of(state, facts)
        if target is not portal.target or (target is None and state.statements != portal.bound_at):
            # Its columns were settled when it was bound, its rows come from what the name means now.
            what = "what this portal runs by name has been replaced since it was bound"
            refusal = refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), what, "Bind it again.", sqlstate="0A000")
            return judge_refused(state, "execute", len(prepared.text), refusal), None
    try:
        whole, shown = _understood_as_bound(state, portal, prepared, facts)
    except KeyError as unknown:
        what = f'prepared statement "{unknown.args[0]}" does not exist'
        refusal = refusal_for(ReasonCode.UNSUPPORTED, state.new_audit_id(), what, sqlstate="26000")
        return judge_refused(state, "execute", len(prepared.text), refusal), None
    masks = look_for_masks(state, prepared.text, whole, portal)
    if isinstance(masks, Refusal):
        return judge_refused(state, "execute", len(prepared.text), masks, prepared.text), None
    verdict = prepared.verdict
    if masks:
        verdict = verdict_on(state, whole, writes_back=True)
    elif verdict is None or whole is not facts or prepared.basis != basis_of(state):
        verdict = verdict_on(state, whole)
        if whole is facts:
            prepared.verdict, prepared.basis = verdict, basis_of(state)
    renamed = renamed_since(state, facts, whole, verdict, prepared)
    if renamed is not None:
        return judge_refused(state, "execute", len(prepared.text), renamed, prepared.text), None
    if verdict.wants_estimate:
        verdict = decided(state, verdict, 0, prepared.text, whole, portal)
    cancelled = given_up(state, "execute", prepared.text, [verdict.decision])
    if cancelled is not None:
        return cancelled, None
    ruled = Ruled(0, prepared.text, whole, shown, verdict)
    approved: Approved | None = None
    if isinstance(verdict.decision, Hold):
        approved = portal.approved
        if approved is None or (approved.rule, approved.policy_version) != (verdict.decision.rule, state.context.policy().version):
            answer = pass_hold(state, "execute", prepared.text, [ruled], portal)
            if isinstance(answer, Judgement):
                return answer, None
            approved = answer
            portal.approved = approved.going_on()
    return judge(state, "execute", ruled, prepared=prepared, portal=portal, approved=approved), ruled


def _understood_as_bound(
    state: SessionState, portal: Portal, prepared: Prepared, facts: StatementFacts
) -> tuple[StatementFacts, StatementFacts | None]:
    """A portal's statement with its data flow: what the names meant when it was bound. The server can't be asked about another time.

    What was prepared or opened in SQL keeps what was known then: its text is that of PREPARE or DECLARE.
    """
    if portal.bound_names == state.names.epoch and not prepared.is_of_sql:
        portal.understood = understood(state, 0, prepared.text, facts, prepared.declared_types, is_extended=True)
    return portal.understood if portal.understood is not None else resolved(state, facts)


def admit_close(state: SessionState, body: bytes) -> None:
    """Queue a Close; closing a prepared statement leaves its portals to the server's answer."""
    message = decode_close(body)
    definition = state.registry.define(message.kind == b"P", message.name, None)
    entry = Expected(Awaited.CLOSE, definitions=[definition])
    state.queue(ToServer(encode(b"C", body), Housekeeping.CLOSE, entry=entry))


def admit_sync(state: SessionState) -> None:
    """Queue a Sync; it ends what the server skips after an error."""
    if state.copy_execute is not None and state.copy_execute.takes_copy_now:
        state.queue(ToServer(encode(b"S", b""), Housekeeping.SYNC))
        return
    entry = Expected(Awaited.SYNC)
    state.is_skipping = False
    if state.copy_execute is not None:
        state.copy_execute.syncs_in_copy = [*state.copy_execute.syncs_in_copy, entry]
    state.queue(ToServer(encode(b"S", b""), Housekeeping.SYNC, entry=entry))
    state.registry.segment += 1


def admit_flush(state: SessionState) -> None:
    """Queue a Flush; it has no answer."""
    state.queue(ToServer(encode(b"H", b""), Housekeeping.FLUSH))


def refuse_oversize_parse(state: SessionState, length: int) -> None:
    """Refuse a Parse whose text is above the limit; its bytes have been skipped."""
    limit = state.context.limits.statement_bytes_max
    refusal = refusal_for(
        ReasonCode.STATEMENT_TOO_LARGE,
        state.new_audit_id(),
        f"the statement has {length} bytes; Querywarden analyses up to {limit}",
        "Send large values as parameters or with COPY.",
    )
    refuse_extended(state, _BIND, b"", judge_refused(state, "parse", length, refusal))


def refuse_ended(state: SessionState, message_type: int, length: int, sentence: str) -> None:
    """Refuse a message in a pipeline of a principal whose access has ended meanwhile."""
    refusal = refusal_for(ReasonCode.CREDENTIAL_EXPIRED, state.new_audit_id(), sentence, "Log in again with a fresh token.")
    stage: Stage = "parse" if message_type == _PARSE else "execute"
    # A Bind that fails has the server skip to the Sync, whatever the message was that it takes the place of.
    refuse_extended(state, _BIND, b"", judge_refused(state, stage, length, refusal))


def refuse_extended(state: SessionState, message_type: int, name: bytes, judgement: Judgement) -> None:
    """Queue the message that the server rejects in place of a refused one; it then skips to the next Sync by itself."""
    awaited = Awaited.PARSE if message_type == _PARSE else Awaited.BIND
    definitions = [state.registry.define(False, name, None)] if message_type == _PARSE and not name else []
    state.queue(
        ToServer(
            substitute(message_type, name, judgement.act.audit_id),
            Housekeeping.REFUSAL,
            acts=judgement.waiting_acts,
            records=(judgement.record,),
            entry=Expected(awaited, refusal=judgement.refusal, definitions=definitions),
        )
    )
    # The server will reject this, or skips it already: up to the next Sync it looks at nothing.
    state.is_skipping = True


def _refuse_unrecorded(entry: Expected, message_type: int, name: bytes, audit_id: str) -> bytes:
    entry.refusal = log_refusal(None, audit_id)
    return substitute(message_type, name, audit_id)
