"""The control store in PostgreSQL, where several proxies share it: the scenarios of the control store, and what is PostgreSQL's own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.model import store_scenarios

from querywarden.demo.servers import PostgresServer
from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.identity.service_token import ServiceToken
from querywarden.model.principal import PrincipalKind
from querywarden.storage.control_store import ControlStore, DuplicateName
from querywarden.storage.schema import METADATA, SCHEMA_VERSION

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


@pytest.fixture(scope="module")
def shared_url(server18: PostgresServer) -> Iterator[str]:
    server18.sql("CREATE ROLE scenarios LOGIN PASSWORD 'control-password'")
    server18.sql("CREATE DATABASE scenarios OWNER scenarios")
    yield f"postgresql://scenarios:control-password@127.0.0.1:{server18.port}/scenarios"
    server18.sql("DROP DATABASE scenarios WITH (FORCE)")
    server18.sql("DROP ROLE scenarios")


@pytest.fixture
def open_store(shared_url: str) -> Iterator[store_scenarios.Opener]:
    stores: list[ControlStore] = []

    def open_one() -> ControlStore:
        stores.append(ControlStore(shared_url))
        return stores[-1]

    with open_one().writing() as connection:
        for table in reversed(METADATA.sorted_tables):
            if table.name != "querywarden_schema":
                connection.execute(table.delete())
    yield open_one
    for store in stores:
        store.close()


@pytest.mark.parametrize("name", store_scenarios.SCENARIOS)
def test_scenario(name: str, open_store: store_scenarios.Opener) -> None:
    store_scenarios.SCENARIOS[name](open_store)
    assert name


def test_store_of_version_1_keeps_its_tokens(url: str) -> None:
    old = ControlStore(url)
    old.add_token(TOKEN)
    with old.writing() as connection:
        for table in reversed(METADATA.sorted_tables):
            if table.name not in ("querywarden_schema", "querywarden_service_tokens"):
                table.drop(connection)
        connection.exec_driver_sql("UPDATE querywarden_schema SET version = 1")
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(ControlStore, [url] * 4))
    assert [[TOKEN]] * 4 == [store.list_tokens() for store in stores]
    assert [] == stores[0].list_requests()
    with old.reading() as connection:
        assert [(SCHEMA_VERSION,)] == [tuple(row) for row in connection.exec_driver_sql("SELECT version FROM querywarden_schema")]
    for store in (old, *stores):
        store.close()


def test_store_of_a_later_version_is_not_touched(url: str) -> None:
    old = ControlStore(url)
    with old.writing() as connection:
        connection.exec_driver_sql("UPDATE querywarden_schema SET version = 99")
        connection.exec_driver_sql("DROP TABLE querywarden_outbox")
    with pytest.raises(ConfigurationError, match="later version"):
        ControlStore(url)
    with old.reading() as connection:
        assert [(None,)] == [tuple(row) for row in connection.exec_driver_sql("SELECT to_regclass('querywarden_outbox')")]
    old.close()


def test_server_that_goes_and_comes_back_is_found_again(server18: PostgresServer, url: str) -> None:
    store = ControlStore(url)
    server18.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'control'")
    assert [] == store.list_requests()
    server18.sql("ALTER DATABASE control CONNECTION LIMIT 0")
    server18.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'control'")
    with pytest.raises(DependencyFailure):
        store.list_requests()
    server18.sql("ALTER DATABASE control CONNECTION LIMIT -1")
    assert [] == store.list_requests()
    store.close()


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
