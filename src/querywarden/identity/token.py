"""The JWT as a credential: every check between the text of a token and the claims that may be believed.

A token is read, its header is judged, and only after its signature are its claims looked at; the issuer and the key id alone are
taken from it before that, to find the key. Key material or addresses in the header (`jwk`, `jku`, `x5c`, `x5u`) are never used.
Each check has a cause of its own, for the log. This is the only module that imports `jwt`.

Spec: RFC 7519, RFC 8725 (best current practices), RFC 9068 (access tokens), OpenID Connect Core 1.0 §3.1.3.7 (ID tokens).
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from querywarden.errors import IdentityRejected
from querywarden.identity.claims import Claims
from querywarden.identity.issuer_rules import ALGORITHMS, ID_TOKEN_TYPE, IssuerRules
from querywarden.identity.keyset import KeySet
from querywarden.identity.names import is_sane_name
from querywarden.identity.rejection import Cause
from querywarden.identity.strict_json import StrictJsonError, decode_object

TOKEN_BYTES_MAX = 64 * 1024
"""PostgreSQL's own bound for a token is 65,535 bytes."""
KEY_TRIES_MAX = 8
"""Keys tried for a token without `kid`: each try is a signature check that someone unknown makes us do."""

_JWS = jwt.PyJWS(algorithms=sorted(ALGORITHMS))
_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})
_OTHER_PURPOSES = frozenset({"refresh", "offline", "logout", "initial-access-token", "registration-access-token"})
_NOT_ACCESS_CLAIMS = frozenset({"events", "toe"})

KeyLookup = Callable[[str], KeySet]


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token whose form and header are in order and whose signature hasn't been checked. Secrets: `raw`."""

    issuer: str
    kid: str | None
    algorithm: str
    rules: IssuerRules = field(repr=False)
    raw: bytes = field(repr=False)
    type: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)


def verify_jwt(token: bytes, issuers: Mapping[str, IssuerRules], keys: KeyLookup, now: float) -> Claims:
    """Verify a JWT; `keys` gives the key set of an issuer, `now` is in seconds since the epoch. Raises IdentityRejected."""
    unverified = read_jwt(token, issuers)
    return verify_read(unverified, keys(unverified.issuer), now)


def read_jwt(token: bytes, issuers: Mapping[str, IssuerRules]) -> UnverifiedToken:
    """Read a token and judge its header; what it says is not to be believed yet. Raises IdentityRejected."""
    if len(token) > TOKEN_BYTES_MAX:
        raise IdentityRejected(Cause.TOKEN_TOO_LARGE)
    if (parts := _COMPACT.fullmatch(token)) is None:
        raise IdentityRejected(Cause.TOKEN_MALFORMED)
    header, values = _json_part(parts[1]), _json_part(parts[2])
    issuer = values.get("iss")
    if not isinstance(issuer, str) or (rules := issuers.get(issuer)) is None:
        raise IdentityRejected(Cause.ISSUER_UNKNOWN)
    algorithm, kid, type_ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        raise IdentityRejected(Cause.ALGORITHM_REFUSED)
    if not header.keys().isdisjoint({"crit", "b64", "zip", "enc"}):
        raise IdentityRejected(Cause.CRITICAL_HEADER)
    if kid is not None and not isinstance(kid, str):
        raise IdentityRejected(Cause.KEY_UNKNOWN)
    if type_ is not None and not isinstance(type_, str):
        raise IdentityRejected(Cause.TYPE_REFUSED)
    _check_type(type_, rules)
    return UnverifiedToken(issuer, kid, algorithm, rules, token, type_, values)


def verify_read(token: UnverifiedToken, keyset: KeySet, now: float) -> Claims:
    """Verify the signature of a token that was read, with the keys of its issuer, and then its claims. Raises IdentityRejected."""
    _check_signature(token, keyset)
    values, rules = token.values, token.rules
    _check_purpose(token)
    client = _client(values)
    _check_audience(values, client, rules)
    expires_at = _check_times(values, rules, now)
    if "cnf" in values and not rules.accepts_bound_tokens:
        raise IdentityRejected(Cause.BOUND_TOKEN)
    if rules.scope is not None and rules.scope not in _scopes(values):
        raise IdentityRejected(Cause.SCOPE)
    subject, token_id = values.get("sub"), values.get("jti")
    if not isinstance(subject, str) or not is_sane_name(subject):
        raise IdentityRejected(Cause.SUBJECT)
    return Claims(
        issuer=token.issuer,
        subject=subject,
        expires_at=expires_at,
        token_id=token_id if isinstance(token_id, str) and is_sane_name(token_id) else None,
        client=client,
        values=values,
    )


def _json_part(part: bytes) -> dict[str, Any]:
    if len(part) % 4 == 1:
        raise IdentityRejected(Cause.TOKEN_MALFORMED)
    data = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if not data.startswith(b"{"):
        raise IdentityRejected(Cause.TOKEN_MALFORMED)
    try:
        return decode_object(data)
    except StrictJsonError:
        raise IdentityRejected(Cause.TOKEN_JSON) from None


def _check_type(type_: str | None, rules: IssuerRules) -> None:
    """Judge `typ`: a media type, compared without case and without the `application/` that may be left out (RFC 7515 §4.1.9)."""
    named = (type_ or "JWT").lower().removeprefix("application/")
    accepted = {t.lower().removeprefix("application/") for t in rules.types}
    # An ID token has no type of its own: it calls itself JWT, or nothing.
    if named not in accepted and not (named == "jwt" and ID_TOKEN_TYPE in accepted):
        raise IdentityRejected(Cause.TYPE_REFUSED)


def _check_signature(token: UnverifiedToken, keyset: KeySet) -> None:
    named = keyset.candidates(token.kid)
    if not named:
        raise IdentityRejected(Cause.KEY_UNKNOWN)
    fitting = [key for key in named if token.algorithm in key.algorithms]
    if not fitting:
        raise IdentityRejected(Cause.KEY_UNFIT)
    for key in fitting[:KEY_TRIES_MAX]:
        try:
            _JWS.decode_complete(token.raw, key.public_key, algorithms=[token.algorithm])
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        return
    raise IdentityRejected(Cause.SIGNATURE)


def _check_purpose(token: UnverifiedToken) -> None:
    """Refuse what the issuer signed for something else than access: ID, refresh, logout and event tokens (RFC 9068 §5)."""
    values = token.values
    marked = values.get("typ") or values.get("token_use")
    purpose = marked.lower() if isinstance(marked, str) else ""
    if purpose in _OTHER_PURPOSES or not values.keys().isdisjoint(_NOT_ACCESS_CLAIMS):
        raise IdentityRejected(Cause.TOKEN_PURPOSE)
    is_id_token = purpose == "id" or not values.keys().isdisjoint(_ID_TOKEN_CLAIMS)
    if is_id_token and ID_TOKEN_TYPE not in token.rules.types:
        raise IdentityRejected(Cause.ID_TOKEN)


def _client(values: Mapping[str, Any]) -> str | None:
    """The client that the token was given to: `azp` (OpenID Connect), `client_id` (RFC 9068), `appid` or `cid` of their dialects."""
    named = [values[claim] for claim in ("azp", "client_id") if values.get(claim) is not None]
    if len(set(map(repr, named))) > 1:
        raise IdentityRejected(Cause.CLIENT_AMBIGUOUS)
    named += [values[claim] for claim in ("appid", "cid") if values.get(claim) is not None]
    if not named:
        return None
    if not isinstance(named[0], str):
        raise IdentityRejected(Cause.CLIENT_REFUSED)
    return named[0]


def _check_audience(values: Mapping[str, Any], client: str | None, rules: IssuerRules) -> None:
    named = values.get("aud")
    audiences = [named] if isinstance(named, str) else named
    if not isinstance(audiences, list) or rules.audience not in audiences or not all(isinstance(a, str) for a in audiences):
        raise IdentityRejected(Cause.AUDIENCE)
    if rules.clients is not None:
        if client not in rules.clients:
            raise IdentityRejected(Cause.CLIENT_REFUSED)
    elif len(set(audiences)) > 1:
        # Any of the other audiences could pass the token on to us; only the client it was made for shows that it is meant.
        raise IdentityRejected(Cause.CLIENT_REFUSED, "a token with several audiences needs the issuer's list of clients")


def _check_times(values: Mapping[str, Any], rules: IssuerRules, now: float) -> int:
    expires_at = _numeric_date(values, "exp", Cause.EXPIRY_MISSING)
    if expires_at is None:
        raise IdentityRejected(Cause.EXPIRY_MISSING)
    if now >= expires_at + rules.leeway_seconds:
        raise IdentityRejected(Cause.EXPIRED)
    issued_at = _numeric_date(values, "iat", Cause.TIME_MALFORMED)
    not_before = _numeric_date(values, "nbf", Cause.TIME_MALFORMED)
    for moment in (issued_at, not_before):
        if moment is not None and moment > now + rules.leeway_seconds:
            raise IdentityRejected(Cause.NOT_YET_VALID)
    # A token that doesn't say when it was issued can't live longer from now on than one issued now.
    if expires_at - (now if issued_at is None else issued_at) > rules.lifetime_seconds_max:
        raise IdentityRejected(Cause.LIFETIME)
    return int(expires_at)


def _numeric_date(values: Mapping[str, Any], claim: str, cause: Cause) -> float | None:
    value = values.get(claim)
    if value is None:
        return None
    # bool is an int to Python; an infinite number comes from an exponent that no float holds.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value < 2**53:
        raise IdentityRejected(cause)
    return value


def _scopes(values: Mapping[str, Any]) -> frozenset[str]:
    """The scopes of a token: `scope` (RFC 8693 §4.2, a text), or `scp` (a text or a list, of Entra and Okta)."""
    found: set[str] = set()
    for claim in ("scope", "scp"):
        value = values.get(claim)
        if isinstance(value, str):
            found.update(value.split())
        elif isinstance(value, list):
            found.update(item for item in value if isinstance(item, str))
    return frozenset(found)
