"""The key sets of issuers, fetched and kept fresh: the only place that asks an identity provider for anything.

A key set is fetched when it is first needed and then in the background, before it grows stale, by a task that belongs to no login:
a client that goes away can't cancel it. A token with an unknown key id (the provider has rotated its keys) causes one fetch, at a
bounded rate, since anyone can send such a token. While the provider doesn't answer the old keys serve on, up to a hard age.

Spec: OpenID Connect Discovery 1.0 §4, RFC 8414 §3, RFC 7517 §5, RFC 9111 §5.2.2 (max-age).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from querywarden.errors import DependencyFailure
from querywarden.identity.keyset import KeySet, KeySetError, parse_keyset
from querywarden.runtime.issuer_http import Fetch, IssuerSource, discover, http_fetch

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RefreshTimes:
    """How often and how long, in seconds."""

    unknown_key_interval: float = 30.0
    """Between fetches that an unknown key id causes, per issuer."""
    retry_min: float = 1.0
    """After the first failure; doubled with each further one, up to `retry_max`."""
    retry_max: float = 30.0
    fresh_default: float = 900.0
    """For a key set that is sent without max-age."""
    fresh_min: float = 60.0
    fresh_max: float = 6 * 3600.0
    """A key that the provider has withdrawn is believed no longer than this while the provider answers."""
    stale_max: float = 24 * 3600.0
    """The hard age: older keys are not used, whatever the reason."""
    renewal: float = 0.8
    """The part of its freshness after which a key set is renewed in the background."""


@dataclass(slots=True)
class _IssuerState:
    source: IssuerSource
    keyset: KeySet | None = None
    fetched_at: float = 0.0
    renew_at: float = 0.0
    attempted_at: float | None = None
    failures: int = 0
    jwks_uri: str | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class KeySetRefresher:
    """The key sets of all configured issuers. Use it inside one event loop; `start` and `stop` bracket the background renewal."""

    def __init__(
        self,
        sources: Iterable[IssuerSource],
        *,
        fetch: Fetch = http_fetch,
        clock: Callable[[], float] = time.monotonic,
        times: RefreshTimes | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._states: Mapping[str, _IssuerState] = {source.issuer: _IssuerState(source) for source in sources}
        self._fetch = fetch
        self._clock = clock
        self._times = times or RefreshTimes()
        self._jitter = jitter
        self._background: asyncio.Task[None] | None = None

    async def keyset(self, issuer: str, kid: str | None) -> KeySet:
        """The key set of an issuer, asked for again when it doesn't have this key id and the rate allows it.

        The set may still lack the key: then the token is to be rejected. Raises DependencyFailure when there are no keys that
        may still be used.
        """
        state = self._states.get(issuer)
        if state is None:
            raise DependencyFailure("the issuer is not configured")
        keyset = self._usable(state)
        if keyset is not None and (kid is None or keyset.has(kid)):
            return keyset
        if state.task is not None or self._may_ask(state, has_keys=keyset is not None):
            # Shielded: the fetch serves everyone who waits, so no client's leaving may cancel it.
            await asyncio.shield(self._refreshing(state))
            keyset = self._usable(state)
        if keyset is None:
            raise DependencyFailure("the keys of the issuer are not available")
        return keyset

    async def renew_due(self) -> float:
        """Renew every key set whose time has come; gives the seconds until the next one is due."""
        now = self._clock()
        due = [state for state in self._states.values() if self._due_at(state) <= now]
        if due:
            await asyncio.gather(*(self._refreshing(state) for state in due))
        now = self._clock()
        return max(0.5, min((self._due_at(state) - now for state in self._states.values()), default=self._times.fresh_max))

    async def start(self) -> None:
        """Start the background renewal, which also fetches all key sets for the first time."""
        if self._background is None:
            self._background = asyncio.create_task(self._renew_forever(), name="keyset-refresh")

    async def stop(self) -> None:
        """Stop the background renewal and every fetch."""
        tasks = [self._background, *(state.task for state in self._states.values())]
        self._background = None
        for task in tasks:
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _renew_forever(self) -> None:
        while True:  # noqa: ASYNC110 - it waits for a time, not for a state
            await asyncio.sleep(await self.renew_due())

    def _usable(self, state: _IssuerState) -> KeySet | None:
        if state.keyset is None or self._clock() - state.fetched_at > self._times.stale_max:
            return None
        return state.keyset

    def _may_ask(self, state: _IssuerState, *, has_keys: bool) -> bool:
        """Whether a login may cause a fetch now. With keys at hand it is an unknown key id; without, every login waits for it."""
        if state.attempted_at is None:
            return True
        interval = self._times.unknown_key_interval if has_keys else self._retry_seconds(state)
        return self._clock() - state.attempted_at >= interval

    def _retry_seconds(self, state: _IssuerState) -> float:
        return float(min(self._times.retry_max, self._times.retry_min * 2 ** min(max(state.failures - 1, 0), 10)))

    def _due_at(self, state: _IssuerState) -> float:
        if state.attempted_at is None:
            return self._clock()
        if state.failures:
            return state.attempted_at + self._retry_seconds(state)
        return state.renew_at

    def _refreshing(self, state: _IssuerState) -> asyncio.Task[None]:
        """The fetch under way for an issuer, begun when there is none: single flight."""
        if state.task is None:
            state.attempted_at = self._clock()
            state.task = asyncio.create_task(self._refresh(state), name="keyset-fetch")
            state.task.add_done_callback(lambda _: setattr(state, "task", None))
        return state.task

    async def _refresh(self, state: _IssuerState) -> None:
        """Fetch the key set once; a failure is counted and logged, the old keys stay."""
        issuer = state.source.issuer
        try:
            if state.jwks_uri is None or state.failures:
                state.jwks_uri = await discover(state.source, self._fetch)
            document, max_age = await self._fetch(state.jwks_uri, state.source.ca)
            keyset = parse_keyset(document)
        except Exception as error:
            # Whatever it is, it may end neither the renewal of the other issuers nor a login with keys that are still good.
            state.failures += 1
            has_keys = state.keyset is not None
            log.warning("identity.keys_failed", issuer=issuer, failures=state.failures, error=_public(error), has_keys=has_keys)
            return
        now = self._clock()
        fresh = min(max(self._times.fresh_default if max_age is None else max_age, self._times.fresh_min), self._times.fresh_max)
        # Up to a tenth earlier, so that many proxies don't ask at the same moment.
        state.renew_at = now + fresh * self._times.renewal * (1 - 0.1 * self._jitter())
        state.keyset, state.fetched_at, state.failures = keyset, now, 0
        log.info("identity.keys_fetched", issuer=issuer, keys=len(keyset.keys))


def _public(error: Exception) -> str:
    """What may be logged of a failure: our own sentences, and of others the kind alone."""
    return str(error) if isinstance(error, DependencyFailure | KeySetError) else type(error).__name__
