"""Who may answer an approval request: an approver by the request's terms, never the requester, never an agent."""

from __future__ import annotations

from querywarden.approval.request import ApprovalRequest, Party, RequestState
from querywarden.model.decision import ApprovalTerms
from querywarden.model.principal import PrincipalKind

_NOT_PENDING = {
    RequestState.APPROVED: "This request is approved already.",
    RequestState.CONSUMED: "This request was approved, and the approval is used up.",
    RequestState.DENIED: "This request was denied, which is final.",
    RequestState.EXPIRED: "This request has expired.",
    RequestState.WITHDRAWN: "This request was withdrawn.",
}


def may_vote(request: ApprovalRequest, approver: Party, now: float) -> str | None:
    """Why an approver may not answer a request, as a public sentence; None when it may."""
    if (sentence := may_approve_for(request.requester, request.terms, approver)) is not None:
        return sentence
    if request.state is not RequestState.PENDING:
        return _NOT_PENDING[request.state]
    if now >= request.expires_at:
        return _NOT_PENDING[RequestState.EXPIRED]
    if any(not vote.approver.identities.isdisjoint(approver.identities) for vote in request.votes):
        return "You have answered this request already."
    return None


def may_approve_for(requester: Party, terms: ApprovalTerms, approver: Party) -> str | None:
    """Why an approver may not agree to what a requester wants under these terms, whatever the request's state; None when it may.

    Everybody who takes part counts on both sides: who acts for somebody, and for whom. What a delegated agent asks for is asked for by its
    person too, and what an agent answers was answered by no person.
    """
    if approver.kind is PrincipalKind.AGENT or approver.actors:
        return "An agent can't answer a request for an approval, nor can anybody on behalf of another."
    if not requester.identities.isdisjoint(approver.identities):
        return "This is your own request, or one made on your behalf: somebody else has to answer it."
    if not terms.is_for(approver.groups):
        return "You are in none of the groups that may answer this request."
    return None
