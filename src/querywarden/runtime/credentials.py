"""Credentials: from what a client sent as its password to a verified principal, and whether that principal still has access."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from querywarden.config.models import IdentitySettings, IssuerSettings
from querywarden.errors import ConfigurationError, DependencyFailure, IdentityRejected
from querywarden.identity.issuer_rules import IssuerRules
from querywarden.identity.keyset import KeySet
from querywarden.identity.mapping import DEFAULT_KINDS, ClaimMapping, parse_pointer, principal_of
from querywarden.identity.rejection import Cause
from querywarden.identity.service_token import (
    METHOD,
    ServiceToken,
    is_service_token,
    parse_service_token,
    verify_service_token,
)
from querywarden.identity.token import read_jwt, verify_read
from querywarden.model.principal import Principal
from querywarden.runtime.access_watch import ended_sentence
from querywarden.runtime.issuer_http import IssuerSource

TOUCH_SECONDS = 60
"""How exact a service token's last use is; a write for every login would be a load for nothing."""

log = structlog.get_logger(__name__)


class KeySource(Protocol):
    """Where the key sets of issuers come from."""

    async def keyset(self, issuer: str, kid: str | None) -> KeySet:
        """The key set of an issuer; raises DependencyFailure when there is none."""


class TokenStore(Protocol):
    """Where service tokens are found; both methods may block and raise DependencyFailure."""

    def find_token(self, token_id: str) -> ServiceToken | None:
        """The record of a service token, or None."""

    def touch_token(self, token_id: str, now: int) -> None:
        """Note that a token was used."""


class CredentialVerifier:
    """Verifies what clients send as their password: service tokens by their prefix, everything else as a JWT.

    `store` None means that service tokens are not accepted. Secrets: credentials pass through and are not kept.
    """

    def __init__(
        self,
        issuers: Mapping[str, IssuerRules],
        keys: KeySource,
        store: TokenStore | None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuers = issuers
        self._keys = keys
        self._store = store
        self._clock = clock

    async def verify(self, credential: bytes, database: str, peer_ip: str) -> Principal:
        """The principal that a credential proves, for a database and from an address.

        Raises IdentityRejected for every failure, also when keys or store don't answer: closed, and alike to the client.
        """
        if not credential:
            raise IdentityRejected(Cause.CREDENTIAL_EMPTY)
        if is_service_token(credential):
            return await self._verify_service_token(credential, database, peer_ip)
        return await self._verify_jwt(credential)

    async def is_still_valid(self, principal: Principal) -> str | None:
        """None while a principal still has access, else the public sentence that says why it no longer has.

        Raises DependencyFailure when the store doesn't answer.
        """
        stored: ServiceToken | None = None
        if principal.method == METHOD and principal.credential_id is not None and self._store is not None:
            stored = await asyncio.to_thread(self._store.find_token, principal.credential_id)
        return ended_sentence(principal, stored, self._clock())

    async def _verify_jwt(self, credential: bytes) -> Principal:
        unverified = read_jwt(credential, self._issuers)
        try:
            keyset = await self._keys.keyset(unverified.issuer, unverified.kid)
        except DependencyFailure as error:
            raise IdentityRejected(Cause.KEYS_UNAVAILABLE, str(error)) from None
        claims = verify_read(unverified, keyset, self._clock())
        return principal_of(claims, unverified.rules.mapping)

    async def _verify_service_token(self, credential: bytes, database: str, peer_ip: str) -> Principal:
        if self._store is None:
            raise IdentityRejected(Cause.SERVICE_TOKENS_OFF)
        presented = parse_service_token(credential)
        try:
            stored = await asyncio.to_thread(self._store.find_token, presented.id)
        except DependencyFailure as error:
            raise IdentityRejected(Cause.STORE_UNAVAILABLE, str(error)) from None
        now = self._clock()
        principal = verify_service_token(presented, stored, database, peer_ip, now)
        if stored is not None and (stored.last_used_at is None or now - stored.last_used_at >= TOUCH_SECONDS):
            await self._touch(self._store, stored.id, int(now))
        return principal

    async def _touch(self, store: TokenStore, token_id: str, now: int) -> None:
        """Note the use; a store that can be read but not written doesn't keep anybody out."""
        try:
            await asyncio.to_thread(store.touch_token, token_id, now)
        except DependencyFailure as error:
            log.warning("identity.touch_failed", token=token_id, error=str(error))


def issuer_rules(identity: IdentitySettings) -> dict[str, IssuerRules]:
    """The rules of every configured issuer, by its exact text. Raises ConfigurationError for rules that could never be safe."""
    found: dict[str, IssuerRules] = {}
    for settings in identity.issuers:
        try:
            found[settings.issuer] = _rules(settings)
        except ValueError as error:
            raise ConfigurationError(f"identity.issuers: {settings.issuer}: {error}") from None
    return found


def issuer_sources(identity: IdentitySettings) -> tuple[IssuerSource, ...]:
    """Where the keys of every configured issuer come from."""
    return tuple(IssuerSource(settings.issuer, settings.ca) for settings in identity.issuers)


def _rules(settings: IssuerSettings) -> IssuerRules:
    claims = settings.claims
    return IssuerRules(
        issuer=settings.issuer,
        audience=settings.audience,
        algorithms=frozenset(settings.algorithms),
        types=frozenset(settings.types),
        clients=frozenset(settings.clients) or None,
        scope=settings.scope,
        leeway_seconds=settings.leeway_seconds,
        lifetime_seconds_max=settings.lifetime_seconds_max,
        mapping=ClaimMapping(
            subject=parse_pointer(claims.subject),
            groups=(parse_pointer(claims.groups),),
            groups_prefix=claims.group_prefix,
            kind=None if claims.kind is None else parse_pointer(claims.kind),
            kinds={**DEFAULT_KINDS, **claims.kinds},
            agent_clients=frozenset(claims.agent_clients),
        ),
    )
