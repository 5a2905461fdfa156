"""Stamps: the time, the boot clock and the randomness that each record carries."""

from __future__ import annotations

import os
import secrets
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from querywarden.audit.chain import Stamp
from querywarden.audit.log_format import NONCE_BYTES
from querywarden.audit.record_id import RANDOM_BYTES, record_id

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_POOL_BYTES = 8192
"""Randomness drawn at a time: a system call per record would cost as much as its hash."""


class RandomPool:
    """Random bytes for what isn't secret, as ids, drawn from the system many at a time."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def draw(self, count: int) -> bytes:
        """So many random bytes, each given out once."""
        at = self._at
        self._at = at + count
        if self._at > len(self._pool):
            self._pool = os.urandom(max(count, _POOL_BYTES))
            at, self._at = 0, count
        return self._pool[at : self._at]


class Stamps:
    """Makes the stamps of one writer."""

    def __init__(self) -> None:
        self.boot = boot_id()
        self._random = RandomPool()

    def draw(self, told_id: str | None = None) -> Stamp:
        """The stamp of a record that is made now; `told_id` when the client has been told one already."""
        now = time.time_ns()
        return Stamp(
            id=told_id if told_id is not None else record_id(now // 1_000_000, self._random.draw(RANDOM_BYTES)),
            nonce=self._random.draw(NONCE_BYTES),
            t=format_time(now),
            mono=boot_microseconds(),
            boot=self.boot,
        )

    def follow(self, last: tuple[str, int] | None) -> None:
        """Take another boot name if the log's last record is ahead of the boot clock: another time name space, not another boot."""
        if last is not None and last[0] == self.boot and last[1] > boot_microseconds():
            self.boot = f"{boot_id()}/{secrets.token_hex(4)}"


def boot_id() -> str:
    """The id of the machine's current boot; a random one where the system has none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return f"process-{secrets.token_hex(16)}"


def boot_microseconds() -> int:
    """Microseconds since the machine started, sleep included; they never run backwards within one boot."""
    return time.clock_gettime_ns(_BOOT_CLOCK) // 1000


def format_time(nanoseconds: int) -> str:
    """A moment as RFC 3339 in UTC with microseconds."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_format_second(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=4)
def _format_second(seconds: int) -> str:
    """The whole seconds of a moment; all records of a second share them."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
