"""Fail the n-th file operation until none fails: whatever was called safe is in the log that opens afterwards, and it verifies."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random

import pytest

from querywarden.admin.audit import verify_log
from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.storage.files import Files
from querywarden.storage.journal import JournalDead, JournalFull
from querywarden.storage.journal_layout import segments
from querywarden.storage.journal_recovery import open_journal

_OPERATIONS = (
    "create", "open", "write", "sync_data", "sync", "truncate", "rename", "unlink", "change_mode", "sync_directory", "lock",
)  # fmt: skip


class FaultyFiles(Files):
    """Files whose n-th operation fails, once or from then on; a failing write may leave part of its data behind."""

    def __init__(self, fail_at, code, is_lasting=False, keeps_bytes=0):
        self.count = 0
        self.fail_at = fail_at
        self.code = code
        self.is_lasting = is_lasting
        self.keeps_bytes = keeps_bytes
        self.failed = []

    def _must_fail(self, name):
        self.count += 1
        if self.count == self.fail_at or (self.is_lasting and self.count > self.fail_at):
            self.failed.append(name)
            return True
        return False

    def _failure(self):
        return OSError(self.code, os.strerror(self.code))

    def write(self, fd, data):
        if self._must_fail("write"):
            if self.keeps_bytes:
                os.write(fd, bytes(data)[: self.keeps_bytes])
            raise self._failure()
        return super().write(fd, data)


def _failing(name):
    def operation(self, *arguments):
        if self._must_fail(name):
            raise self._failure()
        return getattr(Files, name)(self, *arguments)

    return operation


for _name in _OPERATIONS:
    if _name != "write":
        setattr(FaultyFiles, _name, _failing(_name))


def _work(directory, files, written, durable):
    """A writer's life: batches, syncs, rotations; `written` and `durable` get the numbers and ids that were called safe."""
    journal = open_journal(directory, version="1", origin="test", files=files)
    try:
        for batch in range(8):
            pending = {}
            try:
                for number in range(3):
                    told = f"01900000-0000-7000-8000-{batch:06}{number:06}"
                    pending[told] = journal.add("a.b", {"batch": batch, "padding": "x" * 40}, told)
                journal.flush()
                written.update(pending)
                if batch % 2:
                    journal.sync()
                    durable.update(written)
                if batch in (2, 5):
                    journal.rotate()
                    durable.update(written)
            except JournalFull:
                with contextlib.suppress(JournalFull):
                    journal.resume(3)
    finally:
        journal.close()


def _run(directory, files):
    written, durable = {}, {}
    with contextlib.suppress(ConfigurationError, DependencyFailure):
        _work(directory, files, written, durable)
    return written, durable


def _stored(directory):
    records = [json.loads(line) for path in segments(directory) for line in path.read_bytes().splitlines()]
    return {record["id"]: record["seq"] for record in records if record["type"] == "a.b"}


@pytest.mark.parametrize("keeps_bytes", [0, 1, 400])
@pytest.mark.parametrize("is_lasting", [False, True])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_what_was_called_safe_survives_every_failing_operation(tmp_path, code, is_lasting, keeps_bytes):
    seen = set()
    for fail_at in range(1, 400):
        directory = tmp_path / str(fail_at)
        files = FaultyFiles(fail_at, code, is_lasting, keeps_bytes)
        written, _ = _run(directory, files)
        seen.update(files.failed)
        open_journal(directory, version="1", origin="test").close()
        result = verify_log(directory)
        assert result.is_good, (fail_at, files.failed, result.finding)
        stored = _stored(directory)
        assert written.items() <= stored.items(), (fail_at, files.failed)
        if not files.failed:
            break
    else:
        pytest.fail("some operation never stopped failing")
    expected = {"create", "write", "sync_data", "sync", "rename", "sync_directory", "lock"}
    assert expected <= seen


def test_a_failed_sync_is_never_tried_again(tmp_path):
    class Once(Files):
        fails = False
        calls = 0

        def sync_data(self, fd):
            self.calls += 1
            if self.fails:
                self.fails = False
                raise OSError(errno.EIO, "input/output error")
            super().sync_data(fd)

    files = Once()
    journal = open_journal(tmp_path, version="1", files=files)
    journal.add("a.b", {})
    journal.flush()
    files.fails = True
    with pytest.raises(JournalDead, match="fdatasync"):
        journal.sync()
    calls = files.calls
    for attempt in (journal.sync, journal.rotate, lambda: journal.add("a.b", {})):
        with pytest.raises(JournalDead):
            attempt()
    journal.resume(1)
    journal.close()
    assert calls == files.calls
    assert journal.is_dead


def test_short_writes_are_continued(tmp_path):
    class Short(Files):
        def write(self, fd, data):
            return super().write(fd, bytes(data)[:7])

    written, _ = _run(tmp_path, Short())
    assert 24 == len(written)
    assert verify_log(tmp_path).is_good


def test_a_full_disk_leaves_whole_lines_and_a_gap_on_record(tmp_path):
    files = FaultyFiles(0, errno.ENOSPC, keeps_bytes=100)
    journal = open_journal(tmp_path, version="1", files=files)
    size = segments(tmp_path)[-1].stat().st_size
    journal.add("a.b", {"lost": True})
    files.fail_at = files.count + 1
    with pytest.raises(JournalFull, match="no room"):
        journal.flush()
    assert size == segments(tmp_path)[-1].stat().st_size
    assert not journal.is_ready
    assert not journal.is_dead
    with pytest.raises(JournalFull):
        journal.add("a.b", {})
    files.fail_at = files.count + 1
    with pytest.raises(JournalFull):
        journal.resume(1)
    journal.resume(2)
    assert journal.is_ready
    journal.close()
    result = verify_log(tmp_path)
    assert result.is_good
    assert (1, None) == (result.tally.types["log.gap"], result.tally.types.get("a.b"))


def test_a_file_that_does_not_end_where_it_should_is_never_written_again(tmp_path):
    class Stubborn(FaultyFiles):
        def truncate(self, fd, size):
            """Answers well and does nothing."""

    files = Stubborn(0, errno.ENOSPC, keeps_bytes=100)
    journal = open_journal(tmp_path, version="1", files=files)
    journal.add("a.b", {})
    files.fail_at = files.count + 1
    with pytest.raises(JournalDead, match="doesn't end where it should"):
        journal.flush()
    journal.close()
    open_journal(tmp_path, version="1").close()
    assert verify_log(tmp_path).is_good


class _SyncedSizes(Files):
    """Remembers how much of each file is on disk for certain."""

    def __init__(self):
        self.synced = {}

    def _note(self, fd):
        info = os.fstat(fd)
        self.synced[info.st_ino] = info.st_size

    def sync_data(self, fd):
        super().sync_data(fd)
        self._note(fd)

    def sync(self, fd):
        super().sync(fd)
        self._note(fd)


@pytest.mark.parametrize("seed", range(40))
def test_a_power_cut_loses_nothing_that_was_called_durable(tmp_path, seed):
    """Of what was not synced, any part may be missing: the file is cut anywhere, or blocks of it were never filled."""
    chance = random.Random(seed)
    written, durable = {}, {}

    class Cut(Exception):
        pass

    class Cutting(_SyncedSizes):
        left = chance.randrange(8, 60)

        def write(self, fd, data):
            self.left -= 1
            if self.left < 0:
                raise Cut
            return super().write(fd, data)

    files = Cutting()
    with contextlib.suppress(Cut):
        _work(tmp_path, files, written, durable)
    for path in segments(tmp_path):
        info = path.stat()
        synced = files.synced.get(info.st_ino, 0)
        data = bytearray(path.read_bytes())
        if chance.random() < 0.5:
            del data[chance.randint(synced, len(data)) :]
        elif len(data) > synced:
            at = chance.randrange(synced, len(data))
            data[at : at + 64] = bytes(len(data[at : at + 64]))
        path.chmod(0o640)
        path.write_bytes(data)
    open_journal(tmp_path, version="1", origin="test").close()
    assert verify_log(tmp_path).is_good
    assert durable.items() <= _stored(tmp_path).items()
