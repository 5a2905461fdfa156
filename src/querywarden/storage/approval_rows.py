"""Approval requests and votes as rows of the control store, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from querywarden.approval.display import brief
from querywarden.approval.request import (
    AccessWanted,
    ApprovalRequest,
    Party,
    RequestKind,
    RequestState,
    StatementShown,
    Vote,
)
from querywarden.model.decision import Agreement, ApprovalTerms, WaitMode
from querywarden.model.principal import Actor, PrincipalKind

_STATEMENT_NAMES = ("reads", "writes", "functions", "properties")


def identity_key(subject: str, issuer: str) -> str:
    """The digest of an identity, for keys whose length must not depend on names."""
    return digest_of(subject, issuer)


def digest_of(*parts: str) -> str:
    """The SHA-256 of texts that can't be shifted against each other: each is preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def requester_of(party: Party) -> str:
    """The digest of who asks: what an agent asks for somebody is counted apart from what that person asks for itself."""
    return digest_of(*(part for each in ((party.subject, party.issuer), *actors_to_json(party.actors)) for part in each))


def similarity_of(request: ApprovalRequest) -> str:
    """What similar requests have in common: the database and the normalised text, or the access that is wanted."""
    if request.statement is not None:
        return digest_of("statement", request.database, request.statement.normalised)
    access = request.access
    wanted = ("", "") if access is None else (access.group or "", access.database or "")
    return digest_of("access", *wanted)


def values_of_request(request: ApprovalRequest) -> dict[str, Any]:
    """The row of a request that is opened."""
    return {
        "id": request.id,
        "kind": request.kind.value,
        "state": request.state.value,
        "version": 1,
        "fingerprint": request.fingerprint,
        "statement_fingerprint": request.statement_fingerprint,
        "similarity": similarity_of(request),
        "requester": requester_of(request.requester),
        "mode": request.mode.value,
        "instance": request.instance,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "uses_left": 0,
        "uses_made": 0,
        "valid_until": None,
        "is_standing": False,
        "settled_at": None,
        "settled_by": None,
        "is_told": False,
        "body": {
            "requester": party_to_json(request.requester),
            "database": request.database,
            "environment": request.environment,
            "rule": request.rule,
            "terms": _terms_to_json(request.terms),
            "policy_version": request.policy_version,
            "session_id": request.session_id,
            "audit_id": request.audit_id,
            "statement": None if request.statement is None else _statement_to_json(brief(request.statement)),
            "access": None if request.access is None else _access_to_json(request.access),
            "reason": request.reason,
            "client_ip": request.client_ip,
            "application": request.application,
        },
        "texts": None if request.statement is None else _statement_to_json(request.statement),
    }


def request_of_row(row: Row[Any], votes: Sequence[Row[Any]]) -> ApprovalRequest:
    """A request, of its row and those of its votes."""
    return _request(row, votes, row.texts)


def brief_of_row(row: Row[Any], votes: Sequence[Row[Any]]) -> ApprovalRequest:
    """A request as a list shows it, of its row without the texts."""
    return _request(row, votes, row.body["statement"])


def _request(row: Row[Any], votes: Sequence[Row[Any]], statement: Mapping[str, Any] | None) -> ApprovalRequest:
    body: Mapping[str, Any] = row.body
    return ApprovalRequest(
        id=row.id,
        kind=RequestKind(row.kind),
        state=RequestState(row.state),
        requester=party_of_json(body["requester"]),
        database=body["database"],
        environment=body["environment"],
        rule=body["rule"],
        terms=_terms_of_json(body["terms"]),
        fingerprint=row.fingerprint,
        statement_fingerprint=row.statement_fingerprint,
        created_at=row.created_at,
        expires_at=row.expires_at,
        policy_version=body["policy_version"],
        mode=WaitMode(row.mode),
        instance=row.instance,
        session_id=body["session_id"],
        audit_id=body["audit_id"],
        statement=None if statement is None else _statement_of_json(statement),
        access=None if body["access"] is None else AccessWanted(**body["access"]),
        reason=body["reason"],
        client_ip=body["client_ip"],
        application=body["application"],
        uses_left=row.uses_left,
        valid_until=row.valid_until,
        is_standing=row.is_standing,
        settled_at=row.settled_at,
        settled_by=row.settled_by,
        votes=tuple(vote_of_row(vote) for vote in votes),
    )


def values_of_vote(request_id: str, number: int, vote: Vote) -> dict[str, Any]:
    """The row of a vote, without what it allows."""
    return {
        "request_id": request_id,
        "approver": identity_key(vote.approver.subject, vote.approver.issuer),
        "number": number,
        "approves": vote.approves,
        "at": vote.at,
        "body": {"approver": party_to_json(vote.approver), "note": vote.note},
    }


def vote_of_row(row: Row[Any]) -> Vote:
    """A vote, of its row."""
    return Vote(party_of_json(row.body["approver"]), row.approves, row.at, row.body["note"])


def party_to_json(party: Party) -> dict[str, Any]:
    """A requester, an approver or the owner of a session as JSON."""
    return {
        "subject": party.subject,
        "issuer": party.issuer,
        "kind": party.kind.value,
        "groups": sorted(party.groups),
        "actors": actors_to_json(party.actors),
    }


def party_of_json(value: Mapping[str, Any]) -> Party:
    """What `party_to_json` was given."""
    kind = PrincipalKind(value["kind"])
    return Party(value["subject"], value["issuer"], kind, frozenset(value["groups"]), actors_of_json(value["actors"]))


def actors_to_json(actors: Iterable[Actor]) -> list[list[str]]:
    """A delegation chain as JSON."""
    return [[actor.subject, actor.issuer] for actor in actors]


def actors_of_json(value: Iterable[Sequence[str]]) -> tuple[Actor, ...]:
    """What `actors_to_json` was given."""
    return tuple(Actor(subject, issuer) for subject, issuer in value)


def _terms_to_json(terms: ApprovalTerms) -> dict[str, Any]:
    return {
        "approvers": list(terms.approvers),
        "quorum": terms.quorum,
        "seconds_max": terms.seconds_max,
        "mode": None if terms.mode is None else terms.mode.value,
        "standing": terms.standing,
        "also": [[list(each.approvers), each.quorum] for each in terms.also],
    }


def _terms_of_json(value: Mapping[str, Any]) -> ApprovalTerms:
    mode = None if value["mode"] is None else WaitMode(value["mode"])
    also = tuple(Agreement(tuple(approvers), quorum) for approvers, quorum in value["also"])
    return ApprovalTerms(tuple(value["approvers"]), value["quorum"], value["seconds_max"], mode, value["standing"], also)


def _statement_to_json(shown: StatementShown) -> dict[str, Any]:
    plain = {name: getattr(shown, name) for name in ("text", "normalised", "verb", "sentence", "estimated_rows", "plan", "namespace")}
    names = {name: list(getattr(shown, name)) for name in _STATEMENT_NAMES}
    return plain | names | {"parameters": list(shown.parameters)}


def _statement_of_json(value: Mapping[str, Any]) -> StatementShown:
    lists = {name: tuple(value[name]) for name in (*_STATEMENT_NAMES, "parameters")}
    return StatementShown(**(dict(value) | lists))


def _access_to_json(access: AccessWanted) -> dict[str, Any]:
    return {"group": access.group, "database": access.database, "seconds": access.seconds}
