"""Credentials: JWTs and service tokens behind one door, closed when keys or store don't answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from querywarden.config.models import IdentitySettings
from querywarden.demo.issuer_keys import SigningKey, sign_jwt
from querywarden.errors import ConfigurationError, DependencyFailure, IdentityRejected
from querywarden.identity.issuer_rules import IssuerRules
from querywarden.identity.keyset import KeySet, parse_keyset
from querywarden.identity.mapping import DEFAULT_KINDS, ClaimMapping
from querywarden.identity.rejection import Cause
from querywarden.identity.service_token import ServiceToken, issue_service_token
from querywarden.model.principal import PrincipalKind
from querywarden.runtime.access_watch import EXPIRED, REVOKED
from querywarden.runtime.credentials import TOUCH_SECONDS, CredentialVerifier, issuer_rules, issuer_sources

NOW = 1_900_000_000
ISSUER = "https://idp.example.com"
KEY = SigningKey.generate("k1", "ES256")
RULES = {ISSUER: IssuerRules(ISSUER, "querywarden")}


class Keys:
    """The key source; without a key set it doesn't answer."""

    def __init__(self) -> None:
        self.keyset_: KeySet | None = parse_keyset(json.dumps({"keys": [KEY.jwk()]}).encode())
        self.asked: list[tuple[str, str | None]] = []

    async def keyset(self, issuer: str, kid: str | None) -> KeySet:
        self.asked.append((issuer, kid))
        if self.keyset_ is None:
            raise DependencyFailure("the keys of the issuer are not available")
        return self.keyset_


class Store:
    """The token store in memory."""

    def __init__(self) -> None:
        self.tokens: dict[str, ServiceToken] = {}
        self.touched: list[tuple[str, int]] = []
        self.is_down = False
        self.is_read_only = False

    def find_token(self, token_id: str) -> ServiceToken | None:
        if self.is_down:
            raise DependencyFailure("the control store does not answer: OperationalError")
        return self.tokens.get(token_id)

    def touch_token(self, token_id: str, now: int) -> None:
        if self.is_read_only:
            raise DependencyFailure("the control store does not answer: OperationalError")
        self.touched.append((token_id, now))


class World:
    """A verifier with its surroundings."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.keys = Keys()
        self.store = Store()
        self.verifier = CredentialVerifier(RULES, self.keys, self.store, clock=lambda: self.now)

    def token(self, **changes: object) -> bytes:
        text, token = issue_service_token(bytes(40), name="bot", owner="alice", kind=PrincipalKind.AGENT, now=NOW, databases=["shop"])
        self.store.tokens[token.id] = replace(token, **changes)  # type: ignore[arg-type]
        return text


@pytest.fixture
def world() -> World:
    return World()


def jwt(**changes: object) -> bytes:
    claims = {"iss": ISSUER, "sub": "alice", "aud": "querywarden", "iat": NOW, "exp": NOW + 600, **changes}
    return sign_jwt(KEY, claims, {"typ": "at+jwt"}).encode()


async def rejection(world: World, credential: bytes, database: str = "shop", peer_ip: str = "10.0.0.1") -> str:
    with pytest.raises(IdentityRejected) as caught:
        await world.verifier.verify(credential, database, peer_ip)
    return caught.value.cause


async def test_jwt_is_verified_with_the_keys_of_its_issuer(world: World) -> None:
    principal = await world.verifier.verify(jwt(), "shop", "10.0.0.1")
    assert (principal.subject, principal.issuer, principal.expires_at) == ("alice", ISSUER, NOW + 600)
    assert world.keys.asked == [(ISSUER, "k1")]


async def test_time_is_checked_at_each_use(world: World) -> None:
    token = jwt()
    await world.verifier.verify(token, "shop", "10.0.0.1")
    world.now += 700
    assert await rejection(world, token) == Cause.EXPIRED


async def test_keys_that_are_not_available_keep_everybody_out(world: World) -> None:
    world.keys.keyset_ = None
    assert await rejection(world, jwt()) == Cause.KEYS_UNAVAILABLE


@pytest.mark.parametrize("credential", [b"hunter2", b"", b"qw_x", b"eyJ.eyJ.sig"])
async def test_what_is_no_token_asks_nobody_for_keys(world: World, credential: bytes) -> None:
    await rejection(world, credential)
    assert world.keys.asked == []


async def test_hopeless_header_asks_nobody_for_keys(world: World) -> None:
    other = sign_jwt(KEY, {"iss": "https://evil.example"}, {"typ": "at+jwt"}).encode()
    assert await rejection(world, other) == Cause.ISSUER_UNKNOWN
    assert world.keys.asked == []


async def test_service_token_is_verified_against_the_store(world: World) -> None:
    principal = await world.verifier.verify(world.token(), "shop", "10.0.0.1")
    assert (principal.subject, principal.kind, principal.databases) == ("bot", PrincipalKind.AGENT, {"shop"})
    assert world.keys.asked == []


async def test_service_token_is_narrowed_to_database_and_network(world: World) -> None:
    text = world.token(networks=("10.0.0.0/8",))
    assert await rejection(world, text, database="billing") == Cause.SERVICE_TOKEN_DATABASE
    assert await rejection(world, text, peer_ip="192.0.2.1") == Cause.SERVICE_TOKEN_NETWORK
    assert (await world.verifier.verify(text, "shop", "::ffff:10.0.0.1")).subject == "bot"


async def test_revoked_and_expired_service_tokens_are_rejected(world: World) -> None:
    assert await rejection(world, world.token(revoked_at=NOW - 1)) == Cause.SERVICE_TOKEN_REVOKED
    assert await rejection(world, world.token(expires_at=NOW)) == Cause.SERVICE_TOKEN_EXPIRED


async def test_store_that_does_not_answer_keeps_service_tokens_out(world: World) -> None:
    text = world.token()
    world.store.is_down = True
    assert await rejection(world, text) == Cause.STORE_UNAVAILABLE
    assert (await world.verifier.verify(jwt(), "shop", "10.0.0.1")).subject == "alice"


async def test_service_tokens_can_be_off(world: World) -> None:
    world.verifier = CredentialVerifier(RULES, world.keys, None, clock=lambda: world.now)
    assert await rejection(world, world.token()) == Cause.SERVICE_TOKENS_OFF


async def test_use_is_noted_once_a_minute_at_most(world: World) -> None:
    text = world.token()
    token_id = next(iter(world.store.tokens))
    await world.verifier.verify(text, "shop", "10.0.0.1")
    assert world.store.touched == [(token_id, NOW)]
    world.token(last_used_at=NOW)
    world.now += TOUCH_SECONDS - 1
    await world.verifier.verify(text, "shop", "10.0.0.1")
    assert len(world.store.touched) == 1
    world.now += 1
    await world.verifier.verify(text, "shop", "10.0.0.1")
    assert world.store.touched[1:] == [(token_id, NOW + TOUCH_SECONDS)]


async def test_rejected_use_is_not_noted(world: World) -> None:
    await rejection(world, world.token(), database="billing")
    assert world.store.touched == []


async def test_store_that_can_only_be_read_lets_valid_tokens_in(world: World) -> None:
    world.store.is_read_only = True
    assert (await world.verifier.verify(world.token(), "shop", "10.0.0.1")).subject == "bot"


async def test_validity_of_a_session_follows_expiry_and_revocation(world: World) -> None:
    person = await world.verifier.verify(jwt(), "shop", "10.0.0.1")
    bot = await world.verifier.verify(world.token(), "shop", "10.0.0.1")
    assert [await world.verifier.is_still_valid(p) for p in (person, bot)] == [None, None]
    world.token(revoked_at=NOW)
    assert [await world.verifier.is_still_valid(p) for p in (person, bot)] == [None, REVOKED]
    world.store.tokens.clear()
    world.now += 600
    assert [await world.verifier.is_still_valid(p) for p in (person, bot)] == [EXPIRED, REVOKED]


@pytest.mark.parametrize("make", [lambda: jwt()[:-8] + b"AAAAAAAA", lambda: jwt(sub=None), lambda: b"qw_" + b"A" * 61])
async def test_no_text_of_an_error_holds_the_credential(world: World, make: Callable[[], bytes]) -> None:
    credential = make()
    with pytest.raises(IdentityRejected) as caught:
        await world.verifier.verify(credential, "shop", "10.0.0.1")
    shown = f"{caught.value} {caught.value!r} {caught.value.args} {caught.value.detail}"
    for part in credential.decode().split("."):
        assert part not in shown


def settings(**issuer: object) -> IdentitySettings:
    return IdentitySettings.model_validate({"issuers": [{"issuer": ISSUER, "audience": "querywarden", **issuer}]})


def test_configuration_becomes_rules() -> None:
    claims = {
        "subject": "/oid",
        "groups": "/a~1b/roles",
        "group_prefix": "kc:",
        "kind": "/k",
        "kinds": {"bot": "agent"},
        "agent_clients": "app",
    }
    rules = issuer_rules(settings(types=["JWT"], clients=["cli"], scope="db", leeway_seconds=5, lifetime_seconds_max=600, claims=claims))
    assert rules == {
        ISSUER: IssuerRules(
            issuer=ISSUER,
            audience="querywarden",
            algorithms=frozenset({"RS256", "PS256", "ES256", "EdDSA"}),
            types=frozenset({"JWT"}),
            clients=frozenset({"cli"}),
            scope="db",
            leeway_seconds=5,
            lifetime_seconds_max=600,
            mapping=ClaimMapping(
                subject=("oid",),
                groups=(("a/b", "roles"),),
                groups_prefix="kc:",
                kind=("k",),
                kinds={**DEFAULT_KINDS, "bot": PrincipalKind.AGENT},
                agent_clients=frozenset({"app"}),
            ),
        )
    }


def test_defaults_of_the_configuration_are_strict() -> None:
    rules = issuer_rules(settings())[ISSUER]
    assert (rules.types, rules.clients, rules.accepts_bound_tokens) == ({"at+jwt"}, None, False)
    assert [source.issuer for source in issuer_sources(settings())] == [ISSUER]


@pytest.mark.parametrize("changes", [{"algorithms": ["HS256"]}, {"claims": {"groups": "groups"}}, {"types": []}])
def test_unsafe_configuration_is_an_error(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=f"identity.issuers: {ISSUER}"):
        issuer_rules(settings(**changes))
