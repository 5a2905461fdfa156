"""The bodies of records about sessions: logins, openings, closings, and what operators did to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from querywarden.audit.record import NAME_CHARACTERS_MAX, Body, claimed, db, who
from querywarden.model.principal import Principal
from querywarden.model.resource import Database

AUTH_SUCCEEDED = "auth.succeeded"
AUTH_FAILED = "auth.failed"
CONN_OPENED = "conn.opened"
CONN_REFUSED = "conn.refused"
CONN_CLOSED = "conn.closed"
SESSION_KILLED = "session.killed"
PRINCIPAL_BLOCKED = "principal.blocked"
PRINCIPAL_UNBLOCKED = "principal.unblocked"

_CREDENTIAL_MARKS = ("eyJ", "qw_", "://")


def auth_succeeded(principal: Principal, database: Database, *, session_id: str, peer: Mapping[str, Any]) -> Body:
    """The body of `auth.succeeded`: a credential was accepted for a database. `peer` is `record.client(…)`."""
    return {"who": who(principal), "db": db(database), "session": session_id, "client": peer}


def auth_failed(
    cause: str, *, peer: Mapping[str, Any], database: str | None, user: str | None, session_id: str | None = None, where: str | None = None
) -> Body:
    """The body of `auth.failed`: a credential was not accepted, and the private cause. Database and user are claims.

    `where` names the door, if it isn't that of a session.
    """
    body: Body = {"cause": cause, "client": peer}
    if session_id is not None:
        body["session"] = session_id
    if where is not None:
        body["where"] = where
    if database is not None:
        body["claimed_database"] = claimed(database)
    if user is not None:
        body["claimed_user"] = claimed(user)
    return body


def conn_opened(principal: Principal, database: Database, *, session_id: str, peer: Mapping[str, Any], role: str) -> Body:
    """The body of `conn.opened`: a session is ready; `role` is the account that it uses on the server."""
    return {"who": who(principal) | {"db_user": role}, "db": db(database), "session": session_id, "client": peer}


def conn_refused(
    reason: str,
    *,
    session_id: str,
    peer: Mapping[str, Any],
    principal: Principal | None = None,
    database: str | None = None,
    rule: str | None = None,
) -> Body:
    """The body of `conn.refused`: no session came about, though no credential was at fault."""
    body: Body = {"reason": reason, "session": session_id, "client": peer}
    if principal is not None:
        body["who"] = who(principal)
    if database is not None:
        body["claimed_database"] = claimed(database)
    if rule is not None:
        body["rule"] = rule
    return body


def conn_closed(
    reason: str,
    *,
    session_id: str,
    principal: Principal | None = None,
    database: Database | None = None,
    statements: int = 0,
    bytes_in: int = 0,
    bytes_out: int = 0,
    duration_us: int = 0,
) -> Body:
    """The body of `conn.closed`: a session has ended, and what it did in sum."""
    body: Body = {
        "reason": reason,
        "session": session_id,
        "statements": statements,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "duration_us": duration_us,
    }
    if principal is not None:
        body["who"] = who(principal)
    if database is not None:
        body["db"] = db(database)
    return body


def session_killed(principal: Principal, database: Database, *, session_id: str, by: str, reason: str = "") -> Body:
    """The body of `session.killed`: an operator has ended a session at once."""
    body: Body = {"who": who(principal), "db": db(database), "session": session_id, "by": by[:NAME_CHARACTERS_MAX]}
    return body | {"reason": _told(reason)} if reason else body


def principal_blocked(subject: str, issuer: str | None, *, by: str, reason: str = "", until: int | None = None) -> Body:
    """The body of `principal.blocked`: it may not log in, of one issuer or (None) of any; `until` None: till it is lifted."""
    body: Body = {"principal": _principal(subject, issuer), "by": by[:NAME_CHARACTERS_MAX]}
    if reason:
        body["reason"] = _told(reason)
    if until is not None:
        body["until"] = until
    return body


def principal_unblocked(subject: str, issuer: str | None, *, by: str) -> Body:
    """The body of `principal.unblocked`: a block was lifted before its time."""
    return {"principal": _principal(subject, issuer), "by": by[:NAME_CHARACTERS_MAX]}


def _principal(subject: str, issuer: str | None) -> Body:
    named: Body = {"sub": subject[:NAME_CHARACTERS_MAX]}
    return named if issuer is None else named | {"iss": issuer[:NAME_CHARACTERS_MAX]}


def _told(text: str) -> str:
    """What an operator has written, bounded; withheld where a credential was pasted into it."""
    if any(mark in text for mark in _CREDENTIAL_MARKS):
        return f"<withheld, {len(text)} characters>"
    return text[:NAME_CHARACTERS_MAX]
