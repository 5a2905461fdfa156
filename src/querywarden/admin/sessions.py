"""The kill switch: list and end sessions, block and unblock principals, everywhere the control store is shared.

What is done here is a mark in the store. Every proxy looks there several times a second, acts, and writes the records.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from querywarden.admin.approvals import Calls
from querywarden.admin.problems import Problem, ProblemCode
from querywarden.admin.request_rights import is_administrator
from querywarden.approval.reason import clean_reason
from querywarden.approval.request import party_of
from querywarden.identity.names import is_sane_name
from querywarden.model.principal import Principal
from querywarden.storage.control_store import Block, ControlStore, OpenSession

BLOCK_SECONDS_MAX = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class SessionView:
    """An open session. `instance` names its proxy; `is_ending`: somebody has ended it, and its proxy is about to."""

    id: str
    principal: str
    subject: str
    issuer: str
    kind: str
    database: str
    environment: str
    client_ip: str
    application: str
    opened_at: int
    instance: str
    is_ending: bool


@dataclass(frozen=True, slots=True)
class BlockView:
    """A blocked principal; `issuer` None: the subject of any issuer; `until` None: until it is unblocked."""

    subject: str
    issuer: str | None
    by: str
    reason: str
    at: int
    until: int | None


def list_sessions(store: ControlStore, now: float | None = None) -> list[SessionView]:
    """The open sessions of all proxies that live. Raises: DependencyFailure."""
    return [_session(each) for each in store.list_sessions(_now(now))]


def kill_sessions(
    store: ControlStore,
    by: str,
    reason: str,
    *,
    session_ids: Collection[str] | None = None,
    subject: str | None = None,
    issuer: str | None = None,
    database: str | None = None,
    now: float | None = None,
) -> list[SessionView]:
    """End the sessions to which everything named applies, within a second. Raises: Problem when there is none, DependencyFailure."""
    if session_ids is None and subject is None and database is None:
        raise Problem(ProblemCode.INVALID, "Name a session, a principal or a database.")
    at = _now(now)
    alive = {each.id for each in store.list_sessions(at)}
    wanted = alive if session_ids is None else alive & set(session_ids)
    missing = [] if session_ids is None else sorted(set(session_ids) - alive)
    if missing:
        # All or nothing: whoever mistypes one of several ids wants to know before anything has happened.
        raise Problem(ProblemCode.UNKNOWN_SESSION, f"There is no open session {missing[0]}; `querywarden sessions list` shows them.")
    marked = store.mark_kill(
        by=by, reason=clean_reason(reason) or "", now=at, session_ids=wanted, subject=subject, issuer=issuer, database=database
    )
    if not marked:
        raise Problem(ProblemCode.UNKNOWN_SESSION, "There is no such open session.")
    return [_session(each) for each in marked]


def block_principal(
    store: ControlStore, subject: str, issuer: str | None, by: str, reason: str, seconds: int | None, now: float | None = None
) -> BlockView:
    """Block a principal: no login, and its sessions end within a second. Raises: Problem, DependencyFailure."""
    at = _now(now)
    if not is_sane_name(subject):
        raise Problem(ProblemCode.INVALID, "A subject is 1 to 255 printable characters.")
    if issuer is not None and not (0 < len(issuer) <= 2048 and issuer.isprintable()):
        raise Problem(ProblemCode.INVALID, "That is not an issuer.")
    if seconds is not None and not 0 < seconds <= BLOCK_SECONDS_MAX:
        raise Problem(ProblemCode.INVALID, "A block is for ten years at most, or until it is lifted.")
    until = None if seconds is None else int(at) + seconds
    return _block(store.block(subject, issuer, by, clean_reason(reason) or "", until, at))


def unblock_principal(store: ControlStore, subject: str, issuer: str | None, by: str, now: float | None = None) -> None:
    """Let a blocked principal in again. Raises: Problem when it isn't blocked, DependencyFailure."""
    if not store.unblock(subject, issuer, by, _now(now)):
        raise Problem(ProblemCode.UNKNOWN_BLOCK, "There is no such block; `querywarden principals list` shows them.")


def list_blocks(store: ControlStore, now: float | None = None) -> list[BlockView]:
    """The blocks in force. Raises: DependencyFailure."""
    return [_block(each) for each in store.blocks(_now(now))]


def operating_system_user() -> str:
    """Who runs a command, as the log names them."""
    try:
        return f"operator {getpass.getuser()}"
    except (KeyError, OSError):
        return "operator"


class SessionControl:
    """The same for administrators who come through the API."""

    def __init__(self, store: ControlStore, calls: Calls, administrators: tuple[str, ...], clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._calls = calls
        self._administrators = administrators
        self._clock = clock

    async def list_sessions(self, caller: Principal) -> list[SessionView]:
        """The open sessions. Raises: Problem, DependencyFailure."""
        self._require(caller)
        return await self._calls.run(list_sessions, self._store, self._clock())

    async def kill(self, caller: Principal, session_id: str, reason: str) -> None:
        """End a session. Raises: Problem, DependencyFailure."""
        by = self._require(caller)
        await self._calls.run(kill_sessions, self._store, by, reason, session_ids=[session_id], now=self._clock())

    async def list_blocks(self, caller: Principal) -> list[BlockView]:
        """The blocks in force. Raises: Problem, DependencyFailure."""
        self._require(caller)
        return await self._calls.run(list_blocks, self._store, self._clock())

    async def block(self, caller: Principal, subject: str, issuer: str | None, reason: str, seconds: int | None) -> BlockView:
        """Block a principal. Raises: Problem, DependencyFailure."""
        by = self._require(caller)
        if subject == caller.subject and issuer in (None, caller.issuer):
            raise Problem(ProblemCode.INVALID, "That is yourself: somebody else, or the operator at the control store, has to do that.")
        return await self._calls.run(block_principal, self._store, subject, issuer, by, reason, seconds, self._clock())

    async def unblock(self, caller: Principal, subject: str, issuer: str | None) -> None:
        """Let a blocked principal in again. Raises: Problem, DependencyFailure."""
        by = self._require(caller)
        await self._calls.run(unblock_principal, self._store, subject, issuer, by, self._clock())

    def _require(self, caller: Principal) -> str:
        """The label of an administrator. Raises: Problem for anybody else."""
        if not is_administrator(caller, self._administrators):
            raise Problem(ProblemCode.NOT_AN_ADMINISTRATOR, "Only administrators may do this; they are named in api.administrators.")
        return party_of(caller).label


def _now(now: float | None) -> float:
    return time.time() if now is None else now


def _session(session: OpenSession) -> SessionView:
    party = session.party
    return SessionView(
        session.id, party.label, party.subject, party.issuer, party.kind.value, session.database, session.environment,
        session.client_ip, session.application, session.opened_at, session.instance, session.kill is not None,
    )  # fmt: skip


def _block(block: Block) -> BlockView:
    return BlockView(block.subject, block.issuer, block.by, block.reason, block.at, block.until)
