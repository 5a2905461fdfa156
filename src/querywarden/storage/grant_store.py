"""Access that was granted for a time, in the control store: a group or a database, until it ends by itself or is revoked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, or_, select, update
from sqlalchemy.engine import Connection

from querywarden.approval.lifecycle import RequestEvent, after
from querywarden.approval.request import Party, RequestKind, RequestState
from querywarden.model.principal import Actor, Principal
from querywarden.storage.approval_rows import actors_of_json, actors_to_json
from querywarden.storage.engine import StoreDatabase
from querywarden.storage.schema import GRANTS, REQUESTS
from querywarden.storage.upsert import insert_or_not


@dataclass(frozen=True, slots=True)
class AccessGrant:
    """Access that a principal has for a time. `id` is that of the request that asked for it.

    It is for exactly who asked: what a person was granted doesn't pass to agents that act for it, nor the other way round.
    """

    id: str
    subject: str
    issuer: str
    group: str | None
    database: str | None
    starts_at: int
    ends_at: int
    granted_by: str
    actors: tuple[Actor, ...] = ()
    revoked_at: int | None = None
    revoked_by: str | None = None

    def is_for(self, who: Principal | Party) -> bool:
        """Whether it is this principal's."""
        return (self.subject, self.issuer, self.actors) == (who.subject, who.issuer, who.actors)

    def is_live(self, now: float) -> bool:
        """Whether it gives access at this time."""
        return self.revoked_at is None and self.starts_at <= now < self.ends_at


class GrantStore(StoreDatabase):
    """The part of the control store that keeps access grants."""

    def grant(self, grant: AccessGrant, now: float) -> bool:
        """Grant what an approved access request has asked for, and use that request up in the same step.

        Returns: whether it was granted; not twice, and not on a request that isn't approved any more.
        """
        is_approved = and_(
            REQUESTS.c.id == grant.id,
            REQUESTS.c.kind == RequestKind.ACCESS.value,
            REQUESTS.c.state == RequestState.APPROVED.value,
            or_(REQUESTS.c.valid_until.is_(None), REQUESTS.c.valid_until > int(now)),
        )
        used_up = {
            "state": after(RequestState.APPROVED, RequestEvent.USE_UP).value,
            "version": REQUESTS.c.version + 1,
            "uses_left": 0,
            "uses_made": REQUESTS.c.uses_made + 1,
        }
        with self.writing() as connection:
            if connection.execute(update(REQUESTS).where(is_approved).values(used_up)).rowcount != 1:
                return False
            return insert_or_not(connection, GRANTS, _values(grant))

    def find_grant(self, grant_id: str) -> AccessGrant | None:
        """The grant of an id, ended or not."""
        with self.reading() as connection:
            row = connection.execute(select(GRANTS).where(GRANTS.c.id == grant_id)).one_or_none()
        return None if row is None else _grant(row)

    def grants(self, now: float) -> list[AccessGrant]:
        """The grants that give access at this time."""
        with self.reading() as connection:
            return live_grants(connection, now)

    def revoke_grant(self, grant_id: str, by: str, now: float) -> AccessGrant | None:
        """End a grant before its time; None when there is none that gives access."""
        is_live = and_(GRANTS.c.id == grant_id, _is_live(now))
        with self.writing() as connection:
            row = connection.execute(select(GRANTS).where(is_live).with_for_update()).one_or_none()
            if row is None:
                return None
            changes = {"revoked_at": int(now), "body": {**row.body, "revoked_by": by}}
            connection.execute(update(GRANTS).where(GRANTS.c.id == grant_id).values(changes))
            return _grant(connection.execute(select(GRANTS).where(GRANTS.c.id == grant_id)).one())

    def ended_grants(self, now: float) -> list[AccessGrant]:
        """Grants that have ended, by time or by being revoked, and whose end nobody has recorded yet; one caller gets each."""
        is_over = and_(GRANTS.c.is_told.is_(False), or_(GRANTS.c.ends_at <= int(now), GRANTS.c.revoked_at.is_not(None)))
        with self.reading() as connection:
            if connection.execute(select(GRANTS.c.id).where(is_over).limit(1)).first() is None:
                return []
        with self.writing() as connection:
            rows = connection.execute(select(GRANTS).where(is_over).order_by(GRANTS.c.id).with_for_update(skip_locked=True)).all()
            connection.execute(update(GRANTS).where(GRANTS.c.id.in_([row.id for row in rows])).values(is_told=True))
        return [_grant(row) for row in rows]


def live_grants(connection: Connection, now: float) -> list[AccessGrant]:
    """The grants that give access at this time, inside a transaction."""
    return [_grant(row) for row in connection.execute(select(GRANTS).where(_is_live(now)).order_by(GRANTS.c.id)).all()]


def _is_live(now: float) -> ColumnElement[bool]:
    return and_(GRANTS.c.revoked_at.is_(None), GRANTS.c.starts_at <= int(now), GRANTS.c.ends_at > int(now))


def _values(grant: AccessGrant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "starts_at": grant.starts_at,
        "ends_at": grant.ends_at,
        "revoked_at": None,
        "is_told": False,
        "body": {
            "subject": grant.subject,
            "issuer": grant.issuer,
            "actors": actors_to_json(grant.actors),
            "group": grant.group,
            "database": grant.database,
            "granted_by": grant.granted_by,
            "revoked_by": None,
        },
    }


def _grant(row: Row[Any]) -> AccessGrant:
    body: Mapping[str, Any] = row.body
    return AccessGrant(
        id=row.id,
        subject=body["subject"],
        issuer=body["issuer"],
        group=body["group"],
        database=body["database"],
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        granted_by=body["granted_by"],
        actors=actors_of_json(body["actors"]),
        revoked_at=row.revoked_at,
        revoked_by=body["revoked_by"],
    )
