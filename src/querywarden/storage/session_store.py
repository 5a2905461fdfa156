"""Open sessions in the control store, of all proxies that share it: who they are, and which are to be killed.

Proxies are known by an id per process start, an instance. One that says nothing for a while is taken for gone, and its sessions with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, and_, delete, func, select, update
from sqlalchemy.engine import Connection

from querywarden.approval.request import Party
from querywarden.storage.approval_rows import party_of_json, party_to_json
from querywarden.storage.engine import StoreDatabase
from querywarden.storage.schema import INSTANCES, SESSIONS
from querywarden.storage.upsert import insert_or_not

STALE_SECONDS_DEFAULT: Final = 30.0
"""How long a proxy may be silent before its sessions count as gone."""
FORGOTTEN_SECONDS: Final = 86_400
"""How long a silent proxy's sessions are kept: it may only have been stopped for a while."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Somebody's word that a session is to end at once."""

    session_id: str
    by: str
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session as its proxy has registered it; `kill` says that it is about to be ended."""

    id: str
    instance: str
    party: Party
    database: str
    environment: str
    client_ip: str
    application: str
    opened_at: int
    kill: Kill | None = None


class SessionStore(StoreDatabase):
    """The part of the control store that keeps instances and open sessions."""

    def beat(self, instance: str, now: float) -> bool:
        """Say that a proxy lives; whether it was known. One that wasn't registers its sessions, again where it was forgotten."""
        with self.writing() as connection:
            known = update(INSTANCES).where(INSTANCES.c.id == instance).values(beat_at=int(now))
            if connection.execute(known).rowcount == 1:
                return True
            insert_or_not(connection, INSTANCES, {"id": instance, "beat_at": int(now)})
            return False

    def forget_instance(self, instance: str) -> None:
        """Forget a proxy that stops, and its sessions."""
        with self.writing() as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.instance == instance))
            connection.execute(delete(INSTANCES).where(INSTANCES.c.id == instance))

    def forget_silent_instances(self, now: float) -> int:
        """Forget the proxies that have been silent for long, and their sessions; how many proxies."""
        long_ago = int(now - FORGOTTEN_SECONDS)
        with self.writing() as connection:
            silent = connection.execute(select(INSTANCES.c.id).where(INSTANCES.c.beat_at < long_ago)).scalars().all()
            connection.execute(delete(INSTANCES).where(INSTANCES.c.id.in_(silent)))
            has_no_proxy = SESSIONS.c.instance.not_in(select(INSTANCES.c.id))
            connection.execute(delete(SESSIONS).where(has_no_proxy, SESSIONS.c.opened_at < long_ago))
            return len(silent)

    def sessions_opened(self, sessions: Iterable[OpenSession]) -> None:
        """Register sessions; those that are registered already stay as they are."""
        rows = [_values(session) for session in sorted(sessions, key=lambda each: each.id)]
        if not rows:
            return
        with self.writing() as connection:
            for row in rows:
                insert_or_not(connection, SESSIONS, row)

    def sessions_closed(self, session_ids: Collection[str]) -> None:
        """Remove sessions that have ended."""
        if not session_ids:
            return
        with self.writing() as connection:
            for session_id in sorted(session_ids):
                connection.execute(delete(SESSIONS).where(SESSIONS.c.id == session_id))

    def list_sessions(self, now: float, stale_seconds: float = STALE_SECONDS_DEFAULT) -> list[OpenSession]:
        """The open sessions of all proxies that live, the oldest first."""
        with self.reading() as connection:
            return _live(connection, now, stale_seconds)

    def mark_kill(
        self,
        *,
        by: str,
        reason: str,
        now: float,
        session_ids: Collection[str] | None = None,
        subject: str | None = None,
        issuer: str | None = None,
        database: str | None = None,
    ) -> list[OpenSession]:
        """Mark the open sessions to which everything named applies; their proxies end them within a second.

        A subject stands for whoever acts for it too, and for those whom it acts for. Nothing named marks nothing.

        Returns: the sessions marked, those included that were marked before.
        """
        if session_ids is None and subject is None and issuer is None and database is None:
            return []
        kill = {"by": by, "reason": reason, "at": int(now)}
        with self.writing() as connection:
            found = [
                session
                for session in _sessions(connection.execute(select(SESSIONS).order_by(SESSIONS.c.id).with_for_update()).all())
                if (session_ids is None or session.id in session_ids)
                and (database is None or session.database == database)
                and takes_part(session.party, subject, issuer)
            ]
            for session in found:
                unmarked = and_(SESSIONS.c.id == session.id, SESSIONS.c.killed_at.is_(None))
                connection.execute(update(SESSIONS).where(unmarked).values(killed_at=int(now), kill=kill))
            ids = {session.id for session in found}
            return [each for each in _sessions(connection.execute(select(SESSIONS).order_by(SESSIONS.c.id)).all()) if each.id in ids]

    def kills(self, instance: str) -> list[Kill]:
        """The sessions of a proxy that are to end."""
        with self.reading() as connection:
            return kills_of(connection, instance)


def takes_part(party: Party, subject: str | None, issuer: str | None) -> bool:
    """Whether a subject (None: anybody) of an issuer (None: any) takes part in an identity."""
    return any(subject in (None, each) and issuer in (None, its_issuer) for each, its_issuer in party.identities)


def kills_of(connection: Connection, instance: str) -> list[Kill]:
    """The sessions of a proxy that are to end, inside a transaction."""
    marked = select(SESSIONS.c.id, SESSIONS.c.kill).where(SESSIONS.c.instance == instance, SESSIONS.c.killed_at.is_not(None))
    return [_kill(row.id, row.kill) for row in connection.execute(marked.order_by(SESSIONS.c.id))]


def sessions_elsewhere(connection: Connection, instance: str, now: float, stale_seconds: float) -> dict[tuple[str, str, str], int]:
    """How many sessions other proxies that live have, by subject, issuer and database."""
    columns = (SESSIONS.c.subject, SESSIONS.c.issuer, SESSIONS.c.database)
    of_others = (
        select(*columns, func.count().label("count"))
        .join(INSTANCES, INSTANCES.c.id == SESSIONS.c.instance)
        .where(SESSIONS.c.instance != instance, INSTANCES.c.beat_at > int(now - stale_seconds))
        .group_by(*columns)
    )
    return {(row.subject, row.issuer, row.database): row[3] for row in connection.execute(of_others)}


def _live(connection: Connection, now: float, stale_seconds: float) -> list[OpenSession]:
    live = (
        select(SESSIONS)
        .join(INSTANCES, INSTANCES.c.id == SESSIONS.c.instance)
        .where(INSTANCES.c.beat_at > int(now - stale_seconds))
        .order_by(SESSIONS.c.opened_at, SESSIONS.c.id)
    )
    return _sessions(connection.execute(live).all())


def _values(session: OpenSession) -> dict[str, Any]:
    return {
        "id": session.id,
        "instance": session.instance,
        "opened_at": session.opened_at,
        "subject": session.party.subject,
        "issuer": session.party.issuer,
        "database": session.database,
        "body": {
            "party": party_to_json(session.party),
            "environment": session.environment,
            "client_ip": session.client_ip,
            "application": session.application,
        },
    }


def _sessions(rows: Sequence[Row[Any]]) -> list[OpenSession]:
    return [
        OpenSession(
            id=row.id,
            instance=row.instance,
            party=party_of_json(row.body["party"]),
            database=row.database,
            environment=row.body["environment"],
            client_ip=row.body["client_ip"],
            application=row.body["application"],
            opened_at=row.opened_at,
            kill=None if row.kill is None else _kill(row.id, row.kill),
        )
        for row in rows
    ]


def _kill(session_id: str, value: Mapping[str, Any]) -> Kill:
    return Kill(session_id, value["by"], value["reason"], value["at"])
