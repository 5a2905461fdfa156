"""The watch over the control store: what others do is seen, what is due is done, and an outage stops neither clock nor sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from querywarden.approval.opening import request_of
from querywarden.approval.request import HeldStatement, Party, RequestKind, RequestState, Vote
from querywarden.audit.approval_records import APPROVALS_UNAVAILABLE
from querywarden.config.models import Config
from querywarden.errors import DependencyFailure
from querywarden.model.decision import ApprovalTerms, Budget, BudgetMetric, BudgetPeriod, WaitMode
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.runtime.control_parts import ControlParts, ControlPolicy, instance_of, where_to_approve
from querywarden.runtime.known_access import BLOCKED
from querywarden.runtime.metrics import Metrics
from querywarden.session.inputs import AccessEnded, ApprovalOpened, ApprovalOutcome
from querywarden.storage.control_store import AccessGrant, ControlStore

ISSUER = "https://idp"
ALICE = Principal("alice", ISSUER, PrincipalKind.HUMAN)
ERIN = Party("erin", ISSUER, PrincipalKind.HUMAN, frozenset({"querywarden-approvers"}))
HELD = HeldStatement(
    ALICE, Database("shop", Environment.PRODUCTION), "s-1", "a-1", WaitMode.WAIT, "bulk", "It changes many rows.", ApprovalTerms(), "v1",
    "delete from t", "delete from t", "delete",
)  # fmt: skip


def config(**sections: Any) -> Config:
    empty = {name: {} for name in ("api", "approvals", "identity", "control", "policy", "masking", "audit", "limits", "analysis")}
    return Config.model_validate({"listeners": [], "databases": {}, **empty, **sections})


class Site:
    """One proxy's parts on a store."""

    def __init__(self, store: ControlStore, origin: str = "one") -> None:
        self.store = store
        self.records: list[tuple[str, Any]] = []
        self.metrics = Metrics()
        policy = ControlPolicy(
            lambda name: Database(name, Environment.PRODUCTION),
            lambda principal, database: None,
            lambda principal, database: (Budget("rows", BudgetMetric.ROWS, BudgetPeriod.DAY, 100),),
            lambda principal, database: None,
            lambda: None,
        )
        journal: Any = self
        self.parts = ControlParts(config(), store, instance_of(origin), journal, self.metrics, policy)
        self.watch = self.parts._watch
        self.heard: list[Any] = []

    def append(self, type: str, body: Any, durability: Any, callback: Any, id: str | None = None) -> None:  # noqa: A002
        self.records.append((type, body))
        if callback is not None:
            callback(True)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.records]

    def enter(self) -> None:
        self.parts.presence.enter("s-1", ALICE, "shop", "10.0.0.1", self.heard.append).logged_in()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ControlStore]:
    store = ControlStore(f"sqlite:///{tmp_path}/control.db")
    yield store
    store.close()


@pytest.fixture
async def site(store: ControlStore) -> AsyncIterator[Site]:
    site = Site(store)
    await site.parts.start()
    yield site
    await site.parts.stop()


def _fail(*_: Any, **__: Any) -> Any:
    raise DependencyFailure("the control store does not answer")


async def test_blocks_are_seen_recorded_once_and_carried_out(store: ControlStore, site: Site) -> None:
    other = Site(store, "two")
    site.enter()
    store.block("alice", None, "operator root", "left the company", None, site.watch._clock())
    await site.watch.look()
    await other.watch.look()
    assert site.heard == [AccessEnded(BLOCKED, at_once=True)]
    assert other.parts.known.is_blocked(ALICE, 0)
    store.unblock("alice", None, "operator root", site.watch._clock())
    await other.watch.look()
    await site.watch.look()
    assert [*site.kinds, *other.kinds] == ["principal.blocked", "principal.unblocked"]
    assert site.records[0][1]["by"] == "operator root"
    assert not site.parts.known.is_blocked(ALICE, 0)
    await other.parts.stop()


async def test_tending_registers_sessions_and_writes_budgets(store: ControlStore, site: Site) -> None:
    site.enter()
    site.parts.budgets.spend(ALICE, "shop", rows=30)
    await site.watch.tend()
    assert [session.id for session in store.list_sessions(site.watch._clock())] == ["s-1"]
    after = Site(store, "two")
    await after.parts.budgets.load(ALICE, "shop")
    left = after.parts.budgets.left(ALICE, "shop")
    assert left is not None
    assert left.rows == 70
    await after.parts.stop()


async def test_a_proxy_that_was_forgotten_registers_again(store: ControlStore, site: Site) -> None:
    site.enter()
    await site.watch.tend()
    store.forget_instance(instance_of("one"))
    site.watch._beat_at = 0
    await site.watch.tend()
    assert [session.id for session in store.list_sessions(site.watch._clock())] == ["s-1"]


async def test_the_end_of_access_is_recorded_once(store: ControlStore, site: Site) -> None:
    other = Site(store, "two")
    _grant(store, site.watch._clock())
    store.revoke_grant("G1", "erin", site.watch._clock())
    await other.watch.tend()
    await site.watch.tend()
    assert [*site.kinds, *other.kinds] == ["access.ended"]
    await other.parts.stop()


def _grant(store: ControlStore, now: float) -> None:
    asked = request_of(HELD, "G1", now, "one")
    store.open_request(replace(asked, kind=RequestKind.ACCESS, instance=None, mode=WaitMode.FAIL, statement=None))
    store.vote("G1", Vote(ERIN, True, int(now)), now)
    assert store.grant(AccessGrant("G1", "alice", ISSUER, "oncall", None, int(now), int(now) + 100, "erin"), now)


async def test_an_outage_is_logged_recorded_and_measured_once_and_sessions_go_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.enter()
    monkeypatch.setattr(site.store, "reading", _fail)
    monkeypatch.setattr(site.store, "writing", _fail)
    for _ in range(3):
        with pytest.raises(DependencyFailure):
            await site.watch.look()
        with pytest.raises(DependencyFailure):
            await site.watch.tend()
    assert site.kinds == [APPROVALS_UNAVAILABLE]
    assert b"querywarden_control_store_healthy 0.0" in site.metrics.exposition()
    assert site.heard == []
    monkeypatch.undo()
    await site.watch.look()
    assert b"querywarden_control_store_healthy 1.0" in site.metrics.exposition()
    said = capsys.readouterr()
    assert (said.out + said.err).count("control_store.unavailable") == 1
    assert (said.out + said.err).count("control_store.answers") == 1


async def test_a_start_without_the_store_is_made_up_for(store: ControlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(store)
    monkeypatch.setattr(store, "release_instance", _fail)
    await site.parts.start()
    assert not site.parts.desk.has_begun
    monkeypatch.undo()
    await site.watch.look()
    assert site.parts.desk.has_begun
    await site.parts.stop()


async def test_stopping_tells_the_store(store: ControlStore) -> None:
    site = Site(store)
    await site.parts.start()
    site.enter()
    await site.watch.tend()
    answers: list[Any] = []
    site.parts.desk.open(1, HELD, answers.append)
    while not answers:
        await _turn()
    assert isinstance(answers[0], ApprovalOpened)
    site.parts.budgets.spend(ALICE, "shop", rows=5)
    await site.parts.stop()
    assert store.list_sessions(site.watch._clock()) == []
    assert [request.state for request in store.list_requests()] == [RequestState.WITHDRAWN]
    assert "approval.withdrawn" in site.kinds
    assert [usage.amount for usage in store.usage([(key, name) for key, name in site.parts.budgets._accounts])] == [5]


async def test_settled_requests_are_deleted_when_their_time_is_over(store: ControlStore, site: Site) -> None:
    answers: list[Any] = []
    site.parts.desk.open(1, HELD, answers.append)
    while not answers:
        await _turn()
    store.vote(answers[0].id, Vote(ERIN, False, 1), site.watch._clock())
    await site.watch.look()
    assert answers[1].outcome is ApprovalOutcome.DENIED
    real = site.watch._clock
    site.watch._clock = lambda: real() + 40 * 86_400
    await site.watch.tend()
    site.watch._clock = real
    assert store.list_requests() == []


async def _turn() -> None:
    await asyncio.sleep(0)


def test_a_proxy_keeps_its_name_over_restarts() -> None:
    assert instance_of("querywarden/host/1") == instance_of("querywarden/host/1")
    assert instance_of("querywarden/host/1") != instance_of("querywarden/host/2")
    assert len(instance_of("x")) == 32


def test_where_to_approve() -> None:
    assert where_to_approve(config())("ABC") == "querywarden approvals show ABC"
    with_url = config(api={"url": "https://qw.example.com"})
    assert where_to_approve(with_url)("ABC") == "querywarden approvals show ABC --url https://qw.example.com"
