"""Time: the clock that sessions see, their named timers, and work that repeats in the background."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

_EPOCH_OF_MONOTONIC = time.time() - time.monotonic()


def now() -> float:
    """Seconds since the epoch as of this process's start, and from there on monotonic: fit for durations and for ids.

    What hangs on the true time of day, as a credential's expiry does, asks the wall clock instead.
    """
    return _EPOCH_OF_MONOTONIC + time.monotonic()


class Timers:
    """The timers of one session, by name; setting a name again replaces its timer."""

    __slots__ = ("_fired", "_handles")

    def __init__(self, fired: Callable[[str], None]) -> None:
        self._fired = fired
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def set(self, name: str, seconds: float) -> None:
        """Fire a name after so many seconds."""
        self.clear(name)
        self._handles[name] = asyncio.get_running_loop().call_later(seconds, self._fire, name)

    def clear(self, name: str) -> None:
        """Forget the timer of a name, if there is one."""
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.cancel()

    def clear_all(self) -> None:
        """Forget all timers."""
        for name in list(self._handles):
            self.clear(name)

    def _fire(self, name: str) -> None:
        self._handles.pop(name, None)
        self._fired(name)


async def repeat(seconds: float, work: Callable[[], Awaitable[None]], name: str) -> None:
    """Do a piece of work again and again, so many seconds apart; its errors are logged and don't end it."""
    log = structlog.get_logger()
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception as error:
            log.error("background.failed", work=name, exc_info=error)
