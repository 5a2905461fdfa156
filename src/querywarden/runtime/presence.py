"""Presence: the open sessions of this proxy among those of all, and what somebody has done about them from outside.

The control store has a row for each session, so that `sessions list` and `sessions kill` reach every proxy; rows are written in batches,
never while a login waits. What the watch reads is carried out here: sessions are ended at once, principals are blocked, and access that
was given for a time begins and ends.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

import structlog

from querywarden.approval.request import Party, party_of
from querywarden.audit.record import claimed
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.runtime.approval_news import ApprovalNews
from querywarden.runtime.budgets import Budgets
from querywarden.runtime.known_access import BLOCKED, KnownAccess
from querywarden.runtime.store_calls import StoreCalls
from querywarden.session.inputs import AccessEnded, Input, PrincipalChanged
from querywarden.storage.control_store import ControlStore, Kill, OpenSession, Poll

KILLED = "This session was ended by an operator."
ACCESS_OVER = "The access that you were given for a time has ended."
_SIGHTINGS_MAX = 10_000

Authorise = Callable[[Principal, str], str | None]
"""Why a principal may not use a database; None if it may. Knows what was granted for a time."""
SessionsMax = Callable[[Principal, str], int | None]
"""How many sessions a principal may have at once on a database; None: as many as it likes."""

log = structlog.get_logger(__name__)


class Entry:
    """One open session. Its principal is the credential's, with the groups that it was given for a time."""

    def __init__(
        self,
        presence: SessionPresence,
        session_id: str,
        credential: Principal,
        database: str,
        client_ip: str,
        deliver: Callable[[Input], None],
    ) -> None:
        self.session_id = session_id
        self.credential = credential
        self.database = database
        self.client_ip = client_ip
        self.deliver = deliver
        self.principal = credential
        self.granted_databases: frozenset[str] = frozenset()
        self.application = ""
        self.refusal: str | None = None
        self.opened_at = 0.0
        self.is_logged_in = False
        self.is_ending = False
        self._told = credential
        """The principal that the session has."""
        self._presence = presence

    async def prepare(self) -> None:
        """Read the use of the principal's budgets, where it has any."""
        await self._presence.budgets.load(self.principal, self.database)
        self.begin_as(self.principal)

    def begin_as(self, principal: Principal) -> None:
        """The session begins with this principal."""
        self.principal = self._told = principal

    def logged_in(self) -> None:
        """The login has ended well: others may see the session, and it hears what has changed since it was let in."""
        self.is_logged_in = True
        self._presence.register(self)
        if self._told is not self.principal:
            self._tell_principal()

    def leave(self) -> None:
        """The session is over."""
        self._presence.remove(self)

    def change(self, principal: Principal) -> None:
        """The principal has other groups now."""
        self.principal = principal
        if self.is_logged_in:
            self._tell_principal()

    def end(self, sentence: str, *, at_once: bool) -> None:
        """End the session, once."""
        if not self.is_ending:
            self.is_ending = True
            self.deliver(AccessEnded(sentence, at_once=at_once))

    def _tell_principal(self) -> None:
        self._told = self.principal
        self.deliver(PrincipalChanged(self.principal))


class SessionPresence:
    """The open sessions of this proxy, by id."""

    def __init__(
        self,
        store: ControlStore,
        calls: StoreCalls,
        instance: str,
        known: KnownAccess,
        budgets: Budgets,
        news: ApprovalNews,
        resource: Callable[[str], Database],
        authorise: Authorise,
        sessions_max: SessionsMax,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.budgets = budgets
        self._store = store
        self._calls = calls
        self._instance = instance
        self._known = known
        self._news = news
        self._resource = resource
        self._authorise = authorise
        self._sessions_max = sessions_max
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._elsewhere: Mapping[tuple[str, str, str], int] = {}
        self._opened: dict[str, Entry] = {}
        self._closed: set[str] = set()
        self._seen: dict[tuple[str, str], Party] = {}

    # What logins and the API say.

    def enter(self, session_id: str, principal: Principal, database: str, client_ip: str, deliver: Callable[[Input], None]) -> Entry:
        """Count a session in, and say whether it may come."""
        entry = Entry(self, session_id, principal, database, client_ip, deliver)
        now = entry.opened_at = self._clock()
        entry.begin_as(self._known.principal_now(principal, now))
        entry.granted_databases = self._known.granted_databases(principal, now)
        self.saw(principal)
        key = _key(principal, database)
        self._entries[session_id] = entry
        self._counts[key] += 1
        if self._known.is_blocked(principal, now):
            entry.refusal = BLOCKED
            entry.is_ending = True
            log.warning("login.blocked", session=session_id, principal=principal.label)
        else:
            most = self._sessions_max(entry.principal, database)
            if most is not None and self._counts[key] + self._elsewhere.get(key, 0) > most:
                entry.refusal = f"You have {most} sessions open on this database already, which is as many as you may have."
                log.warning("login.too_many_sessions", session=session_id, principal=principal.label, sessions_max=most)
        return entry

    def principal_of(self, session_id: str) -> Principal | None:
        """The principal of an open session, with the groups that it was given for a time."""
        entry = self._entries.get(session_id)
        return None if entry is None else entry.principal

    def saw(self, principal: Principal) -> None:
        """A credential was verified: its groups are what is known of the principal from now on."""
        if not principal.actors and len(self._seen) < _SIGHTINGS_MAX:
            self._seen[principal.subject, principal.issuer] = party_of(principal)

    def register(self, entry: Entry) -> None:
        """Others are to see a session."""
        if entry.session_id in self._entries:
            self._opened[entry.session_id] = entry

    def remove(self, entry: Entry) -> None:
        """A session is over."""
        if self._entries.pop(entry.session_id, None) is None:
            return
        key = _key(entry.credential, entry.database)
        self._counts[key] -= 1
        if self._counts[key] <= 0:
            del self._counts[key]
        if self._opened.pop(entry.session_id, None) is None and entry.is_logged_in:
            self._closed.add(entry.session_id)

    def describe(self, session_id: str, application: str) -> None:
        """The application that a session's client claims to be."""
        entry = self._entries.get(session_id)
        if entry is not None:
            entry.application = claimed(application)

    # What the watch says.

    def take(self, poll: Poll) -> None:
        """Carry out what the store says of sessions and principals."""
        self._elsewhere = poll.sessions_elsewhere
        self._known.update(poll.blocks, poll.grants, self._clock())
        for kill in poll.kills:
            self._kill(kill)
        self.review()

    def review(self) -> None:
        """Look at all sessions by what is known: who is blocked ends at once, and access given for a time begins and ends."""
        now = self._clock()
        for entry in list(self._entries.values()):
            if entry.is_ending:
                continue
            if self._known.is_blocked(entry.credential, now):
                log.warning("session.blocked", session=entry.session_id, principal=entry.credential.label)
                self._news.killed("principal")
                entry.end(BLOCKED, at_once=True)
                continue
            self._review_access(entry, now)

    def _review_access(self, entry: Entry, now: float) -> None:
        principal = self._known.principal_now(entry.credential, now)
        databases = self._known.granted_databases(entry.credential, now)
        if principal.groups == entry.principal.groups and databases == entry.granted_databases:
            return
        has_ended = not (entry.principal.groups <= principal.groups and entry.granted_databases <= databases)
        entry.granted_databases = databases
        if has_ended and self._authorise(principal, entry.database) is not None:
            log.info("session.access_over", session=entry.session_id, principal=entry.credential.label)
            entry.end(ACCESS_OVER, at_once=False)
        elif principal.groups != entry.principal.groups:
            entry.change(principal)

    def _kill(self, kill: Kill) -> None:
        entry = self._entries.get(kill.session_id)
        if entry is None:
            # Its row has outlived it.
            self._closed.add(kill.session_id)
        elif not entry.is_ending:
            log.warning("session.killed", session=kill.session_id, principal=entry.credential.label, by=kill.by)
            self._news.session_killed(kill, entry.principal, self._resource(entry.database))
            entry.end(KILLED, at_once=True)

    async def flush(self) -> None:
        """Write what has come and gone since the last time. Raises: DependencyFailure; nothing is lost then."""
        opened, closed, seen = dict(self._opened), set(self._closed), dict(self._seen)
        if opened:
            await self._calls.run(self._store.sessions_opened, [self._row(entry) for entry in opened.values()])
            for session_id in opened:
                if self._opened.pop(session_id, None) is None:
                    # It has ended while it was written.
                    self._closed.add(session_id)
        if closed:
            await self._calls.run(self._store.sessions_closed, closed)
            self._closed -= closed
        for identity, party in seen.items():
            await self._calls.run(self._store.saw, party, self._clock())
            if self._seen.get(identity) is party:
                del self._seen[identity]

    def register_again(self) -> None:
        """The store doesn't know this proxy's sessions: all are to be written anew."""
        self._opened |= {entry.session_id: entry for entry in self._entries.values() if entry.is_logged_in}

    def _row(self, entry: Entry) -> OpenSession:
        resource = self._resource(entry.database)
        return OpenSession(
            entry.session_id, self._instance, party_of(entry.credential), entry.database, resource.environment.value, entry.client_ip,
            entry.application, int(entry.opened_at),
        )  # fmt: skip


def _key(principal: Principal, database: str) -> tuple[str, str, str]:
    return principal.subject, principal.issuer, database
