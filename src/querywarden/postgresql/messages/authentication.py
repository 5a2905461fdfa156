"""The messages of authentication, from both sides: what the server asks for ('R') and what the client answers ('p').

Spec: PostgreSQL 18, "Message Formats" and "SASL Authentication".
"""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.errors import PeerViolation
from querywarden.postgresql.framing import encode
from querywarden.postgresql.messages.body import INT32, UINT32, Body, BodyReader


@dataclass(frozen=True, slots=True)
class AuthenticationOk:
    """AuthenticationOk: nothing more is asked for."""


@dataclass(frozen=True, slots=True)
class AuthenticationCleartextPassword:
    """AuthenticationCleartextPassword: the password itself is asked for."""


@dataclass(frozen=True, slots=True)
class AuthenticationMD5Password:
    """AuthenticationMD5Password: a hash of password, role and this salt is asked for."""

    salt: bytes


@dataclass(frozen=True, slots=True)
class AuthenticationSASL:
    """AuthenticationSASL: one of these mechanisms is asked for."""

    mechanisms: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AuthenticationSASLContinue:
    """AuthenticationSASLContinue: the server's next challenge."""

    data: bytes


@dataclass(frozen=True, slots=True)
class AuthenticationSASLFinal:
    """AuthenticationSASLFinal: the server's last word, by which it proves itself."""

    data: bytes


@dataclass(frozen=True, slots=True)
class AuthenticationUnsupported:
    """An authentication request that the proxy can't answer: Kerberos, GSSAPI, SSPI."""

    code: int


Authentication = (
    AuthenticationOk
    | AuthenticationCleartextPassword
    | AuthenticationMD5Password
    | AuthenticationSASL
    | AuthenticationSASLContinue
    | AuthenticationSASLFinal
    | AuthenticationUnsupported
)

_UNSUPPORTED = (2, 6, 7, 8, 9)

AUTHENTICATION_OK = encode(b"R", INT32.pack(0))
AUTHENTICATION_CLEARTEXT_PASSWORD = encode(b"R", INT32.pack(3))


def decode_authentication(body: Body) -> Authentication:
    """Decode the body of an authentication request."""
    reader = BodyReader("Authentication", body)
    code = reader.int32()
    message: Authentication
    match code:
        case 0:
            message = AuthenticationOk()
        case 3:
            message = AuthenticationCleartextPassword()
        case 5:
            message = AuthenticationMD5Password(reader.take(4))
        case 10:
            message = AuthenticationSASL(_mechanisms(reader))
        case 11:
            message = AuthenticationSASLContinue(reader.rest())
        case 12:
            message = AuthenticationSASLFinal(reader.rest())
        case _ if code in _UNSUPPORTED:
            reader.rest()
            message = AuthenticationUnsupported(code)
        case _:
            raise reader.violation("its request is unknown")
    reader.finish()
    return message


def _mechanisms(reader: BodyReader) -> tuple[bytes, ...]:
    mechanisms: list[bytes] = []
    while mechanism := reader.string():
        mechanisms.append(mechanism)
    return tuple(mechanisms)


def decode_password_message(body: Body) -> bytes:
    """Decode a PasswordMessage's body to the password. Secrets: the result."""
    data = body if isinstance(body, bytes) else bytes(body)
    if not data or data.find(b"\0") != len(data) - 1:
        raise PeerViolation("PasswordMessage: the password must end with its only NUL")
    return data[:-1]


def encode_password_message(password: bytes) -> bytes:
    """Encode a PasswordMessage.

    Raises: ValueError if the password holds a NUL; no server could have stored it.
    """
    if b"\0" in password:
        raise ValueError("a password can't hold a NUL")
    return encode(b"p", password + b"\0")


def encode_sasl_initial_response(mechanism: bytes, data: bytes) -> bytes:
    """Encode a SASLInitialResponse."""
    return encode(b"p", mechanism + b"\0" + UINT32.pack(len(data)) + data)


def encode_sasl_response(data: bytes) -> bytes:
    """Encode a SASLResponse."""
    return encode(b"p", data)
