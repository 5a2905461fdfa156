"""The quorum: how many different people have agreed, and whether that is enough."""

from __future__ import annotations

from collections.abc import Callable, Collection

from querywarden.approval.request import ApprovalRequest, Party, Vote

Present = Callable[[Vote], Party | None]
"""Says who the approver of a vote is now, with the groups that it has now; None when it may not agree any more."""


def as_voted(vote: Vote) -> Party | None:
    """An approver as it was when it voted: for those who look at the present elsewhere."""
    return vote.approver


def standing(request: ApprovalRequest, present: Present) -> list[Party]:
    """The different people whose approvals stand, as they are now.

    Who takes part in two votes, itself and through somebody who acts for it, is one person. After a denial none stands.
    """
    if any(not vote.approves for vote in request.votes):
        return []
    seen: set[tuple[str, str]] = set()
    people = []
    for vote in request.votes:
        if seen.isdisjoint(vote.approver.identities) and (person := present(vote)) is not None:
            people.append(person)
            seen |= vote.approver.identities
    return people


def is_met(request: ApprovalRequest, present: Present) -> bool:
    """Whether enough approvals stand: for each agreement that the terms ask for, those of as many people as it wants."""
    people = standing(request, present)
    return all(sum(each.is_for(person.groups) for person in people) >= max(1, each.quorum) for each in request.terms.agreements)


def is_by_others(request: ApprovalRequest, identities: Collection[tuple[str, str]], present: Present) -> bool:
    """Whether enough approvals stand without those in which one of these identities takes part: nobody approves what is its own."""
    return is_met(request, lambda vote: present(vote) if vote.approver.identities.isdisjoint(identities) else None)
