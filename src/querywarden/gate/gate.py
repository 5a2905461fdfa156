"""The gate: the one table that says in which order a statement is decided, recorded and released.

Total: every (state, event) pair is in the table or is a breach of order, which is a defect of the caller and raises.
No permit exists that did not pass `recorded`.
"""

from __future__ import annotations

from enum import StrEnum

from querywarden.gate.permit import Permit


class Stage(StrEnum):
    """How far a statement has come."""

    ARRIVED = "arrived"
    HOLDING = "holding"
    """Decided: others must agree; its record is on the way."""
    HELD = "held"
    """Held, and the record of that is safe: approvers may be asked."""
    ALLOWED = "allowed"
    """Decided, or approved: it may run; the record of that is on the way."""
    DENIED = "denied"
    """Decided, or answered by approvers: no; the record of that is on the way."""
    RECORDED = "recorded"
    """Allowed, and the record is safe: a permit may be minted, once."""
    RELEASED = "released"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class GateEvent(StrEnum):
    """What can happen to a statement before it is released."""

    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"
    APPROVE = "approve"
    REJECT = "reject"
    """An approver has said no, or nobody has said yes in time."""
    RECORD_SAFE = "record_safe"
    RECORD_FAILED = "record_failed"
    RELEASE = "release"
    WITHDRAW = "withdraw"


TRANSITIONS: dict[tuple[Stage, GateEvent], Stage] = {
    (Stage.ARRIVED, GateEvent.ALLOW): Stage.ALLOWED,
    (Stage.ARRIVED, GateEvent.DENY): Stage.DENIED,
    (Stage.ARRIVED, GateEvent.HOLD): Stage.HOLDING,
    (Stage.ARRIVED, GateEvent.WITHDRAW): Stage.WITHDRAWN,
    (Stage.HOLDING, GateEvent.RECORD_SAFE): Stage.HELD,
    (Stage.HOLDING, GateEvent.RECORD_FAILED): Stage.REFUSED,
    (Stage.HOLDING, GateEvent.WITHDRAW): Stage.WITHDRAWN,
    (Stage.HELD, GateEvent.APPROVE): Stage.ALLOWED,
    (Stage.HELD, GateEvent.REJECT): Stage.DENIED,
    (Stage.HELD, GateEvent.WITHDRAW): Stage.WITHDRAWN,
    (Stage.ALLOWED, GateEvent.RECORD_SAFE): Stage.RECORDED,
    (Stage.ALLOWED, GateEvent.RECORD_FAILED): Stage.REFUSED,
    (Stage.ALLOWED, GateEvent.WITHDRAW): Stage.WITHDRAWN,
    (Stage.DENIED, GateEvent.RECORD_SAFE): Stage.REFUSED,
    (Stage.DENIED, GateEvent.RECORD_FAILED): Stage.REFUSED,
    (Stage.DENIED, GateEvent.WITHDRAW): Stage.WITHDRAWN,
    (Stage.RECORDED, GateEvent.RELEASE): Stage.RELEASED,
    (Stage.RECORDED, GateEvent.WITHDRAW): Stage.WITHDRAWN,
}


class OutOfOrder(Exception):
    """A statement was moved in an order that the table doesn't know."""


class Act:
    """One statement on its way through the gate; `audit_id` names its latest `decided` record."""

    __slots__ = ("audit_id", "stage")

    def __init__(self, audit_id: str) -> None:
        self.audit_id = audit_id
        self.stage = Stage.ARRIVED

    def advance(self, event: GateEvent) -> Stage:
        """Move along the table.

        Raises: OutOfOrder when the table has no such move.
        """
        try:
            self.stage = TRANSITIONS[self.stage, event]
        except KeyError:
            raise OutOfOrder(f"{event} in stage {self.stage}") from None
        return self.stage

    def approve(self, audit_id: str) -> None:
        """Others have agreed: the statement may run once the record of that, which has this id, is safe.

        Raises: OutOfOrder when the act isn't held.
        """
        self.advance(GateEvent.APPROVE)
        self.audit_id = audit_id

    def permit(self) -> Permit:
        """Mint the permit of a recorded act; it exists once.

        Raises: OutOfOrder when the act isn't recorded, or was released before.
        """
        self.advance(GateEvent.RELEASE)
        return Permit(self.audit_id)
