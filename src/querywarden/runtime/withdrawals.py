"""Withdrawals: requests that nobody waits for any more, told to the control store now or as soon as it answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from querywarden.approval.request import ApprovalRequest
from querywarden.errors import DependencyFailure
from querywarden.runtime.approval_news import ApprovalNews
from querywarden.runtime.store_calls import StoreCalls
from querywarden.storage.control_store import ControlStore


class Withdrawals:
    """What is still to be withdrawn in the store. `spawn` runs work in the background."""

    def __init__(
        self,
        store: ControlStore,
        calls: StoreCalls,
        news: ApprovalNews,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._calls = calls
        self._news = news
        self._spawn = spawn
        self._clock = clock
        self._left: dict[str, tuple[ApprovalRequest, str]] = {}

    def __len__(self) -> int:
        return len(self._left)

    def add(self, request: ApprovalRequest, cause: str) -> None:
        """Withdraw a request; returns at once."""
        self._left[request.id] = (request, cause)
        self._spawn(self._try())

    async def flush(self) -> None:
        """Tell the store of all of them. Raises: DependencyFailure; nothing is forgotten then."""
        while self._left:
            number, (request, cause) = self._left.popitem()
            try:
                is_withdrawn = await self._calls.run(self._store.withdraw, number, cause, self._clock())
            except BaseException:
                self._left.setdefault(number, (request, cause))
                raise
            # Where it was settled in another way meanwhile, that has been told.
            if is_withdrawn:
                self._news.withdrawn(request, cause)

    async def _try(self) -> None:
        try:
            await self.flush()
        except DependencyFailure:
            pass  # Told by the calls; the next sweep tries again.
