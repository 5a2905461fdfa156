"""kill -9 of a writing process, and a disk that really is full: nothing that was called safe is missing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from querywarden.admin.audit import verify_log
from querywarden.runtime.journal_writer import JournalWriter
from querywarden.session.effects import Durability
from querywarden.storage.journal_layout import segments
from querywarden.storage.journal_recovery import open_journal

_SOURCE = Path(__file__).parents[2] / "src"
_WRITER = """
import asyncio, os, sys, time
from pathlib import Path
from querywarden.audit.record_id import record_id
from querywarden.runtime.journal_writer import JournalWriter
from querywarden.session.effects import Durability
from querywarden.storage.journal_recovery import open_journal

async def session(writer, durability):
    loop = asyncio.get_running_loop()
    while True:
        told = record_id(time.time_ns() // 1_000_000, os.urandom(10))
        safe = loop.create_future()
        writer.append("a.b", {"padding": "x" * 300}, durability, safe.set_result, told)
        if await safe:
            os.write(1, (told + "\\n").encode())

async def main():
    journal = open_journal(Path(sys.argv[1]), version="1", origin="test")
    journal.segment_bytes_max = 200_000
    writer = JournalWriter(journal)
    writer.start()
    await asyncio.gather(*(session(writer, durability) for durability in list(Durability) * 8))

asyncio.run(main())
"""


@pytest.mark.parametrize("wanted", [1, 700, 2500])
def test_kill_9_under_load_loses_nothing_that_was_called_safe(tmp_path, wanted):
    directory = tmp_path / "log"
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(directory)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(_SOURCE)}
    )
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(wanted)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    safe = {line.decode().strip() for line in told if line.endswith(b"\n")}
    assert len(safe) >= wanted
    assert verify_log(directory, is_live=True).is_good
    open_journal(directory, version="1").close()
    assert verify_log(directory).is_good
    records = [json.loads(line) for path in segments(directory) for line in path.read_bytes().splitlines()]
    assert safe <= {record["id"] for record in records}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this machine doesn't let tests mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_disk_that_is_really_full(small_disk):
    changed = asyncio.Event()
    states = []

    def on_health(healthy, cause):
        states.append(healthy)
        changed.set()

    filler = small_disk / "filler"
    filler.write_bytes(bytes(400_000))
    writer = JournalWriter(open_journal(small_disk / "log", version="1"), on_health=on_health, retry_seconds=0.01)
    writer.start()
    safe = []

    async def append(number):
        future = asyncio.get_running_loop().create_future()
        durability = Durability.DURABLE if number % 2 else Durability.WRITTEN
        writer.append("a.b", {"number": number, "padding": "x" * 1000}, durability, future.set_result)
        if await future:
            safe.append(number)
            return True
        return False

    number = 0
    while all(await asyncio.gather(*(append(number + i) for i in range(20)))):
        number += 20
        assert number < 2000
    assert [False] == states
    assert not writer.healthy
    assert not await append(5000)
    changed.clear()
    filler.unlink()
    await asyncio.wait_for(changed.wait(), 20)
    assert [False, True] == states
    assert await append(6000)
    await writer.close()
    result = verify_log(small_disk / "log")
    assert result.is_good
    assert 1 == result.tally.types["log.gap"]
    records = [json.loads(line) for path in segments(small_disk / "log") for line in path.read_bytes().splitlines()]
    assert set(safe) <= {record.get("number") for record in records}
