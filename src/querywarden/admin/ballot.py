"""The ballot: a vote is counted in the control store, recorded, and told to whoever waits for it.

The store decides which of several votes settles a request, so each settlement is told once. Access that was agreed to is granted in the
same call; where that fails in between, approving again finishes it, or the approval expires unused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from querywarden.admin.access import grant_of
from querywarden.admin.approvals import Calls, Verdict
from querywarden.admin.problems import Problem, ProblemCode
from querywarden.admin.request_rights import code_of
from querywarden.approval.quorum import Present
from querywarden.approval.request import ApprovalRequest, Party, RequestKind, RequestState, Vote
from querywarden.errors import DependencyFailure
from querywarden.model.decision import ApprovalTerms
from querywarden.storage.control_store import AccessGrant, UnknownRequest, VoteRefused

NOT_RECORDED = "the vote counts, but it can't be written to the audit log, and nothing is released until it can"


class VoteStore(Protocol):
    """Where votes are counted. Blocks; raises DependencyFailure when it doesn't answer."""

    def request(self, request_id: str) -> ApprovalRequest | None:
        """A request by its id."""

    def vote(
        self,
        request_id: str,
        vote: Vote,
        now: float,
        present: Present,
        uses: int,
        valid_seconds: int | None,
        is_standing: bool,
    ) -> ApprovalRequest:
        """Count a vote. Raises: UnknownRequest, VoteRefused."""

    def grant(self, grant: AccessGrant, now: float) -> bool:
        """Grant what an approved request asks for, once."""


class PresentApprovers(Protocol):
    """Who knows whether approvers may still agree."""

    def check(self, requester: Party, terms: ApprovalTerms) -> Present:
        """Who the approver of a vote is now, if it may still agree; may block."""


class VoteNews(Protocol):
    """Who writes the records of votes and tells webhooks."""

    async def voted(self, request: ApprovalRequest, vote: Vote) -> bool:
        """A vote was counted, and the request is as it is now; whether the record is on disk."""

    async def access_granted(self, request: ApprovalRequest, grant: AccessGrant) -> bool:
        """Access was granted; whether the record is on disk."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """Casts votes. `changed` hears of each request that was voted on, so that a session that waits here goes on at once."""

    store: VoteStore
    calls: Calls
    approvers: PresentApprovers
    news: VoteNews
    changed: Callable[[Iterable[ApprovalRequest]], None]
    clock: Callable[[], float]

    async def cast(self, request: ApprovalRequest, vote: Vote, verdict: Verdict) -> ApprovalRequest:
        """Cast a vote. Returns: the request as it is now. Raises: Problem when it came too late, DependencyFailure."""
        try:
            voted = await self.calls.run(self._count, request, vote, verdict)
        except UnknownRequest:
            raise Problem(ProblemCode.UNKNOWN_REQUEST, "There is no request with this id.") from None
        except VoteRefused as refused:
            now_ = await self.calls.run(self.store.request, request.id)
            raise Problem(code_of(now_ or request, vote.approver, self.clock()), str(refused)) from None
        # Recorded as what the vote has made of it, and before anything follows from it.
        is_recorded = await self.news.voted(voted, vote)
        self.changed([voted])
        if not is_recorded:
            raise DependencyFailure(NOT_RECORDED)
        is_access_agreed = voted.kind is RequestKind.ACCESS and voted.state is RequestState.APPROVED
        return await self.finish(voted) if is_access_agreed else voted

    async def finish(self, request: ApprovalRequest) -> ApprovalRequest:
        """Grant the access that was agreed to. Returns: the request, used up. Raises: Problem, DependencyFailure."""
        now = self.clock()
        grant = grant_of(request, now)
        if not await self.calls.run(self.store.grant, grant, now):
            raise Problem(ProblemCode.EXPIRED, "The approval has expired before the access could be granted.")
        if not await self.news.access_granted(request, grant):
            raise DependencyFailure(NOT_RECORDED)
        return await self.calls.run(self.store.request, request.id) or request

    def _count(self, request: ApprovalRequest, vote: Vote, verdict: Verdict) -> ApprovalRequest:
        """Count a vote in the store; in a thread."""
        present = self.approvers.check(request.requester, request.terms)
        for each in request.votes:
            # Looked up before the transaction, which is to be short.
            present(each)
        return self.store.vote(request.id, vote, self.clock(), present, verdict.uses, verdict.valid_seconds, verdict.is_standing)
