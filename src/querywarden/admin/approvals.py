"""Approvals as approvers and requesters see them: list, show, approve, deny, follow. Who may do what is decided here, not at the door.

Whoever may not see a request gets the answer of an unknown id. Nothing has changed when a problem is raised.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from querywarden.admin.problems import Problem, ProblemCode
from querywarden.admin.request_rights import is_administrator, is_requester, may_see, require_vote, why_no_vote
from querywarden.admin.request_views import RequestDetails, RequestSummary, details_of, summary_of
from querywarden.approval.reason import clean_reason
from querywarden.approval.request import ApprovalRequest, RequestKind, RequestState, Vote, party_of
from querywarden.approval.request_id import parse_request_id
from querywarden.model.principal import Principal
from querywarden.policy.language import Policy

LIST_MAX = 500
LOOKED_AT_MAX = 500
"""Requests that a list is chosen from."""
FRESH_SECONDS = 0.8
SIMILAR_MAX = 5
USES_MAX = 1_000
VALID_SECONDS_MAX = 30 * 86_400
"""Of an approval: then the requester asks again."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an approver states with a yes: how often, for how long (None: the request's own time), and whether for others too."""

    note: str = ""
    uses: int = 1
    valid_seconds: int | None = None
    is_standing: bool = False


class RequestStore(Protocol):
    """Where requests are kept. Blocks; raises DependencyFailure when it doesn't answer."""

    def request(self, request_id: str) -> ApprovalRequest | None:
        """A request by its id."""

    def requests(self, request_ids: Collection[str]) -> Mapping[str, ApprovalRequest]:
        """The requests of several ids, by id."""

    def list_requests(self, state: RequestState | None = None, limit: int = 100) -> Iterable[ApprovalRequest]:
        """Requests without the texts of their statements, the newest first."""

    def similar(self, request: ApprovalRequest, limit: int) -> Iterable[ApprovalRequest]:
        """Earlier requests of the same shape without texts, the newest first."""


class Calls(Protocol):
    """Who makes blocking calls in threads."""

    async def run(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Make a call. Raises: DependencyFailure, and what the call raises."""


class VoteCaster(Protocol):
    """Who counts votes, has them recorded and tells whoever waits."""

    async def cast(self, request: ApprovalRequest, vote: Vote, verdict: Verdict) -> ApprovalRequest:
        """Cast a vote. Returns: the request as it is now. Raises: Problem when it came too late, DependencyFailure."""

    async def finish(self, request: ApprovalRequest) -> ApprovalRequest:
        """Grant the access that was agreed to but not granted, since the store failed in between. Raises: Problem, DependencyFailure."""


@dataclass(frozen=True, slots=True)
class ApprovalParts:
    """What the use cases of approvals work on."""

    store: RequestStore
    calls: Calls
    ballot: VoteCaster
    policy: Callable[[], Policy]
    clock: Callable[[], float]
    administrators: tuple[str, ...] = ()


class Approvals:
    """The use cases of approvals, each for a verified caller."""

    def __init__(self, parts: ApprovalParts) -> None:
        self._parts = parts
        self._pending = PendingRequests(parts)

    async def list_requests(self, caller: Principal, state: RequestState | None, limit: int) -> list[RequestSummary]:
        """The requests that the caller may see, the newest first. Raises: DependencyFailure."""
        parts = self._parts
        found = await parts.calls.run(parts.store.list_requests, state, LOOKED_AT_MAX)
        visible = [each for each in found if may_see(each, caller, parts.administrators)]
        return [summary_of(each) for each in visible[: min(limit, LIST_MAX)]]

    async def show(self, caller: Principal, request_id: str) -> RequestDetails:
        """All of a request. Raises: Problem, DependencyFailure."""
        parts = self._parts
        request = await self._seen(caller, request_id)
        similar: Iterable[ApprovalRequest] = ()
        if not is_requester(request, caller) or is_administrator(caller, parts.administrators):
            # What others asked for is shown to who decides, not to who asks.
            similar = await parts.calls.run(parts.store.similar, request, SIMILAR_MAX)
        no_vote = why_no_vote(request, caller, parts.policy(), parts.clock())
        sentence = None if no_vote is None else no_vote[1]
        return await parts.calls.run(details_of, request, list(similar), sentence)

    async def approve(self, caller: Principal, request_id: str, verdict: Verdict) -> RequestSummary:
        """Say yes. Raises: Problem, DependencyFailure."""
        if not 1 <= verdict.uses <= USES_MAX:
            raise Problem(ProblemCode.INVALID, f"An approval has 1 to {USES_MAX} uses.")
        if verdict.valid_seconds is not None and not 1 <= verdict.valid_seconds <= VALID_SECONDS_MAX:
            raise Problem(ProblemCode.INVALID, f"An approval is valid for {VALID_SECONDS_MAX // 86_400} days at most.")
        if verdict.is_standing and verdict.valid_seconds is None:
            raise Problem(ProblemCode.INVALID, "A standing approval needs to say for how long.")
        request = await self._seen(caller, request_id)
        if request.kind is RequestKind.ACCESS and verdict != Verdict(verdict.note):
            raise Problem(ProblemCode.INVALID, "Access ends when its request says; uses, a time or standing can't be given with it.")
        if _is_half_done(request, caller):
            return summary_of(await self._parts.ballot.finish(request))
        return await self._vote(caller, request, True, verdict)

    async def deny(self, caller: Principal, request_id: str, note: str) -> RequestSummary:
        """Say no, which is final. Raises: Problem, DependencyFailure."""
        return await self._vote(caller, await self._seen(caller, request_id), False, Verdict(note))

    def follow(self, caller: Principal) -> Follower:
        """Follow what the caller may see."""
        return Follower(self._parts, self._pending, caller)

    async def _vote(self, caller: Principal, request: ApprovalRequest, approves: bool, verdict: Verdict) -> RequestSummary:
        parts = self._parts
        now = parts.clock()
        require_vote(request, caller, parts.policy(), now)
        note = clean_reason(verdict.note) or ""
        vote = Vote(party_of(caller), approves, int(now), note)
        try:
            return summary_of(await parts.ballot.cast(request, vote, replace(verdict, note=note)))
        finally:
            self._pending.forget()

    async def _seen(self, caller: Principal, request_id: str) -> ApprovalRequest:
        """A request that the caller may see. Raises: Problem, alike for one that isn't there."""
        parsed = parse_request_id(request_id)
        request = None if parsed is None else await self._parts.calls.run(self._parts.store.request, parsed)
        if request is None or not may_see(request, caller, self._parts.administrators):
            raise Problem(ProblemCode.UNKNOWN_REQUEST, "There is no request with this id.")
        return request


def _is_half_done(request: ApprovalRequest, caller: Principal) -> bool:
    """Whether the caller has agreed to access that was approved and not granted, since the store failed in between."""
    return (
        request.kind is RequestKind.ACCESS
        and request.state is RequestState.APPROVED
        and any(vote.approves and vote.approver.identities == party_of(caller).identities for vote in request.votes)
    )


class PendingRequests:
    """The pending requests, read once a second for all who follow them."""

    def __init__(self, parts: ApprovalParts, ticks: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._ticks = ticks
        self._lock = asyncio.Lock()
        self._found: list[ApprovalRequest] = []
        self._good_until = float("-inf")

    async def look(self) -> list[ApprovalRequest]:
        """The pending requests, at most `FRESH_SECONDS` old. Raises: DependencyFailure."""
        async with self._lock:
            if self._ticks() >= self._good_until:
                self._found = list(await self._parts.calls.run(self._parts.store.list_requests, RequestState.PENDING, LOOKED_AT_MAX))
                self._good_until = self._ticks() + FRESH_SECONDS
            return self._found

    def forget(self) -> None:
        """Something has changed: the next look reads anew."""
        self._good_until = float("-inf")


class Follower:
    """What has changed, since the last look, among the requests that one caller may see."""

    def __init__(self, parts: ApprovalParts, shared: PendingRequests, caller: Principal) -> None:
        self._parts = parts
        self._shared = shared
        self._caller = caller
        self._pending: dict[str, int] = {}

    async def changes(self) -> list[tuple[str, RequestSummary]]:
        """Names of events (`requested`, `voted`, `settled`) with their requests, the oldest first. Raises: DependencyFailure."""
        parts = self._parts
        found = await self._shared.look()
        pending = {each.id: each for each in found if may_see(each, self._caller, parts.administrators)}
        gone = [request_id for request_id in self._pending if request_id not in pending]
        settled = await parts.calls.run(parts.store.requests, gone) if gone else {}
        changes = [("settled", summary_of(each)) for each in settled.values()]
        for each in sorted(pending.values(), key=lambda request: (request.created_at, request.id)):
            votes = self._pending.get(each.id)
            if votes is None:
                changes.append(("requested", summary_of(each)))
            elif votes != len(each.votes):
                changes.append(("voted", summary_of(each)))
        self._pending = {each.id: len(each.votes) for each in pending.values()}
        return changes
