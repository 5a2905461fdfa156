"""The bodies of records about approvals and access for a time: who asked, who answered, what was used.

No literal comes here: a statement is told by the fingerprint of its normalised text and by the record that held it. What requesters and
approvers have written themselves (reasons, notes) is only said to be there; it can hold anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from querywarden.audit.record import CLAIM_CHARACTERS_MAX, GROUPS_MAX, NAME_CHARACTERS_MAX, NAMES_MAX, Body, claimed, fingerprint_of
from querywarden.model.decision import ApprovalTerms
from querywarden.model.principal import Actor, PrincipalKind

APPROVAL_REQUESTED = "approval.requested"
APPROVAL_VOTED = "approval.voted"
APPROVAL_GRANTED = "approval.granted"
APPROVAL_DENIED = "approval.denied"
APPROVAL_EXPIRED = "approval.expired"
APPROVAL_WITHDRAWN = "approval.withdrawn"
APPROVAL_USED = "approval.used"
APPROVALS_UNAVAILABLE = "approvals.unavailable"
ACCESS_GRANTED = "access.granted"
ACCESS_ENDED = "access.ended"
_ALSO_MAX = 8
"""Of further agreements, and of the globs of each: a record has to stay within a line."""


class Speaker(Protocol):
    """Who asks or answers: a verified identity."""

    @property
    def subject(self) -> str: ...
    @property
    def issuer(self) -> str: ...
    @property
    def kind(self) -> PrincipalKind: ...
    @property
    def groups(self) -> frozenset[str]: ...
    @property
    def actors(self) -> tuple[Actor, ...]: ...


class Answer(Protocol):
    """A vote."""

    @property
    def approver(self) -> Speaker: ...
    @property
    def approves(self) -> bool: ...
    @property
    def at(self) -> int: ...
    @property
    def note(self) -> str: ...


class Shown(Protocol):
    """What is shown of a statement."""

    @property
    def normalised(self) -> str: ...
    @property
    def verb(self) -> str: ...
    @property
    def estimated_rows(self) -> int | None: ...


class Wanted(Protocol):
    """The access that is asked for."""

    @property
    def group(self) -> str | None: ...
    @property
    def database(self) -> str | None: ...
    @property
    def seconds(self) -> int: ...


class Request(Protocol):
    """An approval request."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def requester(self) -> Speaker: ...
    @property
    def database(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def terms(self) -> ApprovalTerms: ...
    @property
    def policy_version(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def session_id(self) -> str: ...
    @property
    def audit_id(self) -> str: ...
    @property
    def expires_at(self) -> int: ...
    @property
    def statement(self) -> Shown | None: ...
    @property
    def access(self) -> Wanted | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def votes(self) -> Sequence[Answer]: ...
    @property
    def uses_left(self) -> int: ...
    @property
    def valid_until(self) -> int | None: ...
    @property
    def is_standing(self) -> bool: ...


class Grant(Protocol):
    """Access that was granted for a time."""

    @property
    def id(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def issuer(self) -> str: ...
    @property
    def actors(self) -> tuple[Actor, ...]: ...
    @property
    def group(self) -> str | None: ...
    @property
    def database(self) -> str | None: ...
    @property
    def starts_at(self) -> int: ...
    @property
    def ends_at(self) -> int: ...
    @property
    def granted_by(self) -> str: ...
    @property
    def revoked_by(self) -> str | None: ...


def party(speaker: Speaker) -> Body:
    """Who asks or answers, as `record.who` tells a principal, without its credential."""
    groups = sorted(speaker.groups)
    found: Body = {"sub": speaker.subject, "iss": speaker.issuer, "kind": speaker.kind.value}
    if groups:
        found["groups"] = groups[:GROUPS_MAX]
    if len(groups) > GROUPS_MAX:
        found["groups_more"] = len(groups) - GROUPS_MAX
    if speaker.actors:
        found["act"] = [{"sub": actor.subject, "iss": actor.issuer} for actor in speaker.actors]
    return found


def requested(request: Request) -> Body:
    """The body of `approval.requested`: what others have to agree to, under which terms. `decided` names the record that held it."""
    body = _of(request) | {
        "approvers": [glob[:NAME_CHARACTERS_MAX] for glob in request.terms.approvers[:NAMES_MAX]],
        "quorum": request.terms.quorum,
        "expires_at": request.expires_at,
        "reason_given": request.reason is not None,
    }
    if request.terms.also:
        body["also"] = [
            {"approvers": [glob[:NAME_CHARACTERS_MAX] for glob in each.approvers[:_ALSO_MAX]], "quorum": each.quorum}
            for each in request.terms.also[:_ALSO_MAX]
        ]
    if request.statement is not None and request.statement.estimated_rows is not None:
        body["rows_est"] = request.statement.estimated_rows
    return body


def voted(request: Request, vote: Answer) -> Body:
    """The body of `approval.voted`: one approver's answer, whether or not it decided."""
    return _of(request) | {"vote": _vote(vote)}


def granted(request: Request) -> Body:
    """The body of `approval.granted`: enough have agreed; by whom, and what it allows."""
    body = _of(request) | {"votes": _votes(request), "uses": request.uses_left, "standing": request.is_standing}
    if request.valid_until is not None:
        body["valid_until"] = request.valid_until
    return body


def denied(request: Request) -> Body:
    """The body of `approval.denied`: somebody said no, which is final."""
    return _of(request) | {"votes": _votes(request)}


def expired(request: Request) -> Body:
    """The body of `approval.expired`: nobody answered in time, or an approval's time is over."""
    return _of(request) | {"votes": _votes(request)}


def withdrawn(request: Request, cause: str) -> Body:
    """The body of `approval.withdrawn`: who asked waits no longer, and why."""
    return _of(request) | {"votes": _votes(request), "cause": cause[:CLAIM_CHARACTERS_MAX]}


def used(request: Request, decided_id: str, user: Speaker | None = None, *, is_standing: bool = False) -> Body:
    """The body of `approval.used`: a statement is released on an approval.

    Args:
        request: as it is after the use.
        decided_id: the record of the statement that uses it, which can be another than the one that was held first.
        user: whose statement it is, where that isn't the requester's.
    """
    body = _of(request) | {"votes": _votes(request), "used_by": decided_id, "standing": is_standing, "uses_left": request.uses_left}
    return body if user is None else body | {"user": party(user)}


def unavailable(cause: str) -> Body:
    """The body of `approvals.unavailable`: the control store doesn't answer, so nothing can be held for approval until it does."""
    return {"cause": claimed(cause)}


def access_granted(grant: Grant) -> Body:
    """The body of `access.granted`: a principal has a group or a database for a time. `request` names what it was asked with."""
    return _access(grant) | {"starts_at": grant.starts_at, "ends_at": grant.ends_at, "by": grant.granted_by[:NAME_CHARACTERS_MAX]}


def access_ended(grant: Grant) -> Body:
    """The body of `access.ended`: its time was over, or somebody has ended it."""
    body = _access(grant) | {"ends_at": grant.ends_at, "cause": "expired" if grant.revoked_by is None else "revoked"}
    return body if grant.revoked_by is None else body | {"by": grant.revoked_by[:NAME_CHARACTERS_MAX]}


def _of(request: Request) -> Body:
    """What all records of a request say."""
    body: Body = {
        "request": request.id,
        "kind": str(request.kind),
        "who": party(request.requester),
        "rule": request.rule,
        "mode": str(request.mode),
        "policy": {"version": request.policy_version},
    }
    if request.database:
        body["db"] = {"name": request.database, "env": request.environment}
    if request.session_id:
        body["session"] = request.session_id
    if request.audit_id:
        body["decided"] = request.audit_id
    if request.statement is not None:
        body["stmt"] = {"fp": fingerprint_of(request.statement.normalised)}
        body["verb"] = request.statement.verb
    if request.access is not None:
        body["access"] = {"seconds": request.access.seconds} | _names(request.access.group, request.access.database)
    return body


def _access(grant: Grant) -> Body:
    body: Body = {"request": grant.id, "who": {"sub": grant.subject, "iss": grant.issuer}}
    if grant.actors:
        body["who"]["act"] = [{"sub": actor.subject, "iss": actor.issuer} for actor in grant.actors]
    return body | {"access": _names(grant.group, grant.database)}


def _names(group: str | None, database: str | None) -> dict[str, Any]:
    named = {"group": group, "database": database}
    return {name: value[:NAME_CHARACTERS_MAX] for name, value in named.items() if value is not None}


def _votes(request: Request) -> list[Body]:
    return [_vote(vote) for vote in request.votes[:NAMES_MAX]]


def _vote(vote: Answer) -> Body:
    found = party(vote.approver)
    # Groups say by what right; in a list of votes a few are enough to see it.
    found["groups"] = found.get("groups", [])[:16]
    return {"by": found, "approves": vote.approves, "at": vote.at, "noted": bool(vote.note)}
