"""The messages that a server sends, other than rows (`result`, `rows`), errors (`error_response`) and authentication.

Fields are in wire order. A decoder takes exactly the body; an encoder gives the whole message.
Spec: PostgreSQL 18, "Message Formats".
"""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.errors import PeerViolation
from querywarden.postgresql.framing import encode
from querywarden.postgresql.messages.body import UINT16, UINT32, Body, BodyReader


@dataclass(frozen=True, slots=True)
class ReadyForQuery:
    """ReadyForQuery ('Z'): the server is idle (`I`), in a transaction (`T`) or in a failed one (`E`)."""

    status: bytes


@dataclass(frozen=True, slots=True)
class CommandComplete:
    """CommandComplete ('C'): a statement has ended; the tag names it and counts its rows."""

    tag: bytes


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    """ParameterStatus ('S'): a reported setting has this value now."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class BackendKeyData:
    """BackendKeyData ('K'): what a CancelRequest has to name. Secrets: the key."""

    process_id: int
    key: bytes

    def __repr__(self) -> str:
        return f"BackendKeyData(process_id={self.process_id})"


@dataclass(frozen=True, slots=True)
class NegotiateProtocolVersion:
    """NegotiateProtocolVersion ('v'): the newest version the server speaks, and the options it doesn't know.

    `version` is the whole number (major in the upper half), which is what servers send and libpq reads.
    """

    version: int
    options: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    """ParameterDescription ('t'): the types of a prepared statement's parameters."""

    parameter_types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CopyInResponse:
    """CopyInResponse ('G'): the server waits for copy data."""

    format: int
    column_formats: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CopyOutResponse:
    """CopyOutResponse ('H'): copy data follows."""

    format: int
    column_formats: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CopyBothResponse:
    """CopyBothResponse ('W'): copy data flows both ways (replication only)."""

    format: int
    column_formats: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NotificationResponse:
    """NotificationResponse ('A'): a NOTIFY that the session listens for."""

    process_id: int
    channel: bytes
    payload: bytes


_STATUSES = (b"I", b"T", b"E")
KEY_BYTES_MIN = 4
KEY_BYTES_MAX = 256


def decode_ready_for_query(body: Body) -> ReadyForQuery:
    """Decode a ReadyForQuery's body."""
    status = bytes(body)
    if status not in _STATUSES:
        raise PeerViolation("ReadyForQuery: its status is unknown")
    return ReadyForQuery(status)


def encode_ready_for_query(status: bytes) -> bytes:
    """Encode a ReadyForQuery."""
    return encode(b"Z", status)


def decode_command_complete(body: Body) -> CommandComplete:
    """Decode a CommandComplete's body."""
    data = body if isinstance(body, bytes) else bytes(body)
    if not data or data.find(0) != len(data) - 1:
        raise PeerViolation("CommandComplete: its tag must end with its only NUL")
    return CommandComplete(data[:-1])


def encode_command_complete(tag: bytes) -> bytes:
    """Encode a CommandComplete."""
    return encode(b"C", tag + b"\0")


def decode_parameter_status(body: Body) -> ParameterStatus:
    """Decode a ParameterStatus's body."""
    reader = BodyReader("ParameterStatus", body)
    name, value = reader.string(), reader.string()
    reader.finish()
    return ParameterStatus(name, value)


def encode_parameter_status(message: ParameterStatus) -> bytes:
    """Encode a ParameterStatus."""
    return encode(b"S", message.name + b"\0" + message.value + b"\0")


def decode_backend_key_data(body: Body) -> BackendKeyData:
    """Decode a BackendKeyData's body; the key runs to its end."""
    reader = BodyReader("BackendKeyData", body)
    process_id = reader.uint32()
    if not KEY_BYTES_MIN <= reader.remaining <= KEY_BYTES_MAX:
        raise reader.violation("its key has an invalid length")
    return BackendKeyData(process_id, reader.rest())


def encode_backend_key_data(message: BackendKeyData) -> bytes:
    """Encode a BackendKeyData."""
    return encode(b"K", UINT32.pack(message.process_id) + message.key)


def decode_negotiate_protocol_version(body: Body) -> NegotiateProtocolVersion:
    """Decode a NegotiateProtocolVersion's body."""
    reader = BodyReader("NegotiateProtocolVersion", body)
    version, count = reader.uint32(), reader.uint32()
    if count > reader.remaining:
        raise reader.violation("a count exceeds the message")
    options = tuple(reader.string() for _ in range(count))
    reader.finish()
    return NegotiateProtocolVersion(version, options)


def encode_negotiate_protocol_version(message: NegotiateProtocolVersion) -> bytes:
    """Encode a NegotiateProtocolVersion."""
    options = b"".join(option + b"\0" for option in message.options)
    return encode(b"v", UINT32.pack(message.version) + UINT32.pack(len(message.options)) + options)


def decode_parameter_description(body: Body) -> ParameterDescription:
    """Decode a ParameterDescription's body."""
    reader = BodyReader("ParameterDescription", body)
    parameter_types = reader.uint32s(reader.uint16())
    reader.finish()
    return ParameterDescription(parameter_types)


def encode_parameter_description(message: ParameterDescription) -> bytes:
    """Encode a ParameterDescription."""
    types = b"".join(map(UINT32.pack, message.parameter_types))
    return encode(b"t", UINT16.pack(len(message.parameter_types)) + types)


def decode_copy_in_response(body: Body) -> CopyInResponse:
    """Decode a CopyInResponse's body."""
    return CopyInResponse(*_copy_formats("CopyInResponse", body))


def decode_copy_out_response(body: Body) -> CopyOutResponse:
    """Decode a CopyOutResponse's body."""
    return CopyOutResponse(*_copy_formats("CopyOutResponse", body))


def decode_copy_both_response(body: Body) -> CopyBothResponse:
    """Decode a CopyBothResponse's body."""
    return CopyBothResponse(*_copy_formats("CopyBothResponse", body))


def _copy_formats(message: str, body: Body) -> tuple[int, tuple[int, ...]]:
    reader = BodyReader(message, body)
    overall = reader.take(1)[0]
    column_formats = reader.uint16s(reader.uint16())
    reader.finish()
    if overall > 1 or any(code > 1 for code in column_formats):
        raise reader.violation("a format is neither text nor binary")
    return overall, column_formats


def decode_notification_response(body: Body) -> NotificationResponse:
    """Decode a NotificationResponse's body."""
    reader = BodyReader("NotificationResponse", body)
    process_id, channel, payload = reader.uint32(), reader.string(), reader.string()
    reader.finish()
    return NotificationResponse(process_id, channel, payload)


def encode_notification_response(message: NotificationResponse) -> bytes:
    """Encode a NotificationResponse."""
    return encode(b"A", UINT32.pack(message.process_id) + message.channel + b"\0" + message.payload + b"\0")
