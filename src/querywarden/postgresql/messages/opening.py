"""The messages of a connection's first bytes: they have a length and no type byte.

Spec: PostgreSQL 18, "Message Formats": StartupMessage, SSLRequest, GSSENCRequest, CancelRequest.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from querywarden.postgresql.messages.backend import KEY_BYTES_MAX, KEY_BYTES_MIN
from querywarden.postgresql.messages.body import UINT32, Body, BodyReader

CANCEL_REQUEST_CODE = 80877102
SSL_REQUEST_CODE = 80877103
GSSENC_REQUEST_CODE = 80877104

PROTOCOL_3_0 = 0x0003_0000
PROTOCOL_3_2 = 0x0003_0002

_LENGTH_AND_CODE = Struct("!II")

SSL_REQUEST = _LENGTH_AND_CODE.pack(8, SSL_REQUEST_CODE)
GSSENC_REQUEST = _LENGTH_AND_CODE.pack(8, GSSENC_REQUEST_CODE)


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """StartupMessage: the protocol version that the client asks for, and its parameters in order.

    Secrets: people put credentials into wrong fields, so the parameters don't show in its repr.
    """

    protocol: tuple[int, int]
    parameters: tuple[tuple[bytes, bytes], ...]

    def __repr__(self) -> str:
        return f"StartupMessage(protocol={self.protocol}, {len(self.parameters)} parameters)"


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """CancelRequest: whoever knows this key wants that session's statement cancelled. Secrets: the key."""

    process_id: int
    key: bytes

    def __repr__(self) -> str:
        return f"CancelRequest(process_id={self.process_id})"


def decode_startup_message(body: Body) -> StartupMessage:
    """Decode a StartupMessage from the bytes after its length.

    Raises: PeerViolation also for a parameter given twice: readers of the message could disagree on which one counts.
    """
    reader = BodyReader("StartupMessage", body)
    version = reader.uint32()
    parameters: list[tuple[bytes, bytes]] = []
    while name := reader.string():
        parameters.append((name, reader.string()))
    reader.finish()
    if len({name for name, _ in parameters}) != len(parameters):
        raise reader.violation("a parameter is given twice")
    return StartupMessage((version >> 16, version & 0xFFFF), tuple(parameters))


def encode_startup_message(message: StartupMessage) -> bytes:
    """Encode a StartupMessage.

    Raises: ValueError if a name is empty or anything holds a NUL, since the rest would be read as other parameters.
    """
    parts = [UINT32.pack((message.protocol[0] << 16) | message.protocol[1])]
    for name, value in message.parameters:
        if not name or b"\0" in name or b"\0" in value:
            raise ValueError("a start-up parameter can't be sent")
        parts.append(name + b"\0" + value + b"\0")
    parts.append(b"\0")
    body = b"".join(parts)
    return UINT32.pack(len(body) + 4) + body


def decode_cancel_request(body: Body) -> CancelRequest:
    """Decode a CancelRequest from the bytes after its length; the key runs to its end."""
    reader = BodyReader("CancelRequest", body)
    if reader.uint32() != CANCEL_REQUEST_CODE:
        raise reader.violation("has another code")
    process_id = reader.uint32()
    if not KEY_BYTES_MIN <= reader.remaining <= KEY_BYTES_MAX:
        raise reader.violation("its key has an invalid length")
    return CancelRequest(process_id, reader.rest())


def encode_cancel_request(message: CancelRequest) -> bytes:
    """Encode a CancelRequest."""
    return _LENGTH_AND_CODE.pack(12 + len(message.key), CANCEL_REQUEST_CODE) + UINT32.pack(message.process_id) + message.key
