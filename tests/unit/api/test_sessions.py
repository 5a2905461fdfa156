"""Sessions and blocks over HTTP: for administrators alone, and everything that they do is a mark in the store."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from querywarden.approval.request import Party
from querywarden.model.principal import PrincipalKind
from querywarden.storage.control_store import OpenSession

NOW = 1_900_000_000
ISSUER = "https://idp.example.com"


def auth(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer token-{name}"}


@pytest.fixture
def sessions(world: Any) -> None:
    world.store.beat("proxy-1", NOW)
    party = Party("alice", ISSUER, PrincipalKind.HUMAN)
    world.store.sessions_opened([OpenSession(f"s{n}", "proxy-1", party, "shop", "production", "10.0.0.1", "psql", NOW) for n in (1, 2)])


@pytest.mark.parametrize("name", ["alice", "bob", "bot"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/sessions"), ("DELETE", "/v1/sessions/s1"), ("GET", "/v1/principals/blocks"),
        ("POST", "/v1/principals/blocks"), ("DELETE", "/v1/principals/blocks?subject=dave"),
    ],
)  # fmt: skip
async def test_only_administrators_may(client: httpx.AsyncClient, world: Any, sessions: None, name: str, method: str, path: str) -> None:
    """An agent is no administrator, whatever its groups."""
    body = {"subject": "dave"} if method == "POST" else None
    refused = await client.request(method, path, headers=auth(name), json=body)
    assert (403, "not_an_administrator") == (refused.status_code, refused.json()["code"])
    assert ([], []) == (world.store.kills("proxy-1"), world.store.blocks(NOW))


async def test_a_session_is_listed_and_killed(client: httpx.AsyncClient, world: Any, sessions: None) -> None:
    listed = (await client.get("/v1/sessions", headers=auth("root"))).json()
    assert [("s1", "alice", "shop", False), ("s2", "alice", "shop", False)] == [
        (each["id"], each["principal"], each["database"], each["is_ending"]) for each in listed
    ]
    killed = await client.delete("/v1/sessions/s1", headers=auth("root"), params={"reason": "runaway"})
    assert 202 == killed.status_code
    assert [("s1", "root", "runaway")] == [(kill.session_id, kill.by, kill.reason) for kill in world.store.kills("proxy-1")]
    assert [True, False] == [each["is_ending"] for each in (await client.get("/v1/sessions", headers=auth("root"))).json()]


async def test_an_unknown_session_is_told(client: httpx.AsyncClient, world: Any, sessions: None) -> None:
    refused = await client.delete("/v1/sessions/s9", headers=auth("root"))
    assert (404, "unknown_session") == (refused.status_code, refused.json()["code"])
    assert [] == world.store.kills("proxy-1")


async def test_a_block_is_made_listed_and_lifted(client: httpx.AsyncClient, world: Any) -> None:
    body = {"subject": "dave", "issuer": ISSUER, "reason": "left", "valid_for": "8h"}
    assert 201 == (await client.post("/v1/principals/blocks", headers=auth("root"), json=body)).status_code
    (block,) = (await client.get("/v1/principals/blocks", headers=auth("root"))).json()
    assert {"subject": "dave", "issuer": ISSUER, "by": "root", "reason": "left", "at": NOW, "until": NOW + 8 * 3600} == block
    # The proxies write the record: this one has not taken that from them.
    assert world.store.poll("proxy-1", NOW).has_block_changes
    parameters = {"subject": "dave", "issuer": ISSUER}
    assert 204 == (await client.delete("/v1/principals/blocks", headers=auth("root"), params=parameters)).status_code
    again = await client.delete("/v1/principals/blocks", headers=auth("root"), params=parameters)
    assert (404, "unknown_block") == (again.status_code, again.json()["code"])


@pytest.mark.parametrize(
    "body",
    [{}, {"subject": ""}, {"subject": "a\x00b"}, {"subject": "x" * 256}, {"subject": "dave", "valid_for": "x"}, {"subject": "root"},
     {"subject": "dave", "issuer": "a\nb"}],
)  # fmt: skip
async def test_bad_blocks_are_refused(client: httpx.AsyncClient, world: Any, body: dict[str, str]) -> None:
    """Blocking oneself among them: nobody would be left to undo it."""
    refused = await client.post("/v1/principals/blocks", headers=auth("root"), json=body)
    assert (422, "invalid") == (refused.status_code, refused.json()["code"])
    assert [] == world.store.blocks(NOW)
