"""The journal: writing, rotating, and opening again after every way in which it can have ended."""

from __future__ import annotations

import json
import os
import stat

import pytest

from querywarden.admin.audit import verify_log
from querywarden.audit.commitment import Committer
from querywarden.errors import ConfigurationError
from querywarden.storage.journal import JournalDead
from querywarden.storage.journal_layout import segments
from querywarden.storage.journal_recovery import open_journal
from querywarden.storage.stamps import Stamps, boot_microseconds


def _write(directory, count=5, rotate_at=()):
    journal = open_journal(directory, version="1", origin="test")
    for number in range(count):
        if number in rotate_at:
            journal.rotate()
        journal.add("a.b", {"number": number, "padding": "x" * 50})
        journal.flush()
    journal.close()


def _records(directory):
    return [json.loads(line) for path in segments(directory) for line in path.read_bytes().splitlines()]


def _active(directory):
    return segments(directory)[-1]


def test_a_new_log(tmp_path):
    _write(tmp_path / "log", 2)
    directory = tmp_path / "log"
    assert ["log.genesis", "log.open", "a.b", "a.b", "log.close"] == [record["type"] for record in _records(directory)]
    assert 0o600 == stat.S_IMODE((directory / "commitment.key").stat().st_mode)
    assert 0o700 == stat.S_IMODE(directory.stat().st_mode)
    assert verify_log(directory).is_good


def test_a_log_goes_on_where_it_ended(tmp_path):
    _write(tmp_path, 2)
    _write(tmp_path, 2)
    records = _records(tmp_path)
    assert list(range(len(records))) == [record["seq"] for record in records]
    assert 2 == [record["type"] for record in records].count("log.open")
    assert {"test"} == {record["log"] for record in records}
    assert verify_log(tmp_path).is_good


def test_rotation_seals_with_a_digest(tmp_path):
    _write(tmp_path, 6, rotate_at=(2, 4))
    first, second, third = segments(tmp_path)
    assert [0o440, 0o440, 0o640] == [stat.S_IMODE(path.stat().st_mode) for path in (first, second, third)]
    assert json.loads(second.read_bytes().splitlines()[0])["bytes"] == first.stat().st_size
    assert (3, True) == (verify_log(tmp_path).tally.segments, verify_log(tmp_path).is_good)


def test_rotation_is_due_by_size_and_by_age(tmp_path):
    journal = open_journal(tmp_path, version="1")
    assert not journal.is_rotation_due
    journal.segment_bytes_max = 100
    assert journal.is_rotation_due
    journal.segment_bytes_max = 1 << 30
    journal.segment_seconds_max = 0.0
    assert journal.is_rotation_due
    journal.close()
    assert not journal.is_rotation_due


def test_only_one_writer(tmp_path):
    journal = open_journal(tmp_path, version="1")
    with pytest.raises(ConfigurationError, match="another process is writing this log"):
        open_journal(tmp_path, version="1")
    journal.close()
    open_journal(tmp_path, version="1").close()


def test_a_closed_journal_takes_nothing(tmp_path):
    journal = open_journal(tmp_path, version="1")
    journal.close()
    with pytest.raises(JournalDead):
        journal.add("a.b", {})
    assert journal.is_dead


def test_a_torn_line_goes_to_quarantine_and_is_reported(tmp_path):
    _write(tmp_path, 3)
    torn = b'{"a":"half a li'
    whole = _active(tmp_path).read_bytes()
    _active(tmp_path).write_bytes(whole + torn)
    _write(tmp_path, 1)
    assert whole == _active(tmp_path).read_bytes()[: len(whole)]
    (report,) = [record for record in _records(tmp_path) if record["type"] == "log.recovered"]
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert (len(torn), 5, kept.name) == (report["dropped_bytes"], report["last_good_seq"], report["quarantined"])
    assert torn == kept.read_bytes()
    assert verify_log(tmp_path).is_good


@pytest.mark.parametrize("hole", [b"\x00" * 4096, b"\x00" * 100 + b"tail of a line\n", b'{"a":1}\n', b"\n"])
def test_what_a_power_cut_leaves_is_a_torn_end(tmp_path, hole):
    _write(tmp_path, 3)
    with _active(tmp_path).open("ab") as file:
        file.write(hole)
    _write(tmp_path, 1)
    assert verify_log(tmp_path).is_good
    assert 1 == verify_log(tmp_path).tally.types["log.recovered"]


def test_records_behind_a_block_that_never_reached_the_disk_are_torn_too(tmp_path):
    _write(tmp_path, 6)
    data = bytearray(_active(tmp_path).read_bytes())
    lines = bytes(data).splitlines(keepends=True)
    start = sum(map(len, lines[:4]))
    data[start : start + 100] = bytes(100)
    _active(tmp_path).write_bytes(data)
    _write(tmp_path, 1)
    assert verify_log(tmp_path).is_good
    assert b"".join(lines[:4]) == _active(tmp_path).read_bytes()[:start]


def test_a_hole_in_front_of_a_later_start_is_no_torn_end(tmp_path):
    _write(tmp_path, 3)
    _write(tmp_path, 1)
    data = bytearray(_active(tmp_path).read_bytes())
    data[0:100] = bytes(100)
    _active(tmp_path).write_bytes(data)
    with pytest.raises(ConfigurationError, match="damaged"):
        open_journal(tmp_path, version="1")


@pytest.mark.parametrize("line", [0, 2, 4])
def test_damage_before_the_end_stops_the_start(tmp_path, line):
    _write(tmp_path, 5)
    lines = _active(tmp_path).read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"boot":"', b'"boot":"0', 1)
    _active(tmp_path).write_bytes(b"".join(lines))
    before = _active(tmp_path).read_bytes()
    with pytest.raises(ConfigurationError, match="damaged before its end") as caught:
        open_journal(tmp_path, version="1")
    assert "audit verify" in str(caught.value)
    assert before == _active(tmp_path).read_bytes()


def test_an_appended_copy_of_a_line_is_not_taken_for_a_torn_end(tmp_path):
    _write(tmp_path, 2)
    lines = _active(tmp_path).read_bytes().splitlines(keepends=True)
    _active(tmp_path).write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(ConfigurationError, match="damaged"):
        open_journal(tmp_path, version="1")


def test_damage_in_the_sealed_segment_before_stops_the_start(tmp_path):
    _write(tmp_path, 4, rotate_at=(2,))
    sealed = segments(tmp_path)[0]
    sealed.chmod(0o640)
    sealed.write_bytes(sealed.read_bytes().replace(b'"number":0', b'"number":9'))
    with pytest.raises(ConfigurationError, match="digest of the segment before"):
        open_journal(tmp_path, version="1")


def test_a_missing_or_shortened_segment_stops_the_start(tmp_path):
    _write(tmp_path, 8, rotate_at=(2, 4, 6))
    first, second, *_ = segments(tmp_path)
    data = second.read_bytes()
    second.chmod(0o640)
    second.write_bytes(data[:-1])
    with pytest.raises(ConfigurationError, match="another size"):
        open_journal(tmp_path, version="1")
    second.unlink()
    with pytest.raises(ConfigurationError, match="missing"):
        open_journal(tmp_path, version="1")
    second.write_bytes(data)
    first.unlink()
    with pytest.raises(ConfigurationError, match="first segment is missing"):
        open_journal(tmp_path, version="1")


@pytest.mark.parametrize("left", [b"", b'{"half', b"\x00" * 50])
def test_a_rotation_that_a_crash_interrupted(tmp_path, left):
    _write(tmp_path, 4)
    following = len(_records(tmp_path))
    (tmp_path / "seg" / f"{following:020d}.jsonl").write_bytes(left)
    _active(tmp_path).chmod(0o640)
    _write(tmp_path, 1)
    assert verify_log(tmp_path).is_good
    assert 1 == len(segments(tmp_path))
    assert (1 if left else 0) == verify_log(tmp_path).tally.types.get("log.recovered", 0)


def test_a_log_that_never_got_its_first_record(tmp_path):
    _write(tmp_path, 0)
    _active(tmp_path).write_bytes(b'{"boot":"1')
    _write(tmp_path, 1)
    assert verify_log(tmp_path).is_good
    assert ["log.genesis", "log.recovered", "log.open"] == [record["type"] for record in _records(tmp_path)][:3]


def test_a_quarantine_that_a_crash_left_unreported_is_reported(tmp_path):
    _write(tmp_path, 1)
    (tmp_path / "quarantine" / "x.torn.pending").write_bytes(b"abc")
    _write(tmp_path, 1)
    (report,) = [record for record in _records(tmp_path) if record["type"] == "log.recovered"]
    assert (3, "x.torn") == (report["dropped_bytes"], report["quarantined"])
    assert ["x.torn"] == os.listdir(tmp_path / "quarantine")
    _write(tmp_path, 1)
    assert 1 == verify_log(tmp_path).tally.types["log.recovered"]


def test_segments_without_an_identity_and_a_damaged_identity(tmp_path):
    _write(tmp_path, 1)
    identity = tmp_path / "log.json"
    good = identity.read_bytes()
    identity.write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match=r"log\.json is damaged"):
        open_journal(tmp_path, version="1")
    identity.write_bytes(good.replace(b'"format": 1', b'"format": 7'))
    with pytest.raises(ConfigurationError, match="format 7"):
        open_journal(tmp_path, version="1")
    identity.write_bytes(good.replace(b'"test"', b'"toast"'))
    with pytest.raises(ConfigurationError, match="another log"):
        open_journal(tmp_path, version="1")
    identity.unlink()
    with pytest.raises(ConfigurationError, match=r"without log\.json"):
        open_journal(tmp_path, version="1")


def test_the_commitment_key_is_kept_guarded_and_may_be_erased(tmp_path):
    journal = open_journal(tmp_path, version="1")
    before = journal.committer.commit("id", "statement", b"x")
    key = tmp_path / "commitment.key"
    assert before == Committer(key.read_bytes()).commit("id", "statement", b"x")
    journal.close()
    key.chmod(0o644)
    with pytest.raises(ConfigurationError, match="others may read"):
        open_journal(tmp_path, version="1")
    key.chmod(0o600)
    key.write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="commitment key is damaged"):
        open_journal(tmp_path, version="1")
    key.unlink()
    journal = open_journal(tmp_path, version="1")
    assert before != journal.committer.commit("id", "statement", b"x")
    journal.close()
    names = {record["commitment_key"] for record in _records(tmp_path) if record["type"] == "log.open"}
    assert 2 == len(names)
    assert verify_log(tmp_path).is_good


def test_a_directory_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="can't be opened"):
        open_journal(tmp_path / "file" / "log", version="1")


def test_stamps_are_fresh_and_never_run_backwards():
    stamps = Stamps()
    drawn = [stamps.draw() for _ in range(600)]
    assert 600 == len({stamp.nonce for stamp in drawn}) == len({stamp.id for stamp in drawn})
    assert sorted(stamp.mono for stamp in drawn) == [stamp.mono for stamp in drawn]
    assert "told" == stamps.draw("told").id


def test_another_time_name_space_is_another_boot():
    stamps = Stamps()
    boot = stamps.boot
    stamps.follow((boot, boot_microseconds() - 1))
    assert boot == stamps.boot
    stamps.follow(("other", 1 << 60))
    assert boot == stamps.boot
    stamps.follow((boot, boot_microseconds() + 10**12))
    assert boot != stamps.boot
