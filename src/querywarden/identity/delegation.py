"""The delegation chain of a token: who acts for its subject (RFC 8693 §4.1, the `act` claim)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from querywarden.errors import IdentityRejected
from querywarden.identity.names import is_sane_name
from querywarden.identity.rejection import Cause
from querywarden.model.principal import Actor

ACTORS_MAX = 5
"""Links of a chain; longer ones are a loop of services or an attack on whoever reads the log."""


def actor_chain(claims: Mapping[str, Any], issuer: str) -> tuple[Actor, ...]:
    """The chain of actors, the current one first; empty when nobody acts for the subject.

    An actor without an issuer of its own belongs to the token's. Raises IdentityRejected when the claim is not what RFC 8693
    says: taking it for absent would turn an agent into the person it acts for.
    """
    actors: list[Actor] = []
    holder: Mapping[str, Any] = claims
    while "act" in holder:
        act = holder["act"]
        if len(actors) == ACTORS_MAX or not isinstance(act, Mapping):
            raise IdentityRejected(Cause.DELEGATION)
        subject, actor_issuer = act.get("sub"), act.get("iss", issuer)
        if not is_sane_name(subject) or not is_sane_name(actor_issuer):
            raise IdentityRejected(Cause.DELEGATION)
        actors.append(Actor(subject=str(subject), issuer=str(actor_issuer)))
        holder = act
    return tuple(actors)
