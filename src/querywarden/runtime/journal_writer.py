"""The journal's driver: group commit without a timer, callbacks when records are safe, and the state that refuses statements.

Records appended in one loop iteration are handed to the kernel in one write on the loop's thread: that is a copy into the page cache,
a few microseconds. One thread runs fdatasync; the next one starts when the last has ended, so a batch is whatever arrived meanwhile and
neither a lone record nor a crowd waits for a clock. When only records that need no more than `written` are unsynced, the sync is put
off by a few milliseconds, which keeps a stream of reads from driving the disk at full tilt.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from querywarden.audit import log_records
from querywarden.audit.encoding import Unencodable
from querywarden.errors import DependencyFailure
from querywarden.session.effects import Durability
from querywarden.storage.journal import Journal

Callback = Callable[[bool], None]

LAZY_SYNC_SECONDS = 0.005
"""How long records that are `written` may wait for fdatasync to begin; with the sync itself they stay within 10 ms."""
HEARTBEAT_SECONDS = 60.0
RETRY_SECONDS = 1.0
"""Between two attempts to go on after a full disk."""


class JournalWriter:
    """The one appender of a log in this process. All methods run on the loop's thread; callbacks never run inside `append`."""

    def __init__(
        self,
        journal: Journal,
        *,
        on_health: Callable[[bool, str], None] | None = None,
        on_queue: Callable[[int], None] | None = None,
        on_sync: Callable[[float], None] | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """A writer for an open journal; `start` comes next.

        Args:
            on_health: told whether records can be written, and why not, at each change.
            on_queue: told how many records wait for fdatasync, after each batch and each sync.
            on_sync: told how many seconds each fdatasync took.
        """
        self._journal = journal
        self._on_health = on_health
        self._on_queue = on_queue
        self._on_sync = on_sync
        self._heartbeat_seconds = heartbeat_seconds
        self._retry_seconds = retry_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._batch: list[tuple[Callback | None, bool]] = []
        self._is_flush_due = False
        self._durable: deque[tuple[int, Callback]] = deque()
        self._flushed = self._synced = journal.next_seq
        self._sync_running = False
        self._lazy_sync: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._jobs: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._refused = 0
        self._last_append = 0.0
        self._is_closing = False
        self._drained: asyncio.Event = asyncio.Event()
        self._health = (True, "")

    @property
    def healthy(self) -> bool:
        """Whether a record appended now can become safe."""
        return self._journal.is_ready and not self._is_closing

    @property
    def queue_length(self) -> int:
        """The records that are not on disk yet."""
        return self._journal.next_seq - self._synced

    def start(self) -> None:
        """Begin, on the running loop: the sync thread and the heartbeat."""
        self._loop = asyncio.get_running_loop()
        self._last_append = self._loop.time()
        self._thread = threading.Thread(target=self._sync_forever, name="journal-sync", daemon=True)
        self._thread.start()
        self._timer = self._loop.call_later(self._heartbeat_seconds, self._beat)

    def append(
        self,
        type: str,  # noqa: A002 - the effect's own word
        body: Mapping[str, Any],
        durability: Durability,
        callback: Callback | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Append a record; the callback gets True once it is as durable as asked for, False when it can't be.

        Callbacks run in the order of their records within each durability, from the loop, never from inside this call.
        The body is encoded at once and not kept.
        """
        loop = self._running_loop()
        if self._is_closing:
            self._fail(callback)
            return
        try:
            self._journal.add(type, body, id)
        except (DependencyFailure, Unencodable):
            self._refused += 1
            self._fail(callback)
            return
        self._batch.append((callback, durability is Durability.DURABLE))
        self._last_append = loop.time()
        if not self._is_flush_due:
            self._is_flush_due = True
            loop.call_soon(self._flush)

    async def close(self, reason: str = "stopped") -> None:
        """Flush, wait until everything is on disk, write `log.close` and give the log free. Later appends fail."""
        if self._is_closing:
            return
        self._is_closing = True
        for handle in (self._timer, self._lazy_sync, self._retry):
            if handle is not None:
                handle.cancel()
        self._flush()
        if self._sync_running or self._durable:
            await self._drained.wait()
        self._jobs.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        try:
            await asyncio.to_thread(self._journal.close, reason)
        except DependencyFailure:
            self._note_health()

    def _flush(self) -> None:
        self._is_flush_due = False
        batch, self._batch = self._batch, []
        if not batch:
            return
        try:
            self._flushed = self._journal.flush()
        except DependencyFailure:
            self._refused += len(batch)
            self._after_failure()
            for callback, _ in batch:
                self._answer(callback, False)
            return
        ready = []
        is_urgent = False
        for callback, is_durable in batch:
            is_urgent = is_urgent or is_durable
            if callback is None:
                continue
            if is_durable:
                self._durable.append((self._flushed, callback))
            else:
                ready.append(callback)
        self._schedule_sync(is_urgent)
        if self._on_queue is not None:
            self._on_queue(self.queue_length)
        for callback in ready:
            self._answer(callback, True)
        self._answer_durable()  # a rotation may have brought these records to disk before their turn came

    def _schedule_sync(self, is_urgent: bool) -> None:
        if self._sync_running or self._flushed <= self._synced or self._journal.is_dead:
            return
        if is_urgent or self._is_closing:
            if self._lazy_sync is not None:
                self._lazy_sync.cancel()
                self._lazy_sync = None
            self._sync_running = True
            self._jobs.put(self._flushed)
        elif self._lazy_sync is None:
            self._lazy_sync = self._running_loop().call_later(LAZY_SYNC_SECONDS, self._sync_lazily)

    def _sync_lazily(self) -> None:
        self._lazy_sync = None
        self._schedule_sync(is_urgent=True)

    def _sync_forever(self) -> None:
        """The sync thread: one fdatasync per job, the answer goes to the loop."""
        loop = self._running_loop()
        while (covered := self._jobs.get()) is not None:
            began = time.perf_counter()
            try:
                self._journal.sync()
                is_safe = True
            except DependencyFailure:
                is_safe = False
            loop.call_soon_threadsafe(self._synced_up_to, covered, is_safe, time.perf_counter() - began)

    def _synced_up_to(self, covered: int, is_safe: bool, seconds: float) -> None:
        self._sync_running = False
        if not is_safe:
            self._after_failure()
            return
        self._synced = max(self._synced, covered)
        if self._on_sync is not None:
            self._on_sync(seconds)
        if self._journal.is_rotation_due and not self._is_closing:
            self._rotate()
        self._schedule_sync(is_urgent=bool(self._durable) and self._durable[-1][0] > self._synced)
        if self._on_queue is not None:
            self._on_queue(self.queue_length)
        self._answer_durable()
        if self._is_closing and not self._sync_running:
            self._drained.set()

    def _answer_durable(self) -> None:
        while self._durable and self._durable[0][0] <= self._synced:
            self._answer(self._durable.popleft()[1], True)

    def _rotate(self) -> None:
        """Begin the next segment. On the loop's thread: right after a sync there is next to nothing left to bring to disk."""
        self._sync_running = True  # no sync may begin while the file changes
        try:
            self._flush()
            self._journal.rotate()
            self._flushed = self._synced = self._journal.flushed_seq
        except DependencyFailure:
            self._after_failure()
        finally:
            self._sync_running = False

    def _after_failure(self) -> None:
        """Tell of the failure; after a full disk try again later, else nothing that waits can be called safe any more."""
        self._note_health()
        if self._journal.is_dead:
            waiting, self._durable = self._durable, deque()
            for _, callback in waiting:
                self._answer(callback, False)
            self._drained.set()
        elif not self._journal.is_ready and self._retry is None and not self._is_closing:
            self._retry = self._running_loop().call_later(self._retry_seconds, self._resume)

    def _resume(self) -> None:
        """Try to go on after a full disk, at a bounded rate for as long as it takes."""
        self._retry = None
        try:
            self._journal.resume(self._refused)
        except DependencyFailure:
            self._after_failure()
            return
        self._refused = 0
        self._flushed = self._journal.flushed_seq
        self._schedule_sync(is_urgent=True)
        self._note_health()

    def _answer(self, callback: Callback | None, is_safe: bool) -> None:
        """Call back; one session's mistake must not cost the others their answers."""
        if callback is None:
            return
        try:
            callback(is_safe)
        except Exception as error:
            self._running_loop().call_exception_handler({"message": "a journal callback failed", "exception": error})

    def _fail(self, callback: Callback | None) -> None:
        if callback is not None:
            self._running_loop().call_soon(self._answer, callback, False)

    def _note_health(self) -> None:
        health = (self._journal.is_ready, self._journal.cause)
        if health != self._health:
            self._health = health
            if self._on_health is not None:
                self._on_health(*health)

    def _beat(self) -> None:
        loop = self._running_loop()
        idle = loop.time() - self._last_append
        if idle >= self._heartbeat_seconds and self._journal.is_ready:
            self.append(log_records.HEARTBEAT, log_records.heartbeat(), Durability.WRITTEN)
            idle = 0.0
        self._timer = loop.call_later(max(self._heartbeat_seconds - idle, 0.001), self._beat)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the journal writer has not been started")
        return self._loop
