"""The journal's driver on a real loop: group commit, the order of callbacks, failure, a full disk, rotation, the end."""

from __future__ import annotations

import asyncio
import errno
import json
import threading

import pytest

from querywarden.admin.audit import verify_log
from querywarden.runtime.journal_writer import JournalWriter
from querywarden.session.effects import Durability
from querywarden.storage.files import Files
from querywarden.storage.journal_layout import segments
from querywarden.storage.journal_recovery import open_journal

WRITTEN, DURABLE = Durability.WRITTEN, Durability.DURABLE


class GatedFiles(Files):
    """Files whose fdatasync waits at a gate, can fail, and is counted; writes can fail for want of room."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.syncs = 0
        self.writes = []
        self.fails_sync = False
        self.is_full = False

    def write(self, fd, data):
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.writes.append(len(data))
        return super().write(fd, data)

    def sync_data(self, fd):
        self.reached.set()
        assert self.gate.wait(20)
        self.syncs += 1
        if self.fails_sync:
            raise OSError(errno.EIO, "Input/output error")
        super().sync_data(fd)


class Bench:
    """A writer over gated files; `answers` are the callbacks' arguments by name, in order."""

    def __init__(self, directory, **options):
        self.directory = directory
        self.files = GatedFiles()
        self.journal = open_journal(directory, version="1", origin="test", files=self.files)
        self.health = []
        self.answers = []
        self.queue = []
        self.sync_seconds = []
        self.writer = JournalWriter(
            self.journal,
            on_health=lambda healthy, cause: self.health.append((healthy, cause)),
            on_queue=self.queue.append,
            on_sync=self.sync_seconds.append,
            **options,
        )
        self.writer.start()
        self.files.syncs = 0
        self.files.writes.clear()
        self.files.reached.clear()

    def append(self, name, durability=DURABLE, body=None, told_id=None):
        future = asyncio.get_running_loop().create_future()

        def answer(is_safe):
            self.answers.append((name, is_safe))
            future.set_result(is_safe)

        self.writer.append("a.b", {"name": name} if body is None else body, durability, answer, told_id)
        return future

    async def sync_reached(self):
        assert await asyncio.to_thread(self.files.reached.wait, 20)
        self.files.reached.clear()

    def records(self):
        return [json.loads(line) for path in segments(self.directory) for line in path.read_bytes().splitlines()]


async def test_appends_of_one_iteration_are_one_write_and_one_sync(tmp_path):
    bench = Bench(tmp_path)
    futures = [bench.append(f"r{i}") for i in range(50)]
    assert [] == bench.answers  # never inside append
    assert [True] * 50 == await asyncio.gather(*futures)
    assert (1, 1) == (len(bench.files.writes), bench.files.syncs)
    assert [(f"r{i}", True) for i in range(50)] == bench.answers
    assert 1 == len(bench.sync_seconds)
    assert (50, 0) == (bench.queue[0], bench.queue[-1])
    await bench.writer.close()
    assert verify_log(tmp_path).is_good


async def test_what_arrives_during_a_sync_is_the_next_batch(tmp_path):
    bench = Bench(tmp_path)
    bench.files.gate.clear()
    first = bench.append("first")
    await bench.sync_reached()
    others = [bench.append(f"r{i}") for i in range(10)]
    read = bench.append("read", WRITTEN)
    assert await read  # who needs no more than `written` doesn't wait
    assert [("read", True)] == bench.answers
    bench.files.gate.set()
    assert all(await asyncio.gather(first, *others))
    assert 2 == bench.files.syncs
    await bench.writer.close()


async def test_written_records_reach_the_disk_without_being_asked_for(tmp_path):
    bench = Bench(tmp_path)
    assert await bench.append("read", WRITTEN)
    assert 1 == bench.writer.queue_length
    await bench.sync_reached()
    await bench.append("next")
    assert 0 == bench.writer.queue_length
    await bench.writer.close()


async def test_a_body_without_a_line_fails_alone(tmp_path):
    bench = Bench(tmp_path)
    good, bad, after = bench.append("good"), bench.append("bad", body={"a": 1.5}), bench.append("after")
    assert [] == bench.answers
    assert (True, False, True) == (await good, await bad, await after)
    assert bench.writer.healthy
    await bench.writer.close()
    assert verify_log(tmp_path).is_good


async def test_the_told_id_is_the_records(tmp_path):
    bench = Bench(tmp_path)
    told = "01900000-0000-7000-8000-000000000001"
    await bench.append("told", told_id=told)
    await bench.writer.close()
    assert [told] == [record["id"] for record in bench.records() if record["type"] == "a.b"]


async def test_a_callback_that_fails_costs_the_others_nothing(tmp_path):
    bench = Bench(tmp_path)
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["exception"])))

    def broken(is_safe):
        raise ValueError("a session's mistake")

    bench.writer.append("a.b", {}, DURABLE, broken)
    bench.writer.append("a.b", {}, WRITTEN, broken)
    assert await bench.append("after")
    assert ["a session's mistake"] * 2 == told
    await bench.writer.close()


async def test_a_failed_sync_ends_the_log_for_this_process(tmp_path):
    bench = Bench(tmp_path)
    bench.files.gate.clear()
    first = bench.append("first")
    await bench.sync_reached()
    second = bench.append("second")
    assert await bench.append("read", WRITTEN)
    bench.files.fails_sync = True
    bench.files.gate.set()
    assert (False, False) == (await first, await second)
    assert not bench.writer.healthy
    assert not await bench.append("third")
    assert not await bench.append("fourth", WRITTEN)
    assert 1 == bench.files.syncs
    assert [(False, "the log failed: fdatasync: Input/output error")] == bench.health
    await bench.writer.close()
    open_journal(tmp_path, version="1").close()
    assert verify_log(tmp_path).is_good


async def test_a_full_disk_refuses_and_goes_on_when_there_is_room(tmp_path):
    back = asyncio.Event()
    bench = Bench(tmp_path, retry_seconds=0.001)
    assert await bench.append("before")
    bench.files.is_full = True
    assert (False, False) == (await bench.append("lost"), await bench.append("lost too", WRITTEN))
    assert not bench.writer.healthy
    bench.writer._on_health = lambda healthy, cause: back.set() if healthy else None
    bench.files.is_full = False
    await asyncio.wait_for(back.wait(), 20)
    assert await bench.append("after")
    await bench.writer.close()
    types = [record["type"] for record in bench.records()]
    assert ["log.genesis", "log.open", "a.b", "log.gap", "a.b", "log.close"] == types
    assert 2 == bench.records()[3]["refused"]
    assert verify_log(tmp_path).is_good
    assert [(False, "no room for the log: No space left on device")] == bench.health


async def test_records_on_their_way_to_disk_are_safe_though_the_disk_filled_up_behind_them(tmp_path):
    bench = Bench(tmp_path, retry_seconds=60)
    bench.files.gate.clear()
    first = bench.append("first")
    await bench.sync_reached()
    second = bench.append("second")
    await bench.append("flushed", WRITTEN)
    bench.files.is_full = True
    assert not await bench.append("lost")
    bench.files.gate.set()
    assert (True, True) == (await first, await second)
    await bench.writer.close()
    open_journal(tmp_path, version="1").close()
    assert ["first", "second", "flushed"] == [record["name"] for record in bench.records() if record["type"] == "a.b"]


async def test_segments_rotate_under_load(tmp_path):
    bench = Bench(tmp_path)
    bench.journal.segment_bytes_max = 3000
    for _ in range(10):
        assert all(await asyncio.gather(*(bench.append("r") for _ in range(5))))
    await bench.writer.close()
    result = verify_log(tmp_path)
    assert result.is_good
    assert result.tally.segments > 3
    assert 50 == result.tally.types["a.b"]


async def test_no_sync_begins_while_the_file_changes(tmp_path):
    bench = Bench(tmp_path)
    late = []
    rotate = bench.journal.rotate

    def append_once(_):
        bench.writer._on_sync = None
        bench.files.gate.clear()
        bench.files.reached.clear()
        late.append(bench.append("late"))

    def watched():
        assert not bench.files.reached.wait(0.2)  # a sync that had begun would stand at the gate
        rotate()
        bench.files.gate.set()

    bench.writer._on_sync = append_once
    bench.journal.rotate = watched
    bench.journal.segment_bytes_max = 10
    assert await bench.append("first")
    assert await asyncio.wait_for(late[0], 20)
    await bench.writer.close()
    assert verify_log(tmp_path).is_good


async def test_a_record_appended_by_a_callback_during_a_rotation_is_answered(tmp_path):
    bench = Bench(tmp_path)
    late = []

    def follow(is_safe):
        late.append(bench.append("late"))

    def append_once(_):
        bench.writer._on_sync = None
        bench.writer.append("a.b", {}, WRITTEN, follow)

    bench.writer._on_sync = append_once
    bench.journal.segment_bytes_max = 10
    assert await bench.append("first")
    assert 1 == len(late)
    assert await asyncio.wait_for(late[0], 20)
    await bench.writer.close()
    assert verify_log(tmp_path).is_good


async def test_silence_is_recorded(tmp_path):
    bench = Bench(tmp_path, heartbeat_seconds=0.001)
    await bench.sync_reached()
    await bench.writer.close()
    assert "log.heartbeat" in [record["type"] for record in bench.records()]


async def test_closing_waits_for_what_is_on_its_way(tmp_path):
    bench = Bench(tmp_path)
    bench.files.gate.clear()
    first, second = bench.append("first"), bench.append("second", WRITTEN)
    closing = asyncio.ensure_future(bench.writer.close("test"))
    await bench.sync_reached()
    late = bench.append("late")
    assert not await late
    assert not closing.done()
    bench.files.gate.set()
    await closing
    await bench.writer.close()
    assert (True, True) == (first.result(), second.result())
    last = bench.records()[-1]
    assert ("log.close", "test") == (last["type"], last["reason"])
    assert verify_log(tmp_path).tally.is_closed


def test_a_writer_that_was_not_started_says_so(tmp_path):
    journal = open_journal(tmp_path, version="1")
    with pytest.raises(RuntimeError, match="not been started"):
        JournalWriter(journal).append("a.b", {}, DURABLE)
    journal.close()
