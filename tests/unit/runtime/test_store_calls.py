"""Calls of the control store: threads, deadlines, outages told once, and what is undone when it comes too late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from querywarden.errors import DependencyFailure
from querywarden.runtime.store_calls import StoreCalls


class Told:
    def __init__(self) -> None:
        self.changes: list[tuple[bool, str]] = []

    def __call__(self, is_answering: bool, cause: str) -> None:
        self.changes.append((is_answering, cause))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def calls(told: Told) -> AsyncIterator[StoreCalls]:
    calls = StoreCalls(told, threads=2, seconds_max=5.0)
    yield calls
    calls.close()


def fail() -> None:
    raise DependencyFailure("the control store does not answer: OperationalError")


async def test_a_call_is_made_in_a_thread_of_its_own(calls: StoreCalls, told: Told) -> None:
    assert await calls.run(threading.get_ident) != threading.get_ident()
    assert await calls.run(max, 1, 2) == 2
    assert told.changes == []


async def test_an_outage_is_told_once_and_so_is_its_end(calls: StoreCalls, told: Told) -> None:
    for _ in range(2):
        with pytest.raises(DependencyFailure):
            await calls.run(fail)
    assert told.changes == [(False, "the control store does not answer: OperationalError")]
    assert not calls.is_answering
    await calls.run(int)
    await calls.run(int)
    assert told.changes[1:] == [(True, "")]


async def test_a_no_of_the_store_is_an_answer(calls: StoreCalls, told: Told) -> None:
    with pytest.raises(ZeroDivisionError):
        await calls.run(lambda: 1 // 0)
    assert told.changes == []


async def test_a_store_that_hangs_fails_the_call_in_time_and_what_it_did_is_undone(told: Told) -> None:
    calls = StoreCalls(told, threads=1, seconds_max=0.01)
    released, undone = threading.Event(), asyncio.Event()
    results: list[str] = []

    def hang() -> str:
        released.wait(10)
        return "opened"

    def undo(result: str) -> None:
        results.append(result)
        undone.set()

    with pytest.raises(DependencyFailure, match="in time"):
        await calls.run_or_undo(hang, undo)
    with pytest.raises(DependencyFailure, match="in time"):
        # The only thread is taken: this one never begins, so there is nothing to undo.
        await calls.run_or_undo(lambda: "never", undo)
    assert told.changes == [(False, "it did not answer in time")]
    released.set()
    async with asyncio.timeout(5):
        await undone.wait()
    assert results == ["opened"]
    calls.close()


async def test_a_call_that_fails_late_is_not_undone(told: Told) -> None:
    calls = StoreCalls(told, threads=1, seconds_max=0.01)
    released, over = threading.Event(), threading.Event()
    results: list[None] = []

    def hang() -> None:
        released.wait(10)
        try:
            fail()
        finally:
            over.set()

    with pytest.raises(DependencyFailure):
        await calls.run_or_undo(hang, results.append)
    released.set()
    assert over.wait(5)
    calls.close()
    await asyncio.sleep(0)
    assert results == []


async def test_a_cancelled_call_is_undone_too(calls: StoreCalls) -> None:
    released, undone = threading.Event(), asyncio.Event()

    def hang() -> int:
        released.wait(10)
        return 7

    task = asyncio.get_running_loop().create_task(calls.run_or_undo(hang, lambda _: undone.set()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    released.set()
    async with asyncio.timeout(5):
        await undone.wait()


async def test_closed_calls_take_nothing_more(told: Told) -> None:
    calls = StoreCalls(told)
    calls.close()
    with pytest.raises(DependencyFailure, match="closed"):
        await calls.run(int)
