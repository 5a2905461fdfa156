"""Framing: headers are checked before anything is believed."""

from __future__ import annotations

import pytest

from querywarden.errors import PeerViolation
from querywarden.postgresql.framing import LENGTH_MAX, encode, read_header


def test_a_message_is_its_type_its_length_and_its_body() -> None:
    assert encode(b"Q", b"select 1\0") == b"Q\0\0\0\x0dselect 1\0"
    assert read_header(b"xxQ\0\0\0\x0d", 2) == (ord("Q"), 13)
    assert read_header(memoryview(b"Z\0\0\0\x05I"), 0) == (ord("Z"), 5)


@pytest.mark.parametrize("length", [0, 1, 2, 3, LENGTH_MAX + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_length_that_no_message_has_is_a_violation(length: int) -> None:
    with pytest.raises(PeerViolation, match="0x51 has an invalid length"):
        read_header(b"Q" + length.to_bytes(4, "big"), 0)


def test_the_limit_is_inclusive() -> None:
    assert read_header(b"p\0\0\0\x0a", 0, 10) == (ord("p"), 10)
    with pytest.raises(PeerViolation):
        read_header(b"p\0\0\0\x0b", 0, 10)
