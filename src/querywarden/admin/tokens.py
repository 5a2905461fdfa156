"""Service tokens as an administrator sees them: create, list, revoke."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from querywarden.config.models import Config, ControlSettings
from querywarden.errors import ConfigurationError
from querywarden.identity.service_token import RANDOM_BYTES, ServiceToken, issue_service_token
from querywarden.model.principal import PrincipalKind
from querywarden.storage.control_store import ControlStore, UnknownToken

EXPIRES_DEFAULT = "90d"
"""A token that nobody thinks of any more ends by itself."""

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION_SECONDS_MAX = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is asked of a new service token; empty `databases` or `networks` narrow nothing."""

    name: str
    owner: str
    kind: str = PrincipalKind.AGENT.value
    groups: Sequence[str] = ()
    databases: Sequence[str] = ()
    networks: Sequence[str] = ()
    expires: str = EXPIRES_DEFAULT


@contextmanager
def open_store(control: ControlSettings) -> Iterator[ControlStore]:
    """The control store that a configuration names, closed at the end."""
    store = ControlStore(control.url)
    try:
        yield store
    finally:
        store.close()


def parse_expires(text: str) -> int | None:
    """The seconds of a duration such as 90d, or None for `never`; raises ValueError."""
    if text == "never":
        return None
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _DURATION_SECONDS_MAX:
        raise ValueError(f"{text!r} is not a duration such as 30m, 12h, 90d or 8w, at most ten years; or never")
    return seconds


def create_token(store: ControlStore, config: Config, request: TokenRequest) -> tuple[str, ServiceToken]:
    """Create a service token: its text, which nobody can be shown again, and its record.

    Raises: ValueError with a sentence for the administrator, DependencyFailure.
    """
    for database in request.databases:
        if database not in config.databases:
            close = get_close_matches(database, config.databases, 1)
            known = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(config.databases))}"
            raise ValueError(f"{database!r} is not a configured database; {known}")
    try:
        kind = PrincipalKind(request.kind)
    except ValueError:
        raise ValueError(f"{request.kind!r} is not a kind of token: agent or service") from None
    now = int(time.time())
    seconds = parse_expires(request.expires)
    text, token = issue_service_token(
        secrets.token_bytes(RANDOM_BYTES),
        name=request.name,
        owner=request.owner,
        kind=kind,
        now=now,
        groups=request.groups,
        databases=request.databases or None,
        networks=request.networks or None,
        expires_at=None if seconds is None else now + seconds,
    )
    store.add_token(token)
    return text.decode(), token


def revoke_token(store: ControlStore, id_or_name: str) -> ServiceToken:
    """Revoke a service token by its id, or by the name of one that is not revoked yet. Raises UnknownToken."""
    token = store.find_token(id_or_name)
    if token is None:
        token = next((t for t in store.list_tokens() if t.name == id_or_name and t.revoked_at is None), None)
    if token is None:
        raise UnknownToken(f"there is no service token {id_or_name!r}; `querywarden token list` shows them")
    return store.revoke_token(token.id, int(time.time()))


def token_state(token: ServiceToken, now: float) -> str:
    """`active`, `expired` or `revoked`."""
    if token.revoked_at is not None:
        return "revoked"
    return "active" if token.ended(now) is None else "expired"


def token_summary(token: ServiceToken, now: float) -> dict[str, Any]:
    """What may be shown of a service token, as plain values; the hash is not among it."""
    return {
        "id": token.id,
        "name": token.name,
        "owner": token.owner,
        "kind": token.kind.value,
        "groups": sorted(token.groups),
        "databases": None if token.databases is None else sorted(token.databases),
        "networks": None if token.networks is None else list(token.networks),
        "state": token_state(token, now),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    }


def require_enabled(config: Config) -> None:
    """Raises ConfigurationError where service tokens are switched off, since a new one would open nothing."""
    if not config.identity.service_tokens.enabled:
        raise ConfigurationError("service tokens are switched off", hint="set identity.service_tokens.enabled to true")
