"""The JWT as a credential: one good token, and one mutation of it for each rule."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from querywarden.demo.issuer_keys import SigningKey, base64url, sign_jwt
from querywarden.errors import IdentityRejected
from querywarden.identity.issuer_rules import ALGORITHMS, IssuerRules
from querywarden.identity.keyset import KeySet, parse_keyset
from querywarden.identity.rejection import Cause
from querywarden.identity.token import TOKEN_BYTES_MAX, verify_jwt

NOW = 1_900_000_000
ISSUER = "https://idp.example.com"
KEY = SigningKey.generate("k1", "ES256")
OTHER = SigningKey.generate("k1", "ES256")
RSA = SigningKey.generate("r1", "RS256")
ED = SigningKey.generate("e1", "EdDSA")
KEYS = parse_keyset(json.dumps({"keys": [KEY.jwk(), RSA.jwk(), ED.jwk()]}).encode())
RULES = IssuerRules(ISSUER, "querywarden", scope="db:connect", lifetime_seconds_max=7200)
CANARY = "canary-5f0e-subject"

GOOD: Mapping[str, Any] = {
    "iss": ISSUER,
    "sub": CANARY,
    "aud": "querywarden",
    "azp": "cli",
    "client_id": "cli",
    "iat": NOW - 60,
    "nbf": NOW - 60,
    "exp": NOW + 3600,
    "jti": "t-1",
    "scope": "openid db:connect",
}
HEADER: Mapping[str, Any] = {"typ": "at+jwt"}


def make(key: SigningKey = KEY, header: Mapping[str, Any] | None = None, **claims: Any) -> bytes:
    kept = {name: value for name, value in {**GOOD, **claims}.items() if value is not None}
    return sign_jwt(key, kept, {**HEADER, **(header or {})}).encode()


def verify(token: bytes, rules: IssuerRules = RULES, keys: KeySet = KEYS, now: float = NOW) -> Any:
    return verify_jwt(token, {rules.issuer: rules}, lambda _: keys, now)


def rejection(token: bytes, rules: IssuerRules = RULES, keys: KeySet = KEYS, now: float = NOW) -> str:
    with pytest.raises(IdentityRejected) as caught:
        verify(token, rules, keys, now)
    error = caught.value
    shown = f"{error!s} {error!r} {error.detail} {error.__cause__!r} {error.__context__ if not error.__suppress_context__ else ''}"
    assert CANARY not in shown
    for part in token.decode("latin-1").split("."):
        assert len(part) < 12 or part not in shown
    return error.cause


@pytest.mark.parametrize("key", [KEY, RSA, ED], ids=lambda key: key.algorithm)
def test_good_token_of_each_key_type_is_accepted(key: SigningKey) -> None:
    claims = verify(make(key))
    assert (claims.issuer, claims.subject, claims.expires_at) == (ISSUER, CANARY, NOW + 3600)
    assert (claims.token_id, claims.client) == ("t-1", "cli")


HEADER_MUTATIONS = [
    ({"alg": "none"}, Cause.ALGORITHM_REFUSED),
    ({"alg": "HS256"}, Cause.ALGORITHM_REFUSED),
    ({"alg": "es256"}, Cause.ALGORITHM_REFUSED),
    ({"alg": "ES256K"}, Cause.ALGORITHM_REFUSED),
    ({"alg": None}, Cause.ALGORITHM_REFUSED),
    ({"alg": ["ES256"]}, Cause.ALGORITHM_REFUSED),
    ({"alg": "RS256"}, Cause.KEY_UNFIT),
    ({"alg": "ES384"}, Cause.KEY_UNFIT),
    ({"crit": ["exp"], "exp": 1}, Cause.CRITICAL_HEADER),
    ({"crit": []}, Cause.CRITICAL_HEADER),
    ({"b64": True}, Cause.CRITICAL_HEADER),
    ({"b64": False, "crit": ["b64"]}, Cause.CRITICAL_HEADER),
    ({"zip": "DEF"}, Cause.CRITICAL_HEADER),
    ({"kid": "k2"}, Cause.KEY_UNKNOWN),
    ({"kid": ""}, Cause.KEY_UNKNOWN),
    ({"kid": 1}, Cause.KEY_UNKNOWN),
    ({"kid": "r1"}, Cause.KEY_UNFIT),
    ({"typ": "JWT"}, Cause.TYPE_REFUSED),
    ({"typ": None}, Cause.TYPE_REFUSED),
    ({"typ": 7}, Cause.TYPE_REFUSED),
    ({"typ": "logout+jwt"}, Cause.TYPE_REFUSED),
    ({"typ": "dpop+jwt"}, Cause.TYPE_REFUSED),
]


@pytest.mark.parametrize(("header", "cause"), HEADER_MUTATIONS)
def test_one_change_of_the_header_is_rejected(header: dict[str, Any], cause: Cause) -> None:
    assert rejection(make(header=header)) == cause


CLAIM_MUTATIONS = [
    ({"iss": None}, Cause.ISSUER_UNKNOWN),
    ({"iss": ISSUER + "/"}, Cause.ISSUER_UNKNOWN),
    ({"iss": ISSUER.upper()}, Cause.ISSUER_UNKNOWN),
    ({"iss": [ISSUER]}, Cause.ISSUER_UNKNOWN),
    ({"aud": None}, Cause.AUDIENCE),
    ({"aud": "other"}, Cause.AUDIENCE),
    ({"aud": "querywarden2"}, Cause.AUDIENCE),
    ({"aud": []}, Cause.AUDIENCE),
    ({"aud": {"querywarden": 1}}, Cause.AUDIENCE),
    ({"aud": ["querywarden", 7]}, Cause.AUDIENCE),
    ({"aud": ["querywarden", "account"]}, Cause.CLIENT_REFUSED),
    ({"azp": "cli", "client_id": "evil"}, Cause.CLIENT_AMBIGUOUS),
    ({"azp": 7, "client_id": 7}, Cause.CLIENT_REFUSED),
    ({"exp": None}, Cause.EXPIRY_MISSING),
    ({"exp": str(NOW + 60)}, Cause.EXPIRY_MISSING),
    ({"exp": True}, Cause.EXPIRY_MISSING),
    ({"exp": 1e300}, Cause.EXPIRY_MISSING),
    ({"exp": -1}, Cause.EXPIRY_MISSING),
    ({"exp": NOW - 30}, Cause.EXPIRED),
    ({"nbf": NOW + 31}, Cause.NOT_YET_VALID),
    ({"iat": NOW + 31}, Cause.NOT_YET_VALID),
    ({"nbf": "soon"}, Cause.TIME_MALFORMED),
    ({"iat": False}, Cause.TIME_MALFORMED),
    ({"exp": NOW - 60 + 7201}, Cause.LIFETIME),
    ({"iat": None, "exp": NOW + 7201}, Cause.LIFETIME),
    ({"sub": None}, Cause.SUBJECT),
    ({"sub": ""}, Cause.SUBJECT),
    ({"sub": 5}, Cause.SUBJECT),
    ({"sub": "a" * 256}, Cause.SUBJECT),
    ({"sub": "alice\nadmin"}, Cause.SUBJECT),
    ({"sub": "alice\x00"}, Cause.SUBJECT),
    ({"sub": " alice"}, Cause.SUBJECT),
    ({"sub": "alice\u202egnp"}, Cause.SUBJECT),
    ({"sub": "ali\u200bce"}, Cause.SUBJECT),
    ({"sub": "\ud800"}, Cause.SUBJECT),
    ({"scope": None}, Cause.SCOPE),
    ({"scope": "openid db:connect2"}, Cause.SCOPE),
    ({"scope": {"db:connect": 1}}, Cause.SCOPE),
    ({"cnf": {"jkt": "x"}}, Cause.BOUND_TOKEN),
    ({"nonce": "n"}, Cause.ID_TOKEN),
    ({"at_hash": "h"}, Cause.ID_TOKEN),
    ({"typ": "ID"}, Cause.ID_TOKEN),
    ({"token_use": "id"}, Cause.ID_TOKEN),
    ({"typ": "Refresh"}, Cause.TOKEN_PURPOSE),
    ({"events": {}}, Cause.TOKEN_PURPOSE),
]


@pytest.mark.parametrize(("claims", "cause"), CLAIM_MUTATIONS)
def test_one_change_of_the_claims_is_rejected(claims: dict[str, Any], cause: Cause) -> None:
    assert rejection(make(**claims)) == cause


ACCEPTED_MUTATIONS = [
    {"aud": ["querywarden"]},
    {"exp": NOW - 29},
    {"exp": NOW + 1000.5},
    {"nbf": NOW + 30, "iat": None},
    {"nbf": None},
    {"exp": NOW - 60 + 7200},
    {"scope": None, "scp": ["db:connect"]},
    {"scope": None, "scp": "db:connect other"},
    {"azp": None, "client_id": None, "appid": "x"},
    {"jti": None},
    {"sub": "a" * 255},
    {"sub": "Zoë Müller"},
    {"typ": "Bearer"},
]


@pytest.mark.parametrize("claims", ACCEPTED_MUTATIONS)
def test_harmless_differences_are_accepted(claims: dict[str, Any]) -> None:
    assert verify(make(**claims)).issuer == ISSUER


@pytest.mark.parametrize("type_", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
def test_media_type_is_compared_as_a_media_type(type_: str) -> None:
    assert verify(make(header={"typ": type_})).subject == CANARY


@pytest.mark.parametrize(
    ("types", "type_", "marks", "cause"),
    [
        ({"JWT"}, "JWT", {}, None),
        ({"JWT"}, None, {}, None),
        ({"JWT"}, "at+jwt", {}, Cause.TYPE_REFUSED),
        ({"JWT"}, "JWT", {"nonce": "n"}, Cause.ID_TOKEN),
        ({"JWT", "at+jwt"}, "at+jwt", {}, None),
        ({"id_token"}, "JWT", {"nonce": "n"}, None),
        ({"id_token"}, None, {"at_hash": "n"}, None),
        ({"id_token"}, "at+jwt", {}, Cause.TYPE_REFUSED),
        ({"id_token"}, "JWT", {"typ": "Refresh"}, Cause.TOKEN_PURPOSE),
    ],
)
def test_types_follow_the_rules_of_the_issuer(types: set[str], type_: str | None, marks: dict[str, Any], cause: Cause | None) -> None:
    rules, token = replace(RULES, types=frozenset(types)), make(header={"typ": type_}, **marks)
    if cause is None:
        assert verify(token, rules).subject == CANARY
    else:
        assert rejection(token, rules) == cause


@pytest.mark.parametrize(
    ("clients", "claims", "is_accepted"),
    [
        ({"cli"}, {}, True),
        ({"cli"}, {"aud": ["querywarden", "account"]}, True),
        ({"web"}, {}, False),
        ({"web"}, {"aud": ["querywarden", "account"]}, False),
        ({"cli"}, {"azp": None, "client_id": None}, False),
        ({"cli"}, {"azp": None}, True),
        ({"cli"}, {"client_id": None}, True),
    ],
)
def test_client_list_is_kept_to(clients: set[str], claims: dict[str, Any], is_accepted: bool) -> None:
    rules, token = replace(RULES, clients=frozenset(clients)), make(**claims)
    if is_accepted:
        assert verify(token, rules).client == "cli"
    else:
        assert rejection(token, rules) == Cause.CLIENT_REFUSED


def test_bound_token_is_accepted_where_the_rules_say_so() -> None:
    assert verify(make(cnf={"jkt": "x"}), replace(RULES, accepts_bound_tokens=True)).subject == CANARY


def test_signature_of_another_key_with_the_same_id_is_rejected() -> None:
    assert rejection(make(OTHER)) == Cause.SIGNATURE


def test_changed_claims_under_the_old_signature_are_rejected() -> None:
    header, _, signature = make().split(b".")
    payload = base64url(json.dumps({**GOOD, "sub": "admin"}).encode()).encode()
    assert rejection(b".".join([header, payload, signature])) == Cause.SIGNATURE


def test_public_key_as_hmac_secret_is_rejected() -> None:
    """Algorithm confusion: HS256 keyed with what everybody can read."""
    pem = RSA.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = json.dumps(RSA.jwk()).encode()
    for secret in (pem, pem.strip(), jwk):
        signed = f"{base64url(json.dumps({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'r1'}).encode())}.{base64url(json.dumps(GOOD).encode())}"
        token = f"{signed}.{base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}".encode()
        assert rejection(token) == Cause.ALGORITHM_REFUSED


def test_symmetric_algorithms_cannot_even_be_configured() -> None:
    for algorithm in ("HS256", "none", ""):
        with pytest.raises(ValueError, match="algorithms must be among"):
            replace(RULES, algorithms=frozenset({algorithm}))
    assert not any(name.startswith(("HS", "none")) for name in ALGORITHMS)


def test_unsigned_token_is_rejected() -> None:
    header, payload, _ = make(header={"alg": "none"}).split(b".")
    assert rejection(header + b"." + payload + b".") == Cause.TOKEN_MALFORMED
    assert rejection(header + b"." + payload + b".AA") == Cause.ALGORITHM_REFUSED


def test_key_material_of_the_header_is_never_used() -> None:
    """A token signed by a stranger who sends the key along, or says where to fetch it."""
    stranger = SigningKey.generate("k1", "ES256")
    for header in ({"jwk": stranger.jwk()}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/c"}, {"x5c": ["AA"]}):
        assert rejection(make(stranger, header=header)) == Cause.SIGNATURE
        assert verify(make(header=header)).subject == CANARY


def test_key_of_another_algorithm_is_not_used() -> None:
    jwk = RSA.jwk() | {"alg": "RS512"}
    assert rejection(make(RSA), keys=parse_keyset(json.dumps({"keys": [jwk]}).encode())) == Cause.KEY_UNFIT


def test_token_without_key_id_is_tried_with_the_fitting_keys() -> None:
    both = parse_keyset(json.dumps({"keys": [SigningKey.generate("new", "ES256").jwk(), KEY.jwk()]}).encode())
    assert verify(make(header={"kid": None}), keys=both).subject == CANARY
    assert rejection(make(SigningKey.generate("x", "ES256"), header={"kid": None}), keys=both) == Cause.SIGNATURE
    assert rejection(make(header={"kid": None}), keys=KeySet(())) == Cause.KEY_UNKNOWN


def raw_token(header: bytes, payload: bytes) -> bytes:
    signed = f"{base64url(header)}.{base64url(payload)}"
    return f"{signed}.{base64url(KEY.sign(signed.encode()))}".encode()


GOOD_HEADER = json.dumps({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}).encode()
GOOD_PAYLOAD = json.dumps(GOOD).encode()


@pytest.mark.parametrize(
    ("header", "payload", "cause"),
    [
        (GOOD_HEADER[:-1] + b', "alg": "none"}', GOOD_PAYLOAD, Cause.TOKEN_JSON),
        (GOOD_HEADER, GOOD_PAYLOAD[:-1] + b', "sub": "admin"}', Cause.TOKEN_JSON),
        (GOOD_HEADER, GOOD_PAYLOAD[:-1] + b', "act": {"sub": "a", "sub": "b"}}', Cause.TOKEN_JSON),
        (GOOD_HEADER, GOOD_PAYLOAD[:-1] + b', "x": NaN}', Cause.TOKEN_JSON),
        (GOOD_HEADER, GOOD_PAYLOAD[:-1] + b', "x": ' + b"[" * 17 + b"]" * 17 + b"}", Cause.TOKEN_JSON),
        (GOOD_HEADER, GOOD_PAYLOAD[:-1] + b', "x": ' + b"[" * 9000 + b"]" * 9000 + b"}", Cause.TOKEN_JSON),
        (GOOD_HEADER, GOOD_PAYLOAD[:-1] + b', "x": "\xff"}', Cause.TOKEN_JSON),
        (GOOD_HEADER, GOOD_PAYLOAD[:-1] + b', "x": ' + b"9" * 5000 + b"}", Cause.TOKEN_JSON),
        (GOOD_HEADER, GOOD_PAYLOAD + b" x", Cause.TOKEN_JSON),
        (b"\xef\xbb\xbf" + GOOD_HEADER, GOOD_PAYLOAD, Cause.TOKEN_MALFORMED),
        (b"[]", GOOD_PAYLOAD, Cause.TOKEN_MALFORMED),
        (GOOD_HEADER, b'"text"', Cause.TOKEN_MALFORMED),
        (GOOD_HEADER, b"{}", Cause.ISSUER_UNKNOWN),
    ],
)
def test_lax_json_is_rejected(header: bytes, payload: bytes, cause: Cause) -> None:
    assert rejection(raw_token(header, payload)) == cause


def test_sixteen_levels_of_nesting_are_accepted() -> None:
    payload = GOOD_PAYLOAD[:-1] + b', "x": ' + b"[" * 15 + b"]" * 15 + b', "y": "[[[[[[[[[[[[[[[[[[\\"[[["}'
    assert verify(raw_token(GOOD_HEADER, payload)).subject == CANARY


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"hunter2",
        b"a.b",
        b"a.b.c",
        b"a.b.c.d",
        b"..",
        b"a..c",
        b"e30.e30.AA",
        b"\xff.\xff.\xff",
        make() + b"\n",
        b" " + make(),
        make() + b"=",
        make() + b".AA",
    ],
)
def test_what_is_no_jwt_is_rejected(token: bytes) -> None:
    assert rejection(token) in (Cause.TOKEN_MALFORMED, Cause.ISSUER_UNKNOWN)


def test_size_is_bounded() -> None:
    token = make(x="x" * 40_000)
    assert verify(token).subject == CANARY
    assert rejection(make(x="x" * TOKEN_BYTES_MAX)) == Cause.TOKEN_TOO_LARGE


def test_expiry_follows_the_clock() -> None:
    token = make()
    assert verify(token, now=NOW + 3629.9).expires_at == NOW + 3600
    assert rejection(token, now=NOW + 3630) == Cause.EXPIRED
    assert rejection(token, now=NOW - 91) == Cause.NOT_YET_VALID


def test_key_set_is_that_of_the_issuer_of_the_token() -> None:
    asked: list[str] = []
    rules = {ISSUER: RULES, "https://other.example": replace(RULES, issuer="https://other.example")}

    def lookup(issuer: str) -> KeySet:
        asked.append(issuer)
        return KEYS if issuer == ISSUER else parse_keyset(json.dumps({"keys": [OTHER.jwk()]}).encode())

    verify_jwt(make(), rules, lookup, NOW)
    with pytest.raises(IdentityRejected, match=Cause.SIGNATURE):
        verify_jwt(make(iss="https://other.example"), rules, lookup, NOW)
    assert asked == [ISSUER, "https://other.example"]


def test_claims_show_no_values_in_their_repr() -> None:
    assert "secret-claim" not in repr(verify(make(note="secret-claim")))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(make()) - 1), st.integers(0, 255))
def test_any_changed_byte_is_rejected_or_means_the_same(position: int, value: int) -> None:
    token = bytearray(make())
    token[position] = value
    try:
        claims = verify(bytes(token))
    except IdentityRejected:
        return
    assert claims.values == GOOD
