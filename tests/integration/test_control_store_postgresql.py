"""The control store in PostgreSQL, where several proxies share it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from querywarden.demo.servers import PostgresServer
from querywarden.errors import DependencyFailure
from querywarden.identity.service_token import ServiceToken
from querywarden.model.principal import PrincipalKind
from querywarden.storage.control_store import ControlStore, DuplicateName

NOW = 1_900_000_000
TOKEN = ServiceToken(
    id="AbCdEfGhIjK",
    name="shop-agent",
    owner="alice",
    kind=PrincipalKind.AGENT,
    groups=frozenset({"agents"}),
    databases=frozenset({"shop"}),
    networks=("10.0.0.0/8",),
    created_at=NOW,
    expires_at=None,
    secret_hash="ab" * 32,
)


@pytest.fixture
def url(server18: PostgresServer) -> Iterator[str]:
    server18.sql("CREATE ROLE control LOGIN PASSWORD 'control-password'")
    server18.sql("CREATE DATABASE control OWNER control")
    yield f"postgresql://control:control-password@127.0.0.1:{server18.port}/control"
    server18.sql("DROP DATABASE control WITH (FORCE)")
    server18.sql("DROP ROLE control")


def test_proxies_that_start_together_make_one_store(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(ControlStore, [url] * 6))
    stores[0].add_token(TOKEN)
    assert [store.find_token(TOKEN.id) for store in stores] == [TOKEN] * 6
    for store in stores:
        store.close()


def test_life_of_a_token(url: str) -> None:
    store = ControlStore(url)
    store.add_token(TOKEN)
    with pytest.raises(DuplicateName):
        store.add_token(replace(TOKEN, id="other"))
    store.touch_token(TOKEN.id, NOW + 1)
    revoked = replace(TOKEN, last_used_at=NOW + 1, revoked_at=NOW + 2)
    assert store.revoke_token(TOKEN.id, NOW + 2) == revoked
    again = replace(TOKEN, id="again", created_at=NOW + 3, databases=None, networks=None)
    store.add_token(again)
    assert store.list_tokens() == [revoked, again]
    assert store.find_tokens(["again"]) == {"again": again}
    store.close()


def test_wrong_password_is_a_dependency_failure_that_tells_no_secret(url: str) -> None:
    with pytest.raises(DependencyFailure) as caught:
        ControlStore(url.replace("control-password", "hunter2"))
    assert str(caught.value) == "the control store does not answer: OperationalError"
