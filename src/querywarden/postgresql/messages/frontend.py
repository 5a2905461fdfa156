"""The messages that a client sends: statements, portals and copy data.

Fields are in wire order. A decoder takes exactly the body; an encoder gives the whole message.
Spec: PostgreSQL 18, "Message Formats"; those of a connection's first bytes are in `messages.opening`,
its password and SASL answers in `messages.authentication`.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, unpack_from
from struct import error as StructError

from querywarden.errors import PeerViolation
from querywarden.postgresql.framing import encode
from querywarden.postgresql.messages.body import INT32, UINT16, UINT32, Body, BodyReader

PARAMETERS_MAX = 65535
"""The largest count that an Int16 can say."""

_PARAMETER_LENGTH = Struct("!i")


@dataclass(frozen=True, slots=True)
class Query:
    """Query ('Q'): a text of any number of statements, to be run at once."""

    query: bytes


@dataclass(frozen=True, slots=True)
class Parse:
    """Parse ('P'): a text of at most one statement, to be prepared under a name; type 0 is left to the server."""

    name: bytes
    statement: bytes
    parameter_types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bind:
    """Bind ('B'): values for a prepared statement's parameters make a portal. Secrets: the parameters."""

    portal: bytes
    statement: bytes
    parameter_formats: tuple[int, ...] = ()
    parameters: tuple[bytes | None, ...] = ()
    result_formats: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"Bind(portal={self.portal!r}, statement={self.statement!r}, {len(self.parameters)} parameters)"


@dataclass(frozen=True, slots=True)
class Describe:
    """Describe ('D'): ask what a prepared statement (kind `S`) or a portal (`P`) takes and returns."""

    kind: bytes
    name: bytes


@dataclass(frozen=True, slots=True)
class Execute:
    """Execute ('E'): run a portal, for at most `row_limit` rows (0: all)."""

    portal: bytes
    row_limit: int = 0


@dataclass(frozen=True, slots=True)
class Close:
    """Close ('C'): forget a prepared statement (kind `S`) or a portal (`P`)."""

    kind: bytes
    name: bytes


@dataclass(frozen=True, slots=True)
class CopyFail:
    """CopyFail ('f'): the client gives a COPY FROM STDIN up, with a text of its own."""

    message: bytes


def decode_query(body: Body) -> Query:
    """Decode a Query's body."""
    data = body if isinstance(body, bytes) else bytes(body)
    if not data or data.find(b"\0") != len(data) - 1:
        raise PeerViolation("Query: its text must end with its only NUL")
    return Query(data[:-1])


def decode_parse(body: Body) -> Parse:
    """Decode a Parse's body."""
    reader = BodyReader("Parse", body)
    name, statement = reader.string(), reader.string()
    parameter_types = reader.uint32s(reader.uint16())
    reader.finish()
    return Parse(name, statement, parameter_types)


def decode_bind(body: Body) -> Bind:
    """Decode a Bind's body.

    Written without `BodyReader`, since every execution of a prepared statement passes here.
    Limits: counts of formats are 0, 1 or one for each value, and a format is 0 (text) or 1 (binary), as the server demands.
    """
    data = body if isinstance(body, bytes) else bytes(body)
    portal_end = data.find(0)
    statement_end = data.find(0, portal_end + 1)
    if portal_end < 0 or statement_end < 0:
        raise PeerViolation("Bind: a string does not end")
    try:
        parameter_formats, position = _formats(data, statement_end + 1)
        parameters, position = _parameters(data, position)
        result_formats, position = _formats(data, position)
    except StructError:
        raise PeerViolation("Bind: shorter than its fields") from None
    if position != len(data):
        raise PeerViolation("Bind: longer than its fields")
    if len(parameter_formats) > 1 and len(parameter_formats) != len(parameters):
        raise PeerViolation("Bind: its parameter formats don't match its parameters")
    return Bind(data[:portal_end], data[portal_end + 1 : statement_end], parameter_formats, parameters, result_formats)


_NO_FORMATS: tuple[int, ...] = ()
_ONE_FORMAT = ((0,), (1,))


def _formats(data: bytes, position: int) -> tuple[tuple[int, ...], int]:
    """The formats at a position and where they end. Raises: struct.error if they don't fit."""
    count = UINT16.unpack_from(data, position)[0]
    position += 2
    if count == 0:
        return _NO_FORMATS, position
    # The count is checked against the message here, before a tuple of its size is made.
    if position + 2 * count > len(data):
        raise StructError
    formats = UINT16.unpack_from(data, position) if count == 1 else unpack_from(f"!{count}H", data, position)
    if max(formats) > 1:
        raise PeerViolation("Bind: a format is neither text nor binary")
    return (_ONE_FORMAT[formats[0]] if count == 1 else formats), position + 2 * count


def _parameters(data: bytes, position: int) -> tuple[tuple[bytes | None, ...], int]:
    """The values at a position and where they end. Raises: struct.error if they don't fit."""
    count = UINT16.unpack_from(data, position)[0]
    position += 2
    if position + 4 * count > len(data):
        raise StructError
    values: list[bytes | None] = []
    for _ in range(count):
        size = INT32.unpack_from(data, position)[0]
        position += 4
        if size >= 0:
            if position + size > len(data):
                raise StructError
            values.append(data[position : position + size])
            position += size
        elif size == -1:
            values.append(None)
        else:
            raise PeerViolation("Bind: a parameter has an invalid length")
    return tuple(values), position


def decode_describe(body: Body) -> Describe:
    """Decode a Describe's body."""
    return Describe(*_kind_and_name("Describe", body))


def decode_close(body: Body) -> Close:
    """Decode a Close's body."""
    return Close(*_kind_and_name("Close", body))


def _kind_and_name(message: str, body: Body) -> tuple[bytes, bytes]:
    data = body if isinstance(body, bytes) else bytes(body)
    kind = data[:1]
    if kind not in (b"S", b"P"):
        raise PeerViolation(f"{message}: names neither a statement nor a portal")
    if data.find(0) != len(data) - 1:
        raise PeerViolation(f"{message}: its name must end with its only NUL")
    return kind, data[1:-1]


def decode_execute(body: Body) -> Execute:
    """Decode an Execute's body; a limit below zero means no limit, as the server takes it."""
    data = body if isinstance(body, bytes) else bytes(body)
    end = len(data) - 5
    if end < 0 or data.find(0) != end:
        raise PeerViolation("Execute: its fields don't fit its length")
    row_limit: int = INT32.unpack_from(data, end + 1)[0]
    return Execute(data[:end], max(row_limit, 0))


def decode_copy_fail(body: Body) -> CopyFail:
    """Decode a CopyFail's body."""
    reader = BodyReader("CopyFail", body)
    message = reader.string()
    reader.finish()
    return CopyFail(message)


def encode_query(message: Query) -> bytes:
    """Encode a Query."""
    return encode(b"Q", message.query + b"\0")


def encode_parse(message: Parse) -> bytes:
    """Encode a Parse."""
    types = b"".join(map(UINT32.pack, message.parameter_types))
    return encode(b"P", b"%b\0%b\0%b%b" % (message.name, message.statement, UINT16.pack(len(message.parameter_types)), types))


def encode_bind(message: Bind) -> bytes:
    """Encode a Bind."""
    parts = [b"%b\0%b\0" % (message.portal, message.statement)]
    parts += (_encoded_formats(message.parameter_formats), UINT16.pack(len(message.parameters)))
    for value in message.parameters:
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            parts += (_PARAMETER_LENGTH.pack(len(value)), value)
    parts.append(_encoded_formats(message.result_formats))
    return encode(b"B", b"".join(parts))


def _encoded_formats(formats: tuple[int, ...]) -> bytes:
    return UINT16.pack(len(formats)) + b"".join(map(UINT16.pack, formats))


def encode_describe(message: Describe) -> bytes:
    """Encode a Describe."""
    return encode(b"D", message.kind + message.name + b"\0")


def encode_close(message: Close) -> bytes:
    """Encode a Close."""
    return encode(b"C", message.kind + message.name + b"\0")


def encode_execute(message: Execute) -> bytes:
    """Encode an Execute."""
    return encode(b"E", message.portal + b"\0" + INT32.pack(message.row_limit))


def encode_copy_fail(message: CopyFail) -> bytes:
    """Encode a CopyFail."""
    return encode(b"f", message.message + b"\0")


SYNC = encode(b"S", b"")
"""Sync: the end of a pipeline's transaction."""

FLUSH = encode(b"H", b"")
"""Flush: send what is ready."""

TERMINATE = encode(b"X", b"")
"""Terminate: the client goes."""
