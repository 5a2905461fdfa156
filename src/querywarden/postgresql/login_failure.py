"""How a login fails: what the client is told, what the log is told, and under which code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from querywarden.errors import REASONS, ReasonCode
from querywarden.postgresql.authentication import AUTHENTICATION_FAILED
from querywarden.postgresql.error_response import MESSAGE, ErrorFields, encode_error

_PASSED_ON = {
    b"53300": "its server has no connection free",
    b"57P03": "its server is starting up or recovering",
    b"57P01": "its server is shutting down",
    b"3D000": "its server has no database of the configured name",
}
"""SQLSTATEs of a server that clients act upon: they are told the same one."""
_PARAMETER_STATES = (b"22023", b"42704", b"42501", b"22021", b"0A000")
_LOGGED_CLASSES = (b"28", b"3D", b"53", b"57", b"08")
"""Classes whose texts speak of roles, databases and resources; others may repeat a client's values, so they are not logged."""


@dataclass(frozen=True, slots=True)
class LoginFailure:
    """The end of a login without a session.

    `answer` goes to the client (nothing where it has gone). `cause` is the private code for record and log. `blames_credential`
    says that it counts as a failed authentication. `fields` hold no secret.
    """

    answer: bytes
    cause: str
    level: str = "warning"
    blames_credential: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)


def rejected(cause: str, fields: Mapping[str, Any] | None = None) -> LoginFailure:
    """The credential was not accepted or does not open the database: one answer for all causes."""
    return LoginFailure(AUTHENTICATION_FAILED, cause, "info", True, fields or {})


def violated(side: str, rule: str) -> LoginFailure:
    """A side broke the protocol. `rule` says how, without any of its bytes."""
    if side == "client":
        return LoginFailure(encode_error("FATAL", "08P01", rule), "client_violation", "warning", fields={"rule": rule})
    message = "the server broke the protocol during the proxy's login"
    return LoginFailure(encode_error("FATAL", "08P01", message, rule), "server_violation", "error", fields={"rule": rule})


def unavailable(database: str, detail: str) -> LoginFailure:
    """The server can't be reached, or the proxy can't meet what it asks for. `detail` is public."""
    answer = encode_error("FATAL", "08001", f'the server of database "{database}" is not available', detail)
    return LoginFailure(answer, "server_unavailable", "error", fields={"database": database, "detail": detail})


def server_closed(database: str) -> LoginFailure:
    """The server ended the connection during the login."""
    answer = encode_error("FATAL", "08006", f'the server of database "{database}" closed the connection during the login')
    return LoginFailure(answer, "server_closed", "error", fields={"database": database})


def server_refused(database: str, role: str, error: ErrorFields) -> LoginFailure:
    """The server answered the proxy's login by an error. Its own text is not told: it may name what clients needn't know."""
    sqlstate = error.sqlstate
    code = sqlstate.decode()
    fields: dict[str, Any] = {"database": database, "role": role, "sqlstate": code}
    if sqlstate[:2] in _LOGGED_CLASSES:
        fields["server_message"] = (error.get(MESSAGE) or b"").decode("utf-8", "replace")[:300]
    if sqlstate in _PASSED_ON:
        answer = encode_error("FATAL", code, f'database "{database}" is not available: {_PASSED_ON[sqlstate]}')
    elif sqlstate in _PARAMETER_STATES:
        message = f'the server of database "{database}" refused a start-up parameter'
        hint = "Check the settings in the connection string, in PGOPTIONS and in the driver's configuration."
        answer = encode_error("FATAL", code, message, f"The server answered with SQLSTATE {code}.", hint)
    else:
        message = f'the server of database "{database}" refused the proxy\'s login'
        hint = "Your own login was accepted; the operator of Querywarden finds the cause in its log."
        answer = encode_error("FATAL", "08004", message, f"The server answered with SQLSTATE {code}.", hint)
    return LoginFailure(answer, "server_refused", "error", fields=fields)


def unfit_settings(name: str) -> LoginFailure:
    """The server reports a setting by which the proxy would read statements otherwise than the server does."""
    answer = encode_error("FATAL", "55000", f"the server does not keep {name} as the proxy needs it")
    return LoginFailure(answer, "server_settings", "error", fields={"setting": name})


def log_unavailable() -> LoginFailure:
    """The session's opening can't be recorded, so there is no session."""
    answer = encode_error(
        "FATAL", REASONS[ReasonCode.LOG_UNAVAILABLE].sqlstate, "Querywarden can't write its audit log; nothing runs until it can"
    )
    return LoginFailure(answer, "log_unavailable", "error")


def timed_out(stage: str) -> LoginFailure:
    """The login took longer than `login_seconds_max`."""
    answer = encode_error("FATAL", "57014", "canceling authentication due to timeout")
    return LoginFailure(answer, "timeout", "info", fields={"stage": stage})


def ended(sentence: str, cause: str) -> LoginFailure:
    """The proxy goes down or the principal's access ends, before the session began."""
    return LoginFailure(encode_error("FATAL", "57P01", sentence), cause, "info")
