"""The approvals desk: asks approvers about held statements, and answers the sessions that wait.

Everything it knows lies in the control store, where other proxies see it too; here is only who waits. A request is settled where the
store says so: of an approval that several want to use, the one gets it whose use the store has counted. Whatever approvers have said is
looked at again before a statement is released on it: the requester, the approvers and the time may have changed since.

Nobody waits for the store: sessions hear that approvals are unavailable, and requests that wait already go on waiting until they
expire by the clock of this proxy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

import structlog

from querywarden.approval.opening import request_of
from querywarden.approval.request import ApprovalRequest, HeldStatement, RequestState, party_of
from querywarden.approval.request_id import RANDOM_BYTES, request_id
from querywarden.errors import DependencyFailure, ReasonCode
from querywarden.model.decision import WaitMode
from querywarden.runtime.approval_news import ApprovalNews
from querywarden.runtime.approvers import Approvers
from querywarden.runtime.known_access import BLOCKED, KnownAccess
from querywarden.runtime.services import ApprovalAnswer, Withdraw
from querywarden.runtime.store_calls import StoreCalls
from querywarden.runtime.withdrawals import Withdrawals
from querywarden.session.inputs import ApprovalOpened, ApprovalOutcome, ApprovalSettled, ApprovalUnavailable
from querywarden.storage.approval_store import DuplicateRequest, OpenedRequest, TooManyPending
from querywarden.storage.control_store import ControlStore

STALE_SECONDS = 30.0
"""A proxy that has said nothing for so long is gone, and nobody waits for its requests any more."""
PROXY_GONE = "proxy_gone"
UNAVAILABLE = "The control store, where approvals are kept, does not answer; try again later."
NOT_RECORDED = "The request can't be written to the audit log, so nobody was asked; try again later."
USED_ELSEWHERE = "The approval was used by another session."
_ATTEMPTS = 3
_LATE_SECONDS = 0.05
_OUTCOMES = {
    RequestState.DENIED: ApprovalOutcome.DENIED,
    RequestState.EXPIRED: ApprovalOutcome.EXPIRED,
    RequestState.WITHDRAWN: ApprovalOutcome.WITHDRAWN,
}

log = structlog.get_logger(__name__)


class Waiting:
    """One held statement at the desk: who wants it, and the request that was opened for it."""

    __slots__ = ("_is_over", "answer", "held", "is_releasing", "request", "ticket", "timer", "version", "withdrawal")

    def __init__(self, ticket: int, held: HeldStatement, answer: Callable[[ApprovalAnswer], None]) -> None:
        self.ticket = ticket
        self.held = held
        self.answer = answer
        self.request: ApprovalRequest | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.version: int | None = None
        self._is_over = False
        self.is_releasing = False
        self.withdrawal = ""

    def is_over(self) -> bool:
        """Whether the session has its last answer, or waits no longer. Ask again after every wait."""
        return self._is_over

    def finish(self) -> None:
        """It has its last answer, or waits no longer."""
        self._is_over = True


class ApprovalsDesk:
    """The desk of one proxy. `instance` is its name in the store; `where` says, for a request's id, where it can be approved.

    `pending_max` is how many requests of one principal may be pending.
    """

    def __init__(
        self,
        store: ControlStore,
        calls: StoreCalls,
        instance: str,
        approvers: Approvers,
        known: KnownAccess,
        news: ApprovalNews,
        draw: Callable[[int], bytes],
        where: Callable[[str], str],
        clock: Callable[[], float] = time.time,
        pending_max: int | None = None,
    ) -> None:
        self._store = store
        self._calls = calls
        self._instance = instance
        self._approvers = approvers
        self._known = known
        self._news = news
        self._draw = draw
        self._where = where
        self._pending_max = pending_max
        self._clock = clock
        self._open: dict[str, Waiting] = {}
        self._withdrawals = Withdrawals(store, calls, news, self._spawn, clock)
        self.has_begun = False
        self._beginning = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    # What sessions say.

    def open(self, ticket: int, held: HeldStatement, answer: Callable[[ApprovalAnswer], None]) -> Withdraw:
        """Ask for the approval of a held statement, or use one that was given; `answer` is called in later turns of the loop.

        Returns: what takes the request back, with the cause. Nothing answers any more then, and the store hears of it as soon as it can.
        """
        waiting = Waiting(ticket, held, answer)
        self._spawn(self._ask(waiting))
        return partial(self._withdraw, waiting)

    def _withdraw(self, waiting: Waiting, cause: str) -> None:
        if waiting.is_over():
            return
        waiting.withdrawal = cause
        request = waiting.request
        self._end(waiting)
        if request is not None:
            self._withdrawals.add(request, cause)

    # What the watch and the API say.

    @property
    def waiting_ids(self) -> tuple[str, ...]:
        """The ids of the requests that sessions of this proxy wait for."""
        return tuple(self._open)

    def changed(self, requests: Iterable[ApprovalRequest]) -> None:
        """Requests as the store has them now: who waits for them here is answered."""
        for request in requests:
            waiting = self._open.get(request.id)
            if waiting is not None:
                self._look(waiting, request)

    async def take(self, versions: Mapping[str, int]) -> None:
        """Look at the waiting requests whose version in the store isn't the one that was looked at. Raises: DependencyFailure."""
        changed = {number: waiting for number, waiting in self._open.items() if versions.get(number) != waiting.version}
        # What was opened after the store was asked isn't in its answer: gone is only what was there.
        changed = {number: waiting for number, waiting in changed.items() if number in versions or waiting.version is not None}
        if not changed:
            return
        found = await self._calls.run(self._store.requests, list(changed))
        for number, waiting in changed.items():
            waiting.version = versions.get(number)
            if waiting.is_over():
                continue
            if number in found:
                self._look(waiting, found[number])
            else:
                self._settle(waiting, number, ApprovalOutcome.WITHDRAWN)

    async def begin(self) -> None:
        """Say that this proxy is there, once, and clear away what an earlier run of it has left. Raises: DependencyFailure."""
        async with self._beginning:
            if self.has_begun:
                return
            now = self._clock()
            for request in await self._calls.run(self._store.release_instance, self._instance, now):
                self._news.withdrawn(request, PROXY_GONE)
            await self._calls.run(self._store.beat, self._instance, now)
            self.has_begun = True

    async def sweep(self) -> None:
        """Expire what nobody answered in time, here or elsewhere, and tell the store what it hasn't heard. Raises: DependencyFailure."""
        await self._withdrawals.flush()
        for request in await self._calls.run(self._store.expire, self._clock()):
            self._news.expired(request)
            self.changed([request])
        for request in await self._calls.run(self._store.abandoned, self._clock(), STALE_SECONDS):
            self._news.withdrawn(request, PROXY_GONE)
            self.changed([request])

    async def close(self, seconds_max: float = 5.0) -> None:
        """Finish what is under way, and withdraw what is left; sessions have ended before."""
        for waiting in list(self._open.values()):
            self._withdraw(waiting, "draining")
        try:
            async with asyncio.timeout(seconds_max):
                while self._tasks:
                    await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._withdrawals.flush()
        except (TimeoutError, DependencyFailure):
            log.warning("approvals.not_withdrawn", requests=len(self._withdrawals))
        for task in self._tasks:
            task.cancel()

    # Asking.

    async def _ask(self, waiting: Waiting) -> None:
        try:
            if not self.has_begun:
                await self.begin()
            if not await self._answered_before(waiting):
                await self._open_request(waiting)
        except DependencyFailure:
            self._unavailable(waiting, UNAVAILABLE)
        except TooManyPending as many:
            log.warning("approvals.too_many_pending", rule=waiting.held.rule, session=waiting.held.session_id)
            self._unavailable(waiting, str(many), ReasonCode.APPROVALS_PENDING)
        except Exception as error:
            log.error("approvals.broken", error=type(error).__name__, exc_info=error)
            self._unavailable(waiting, UNAVAILABLE)

    async def _answered_before(self, waiting: Waiting) -> bool:
        """Settle a held statement by what approvers have said before; whether that was possible."""
        held = waiting.held
        if self._known.is_blocked(held.principal, self._clock()):
            self._settle(waiting, "", ApprovalOutcome.DENIED, note=BLOCKED)
            return True
        requester = party_of(held.principal)
        present = self._approvers.check(requester, held.terms)
        for _ in range(_ATTEMPTS):
            usable = await self._calls.run(self._store.find_usable, held.fingerprint, self._clock(), present, held.terms)
            if usable is None or waiting.is_over():
                break
            if await self._use(waiting, usable, is_standing=False):
                return True
        if held.terms.standing is not None and not waiting.is_over():
            find = self._store.find_standing
            standing = await self._calls.run(find, held.statement_fingerprint, requester.identities, self._clock(), present)
            stands = standing is not None and await self._calls.run(self._approvers.stands, standing, requester, held.terms)
            if standing is not None and stands and not waiting.is_over() and await self._use(waiting, standing, is_standing=True):
                return True
        if held.mode is WaitMode.FAIL and not waiting.is_over():
            denied = await self._calls.run(self._store.find_denied, held.fingerprint, self._clock())
            if denied is not None:
                self._settle_as(waiting, denied)
                return True
        return waiting.is_over()

    async def _open_request(self, waiting: Waiting) -> None:
        opened = await self._opened(waiting.held)
        request = opened.request
        if waiting.is_over():
            if opened.is_new:
                self._withdrawals.add(request, waiting.withdrawal)
            return
        if opened.is_new and not await self._news.requested(request):
            self._withdrawals.add(request, "log_unavailable")
            self._unavailable(waiting, NOT_RECORDED)
            return
        if waiting.is_over():
            # It was withdrawn while its record was written.
            if opened.is_new:
                self._withdrawals.add(request, waiting.withdrawal)
            return
        where = f"Approvers see it with: {self._where(request.id)}."
        waiting.answer(ApprovalOpened(waiting.ticket, request.id, request.expires_at, where))
        if waiting.held.mode is WaitMode.FAIL:
            waiting.finish()
            return
        waiting.request = request
        self._open[request.id] = waiting
        self._news.waiting(len(self._open))
        # A little late: by then the store's clock, which counts whole seconds, says the same.
        seconds = max(0.0, request.expires_at - self._clock()) + _LATE_SECONDS
        waiting.timer = asyncio.get_running_loop().call_later(seconds, lambda: self._spawn(self._expire(waiting)))

    async def _opened(self, held: HeldStatement) -> OpenedRequest:
        for _ in range(_ATTEMPTS):
            request = request_of(held, request_id(self._draw(RANDOM_BYTES)), self._clock(), self._instance)
            try:
                # An answer after the deadline opens a request that nobody waits for.
                return await self._calls.run_or_undo(partial(self._store.open_request, request, self._pending_max), self._opened_late)
            except DuplicateRequest:
                continue
        raise DependencyFailure("no request id is free")

    def _opened_late(self, opened: OpenedRequest) -> None:
        if opened.is_new:
            self._withdrawals.add(opened.request, "store_slow")

    # Releasing.

    def _look(self, waiting: Waiting, request: ApprovalRequest) -> None:
        """Go on with a waiting statement by the state that its request has in the store."""
        match request.state:
            case RequestState.APPROVED:
                if not waiting.is_releasing:
                    waiting.is_releasing = True
                    self._spawn(self._release(waiting))
            case RequestState.CONSUMED:
                if not waiting.is_releasing:
                    self._settle(waiting, request.id, ApprovalOutcome.WITHDRAWN, note=USED_ELSEWHERE)
            case RequestState.DENIED | RequestState.EXPIRED | RequestState.WITHDRAWN:
                self._settle_as(waiting, request)
            case RequestState.PENDING:
                pass

    async def _release(self, waiting: Waiting) -> None:
        """Use the approval of a waiting statement, if what was approved still stands; else others are asked, until it expires."""
        assert waiting.request is not None
        held, number = waiting.held, waiting.request.id
        try:
            request = await self._calls.run(self._store.request, number)
            if request is None or waiting.is_over():
                return
            if request.state is not RequestState.APPROVED:
                waiting.is_releasing = False
                self._look(waiting, request)
                return
            if self._known.is_blocked(held.principal, self._clock()):
                self._withdrawals.add(request, "access_ended")
                self._settle(waiting, number, ApprovalOutcome.DENIED, note=BLOCKED)
                return
            if not await self._calls.run(self._approvers.stands, request, party_of(held.principal), held.terms):
                if await self._calls.run(self._store.reopen, number, self._clock()):
                    log.warning("approval.reopened", request=number, rule=held.rule)
                    self._news.reopened(request)
                return
            if not waiting.is_over():
                await self._use(waiting, request, is_standing=False)
        except DependencyFailure:
            # Told by the calls; the next poll that succeeds looks again.
            waiting.version = None
        finally:
            waiting.is_releasing = False

    async def _use(self, waiting: Waiting, request: ApprovalRequest, *, is_standing: bool) -> bool:
        """Use an approval once for a statement; whether it could be used."""
        now = self._clock()
        if not await self._calls.run(self._store.use, request.id, now, is_standing):
            return False
        self._news.used(request, waiting.held, is_standing=is_standing)
        if waiting.is_over():
            # The client has gone in this moment: the use is spent, and nothing is released on it.
            log.info("approval.used_in_vain", request=request.id)
            return True
        by = tuple(vote.approver.label for vote in request.votes if vote.approves)
        note = next((vote.note for vote in reversed(request.votes) if vote.note), "")
        self._settle(waiting, request.id, ApprovalOutcome.GRANTED, by, note)
        return True

    async def _expire(self, waiting: Waiting) -> None:
        """The time of a waiting statement is over: the store has the last word where it answers."""
        assert waiting.request is not None
        number = waiting.request.id
        try:
            await self.sweep()
            request = await self._calls.run(self._store.request, number)
        except DependencyFailure:
            request = None
        if waiting.is_over():
            return
        if request is None or request.state in (RequestState.PENDING, RequestState.APPROVED):
            # What was approved in the last moment and can't be used any more has expired as well.
            self._withdrawals.add(waiting.request, "expired")
            self._settle(waiting, number, ApprovalOutcome.EXPIRED)
        else:
            self._look(waiting, request)

    # Answering.

    def _settle_as(self, waiting: Waiting, request: ApprovalRequest) -> None:
        denials = [vote for vote in request.votes if not vote.approves]
        by = tuple(vote.approver.label for vote in denials)
        self._settle(waiting, request.id, _OUTCOMES[request.state], by, denials[0].note if denials else "")

    def _settle(self, waiting: Waiting, number: str, outcome: ApprovalOutcome, by: tuple[str, ...] = (), note: str = "") -> None:
        if waiting.is_over():
            return
        self._end(waiting)
        waiting.answer(ApprovalSettled(waiting.ticket, number, outcome, by, note))

    def _unavailable(self, waiting: Waiting, sentence: str, reason: ReasonCode = ReasonCode.APPROVALS_UNAVAILABLE) -> None:
        if not waiting.is_over():
            self._end(waiting)
            self._news.counted("unavailable" if reason is ReasonCode.APPROVALS_UNAVAILABLE else "too_many")
            waiting.answer(ApprovalUnavailable(waiting.ticket, sentence, reason))

    def _end(self, waiting: Waiting) -> None:
        waiting.finish()
        if waiting.timer is not None:
            waiting.timer.cancel()
        if waiting.request is not None:
            self._open.pop(waiting.request.id, None)
            self._news.waiting(len(self._open))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("approvals.broken", error=type(error).__name__, exc_info=error)
