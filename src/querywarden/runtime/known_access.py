"""What this proxy knows of blocked principals and of access that was given for a time, as of its last look at the control store.

It goes on holding while the store doesn't answer; what ends by the clock ends all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from querywarden.approval.request import Party, party_of
from querywarden.model.principal import Principal
from querywarden.storage.control_store import AccessGrant, Block

BLOCKED = "Your access is blocked; ask the operator of Querywarden."

GIVEN_HERE_SECONDS = 3.0
"""How long a grant that was given here holds without the store's having said so too."""


class KnownAccess:
    """Blocks and grants in memory; the watch brings them up to date."""

    def __init__(self) -> None:
        self._blocks: Sequence[Block] = ()
        self._grants: Sequence[AccessGrant] = ()
        self._given_here: dict[str, AccessGrant] = {}

    def update(self, blocks: Sequence[Block], grants: Sequence[AccessGrant], now: float) -> None:
        """What the store has now."""
        self._blocks = blocks
        ids = {grant.id for grant in grants}
        # A reading that was under way when a grant was given here doesn't have it yet.
        self._given_here = {
            each.id: each for each in self._given_here.values() if each.id not in ids and now - each.starts_at < GIVEN_HERE_SECONDS
        }
        self._grants = (*grants, *self._given_here.values()) if self._given_here else grants

    def add_grant(self, grant: AccessGrant) -> None:
        """A grant that was given just now by way of this proxy: it holds here at once."""
        self._given_here[grant.id] = grant
        self._grants = (*self._grants, grant)

    def is_blocked(self, who: Principal | Party, now: float) -> bool:
        """Whether a principal, or anybody who acts for it, may not use the proxy."""
        if not self._blocks:
            return False
        party = party_of(who) if isinstance(who, Principal) else who
        return any((block.until is None or now < block.until) and block.covers(party) for block in self._blocks)

    def granted_groups(self, who: Principal | Party, now: float) -> frozenset[str]:
        """The groups that a principal was given for a time."""
        return frozenset(grant.group for grant in self._live(who, now) if grant.group is not None)

    def granted_databases(self, who: Principal | Party, now: float) -> frozenset[str]:
        """The databases that a principal was given for a time."""
        return frozenset(grant.database for grant in self._live(who, now) if grant.database is not None)

    def principal_now(self, principal: Principal, now: float) -> Principal:
        """A principal with the groups that it was given for a time, besides those that its credential names."""
        groups = self.granted_groups(principal, now)
        return principal if groups <= principal.groups else replace(principal, groups=principal.groups | groups)

    def _live(self, who: Principal | Party, now: float) -> list[AccessGrant]:
        return [grant for grant in self._grants if grant.is_for(who) and grant.is_live(now)] if self._grants else []
