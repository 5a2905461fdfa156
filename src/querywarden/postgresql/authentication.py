"""Authentication of the client: it is asked for a password, and what it sends is its token.

Spec: PostgreSQL 18, "Start-up", AuthenticationCleartextPassword; NegotiateProtocolVersion.
"""

from __future__ import annotations

from querywarden.errors import PeerViolation
from querywarden.postgresql.error_response import encode_error
from querywarden.postgresql.framing import HEADER_BYTES, read_header
from querywarden.postgresql.messages.authentication import decode_password_message
from querywarden.postgresql.messages.backend import NegotiateProtocolVersion, encode_negotiate_protocol_version
from querywarden.postgresql.messages.opening import PROTOCOL_3_2

NEWEST_MINOR = 2

AUTHENTICATION_FAILED = encode_error(
    "FATAL",
    "28P01",
    "Querywarden: authentication failed",
    "The token was not accepted, or it does not open this database.",
    "Use a valid access token or service token as the password, and the name of a configured database that you may use.",
)
"""The one answer to every failed login, whatever the cause: it must not tell which databases or principals exist."""


class ClientGone(Exception):
    """The client says Terminate in place of a password: psql does so to ask its user for one."""


class CredentialReader:
    """Reads the one PasswordMessage that a login consists of. Secrets: everything in it."""

    __slots__ = ("_body_bytes_max", "_buffer")

    def __init__(self, password_bytes_max: int) -> None:
        self._body_bytes_max = password_bytes_max
        self._buffer = bytearray()

    def receive(self, data: memoryview) -> bytes | None:
        """Take bytes; the credential when it is whole, else None.

        Raises: PeerViolation for any other message, a longer or malformed one; ClientGone for Terminate.
        """
        self._buffer += data
        if self._buffer[:1] == b"X":
            raise ClientGone
        if self._buffer and self._buffer[:1] != b"p":
            raise PeerViolation("expected a PasswordMessage")
        if len(self._buffer) < HEADER_BYTES:
            return None
        _, length = read_header(self._buffer, 0, self._body_bytes_max + 4)
        if len(self._buffer) <= length:
            return None
        credential = decode_password_message(bytes(self._buffer[HEADER_BYTES : 1 + length]))
        del self._buffer[: 1 + length]
        return credential

    def take_leftover(self) -> bytes:
        """What the client sent behind its password."""
        leftover = bytes(self._buffer)
        self._buffer.clear()
        return leftover


def negotiated_protocol(asked: tuple[int, int]) -> tuple[int, int]:
    """The protocol version that a session speaks when the client asks for this one: the same, but nothing above 3.2."""
    return (3, min(asked[1], NEWEST_MINOR))


def version_negotiation(asked: tuple[int, int], protocol_options: tuple[bytes, ...]) -> bytes:
    """The NegotiateProtocolVersion that is due, or nothing when the client gets all that it asked for."""
    protocol = negotiated_protocol(asked)
    if protocol == asked and not protocol_options:
        return b""
    version = PROTOCOL_3_2 if protocol == (3, NEWEST_MINOR) else (protocol[0] << 16) | protocol[1]
    return encode_negotiate_protocol_version(NegotiateProtocolVersion(version, protocol_options))
