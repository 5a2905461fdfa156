"""Approval requests: what is asked of approvers, what they have answered, and how it stands.

Secrets: `text` and `parameters` hold the requester's own literals. They are shown to approvers and kept in the control store, never in
the log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from querywarden.model.decision import ApprovalTerms, WaitMode
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database


class RequestKind(StrEnum):
    """What is asked for: that a statement may run, or that a principal gets a group or a database for a time."""

    STATEMENT = "statement"
    ACCESS = "access"


class RequestState(StrEnum):
    """How a request stands. Only `pending` and `approved` ever change."""

    PENDING = "pending"
    APPROVED = "approved"
    """Enough approvers have agreed; it has uses left."""
    CONSUMED = "consumed"
    """All its uses are used up."""
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Party:
    """A requester or an approver as it was when it spoke: the verified identity."""

    subject: str
    issuer: str
    kind: PrincipalKind
    groups: frozenset[str] = frozenset()
    actors: tuple[Actor, ...] = ()

    @property
    def identities(self) -> frozenset[tuple[str, str]]:
        """Everybody who takes part in this identity: the subject, and who acts for it."""
        return frozenset({(self.subject, self.issuer), *((actor.subject, actor.issuer) for actor in self.actors)})

    @property
    def label(self) -> str:
        """The name that people read."""
        return f"{self.actors[0].subject} for {self.subject}" if self.actors else self.subject


def party_of(principal: Principal) -> Party:
    """The party that a principal is."""
    return Party(principal.subject, principal.issuer, principal.kind, principal.groups, principal.actors)


@dataclass(frozen=True, slots=True)
class HeldStatement:
    """A statement that is held, as its session knows it.

    `parameters` are for showing, one text per parameter (None for NULL); `parameters_digest` is what the approval binds. `estimated_rows`
    and `plan` (the server's EXPLAIN in JSON, bounded) are None where the server could not say. `seconds_max` is how long the session can
    wait at most, where its transaction ends sooner than the terms. `audit_id` names the `decided` record of the hold.
    """

    principal: Principal
    database: Database
    session_id: str
    audit_id: str
    mode: WaitMode
    rule: str
    sentence: str
    terms: ApprovalTerms
    policy_version: str
    text: str
    normalised: str
    verb: str
    parameters: tuple[str | None, ...] = ()
    parameters_digest: bytes = b""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    estimated_rows: int | None = None
    plan: str | None = None
    reason: str | None = None
    client_ip: str = ""
    application: str = ""
    seconds_max: float | None = None
    namespace: str = ""
    """What else decides what the text means, as JSON: settings, the role, temporary relations that stand before others."""

    def __repr__(self) -> str:
        return f"HeldStatement(rule={self.rule!r}, audit_id={self.audit_id!r})"

    @property
    def fingerprint(self) -> str:
        """What an approval is bound to: principal, database, exact text, parameters, name space and policy version, as a SHA-256 in hex."""
        principal = self.principal
        actors = [part for actor in principal.actors for part in (actor.subject, actor.issuer)]
        parts = [principal.issuer, principal.subject, *actors, self.database.name, self.policy_version, self.statement_fingerprint]
        return _digest(*(part.encode("utf-8", "surrogatepass") for part in parts))

    @property
    def statement_fingerprint(self) -> str:
        """The exact statement alone, database, text, parameters and name space: what a standing approval is bound to."""
        texts = (self.database.name, self.text, self.namespace)
        return _digest(*(text.encode("utf-8", "surrogatepass") for text in texts), self.parameters_digest)


def _digest(*parts: bytes) -> str:
    """The SHA-256 of parts that can't be shifted against each other: each is preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Vote:
    """One approver's answer."""

    approver: Party
    approves: bool
    at: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class AccessWanted:
    """What an access request asks for: a group, or a database, and for how long from the approval."""

    group: str | None
    database: str | None
    seconds: int


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A request as the control store keeps it. Times are in seconds since the epoch.

    `id` is short enough to be typed. `instance` is the proxy whose session waits (None in fail mode and for access). Once approved,
    `uses_left` runs until `valid_until`. `statement` is what a held statement showed (None for access); `is_standing` says that an approver
    has declared the approval a standing one, for others too where an automatic rule says so.
    """

    id: str
    kind: RequestKind
    state: RequestState
    requester: Party
    database: str
    environment: str
    rule: str
    terms: ApprovalTerms
    fingerprint: str
    statement_fingerprint: str
    created_at: int
    expires_at: int
    policy_version: str = ""
    mode: WaitMode = WaitMode.FAIL
    instance: str | None = None
    session_id: str = ""
    audit_id: str = ""
    statement: StatementShown | None = None
    access: AccessWanted | None = None
    reason: str | None = None
    client_ip: str = ""
    application: str = ""
    uses_left: int = 0
    valid_until: int | None = None
    is_standing: bool = False
    settled_at: int | None = None
    settled_by: str | None = None
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, slots=True)
class StatementShown:
    """What an approver sees of a statement. Secrets: `text` and `parameters` hold the requester's literals."""

    text: str
    normalised: str
    verb: str
    sentence: str = ""
    parameters: tuple[str | None, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    estimated_rows: int | None = None
    plan: str | None = None
    namespace: str = ""
