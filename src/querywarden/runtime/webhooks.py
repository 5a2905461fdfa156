"""Webhooks: the outbox of the control store, delivered to the configured addresses, again and again until they take it or a day is over.

Nothing waits for a delivery. Redirects aren't followed, answers aren't read, and an address is told by its host alone, since its path may
be a secret. Several proxies share the outbox: each claims what it delivers, so that one address hears of an event once as a rule.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import structlog

from querywarden.approval.request import ApprovalRequest
from querywarden.config.approval_settings import WebhookFormat, WebhookSettings
from querywarden.config.setting_kinds import is_loopback
from querywarden.errors import DependencyFailure
from querywarden.runtime.services import Measures
from querywarden.runtime.store_calls import StoreCalls
from querywarden.runtime.webhook_payload import event_data, json_body, signature, slack_body
from querywarden.storage.outbox import Delivery

ANSWER_SECONDS_MAX = 10.0
RETRY_SECONDS_MIN = 5.0
RETRY_SECONDS_MAX = 3600.0
DELIVERY_SECONDS_MAX = 86_400
"""Then an event is given up: it is news no longer."""
LEASE_SECONDS = 60
"""For the deliveries of one round; longer than any of them takes."""
CLAIMED_MAX = 20
WAITING_MAX = 10_000
"""Events that wait in memory for a control store that doesn't answer."""
ROUND_SECONDS = 5.0
"""How often the outbox is looked at without being told of anything: for retries, and for what other proxies left."""

log = structlog.get_logger(__name__)


class OutboxStore(Protocol):
    """The outbox; blocks, and raises DependencyFailure when the store doesn't answer."""

    def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """Keep deliveries until they are made."""

    def due(self, now: float, limit: int, claimant: str, lease_seconds: float, targets: Sequence[str]) -> Sequence[Delivery]:
        """Claim deliveries whose time has come, of these targets."""

    def delivered(self, delivery_id: str) -> None:
        """A delivery was made."""

    def failed(self, delivery_id: str, next_at: float) -> None:
        """A delivery has failed and is due again at that time."""

    def dead(self, delivery_id: str) -> None:
        """A delivery is given up."""


class Hook:
    """One configured address. `target` names it in the outbox without showing it."""

    def __init__(self, settings: WebhookSettings) -> None:
        self.settings = settings
        self.target = hashlib.sha256(f"{settings.format.value} {settings.url}".encode()).hexdigest()[:32]
        self.host = urlsplit(settings.url).hostname or ""
        self._secret = None if settings.secret is None else settings.secret.get_secret_value()

    def request(self, delivery: Delivery, timestamp: int) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of an attempt."""
        is_slack = self.settings.format is WebhookFormat.SLACK
        body = slack_body(delivery.body) if is_slack else json_body(delivery.body)
        headers = {
            "content-type": "application/json",
            "user-agent": "querywarden",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
        }
        if self._secret is not None:
            headers["webhook-signature"] = signature(self._secret, delivery.id, timestamp, body)
        return body, headers


class Webhooks:
    """Tells the configured addresses of approvals. `where` says, for a request, how to approve it."""

    def __init__(
        self,
        settings: Sequence[WebhookSettings],
        store: OutboxStore,
        calls: StoreCalls,
        instance: str,
        metrics: Measures,
        draw: Callable[[int], bytes],
        where: Callable[[str], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hooks = {hook.target: hook for hook in map(Hook, settings)}
        self._store = store
        self._calls = calls
        self._instance = instance
        self._metrics = metrics
        self._draw = draw
        self._where = where
        self._clock = clock
        self._waiting: list[Delivery] = []
        self._awake = asyncio.Event()

    def tell(self, event: str, request: ApprovalRequest) -> None:
        """Tell of an event of a request; returns at once."""
        now = self._clock()
        data: Mapping[str, Any] | None = None
        for hook in self._hooks.values():
            if event not in [each.value for each in hook.settings.events]:
                continue
            if len(self._waiting) >= WAITING_MAX:
                self._metrics.observe("webhooks", ("dropped",), 1)
                log.error("webhook.dropped", event_told=event, request=request.id)
                continue
            data = data or event_data(event, request, now, self._where(request.id))
            self._waiting.append(Delivery(f"msg_{self._draw(16).hex()}", hook.target, event, data, int(now)))
        if data is not None:
            self._awake.set()

    async def run(self) -> None:
        """Deliver again and again; cancel the task to stop. Does nothing where no address is configured."""
        while self._hooks:
            try:
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._awake.wait()
            except TimeoutError:
                pass
            self._awake.clear()
            try:
                await self.flush()
                while await self.deliver() == CLAIMED_MAX:
                    pass
            except DependencyFailure:
                pass  # Told by the calls; what waits goes on waiting.
            except Exception as error:
                log.error("webhook.broken", error=type(error).__name__)

    async def flush(self) -> None:
        """Put into the outbox what waits in memory. Raises: DependencyFailure; nothing is lost then."""
        waiting = list(self._waiting)
        if waiting:
            await self._calls.run(self._store.enqueue, waiting)
            del self._waiting[: len(waiting)]

    async def deliver(self) -> int:
        """Make the deliveries that are due. Returns: how many there were. Raises: DependencyFailure."""
        due = await self._calls.run(self._store.due, int(self._clock()), CLAIMED_MAX, self._instance, LEASE_SECONDS, tuple(self._hooks))
        outcomes = await asyncio.gather(*(self._attempt(delivery) for delivery in due), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                # What could not be noted is delivered once more when its lease is over, under the same id.
                raise outcome
        return len(due)

    async def _attempt(self, delivery: Delivery) -> None:
        hook = self._hooks.get(delivery.target)
        if hook is None:
            return
        status, cause = await self._post(hook, delivery)
        now = self._clock()
        if status is not None and 200 <= status < 300:
            self._metrics.observe("webhooks", ("delivered",), 1)
            await self._calls.run(self._store.delivered, delivery.id)
            return
        # 410 is the receiver's word that it will never want it.
        next_at = now + _delay(delivery.attempts)
        if status == 410 or next_at > delivery.created_at + DELIVERY_SECONDS_MAX:
            self._metrics.observe("webhooks", ("given_up",), 1)
            log.error("webhook.given_up", host=hook.host, delivery=delivery.id, attempts=delivery.attempts + 1, cause=cause)
            await self._calls.run(self._store.dead, delivery.id)
            return
        self._metrics.observe("webhooks", ("failed",), 1)
        log.warning("webhook.failed", host=hook.host, delivery=delivery.id, attempts=delivery.attempts + 1, cause=cause)
        await self._calls.run(self._store.failed, delivery.id, int(next_at) + 1)

    async def _post(self, hook: Hook, delivery: Delivery) -> tuple[int | None, str]:
        """Make one attempt. Returns: the status of the answer, if there was one, and what to log."""
        body, headers = hook.request(delivery, int(self._clock()))
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS_MAX),
                _client(hook.settings.url) as client,
                client.stream("POST", hook.settings.url, content=body, headers=headers) as response,
            ):
                return response.status_code, f"status {response.status_code}"
        except TimeoutError:
            return None, "no answer in time"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return None, type(error).__name__


def _delay(attempts: int) -> float:
    """Seconds until the next attempt, twice as many each time; spread, so that a receiver that comes back isn't flooded."""
    seconds = min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2.0 ** min(attempts, 20))
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - no secret hangs on it


def _client(url: str) -> httpx.AsyncClient:
    is_local = is_loopback(urlsplit(url).hostname or "")
    return httpx.AsyncClient(
        verify=_trust() if url.startswith("https://") else False,
        follow_redirects=False,
        timeout=ANSWER_SECONDS_MAX,
        # An HTTP proxy named in the environment serves the outside world, never this machine.
        trust_env=not is_local,
    )


@cache
def _trust() -> ssl.SSLContext:
    """The authorities that the system trusts; reading them takes a while."""
    return httpx.create_ssl_context()
