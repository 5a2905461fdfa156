"""The start of a connection: the bytes before TLS, and the StartupMessage or CancelRequest before or inside it.

The world reads exactly the bytes that `Negotiation.needs` asks for from the raw socket. So nothing that an attacker puts
between SSLRequest and the TLS handshake can be taken for a message of the client: it goes to TLS, which rejects it.
Spec: PostgreSQL 18, "Start-up", "SSL Session Encryption", "GSSAPI Session Encryption", "Canceling Requests in Progress".
"""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.errors import PeerViolation
from querywarden.model.limits import Limits
from querywarden.postgresql.error_response import encode_error
from querywarden.postgresql.messages.body import UINT32
from querywarden.postgresql.messages.opening import (
    CANCEL_REQUEST_CODE,
    GSSENC_REQUEST_CODE,
    SSL_REQUEST_CODE,
    CancelRequest,
    StartupMessage,
    decode_cancel_request,
    decode_startup_message,
)

__all__ = [
    "Answer",
    "BeginSession",
    "CancelRequest",
    "Negotiation",
    "Outcome",
    "Reject",
    "StartTls",
    "StartupMessage",
    "check_direct_alpn",
    "is_direct_tls",
]

ALPN_PROTOCOL = "postgresql"
_TLS_HANDSHAKE = 0x16
_REPLICATION_OFF = (b"false", b"off", b"no", b"0")


@dataclass(frozen=True, slots=True)
class Answer:
    """Write these bytes (there may be none) and read on."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StartTls:
    """Write these bytes in clear, begin TLS on the bare socket, and read on inside it."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class BeginSession:
    """The client wants a session."""

    startup: StartupMessage


@dataclass(frozen=True, slots=True)
class Reject:
    """Write these bytes (there may be none) and close. `cause` is a short private code for the log."""

    data: bytes
    cause: str


Outcome = Answer | StartTls | BeginSession | CancelRequest | Reject


def is_direct_tls(first_byte: int) -> bool:
    """Whether a connection that begins with this byte begins with TLS itself (`sslnegotiation=direct`)."""
    return first_byte == _TLS_HANDSHAKE


def check_direct_alpn(alpn: str | None) -> Reject | None:
    """The rejection of a direct TLS connection that did not name the protocol; None when all is well.

    Without it a browser could be made to speak to the port (the ALPACA attack); PostgreSQL demands it too.
    """
    if alpn == ALPN_PROTOCOL:
        return None
    text = "received direct TLS connection request without ALPN protocol negotiation extension"
    return _fatal("08P01", text, cause="direct_tls_without_alpn")


class Negotiation:
    """What a client asks for before its session begins, byte by byte.

    Args:
        tls_available: whether the listener has a certificate.
        allow_plaintext: whether it accepts logins without TLS (loopback only, by configuration).
    """

    __slots__ = ("_allow_plaintext", "_buffer", "_gssenc_seen", "_is_over", "_limits", "_ssl_seen", "_target", "_tls_available", "secure")

    def __init__(self, tls_available: bool, allow_plaintext: bool, limits: Limits | None = None) -> None:
        self._tls_available = tls_available
        self._allow_plaintext = allow_plaintext
        self._limits = limits or Limits()
        self._buffer = bytearray()
        self._target = 4
        self._ssl_seen = False
        self._gssenc_seen = False
        self._is_over = False
        self.secure = False
        """Whether the bytes now come through TLS."""

    @property
    def needs(self) -> int:
        """How many bytes to read next, and not one more."""
        return self._target - len(self._buffer)

    def begin_direct_tls(self) -> StartTls | Reject:
        """The connection's first byte, still unread, is TLS's (`is_direct_tls`)."""
        if self._buffer or self.secure or self._ssl_seen or not self._tls_available:
            self._is_over = True
            return Reject(b"", "direct_tls_unavailable")
        return self._begin_tls(b"")

    def receive(self, data: bytes) -> Outcome:
        """Take bytes, at most as many as `needs` says."""
        if self._is_over or len(data) > self.needs:
            raise ValueError("more bytes than were asked for")
        self._buffer += data
        if self.needs:
            return Answer(b"")
        if self._target == 4:
            return self._receive_length()
        body = bytes(self._buffer[4:])
        self._buffer.clear()
        self._target = 4
        try:
            outcome = self._receive_packet(body)
        except PeerViolation as violation:
            outcome = _fatal("08P01", str(violation), cause="malformed")
        self._is_over = isinstance(outcome, BeginSession | CancelRequest | Reject)
        return outcome

    def _receive_length(self) -> Answer | Reject:
        length: int = UINT32.unpack(self._buffer)[0]
        if not 8 <= length <= self._limits.startup_bytes_max + 4:
            # As PostgreSQL: no answer, since whoever sends this speaks another protocol.
            self._is_over = True
            return Reject(b"", "startup_length")
        self._target = length
        return Answer(b"")

    def _receive_packet(self, body: bytes) -> Outcome:
        code: int = UINT32.unpack_from(body)[0]
        if code == CANCEL_REQUEST_CODE:
            return decode_cancel_request(body)
        if code in (SSL_REQUEST_CODE, GSSENC_REQUEST_CODE):
            return self._receive_encryption_request(code, len(body))
        if code >> 16 != 3:
            text = f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: server supports 3.0 to 3.2"
            return _fatal("0A000", text, cause="protocol_version")
        if not self.secure and not self._allow_plaintext:
            text = "Querywarden accepts logins over TLS only; set sslmode=require"
            return _fatal("28000", text, "No password or token was asked for or read.", cause="plaintext_login")
        startup = decode_startup_message(body)
        if any(name == b"replication" and value not in _REPLICATION_OFF for name, value in startup.parameters):
            return _fatal("0A000", "Querywarden does not relay replication connections", cause="replication")
        return BeginSession(startup)

    def _receive_encryption_request(self, code: int, length: int) -> Answer | StartTls | Reject:
        is_ssl = code == SSL_REQUEST_CODE
        name = "SSLRequest" if is_ssl else "GSSENCRequest"
        if length != 4 or self.secure or (self._ssl_seen if is_ssl else self._gssenc_seen):
            raise PeerViolation(f"{name}: out of place")
        if not is_ssl:
            self._gssenc_seen = True
            return Answer(b"N")
        self._ssl_seen = True
        return self._begin_tls(b"S") if self._tls_available else Answer(b"N")

    def _begin_tls(self, answer: bytes) -> StartTls:
        self.secure = True
        return StartTls(answer)


def _fatal(sqlstate: str, message: str, detail: str | None = None, *, cause: str) -> Reject:
    return Reject(encode_error("FATAL", sqlstate, message, detail), cause)
