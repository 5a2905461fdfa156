"""The webhook outbox in the control store: deliveries wait here until they have arrived, each tried by one proxy at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, delete, or_, select, update

from querywarden.storage.engine import StoreDatabase
from querywarden.storage.schema import OUTBOX
from querywarden.storage.upsert import insert_or_not


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something to be sent. `target` names a configured webhook, without its secrets; `body` is plain data, without literals.

    `attempts` have failed so far; the next one is due at `next_at` (0: at once).
    """

    id: str
    target: str
    event: str
    body: Mapping[str, Any]
    created_at: int
    next_at: int = 0
    attempts: int = 0
    is_dead: bool = False


class OutboxStore(StoreDatabase):
    """The part of the control store that keeps the webhook outbox."""

    def enqueue(self, deliveries: Iterable[Delivery]) -> None:
        """Put deliveries into the outbox, all or none; one whose id is there already stays as it is."""
        rows = [_values(delivery) for delivery in sorted(deliveries, key=lambda each: each.id)]
        if not rows:
            return
        with self.writing() as connection:
            for row in rows:
                insert_or_not(connection, OUTBOX, row)

    def due(self, now: float, limit: int, claimant: str, lease_seconds: float, targets: Collection[str] | None = None) -> list[Delivery]:
        """Claim deliveries whose time has come, the most urgent first; with `targets`, those to them alone.

        The lease ends by itself where the claimant goes away.
        """
        is_due = and_(OUTBOX.c.is_dead.is_(False), OUTBOX.c.next_at <= int(now), OUTBOX.c.claimed_until <= int(now))
        if targets is not None:
            is_due = and_(is_due, OUTBOX.c.target.in_(list(targets)))
        with self.reading() as connection:
            if connection.execute(select(OUTBOX.c.id).where(is_due).limit(1)).first() is None:
                return []
        with self.writing() as connection:
            urgent = select(OUTBOX).where(is_due).order_by(OUTBOX.c.next_at, OUTBOX.c.created_at, OUTBOX.c.id).limit(limit)
            rows = connection.execute(urgent.with_for_update(skip_locked=True)).all()
            claimed = {"claimant": claimant, "claimed_until": int(now + max(1.0, lease_seconds))}
            connection.execute(update(OUTBOX).where(OUTBOX.c.id.in_([row.id for row in rows])).values(claimed))
        return [_delivery(row) for row in rows]

    def delivered(self, delivery_id: str) -> None:
        """Take a delivery that has arrived out of the outbox."""
        with self.writing() as connection:
            connection.execute(delete(OUTBOX).where(OUTBOX.c.id == delivery_id))

    def failed(self, delivery_id: str, next_at: float) -> None:
        """Try a delivery again at a time."""
        changes = {"attempts": OUTBOX.c.attempts + 1, "next_at": int(next_at), "claimant": None, "claimed_until": 0}
        with self.writing() as connection:
            connection.execute(update(OUTBOX).where(OUTBOX.c.id == delivery_id).values(changes))

    def dead(self, delivery_id: str) -> None:
        """Give a delivery up; it stays in the outbox for people to see."""
        changes = {"attempts": OUTBOX.c.attempts + 1, "is_dead": True, "claimant": None, "claimed_until": 0}
        with self.writing() as connection:
            connection.execute(update(OUTBOX).where(OUTBOX.c.id == delivery_id).values(changes))

    def list_deliveries(self, limit: int = 100) -> list[Delivery]:
        """What lies in the outbox, the oldest first."""
        with self.reading() as connection:
            return [_delivery(row) for row in connection.execute(select(OUTBOX).order_by(OUTBOX.c.created_at, OUTBOX.c.id).limit(limit))]

    def delete_deliveries(self, before: float, targets: Iterable[str] | None = None) -> int:
        """Delete deliveries that were given up and put in before a time, and all to targets that are not among those named; how many."""
        is_old = and_(OUTBOX.c.is_dead.is_(True), OUTBOX.c.created_at < int(before))
        is_lost = or_(is_old) if targets is None else or_(is_old, OUTBOX.c.target.not_in(list(targets)))
        with self.writing() as connection:
            return connection.execute(delete(OUTBOX).where(is_lost)).rowcount


def _values(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "target": delivery.target,
        "event": delivery.event,
        "body": dict(delivery.body),
        "created_at": delivery.created_at,
        "attempts": delivery.attempts,
        "next_at": delivery.next_at,
        "claimant": None,
        "claimed_until": 0,
        "is_dead": delivery.is_dead,
    }


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(row.id, row.target, row.event, row.body, row.created_at, row.next_at, row.attempts, row.is_dead)
