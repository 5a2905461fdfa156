"""The rules of an issuer: what a JWT of it must be like to be accepted. One object per configured issuer."""

from __future__ import annotations

from dataclasses import dataclass, field

from querywarden.identity.mapping import ClaimMapping

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Every algorithm that can be allowed: signatures with a public key. `none` and HS* are not among them and never will be."""

LEEWAY_SECONDS_MAX = 60
"""More than a minute of clock difference is a fault to repair, not to allow for."""

ACCESS_TOKEN_TYPES = frozenset({"at+jwt"})
"""RFC 9068 §2.1: what an access token calls itself."""

ID_TOKEN_TYPE = "id_token"  # noqa: S105 - the name of a type, not a secret
"""Named in `types`, it lets ID tokens in: the only way with issuers whose access tokens are opaque."""


@dataclass(frozen=True, slots=True)
class IssuerRules:
    """What is expected of a JWT of one issuer.

    `types` are the values of the header's `typ` that are accepted (`at+jwt`; `JWT`, which also accepts a token without `typ`;
    `id_token`, see ID_TOKEN_TYPE). `clients` None accepts any client as long as we are the only audience. `scope` None asks for
    none. `lifetime_seconds_max` bounds exp - iat. Raises ValueError for rules that could never be safe.
    """

    issuer: str
    audience: str
    algorithms: frozenset[str] = ALGORITHMS
    types: frozenset[str] = ACCESS_TOKEN_TYPES
    clients: frozenset[str] | None = None
    scope: str | None = None
    leeway_seconds: int = 30
    lifetime_seconds_max: int = 86_400
    accepts_bound_tokens: bool = False
    mapping: ClaimMapping = field(default_factory=ClaimMapping)

    def __post_init__(self) -> None:
        if not self.issuer or not self.audience:
            raise ValueError("an issuer needs its exact issuer text and an audience")
        if not self.algorithms or not self.algorithms <= ALGORITHMS:
            raise ValueError(f"algorithms must be among {', '.join(sorted(ALGORITHMS))}")
        if not self.types:
            raise ValueError("types must name at least one token type, such as at+jwt")
        if not 0 <= self.leeway_seconds <= LEEWAY_SECONDS_MAX:
            raise ValueError(f"leeway_seconds must be between 0 and {LEEWAY_SECONDS_MAX}")
        if self.lifetime_seconds_max <= 0:
            raise ValueError("lifetime_seconds_max must be positive")
