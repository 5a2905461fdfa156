"""The control store's scenarios on SQLite, and what is SQLite's own: an old file, several processes."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.model import store_scenarios

from querywarden.storage.control_store import ControlStore
from querywarden.storage.schema import SCHEMA_VERSION

VERSION_1 = """
CREATE TABLE querywarden_schema (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE querywarden_service_tokens (
    id VARCHAR(32) NOT NULL, name VARCHAR(63) NOT NULL, owner VARCHAR(255) NOT NULL, kind VARCHAR(16) NOT NULL, groups JSON NOT NULL,
    databases JSON, networks JSON, created_at BIGINT NOT NULL, expires_at BIGINT, secret_hash VARCHAR(64) NOT NULL, revoked_at BIGINT,
    last_used_at BIGINT, PRIMARY KEY (id)
);
CREATE UNIQUE INDEX querywarden_service_tokens_name ON querywarden_service_tokens (name) WHERE revoked_at IS NULL;
INSERT INTO querywarden_schema VALUES (1);
INSERT INTO querywarden_service_tokens VALUES
    ('AbCdEfGhIjK', 'bot', 'alice', 'agent', '["agents"]', '["shop"]', NULL, 1900000000, NULL, 'abab', NULL, 1900000001);
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/control.db"


@pytest.fixture
def open_store(url: str) -> Iterator[store_scenarios.Opener]:
    stores: list[ControlStore] = []

    def open_one() -> ControlStore:
        stores.append(ControlStore(url))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.mark.parametrize("name", store_scenarios.SCENARIOS)
def test_scenario(name: str, open_store: store_scenarios.Opener) -> None:
    store_scenarios.SCENARIOS[name](open_store)
    assert name


def test_store_of_version_1_keeps_its_tokens(url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "control.db") as connection:
        connection.executescript(VERSION_1)
    connection.close()
    for _ in range(2):
        store = ControlStore(url)
        (token,) = store.list_tokens()
        assert ("bot", "alice", frozenset({"agents"}), 1_900_000_001) == (token.name, token.owner, token.groups, token.last_used_at)
        assert [] == store.list_requests()
        store.close()
    with sqlite3.connect(tmp_path / "control.db") as connection:
        assert [(SCHEMA_VERSION,)] == connection.execute("SELECT version FROM querywarden_schema").fetchall()
    connection.close()


def test_processes_that_start_and_use_at_once_share_one_store(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    first = ControlStore(url)
    store_scenarios.approved(first, uses=25)
    with context.Pool(3, store_scenarios.meet_at, (context.Barrier(3),)) as pool:
        assert 25 == sum(pool.map(store_scenarios.uses_of_process, [url] * 3, chunksize=1))
    first.close()
