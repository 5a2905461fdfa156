"""Calls of the control store: they block, so they are made in threads of their own, each within a deadline.

The threads are few and serve nothing else, so that a store that hangs takes nothing else with it. What a call has done after its
deadline has passed isn't lost: whoever made it may hear of it and undo it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from querywarden.errors import DependencyFailure

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
CALL_SECONDS_MAX = 10.0
"""For one call, waiting for a thread included: SQLite waits for other writers for less."""


class StoreCalls:
    """Makes blocking calls in threads, and notices when the store stops answering and when it answers again.

    `on_change` hears of both, on the loop: whether it answers, and the cause when it doesn't; once per outage.
    """

    def __init__(self, on_change: Callable[[bool, str], None], *, threads: int = THREADS, seconds_max: float = CALL_SECONDS_MAX) -> None:
        self.is_answering = True
        self._on_change = on_change
        self._seconds_max = seconds_max
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="control-store")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call. Raises: DependencyFailure when the store doesn't answer, or not in time; else what the call raises."""
        return await self._run(lambda: call(*args, **kwargs), None)

    async def run_or_undo(self, call: Callable[[], T], undo: Callable[[T], None]) -> T:
        """Make a call as `run` does; should it succeed only after its deadline, `undo` gets its result, on the loop."""
        return await self._run(call, undo)

    async def _run(self, call: Callable[[], T], undo: Callable[[T], None] | None) -> T:
        loop = asyncio.get_running_loop()
        try:
            work: Future[T] = self._threads.submit(call)
        except RuntimeError:
            raise DependencyFailure("the control store is closed") from None
        try:
            async with asyncio.timeout(self._seconds_max):
                result = await asyncio.wrap_future(work)
        except TimeoutError:
            _undo_late(loop, work, undo)
            self._tell(False, "it did not answer in time")
            raise DependencyFailure("the control store did not answer in time") from None
        except asyncio.CancelledError:
            _undo_late(loop, work, undo)
            raise
        except DependencyFailure as failure:
            self._tell(False, str(failure))
            raise
        except Exception:
            # An answer too: the store has said no to something.
            self._tell(True, "")
            raise
        self._tell(True, "")
        return result

    def close(self) -> None:
        """Take no more calls; those that hang are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _tell(self, is_answering: bool, cause: str) -> None:
        if is_answering != self.is_answering:
            self.is_answering = is_answering
            self._on_change(is_answering, cause)


def _undo_late(loop: asyncio.AbstractEventLoop, work: Future[T], undo: Callable[[T], None] | None) -> None:
    """Undo what a call that nobody waits for any more may still do."""
    if undo is None or work.cancelled():
        return
    undoing = undo

    def done(work: Future[T]) -> None:
        if work.cancelled() or work.exception() is not None:
            return
        try:
            loop.call_soon_threadsafe(undoing, work.result())
        except RuntimeError:
            pass  # The loop is over, and with it whoever could undo anything.

    work.add_done_callback(done)
