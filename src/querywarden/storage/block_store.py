"""Blocked principals in the control store: who may not log in, at any proxy that shares it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, insert, or_, select, update
from sqlalchemy.engine import Connection

from querywarden.approval.request import Party
from querywarden.storage.engine import StoreDatabase
from querywarden.storage.schema import BLOCKS
from querywarden.storage.session_store import takes_part


@dataclass(frozen=True, slots=True)
class Block:
    """A principal that may not log in; `issuer` None: of whatever issuer. `until` None: until it is lifted."""

    id: int
    subject: str
    issuer: str | None
    by: str
    reason: str
    at: int
    until: int | None = None
    lifted_at: int | None = None
    lifted_by: str | None = None

    def covers(self, party: Party) -> bool:
        """Whether the blocked principal takes part in an identity, as its subject or as one that acts for it."""
        return takes_part(party, self.subject, self.issuer)


@dataclass(frozen=True, slots=True)
class BlockChange:
    """A block that has begun, or was lifted: news for the log."""

    block: Block
    is_lifted: bool


class BlockStore(StoreDatabase):
    """The part of the control store that keeps blocked principals."""

    def block(
        self, subject: str, issuer: str | None, by: str, reason: str, until: int | None, now: float, is_recorded: bool = False
    ) -> Block:
        """Block a principal; a block of the same principal that is in force is replaced.

        `is_recorded`: the caller writes the record of it; otherwise `block_changes` hands it to a proxy.
        """
        body = {"by": by, "reason": reason, "lifted_by": None}
        values = {"subject": subject, "issuer": issuer, "at": int(now), "until": until, "body": body}
        with self.writing() as connection:
            same = and_(BLOCKS.c.subject == subject, _is_same(issuer), _in_force(now))
            connection.execute(update(BLOCKS).where(same).values(lifted_at=int(now), is_lift_told=True))
            added = connection.execute(insert(BLOCKS).values(values | {"is_told": is_recorded, "is_lift_told": False}))
            key = added.inserted_primary_key
            row = connection.execute(select(BLOCKS).where(BLOCKS.c.id == (0 if key is None else key[0]))).one()
        return _block(row)

    def unblock(self, subject: str, issuer: str | None, by: str, now: float, is_recorded: bool = False) -> list[Block]:
        """Lift the blocks of a subject that are in force: of one issuer, or with None all of them.

        Returns: those lifted; none when there was none.
        """
        matches = [BLOCKS.c.subject == subject, _in_force(now)] + ([] if issuer is None else [BLOCKS.c.issuer == issuer])
        with self.writing() as connection:
            rows = connection.execute(select(BLOCKS).where(*matches).order_by(BLOCKS.c.id).with_for_update()).all()
            for row in rows:
                changes = {"lifted_at": int(now), "is_lift_told": is_recorded, "body": {**row.body, "lifted_by": by}}
                connection.execute(update(BLOCKS).where(BLOCKS.c.id == row.id).values(changes))
            lifted = connection.execute(select(BLOCKS).where(BLOCKS.c.id.in_([row.id for row in rows])).order_by(BLOCKS.c.id)).all()
        return [_block(row) for row in lifted]

    def blocks(self, now: float) -> list[Block]:
        """The blocks in force, the oldest first."""
        with self.reading() as connection:
            return blocks_in_force(connection, now)

    def block_changes(self, now: float) -> list[BlockChange]:
        """Blocks and liftings whose record nobody writes yet; one caller gets each."""
        with self.reading() as connection:
            if not has_untold_blocks(connection):
                return []
        with self.writing() as connection:
            untold = select(BLOCKS).where(_untold()).order_by(BLOCKS.c.id).with_for_update(skip_locked=True)
            rows = connection.execute(untold).all()
            changes = [BlockChange(_block(row), False) for row in rows if not row.is_told]
            changes += [BlockChange(_block(row), True) for row in rows if row.lifted_at is not None and not row.is_lift_told]
            for row in rows:
                told = {"is_told": True, "is_lift_told": row.is_lift_told or row.lifted_at is not None}
                connection.execute(update(BLOCKS).where(BLOCKS.c.id == row.id).values(told))
        return changes


def blocks_in_force(connection: Connection, now: float) -> list[Block]:
    """The blocks in force, inside a transaction."""
    rows: Sequence[Row[Any]] = connection.execute(select(BLOCKS).where(_in_force(now)).order_by(BLOCKS.c.id)).all()
    return [_block(row) for row in rows]


def has_untold_blocks(connection: Connection) -> bool:
    """Whether `block_changes` would hand out something."""
    return connection.execute(select(BLOCKS.c.id).where(_untold()).limit(1)).first() is not None


def _untold() -> ColumnElement[bool]:
    return or_(BLOCKS.c.is_told.is_(False), and_(BLOCKS.c.lifted_at.is_not(None), BLOCKS.c.is_lift_told.is_(False)))


def _in_force(now: float) -> ColumnElement[bool]:
    return and_(BLOCKS.c.lifted_at.is_(None), or_(BLOCKS.c.until.is_(None), BLOCKS.c.until > int(now)))


def _is_same(issuer: str | None) -> ColumnElement[bool]:
    return BLOCKS.c.issuer.is_(None) if issuer is None else BLOCKS.c.issuer == issuer


def _block(row: Row[Any]) -> Block:
    body: Mapping[str, Any] = row.body
    return Block(row.id, row.subject, row.issuer, body["by"], body["reason"], row.at, row.until, row.lifted_at, body["lifted_by"])
