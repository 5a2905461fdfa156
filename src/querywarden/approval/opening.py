"""Opening a request: what a held statement becomes when approvers are asked."""

from __future__ import annotations

from querywarden.approval.display import statement_shown
from querywarden.approval.reason import clean_reason
from querywarden.approval.request import ApprovalRequest, HeldStatement, RequestKind, RequestState, party_of
from querywarden.model.decision import WaitMode


def request_of(held: HeldStatement, request_id: str, now: float, instance: str) -> ApprovalRequest:
    """The pending request of a held statement. `instance` is the proxy whose session waits; nobody waits in fail mode.

    It expires when its terms say so, or sooner where the session can't wait as long.
    """
    is_waiting = held.mode is WaitMode.WAIT
    seconds = float(held.terms.seconds_max)
    if is_waiting and held.seconds_max is not None:
        seconds = min(seconds, held.seconds_max)
    return ApprovalRequest(
        id=request_id,
        kind=RequestKind.STATEMENT,
        state=RequestState.PENDING,
        requester=party_of(held.principal),
        database=held.database.name,
        environment=held.database.environment.value,
        rule=held.rule,
        terms=held.terms,
        fingerprint=held.fingerprint,
        statement_fingerprint=held.statement_fingerprint,
        created_at=int(now),
        expires_at=int(now + max(1.0, seconds)),
        policy_version=held.policy_version,
        mode=held.mode,
        instance=instance if is_waiting else None,
        session_id=held.session_id,
        audit_id=held.audit_id,
        statement=statement_shown(held),
        reason=clean_reason(held.reason),
        client_ip=held.client_ip,
        application=held.application,
    )
