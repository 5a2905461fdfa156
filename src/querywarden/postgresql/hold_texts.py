"""What a client is told of a hold: the notices while it waits, and the errors with which it can end."""

from __future__ import annotations

from datetime import UTC, datetime

from querywarden.errors import ReasonCode
from querywarden.postgresql.error_response import encode_notice
from querywarden.postgresql.front import IdleLimit, OpenHold, Withdrawal
from querywarden.postgresql.refusal import Refusal, refusal_for
from querywarden.session.inputs import ApprovalOpened, ApprovalOutcome, ApprovalSettled, ApprovalUnavailable

_CANCEL = "Cancel the statement (psql: Ctrl-C) to withdraw the request."


def moment(seconds: float) -> str:
    """A time as clients read it, to the second, in UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def first_notice(hold: OpenHold, opened: ApprovalOpened, limit: IdleLimit | None) -> bytes:
    """The NoticeResponse that tells a client at once that its statement waits."""
    detail = f"{hold.sentence} Rule {hold.rule}. Audit id {hold.audit_id}."
    if limit is not None:
        idle = f"after {limit.seconds:g} s ({limit.setting})"
        detail += f" The server ends an idle session or transaction {idle}, so the request can't wait for longer."
    hint = f"{opened.where} The request expires at {moment(opened.expires_at)}. {_CANCEL}"
    return encode_notice("NOTICE", "00000", f"Querywarden holds this statement for an approval: request {opened.id}", detail, hint)


def next_notice(opened: ApprovalOpened, waited: float) -> bytes:
    """The NoticeResponse that tells a client at intervals that its statement still waits."""
    text = f"Querywarden still holds this statement, for {int(waited)} s now: request {opened.id}"
    return encode_notice("NOTICE", "00000", text, None, f"{opened.where} The request expires at {moment(opened.expires_at)}. {_CANCEL}")


def come_again(hold: OpenHold, opened: ApprovalOpened) -> Refusal:
    """The refusal of a statement whose client doesn't wait: it carries the request's id."""
    sentence = f"{hold.sentence} It needs an approval: request {opened.id}."
    hint = f"{opened.where} Run the same statement again once it is approved; the request expires at {moment(opened.expires_at)}."
    return Refusal(ReasonCode.APPROVAL_REQUIRED, hold.audit_id, "42501", sentence, hold.rule, hint)


def unavailable(hold: OpenHold, answer: ApprovalUnavailable) -> Refusal:
    """The refusal of a statement for which nobody can be asked."""
    why = f"{hold.sentence} It needs an approval, and none can be asked for: {answer.sentence}"
    hint = "Try again later, and tell the operator."
    if answer.reason is ReasonCode.APPROVALS_PENDING:
        hint = "Run it again once some of them are answered or have expired; `querywarden approvals list` shows them."
    found = refusal_for(answer.reason, hold.audit_id, why)
    return Refusal(found.reason, found.audit_id, found.sqlstate, found.sentence, hold.rule, hint)


def settled(hold: OpenHold, answer: ApprovalSettled) -> Refusal:
    """The refusal of a statement that was not approved."""
    match answer.outcome:
        case ApprovalOutcome.DENIED:
            by = f" by {', '.join(answer.by)}" if answer.by else ""
            said = f": {answer.note}" if answer.note else ""
            sentence, reason = f"The approval of this statement was denied{by}{said}", ReasonCode.APPROVAL_DENIED
            hint = "A denial is final for this request. Talk to the approver before you ask again."
        case ApprovalOutcome.EXPIRED:
            sentence, reason = "Nobody approved this statement in time", ReasonCode.APPROVAL_EXPIRED
            hint = "Run it again to ask again."
        case _:
            sentence, reason = "The request for an approval of this statement was withdrawn", ReasonCode.APPROVAL_WITHDRAWN
            hint = "Run it again to ask again."
    found = refusal_for(reason, hold.audit_id, f"{sentence} (request {answer.id}).")
    return Refusal(found.reason, found.audit_id, found.sqlstate, found.sentence, hold.rule, hint)


_WITHDRAWN = {
    Withdrawal.CANCELLED: "canceling statement due to user request",
    Withdrawal.DRAINING: "Querywarden is shutting down, so the statement was not run",
    Withdrawal.ACCESS_ENDED: "Your access has ended, so the statement was not run",
}


def withdrawn(hold: OpenHold | None, cause: Withdrawal, audit_id: str) -> Refusal:
    """The refusal of a statement whose wait has ended from the client's side."""
    sentence = _WITHDRAWN.get(cause, "The statement was not run")
    asked = hold is not None and hold.opened is not None
    hint = f"Request {hold.opened.id} was withdrawn." if asked and hold is not None and hold.opened is not None else None
    found = refusal_for(ReasonCode.APPROVAL_WITHDRAWN, audit_id, sentence, hint)
    return found if hold is None else Refusal(found.reason, audit_id, found.sqlstate, sentence, hold.rule, hint)
