"""The approvals desk on a real store: every way in which a request is settled, every re-check at the release, and faults at each call."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from querywarden.approval.request import ApprovalRequest, HeldStatement, Party, RequestState, Vote
from querywarden.errors import DependencyFailure, ReasonCode
from querywarden.model.decision import Agreement, ApprovalTerms, WaitMode
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.runtime.approval_news import ApprovalNews
from querywarden.runtime.approvals_desk import NOT_RECORDED, UNAVAILABLE, USED_ELSEWHERE, ApprovalsDesk
from querywarden.runtime.approvers import Approvers
from querywarden.runtime.known_access import BLOCKED, KnownAccess
from querywarden.runtime.metrics import Metrics
from querywarden.runtime.store_calls import StoreCalls
from querywarden.session.inputs import ApprovalOpened, ApprovalOutcome, ApprovalSettled, ApprovalUnavailable
from querywarden.storage.control_store import Block, ControlStore

ISSUER = "https://idp"
ALICE = Principal("alice", ISSUER, PrincipalKind.HUMAN, frozenset({"engineers"}))
TERMS = ApprovalTerms(("dba",), 1, 600)
CANARY = "canary-7261"
PENDING_MAX = 4
HELD = HeldStatement(
    ALICE, Database("shop", Environment.PRODUCTION), "s-1", "a-1", WaitMode.WAIT, "bulk", "It changes many rows.", TERMS, "v1",
    f"delete from t where c = '{CANARY}'", "delete from t where c = ?", "delete",
)  # fmt: skip
FAIL = replace(HELD, mode=WaitMode.FAIL)


def approver(name: str, *groups: str) -> Party:
    return Party(name, ISSUER, PrincipalKind.HUMAN, frozenset(groups or ("dba",)))


class Store:
    """A real store whose n-th call fails, or all calls of some names."""

    def __init__(self, store: ControlStore) -> None:
        self.store = store
        self.failing: set[str] = set()
        self.fails_at: int | None = None
        self.count = 0
        self.before: Callable[[str], None] = lambda name: None

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.count += 1
            self.before(name)
            if name in self.failing or "*" in self.failing or self.count == self.fails_at:
                raise DependencyFailure("the control store does not answer")
            return getattr(self.store, name)(*arguments)

        return call


class Journal:
    def __init__(self) -> None:
        self.records: list[tuple[str, Any]] = []
        self.is_writable = True

    def append(self, type: str, body: Any, durability: Any, callback: Any, id: str | None = None) -> None:  # noqa: A002
        if self.is_writable:
            self.records.append((type, body))
        if callback is not None:
            callback(self.is_writable)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.records]


class Session:
    """What a session hears."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.withdraw: Callable[[str], None] = lambda cause: None
        self.happened = asyncio.Event()

    def __call__(self, answer: Any) -> None:
        self.answers.append(answer)
        self.happened.set()

    async def answer(self, number: int = 0) -> Any:
        async with asyncio.timeout(10):
            while len(self.answers) <= number:
                self.happened.clear()
                await self.happened.wait()
        return self.answers[number]


class Proxy:
    """One proxy's desk on the shared store."""

    def __init__(self, bench: Bench, instance: str) -> None:
        self.bench = bench
        self.journal = Journal()
        self.told: list[tuple[str, str]] = []
        self.known = KnownAccess()
        self.calls = StoreCalls(lambda *_: None)
        self.metrics = Metrics()
        store: Any = bench.store
        self.news = ApprovalNews(self.journal, self.metrics, self, self.known.add_grant)
        approvers = Approvers(store, self.known, bench.clock)
        self.desk = ApprovalsDesk(
            store, self.calls, instance, approvers, self.known, self.news, bench.draw, lambda number: f"show {number}", bench.clock,
            PENDING_MAX,
        )  # fmt: skip

    def tell(self, event: str, request: ApprovalRequest) -> None:
        self.told.append((event, request.id))

    def open(self, held: HeldStatement = HELD, ticket: int = 1) -> Session:
        session = Session()
        session.withdraw = self.desk.open(ticket, held, session)
        return session

    async def waiting(self, held: HeldStatement = HELD) -> tuple[Session, str]:
        """A session whose request is open, and the request's id."""
        session = self.open(held)
        opened = await session.answer()
        assert isinstance(opened, ApprovalOpened), opened
        return session, opened.id

    async def poll(self) -> None:
        poll = await self.calls.run(self.bench.store.poll, "x", self.bench.now, self.desk.waiting_ids)
        await self.desk.take(poll.changes)

    async def settled(self) -> None:
        """Let everything that is under way end."""
        async with asyncio.timeout(10):
            while self.desk._tasks:
                await asyncio.gather(*self.desk._tasks, return_exceptions=True)

    async def after_poll(self, session: Session) -> Any:
        await self.poll()
        await self.settled()
        return session.answers[-1]


class Bench:
    def __init__(self, store: ControlStore) -> None:
        self.real = store
        self.store = Store(store)
        self.now = 1_700_000_000.0
        self.numbers = itertools.count(1)
        self.proxies: list[Proxy] = []

    def clock(self) -> float:
        return self.now

    def draw(self, size: int) -> bytes:
        return next(self.numbers).to_bytes(size, "big")

    def proxy(self, instance: str = "one") -> Proxy:
        proxy = Proxy(self, instance)
        self.proxies.append(proxy)
        return proxy

    def vote(self, number: str, who: Party, approves: bool = True, note: str = "", **stated: Any) -> ApprovalRequest:
        return self.real.vote(number, Vote(who, approves, int(self.now), note), self.now, **stated)

    def state(self, number: str) -> RequestState:
        request = self.real.request(number)
        assert request is not None
        return request.state


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = ControlStore(f"sqlite:///{tmp_path}/control.db")
    bench = Bench(store)
    yield bench
    bench.store.failing.clear()
    for proxy in bench.proxies:
        await proxy.desk.close()
        proxy.calls.close()
    store.close()


@pytest.fixture
def proxy(bench: Bench) -> Proxy:
    return bench.proxy()


def granted(number: str, *by: str, note: str = "", ticket: int = 1) -> ApprovalSettled:
    return ApprovalSettled(ticket, number, ApprovalOutcome.GRANTED, by, note)


# Waiting.


async def test_a_request_is_recorded_and_told_before_the_session_hears_of_it(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    assert session.answers == [ApprovalOpened(1, number, 1_700_000_600, f"Approvers see it with: show {number}.")]
    assert proxy.journal.kinds == ["approval.requested"]
    assert proxy.told == [("approval.requested", number)]
    assert proxy.desk.waiting_ids == (number,)
    assert CANARY not in str(proxy.journal.records)
    assert b"querywarden_waiting_holds 1.0" in proxy.metrics.exposition()


async def test_approved_is_used_and_granted_once(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    await proxy.poll()
    assert len(session.answers) == 1
    bench.vote(number, approver("erin"), note="go on")
    assert await proxy.after_poll(session) == granted(number, "erin", note="go on")
    assert bench.state(number) is RequestState.CONSUMED
    await proxy.after_poll(session)
    assert len(session.answers) == 2
    assert proxy.journal.kinds == ["approval.requested", "approval.used"]
    assert proxy.desk.waiting_ids == ()
    assert b"querywarden_waiting_holds 0.0" in proxy.metrics.exposition()


async def test_a_vote_through_this_proxy_is_heard_at_once(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    proxy.desk.changed([bench.vote(number, approver("erin"))])
    assert await session.answer(1) == granted(number, "erin")


async def test_a_denial_is_final(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    bench.vote(number, approver("erin"), approves=False, note="not today")
    assert await proxy.after_poll(session) == ApprovalSettled(1, number, ApprovalOutcome.DENIED, ("erin",), "not today")
    assert bench.state(number) is RequestState.DENIED


async def test_two_of_three(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting(replace(HELD, terms=replace(TERMS, quorum=2)))
    bench.vote(number, approver("erin"))
    await proxy.after_poll(session)
    assert len(session.answers) == 1
    bench.vote(number, approver("frank"))
    assert await proxy.after_poll(session) == granted(number, "erin", "frank")


async def test_nobody_answers_in_time(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    bench.now += 601
    await proxy.desk.sweep()
    assert session.answers[-1] == ApprovalSettled(1, number, ApprovalOutcome.EXPIRED)
    assert proxy.journal.kinds == ["approval.requested", "approval.expired"]


async def test_a_session_that_can_wait_less_expires_sooner(bench: Bench, proxy: Proxy) -> None:
    session = proxy.open(replace(HELD, seconds_max=30.0))
    assert (await session.answer()).expires_at == bench.now + 30


async def test_a_request_that_is_gone_from_the_store_is_no_approval(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    await proxy.poll()
    bench.real.withdraw(number, "x", bench.now)
    bench.real.delete_settled(bench.now + 100_000)
    assert await proxy.after_poll(session) == ApprovalSettled(1, number, ApprovalOutcome.WITHDRAWN)


async def test_what_was_opened_after_the_store_was_asked_is_not_gone(bench: Bench, proxy: Proxy) -> None:
    session, _ = await proxy.waiting()
    await proxy.desk.take({})
    assert len(session.answers) == 1


# Withdrawing.


async def test_withdrawn_by_the_session(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    session.withdraw("cancelled")
    session.withdraw("again")
    await proxy.settled()
    assert bench.state(number) is RequestState.WITHDRAWN
    assert len(session.answers) == 1
    assert proxy.journal.records[-1][0] == "approval.withdrawn"
    assert proxy.journal.records[-1][1]["cause"] == "cancelled"


@pytest.mark.parametrize("held", [HELD, FAIL])
async def test_withdrawn_while_the_store_is_asked(bench: Bench, proxy: Proxy, held: HeldStatement) -> None:
    session = proxy.open(held)
    session.withdraw("cancelled")
    await proxy.settled()
    assert session.answers == []
    assert [request.state for request in bench.real.list_requests() if request.state is not RequestState.WITHDRAWN] == []


async def test_withdrawn_while_its_request_is_recorded(bench: Bench, proxy: Proxy) -> None:
    session = Session()

    def withdraw(name: str) -> None:
        if name == "open_request":
            asyncio.run_coroutine_threadsafe(withdrawn(), loop).result(5)

    async def withdrawn() -> None:
        session.withdraw("client_gone")

    loop = asyncio.get_running_loop()
    bench.store.before = withdraw
    session.withdraw = proxy.desk.open(1, HELD, session)
    await proxy.settled()
    await proxy.settled()
    assert session.answers == []
    assert [request.state for request in bench.real.list_requests()] == [RequestState.WITHDRAWN]


async def test_a_withdrawal_reaches_the_store_when_it_answers_again(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    bench.store.failing = {"*"}
    session.withdraw("client_gone")
    await proxy.settled()
    assert bench.state(number) is RequestState.PENDING
    bench.store.failing.clear()
    await proxy.desk.sweep()
    assert bench.state(number) is RequestState.WITHDRAWN


async def test_an_approval_that_comes_with_the_withdrawal_releases_nothing(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    bench.vote(number, approver("erin"))
    proxy.desk.changed([bench.real.requests([number])[number]])
    session.withdraw("cancelled")
    await proxy.settled()
    assert len(session.answers) == 1
    assert bench.state(number) in (RequestState.WITHDRAWN, RequestState.CONSUMED)


async def test_a_restart_withdraws_what_the_run_before_has_left(bench: Bench, proxy: Proxy) -> None:
    _, number = await proxy.waiting()
    after = bench.proxy("one")
    await after.desk.begin()
    await after.desk.begin()
    assert bench.state(number) is RequestState.WITHDRAWN
    assert [(kind, body["cause"]) for kind, body in after.journal.records] == [("approval.withdrawn", "proxy_gone")]


async def test_what_silent_proxies_have_left_is_withdrawn_by_one_of_the_others(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    others = [bench.proxy("two"), bench.proxy("three")]
    bench.now += 31
    for other in others:
        await other.desk.begin()
        await other.desk.sweep()
    assert [other.journal.kinds for other in others] == [["approval.withdrawn"], []]
    assert await proxy.after_poll(session) == ApprovalSettled(1, number, ApprovalOutcome.WITHDRAWN)


async def test_closing_withdraws_what_waits(bench: Bench, proxy: Proxy) -> None:
    _, number = await proxy.waiting()
    await proxy.desk.close()
    assert bench.state(number) is RequestState.WITHDRAWN


# What was said before.


async def test_fail_mode_opens_once_and_comes_again_with_the_approval(bench: Bench, proxy: Proxy) -> None:
    _, number = await proxy.waiting(FAIL)
    assert proxy.desk.waiting_ids == ()
    _, again = await proxy.waiting(FAIL)
    assert again == number
    assert proxy.journal.kinds == ["approval.requested"]
    bench.vote(number, approver("erin"))
    assert await proxy.open(replace(FAIL, audit_id="a-2")).answer() == granted(number, "erin")
    assert proxy.journal.records[-1][1]["used_by"] == "a-2"
    _, third = await proxy.waiting(FAIL)
    assert third != number


async def test_an_approval_of_something_else_is_none(bench: Bench, proxy: Proxy) -> None:
    _, number = await proxy.waiting(FAIL)
    bench.vote(number, approver("erin"))
    others = [
        replace(FAIL, text="delete from t"),
        replace(FAIL, parameters_digest=b"other"),
        replace(FAIL, policy_version="v2"),
        replace(FAIL, database=Database("other", Environment.PRODUCTION)),
        replace(FAIL, principal=replace(ALICE, subject="mallory")),
        replace(FAIL, principal=replace(ALICE, actors=(Actor("robot", ISSUER),))),
    ]
    for held in others:
        _, found = await proxy.waiting(held)
        assert found != number


async def test_several_uses_and_a_window(bench: Bench, proxy: Proxy) -> None:
    _, number = await proxy.waiting(FAIL)
    bench.vote(number, approver("erin"), uses=2, valid_seconds=60)
    assert await proxy.open(HELD).answer() == granted(number, "erin")
    assert [body["uses_left"] for kind, body in proxy.journal.records if kind == "approval.used"] == [1]
    bench.now += 61
    _, other = await proxy.waiting(FAIL)
    assert other != number


async def test_a_denial_stands_until_the_request_would_have_expired(bench: Bench, proxy: Proxy) -> None:
    _, number = await proxy.waiting(FAIL)
    bench.vote(number, approver("erin"), approves=False, note="no")
    assert await proxy.open(FAIL).answer() == ApprovalSettled(1, number, ApprovalOutcome.DENIED, ("erin",), "no")
    bench.now += 601
    _, other = await proxy.waiting(FAIL)
    assert other != number


async def test_the_last_use_goes_to_one_of_two_proxies(bench: Bench, proxy: Proxy) -> None:
    other = bench.proxy("two")
    _, number = await proxy.waiting(FAIL)
    bench.vote(number, approver("erin"))
    answers = await asyncio.gather(*(each.open(FAIL).answer() for each in (proxy, other)))
    assert sorted(type(answer).__name__ for answer in answers) == ["ApprovalOpened", "ApprovalSettled"]
    assert [*proxy.journal.kinds, *other.journal.kinds].count("approval.used") == 1


STANDING = replace(FAIL, terms=replace(TERMS, standing="again"))


async def test_a_standing_approval_serves_others_where_an_automatic_rule_says_so(bench: Bench, proxy: Proxy) -> None:
    _, number = await proxy.waiting(FAIL)
    bench.vote(number, approver("erin"), is_standing=True)
    bob = replace(ALICE, subject="bob")
    _, not_his = await proxy.waiting(replace(FAIL, principal=bob))
    assert not_his != number
    for _ in range(2):
        assert await proxy.open(replace(STANDING, principal=bob, policy_version="v2")).answer() == granted(number, "erin")
    assert proxy.journal.records[-1][1]["standing"] is True
    assert proxy.journal.records[-1][1]["user"]["sub"] == "bob"


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (replace(STANDING, principal=replace(ALICE, subject="erin")), "nobody approves what is its own"),
        (replace(STANDING, principal=replace(ALICE, subject="bob", actors=(Actor("erin", ISSUER),))), "nor by a delegate"),
        (replace(STANDING, terms=replace(STANDING.terms, quorum=2)), "the rule wants more now"),
        (replace(STANDING, terms=replace(STANDING.terms, approvers=("security",))), "the rule wants others now"),
        (replace(STANDING, text="delete from t"), "another statement"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_standing_approval_that_does_not_serve(bench: Bench, proxy: Proxy, held: HeldStatement, why: str) -> None:
    _, number = await proxy.waiting(FAIL)
    bench.vote(number, approver("erin"), is_standing=True)
    bench.real.use(number, bench.now)
    _, other = await proxy.waiting(held)
    assert other != number


# What is looked at again.


async def test_an_approver_who_has_lost_the_group_approves_nothing(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    bench.vote(number, approver("erin"))
    bench.real.saw(approver("erin", "engineers"), bench.now)
    await proxy.after_poll(session)
    assert len(session.answers) == 1
    assert bench.state(number) is RequestState.PENDING, "others are asked again"
    assert proxy.told == [("approval.requested", number)] * 2
    bench.vote(number, approver("frank"))
    assert (await proxy.after_poll(session)).outcome is ApprovalOutcome.GRANTED


async def test_who_regains_nothing_lets_it_expire(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    bench.vote(number, approver("erin"))
    bench.real.saw(approver("erin", "engineers"), bench.now)
    await proxy.after_poll(session)
    bench.now += 601
    await proxy.desk.sweep()
    assert session.answers[-1] == ApprovalSettled(1, number, ApprovalOutcome.EXPIRED)


async def test_a_blocked_approver_approves_nothing(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    bench.vote(number, approver("erin"))
    proxy.known.update((Block(1, "erin", None, "op", "", 0),), (), bench.now)
    await proxy.after_poll(session)
    assert len(session.answers) == 1
    assert bench.state(number) is RequestState.PENDING


@pytest.mark.parametrize("held", [FAIL, HELD])
async def test_an_approval_given_before_counts_only_while_its_approver_may_approve(bench: Bench, proxy: Proxy, held: HeldStatement) -> None:
    _, number = await proxy.waiting(FAIL)
    bench.vote(number, approver("erin"))
    bench.real.saw(approver("erin", "engineers"), bench.now)
    _, other = await proxy.waiting(held)
    assert other != number


async def test_a_blocked_requester_gets_nothing(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    bench.vote(number, approver("erin"))
    proxy.known.update((Block(1, "alice", None, "op", "", 0),), (), bench.now)
    assert await proxy.after_poll(session) == ApprovalSettled(1, number, ApprovalOutcome.DENIED, (), BLOCKED)
    assert await proxy.open().answer() == ApprovalSettled(1, "", ApprovalOutcome.DENIED, (), BLOCKED)
    assert bench.state(number) is RequestState.WITHDRAWN


async def test_an_approval_used_elsewhere_is_gone(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    bench.vote(number, approver("erin"))
    bench.real.use(number, bench.now)
    assert await proxy.after_poll(session) == ApprovalSettled(1, number, ApprovalOutcome.WITHDRAWN, (), USED_ELSEWHERE)


# Faults.


async def test_without_the_store_nothing_new_is_held(bench: Bench, proxy: Proxy) -> None:
    bench.store.failing = {"*"}
    assert await proxy.open().answer() == ApprovalUnavailable(1, UNAVAILABLE)
    bench.store.failing.clear()
    await proxy.waiting()


async def test_what_waits_goes_on_waiting_without_the_store_and_is_released_after(bench: Bench, proxy: Proxy) -> None:
    session, number = await proxy.waiting()
    bench.vote(number, approver("erin"))
    bench.store.failing = {"use"}
    await proxy.after_poll(session)
    await proxy.after_poll(session)
    assert len(session.answers) == 1
    bench.store.failing.clear()
    assert await proxy.after_poll(session) == granted(number, "erin")


async def test_what_waits_expires_by_the_proxys_clock_without_the_store(bench: Bench, proxy: Proxy) -> None:
    session = proxy.open(replace(HELD, seconds_max=1.0))
    number = (await session.answer()).id
    bench.store.failing = {"*"}
    assert await session.answer(1) == ApprovalSettled(1, number, ApprovalOutcome.EXPIRED)


async def test_nobody_floods_the_approvers(bench: Bench, proxy: Proxy) -> None:
    for number in range(PENDING_MAX):
        await proxy.waiting(replace(HELD, text=f"statement {number}"))
    told = list(proxy.told)
    answer = await proxy.open().answer()
    assert isinstance(answer, ApprovalUnavailable)
    assert (answer.reason, str(PENDING_MAX)) == (ReasonCode.APPROVALS_PENDING, answer.sentence.split()[0])
    assert (proxy.told, PENDING_MAX) == (told, len(bench.real.list_requests()))
    other = replace(HELD, principal=replace(HELD.principal, subject="zoe"))
    await proxy.waiting(other)


async def test_an_approval_by_fewer_than_are_asked_today_is_not_used(bench: Bench, proxy: Proxy) -> None:
    first = await proxy.open(FAIL).answer()
    bench.vote(first.id, approver("erin"))
    both = replace(FAIL, terms=replace(HELD.terms, also=(Agreement(("security",)),)))
    second = await proxy.open(both).answer()
    assert isinstance(second, ApprovalOpened)
    assert second.id != first.id


async def test_a_request_that_cannot_be_recorded_is_not_asked(bench: Bench, proxy: Proxy) -> None:
    proxy.journal.is_writable = False
    session = proxy.open()
    assert await session.answer() == ApprovalUnavailable(1, NOT_RECORDED)
    await proxy.settled()
    assert [request.state for request in bench.real.list_requests()] == [RequestState.WITHDRAWN]
    assert proxy.told == [("approval.withdrawn", bench.real.list_requests()[0].id)]


async def test_an_id_that_is_taken_is_drawn_again(bench: Bench, proxy: Proxy) -> None:
    _, number = await proxy.waiting()
    bench.numbers = itertools.count(1)
    _, other = await proxy.waiting()
    assert other != number


@pytest.mark.parametrize("held", [HELD, FAIL, STANDING], ids=["wait", "fail", "standing"])
async def test_whichever_call_fails_nothing_is_released_without_an_approval(bench: Bench, held: HeldStatement) -> None:
    """Fail the n-th call of the store, for every n, through asking, approving and releasing."""
    for number in range(1, 40):
        proxy = bench.proxy(f"p{number}")
        bench.store.count, bench.store.fails_at = 0, number
        asked = replace(held, text=f"{held.text} {number}")
        session = proxy.open(asked)
        first = await session.answer()
        if isinstance(first, ApprovalUnavailable):
            continue
        assert isinstance(first, ApprovalOpened)
        bench.vote(first.id, approver("erin"))
        if held.mode is WaitMode.WAIT:
            for _ in range(3):
                try:
                    await proxy.poll()
                except DependencyFailure:
                    pass
                await proxy.settled()
            answer = session.answers[-1]
        else:
            answer = await proxy.open(asked).answer()
        has_failed = bench.store.count >= number
        if isinstance(answer, ApprovalSettled):
            assert answer == granted(first.id, "erin")
            assert bench.state(first.id) is RequestState.CONSUMED
            assert proxy.journal.kinds.count("approval.used") == 1
        else:
            assert has_failed
            assert isinstance(answer, ApprovalUnavailable)
        if not has_failed:
            return
    pytest.fail("the store is called more often than foreseen")
