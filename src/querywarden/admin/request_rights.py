"""Who may see a request, and who may answer it: by the request itself, by its own terms, and by those of the policy in force."""

from __future__ import annotations

from querywarden.admin.problems import Problem, ProblemCode
from querywarden.approval.eligibility import may_approve_for, may_vote
from querywarden.approval.request import ApprovalRequest, Party, RequestKind, RequestState, party_of
from querywarden.model.glob import is_any_match
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.policy.access import requestable_for
from querywarden.policy.language import Policy

_CODES = {
    RequestState.APPROVED: ProblemCode.NOT_PENDING,
    RequestState.CONSUMED: ProblemCode.CONSUMED,
    RequestState.DENIED: ProblemCode.DENIED_ALREADY,
    RequestState.EXPIRED: ProblemCode.EXPIRED,
    RequestState.WITHDRAWN: ProblemCode.WITHDRAWN,
}


def is_administrator(principal: Principal, administrators: tuple[str, ...]) -> bool:
    """Whether a principal is in one of the administrators' groups. Agents never are, nor is anybody on behalf of another."""
    if principal.kind is PrincipalKind.AGENT or principal.actors:
        return False
    return any(is_any_match(administrators, group) for group in principal.groups)


def is_requester(request: ApprovalRequest, principal: Principal) -> bool:
    """Whether a request is a principal's own.

    A person sees what an agent asked for on its behalf, and an agent what it asked for itself; an agent that acts for a person sees what it
    asked for that person, not what the person asked for.
    """
    requester = request.requester
    identity = (principal.subject, principal.issuer)
    if principal.actors:
        return identity == (requester.subject, requester.issuer) and principal.actors == requester.actors
    return identity in requester.identities


def may_see(request: ApprovalRequest, principal: Principal, administrators: tuple[str, ...]) -> bool:
    """Whether a principal may see a request: its requester, who might answer it, and administrators."""
    if principal.databases is not None and request.database and request.database not in principal.databases:
        return False
    if is_requester(request, principal) or is_administrator(principal, administrators):
        return True
    return may_approve_for(request.requester, request.terms, party_of(principal)) is None


def why_no_vote(request: ApprovalRequest, principal: Principal, policy: Policy, now: float) -> tuple[ProblemCode, str] | None:
    """Why a principal can't answer a request now; None when it can."""
    party = party_of(principal)
    sentence = may_vote(request, party, now)
    if sentence is not None:
        return code_of(request, party, now), sentence
    if request.kind is RequestKind.ACCESS:
        return _why_no_access_vote(request, party, policy)
    if request.policy_version != policy.version:
        return ProblemCode.POLICY_CHANGED, (
            "The policy has changed since this was asked, so an approval would not count: the statement has to be run again."
        )
    return None


def _why_no_access_vote(request: ApprovalRequest, approver: Party, policy: Policy) -> tuple[ProblemCode, str] | None:
    """Access outlives a policy, so the one in force has its say: it must still offer this, and let this approver agree."""
    wanted = request.access
    asker = request.requester
    principal = Principal(asker.subject, asker.issuer, asker.kind, asker.groups, actors=asker.actors)
    offer = None if wanted is None else requestable_for(policy, principal, wanted.group, wanted.database)
    if wanted is None or offer is None or wanted.seconds > offer.seconds_max:
        return ProblemCode.POLICY_CHANGED, "The policy has changed since this was asked: it no longer lets anybody ask for this."
    if offer.terms.quorum > request.terms.quorum:
        return ProblemCode.POLICY_CHANGED, "The policy has changed since this was asked, and wants more approvers: ask again."
    sentence = may_approve_for(asker, offer.terms, approver)
    return None if sentence is None else (ProblemCode.NOT_AN_APPROVER, sentence)


def require_vote(request: ApprovalRequest, principal: Principal, policy: Policy, now: float) -> None:
    """Raises: Problem when a principal can't answer a request now."""
    found = why_no_vote(request, principal, policy, now)
    if found is not None:
        raise Problem(*found)


def code_of(request: ApprovalRequest, party: Party, now: float) -> ProblemCode:
    """Which kind of problem it is that keeps somebody from answering; in the order in which the sentences are chosen."""
    if may_approve_for(request.requester, request.terms, party) is not None:
        is_own = not request.requester.identities.isdisjoint(party.identities)
        return ProblemCode.OWN_REQUEST if is_own else ProblemCode.NOT_AN_APPROVER
    if request.state is not RequestState.PENDING:
        return _CODES[request.state]
    return ProblemCode.EXPIRED if now >= request.expires_at else ProblemCode.ALREADY_VOTED
