"""The access watch: ends sessions whose credential has expired or was revoked, whatever they are doing.

Logins check a credential once; sessions last longer. One task looks at all open sessions together, so the store is asked once per
round, not once per session. The session itself chooses the moment: its next statement boundary.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from querywarden.errors import DependencyFailure
from querywarden.identity.rejection import Cause
from querywarden.identity.service_token import METHOD, ServiceToken
from querywarden.model.principal import Principal

STALE_SECONDS_MAX = 300.0
"""How long sessions with service tokens outlive a store that doesn't answer: what can't be known isn't assumed for ever."""

EXPIRED = "Your credential has expired; log in again with a fresh one."
REVOKED = "Your service token was revoked."
UNKNOWN = "It can't be checked any more whether your service token was revoked; log in again."

log = structlog.get_logger(__name__)


class TokenLookup(Protocol):
    """Where the state of service tokens is read; may block and raise DependencyFailure."""

    def find_tokens(self, token_ids: Sequence[str]) -> Mapping[str, ServiceToken]:
        """The service tokens of several ids, by id."""


def ended_sentence(principal: Principal, stored: ServiceToken | None, now: float) -> str | None:
    """The public sentence that says why a principal no longer has access, or None while it has.

    `stored` is the record of its service token, where it logged in with one.
    """
    if principal.expires_at is not None and now >= principal.expires_at:
        return EXPIRED
    if principal.method != METHOD:
        return None
    ended = Cause.SERVICE_TOKEN_REVOKED if stored is None else stored.ended(now)
    if ended is None:
        return None
    return EXPIRED if ended is Cause.SERVICE_TOKEN_EXPIRED else REVOKED


@dataclass(slots=True)
class _Watched:
    principal: Principal
    on_ended: Callable[[str], None]


class AccessWatch:
    """Watches the principals of open sessions. `store` None: there are no service tokens."""

    def __init__(self, store: TokenLookup | None, *, seconds: float = 5.0, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._seconds = seconds
        self._clock = clock
        self._watched: dict[int, _Watched] = {}
        self._tickets = itertools.count()
        self._failing_since: float | None = None

    def watch(self, principal: Principal, on_ended: Callable[[str], None]) -> Callable[[], None]:
        """Watch a principal until the returned function is called; `on_ended` is called once at most, with a public sentence."""
        ticket = next(self._tickets)
        self._watched[ticket] = _Watched(principal, on_ended)
        return lambda: self._forget(ticket)

    async def run(self) -> None:
        """Look at all sessions again and again; cancel the task to stop."""
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.look()
            except Exception as error:
                # One session's trouble may not keep the others from hearing of a revocation.
                log.error("identity.watch_broken", error=type(error).__name__)

    async def look(self) -> None:
        """Look at all open sessions once."""
        principals = [watched.principal for watched in self._watched.values()]
        ids = sorted({p.credential_id for p in principals if p.method == METHOD and p.credential_id is not None})
        stored = await self._stored(ids) if ids else {}
        now = self._clock()
        for ticket, watched in list(self._watched.items()):
            principal = watched.principal
            if stored is None:
                sentence = self._sentence_without_store(principal, now)
            elif principal.method == METHOD and principal.credential_id not in ids:
                continue  # It logged in while the store was read.
            else:
                sentence = ended_sentence(principal, stored.get(principal.credential_id or ""), now)
            if sentence is not None:
                self._forget(ticket)
                watched.on_ended(sentence)

    async def _stored(self, ids: list[str]) -> Mapping[str, ServiceToken] | None:
        """The records of these tokens; None when the store doesn't answer."""
        if self._store is None:
            return {}
        try:
            found = await asyncio.to_thread(self._store.find_tokens, ids)
        except DependencyFailure as error:
            if self._failing_since is None:
                self._failing_since = self._clock()
                log.warning("identity.watch_failed", error=str(error))
            return None
        self._failing_since = None
        return found

    def _sentence_without_store(self, principal: Principal, now: float) -> str | None:
        if principal.expires_at is not None and now >= principal.expires_at:
            return EXPIRED
        is_stale = self._failing_since is not None and now - self._failing_since >= STALE_SECONDS_MAX
        return UNKNOWN if is_stale and principal.method == METHOD else None

    def _forget(self, ticket: int) -> None:
        self._watched.pop(ticket, None)
