"""The watch over the control store: what others have done there is seen within half a second, and what is due is done each second.

One short read serves all sessions. When the store doesn't answer, what was known goes on holding, and what ends by the clock ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from querywarden.errors import DependencyFailure
from querywarden.runtime.approval_news import ApprovalNews
from querywarden.runtime.approvals_desk import ApprovalsDesk
from querywarden.runtime.budgets import Budgets
from querywarden.runtime.presence import SessionPresence
from querywarden.runtime.store_calls import StoreCalls
from querywarden.runtime.webhooks import Webhooks
from querywarden.storage.control_store import ControlStore

POLL_SECONDS = 0.4
TEND_SECONDS = 1.0
BEAT_SECONDS = 5.0
CLEAN_SECONDS = 3600.0
DAY_SECONDS = 86_400
SIGHTING_DAYS = 400
USAGE_DAYS = 3

log = structlog.get_logger(__name__)


class ControlWatch:
    """Watches the control store for one proxy. `retention_days` is how long settled requests are kept."""

    def __init__(
        self,
        store: ControlStore,
        calls: StoreCalls,
        instance: str,
        desk: ApprovalsDesk,
        presence: SessionPresence,
        budgets: Budgets,
        news: ApprovalNews,
        webhooks: Webhooks,
        retention_days: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._calls = calls
        self._instance = instance
        self._desk = desk
        self._presence = presence
        self._budgets = budgets
        self._news = news
        self._webhooks = webhooks
        self._retention_days = retention_days
        self._clock = clock
        self._beat_at = 0.0
        self._cleaned_at = 0.0

    async def look(self) -> None:
        """Look once at what others have done. Raises: DependencyFailure; what ends by the clock has been looked at all the same."""
        try:
            await self._desk.begin()
            poll = await self._calls.run(self._store.poll, self._instance, self._clock(), self._desk.waiting_ids)
        except DependencyFailure:
            self._presence.review()
            raise
        self._presence.take(poll)
        await self._desk.take(poll.changes)
        if poll.has_block_changes:
            for change in await self._calls.run(self._store.block_changes, self._clock()):
                self._news.block_changed(change)

    async def tend(self) -> None:
        """Do what is due: tell the store of sessions and budgets, expire requests, record what has ended. Raises: DependencyFailure."""
        await self._desk.begin()
        now = self._clock()
        if now - self._beat_at >= BEAT_SECONDS:
            if not await self._calls.run(self._store.beat, self._instance, now):
                self._presence.register_again()
            self._beat_at = now
        await self._presence.flush()
        await self._budgets.flush()
        await self._desk.sweep()
        for grant in await self._calls.run(self._store.ended_grants, self._clock()):
            self._news.access_ended(grant)
        if now - self._cleaned_at >= CLEAN_SECONDS:
            await self._clean(now)
            self._cleaned_at = now

    async def run(self) -> None:
        """Look and tend again and again; cancel the task to stop."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(POLL_SECONDS, self.look))
            group.create_task(self._repeat(TEND_SECONDS, self.tend))

    async def stop(self, seconds_max: float = 5.0) -> None:
        """Write what is left to be written, and say that this proxy is gone."""
        await self._desk.close(seconds_max)
        try:
            async with asyncio.timeout(seconds_max):
                await self._budgets.flush()
                await self._webhooks.flush()
                if self._desk.has_begun:
                    for request in await self._calls.run(self._store.release_instance, self._instance, self._clock()):
                        self._news.withdrawn(request, "draining")
                    await self._webhooks.flush()
        except (TimeoutError, DependencyFailure):
            log.warning("control_store.not_told", instance=self._instance)

    async def _clean(self, now: float) -> None:
        """Delete what is kept no longer."""
        store, run = self._store, self._calls.run
        await run(store.delete_settled, now - self._retention_days * DAY_SECONDS)
        await run(store.delete_usage, now - USAGE_DAYS * DAY_SECONDS)
        await run(store.delete_sightings, now - SIGHTING_DAYS * DAY_SECONDS)
        await run(store.delete_deliveries, now - self._retention_days * DAY_SECONDS)
        await run(store.forget_silent_instances, now)

    async def _repeat(self, seconds: float, work: Callable[[], object]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()  # type: ignore[misc]
            except DependencyFailure:
                pass  # Told by the calls, once per outage.
            except Exception as error:
                log.error("control_watch.broken", work=work.__name__, exc_info=error)
