"""The chain against its definition, leaf hashes, record ids, commitments."""

from __future__ import annotations

import hashlib
import hmac
import uuid

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.model import chain as oracle

from querywarden.audit.chain import EMPTY, Stamp, extend, leaf
from querywarden.audit.commitment import Committer, commitment
from querywarden.audit.encoding import Unencodable
from querywarden.audit.record_id import record_id
from querywarden.audit.verify import leaf_of

bodies = st.lists(
    st.tuples(st.sampled_from(["a.b", "db.query.decided"]), st.dictionaries(st.sampled_from("abcxyz"), st.text(max_size=5))), max_size=8
)


def _stamps(count):
    return [
        {"id": record_id(1000 + i, bytes(10)), "nonce": bytes([i]) * 16, "t": f"2026-11-20T00:00:0{i}.000000Z", "mono": i, "boot": "b"}
        for i in range(count)
    ]


@settings(max_examples=100, deadline=None)
@given(bodies)
def test_lines_are_those_of_the_definition(found):
    stamps = _stamps(len(found))
    head, lines = EMPTY, []
    for stamp, (kind, body) in zip(stamps, found, strict=True):
        line, head = extend(head, "log", Stamp(**stamp), kind, body)
        lines.append(line)
    assert oracle.lines("log", stamps, found) == lines
    assert len(lines) == head.seq
    assert oracle.is_intact("log", b"".join(line + b"\n" for line in lines))


def test_the_log_wins_over_the_body():
    line, _ = extend(EMPTY, "log", Stamp("i", bytes(16), "t", 1, "b"), "kind", {"seq": 99, "prev": "x", "log": "other", "type": "z"})
    assert oracle.canonical(
        {"seq": 0, "prev": "0" * 64, "log": "log", "type": "kind", "v": 1, "n": "A" * 22, "id": "i", "t": "t", "mono": 1, "boot": "b"}
    ) == line  # fmt: skip


def test_a_record_that_can_not_be_encoded_leaves_the_chain_as_it_was():
    with pytest.raises(Unencodable):
        extend(EMPTY, "log", Stamp("i", bytes(16), "t", 1, "b"), "kind", {"a": 1.5})


def test_leaf_hash_of_rfc_6962():
    expected = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"  # the leaf of the empty string, from CT's vectors
    assert expected == leaf(b"") == leaf_of(b"") == oracle.leaf(b"")


def test_record_ids_are_version_7_and_sort_by_time():
    first, second = record_id(1_700_000_000_000, b"\xff" * 10), record_id(1_700_000_000_001, bytes(10))
    assert first < second
    for text in (first, second):
        assert (7, uuid.RFC_4122) == (uuid.UUID(text).version, uuid.UUID(text).variant)
        assert text == str(uuid.UUID(text))
    assert 1_700_000_000_000 == uuid.UUID(first).int >> 80


@pytest.mark.parametrize(("moment", "random"), [(-1, bytes(10)), (1 << 48, bytes(10)), (0, bytes(9)), (0, bytes(11))])
def test_record_ids_need_what_they_are_made_of(moment, random):
    with pytest.raises(ValueError, match="48-bit"):
        record_id(moment, random)


def test_a_commitment_is_what_its_salt_says():
    committer = Committer(b"k" * 32)
    salt = hmac.new(b"k" * 32, b"querywarden/commitment-salt/v1\x00id-1\x00statement", "sha256").digest()
    expected = hashlib.sha256(b"\x02" + salt + b"SELECT 1").hexdigest()
    assert expected == committer.commit("id-1", "statement", b"SELECT 1")
    assert expected == commitment(committer.salt("id-1", "statement"), b"SELECT 1")


def test_equal_data_gives_unrelated_commitments():
    committer = Committer(b"k" * 32)
    found = {
        committer.commit("id-1", "statement", b"x"),
        committer.commit("id-2", "statement", b"x"),
        committer.commit("id-1", "parameters", b"x"),
        Committer(b"l" * 32).commit("id-1", "statement", b"x"),
        committer.commit("id-1", "statement", b"y"),
    }
    assert 5 == len(found)


def test_the_key_never_shows():
    committer = Committer(b"k" * 32)
    assert "kkk" not in repr(committer)
    assert (b"k" * 32).hex()[:16] != committer.key_name
    with pytest.raises(ValueError, match="32 bytes"):
        Committer(b"short")
