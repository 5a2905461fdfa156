"""The login at the server: methods, order, and servers that break the rules."""

from __future__ import annotations

import hashlib

import pytest

from querywarden.errors import DependencyFailure, PeerViolation
from querywarden.model.secret import Secret
from querywarden.postgresql.error_response import encode_error, encode_notice
from querywarden.postgresql.framing import encode
from querywarden.postgresql.messages.backend import BackendKeyData, NegotiateProtocolVersion, encode_negotiate_protocol_version
from querywarden.postgresql.scram import ScramCache
from querywarden.postgresql.server_login import MESSAGE_BYTES_MAX, PARAMETERS_MAX, ServerLogin, ServerStep

OK = b"R\0\0\0\x08\0\0\0\0"
CLEARTEXT = b"R\0\0\0\x08\0\0\0\3"
MD5 = b"R\0\0\0\x0c\0\0\0\5salt"
SASL = encode(b"R", b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
SASL_CHALLENGE = encode(b"R", b"\0\0\0\x0br=" + b"AAAAAAAAAAAAAAAAAAAAAAAAx,s=c2FsdA==,i=1")
STATUS = encode(b"S", b"client_encoding\0UTF8\0")
KEY = encode(b"K", b"\0\0\0\x07abcd")
READY = b"Z\0\0\0\x05I"


def login(password: bytes | None = b"secret", certificate: bytes | None = None) -> ServerLogin:
    parameters = ((b"user", b"app"), (b"database", b"shop"))
    return ServerLogin(parameters, None if password is None else Secret(password), certificate, lambda size: bytes(size), ScramCache())


def test_a_trusting_server_needs_no_password() -> None:
    server = login(None)
    assert server.opening() == b"\0\0\0\x20\0\3\0\0user\0app\0database\0shop\0\0"
    assert server.receive(OK + STATUS + KEY + READY + b"Nrest") == ServerStep(relay=STATUS)
    assert server.is_ready
    assert server.parameters == {"client_encoding": "UTF8"}
    assert server.key == BackendKeyData(7, b"abcd")
    assert server.take_leftover() == b"Nrest"


def test_a_server_without_a_key_is_taken_as_it_is() -> None:
    server = login(None)
    server.receive(OK + READY)
    assert server.is_ready
    assert server.key is None


def test_md5_is_hashed_with_role_and_salt() -> None:
    inner = hashlib.md5(b"secretapp").hexdigest().encode()
    assert login().receive(MD5).reply == encode(b"p", b"md5" + hashlib.md5(inner + b"salt").hexdigest().encode() + b"\0")


def test_a_password_goes_in_clear_under_tls_only() -> None:
    assert login(certificate=b"any").receive(CLEARTEXT).reply == b"p\0\0\0\x0bsecret\0"
    with pytest.raises(DependencyFailure, match="without TLS"):
        login().receive(CLEARTEXT)


def test_channel_binding_is_not_begun_without_a_certificate_to_bind_to() -> None:
    assert login().receive(SASL).reply.startswith(b"p\0\0\0\x36SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=")
    assert login(certificate=b"unreadable").receive(SASL).reply.startswith(b"p\0\0\0\x36SCRAM-SHA-256\0")


@pytest.mark.parametrize("request_bytes", [CLEARTEXT, MD5, SASL])
def test_a_password_that_is_not_configured_is_said_to_be_missing(request_bytes: bytes) -> None:
    with pytest.raises(DependencyFailure, match="none is configured"):
        login(None, b"certificate").receive(request_bytes)


@pytest.mark.parametrize(
    "request_bytes", [b"R\0\0\0\x08\0\0\0\7", encode(b"R", b"\0\0\0\x0aSCRAM-SHA-1\0OAUTHBEARER\0\0"), encode(b"R", b"\0\0\0\x0a\0")]
)
def test_what_is_not_supported_is_said(request_bytes: bytes) -> None:
    with pytest.raises(DependencyFailure, match="support"):
        login().receive(request_bytes)


@pytest.mark.parametrize(
    "data",
    [
        READY,
        STATUS,
        KEY,
        SASL_CHALLENGE,
        encode(b"R", b"\0\0\0\x0cv=x"),
        MD5 + MD5,
        SASL + CLEARTEXT,
        SASL + OK,
        SASL + SASL_CHALLENGE + OK,
        OK + OK,
        OK + CLEARTEXT,
        OK + KEY + KEY,
        OK + b"Z\0\0\0\x05T",
        OK + b"T\0\0\0\x06\0\0",
        OK + b"1\0\0\0\4",
        b"D\0\0\0\x06\0\0",
        b"R\0\0\0\3",
        b"R\xff\xff\xff\xff",
        b"H" + (MESSAGE_BYTES_MAX + 1).to_bytes(4, "big"),
        b"HTTP/1.1 400 Bad Request\r\n",
        b"E\0\0\0\x06SF",
        OK + STATUS * (2) + b"S\0\0\0\5x",
        encode_negotiate_protocol_version(NegotiateProtocolVersion(0x00020000)),
    ],
)
def test_a_server_that_breaks_the_protocol_is_not_followed(data: bytes) -> None:
    with pytest.raises(PeerViolation):
        login(certificate=b"x").receive(data)


def test_a_flood_of_settings_is_bounded() -> None:
    flood = b"".join(encode(b"S", b"name%d\0x\0" % number) for number in range(PARAMETERS_MAX + 1))
    with pytest.raises(PeerViolation, match="too many settings"):
        login().receive(OK + flood)


def test_an_accepting_server_has_to_prove_that_it_knows_the_password() -> None:
    """Without the check a thief of the server's address would get a session, and the client's data."""
    with pytest.raises(PeerViolation, match="without proving itself"):
        login().receive(SASL + SASL_CHALLENGE + OK)


def test_notices_are_relayed_and_an_error_ends_it() -> None:
    server = login()
    notice = encode_notice("WARNING", "01000", "soon")
    error = encode_error("FATAL", "28P01", 'password authentication failed for user "app"')
    assert server.receive(notice + error + READY) == ServerStep(relay=notice)
    assert server.error is not None
    assert server.error.sqlstate == b"28P01"
    assert not server.is_ready


def test_a_version_negotiation_is_passed_over() -> None:
    server = login()
    assert server.receive(encode_negotiate_protocol_version(NegotiateProtocolVersion(0x00030000)) + OK + READY) == ServerStep()
    assert server.is_ready


def test_a_step_shows_no_secret() -> None:
    assert "secret" not in repr(login(certificate=b"x").receive(CLEARTEXT))
