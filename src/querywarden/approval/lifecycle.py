"""The life of an approval request: the one table of what it can become, and by which event.

Total: every (state, event) pair is in the table or isn't possible. Nothing leads back from a no, an expiry or a withdrawal.
"""

from __future__ import annotations

from enum import StrEnum

from querywarden.approval.request import RequestState


class RequestEvent(StrEnum):
    """What can happen to a request."""

    AGREE = "agree"
    """An approver has said yes, and others have to say it too."""
    APPROVE = "approve"
    """An approver has said yes, and that is enough."""
    DENY = "deny"
    """An approver has said no; one is enough."""
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    USE = "use"
    """A statement was released on it, and others may follow."""
    USE_UP = "use_up"
    """A statement was released on it, and that was the last."""
    REOPEN = "reopen"
    """At its release, who agreed had no right to any more: others are asked."""


TRANSITIONS: dict[tuple[RequestState, RequestEvent], RequestState] = {
    (RequestState.PENDING, RequestEvent.AGREE): RequestState.PENDING,
    (RequestState.PENDING, RequestEvent.APPROVE): RequestState.APPROVED,
    (RequestState.PENDING, RequestEvent.DENY): RequestState.DENIED,
    (RequestState.PENDING, RequestEvent.EXPIRE): RequestState.EXPIRED,
    (RequestState.PENDING, RequestEvent.WITHDRAW): RequestState.WITHDRAWN,
    (RequestState.APPROVED, RequestEvent.USE): RequestState.APPROVED,
    (RequestState.APPROVED, RequestEvent.USE_UP): RequestState.CONSUMED,
    (RequestState.APPROVED, RequestEvent.EXPIRE): RequestState.EXPIRED,
    (RequestState.APPROVED, RequestEvent.WITHDRAW): RequestState.WITHDRAWN,
    (RequestState.APPROVED, RequestEvent.REOPEN): RequestState.PENDING,
}


class ImpossibleEvent(Exception):
    """An event happened to a request whose state the table doesn't have it for: a defect of the caller."""


def after(state: RequestState, event: RequestEvent) -> RequestState:
    """The state of a request after an event. Raises: ImpossibleEvent."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleEvent(f"{event} of a request that is {state}") from None


def states_before(event: RequestEvent) -> tuple[RequestState, ...]:
    """The states in which an event can happen."""
    return tuple(state for state, each in TRANSITIONS if each is event)
