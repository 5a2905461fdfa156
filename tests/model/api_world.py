"""A small world behind the API: a real control store in a file, tokens that are names, and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from querywarden.admin.access import AccessParts, AccessRequests
from querywarden.admin.approvals import ApprovalParts, Approvals
from querywarden.admin.ballot import Ballot
from querywarden.admin.sessions import SessionControl
from querywarden.api.application import ApiServices, make_application
from querywarden.api.shield import Shield
from querywarden.approval.opening import request_of
from querywarden.approval.quorum import Present
from querywarden.approval.request import ApprovalRequest, HeldStatement, Party, Vote
from querywarden.approval.request_id import request_id
from querywarden.errors import IdentityRejected
from querywarden.model.decision import ApprovalTerms, WaitMode
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.language import Group, Policy, Requestable, Who
from querywarden.storage.control_store import AccessGrant, ControlStore

NOW = 1_900_000_000
ISSUER = "https://idp.example.com"


def person(subject: str, *groups: str, **more: Any) -> Principal:
    """A verified human."""
    return Principal(subject, ISSUER, PrincipalKind.HUMAN, frozenset(groups), **more)


PRINCIPALS = {
    "token-alice": person("alice", "engineers"),
    "token-bob": person("bob", "dba"),
    "token-carol": person("carol", "dba", "security"),
    "token-dave": person("dave", "engineers"),
    "token-root": person("root", "querywarden-admins"),
    "token-bot": Principal("bot", "querywarden", PrincipalKind.AGENT, frozenset({"dba", "querywarden-admins"})),
    "token-bot-for-bob": person("bob", "dba", actors=(Actor("bot", "querywarden"),)),
    "token-bot-for-alice": person("alice", "engineers", actors=(Actor("bot", "querywarden"),)),
    "token-narrow": Principal("narrow", "querywarden", PrincipalKind.SERVICE, frozenset({"dba"}), databases=frozenset({"other"})),
}


class Inline:
    """Makes blocking calls at once."""

    async def run(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)


@dataclass
class News:
    """What would be recorded."""

    told: list[tuple[str, str]] = field(default_factory=list)
    is_writable: bool = True

    async def voted(self, request: ApprovalRequest, vote: Vote) -> bool:
        self.told.append((f"voted {request.state.value}", vote.approver.label))
        return self.is_writable

    async def access_granted(self, request: ApprovalRequest, grant: AccessGrant) -> bool:
        self.told.append(("granted", grant.subject))
        return self.is_writable

    async def requested(self, request: ApprovalRequest) -> bool:
        self.told.append(("requested", request.requester.label))
        return self.is_writable


class Trusting:
    """Approvers who still are what they were."""

    def __init__(self) -> None:
        self.gone: set[str] = set()

    def check(self, requester: Party, terms: ApprovalTerms) -> Present:
        return lambda vote: None if vote.approver.subject in self.gone else vote.approver


@dataclass
class World:
    """All parts, to be looked into."""

    store: ControlStore
    policy: Policy
    news: News = field(default_factory=News)
    approvers: Trusting = field(default_factory=Trusting)
    changed: list[ApprovalRequest] = field(default_factory=list)
    rejected: list[tuple[str, str, str]] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    now: float = NOW
    services: ApiServices = field(init=False)
    app: Shield = field(init=False)

    def request(self, request_id: str) -> ApprovalRequest:
        found = self.store.request(request_id)
        assert found is not None
        return found


async def verify(credential: bytes, database: str, peer: str) -> Principal:
    """Tokens are names of principals; a narrowed one needs its database."""
    found = PRINCIPALS.get(credential.decode())
    if found is None or (found.databases is not None and database not in found.databases):
        raise IdentityRejected("unknown")
    return found


ALICE = PRINCIPALS["token-alice"]
CANARY = "canary-5f1e"


def held(**changes: Any) -> HeldStatement:
    """A statement of Alice's that is held, with a canary among its literals."""
    found = HeldStatement(
        principal=ALICE,
        database=Database("shop", Environment.PRODUCTION),
        session_id="s1",
        audit_id="a1",
        mode=WaitMode.FAIL,
        rule="bulk",
        sentence="It changes many rows.",
        terms=ApprovalTerms(("dba",), seconds_max=600),
        policy_version="v1",
        text=f"UPDATE users SET name = '{CANARY}'",
        normalised="UPDATE users SET name = ?",
        verb="update",
        parameters=("1", None),
        writes=("users",),
        estimated_rows=5000,
        plan='[{"Plan": {"Node Type": "ModifyTable"}}]',
        reason="clean up",
        client_ip="10.1.2.3",
        application="psql",
    )
    return replace(found, **changes)


def open_request(world: World, number: int, **changes: Any) -> ApprovalRequest:
    """The request of a held statement, open in the world's store."""
    request = request_of(held(**changes), request_id(number.to_bytes(5, "big")), world.now, "proxy-1")
    return world.store.open_request(request).request


def make_world(folder: Path) -> World:
    """All parts over a control store in this folder; close the store at the end."""
    store = ControlStore(f"sqlite:///{folder}/control.db")
    requestable = (
        Requestable("oncall", Who(Group(("engineers",))), groups=("oncall",), databases=("shop",), seconds_max=8 * 3600,
                    terms=ApprovalTerms(("dba",), seconds_max=600)),
    )  # fmt: skip
    made = World(store, Policy("v1", (), requestable=requestable))
    calls, drawn = Inline(), iter(range(1, 1000))

    def changed(requests: Iterable[ApprovalRequest]) -> None:
        made.changed.extend(requests)

    def draw(count: int) -> bytes:
        return next(drawn).to_bytes(count, "big")

    def clock() -> float:
        return made.now

    def current() -> Policy:
        return made.policy

    admins = ("querywarden-admins",)
    ballot = Ballot(store, calls, made.approvers, made.news, changed, clock)
    databases = {"shop": Database("shop", Environment.PRODUCTION)}
    made.services = ApiServices(
        verify=verify,
        rejected=lambda *found: made.rejected.append(found),
        approvals=Approvals(ApprovalParts(store, calls, ballot, current, clock, admins)),
        access=AccessRequests(AccessParts(store, calls, current, databases, clock, draw, made.news.requested, admins, 3)),
        sessions=SessionControl(store, calls, admins, clock),
    )
    made.app = Shield(make_application(made.services, made.stopping))
    return made
