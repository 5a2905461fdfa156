"""Service tokens in the control store, by their hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from querywarden.identity.service_token import ServiceToken
from querywarden.model.principal import PrincipalKind
from querywarden.storage.engine import StoreDatabase
from querywarden.storage.schema import TOKENS


class DuplicateName(ValueError):
    """Another service token that isn't revoked has this name."""


class UnknownToken(ValueError):
    """No service token has this id."""


class TokenStore(StoreDatabase):
    """The part of the control store that keeps service tokens."""

    def add_token(self, token: ServiceToken) -> None:
        """Store a new service token; raises DuplicateName."""
        values = {
            "id": token.id,
            "name": token.name,
            "owner": token.owner,
            "kind": token.kind.value,
            "groups": sorted(token.groups),
            "databases": None if token.databases is None else sorted(token.databases),
            "networks": None if token.networks is None else list(token.networks),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "secret_hash": token.secret_hash,
        }
        with self.writing() as connection:
            try:
                connection.execute(insert(TOKENS).values(values))
            except IntegrityError:
                raise DuplicateName(f"there is already a service token named {token.name}; revoke it or choose another name") from None

    def find_token(self, token_id: str) -> ServiceToken | None:
        """The service token of an id, revoked or not."""
        return self.find_tokens([token_id]).get(token_id)

    def find_tokens(self, token_ids: Sequence[str]) -> dict[str, ServiceToken]:
        """The service tokens of several ids, by id."""
        with self.reading() as connection:
            rows = connection.execute(select(TOKENS).where(TOKENS.c.id.in_(token_ids))).all()
        return {row.id: _token(row) for row in rows}

    def list_tokens(self) -> list[ServiceToken]:
        """All service tokens, the newest last."""
        with self.reading() as connection:
            rows = connection.execute(select(TOKENS).order_by(TOKENS.c.created_at, TOKENS.c.id)).all()
        return [_token(row) for row in rows]

    def revoke_token(self, token_id: str, now: int) -> ServiceToken:
        """Revoke a service token; one that is revoked already stays as it is. Raises UnknownToken."""
        with self.writing() as connection:
            is_active = (TOKENS.c.id == token_id) & TOKENS.c.revoked_at.is_(None)
            connection.execute(update(TOKENS).where(is_active).values(revoked_at=now))
            row = connection.execute(select(TOKENS).where(TOKENS.c.id == token_id)).one_or_none()
        if row is None:
            raise UnknownToken(f"there is no service token with the id {token_id}")
        return _token(row)

    def touch_token(self, token_id: str, now: int) -> None:
        """Note that a service token was used."""
        with self.writing() as connection:
            connection.execute(update(TOKENS).where(TOKENS.c.id == token_id).values(last_used_at=now))


def _token(row: Row[Any]) -> ServiceToken:
    return ServiceToken(
        id=row.id,
        name=row.name,
        owner=row.owner,
        kind=PrincipalKind(row.kind),
        groups=frozenset(row.groups),
        databases=None if row.databases is None else frozenset(row.databases),
        networks=None if row.networks is None else tuple(row.networks),
        created_at=row.created_at,
        expires_at=row.expires_at,
        secret_hash=row.secret_hash,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
