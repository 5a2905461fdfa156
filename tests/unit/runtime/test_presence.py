"""Presence: who may come in, who is ended, whose access begins and ends, and what the store is told of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from querywarden.errors import DependencyFailure
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.runtime.approval_news import ApprovalNews
from querywarden.runtime.budgets import Budgets
from querywarden.runtime.known_access import BLOCKED, KnownAccess
from querywarden.runtime.metrics import Metrics
from querywarden.runtime.presence import ACCESS_OVER, KILLED, Entry, SessionPresence
from querywarden.runtime.store_calls import StoreCalls
from querywarden.session.inputs import AccessEnded, PrincipalChanged
from querywarden.storage.control_store import AccessGrant, Block, ControlStore, Kill, Poll

ISSUER = "https://idp"
ALICE = Principal("alice", ISSUER, PrincipalKind.HUMAN, frozenset({"engineers"}))
ROBOT = Principal("alice", ISSUER, PrincipalKind.AGENT, actors=(Actor("robot", ISSUER),))
ONCALL = replace(ALICE, groups=frozenset({"engineers", "oncall"}))
NOW = 1_700_000_000.0
GRANT = AccessGrant("G1", "alice", ISSUER, "oncall", None, int(NOW), int(NOW) + 100, "erin")


class Bench:
    def __init__(self, store: ControlStore) -> None:
        self.store = store
        self.calls = StoreCalls(lambda *_: None)
        self.now = NOW
        self.known = KnownAccess()
        self.records: list[tuple[str, Any]] = []
        self.sessions_max: int | None = None
        self.unauthorised: set[tuple[str, ...]] = set()
        self.heard: dict[str, list[Any]] = {}
        self.metrics = Metrics()
        journal: Any = self
        news = ApprovalNews(journal, self.metrics, journal, self.known.add_grant)
        self.presence = SessionPresence(
            store, self.calls, "one", self.known, Budgets(store, self.calls, lambda *_: ()), news,
            lambda name: Database(name, Environment.PRODUCTION), self.authorise, lambda *_: self.sessions_max, lambda: self.now,
        )  # fmt: skip

    def append(self, type: str, body: Any, durability: Any, callback: Any, id: str | None = None) -> None:  # noqa: A002
        self.records.append((type, body))

    def authorise(self, principal: Principal, database: str) -> str | None:
        is_granted = database in self.known.granted_databases(principal, self.now)
        return "no access" if not is_granted and tuple(sorted(principal.groups)) in self.unauthorised else None

    def enter(self, name: str = "s-1", principal: Principal = ALICE, *, logged_in: bool = True) -> Entry:
        heard = self.heard[name] = []
        entry = self.presence.enter(name, principal, "shop", "10.0.0.1", heard.append)
        if logged_in and entry.refusal is None:
            entry.logged_in()
        return entry

    def rows(self) -> list[str]:
        return [session.id for session in self.store.list_sessions(self.now)]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = ControlStore(f"sqlite:///{tmp_path}/control.db")
    store.beat("one", NOW)
    bench = Bench(store)
    yield bench
    bench.calls.close()
    store.close()


# The store's rows.


async def test_sessions_are_seen_from_their_login_to_their_end(bench: Bench) -> None:
    entry = bench.enter(logged_in=False)
    await entry.prepare()
    await bench.presence.flush()
    assert bench.rows() == []
    entry.logged_in()
    bench.presence.describe("s-1", "psql")
    await bench.presence.flush()
    (row,) = bench.store.list_sessions(bench.now)
    assert (row.id, row.instance, row.party.label, row.database, row.environment) == ("s-1", "one", "alice", "shop", "production")
    assert (row.client_ip, row.application, row.opened_at) == ("10.0.0.1", "psql", int(NOW))
    entry.leave()
    entry.leave()
    await bench.presence.flush()
    assert bench.rows() == []


async def test_an_application_that_is_a_credential_is_withheld(bench: Bench) -> None:
    bench.enter()
    bench.presence.describe("s-1", "eyJhbGciOi")
    bench.presence.describe("nobody", "psql")
    await bench.presence.flush()
    assert bench.store.list_sessions(bench.now)[0].application == "<withheld, 10 characters>"


async def test_a_short_session_never_reaches_the_store(bench: Bench) -> None:
    bench.enter().leave()
    await bench.presence.flush()
    assert bench.rows() == []


async def test_what_a_failing_store_was_to_be_told_is_told_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = bench.enter("s-1"), bench.enter("s-2")
    await bench.presence.flush()
    first.leave()
    bench.enter("s-3")
    for name in ("sessions_opened", "sessions_closed", "saw"):
        monkeypatch.setattr(bench.store, name, _fail)
    with pytest.raises(DependencyFailure):
        await bench.presence.flush()
    monkeypatch.undo()
    await bench.presence.flush()
    assert bench.rows() == ["s-2", "s-3"]
    second.leave()


async def test_a_session_that_ends_while_it_is_written_is_removed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = bench.enter()
    real = bench.store.sessions_opened

    def slow(sessions: Any) -> None:
        entry.leave()
        real(sessions)

    monkeypatch.setattr(bench.store, "sessions_opened", slow)
    await bench.presence.flush()
    monkeypatch.undo()
    await bench.presence.flush()
    assert bench.rows() == []


async def test_a_store_that_has_forgotten_the_proxy_is_told_again(bench: Bench) -> None:
    bench.enter()
    bench.enter("s-2", logged_in=False)
    await bench.presence.flush()
    bench.store.forget_instance("one")
    assert not bench.store.beat("one", bench.now)
    bench.presence.register_again()
    await bench.presence.flush()
    assert bench.rows() == ["s-1"]


async def test_verified_principals_are_seen(bench: Bench) -> None:
    bench.enter()
    bench.enter("s-2", ROBOT)
    await bench.presence.flush()
    assert bench.store.last_seen([("alice", ISSUER)]) == {("alice", ISSUER): frozenset({"engineers"})}


async def test_groups_given_for_a_time_are_not_those_of_the_credential(bench: Bench) -> None:
    bench.presence.take(Poll(grants=(GRANT,)))
    assert bench.enter().principal == ONCALL
    await bench.presence.flush()
    assert bench.store.last_seen([("alice", ISSUER)]) == {("alice", ISSUER): frozenset({"engineers"})}


# Coming in.


async def test_a_blocked_principal_does_not_come_in(bench: Bench) -> None:
    bench.presence.take(Poll(blocks=(Block(1, "alice", None, "op", "", 0),)))
    assert bench.enter().refusal == BLOCKED
    assert bench.enter("s-2", ROBOT).refusal == BLOCKED
    assert bench.enter("s-3", replace(ALICE, subject="bob")).refusal is None


async def test_sessions_are_counted_here_and_elsewhere(bench: Bench) -> None:
    bench.sessions_max = 3
    bench.presence.take(Poll(sessions_elsewhere={("alice", ISSUER, "shop"): 1, ("alice", ISSUER, "other"): 9}))
    first, second = bench.enter("s-1"), bench.enter("s-2")
    third = bench.enter("s-3")
    assert (first.refusal, second.refusal) == (None, None)
    assert third.refusal == "You have 3 sessions open on this database already, which is as many as you may have."
    assert bench.enter("s-4", replace(ALICE, subject="bob")).refusal is None
    third.leave()
    first.leave()
    assert bench.enter("s-5").refusal is None


# Kills and blocks.


async def test_a_killed_session_ends_at_once_and_once(bench: Bench) -> None:
    bench.enter("s-1")
    bench.enter("s-2")
    poll = Poll(kills=(Kill("s-1", "operator root", "runaway", int(NOW)),))
    bench.presence.take(poll)
    bench.presence.take(poll)
    assert bench.heard == {"s-1": [AccessEnded(KILLED, at_once=True)], "s-2": []}
    ((kind, body),) = bench.records
    assert kind == "session.killed"
    assert (body["session"], body["by"], body["reason"], body["who"]["sub"]) == ("s-1", "operator root", "runaway", "alice")
    assert b'querywarden_kills_total{cause="session"} 1.0' in bench.metrics.exposition()


async def test_the_row_of_a_session_that_is_gone_goes_when_it_is_killed(bench: Bench) -> None:
    entry = bench.enter()
    await bench.presence.flush()
    bench.store.mark_kill(by="op", reason="", now=bench.now, session_ids=["s-1"])
    bench.presence.remove(entry)
    bench.presence._closed.clear()
    bench.presence.take(bench.store.poll("one", bench.now))
    await bench.presence.flush()
    assert bench.rows() == []
    assert bench.records == []


async def test_a_block_ends_the_sessions_of_a_principal_and_of_its_agents(bench: Bench) -> None:
    bench.enter("s-1")
    bench.enter("s-2", ROBOT)
    bench.enter("s-3", replace(ALICE, subject="bob"))
    bench.enter("s-4", logged_in=False)
    block = Block(1, "alice", ISSUER, "op", "", 0)
    bench.presence.take(Poll(blocks=(block,)))
    bench.presence.take(Poll(blocks=(block,)))
    ended = [AccessEnded(BLOCKED, at_once=True)]
    assert bench.heard == {"s-1": ended, "s-2": ended, "s-3": [], "s-4": ended}


# Access for a time.


async def test_a_grant_begins_and_ends_in_open_sessions(bench: Bench) -> None:
    entry = bench.enter()
    bench.presence.take(Poll(grants=(GRANT,)))
    assert bench.presence.principal_of("s-1") == entry.principal == ONCALL
    bench.presence.take(Poll(grants=(GRANT,)))
    bench.now = GRANT.ends_at
    bench.presence.review()
    assert bench.heard["s-1"] == [PrincipalChanged(ONCALL), PrincipalChanged(ALICE)]


async def test_what_changes_during_a_login_is_told_after_it(bench: Bench) -> None:
    entry = bench.enter(logged_in=False)
    await entry.prepare()
    bench.presence.take(Poll(grants=(GRANT,)))
    assert bench.heard["s-1"] == []
    entry.logged_in()
    assert bench.heard["s-1"] == [PrincipalChanged(ONCALL)]


async def test_a_session_that_came_in_by_a_granted_database_ends_with_it(bench: Bench) -> None:
    bench.unauthorised = {("engineers",)}
    bench.presence.take(Poll(grants=(replace(GRANT, group=None, database="shop"),)))
    bench.enter()
    bench.now = GRANT.ends_at
    bench.presence.review()
    bench.presence.review()
    assert bench.heard["s-1"] == [AccessEnded(ACCESS_OVER)]


async def test_a_session_that_came_in_by_a_granted_group_ends_with_it(bench: Bench) -> None:
    bench.unauthorised = {("engineers",)}
    bench.presence.take(Poll(grants=(GRANT,)))
    bench.enter()
    bench.presence.take(Poll())
    assert bench.heard["s-1"] == [AccessEnded(ACCESS_OVER)]


async def test_who_may_stay_without_the_grant_stays(bench: Bench) -> None:
    bench.presence.take(Poll(grants=(replace(GRANT, group=None, database="shop"),)))
    bench.enter()
    bench.presence.take(Poll())
    assert bench.heard["s-1"] == []
    assert bench.presence.principal_of("nobody") is None


def _fail(*_: Any) -> Any:
    raise DependencyFailure("down")
