"""Budgets: counted at once, written together, never lost, full again with the next period, and shared with other proxies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from querywarden.errors import DependencyFailure
from querywarden.model.decision import Budget, BudgetMetric, BudgetPeriod
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.runtime.budgets import IDLE_SECONDS, Budgets, remembered
from querywarden.runtime.store_calls import StoreCalls
from querywarden.session.budget import BudgetLeft
from querywarden.storage.control_store import ControlStore

ALICE = Principal("alice", "https://idp", PrincipalKind.HUMAN)
HOUR_ROWS = Budget("hourly", BudgetMetric.ROWS, BudgetPeriod.HOUR, 100)
DAY_ROWS = Budget("daily", BudgetMetric.ROWS, BudgetPeriod.DAY, 150)
STATEMENTS = Budget("hourly", BudgetMetric.STATEMENTS, BudgetPeriod.HOUR, 2)
BYTES = Budget("hourly", BudgetMetric.BYTES, BudgetPeriod.HOUR, 1000)
NOON = 1_700_000_000 // 86_400 * 86_400 + 43_200.0


class Store:
    """A real store that fails when told to."""

    def __init__(self, store: ControlStore) -> None:
        self.store = store
        self.is_down = False
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            if self.is_down:
                raise DependencyFailure("down")
            return getattr(self.store, name)(*arguments)

        return call


class Bench:
    def __init__(self, store: Store, calls: StoreCalls) -> None:
        self.store = store
        self.calls = calls
        self.now = NOON
        self.budgets: tuple[Budget, ...] = (HOUR_ROWS, DAY_ROWS)
        self.first = self.proxy()

    def proxy(self) -> Budgets:
        store: Any = self.store
        return Budgets(store, self.calls, lambda principal, database: self.budgets, lambda: self.now)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = ControlStore(f"sqlite:///{tmp_path}/control.db")
    calls = StoreCalls(lambda *_: None)
    yield Bench(Store(store), calls)
    calls.close()
    store.close()


async def test_without_budgets_nothing_is_counted_or_asked(bench: Bench) -> None:
    bench.budgets = ()
    await bench.first.load(ALICE, "shop")
    bench.first.spend(ALICE, "shop", rows=5)
    await bench.first.flush()
    assert bench.first.left(ALICE, "shop") is None
    assert bench.store.calls == []


async def test_the_least_that_any_budget_leaves(bench: Bench) -> None:
    assert bench.first.left(ALICE, "shop") == BudgetLeft(None, 100, None, HOUR_ROWS, None)
    bench.first.spend(ALICE, "shop", rows=60)
    assert bench.first.left(ALICE, "shop") == BudgetLeft(None, 40, None, HOUR_ROWS, None)
    assert bench.first.left(ALICE, "other") == BudgetLeft(None, 100, None, HOUR_ROWS, None)
    bench.first.spend(ALICE, "shop", rows=41)
    assert bench.first.left(ALICE, "shop") == BudgetLeft(exhausted=HOUR_ROWS)
    bench.now += 3600
    assert bench.first.left(ALICE, "shop") == BudgetLeft(None, 49, None, DAY_ROWS, None)
    bench.now += 86_400
    assert bench.first.left(ALICE, "shop") == BudgetLeft(None, 100, None, HOUR_ROWS, None)


async def test_statements_and_bytes(bench: Bench) -> None:
    bench.budgets = (STATEMENTS, BYTES)
    bench.first.spend(ALICE, "shop", statements=1, rows=7, bytes=300)
    assert bench.first.left(ALICE, "shop") == BudgetLeft(None, None, 700, None, BYTES)
    bench.first.spend(ALICE, "shop", statements=1)
    assert bench.first.left(ALICE, "shop") == BudgetLeft(exhausted=STATEMENTS)


async def test_an_agent_has_budgets_of_its_own(bench: Bench) -> None:
    bench.first.spend(ALICE, "shop", rows=60)
    robot = Principal("alice", "https://idp", PrincipalKind.AGENT, actors=(Actor("robot", "https://idp"),))
    assert bench.first.left(robot, "shop") == BudgetLeft(None, 100, None, HOUR_ROWS, None)


async def test_what_was_used_survives_a_restart(bench: Bench) -> None:
    bench.first.spend(ALICE, "shop", rows=60)
    await bench.first.flush()
    second = bench.proxy()
    await second.load(ALICE, "shop")
    assert second.left(ALICE, "shop") == BudgetLeft(None, 40, None, HOUR_ROWS, None)


async def test_several_proxies_count_together(bench: Bench) -> None:
    second = bench.proxy()
    for _ in range(2):
        bench.first.spend(ALICE, "shop", rows=20)
        second.spend(ALICE, "shop", rows=10)
        await bench.first.flush()
        await second.flush()
    # What was written comes back with what others wrote; who only looks reads it two seconds later.
    assert second.left(ALICE, "shop") == BudgetLeft(None, 40, None, HOUR_ROWS, None)
    bench.now += 2
    await bench.first.flush()
    assert bench.first.left(ALICE, "shop") == BudgetLeft(None, 40, None, HOUR_ROWS, None)


async def test_a_store_that_fails_loses_nothing_and_stops_nobody(bench: Bench) -> None:
    bench.store.is_down = True
    await bench.first.load(ALICE, "shop")
    bench.first.spend(ALICE, "shop", rows=30)
    with pytest.raises(DependencyFailure):
        await bench.first.flush()
    bench.first.spend(ALICE, "shop", rows=30)
    assert bench.first.left(ALICE, "shop") == BudgetLeft(None, 40, None, HOUR_ROWS, None)
    bench.store.is_down = False
    await bench.first.flush()
    second = bench.proxy()
    await second.load(ALICE, "shop")
    assert second.left(ALICE, "shop") == BudgetLeft(None, 40, None, HOUR_ROWS, None)


async def test_what_is_used_while_it_is_written_is_counted_once(bench: Bench) -> None:
    bench.first.spend(ALICE, "shop", rows=10)
    real = bench.store.store.add_usage

    def slow(used: Any) -> Any:
        bench.first.spend(ALICE, "shop", rows=5)
        return real(used)

    bench.store.store.add_usage = slow  # type: ignore[method-assign]
    await bench.first.flush()
    bench.store.store.add_usage = real  # type: ignore[method-assign]
    assert bench.first.left(ALICE, "shop") == BudgetLeft(None, 85, None, HOUR_ROWS, None)
    await bench.first.flush()
    assert bench.first.left(ALICE, "shop") == BudgetLeft(None, 85, None, HOUR_ROWS, None)


async def test_idle_principals_are_forgotten_but_nothing_unwritten_is(bench: Bench) -> None:
    bench.first.spend(ALICE, "shop", rows=60)
    await bench.first.flush()
    bench.now += 2 * IDLE_SECONDS
    bench.store.is_down = True
    await bench.first.flush()
    bench.store.calls.clear()
    await bench.first.flush()
    assert bench.store.calls == [], "nobody is at work, so nothing is read"
    bench.store.is_down = False
    await bench.first.load(ALICE, "shop")
    assert bench.first.left(ALICE, "shop") == BudgetLeft(None, 40, None, HOUR_ROWS, None)


def test_budgets_are_found_once_for_a_principal_and_a_policy() -> None:
    asked: list[str] = []
    policy: list[object] = [object()]

    def of(principal: Principal, database: str) -> tuple[Budget, ...]:
        asked.append(database)
        return (HOUR_ROWS,)

    found = remembered(of, lambda: policy[0])
    assert found(ALICE, "shop") == found(ALICE, "shop") == (HOUR_ROWS,)
    found(ALICE, "other")
    policy[0] = object()
    found(ALICE, "shop")
    assert asked == ["shop", "other", "shop"]


GUESSES = Budget("guesses", BudgetMetric.GUESSES, BudgetPeriod.HOUR, 3)


async def test_a_budget_of_guesses_that_is_used_up_leaves_everything_else_to_be_run(bench: Bench) -> None:
    bench.budgets = (GUESSES, STATEMENTS)
    bench.first.spend(ALICE, "shop", guesses=2)
    assert bench.first.left(ALICE, "shop") == BudgetLeft(guesses=1, guesses_budget=GUESSES)
    bench.first.spend(ALICE, "shop", guesses=2, statements=1)
    assert bench.first.left(ALICE, "shop") == BudgetLeft(guesses=-1, guesses_budget=GUESSES)
    await bench.first.flush()
    second = bench.proxy()
    await second.load(ALICE, "shop")
    assert second.left(ALICE, "shop") == BudgetLeft(guesses=-1, guesses_budget=GUESSES)
    bench.first.spend(ALICE, "shop", statements=1)
    assert bench.first.left(ALICE, "shop") == BudgetLeft(exhausted=STATEMENTS)


async def test_where_guesses_alone_are_counted_no_other_use_is_to_be_told(bench: Bench) -> None:
    bench.budgets = (GUESSES,)
    assert bench.first.left(ALICE, "shop") == BudgetLeft(guesses=3, guesses_budget=GUESSES, counts_use=False)
