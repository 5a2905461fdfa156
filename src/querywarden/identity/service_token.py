"""Service tokens: opaque credentials for agents and services that have no identity provider at hand.

The text is `qw_<id>_<secret><checksum>`: 11, 43 and 6 characters of base 62, 64 in all, so that even clients that cut a password
at 79 characters carry it whole. The id finds the record, the secret (256 random bits) proves possession, the checksum tells a
mistyped text from a wrong one without asking the store, and lets scanners find leaked tokens. Only a hash of id and secret is
stored; SHA-256 is enough for a secret that can't be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from querywarden.errors import IdentityRejected
from querywarden.identity.names import is_sane_name
from querywarden.identity.rejection import Cause
from querywarden.model.principal import Principal, PrincipalKind

PREFIX = b"qw_"
ISSUER = "querywarden"
"""The issuer of principals with service tokens; no OIDC issuer can have it, since those are addresses."""
METHOD = "service_token"
RANDOM_BYTES = 8 + 32
"""What `issue_service_token` takes: an id and a secret."""

_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TEXT = re.compile(rb"qw_([0-9A-Za-z]{11})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """The record of a service token: everything but the secret itself.

    Times are in seconds since the epoch. `databases` and `networks` None narrow nothing; `networks` are in CIDR form.
    """

    id: str
    name: str
    owner: str
    kind: PrincipalKind
    groups: frozenset[str]
    databases: frozenset[str] | None
    networks: tuple[str, ...] | None
    created_at: int
    expires_at: int | None
    secret_hash: str = field(repr=False)
    revoked_at: int | None = None
    last_used_at: int | None = None

    def ended(self, now: float) -> Cause | None:
        """Why the token no longer gives access at this time, or None while it does."""
        if self.revoked_at is not None:
            return Cause.SERVICE_TOKEN_REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return Cause.SERVICE_TOKEN_EXPIRED
        return None


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A text that has the form of a service token. Secrets: `secret_hash` until it is compared."""

    id: str
    secret_hash: str = field(repr=False)


def is_service_token(credential: bytes) -> bool:
    """Whether a credential claims to be a service token."""
    return credential.startswith(PREFIX)


def issue_service_token(
    randomness: bytes,
    *,
    name: str,
    owner: str,
    kind: PrincipalKind,
    now: float,
    groups: Iterable[str] = (),
    databases: Iterable[str] | None = None,
    networks: Iterable[str] | None = None,
    expires_at: int | None = None,
) -> tuple[bytes, ServiceToken]:
    """Issue a service token from 40 random bytes: its text, to be shown once, and its record.

    Raises ValueError with a sentence for the person who asked when a name, group, network or expiry is not usable.
    """
    if len(randomness) != RANDOM_BYTES:
        raise ValueError(f"a service token takes {RANDOM_BYTES} random bytes")
    if not _NAME.fullmatch(name):
        raise ValueError("a token's name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or digit")
    if not is_sane_name(owner):
        raise ValueError("the owner is 1 to 255 printable characters")
    if kind is PrincipalKind.HUMAN:
        raise ValueError("a service token is for an agent or a service; people log in with their identity provider")
    named_groups = frozenset(groups)
    if bad := sorted(group for group in named_groups if not is_sane_name(group)):
        raise ValueError(f"{bad[0]!r} is not a group's name")
    if expires_at is not None and expires_at <= now:
        raise ValueError("the expiry lies in the past")
    body = b"qw_" + _base62(randomness[:8], 11) + b"_" + _base62(randomness[8:], 43)
    text = body + _checksum(body)
    presented = parse_service_token(text)
    return text, ServiceToken(
        id=presented.id,
        name=name,
        owner=owner,
        kind=kind,
        groups=named_groups,
        databases=None if databases is None else frozenset(databases),
        networks=None if networks is None else tuple(str(parse_network(text)) for text in networks),
        created_at=int(now),
        expires_at=expires_at,
        secret_hash=presented.secret_hash,
    )


def parse_service_token(credential: bytes) -> PresentedToken:
    """Parse the text of a service token and hash its secret. Raises IdentityRejected."""
    match = _TEXT.fullmatch(credential)
    if match is None or not hmac.compare_digest(_checksum(credential[:-6]), match[3]):
        raise IdentityRejected(Cause.SERVICE_TOKEN_MALFORMED)
    digest = hashlib.sha256(b"querywarden service token v1\0" + match[1] + b"\0" + match[2])
    return PresentedToken(match[1].decode(), digest.hexdigest())


def verify_service_token(presented: PresentedToken, stored: ServiceToken | None, database: str, peer_ip: str, now: float) -> Principal:
    """Verify a presented token against its record, for a database and from an address. Raises IdentityRejected.

    The secret comes first: who doesn't have it learns nothing of what the token is for, not even by the log's wording.
    """
    if stored is None or stored.id != presented.id:
        raise IdentityRejected(Cause.SERVICE_TOKEN_UNKNOWN)
    if not hmac.compare_digest(stored.secret_hash, presented.secret_hash):
        raise IdentityRejected(Cause.SERVICE_TOKEN_SECRET)
    if (ended := stored.ended(now)) is not None:
        raise IdentityRejected(ended)
    if stored.databases is not None and database not in stored.databases:
        raise IdentityRejected(Cause.SERVICE_TOKEN_DATABASE)
    if stored.networks is not None and not is_within(peer_ip, stored.networks):
        raise IdentityRejected(Cause.SERVICE_TOKEN_NETWORK)
    return Principal(
        subject=stored.name,
        issuer=ISSUER,
        kind=stored.kind,
        groups=stored.groups,
        credential_id=stored.id,
        method=METHOD,
        expires_at=stored.expires_at,
        databases=stored.databases,
    )


def parse_network(text: str) -> Network:
    """Parse a network in CIDR form, or a single address; IPv4 inside IPv6 becomes IPv4. Raises ValueError."""
    try:
        network = ipaddress.ip_network(text, strict=True)
    except ValueError:
        raise ValueError(f"{text!r} is not a network such as 10.0.0.0/8 or 2001:db8::/32 (the host bits must be zero)") from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None and network.prefixlen >= 96:
        return ipaddress.IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


def is_within(peer_ip: str, networks: Iterable[str]) -> bool:
    """Whether an address lies in one of the networks; one that can't be read lies in none."""
    try:
        address: Address = ipaddress.ip_address(peer_ip.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        # A listener on :: sees IPv4 clients so.
        address = address.ipv4_mapped
    return any(address in parse_network(network) for network in networks)


def _base62(data: bytes, width: int) -> bytes:
    number, digits = int.from_bytes(data, "big"), bytearray()
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return bytes(reversed(digits))


def _checksum(body: bytes) -> bytes:
    return _base62(zlib.crc32(body).to_bytes(4, "big"), 6)
