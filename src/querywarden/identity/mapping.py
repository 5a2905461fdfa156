"""The mapping of claims to a principal, as the configuration says it.

Every identity provider has its own place for groups and for what is a person and what a machine, so places are JSON pointers
(RFC 6901). A groups claim that is missing, or that the provider has replaced because it grew too long, means no groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from querywarden.errors import IdentityRejected
from querywarden.identity.claims import Claims
from querywarden.identity.delegation import actor_chain
from querywarden.identity.names import is_sane_name
from querywarden.identity.rejection import Cause
from querywarden.model.principal import Principal, PrincipalKind

GROUPS_MAX = 1000
"""Groups of one principal; Entra stops at 200, Okta at 100."""

Pointer = tuple[str, ...]

DEFAULT_KINDS: Mapping[str, PrincipalKind] = {
    "human": PrincipalKind.HUMAN,
    "user": PrincipalKind.HUMAN,
    "agent": PrincipalKind.AGENT,
    "service": PrincipalKind.SERVICE,
}

_ABSENT = object()


def parse_pointer(text: str) -> Pointer:
    """Parse a JSON pointer such as `/realm_access/roles`; raises ValueError when it isn't one that names a claim."""
    if not text.startswith("/") or len(text) < 2:
        raise ValueError(f"{text!r} is not a JSON pointer to a claim: write /{text.strip('/.').replace('.', '/') or 'sub'}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """Where an issuer's tokens hold what a principal is made of.

    `groups` are looked up one after the other and put together; `groups_prefix` is put before each group, so that two issuers
    can't speak of the same one. `kind` None reads no claim. A token of an `agent_clients` client is an agent's, whoever its
    subject is.
    """

    subject: Pointer = ("sub",)
    groups: tuple[Pointer, ...] = (("groups",),)
    groups_prefix: str = ""
    kind: Pointer | None = None
    kinds: Mapping[str, PrincipalKind] = field(default_factory=lambda: DEFAULT_KINDS)
    agent_clients: frozenset[str] = frozenset()


def principal_of(claims: Claims, mapping: ClaimMapping) -> Principal:
    """The principal that verified claims speak of; raises IdentityRejected when they can't be mapped without guessing."""
    subject = _look_up(claims.values, mapping.subject)
    if not isinstance(subject, str) or not is_sane_name(subject):
        raise IdentityRejected(Cause.SUBJECT)
    actors = actor_chain(claims.values, claims.issuer)
    return Principal(
        subject=subject,
        issuer=claims.issuer,
        kind=_kind(claims, mapping, is_delegated=bool(actors)),
        groups=_groups(claims.values, mapping),
        credential_id=claims.token_id,
        method="jwt",
        expires_at=claims.expires_at,
        actors=actors,
    )


def _look_up(values: Mapping[str, Any], pointer: Pointer) -> Any:
    """The value at a pointer, or `_ABSENT`."""
    found: Any = values
    for part in pointer:
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isascii() and part.isdecimal() and len(part) < 5 and int(part) < len(found):
            found = found[int(part)]
        else:
            return _ABSENT
    return found


def _kind(claims: Claims, mapping: ClaimMapping, *, is_delegated: bool) -> PrincipalKind:
    """What the principal is. Who acts for someone else is held to the rules of agents; an unheard-of kind is, too."""
    if is_delegated or (claims.client is not None and claims.client in mapping.agent_clients):
        return PrincipalKind.AGENT
    if mapping.kind is not None and (value := _look_up(claims.values, mapping.kind)) is not _ABSENT:
        return mapping.kinds.get(value, PrincipalKind.AGENT) if isinstance(value, str) else PrincipalKind.AGENT
    if claims.client == claims.subject:
        # The client credentials grant: the client speaks for itself.
        return PrincipalKind.SERVICE
    return PrincipalKind.HUMAN


def _groups(values: Mapping[str, Any], mapping: ClaimMapping) -> frozenset[str]:
    found: set[str] = set()
    for pointer in mapping.groups:
        value = _look_up(values, pointer)
        if value is _ABSENT or value is None:
            continue
        names = value.split() if isinstance(value, str) else value
        if not isinstance(names, list) or not all(is_sane_name(name) for name in names):
            # Part of a list would be a guess: a rule against a group that was dropped would no longer hold.
            raise IdentityRejected(Cause.GROUPS)
        found.update(names)
    if len(found) > GROUPS_MAX:
        raise IdentityRejected(Cause.GROUPS)
    return frozenset(mapping.groups_prefix + name for name in found)
