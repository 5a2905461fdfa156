"""The quorum: how many different people have agreed, and whether that is enough."""

from __future__ import annotations

from collections.abc import Callable, Collection

from querywarden.approval.request import ApprovalRequest, Vote


def standing_votes(request: ApprovalRequest, is_valid: Callable[[Vote], bool]) -> int:
    """How many different people's approvals stand; `is_valid` says whether an approver may still approve.

    Who takes part in two votes, itself and through somebody who acts for it, is one person. After a denial none stands.
    """
    if any(not vote.approves for vote in request.votes):
        return 0
    seen: set[tuple[str, str]] = set()
    count = 0
    for vote in request.votes:
        if seen.isdisjoint(vote.approver.identities) and is_valid(vote):
            count += 1
            seen |= vote.approver.identities
    return count


def is_met(request: ApprovalRequest, is_valid: Callable[[Vote], bool]) -> bool:
    """Whether enough approvals stand."""
    return standing_votes(request, is_valid) >= max(1, request.terms.quorum)


def is_by_others(request: ApprovalRequest, identities: Collection[tuple[str, str]], is_valid: Callable[[Vote], bool]) -> bool:
    """Whether enough approvals stand without those in which one of these identities takes part: nobody approves what is its own."""
    return is_met(request, lambda vote: vote.approver.identities.isdisjoint(identities) and is_valid(vote))
