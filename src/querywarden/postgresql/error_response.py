"""ErrorResponse and NoticeResponse: fields of one code byte and a string each, encoded and decoded.

Spec: PostgreSQL 18, "Error and Notice Message Fields".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from querywarden.errors import PeerViolation
from querywarden.postgresql.framing import encode
from querywarden.postgresql.messages.body import Body

Fields = tuple[tuple[bytes, bytes], ...]
"""The fields of an error or a notice, in wire order: (code, value)."""

SEVERITY = b"S"
SEVERITY_UNLOCALISED = b"V"
SQLSTATE = b"C"
MESSAGE = b"M"
DETAIL = b"D"
HINT = b"H"
POSITION = b"P"

SQLSTATE_MISSING = b"XX000"
"""What a server's error counts as when it names no SQLSTATE (internal error)."""

FIELDS_MAX = 64
"""More fields than any server sends; a message with more is not an error message."""


@dataclass(frozen=True, slots=True)
class ErrorFields:
    """The fields of an error or a notice, and how to read them.

    Secrets: a server's texts may hold row data and literals; they are not for logs or records.
    """

    fields: Fields

    def get(self, code: bytes) -> bytes | None:
        """The first value under this code, if there is one."""
        return next((value for field, value in self.fields if field == code), None)

    @property
    def severity(self) -> bytes:
        """The severity, unlocalised where the server says it so."""
        return self.get(SEVERITY_UNLOCALISED) or self.get(SEVERITY) or b"ERROR"

    @property
    def sqlstate(self) -> bytes:
        """The SQLSTATE: five digits or capitals; XX000 where the server sent none or nonsense."""
        state = self.get(SQLSTATE) or b""
        return state if len(state) == 5 and state.isalnum() and state.isascii() else SQLSTATE_MISSING

    @property
    def is_fatal(self) -> bool:
        """Whether the server ends the session with it."""
        return self.severity in (b"FATAL", b"PANIC")

    def __repr__(self) -> str:
        return f"ErrorFields(sqlstate={self.sqlstate!r})"


def decode_fields(body: Body) -> Fields:
    """Decode the body of an ErrorResponse or NoticeResponse into its fields, in order.

    A missing SQLSTATE or message is accepted (`ErrorFields` gives the defaults); an unknown code is kept.
    Raises: PeerViolation if a value does not end, the terminator is missing or bytes follow it, or there are too many fields.
    """
    data = body if isinstance(body, bytes) else bytes(body)
    fields: list[tuple[bytes, bytes]] = []
    position = 0
    while True:
        code = data[position : position + 1]
        if code == b"\0":
            break
        end = data.find(b"\0", position + 1)
        if not code or end < 0 or len(fields) == FIELDS_MAX:
            raise PeerViolation("ErrorResponse: a field does not end, or there are too many")
        fields.append((code, data[position + 1 : end]))
        position = end + 1
    if position + 1 != len(data):
        raise PeerViolation("ErrorResponse: longer than its fields")
    return tuple(fields)


def encode_fields(fields: Iterable[tuple[bytes, bytes]], message_type: bytes = b"E") -> bytes:
    """Encode an ErrorResponse (type `E`) or NoticeResponse (`N`) of these fields; a NUL inside a value becomes a blank."""
    return encode(message_type, b"".join(code + value.replace(b"\0", b" ") + b"\0" for code, value in fields) + b"\0")


def encode_error(
    severity: str, sqlstate: str, message: str, detail: str | None = None, hint: str | None = None, position: int | None = None
) -> bytes:
    """Encode an ErrorResponse of our own."""
    return encode_fields(_own_fields(severity, sqlstate, message, detail, hint, position))


def encode_notice(severity: str, sqlstate: str, message: str, detail: str | None = None, hint: str | None = None) -> bytes:
    """Encode a NoticeResponse of our own."""
    return encode_fields(_own_fields(severity, sqlstate, message, detail, hint, None), b"N")


def _own_fields(
    severity: str, sqlstate: str, message: str, detail: str | None, hint: str | None, position: int | None
) -> list[tuple[bytes, bytes]]:
    named = [(SEVERITY, severity), (SEVERITY_UNLOCALISED, severity), (SQLSTATE, sqlstate), (MESSAGE, message), (DETAIL, detail)]
    named += [(HINT, hint), (POSITION, None if position is None else str(position))]
    # A lone surrogate can't be encoded; the texts are ours, so a question mark in its place says enough.
    return [(code, value.encode("utf-8", "replace")) for code, value in named if value is not None]
