"""Service tokens: form, secrets, expiry, revocation and narrowing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querywarden.errors import IdentityRejected
from querywarden.identity.rejection import Cause
from querywarden.identity.service_token import (
    RANDOM_BYTES,
    ServiceToken,
    is_service_token,
    is_within,
    issue_service_token,
    parse_network,
    parse_service_token,
    verify_service_token,
)
from querywarden.model.principal import Principal, PrincipalKind

NOW = 1_900_000_000
RANDOMNESS = bytes(range(RANDOM_BYTES))


def issue(randomness: bytes = RANDOMNESS, **changes: Any) -> tuple[bytes, ServiceToken]:
    asked: dict[str, Any] = {"name": "shop-agent", "owner": "alice", "kind": PrincipalKind.AGENT, "now": NOW}
    return issue_service_token(randomness, **(asked | changes))


TEXT, TOKEN = issue(groups=["agents"], expires_at=NOW + 60)


def verify(text: bytes, stored: ServiceToken | None, database: str = "shop", peer_ip: str = "10.1.2.3", now: float = NOW) -> Principal:
    return verify_service_token(parse_service_token(text), stored, database, peer_ip, now)


def rejection(*arguments: Any, **named: Any) -> str:
    with pytest.raises(IdentityRejected) as caught:
        verify(*arguments, **named)
    for secret in (TEXT[15:].decode(), TOKEN.secret_hash):
        assert secret not in repr(caught.value) + str(caught.value) + caught.value.detail
    return caught.value.cause


def test_principal_of_a_token() -> None:
    expected = Principal("shop-agent", "querywarden", PrincipalKind.AGENT, frozenset({"agents"}), TOKEN.id, "service_token", NOW + 60)
    assert verify(TEXT, TOKEN) == expected


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_any_randomness_gives_a_text_that_every_client_carries(randomness: bytes) -> None:
    text, token = issue(randomness)
    assert len(text) <= 79
    assert is_service_token(text)
    assert text.replace(b"_", b"").isalnum()
    assert verify(text, token).credential_id == token.id


def test_different_randomness_gives_different_tokens() -> None:
    texts = {issue(bytes(i) + b"\x01" + bytes(RANDOM_BYTES - 1 - i))[0] for i in range(RANDOM_BYTES)}
    assert len(texts) == RANDOM_BYTES


def test_record_and_reprs_hold_no_secret() -> None:
    secret = TEXT[15:58].decode()
    assert secret not in repr(TOKEN)
    assert TOKEN.secret_hash not in repr(TOKEN)
    assert TOKEN.secret_hash not in repr(parse_service_token(TEXT))


@settings(max_examples=200)
@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
def test_any_changed_byte_is_told_by_the_checksum(position: int, value: int) -> None:
    changed = bytearray(TEXT)
    changed[position] = value
    if bytes(changed) != TEXT:
        assert rejection(bytes(changed), TOKEN) == Cause.SERVICE_TOKEN_MALFORMED


@pytest.mark.parametrize("text", [b"qw_", b"qw__", TEXT[:-1], TEXT + b"0", TEXT + b"\n", TEXT.upper(), b"qw_" + b"\xff" * 61])
def test_malformed_text(text: bytes) -> None:
    assert rejection(text, TOKEN) == Cause.SERVICE_TOKEN_MALFORMED


def test_unknown_id_and_wrong_secret() -> None:
    assert rejection(TEXT, None) == Cause.SERVICE_TOKEN_UNKNOWN
    assert rejection(TEXT, replace(TOKEN, id="00000000000")) == Cause.SERVICE_TOKEN_UNKNOWN
    same_id, _ = issue(RANDOMNESS[:8] + bytes(32))
    assert rejection(same_id, TOKEN) == Cause.SERVICE_TOKEN_SECRET


def test_wrong_secret_is_told_before_anything_else() -> None:
    same_id, _ = issue(RANDOMNESS[:8] + bytes(32))
    stored = replace(TOKEN, revoked_at=NOW - 1, databases=frozenset(), networks=())
    assert rejection(same_id, stored, now=NOW + 99) == Cause.SERVICE_TOKEN_SECRET


def test_expiry_and_revocation() -> None:
    assert verify(TEXT, TOKEN, now=NOW + 59.9).expires_at == NOW + 60
    assert rejection(TEXT, TOKEN, now=NOW + 60) == Cause.SERVICE_TOKEN_EXPIRED
    assert rejection(TEXT, replace(TOKEN, revoked_at=NOW + 1000)) == Cause.SERVICE_TOKEN_REVOKED
    assert verify(TEXT, replace(TOKEN, expires_at=None), now=NOW * 10).expires_at is None


def test_databases_narrow() -> None:
    narrowed = replace(TOKEN, databases=frozenset({"shop"}))
    assert verify(TEXT, narrowed).databases == {"shop"}
    assert rejection(TEXT, narrowed, "billing") == Cause.SERVICE_TOKEN_DATABASE
    assert rejection(TEXT, narrowed, "SHOP") == Cause.SERVICE_TOKEN_DATABASE
    assert rejection(TEXT, replace(TOKEN, databases=frozenset())) == Cause.SERVICE_TOKEN_DATABASE


@pytest.mark.parametrize(
    ("peer_ip", "networks", "is_inside"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("11.1.2.3", ["10.0.0.0/8"], False),
        ("11.1.2.3", ["10.0.0.0/8", "11.1.2.3"], True),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("::ffff:11.1.2.3", ["10.0.0.0/8"], False),
        ("10.1.2.3", ["::ffff:10.0.0.0/104"], True),
        ("2001:db8::5", ["2001:db8::/32"], True),
        ("2001:db9::5", ["2001:db8::/32"], False),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("10.1.2.3", ["::/0"], False),
        ("2001:db8::5", ["0.0.0.0/0"], False),
        ("10.1.2.3", [], False),
        ("", ["0.0.0.0/0"], False),
        ("localhost", ["0.0.0.0/0"], False),
        ("010.1.2.3", ["10.0.0.0/8"], False),
    ],
)
def test_networks_narrow(peer_ip: str, networks: list[str], is_inside: bool) -> None:
    assert is_within(peer_ip, networks) is is_inside
    _, token = issue(networks=networks)
    if is_inside:
        assert verify(TEXT, token, peer_ip=peer_ip).subject == "shop-agent"
    else:
        assert rejection(TEXT, token, peer_ip=peer_ip) == Cause.SERVICE_TOKEN_NETWORK


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10/8", "10.0.0.0/33", "example.com", "10.0.0.0/8 "])
def test_what_is_no_network_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a network such as"):
        parse_network(text)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "name is 1 to 63"),
        ({"name": "Shop"}, "name is 1 to 63"),
        ({"name": "a b"}, "name is 1 to 63"),
        ({"name": "a" * 64}, "name is 1 to 63"),
        ({"owner": ""}, "owner"),
        ({"owner": "a\n"}, "owner"),
        ({"kind": PrincipalKind.HUMAN}, "agent or a service"),
        ({"groups": ["ok", "a\n"]}, "group"),
        ({"networks": ["x"]}, "network"),
        ({"expires_at": NOW}, "past"),
        ({"randomness": b"x"}, "random bytes"),
    ],
)
def test_unusable_requests_are_errors(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        issue(**changes)
