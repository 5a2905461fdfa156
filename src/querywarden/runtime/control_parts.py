"""The parts around the control store: the desk, presence, budgets, webhooks and the watch, made and started together."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from querywarden.config.models import Config
from querywarden.errors import DependencyFailure
from querywarden.model.resource import Database
from querywarden.runtime.approval_news import ApprovalNews, Gauges
from querywarden.runtime.approvals_desk import ApprovalsDesk
from querywarden.runtime.approvers import Approvers
from querywarden.runtime.budgets import Budgets, BudgetsOf, remembered
from querywarden.runtime.control_watch import ControlWatch
from querywarden.runtime.known_access import KnownAccess
from querywarden.runtime.presence import Authorise, SessionPresence, SessionsMax
from querywarden.runtime.services import Journal
from querywarden.runtime.store_calls import StoreCalls
from querywarden.runtime.webhooks import Webhooks
from querywarden.storage.control_store import ControlStore


@dataclass(frozen=True, slots=True)
class ControlPolicy:
    """What the policy in force says to these parts; `version` is an object that is another one after a change of the policy."""

    resource: Callable[[str], Database]
    authorise: Authorise
    budgets_of: BudgetsOf
    sessions_max: SessionsMax
    version: Callable[[], object]


class ControlParts:
    """The parts of one proxy around its control store, which stays the caller's to close."""

    def __init__(
        self, config: Config, store: ControlStore, instance: str, journal: Journal, metrics: Gauges, policy: ControlPolicy
    ) -> None:
        place = where_to_approve(config)
        self.calls = StoreCalls(self._store_changed)
        self.known = KnownAccess()
        self.webhooks = Webhooks(config.webhooks, store, self.calls, instance, metrics, os.urandom, place)
        self.news = ApprovalNews(journal, metrics, self.webhooks, self.known.add_grant)
        self.approvers = Approvers(store, self.known)
        self.budgets = Budgets(store, self.calls, remembered(policy.budgets_of, policy.version))
        self.desk = ApprovalsDesk(
            store, self.calls, instance, self.approvers, self.known, self.news, os.urandom, place,
            pending_max=config.approvals.pending_max,
        )  # fmt: skip
        self.presence = SessionPresence(
            store, self.calls, instance, self.known, self.budgets, self.news, policy.resource, policy.authorise, policy.sessions_max
        )
        self._watch = ControlWatch(
            store, self.calls, instance, self.desk, self.presence, self.budgets, self.news, self.webhooks, config.approvals.retention_days
        )

    async def start(self) -> None:
        """Learn what the store has to say before anybody comes in; without it, what it says stays unknown until it answers."""
        try:
            await self._watch.look()
        except DependencyFailure as failure:
            structlog.get_logger().warning("control_store.not_read", detail=str(failure))

    async def run(self) -> None:
        """Do what is to be done all the time; cancel the task to stop."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run())
            group.create_task(self.webhooks.run())

    async def stop(self) -> None:
        """Tell the store what it has to know, within bounds. Sessions have ended before; the log still takes records."""
        await self._watch.stop()
        self.calls.close()

    def _store_changed(self, is_answering: bool, cause: str) -> None:
        log = structlog.get_logger()
        if is_answering:
            log.info("control_store.answers")
        else:
            log.error("control_store.unavailable", cause=cause)
        self.news.store_changed(is_answering, cause)


def instance_of(origin: str) -> str:
    """The name of a proxy in the store, by that of its log: one proxy at a time writes to a log, so it is this one's alone.

    It stays the same over restarts, so that a proxy that was killed clears away what it has left as soon as it is back.
    """
    return hashlib.sha256(origin.encode()).hexdigest()[:32]


def where_to_approve(config: Config) -> Callable[[str], str]:
    """Where a request can be approved, as people are told it."""
    url = config.api.url

    def where(number: str) -> str:
        command = f"querywarden approvals show {number}"
        return command if url is None else f"{command} --url {url}"

    return where
