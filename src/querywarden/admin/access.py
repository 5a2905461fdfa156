"""Access for a time: a principal asks for a group or a database as far as the policy offers it, others agree, and it ends by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from querywarden.admin.approvals import Calls
from querywarden.admin.durations import told
from querywarden.admin.problems import Problem, ProblemCode
from querywarden.admin.request_rights import is_administrator
from querywarden.admin.request_views import RequestSummary, summary_of
from querywarden.approval.reason import clean_reason
from querywarden.approval.request import AccessWanted, ApprovalRequest, RequestKind, RequestState, party_of
from querywarden.approval.request_id import RANDOM_BYTES, parse_request_id, request_id
from querywarden.errors import DependencyFailure
from querywarden.identity.names import is_sane_name
from querywarden.model.decision import WaitMode
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.access import AccessOffer, requestable_for
from querywarden.policy.language import Policy
from querywarden.storage.control_store import AccessGrant, DuplicateRequest, OpenedRequest, TooManyPending

SECONDS_MAX = 366 * 86_400
_ID_ATTEMPTS = 4
"""Of 40 bits: two are never needed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a principal asks for: a group, a database, or both, for a time that begins with the approval."""

    group: str | None
    database: str | None
    seconds: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GrantView:
    """Access that is in force. `actors` are who acts for the subject, the current one first."""

    id: str
    subject: str
    issuer: str
    actors: tuple[str, ...]
    group: str | None
    database: str | None
    starts_at: int
    ends_at: int
    granted_by: str


class GrantStore(Protocol):
    """Where requests and grants are kept. Blocks; raises DependencyFailure when it doesn't answer."""

    def open_request(self, request: ApprovalRequest, pending_max: int | None) -> OpenedRequest:
        """Open a request, or find the one that asks the same. Raises: DuplicateRequest, TooManyPending."""

    def withdraw(self, request_id: str, cause: str, now: float) -> bool:
        """Withdraw a request; whether it was there to be withdrawn."""

    def grants(self, now: float) -> list[AccessGrant]:
        """The grants in force."""

    def revoke_grant(self, grant_id: str, by: str, now: float) -> AccessGrant | None:
        """End a grant; None when there is none in force."""


Opened = Callable[[ApprovalRequest], Awaitable[bool]]
"""Hears of a request that was opened: it is recorded, and approvers are told; whether the record is on disk."""


@dataclass(frozen=True, slots=True)
class AccessParts:
    """What the use cases of access work on; `databases` are the configured ones by name, `draw` gives random bytes.

    `pending_max` is how many requests of one principal may be pending.
    """

    store: GrantStore
    calls: Calls
    policy: Callable[[], Policy]
    databases: Mapping[str, Database]
    clock: Callable[[], float]
    draw: Callable[[int], bytes]
    opened: Opened
    administrators: tuple[str, ...] = ()
    pending_max: int | None = None


class AccessRequests:
    """The use cases of access for a time, each for a verified caller."""

    def __init__(self, parts: AccessParts) -> None:
        self._parts = parts

    async def ask(self, caller: Principal, wanted: Wanted, client_ip: str) -> RequestSummary:
        """Ask for access; asking the same again finds the request that is open. Raises: Problem, DependencyFailure."""
        parts = self._parts
        policy = parts.policy()
        offer = self._offer(policy, caller, wanted)
        for _ in range(_ID_ATTEMPTS):
            request = self._request(policy, caller, wanted, offer, client_ip)
            try:
                opened = await parts.calls.run(parts.store.open_request, request, parts.pending_max)
            except DuplicateRequest:
                continue
            except TooManyPending as many:
                raise Problem(ProblemCode.TOO_MANY_REQUESTS, f"{many} Wait until some of them are answered or have expired.") from None
            if opened.is_new and not await parts.opened(opened.request):
                await parts.calls.run(parts.store.withdraw, opened.request.id, "log_unavailable", parts.clock())
                raise DependencyFailure("the request can't be written to the audit log, so nobody was asked")
            return summary_of(opened.request)
        raise Problem(ProblemCode.UNAVAILABLE, "No id could be found for the request; try again.")

    async def list_grants(self, caller: Principal) -> list[GrantView]:
        """The access in force that the caller may see. Raises: DependencyFailure."""
        parts = self._parts
        found = await parts.calls.run(parts.store.grants, parts.clock())
        return [_view(each) for each in found if self._may_see(caller, each)]

    async def end(self, caller: Principal, grant_id: str) -> None:
        """End access before its time. Raises: Problem, DependencyFailure."""
        parts = self._parts
        parsed = parse_request_id(grant_id)
        found = await parts.calls.run(parts.store.grants, parts.clock())
        if not any(each.id == parsed and self._may_see(caller, each) for each in found) or parsed is None:
            raise _unknown()
        if await parts.calls.run(parts.store.revoke_grant, parsed, party_of(caller).label, parts.clock()) is None:
            raise _unknown()

    def _may_see(self, caller: Principal, grant: AccessGrant) -> bool:
        return grant.is_for(caller) or is_administrator(caller, self._parts.administrators)

    def _offer(self, policy: Policy, caller: Principal, wanted: Wanted) -> AccessOffer:
        """What the policy says to a wish. Raises: Problem."""
        if wanted.group is None and wanted.database is None:
            raise Problem(ProblemCode.INVALID, "Ask for a group or a database.")
        if wanted.group is not None and not is_sane_name(wanted.group):
            raise Problem(ProblemCode.INVALID, "A group's name is 1 to 255 printable characters.")
        if wanted.group is not None and wanted.group in caller.groups:
            raise Problem(ProblemCode.NOT_REQUESTABLE, "You are in this group already.")
        offer = requestable_for(policy, caller, wanted.group, wanted.database)
        is_known = wanted.database is None or wanted.database in self._parts.databases
        is_narrowed_away = wanted.database is not None and caller.databases is not None and wanted.database not in caller.databases
        # Whether a database is there is told to nobody who may not ask for it.
        if offer is None or not is_known or is_narrowed_away:
            raise Problem(ProblemCode.NOT_REQUESTABLE, "The policy does not let you ask for this.")
        if not 0 < wanted.seconds <= min(offer.seconds_max, SECONDS_MAX):
            raise Problem(ProblemCode.NOT_REQUESTABLE, f"The policy lets you ask for this for {told(offer.seconds_max)} at most.")
        return offer

    def _request(self, policy: Policy, caller: Principal, wanted: Wanted, offer: AccessOffer, client_ip: str) -> ApprovalRequest:
        now = self._parts.clock()
        database = self._parts.databases.get(wanted.database or "")
        actors = [part for actor in caller.actors for part in (actor.subject, actor.issuer)]
        what = _digest("access", wanted.group or "", wanted.database or "", str(wanted.seconds))
        return ApprovalRequest(
            id=request_id(self._parts.draw(RANDOM_BYTES)),
            kind=RequestKind.ACCESS,
            state=RequestState.PENDING,
            requester=party_of(caller),
            database=wanted.database or "",
            environment="" if database is None else database.environment.value,
            rule=offer.id,
            terms=offer.terms,
            fingerprint=_digest(caller.issuer, caller.subject, *actors, what, policy.version),
            statement_fingerprint=what,
            created_at=int(now),
            expires_at=int(now) + offer.terms.seconds_max,
            policy_version=policy.version,
            mode=WaitMode.FAIL,
            access=AccessWanted(wanted.group, wanted.database, wanted.seconds),
            reason=clean_reason(wanted.reason),
            client_ip=client_ip,
        )


def grant_of(request: ApprovalRequest, now: float) -> AccessGrant:
    """The grant of an access request that has just been approved: it begins now."""
    wanted = request.access
    assert wanted is not None
    asker = request.requester
    return AccessGrant(
        id=request.id,
        subject=asker.subject,
        issuer=asker.issuer,
        group=wanted.group,
        database=wanted.database,
        starts_at=int(now),
        ends_at=int(now) + wanted.seconds,
        granted_by=request.settled_by or "",
        actors=asker.actors,
    )


def _unknown() -> Problem:
    return Problem(ProblemCode.UNKNOWN_GRANT, "There is no such access in force.")


def _view(grant: AccessGrant) -> GrantView:
    return GrantView(
        grant.id, grant.subject, grant.issuer, tuple(actor.subject for actor in grant.actors), grant.group, grant.database,
        grant.starts_at, grant.ends_at, grant.granted_by,
    )  # fmt: skip


def _digest(*parts: str) -> str:
    """The SHA-256 of parts that can't be shifted against each other: each is preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
