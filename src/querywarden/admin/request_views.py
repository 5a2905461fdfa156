"""What people see of approval requests: the same views for the API, the command line and its JSON.

Secrets: `RequestDetails` holds the requester's literals. Views go to who may see the request, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from querywarden.admin.statement_text import formatted
from querywarden.approval.display import BRIEF_CHARACTERS_MAX, TEXT_CHARACTERS_MAX
from querywarden.approval.request import ApprovalRequest, Party


@dataclass(frozen=True, slots=True)
class PartyView:
    """A requester or an approver. `label` is how people read it; `actors` are who acts for the subject, the current one first."""

    label: str
    subject: str
    issuer: str
    kind: str
    actors: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VoteView:
    """An approver's answer."""

    by: str
    approves: bool
    at: int
    note: str


@dataclass(frozen=True, slots=True)
class AgreementView:
    """How many different people of which groups (globs) have to agree, and how many have."""

    approvers: tuple[str, ...]
    quorum: int
    approvals: int


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """A request in a list: no literal of its statement. Times are in seconds since the epoch.

    `agreements` are all that have to be reached, where several rules ask different people; `quorum` is the first one's.
    """

    id: str
    kind: str
    state: str
    requester: str
    database: str
    environment: str
    rule: str
    asks_for: str
    estimated_rows: int | None
    reason: str | None
    mode: str
    approvals: int
    quorum: int
    agreements: tuple[AgreementView, ...]
    created_at: int
    expires_at: int
    settled_at: int | None
    settled_by: str | None


@dataclass(frozen=True, slots=True)
class StatementView:
    """The statement that a request is about. `formatted` is the same text laid out; None where it can't be."""

    text: str
    text_is_cut: bool
    formatted: str | None
    normalised: str
    verb: str
    parameters: tuple[str | None, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    functions: tuple[str, ...]
    properties: tuple[str, ...]
    estimated_rows: int | None
    plan: str | None
    namespace: str


@dataclass(frozen=True, slots=True)
class AccessView:
    """The access that a request is about."""

    group: str | None
    database: str | None
    seconds: int


@dataclass(frozen=True, slots=True)
class SimilarView:
    """What happened to an earlier request of the same shape."""

    id: str
    requester: str
    database: str
    state: str
    created_at: int
    votes: tuple[VoteView, ...]


@dataclass(frozen=True, slots=True)
class RequestDetails:
    """Everything that an approver sees of a request."""

    summary: RequestSummary
    requester: PartyView
    sentence: str
    approvers: tuple[str, ...]
    client_ip: str
    application: str
    session_id: str
    audit_id: str
    policy_version: str
    statement: StatementView | None
    access: AccessView | None
    votes: tuple[VoteView, ...]
    uses_left: int
    valid_until: int | None
    is_standing: bool
    similar: tuple[SimilarView, ...]
    may_vote: bool
    may_not_because: str | None


def summary_of(request: ApprovalRequest) -> RequestSummary:
    """A request as a list shows it."""
    shown = request.statement
    return RequestSummary(
        id=request.id,
        kind=request.kind.value,
        state=request.state.value,
        requester=request.requester.label,
        database=request.database,
        environment=request.environment,
        rule=request.rule,
        asks_for=_asks_for(request),
        estimated_rows=None if shown is None else shown.estimated_rows,
        reason=request.reason,
        mode=request.mode.value,
        approvals=len({(vote.approver.subject, vote.approver.issuer) for vote in request.votes if vote.approves}),
        quorum=request.terms.quorum,
        agreements=_agreements(request),
        created_at=request.created_at,
        expires_at=request.expires_at,
        settled_at=request.settled_at,
        settled_by=request.settled_by,
    )


def details_of(request: ApprovalRequest, similar: Sequence[ApprovalRequest], may_not_because: str | None) -> RequestDetails:
    """A request as an approver sees it; `may_not_because` says why this reader can't vote. Lays out its text: call it in a thread."""
    access = request.access
    return RequestDetails(
        summary=summary_of(request),
        requester=_party(request.requester),
        sentence="" if request.statement is None else request.statement.sentence,
        approvers=tuple(dict.fromkeys(glob for each in request.terms.agreements for glob in each.approvers)),
        client_ip=request.client_ip,
        application=request.application,
        session_id=request.session_id,
        audit_id=request.audit_id,
        policy_version=request.policy_version,
        statement=_statement(request),
        access=None if access is None else AccessView(access.group, access.database, access.seconds),
        votes=_votes(request),
        uses_left=request.uses_left,
        valid_until=request.valid_until,
        is_standing=request.is_standing,
        similar=tuple(
            SimilarView(each.id, each.requester.label, each.database, each.state.value, each.created_at, _votes(each)) for each in similar
        ),
        may_vote=may_not_because is None,
        may_not_because=may_not_because,
    )


def _asks_for(request: ApprovalRequest) -> str:
    access = request.access
    if access is not None:
        wanted = [f"group {access.group}"] if access.group is not None else []
        wanted += [f"database {access.database}"] if access.database is not None else []
        return f"{', '.join(wanted)} for {access.seconds} seconds"
    return "" if request.statement is None else request.statement.normalised[:BRIEF_CHARACTERS_MAX]


def _agreements(request: ApprovalRequest) -> tuple[AgreementView, ...]:
    """By the groups that approvers had when they spoke."""
    people = {(vote.approver.subject, vote.approver.issuer): vote.approver.groups for vote in request.votes if vote.approves}
    return tuple(AgreementView(each.approvers, each.quorum, sum(map(each.is_for, people.values()))) for each in request.terms.agreements)


def _party(party: Party) -> PartyView:
    actors = tuple(actor.subject for actor in party.actors)
    return PartyView(party.label, party.subject, party.issuer, party.kind.value, actors, tuple(sorted(party.groups)))


def _votes(request: ApprovalRequest) -> tuple[VoteView, ...]:
    return tuple(VoteView(vote.approver.label, vote.approves, vote.at, vote.note) for vote in request.votes)


def _statement(request: ApprovalRequest) -> StatementView | None:
    shown = request.statement
    if shown is None:
        return None
    return StatementView(
        text=shown.text,
        text_is_cut=len(shown.text) > TEXT_CHARACTERS_MAX,
        formatted=formatted(shown.text),
        normalised=shown.normalised,
        verb=shown.verb,
        parameters=shown.parameters,
        reads=shown.reads,
        writes=shown.writes,
        functions=shown.functions,
        properties=shown.properties,
        estimated_rows=shown.estimated_rows,
        plan=shown.plan,
        namespace=shown.namespace,
    )
