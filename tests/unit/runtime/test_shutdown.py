"""Shutdown: sessions end by themselves within the deadline, or are ended; a second signal doesn't wait."""

from __future__ import annotations

import asyncio
from typing import Any

from querywarden.model.limits import Limits
from querywarden.runtime.cancel import SessionRegistry
from querywarden.runtime.listener import Door
from querywarden.runtime.shutdown import drain
from querywarden.runtime.sources import Sources
from querywarden.session.inputs import Draining


class FakeDriver:
    """A session that ends when it is told to, or only when it is made to."""

    def __init__(self, registry: SessionRegistry, number: int, *, is_stubborn: bool = False) -> None:
        self.session_id = f"s-{number}"
        self.session: Any = type("S", (), {"cancel_key": None})()
        self.registry = registry
        self.is_stubborn = is_stubborn
        self.was_aborted = False
        self.told: list[Any] = []

    def deliver(self, happened: Any) -> None:
        self.told.append(happened)
        if not self.is_stubborn:
            asyncio.get_running_loop().call_soon(self.registry.remove, self)

    def abort(self) -> None:
        self.was_aborted = True
        self.registry.remove(self)  # type: ignore[arg-type]


def house(*drivers: bool) -> tuple[Door, SessionRegistry, list[FakeDriver]]:
    registry = SessionRegistry()
    nothing: Any = None
    door = Door(Sources(Limits()), registry, nothing, nothing, nothing)
    made = [FakeDriver(registry, number, is_stubborn=is_stubborn) for number, is_stubborn in enumerate(drivers)]
    for driver in made:
        registry.add(driver)  # type: ignore[arg-type]
    return door, registry, made


async def test_sessions_that_end_by_themselves() -> None:
    door, registry, drivers = house(False, False)
    async with asyncio.timeout(5):
        await drain(door, [], registry, 60.0, asyncio.Event())
    assert door.is_closed
    assert [driver.told for driver in drivers] == [[Draining()], [Draining()]]
    assert not any(driver.was_aborted for driver in drivers)


async def test_sessions_that_do_not_end_are_ended_at_the_deadline() -> None:
    door, registry, drivers = house(True, False)
    async with asyncio.timeout(5):
        await drain(door, [], registry, 0.02, asyncio.Event())
    assert [driver.was_aborted for driver in drivers] == [True, False]
    assert len(registry) == 0


async def test_asked_twice_it_does_not_wait() -> None:
    door, registry, drivers = house(True)
    at_once = asyncio.Event()
    at_once.set()
    async with asyncio.timeout(5):
        await drain(door, [], registry, 60.0, at_once)
    assert drivers[0].was_aborted


async def test_nobody_to_wait_for() -> None:
    door, registry, _ = house()
    async with asyncio.timeout(5):
        await drain(door, [], registry, 60.0, asyncio.Event())
    assert door.is_closed
