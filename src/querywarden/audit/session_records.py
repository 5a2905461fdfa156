"""The bodies of records about sessions: logins, openings, closings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from querywarden.audit.record import Body, claimed, db, who
from querywarden.model.principal import Principal
from querywarden.model.resource import Database

AUTH_SUCCEEDED = "auth.succeeded"
AUTH_FAILED = "auth.failed"
CONN_OPENED = "conn.opened"
CONN_REFUSED = "conn.refused"
CONN_CLOSED = "conn.closed"


def auth_succeeded(principal: Principal, database: Database, *, session_id: str, peer: Mapping[str, Any]) -> Body:
    """The body of `auth.succeeded`: a credential was accepted for a database. `peer` is `record.client(…)`."""
    return {"who": who(principal), "db": db(database), "session": session_id, "client": peer}


def auth_failed(cause: str, *, session_id: str, peer: Mapping[str, Any], database: str | None, user: str | None) -> Body:
    """The body of `auth.failed`: a credential was not accepted, and the private cause. Database and user are claims."""
    body: Body = {"cause": cause, "session": session_id, "client": peer}
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
