"""Shutdown: stop accepting, let sessions end at their next boundary, and end those that don't in time."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from querywarden.runtime.cancel import SessionRegistry
from querywarden.runtime.listener import Door, Listener
from querywarden.session.inputs import Draining

_ABORT_SECONDS_MAX = 5.0


class Signals:
    """The process's signals as events: SIGTERM and SIGINT stop (a second one at once), SIGHUP reloads."""

    def __init__(self, reload: Callable[[], None]) -> None:
        self.stop = asyncio.Event()
        self.stop_at_once = asyncio.Event()
        self._reload = reload

    def install(self) -> None:
        """Take the signals over from the interpreter."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_asked)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _stop_asked(self) -> None:
        if self.stop.is_set():
            self.stop_at_once.set()
        self.stop.set()


async def drain(
    door: Door, listeners: Sequence[Listener], registry: SessionRegistry, seconds_max: float, stop_at_once: asyncio.Event
) -> None:
    """End all sessions: in order within the deadline, by force after it or when asked again."""
    log = structlog.get_logger()
    door.is_closed = True
    await asyncio.gather(*(listener.stop() for listener in listeners))
    log.info("drain.started", sessions=len(registry), seconds_max=seconds_max)
    for driver in registry.all():
        driver.deliver(Draining())
    await _first(registry.wait_until_empty(), stop_at_once.wait(), seconds_max=seconds_max)
    if len(registry):
        log.warning("drain.forced", sessions=len(registry))
        for driver in registry.all():
            driver.abort()
        await _first(registry.wait_until_empty(), seconds_max=_ABORT_SECONDS_MAX)
    log.info("drain.ended", sessions=len(registry))


async def _first(*awaited: Coroutine[Any, Any, Any], seconds_max: float) -> None:
    """Wait for the first of several things, or for the deadline."""
    tasks = [asyncio.ensure_future(each) for each in awaited]
    await asyncio.wait(tasks, timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
