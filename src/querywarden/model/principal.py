"""The principal: who is speaking, as a verified credential says it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PrincipalKind(StrEnum):
    """What a principal is: a person, an agent that acts by itself, or a service account."""

    HUMAN = "human"
    AGENT = "agent"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Actor:
    """One link of a delegation chain (RFC 8693 `act`): who acts for the principal's subject."""

    subject: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified identity and what its credential says of it.

    `subject` and `issuer` together identify it; `actors` is the delegation chain, the current actor first.
    `expires_at` is in seconds since the epoch (None: the credential does not expire). `databases` and `networks`
    are the narrowing that a service token carries; None means no narrowing.
    Secrets: none; the credential itself is never kept.
    """

    subject: str
    issuer: str
    kind: PrincipalKind
    groups: frozenset[str] = frozenset()
    credential_id: str | None = None
    method: str = "jwt"
    expires_at: int | None = None
    actors: tuple[Actor, ...] = ()
    databases: frozenset[str] | None = None

    @property
    def label(self) -> str:
        """The subject and, for delegated access, the actor: what people read in logs and in `application_name`."""
        if self.actors:
            return f"{self.actors[0].subject} for {self.subject}"
        return self.subject
