"""The verifier: any changed, missing, swapped, duplicated or inserted byte or line is found, at its place."""

from __future__ import annotations

import hashlib

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given
from tests.model import chain as oracle

from querywarden.audit import log_records
from querywarden.audit.chain import EMPTY, Head, Stamp, extend
from querywarden.audit.log_format import segment_name
from querywarden.audit.record_id import record_id
from querywarden.audit.verify import Verifier

LOG = "test/log"
IDENTITY = "a" * 64


def _stamp(number, boot="boot-1", mono=None):
    return Stamp(
        record_id(1_700_000_000_000 + number, bytes(10)), bytes([number % 256]) * 16, f"2026-11-20T00:00:{number:02}.000000Z",
        1000 + number if mono is None else mono, boot,
    )  # fmt: skip


def _segment(head: Head, bodies, stamps=None) -> tuple[list[bytes], Head]:
    lines = []
    for index, (kind, body) in enumerate(bodies):
        stamp = stamps[index] if stamps else _stamp(head.seq)
        line, head = extend(head, LOG, stamp, kind, body)
        lines.append(line)
    return lines, head


def _small_log(count=8):
    bodies = [(log_records.GENESIS, log_records.genesis(IDENTITY))]
    bodies += [("db.query.decided", {"stmt": {"norm": f"SELECT {i}"}, "effect": "deny"}) for i in range(count - 1)]
    return _segment(EMPTY, bodies)


def _joined(lines):
    return b"".join(line + b"\n" for line in lines)


def _rotate(first, lines, head):
    data = _joined(lines)
    return (log_records.ROTATE, log_records.rotated(first, head.seq - 1, len(data), hashlib.sha256(data).hexdigest()))


def _two_segments():
    first, head = _small_log(4)
    start = head.seq
    second, _ = _segment(head, [_rotate(0, first, head), ("a.b", {}), ("a.c", {}), ("a.d", {})])
    return first, second, start


def _verify(*segments):
    verifier = Verifier(LOG, IDENTITY)
    for name, data in segments:
        finding = verifier.segment(name, data)
        if finding is not None:
            return finding
    return None


def _verify_one(data):
    return _verify((segment_name(0), data))


LINES, _ = _small_log()
DATA = _joined(LINES)
STARTS = [DATA.index(line) for line in LINES]


def test_a_good_log_has_no_finding():
    assert _verify_one(DATA) is None
    assert oracle.is_intact(LOG, DATA)


@given(st.integers(0, STARTS[-1] - 1), st.integers(1, 255))
def test_a_changed_byte_is_found_in_its_line(at, flip):
    data = DATA[:at] + bytes([DATA[at] ^ flip]) + DATA[at + 1 :]
    finding = _verify_one(data)
    assert finding is not None
    assert not oracle.is_intact(LOG, data)
    line = max(i for i, start in enumerate(STARTS) if start <= at)
    assert line + 1 == finding.line
    assert STARTS[line] <= finding.offset


def _first_changed_line(data):
    """The damage begins where the bytes first differ: what was put in or taken out may repeat what stands beside it."""
    first = next((i for i in range(min(len(data), len(DATA))) if data[i] != DATA[i]), min(len(data), len(DATA)))
    return max(i for i, start in enumerate(STARTS) if start <= first) + 1


@given(st.integers(0, STARTS[-1] - 1), st.integers(1, 40))
def test_missing_bytes_are_found_in_their_line(at, count):
    assume(at + count <= STARTS[-1])
    data = DATA[:at] + DATA[at + count :]
    finding = _verify_one(data)
    assert finding is not None
    assert _first_changed_line(data) == finding.line


@given(st.integers(0, STARTS[-1]), st.binary(min_size=1, max_size=30))
def test_inserted_bytes_are_found(at, inserted):
    data = DATA[:at] + inserted + DATA[at:]
    finding = _verify_one(data)
    assert finding is not None
    assert _first_changed_line(data) == finding.line


@given(st.integers(0, len(LINES) - 2))
def test_a_missing_line_is_found_at_its_place(index):
    finding = _verify_one(_joined(LINES[:index] + LINES[index + 1 :]))
    assert index + 1 == finding.line
    assert "number is out of order" in finding.what


@given(st.integers(0, len(LINES) - 1))
def test_a_duplicated_line_is_found_at_its_place(index):
    finding = _verify_one(_joined(LINES[: index + 1] + LINES[index:]))
    assert index + 2 == finding.line
    assert (str(index + 1), str(index)) == (finding.expected, finding.found)


@given(st.integers(0, len(LINES) - 1), st.integers(0, len(LINES) - 1))
def test_swapped_lines_are_found_at_the_first(one, other):
    assume(one != other)
    lines = list(LINES)
    lines[one], lines[other] = lines[other], lines[one]
    assert min(one, other) + 1 == _verify_one(_joined(lines)).line


def test_a_well_formed_line_from_elsewhere_is_found():
    other, _ = _segment(Head(3, hashlib.sha256(b"\0" + LINES[2]).hexdigest()), [("a.b", {"forged": True})])
    finding = _verify_one(_joined([*LINES[:3], *other, *LINES[4:]]))
    assert (4, "the line was changed: the next line is chained to another") == (finding.line, finding.what)


def test_without_a_line_behind_it_the_finding_says_its_doubt():
    line = LINES[-2].replace(b"SELECT", b"SELEKT")
    finding = _verify_one(_joined([*LINES[:-2], line, LINES[-1]]))
    assert len(LINES) - 1 == finding.line
    assert "(or the `prev` of the line after it was)" in finding.what
    line = LINES[2].replace(b"SELECT", b"SELEKT")
    assert "(or" not in _verify_one(_joined([*LINES[:2], line, *LINES[3:]])).what


def test_a_rewritten_end_is_not_seen_by_the_log_alone():
    """The documented limit: what cuts and goes on consistently needs a witness outside."""
    assert _verify_one(_joined(LINES[:-2])) is None


def test_the_exact_byte_of_a_wrong_number_is_named():
    line = LINES[3].replace(b'"seq":3', b'"seq":4')
    finding = _verify_one(_joined([*LINES[:3], line, *LINES[4:]]))
    assert b"4" == line[finding.offset - STARTS[3] :][:1]
    assert ("3", "4") == (finding.expected, finding.found)


def test_a_line_cut_short_at_the_end():
    finding = _verify_one(DATA[:-5])
    assert (len(LINES), STARTS[-1]) == (finding.line, finding.offset)
    assert "ends inside a line" in finding.what


def test_two_segments_are_good():
    first, second, start = _two_segments()
    assert _verify((segment_name(0), _joined(first)), (segment_name(start), _joined(second))) is None


def test_a_changed_last_line_of_a_sealed_segment_is_found_there():
    first, second, start = _two_segments()
    first[-1] = first[-1].replace(b"SELECT", b"SELEKT")
    finding = _verify((segment_name(0), _joined(first)), (segment_name(start), _joined(second)))
    assert (segment_name(0), 4) == (finding.file, finding.line)


@pytest.mark.parametrize("field", ["prev_first", "prev_last", "bytes", "sha256"])
def test_a_wrong_digest_of_the_segment_before_is_found(field):
    first, head = _small_log(4)
    kind, body = _rotate(0, first, head)
    body[field] = "0" * 64 if field == "sha256" else body[field] + 1
    second, _ = _segment(head, [(kind, body), ("a.b", {})])
    finding = _verify((segment_name(0), _joined(first)), (segment_name(head.seq), _joined(second)))
    assert (segment_name(head.seq), 1, "the digest of the segment before is wrong") == (finding.file, finding.line, finding.what)


def test_a_missing_segment_is_found_by_its_name():
    first, second, start = _two_segments()
    assert "missing" in _verify((segment_name(start), _joined(second))).what
    assert "missing" in _verify((segment_name(0), _joined(first)), (segment_name(start + 1), _joined(second))).what
    assert "empty" in _verify((segment_name(0), _joined(first)), (segment_name(start), b"")).what


def test_a_rotate_in_the_middle_or_a_segment_without_one():
    first, head = _small_log(4)
    middle, _ = _segment(head, [_rotate(0, first, head)])
    assert "begins with its log.rotate" in _verify_one(_joined([*first, *middle])).what
    plain, _ = _segment(head, [("a.b", {})])
    finding = _verify((segment_name(0), _joined(first)), (segment_name(head.seq), _joined(plain)))
    assert "begins with its log.rotate" in finding.what


def test_the_genesis_is_the_first_record_and_tells_the_identity():
    no_genesis, _ = _segment(EMPTY, [("a.b", {})])
    assert "genesis" in _verify_one(_joined(no_genesis)).what
    twice, _ = _segment(EMPTY, [(log_records.GENESIS, log_records.genesis(IDENTITY))] * 2)
    assert (2, True) == (_verify_one(_joined(twice)).line, "genesis" in _verify_one(_joined(twice)).what)
    other, _ = _segment(EMPTY, [(log_records.GENESIS, log_records.genesis("b" * 64))])
    assert "log.json" in _verify_one(_joined(other)).what


def test_the_boot_clock_may_not_run_backwards_within_a_boot():
    bodies = [(log_records.GENESIS, log_records.genesis(IDENTITY)), ("a.b", {}), ("a.c", {})]
    good, _ = _segment(EMPTY, bodies, [_stamp(0, mono=50), _stamp(1, mono=50), _stamp(2, "boot-2", mono=1)])
    assert _verify_one(_joined(good)) is None
    bad, _ = _segment(EMPTY, bodies, [_stamp(0, mono=50), _stamp(1, mono=49), _stamp(2)])
    assert (2, "the boot clock runs backwards") == (_verify_one(_joined(bad)).line, _verify_one(_joined(bad)).what)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("v", 2), ("v", True), ("log", "other"), ("n", "A" * 21), ("n", "A" * 21 + "B"), ("n", "+" * 22), ("id", "x"),
        ("id", "01a1fa8b-91d4-41a6-aaed-3b21d1ca1937"), ("t", "2026-11-20T00:00:00Z"), ("t", "2026-13-20T00:00:00.000000Z"),
        ("mono", -1), ("mono", "1"), ("boot", ""), ("type", "Bad"), ("type", 1), ("prev", "0" * 63), ("seq", "0"),
    ],
)  # fmt: skip
def test_the_logs_own_fields_are_checked(field, value):
    record = {
        "v": 1, "log": LOG, "seq": 0, "prev": "0" * 64, "n": "A" * 22, "id": record_id(1, bytes(10)), "t": "2026-11-20T00:00:00.000000Z",
        "mono": 1, "boot": "b", "type": "log.genesis", "identity_sha256": IDENTITY,
    }  # fmt: skip
    assert _verify_one(oracle.canonical(record) + b"\n") is None
    line = oracle.canonical(record | {field: value})
    finding = _verify_one(line + b"\n")
    assert finding is not None
    assert oracle.canonical(value) == line[finding.offset :][: len(oracle.canonical(value))]
    del record[field]
    assert f"{field} is missing" in _verify_one(oracle.canonical(record) + b"\n").what


def test_statements_without_an_end_are_listed():
    def decided(effect, stage):
        return ("db.query.decided", {"effect": effect, "stage": stage})

    ids = [_stamp(i).id for i in range(6)]
    bodies = [
        (log_records.GENESIS, log_records.genesis(IDENTITY)), decided("allow", "simple"), decided("allow", "parse"),
        decided("deny", "simple"), decided("allow", "execute"), ("db.query.completed", {"decided": ids[1]}),
    ]  # fmt: skip
    lines, _ = _segment(EMPTY, bodies)
    verifier = Verifier(LOG, IDENTITY)
    assert verifier.segment(segment_name(0), _joined(lines)) is None
    assert {ids[4]: 4} == verifier.tally.open_statements
    assert (6, 1, len(_joined(lines)), False) == (
        verifier.tally.records, verifier.tally.segments, verifier.tally.size, verifier.tally.is_closed,
    )  # fmt: skip
