"""Service tokens as an administrator sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from querywarden.admin.tokens import TokenRequest, create_token, open_store, parse_expires, require_enabled, revoke_token, token_summary
from querywarden.config.models import Config
from querywarden.errors import ConfigurationError
from querywarden.identity.service_token import parse_service_token, verify_service_token
from querywarden.storage.control_store import ControlStore, DuplicateName, UnknownToken

REQUEST = TokenRequest(name="bot", owner="alice", groups=["g"], databases=["shop"], networks=["10.0.0.0/8"], expires="12h")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    server = {"host": "127.0.0.1", "database": "shop", "role": "shop_app"}
    return Config.model_validate(
        {
            "listeners": [{"allow_plaintext_loopback": True}],
            "databases": {"shop": {"server": server}, "billing": {"server": server}},
            "control": {"url": f"sqlite:///{tmp_path}/control.db"},
        }
    )


@pytest.fixture
def store(config: Config) -> Iterator[ControlStore]:
    with open_store(config.control) as store:
        yield store


def test_created_token_logs_in(store: ControlStore, config: Config) -> None:
    text, token = create_token(store, config, REQUEST)
    stored = store.find_token(token.id)
    principal = verify_service_token(parse_service_token(text.encode()), stored, "shop", "10.1.1.1", token.created_at)
    assert (principal.subject, principal.groups, principal.expires_at) == ("bot", {"g"}, token.created_at + 12 * 3600)


def test_two_tokens_differ(store: ControlStore, config: Config) -> None:
    texts = {create_token(store, config, replace(REQUEST, name=f"bot{i}"))[0] for i in range(5)}
    assert len(texts) == 5


def test_nothing_narrows_by_default(store: ControlStore, config: Config) -> None:
    _, token = create_token(store, config, TokenRequest("bot", "alice", expires="never"))
    assert (token.databases, token.networks, token.expires_at, token.kind.value) == (None, None, None, "agent")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"databases": ["shpo"]}, "did you mean shop"),
        ({"databases": ["x"]}, "there are: billing, shop"),
        ({"kind": "human"}, "people log in with their identity provider"),
        ({"kind": "robot"}, "agent or service"),
        ({"networks": ["10.0.0.1/8"]}, "is not a network"),
        ({"expires": "soon"}, "is not a duration"),
        ({"name": "Big Bot"}, "a token's name"),
    ],
)
def test_bad_request_is_told_and_stores_nothing(store: ControlStore, config: Config, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        create_token(store, config, replace(REQUEST, **changes))  # type: ignore[arg-type]
    assert store.list_tokens() == []


def test_duplicate_name_is_told(store: ControlStore, config: Config) -> None:
    create_token(store, config, REQUEST)
    with pytest.raises(DuplicateName):
        create_token(store, config, REQUEST)


def test_revoke_by_id_or_by_active_name(store: ControlStore, config: Config) -> None:
    _, first = create_token(store, config, REQUEST)
    assert revoke_token(store, first.id).revoked_at is not None
    _, second = create_token(store, config, REQUEST)
    assert revoke_token(store, "bot").id == second.id
    with pytest.raises(UnknownToken, match="token list"):
        revoke_token(store, "bot")


def test_summary_shows_the_state_and_no_hash(store: ControlStore, config: Config) -> None:
    text, token = create_token(store, config, REQUEST)
    assert token.expires_at is not None
    states = [token_summary(token, token.created_at), token_summary(token, token.expires_at), token_summary(revoke_token(store, "bot"), 0)]
    assert [summary["state"] for summary in states] == ["active", "expired", "revoked"]
    assert token.secret_hash not in repr(states)
    assert text[15:] not in repr(states)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90d", 7_776_000), ("12h", 43_200), ("30m", 1800), ("45s", 45), ("8w", 4_838_400), ("never", None)]
)
def test_durations(text: str, seconds: int | None) -> None:
    assert parse_expires(text) == seconds


@pytest.mark.parametrize("text", ["", "0d", "90", "d", "-1d", "1.5d", "1y", "90 d", "99999w", "٣d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as"):
        parse_expires(text)


def test_switched_off_tokens_are_told(config: Config) -> None:
    require_enabled(config)
    off = config.model_validate({**config.model_dump(mode="json"), "identity": {"service_tokens": {"enabled": False}}})
    with pytest.raises(ConfigurationError, match="switched off"):
        require_enabled(off)
