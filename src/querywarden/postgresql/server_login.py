"""The login at the server: StartupMessage, authentication, and the settling until ReadyForQuery.

It knows nothing of clients, so whatever needs a server session can drive it: sessions and the reading of catalogues.
Spec: PostgreSQL 18, "Start-up".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from querywarden.errors import DependencyFailure, PeerViolation
from querywarden.model.secret import Secret
from querywarden.postgresql.error_response import ErrorFields, decode_fields
from querywarden.postgresql.framing import HEADER_BYTES, read_header
from querywarden.postgresql.messages.authentication import (
    Authentication,
    AuthenticationCleartextPassword,
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
    AuthenticationUnsupported,
    decode_authentication,
    encode_password_message,
    encode_sasl_initial_response,
    encode_sasl_response,
)
from querywarden.postgresql.messages.backend import (
    BackendKeyData,
    decode_backend_key_data,
    decode_negotiate_protocol_version,
    decode_parameter_status,
    decode_ready_for_query,
)
from querywarden.postgresql.messages.opening import StartupMessage, encode_startup_message
from querywarden.postgresql.scram import (
    NONCE_BYTES,
    SCRAM_SHA_256,
    SCRAM_SHA_256_PLUS,
    ScramCache,
    ScramClient,
    certificate_hash,
    draw_nonce,
)

MESSAGE_BYTES_MAX = 64 * 1024
"""A server's message during login: real ones stay below 2,000 bytes, an error below 30,000."""
PARAMETERS_MAX = 200
"""Settings that a server reports: PostgreSQL 18 reports 15."""


class _Stage(Enum):
    AUTHENTICATION = auto()
    SETTLING = auto()
    READY = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class ServerStep:
    """What comes of a chunk of the server's bytes. Secrets: `reply`.

    `reply` goes to the server. `relay` are whole messages (ParameterStatus, NoticeResponse) that a client is to see.
    """

    reply: bytes = b""
    relay: bytes = b""

    def __repr__(self) -> str:
        return f"ServerStep(reply of {len(self.reply)} bytes, relay of {len(self.relay)} bytes)"


class ServerLogin:
    """One login at a server.

    Args:
        parameters: those of the StartupMessage, `user` and `database` among them.
        password: None where none is configured; then the server must not ask for one.
        certificate: the server's (DER) under TLS, None without TLS.
        draw: gives so many random bytes.
    """

    __slots__ = (
        "_cache", "_certificate", "_draw", "_has_answered", "_password", "_received", "_scram", "_stage", "_startup",
        "error", "key", "parameters",
    )  # fmt: skip

    def __init__(
        self,
        parameters: tuple[tuple[bytes, bytes], ...],
        password: Secret | None,
        certificate: bytes | None,
        draw: Callable[[int], bytes],
        cache: ScramCache,
    ) -> None:
        self._startup = StartupMessage((3, 0), parameters)
        self._password = password
        self._certificate = certificate
        self._draw = draw
        self._cache = cache
        self._scram: ScramClient | None = None
        self._has_answered = False
        self._stage = _Stage.AUTHENTICATION
        self._received = bytearray()
        self.parameters: dict[str, str] = {}
        """The settings that the server has reported."""
        self.key: BackendKeyData | None = None
        """What a CancelRequest for this session has to name; None if the server gave nothing."""
        self.error: ErrorFields | None = None
        """The error by which the server refused the login."""

    @property
    def is_ready(self) -> bool:
        """Whether the server has said ReadyForQuery."""
        return self._stage is _Stage.READY

    @property
    def unread_bytes(self) -> int:
        """How many bytes of the server wait here: part of a message, or what came behind ReadyForQuery."""
        return len(self._received)

    def opening(self) -> bytes:
        """The StartupMessage.

        Raises: ValueError if a parameter can't be sent.
        """
        return encode_startup_message(self._startup)

    def take_leftover(self) -> bytes:
        """What the server has sent behind ReadyForQuery."""
        leftover = bytes(self._received)
        self._received.clear()
        return leftover

    def receive(self, data: bytes | memoryview) -> ServerStep:
        """Take bytes of the server. Afterwards `is_ready`, or `error` is set, or it waits for more.

        Raises: PeerViolation if the server breaks the protocol or fails to prove itself; DependencyFailure if it asks
            for something that the proxy doesn't have or won't send.
        """
        self._received += data
        reply, relay = [], []
        position = 0
        while self._stage in (_Stage.AUTHENTICATION, _Stage.SETTLING) and len(self._received) - position >= HEADER_BYTES:
            message_type, length = read_header(self._received, position, MESSAGE_BYTES_MAX)
            end = position + 1 + length
            if len(self._received) < end:
                break
            message = bytes(self._received[position:end])
            position = end
            step = self._receive_message(message_type, message)
            reply.append(step.reply)
            relay.append(step.relay)
        del self._received[:position]
        return ServerStep(b"".join(reply), b"".join(relay))

    def _receive_message(self, message_type: int, message: bytes) -> ServerStep:
        body = message[HEADER_BYTES:]
        is_settling = self._stage is _Stage.SETTLING
        match chr(message_type):
            case "R" if not is_settling:
                return ServerStep(reply=self._authenticate(decode_authentication(body)))
            case "E":
                self.error = ErrorFields(decode_fields(body))
                self._stage = _Stage.REFUSED
            case "N":
                decode_fields(body)
                return ServerStep(relay=message)
            case "v":
                # We ask for 3.0 and no options: a server has nothing to negotiate about but options it doesn't know.
                if decode_negotiate_protocol_version(body).version >> 16 != 3:
                    raise PeerViolation("the server speaks another protocol")
            case "S" if is_settling:
                return ServerStep(relay=self._take_parameter(message, body))
            case "K" if is_settling and self.key is None:
                self.key = decode_backend_key_data(body)
            case "Z" if is_settling:
                if decode_ready_for_query(body).status != b"I":
                    raise PeerViolation("the server begins a session inside a transaction")
                self._stage = _Stage.READY
            case _:
                raise PeerViolation(f"a message of type 0x{message_type:02x} is out of place in the server's login")
        return ServerStep()

    def _take_parameter(self, message: bytes, body: bytes) -> bytes:
        status = decode_parameter_status(body)
        if len(self.parameters) >= PARAMETERS_MAX:
            raise PeerViolation("the server reports too many settings")
        self.parameters[status.name.decode("utf-8", "replace")] = status.value.decode("utf-8", "replace")
        return message

    def _authenticate(self, request: Authentication) -> bytes:
        match request:
            case AuthenticationOk():
                if self._scram is not None and not self._scram.is_proven:
                    raise PeerViolation("the server accepted the login without proving itself")
                self._stage = _Stage.SETTLING
                return b""
            case AuthenticationSASLContinue(data):
                return encode_sasl_response(self._exchange().respond(data))
            case AuthenticationSASLFinal(data):
                self._exchange().finish(data)
                return b""
            case AuthenticationUnsupported(code):
                raise DependencyFailure(f"the server asks for an authentication method that is not supported (request {code})")
            case AuthenticationCleartextPassword() | AuthenticationMD5Password() | AuthenticationSASL():
                if self._has_answered:
                    raise PeerViolation("the server asks for authentication twice")
                self._has_answered = True
                return self._answer(request)
            case _:  # pragma: no cover - mypy proves it
                assert_never(request)

    def _answer(self, request: AuthenticationCleartextPassword | AuthenticationMD5Password | AuthenticationSASL) -> bytes:
        password = self._password
        if password is None:
            raise DependencyFailure("the server asks for a password, and none is configured for it")
        match request:
            case AuthenticationCleartextPassword():
                if self._certificate is None:
                    raise DependencyFailure("the server asks for its password in clear on a connection without TLS")
                return encode_password_message(password.reveal())
            case AuthenticationMD5Password(salt):
                return encode_password_message(self._md5_response(password, salt))
            case AuthenticationSASL(mechanisms):
                return self._begin_scram(password, mechanisms)

    def _md5_response(self, password: Secret, salt: bytes) -> bytes:
        role = dict(self._startup.parameters)[b"user"]
        inner = hashlib.md5(password.reveal() + role, usedforsecurity=False).hexdigest().encode()
        return b"md5" + hashlib.md5(inner + salt, usedforsecurity=False).hexdigest().encode()

    def _begin_scram(self, password: Secret, mechanisms: tuple[bytes, ...]) -> bytes:
        binding = certificate_hash(self._certificate) if SCRAM_SHA_256_PLUS in mechanisms else None
        if binding is None and SCRAM_SHA_256 not in mechanisms:
            raise DependencyFailure("the server offers no SASL mechanism that is supported (SCRAM-SHA-256, SCRAM-SHA-256-PLUS)")
        self._scram = ScramClient(password, draw_nonce(self._draw(NONCE_BYTES)), binding, self._cache)
        return encode_sasl_initial_response(self._scram.mechanism, self._scram.first())

    def _exchange(self) -> ScramClient:
        if self._scram is None:
            raise PeerViolation("the server goes on with an exchange that was not begun")
        return self._scram
