"""News of approvals: each goes to the audit log, to the metrics and to the webhooks, from one place.

Records of what others rely on are on disk before it goes on: that somebody was asked, and what they said. The rest follows what the
store has settled already, and is written behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from querywarden.approval.request import ApprovalRequest, HeldStatement, RequestState, Vote, party_of
from querywarden.audit import approval_records as records
from querywarden.audit import session_records
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.runtime.services import Journal, Measures
from querywarden.session.effects import Durability
from querywarden.storage.control_store import AccessGrant, BlockChange, Kill


class Gauges(Measures, Protocol):
    """Who counts, and knows how many wait."""

    def waiting_holds(self, count: int) -> None:
        """So many held statements wait for approvers."""

    def store_health(self, is_answering: bool) -> None:
        """Whether the control store answers."""


class Teller(Protocol):
    """Who tells the configured addresses."""

    def tell(self, event: str, request: ApprovalRequest) -> None:
        """Tell of an event of a request; returns at once."""


class ApprovalNews:
    """Tells of approvals, access, kills and blocks. Literals of statements come into none of it.

    `on_grant` hears of access that was granted by way of this proxy, so that it holds here at once.
    """

    def __init__(self, journal: Journal, metrics: Gauges, webhooks: Teller, on_grant: Callable[[AccessGrant], None]) -> None:
        self._on_grant = on_grant
        self._journal = journal
        self._metrics = metrics
        self._webhooks = webhooks

    # Requests.

    async def requested(self, request: ApprovalRequest) -> bool:
        """Approvers are asked; whether that is on disk. Nobody is told of what isn't."""
        if not await self._recorded(records.APPROVAL_REQUESTED, records.requested(request)):
            return False
        self._told(records.APPROVAL_REQUESTED, request)
        return True

    def reopened(self, request: ApprovalRequest) -> None:
        """Who has approved may not any more: others are asked again."""
        self._webhooks.tell(records.APPROVAL_REQUESTED, request)

    async def voted(self, request: ApprovalRequest, vote: Vote) -> bool:
        """A vote was counted, and `request` is as it is since; whether that, and what the vote has settled, is on disk."""
        is_recorded = await self._recorded(records.APPROVAL_VOTED, records.voted(request, vote))
        if request.state is RequestState.DENIED:
            is_recorded = await self._recorded(records.APPROVAL_DENIED, records.denied(request)) and is_recorded
            self._told(records.APPROVAL_DENIED, request)
        elif request.state in (RequestState.APPROVED, RequestState.CONSUMED):
            is_recorded = await self._recorded(records.APPROVAL_GRANTED, records.granted(request)) and is_recorded
            self._told(records.APPROVAL_GRANTED, request)
        return is_recorded

    def expired(self, request: ApprovalRequest) -> None:
        """Nobody has answered in time, or an approval's time is over."""
        self._append(records.APPROVAL_EXPIRED, records.expired(request))
        self._told(records.APPROVAL_EXPIRED, request)

    def withdrawn(self, request: ApprovalRequest, cause: str) -> None:
        """Nobody waits for it any more."""
        self._append(records.APPROVAL_WITHDRAWN, records.withdrawn(request, cause))
        self._told(records.APPROVAL_WITHDRAWN, request)

    def used(self, request: ApprovalRequest, held: HeldStatement, *, is_standing: bool) -> None:
        """An approval was used for a statement; `request` is as it was before."""
        user = party_of(held.principal)
        after = request if is_standing else replace(request, uses_left=max(0, request.uses_left - 1))
        is_other = user.identities != request.requester.identities
        self._append(records.APPROVAL_USED, records.used(after, held.audit_id, user if is_other else None, is_standing=is_standing))
        self._told(records.APPROVAL_USED, after)

    def counted(self, outcome: str) -> None:
        """Something has become of a request that isn't news elsewhere."""
        self._metrics.observe("approvals", (outcome,), 1)

    def waiting(self, count: int) -> None:
        """So many sessions wait now."""
        self._metrics.waiting_holds(count)

    # Access, sessions, principals, the store.

    async def access_granted(self, request: ApprovalRequest, grant: AccessGrant) -> bool:
        """A principal has the access for a time that it has asked for; whether that is on disk."""
        is_recorded = await self._recorded(records.ACCESS_GRANTED, records.access_granted(grant))
        self._told(records.APPROVAL_USED, request)
        self._on_grant(grant)
        return is_recorded

    def access_ended(self, grant: AccessGrant) -> None:
        """Its time is over, or somebody has ended it."""
        self._append(records.ACCESS_ENDED, records.access_ended(grant))

    def session_killed(self, kill: Kill, principal: Principal, database: Database) -> None:
        """An operator has ended a session."""
        self.killed("session")
        body = session_records.session_killed(principal, database, session_id=kill.session_id, by=kill.by, reason=kill.reason)
        self._append(session_records.SESSION_KILLED, body)

    def killed(self, cause: str) -> None:
        """A session was ended at once."""
        self._metrics.observe("kills", (cause,), 1)

    def block_changed(self, change: BlockChange) -> None:
        """A principal was blocked, or let in again."""
        block = change.block
        if change.is_lifted:
            by = block.lifted_by or ""
            self._append(session_records.PRINCIPAL_UNBLOCKED, session_records.principal_unblocked(block.subject, block.issuer, by=by))
        else:
            body = session_records.principal_blocked(block.subject, block.issuer, by=block.by, reason=block.reason, until=block.until)
            self._append(session_records.PRINCIPAL_BLOCKED, body)

    def store_changed(self, is_answering: bool, cause: str) -> None:
        """The control store has stopped answering, or answers again."""
        self._metrics.store_health(is_answering)
        if not is_answering:
            self._append(records.APPROVALS_UNAVAILABLE, records.unavailable(cause))

    def _told(self, event: str, request: ApprovalRequest) -> None:
        self._metrics.observe("approvals", (event.removeprefix("approval."),), 1)
        self._webhooks.tell(event, request)

    def _append(self, kind: str, body: Mapping[str, Any]) -> None:
        self._journal.append(kind, body, Durability.DURABLE, None)

    async def _recorded(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Append a record and wait until it is on disk; whether it is."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def settled(is_safe: bool) -> None:
            if not done.done():
                done.set_result(is_safe)

        self._journal.append(kind, body, Durability.DURABLE, settled)
        return await done
