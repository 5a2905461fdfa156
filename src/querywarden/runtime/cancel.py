"""Sessions by the keys that their clients hold: a CancelRequest reaches the session that it is for, or nothing.

A CancelRequest carries no login and may come in plaintext, so its key is all there is: compared in constant time, and
addresses that guess are slowed to a rate at which guessing is hopeless.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict

import structlog

from querywarden.runtime.driver import SessionDriver
from querywarden.runtime.timers import now
from querywarden.session.inputs import CancelRequested

WRONG_KEYS_PER_SOURCE = 10
"""Wrong keys that an address may send in `WRONG_KEY_WINDOW_SECONDS`; a client whose session has just ended sends one."""

WRONG_KEY_WINDOW_SECONDS = 60.0
_SOURCES_REMEMBERED = 10_000


class SessionRegistry:
    """All sessions of the process, by id and by cancel key."""

    def __init__(self) -> None:
        self._by_id: dict[str, SessionDriver] = {}
        self._by_process_id: dict[int, SessionDriver] = {}
        self._wrong_keys: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._by_id)

    async def wait_until_empty(self) -> None:
        """Wait until the last session has ended."""
        await self._empty.wait()

    def all(self) -> list[SessionDriver]:
        """The sessions there are now."""
        return list(self._by_id.values())

    def add(self, driver: SessionDriver) -> None:
        """A session has begun."""
        self._by_id[driver.session_id] = driver
        self._empty.clear()

    def logged_in(self, driver: SessionDriver) -> None:
        """A session has its cancel key now."""
        key = driver.session.cancel_key
        if key is not None:
            self._by_process_id[key[0]] = driver

    def remove(self, driver: SessionDriver) -> None:
        """A session is over; its key means nothing any more."""
        self._by_id.pop(driver.session_id, None)
        key = driver.session.cancel_key
        if key is not None and self._by_process_id.get(key[0]) is driver:
            del self._by_process_id[key[0]]
        if not self._by_id:
            self._empty.set()

    def cancel(self, process_id: int, key: bytes, address: str) -> bool:
        """Hand a CancelRequest to its session. Returns: whether there was one; the client is never told."""
        if self._is_guessing(address):
            return False
        driver = self._by_process_id.get(process_id)
        expected = None if driver is None else driver.session.cancel_key
        if driver is None or expected is None or not hmac.compare_digest(expected[1], key):
            self._count_wrong_key(address)
            structlog.get_logger().info("cancel.unknown_key", ip=address)
            return False
        driver.deliver(CancelRequested())
        return True

    def _is_guessing(self, address: str) -> bool:
        since, count = self._wrong_keys.get(address, (0.0, 0))
        return count >= WRONG_KEYS_PER_SOURCE and now() - since < WRONG_KEY_WINDOW_SECONDS

    def _count_wrong_key(self, address: str) -> None:
        since, count = self._wrong_keys.pop(address, (now(), 0))
        if now() - since >= WRONG_KEY_WINDOW_SECONDS:
            since, count = now(), 0
        self._wrong_keys[address] = (since, count + 1)
        while len(self._wrong_keys) > _SOURCES_REMEMBERED:
            self._wrong_keys.popitem(last=False)
