"""Sightings in the control store: the groups that principals had when they were last verified, by any proxy that shares it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import delete, select, update

from querywarden.approval.request import Party
from querywarden.storage.approval_rows import identity_key
from querywarden.storage.engine import StoreDatabase
from querywarden.storage.schema import SIGHTINGS
from querywarden.storage.upsert import insert_or_not

_AT_ONCE_MAX = 500


class SightingStore(StoreDatabase):
    """The part of the control store that keeps sightings."""

    def saw(self, party: Party, now: float) -> None:
        """Note the groups of a principal that was verified just now, unless it was seen later elsewhere.

        Who speaks through another isn't noted: what an agent was given for a person says nothing about the person.
        """
        if party.actors:
            return
        key = identity_key(party.subject, party.issuer)
        body: dict[str, Any] = {"groups": sorted(party.groups)}
        is_older = SIGHTINGS.c.seen_at <= int(now)
        with self.writing() as connection:
            if not insert_or_not(connection, SIGHTINGS, {"identity": key, "seen_at": int(now), "body": body}):
                connection.execute(update(SIGHTINGS).where(SIGHTINGS.c.identity == key, is_older).values(seen_at=int(now), body=body))

    def last_seen(self, identities: Collection[tuple[str, str]]) -> dict[tuple[str, str], frozenset[str]]:
        """The groups of principals, given as (subject, issuer), when they were last verified; those never seen are left out."""
        keys = {identity_key(*identity): identity for identity in identities}
        asked = sorted(keys)
        found: dict[tuple[str, str], frozenset[str]] = {}
        with self.reading() as connection:
            for start in range(0, len(asked), _AT_ONCE_MAX):
                rows = connection.execute(select(SIGHTINGS).where(SIGHTINGS.c.identity.in_(asked[start : start + _AT_ONCE_MAX])))
                found |= {keys[row.identity]: frozenset(row.body["groups"]) for row in rows}
        return found

    def delete_sightings(self, before: float) -> int:
        """Delete sightings of before a time; how many."""
        with self.writing() as connection:
            return connection.execute(delete(SIGHTINGS).where(SIGHTINGS.c.seen_at < int(before))).rowcount
