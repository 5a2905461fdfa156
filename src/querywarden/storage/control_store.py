"""The control store: everything that several proxies share, in a SQLite file or in PostgreSQL.

Its parts know one thing each: service tokens, approval requests, open sessions, blocked principals, access grants, budgets, the webhook
outbox, sightings. All of it blocks; the runtime calls it in a thread. What a call changes, it changes in one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import select

from querywarden.approval.request import ApprovalRequest
from querywarden.errors import DependencyFailure
from querywarden.storage.approval_store import (
    ApprovalStore,
    DuplicateRequest,
    OpenedRequest,
    TooManyPending,
    UnknownRequest,
    VoteRefused,
)
from querywarden.storage.block_store import Block, BlockChange, BlockStore, blocks_in_force, has_untold_blocks
from querywarden.storage.grant_store import AccessGrant, GrantStore, live_grants
from querywarden.storage.outbox import Delivery, OutboxStore
from querywarden.storage.schema import REQUESTS, has_current_schema, make_schema
from querywarden.storage.session_store import (
    STALE_SECONDS_DEFAULT,
    Kill,
    OpenSession,
    SessionStore,
    kills_of,
    sessions_elsewhere,
)
from querywarden.storage.sighting_store import SightingStore
from querywarden.storage.token_store import DuplicateName, TokenStore, UnknownToken
from querywarden.storage.usage import Usage, UsageStore

__all__ = [
    "AccessGrant", "Block", "BlockChange", "ControlStore", "Delivery", "DuplicateName", "DuplicateRequest", "Kill", "OpenSession",
    "OpenedRequest", "Poll", "TooManyPending", "UnknownRequest", "UnknownToken", "Usage", "VoteRefused",
]  # fmt: skip

_AT_ONCE_MAX = 500


@dataclass(frozen=True, slots=True)
class Poll:
    """What a proxy looks for several times a second, all of one moment.

    `changes` has a number for each request that it waits for, which grows with every change; one that is gone is missing.
    `sessions_elsewhere` counts what other proxies have open, by (subject, issuer, database). `has_block_changes`: ask `block_changes`.
    """

    kills: tuple[Kill, ...] = ()
    blocks: tuple[Block, ...] = ()
    grants: tuple[AccessGrant, ...] = ()
    changes: Mapping[str, int] = field(default_factory=dict)
    sessions_elsewhere: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    has_block_changes: bool = False


class ControlStore(TokenStore, ApprovalStore, SessionStore, BlockStore, GrantStore, UsageStore, OutboxStore, SightingStore):
    """An open control store. Opening it creates the SQLite file (0600) and the tables where they don't exist.

    Raises: ConfigurationError for a URL that can't be meant, DependencyFailure when the store doesn't answer.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def poll(self, instance: str, now: float, waiting: Collection[str] = (), stale_seconds: float = STALE_SECONDS_DEFAULT) -> Poll:
        """What concerns a proxy and the requests that it waits for."""
        ids = sorted(waiting)
        changes: dict[str, int] = {}
        with self.reading() as connection:
            for start in range(0, len(ids), _AT_ONCE_MAX):
                versions = select(REQUESTS.c.id, REQUESTS.c.version).where(REQUESTS.c.id.in_(ids[start : start + _AT_ONCE_MAX]))
                changes |= {row.id: row.version for row in connection.execute(versions)}
            return Poll(
                kills=tuple(kills_of(connection, instance)),
                blocks=tuple(blocks_in_force(connection, now)),
                grants=tuple(live_grants(connection, now)),
                changes=changes,
                sessions_elsewhere=sessions_elsewhere(connection, instance, now, stale_seconds),
                has_block_changes=has_untold_blocks(connection),
            )

    def release_instance(self, instance: str, now: float) -> list[ApprovalRequest]:
        """Forget a proxy that stops: the requests that its sessions waited for are withdrawn, and the sessions go.

        These are two steps; should the second fail, the proxy is taken for silent sooner or later.

        Returns: the requests withdrawn; one caller gets each.
        """
        withdrawn = self.withdraw_of_instance(instance, now)
        try:
            self.forget_instance(instance)
        except DependencyFailure:
            # What was withdrawn is withdrawn, and has to be recorded.
            if not withdrawn:
                raise
        return withdrawn

    def _prepare(self) -> None:
        with self.reading() as connection:
            if has_current_schema(connection):
                return
        with self.writing() as connection:
            make_schema(connection)
