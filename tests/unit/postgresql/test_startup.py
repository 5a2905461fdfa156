"""The start of a connection: the bytes before TLS, at every split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querywarden.model.limits import Limits
from querywarden.postgresql.error_response import ErrorFields, decode_fields
from querywarden.postgresql.messages.opening import (
    GSSENC_REQUEST,
    SSL_REQUEST,
    CancelRequest,
    StartupMessage,
    encode_cancel_request,
    encode_startup_message,
)
from querywarden.postgresql.startup import (
    Answer,
    BeginSession,
    Negotiation,
    Outcome,
    Reject,
    StartTls,
    check_direct_alpn,
    is_direct_tls,
)

STARTUP = StartupMessage((3, 0), ((b"user", b"anna"), (b"database", b"shop")))
STARTUP_BYTES = encode_startup_message(STARTUP)


def feed(negotiation: Negotiation, data: bytes, step: int = 1_000_000) -> list[Outcome]:
    """Hand over as many bytes as are asked for, at most `step` at a time; what is said other than "go on", in order."""
    said: list[Outcome] = []
    position = 0
    while position < len(data) and not (said and isinstance(said[-1], Reject | BeginSession | CancelRequest)):
        size = min(step, negotiation.needs)
        outcome = negotiation.receive(data[position : position + size])
        position += size
        if outcome != Answer(b""):
            said.append(outcome)
    return said


def sqlstate(outcome: Outcome) -> bytes:
    assert isinstance(outcome, Reject)
    assert outcome.data[:1] == b"E"
    fields = ErrorFields(decode_fields(outcome.data[5:]))
    assert fields.is_fatal
    return fields.sqlstate


TLS, PLAIN, LOOPBACK = (True, False), (False, True), (True, True)

STORIES = [
    (TLS, SSL_REQUEST + STARTUP_BYTES, [StartTls(b"S"), BeginSession(STARTUP)]),
    (TLS, GSSENC_REQUEST + SSL_REQUEST + STARTUP_BYTES, [Answer(b"N"), StartTls(b"S"), BeginSession(STARTUP)]),
    (PLAIN, SSL_REQUEST + STARTUP_BYTES, [Answer(b"N"), BeginSession(STARTUP)]),
    (PLAIN, SSL_REQUEST + GSSENC_REQUEST + STARTUP_BYTES, [Answer(b"N"), Answer(b"N"), BeginSession(STARTUP)]),
    (LOOPBACK, STARTUP_BYTES, [BeginSession(STARTUP)]),
    (TLS, encode_cancel_request(CancelRequest(7, b"1234")), [CancelRequest(7, b"1234")]),
    (TLS, SSL_REQUEST + encode_cancel_request(CancelRequest(7, b"k" * 32)), [StartTls(b"S"), CancelRequest(7, b"k" * 32)]),
    (TLS, encode_cancel_request(CancelRequest(7, b"k" * 256)), [CancelRequest(7, b"k" * 256)]),
]


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1_000_000])
@pytest.mark.parametrize(("mode", "data", "expected"), STORIES)
def test_an_honest_start_goes_the_same_way_at_any_split(mode: tuple[bool, bool], data: bytes, expected: list[Outcome], step: int) -> None:
    negotiation = Negotiation(*mode)
    assert feed(negotiation, data, step) == expected
    assert negotiation.secure == any(isinstance(outcome, StartTls) for outcome in expected)


def test_exactly_the_bytes_needed_are_asked_for() -> None:
    """pgbouncer CVE-2021-3935 and CVE-2021-23214: what follows SSLRequest in clear is never taken for the client's."""
    negotiation = Negotiation(*TLS)
    assert negotiation.needs == 4
    negotiation.receive(SSL_REQUEST[:4])
    assert negotiation.needs == 4
    with pytest.raises(ValueError, match="more bytes"):
        negotiation.receive(SSL_REQUEST[4:] + STARTUP_BYTES)
    assert negotiation.receive(SSL_REQUEST[4:]) == StartTls(b"S")
    assert negotiation.needs == 4


def test_a_login_without_tls_is_refused_before_a_secret_moves() -> None:
    [outcome] = feed(Negotiation(*TLS), STARTUP_BYTES)
    assert sqlstate(outcome) == b"28000"
    assert b"TLS only; set sslmode=require" in outcome.data  # type: ignore[union-attr]
    assert outcome.cause == "plaintext_login"  # type: ignore[union-attr]


def test_direct_tls_is_told_by_its_first_byte_and_needs_the_protocols_name() -> None:
    assert is_direct_tls(0x16)
    assert not any(is_direct_tls(byte) for byte in range(256) if byte != 0x16)
    assert check_direct_alpn("postgresql") is None
    for alpn in (None, "", "h2", "http/1.1", "PostgreSQL"):
        rejection = check_direct_alpn(alpn)
        assert rejection is not None
        assert sqlstate(rejection) == b"08P01"


def test_direct_tls_leads_to_a_session() -> None:
    negotiation = Negotiation(*TLS)
    assert negotiation.begin_direct_tls() == StartTls(b"")
    assert feed(negotiation, STARTUP_BYTES) == [BeginSession(STARTUP)]


def test_direct_tls_is_refused_without_a_certificate_and_after_other_bytes() -> None:
    assert isinstance(Negotiation(*PLAIN).begin_direct_tls(), Reject)
    negotiation = Negotiation(*TLS)
    negotiation.receive(b"\0")
    assert isinstance(negotiation.begin_direct_tls(), Reject)


@pytest.mark.parametrize(
    ("mode", "data"),
    [
        (TLS, SSL_REQUEST + SSL_REQUEST),
        (PLAIN, SSL_REQUEST + SSL_REQUEST),
        (TLS, GSSENC_REQUEST + GSSENC_REQUEST),
        (TLS, SSL_REQUEST + GSSENC_REQUEST),
        (PLAIN, b"\0\0\0\x09" + SSL_REQUEST[4:] + b"x"),
        (LOOPBACK, STARTUP_BYTES[:-1] + b"x"),
        (LOOPBACK, (len(STARTUP_BYTES) + 1).to_bytes(4, "big") + STARTUP_BYTES[4:] + b"\0"),
        (LOOPBACK, b"\0\0\0\x08\0\3\0\0"),
        (TLS, b"\0\0\0\x0f" + encode_cancel_request(CancelRequest(1, b"1234"))[4:-1]),
    ],
)
def test_a_message_out_of_place_or_malformed_ends_the_connection(mode: tuple[bool, bool], data: bytes) -> None:
    assert sqlstate(feed(Negotiation(*mode), data)[-1]) == b"08P01"


@pytest.mark.parametrize("length", [0, 1, 3, 4, 7, 10_005, 0x16030100, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x47455420])
def test_a_length_that_no_startup_has_ends_the_connection_without_a_word(length: int) -> None:
    negotiation = Negotiation(*LOOPBACK)
    assert negotiation.receive(length.to_bytes(4, "big")) == Reject(b"", "startup_length")
    with pytest.raises(ValueError, match="more bytes"):
        negotiation.receive(b"x")


def test_the_largest_startup_is_what_postgresql_accepts() -> None:
    startup = StartupMessage((3, 0), ((b"user", b"a"), (b"options", b"x" * (10_000 - 4 - 7 - 9 - 1))))
    data = encode_startup_message(startup)
    assert len(data) == 10_004
    assert feed(Negotiation(*LOOPBACK), data) == [BeginSession(startup)]


@pytest.mark.parametrize("version", [0x00020000, 0x00040000, 0x00000000, 80877105, 0x7FFF0000])
def test_another_major_version_is_refused_as_by_postgresql(version: int) -> None:
    [outcome] = feed(Negotiation(*LOOPBACK), b"\0\0\0\x09" + version.to_bytes(4, "big") + b"\0")
    assert sqlstate(outcome) == b"0A000"
    assert f"unsupported frontend protocol {version >> 16}.{version & 0xFFFF}".encode() in outcome.data  # type: ignore[union-attr]


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 9999])
def test_any_minor_version_of_3_begins_a_session(minor: int) -> None:
    startup = StartupMessage((3, minor), STARTUP.parameters)
    assert feed(Negotiation(*LOOPBACK), encode_startup_message(startup)) == [BeginSession(startup)]


@pytest.mark.parametrize("value", [b"true", b"on", b"yes", b"1", b"database", b"t", b"", b"TRUE"])
def test_replication_is_refused(value: bytes) -> None:
    startup = StartupMessage((3, 0), (*STARTUP.parameters, (b"replication", value)))
    assert sqlstate(feed(Negotiation(*LOOPBACK), encode_startup_message(startup))[-1]) == b"0A000"


@pytest.mark.parametrize("value", [b"false", b"off", b"no", b"0"])
def test_no_replication_is_no_replication(value: bytes) -> None:
    startup = StartupMessage((3, 0), (*STARTUP.parameters, (b"replication", value)))
    assert feed(Negotiation(*LOOPBACK), encode_startup_message(startup)) == [BeginSession(startup)]


@given(mode=st.sampled_from([TLS, PLAIN, LOOPBACK]), story=st.sampled_from(STORIES), data=st.data())
def test_a_near_miss_never_raises_and_never_opens_a_plaintext_session(
    mode: tuple[bool, bool], story: tuple[object, bytes, object], data: st.DataObject
) -> None:
    changed = bytearray(story[1])
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    negotiation = Negotiation(*mode, limits=Limits())
    said = feed(negotiation, bytes(changed), data.draw(st.integers(1, 9)))
    if any(isinstance(outcome, BeginSession) for outcome in said):
        assert negotiation.secure or mode[1]
