"""Access for a time over HTTP: asked for as far as the policy offers it, granted once others agree, ended early."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from querywarden.approval.request import RequestKind, RequestState
from querywarden.errors import DependencyFailure
from querywarden.model.decision import ApprovalTerms
from querywarden.policy.language import Policy

NOW = 1_900_000_000


def auth(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer token-{name}"}


async def ask(client: httpx.AsyncClient, name: str = "alice", **body: Any) -> httpx.Response:
    return await client.post("/v1/access", headers=auth(name), json={"group": "oncall", "valid_for": "2h", "reason": "pager"} | body)


async def test_access_is_granted_once_somebody_else_agrees(client: httpx.AsyncClient, world: Any) -> None:
    asked = (await ask(client)).json()
    told = tuple(asked[key] for key in ("state", "asks_for", "reason", "quorum"))
    assert ("pending", "group oncall for 7200 seconds", "pager", 1) == told
    assert [] == world.store.grants(NOW)
    world.now = NOW + 60
    approved = await client.post(f"/v1/approvals/{asked['id']}/approve", headers=auth("bob"), json={"note": "ok"})
    assert "consumed" == approved.json()["state"]
    (grant,) = world.store.grants(world.now)
    assert ("alice", "oncall", None, NOW + 60, NOW + 60 + 7200, "bob") == (
        grant.subject, grant.group, grant.database, grant.starts_at, grant.ends_at, grant.granted_by,
    )  # fmt: skip
    assert [("requested", "alice"), ("voted approved", "bob"), ("granted", "alice")] == world.news.told
    assert [] == world.store.grants(NOW + 60 + 7200)


async def test_asking_twice_asks_once(client: httpx.AsyncClient, world: Any) -> None:
    first, second = (await ask(client)).json(), (await ask(client)).json()
    assert first["id"] == second["id"]
    assert [("requested", "alice")] == world.news.told
    assert first["id"] != (await ask(client, valid_for="1h")).json()["id"]
    assert first["id"] != (await ask(client, "dave")).json()["id"]


async def test_who_has_many_pending_requests_waits_for_answers(client: httpx.AsyncClient, world: Any) -> None:
    for hours in ("1h", "2h", "3h"):
        assert 201 == (await ask(client, valid_for=hours)).status_code
    refused = await ask(client, valid_for="4h")
    assert (429, "too_many_requests") == (refused.status_code, refused.json()["code"])
    assert refused.json()["detail"].startswith("3 of your requests wait for an answer already")
    assert 201 == (await ask(client, valid_for="1h")).status_code
    assert 201 == (await ask(client, "dave")).status_code
    assert 4 == len(world.news.told)


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("bob", {}, "not_requestable"),
        ("alice", {"group": "dba"}, "not_requestable"),
        ("alice", {"group": "engineers"}, "not_requestable"),
        ("alice", {"group": None, "database": "elsewhere"}, "not_requestable"),
        ("alice", {"valid_for": "9h"}, "not_requestable"),
        ("alice", {"valid_for": "never"}, "invalid"),
        ("alice", {"group": None}, "invalid"),
        ("alice", {"group": "on\x00call"}, "invalid"),
        ("alice", {"group": "\u202eoncall"}, "invalid"),
        ("alice", {"surprise": 1}, "invalid"),
    ],
)
async def test_what_the_policy_does_not_offer_is_refused(client: httpx.AsyncClient, world: Any, name: str, body: Any, code: str) -> None:
    response = await ask(client, name, **body)
    assert code == response.json()["code"]
    assert [] == world.store.list_requests()


async def test_a_database_that_is_not_there_is_refused_like_one_that_is_not_offered(client: httpx.AsyncClient, world: Any) -> None:
    (entry,) = world.policy.requestable
    world.policy = replace(world.policy, requestable=(replace(entry, databases=("shop", "hidden*")),))
    unknown, refused = await ask(client, group=None, database="hidden-1"), await ask(client, group=None, database="other")
    assert unknown.content == refused.content
    assert 201 == (await ask(client, group=None, database="shop")).status_code


async def test_nobody_grants_itself(client: httpx.AsyncClient, world: Any) -> None:
    (entry,) = world.policy.requestable
    world.policy = replace(world.policy, requestable=(replace(entry, terms=ApprovalTerms(("engineers", "dba"))),))
    asked = (await ask(client)).json()
    refused = await client.post(f"/v1/approvals/{asked['id']}/approve", headers=auth("alice"))
    assert "own_request" == refused.json()["code"]
    assert [] == world.store.grants(NOW)


@pytest.mark.parametrize("change", ["gone", "shorter", "others", "more"])
async def test_the_present_policy_has_its_say(client: httpx.AsyncClient, world: Any, change: str) -> None:
    asked = (await ask(client)).json()
    (entry,) = world.policy.requestable
    now = {
        "gone": (),
        "shorter": (replace(entry, seconds_max=600),),
        "others": (replace(entry, terms=ApprovalTerms(("security-leads",))),),
        "more": (replace(entry, terms=ApprovalTerms(("dba",), quorum=2)),),
    }
    world.policy = Policy("v2", (), requestable=now[change])
    refused = await client.post(f"/v1/approvals/{asked['id']}/approve", headers=auth("bob"))
    assert refused.json()["code"] in ("policy_changed", "not_an_approver")
    assert RequestState.PENDING is world.request(asked["id"]).state
    # Another version of the policy that says the same to this is no obstacle.
    world.policy = Policy("v3", (), requestable=(entry,))
    assert 200 == (await client.post(f"/v1/approvals/{asked['id']}/approve", headers=auth("bob"))).status_code


async def test_uses_and_times_are_not_for_access(client: httpx.AsyncClient, world: Any) -> None:
    asked = (await ask(client)).json()
    refused = await client.post(f"/v1/approvals/{asked['id']}/approve", headers=auth("bob"), json={"uses": 2})
    assert "invalid" == refused.json()["code"]
    assert RequestState.PENDING is world.request(asked["id"]).state


async def test_an_approval_that_was_not_granted_can_be_finished(client: httpx.AsyncClient, world: Any, monkeypatch: Any) -> None:
    asked = (await ask(client)).json()
    real = world.store.grant

    def fails(*_: Any) -> bool:
        raise DependencyFailure("the control store does not answer: OperationalError")

    monkeypatch.setattr(world.store, "grant", fails)
    broken = await client.post(f"/v1/approvals/{asked['id']}/approve", headers=auth("bob"))
    assert "unavailable" == broken.json()["code"]
    monkeypatch.setattr(world.store, "grant", real)
    # Whoever has not agreed does not finish it.
    assert "not_pending" == (await client.post(f"/v1/approvals/{asked['id']}/approve", headers=auth("carol"))).json()["code"]
    finished = await client.post(f"/v1/approvals/{asked['id']}/approve", headers=auth("bob"))
    assert (200, 1) == (finished.status_code, len(world.store.grants(NOW)))
    again = await client.post(f"/v1/approvals/{asked['id']}/approve", headers=auth("bob"))
    assert "consumed" == again.json()["code"]


async def test_what_can_not_be_recorded_is_not_asked(client: httpx.AsyncClient, world: Any) -> None:
    world.news.is_writable = False
    assert "unavailable" == (await ask(client)).json()["code"]
    (request,) = world.store.list_requests()
    assert (RequestKind.ACCESS, RequestState.WITHDRAWN) == (request.kind, request.state)


async def test_access_is_seen_and_ended_by_its_owner_and_by_administrators(client: httpx.AsyncClient, world: Any) -> None:
    ids = []
    for name in ("alice", "dave"):
        asked = (await ask(client, name)).json()
        await client.post(f"/v1/approvals/{asked['id']}/approve", headers=auth("bob"))
        ids.append(asked["id"])

    async def seen(name: str) -> set[str]:
        return {each["id"] for each in (await client.get("/v1/access", headers=auth(name))).json()}

    assert ({ids[0]}, {ids[1]}, set(ids), set(), set()) == tuple([await seen(n) for n in ("alice", "dave", "root", "bob", "bot-for-alice")])
    for name in ("dave", "bob", "bot-for-alice"):
        assert "unknown_grant" == (await client.delete(f"/v1/access/{ids[0]}", headers=auth(name))).json()["code"]
    assert 204 == (await client.delete(f"/v1/access/{ids[0]}", headers=auth("alice"))).status_code
    assert 204 == (await client.delete(f"/v1/access/{ids[1]}", headers=auth("root"))).status_code
    assert "unknown_grant" == (await client.delete(f"/v1/access/{ids[0]}", headers=auth("alice"))).json()["code"]
    assert [] == world.store.grants(NOW)
