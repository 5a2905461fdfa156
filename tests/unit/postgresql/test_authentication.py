"""Authentication of the client: the PasswordMessage, and the one answer to all failures."""

from __future__ import annotations

import pytest

from querywarden.errors import PeerViolation
from querywarden.postgresql.authentication import (
    AUTHENTICATION_FAILED,
    ClientGone,
    CredentialReader,
    negotiated_protocol,
    version_negotiation,
)
from querywarden.postgresql.error_response import ErrorFields, decode_fields
from querywarden.postgresql.messages.authentication import encode_password_message

MAX = 65_535


@pytest.mark.parametrize("step", [1, 2, 5, 6, 1_000_000])
def test_a_password_is_read_at_any_split_and_what_follows_is_kept(step: int) -> None:
    reader = CredentialReader(MAX)
    data = encode_password_message(b"token") + b"Q\0\0\0\x06;\0"
    found, position = None, 0
    while found is None:
        found = reader.receive(memoryview(data[position : position + step]))
        position += step
    assert found == b"token"
    assert reader.take_leftover() + data[position:] == b"Q\0\0\0\x06;\0"
    assert reader.take_leftover() == b""


def test_the_largest_password_is_what_postgresql_accepts() -> None:
    largest = encode_password_message(b"x" * (MAX - 1))
    assert CredentialReader(MAX).receive(memoryview(largest)) == b"x" * (MAX - 1)
    with pytest.raises(PeerViolation):
        CredentialReader(MAX).receive(memoryview(encode_password_message(b"x" * MAX)[:5]))


@pytest.mark.parametrize(
    "data",
    [
        b"Q",
        b"Q\0\0\0\x06;\0",
        b"\0",
        b"p\0\0\0\x03",
        b"p\0\0\0\0",
        b"p\xff\xff\xff\xff",
        b"p\0\0\0\x06ab",
        b"p\0\0\0\x07a\0\0",
        b"p\0\0\0\x04",
    ],
)
def test_anything_else_is_a_violation(data: bytes) -> None:
    with pytest.raises(PeerViolation) as caught:
        CredentialReader(MAX).receive(memoryview(data))
    assert "ab" not in str(caught.value)


def test_a_client_that_goes_to_ask_its_user_is_no_violation() -> None:
    with pytest.raises(ClientGone):
        CredentialReader(MAX).receive(memoryview(b"X\0\0\0\x04"))


def test_the_answer_to_failed_logins_helps_without_telling() -> None:
    fields = ErrorFields(decode_fields(AUTHENTICATION_FAILED[5:]))
    assert fields.is_fatal
    assert fields.sqlstate == b"28P01"
    assert b"token" in (fields.get(b"H") or b"")


@pytest.mark.parametrize(
    ("asked", "options", "spoken", "message"),
    [
        ((3, 0), (), (3, 0), b""),
        ((3, 1), (), (3, 1), b""),
        ((3, 2), (), (3, 2), b""),
        ((3, 3), (), (3, 2), b"v\0\0\0\x0c\0\3\0\2\0\0\0\0"),
        ((3, 9999), (b"_pq_.a",), (3, 2), b"v\0\0\0\x13\0\3\0\2\0\0\0\1_pq_.a\0"),
        ((3, 0), (b"_pq_.a", b"_pq_.b"), (3, 0), b"v\0\0\0\x1a\0\3\0\0\0\0\0\2_pq_.a\0_pq_.b\0"),
    ],
)
def test_the_version_is_negotiated_only_where_something_differs(
    asked: tuple[int, int], options: tuple[bytes, ...], spoken: tuple[int, int], message: bytes
) -> None:
    assert negotiated_protocol(asked) == spoken
    assert version_negotiation(asked, options) == message
