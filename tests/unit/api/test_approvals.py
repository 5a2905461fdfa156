"""Approvals over HTTP: who sees what, who may answer, every way in which it is refused, and that nothing changes then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.model.api_world import ALICE, CANARY, NOW, open_request

from querywarden.admin.problems import ProblemCode
from querywarden.api.problem_details import CONTENT_TYPE, STATUSES
from querywarden.approval.request import (
    ApprovalRequest,
    RequestState,
)
from querywarden.model.decision import ApprovalTerms, WaitMode
from querywarden.model.principal import Actor
from querywarden.model.resource import Database, Environment
from querywarden.policy.language import Policy

Open = Callable[..., ApprovalRequest]


def auth(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer token-{name}"}


@pytest.fixture
def opened(world: Any) -> Open:
    numbers = iter(range(100, 1000))

    def open_(**changes: Any) -> ApprovalRequest:
        return open_request(world, next(numbers), **changes)

    return open_


def problem(response: httpx.Response) -> str:
    """The code of a problem, whose form is checked."""
    assert response.headers["content-type"] == CONTENT_TYPE
    body = response.json()
    assert {"type", "title", "status", "detail", "code"} == set(body)
    assert response.status_code == body["status"] == STATUSES[ProblemCode(body["code"])]
    assert CANARY not in response.text
    assert "token-" not in response.text
    return str(body["code"])


async def test_an_approver_sees_everything(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    earlier = opened(principal=replace(ALICE, subject="dave"))
    await client.post(f"/v1/approvals/{earlier.id}/deny", headers=auth("bob"), json={"note": "not today"})
    request = opened()
    found = (await client.get(f"/v1/approvals/{request.id}", headers=auth("bob"))).json()
    assert {"id": request.id, "state": "pending", "requester": "alice", "estimated_rows": 5000, "quorum": 1, "approvals": 0} == {
        key: found["summary"][key] for key in ("id", "state", "requester", "estimated_rows", "quorum", "approvals")
    }
    assert f"UPDATE users SET name = '{CANARY}'" == found["statement"]["text"]
    assert f"UPDATE users\nSET name = '{CANARY}'" == found["statement"]["formatted"]
    assert ["1", None] == found["statement"]["parameters"]
    assert ("10.1.2.3", "psql", "It changes many rows.", "clean up") == (
        found["client_ip"], found["application"], found["sentence"], found["summary"]["reason"],
    )  # fmt: skip
    assert (True, None) == (found["may_vote"], found["may_not_because"])
    assert [(earlier.id, "denied", "not today")] == [(each["id"], each["state"], each["votes"][0]["note"]) for each in found["similar"]]


@pytest.mark.parametrize("name", ["alice", "bob", "carol", "root", "bot-for-alice"])
async def test_who_may_see_a_request_sees_it(client: httpx.AsyncClient, opened: Open, name: str) -> None:
    actors = (Actor("bot", "querywarden"),) if name == "bot-for-alice" else ()
    request = opened(principal=replace(ALICE, actors=actors))
    assert 200 == (await client.get(f"/v1/approvals/{request.id}", headers=auth(name))).status_code
    listed = (await client.get("/v1/approvals", headers=auth(name))).json()
    assert [request.id] == [each["id"] for each in listed]
    assert CANARY not in str(listed)


@pytest.mark.parametrize("name", ["dave", "bot", "bot-for-bob", "bot-for-alice"])
@pytest.mark.parametrize("verb", ["", "/approve", "/deny"])
async def test_for_all_others_it_is_not_there(client: httpx.AsyncClient, opened: Open, world: Any, name: str, verb: str) -> None:
    """The answer is byte for byte that of an id which doesn't exist. What a person asked for isn't its agent's to see."""
    request = opened()
    method = "POST" if verb else "GET"
    hidden = await client.request(method, f"/v1/approvals/{request.id}{verb}", headers=auth(name))
    missing = await client.request(method, f"/v1/approvals/ZZZZZZZZ{verb}", headers=auth(name))
    assert "unknown_request" == problem(hidden) == problem(missing)
    assert hidden.content == missing.content
    assert [] == (await client.get("/v1/approvals", headers=auth(name))).json()
    assert RequestState.PENDING is world.request(request.id).state


async def test_a_narrowed_token_sees_its_databases_alone(client: httpx.AsyncClient, opened: Open) -> None:
    request = opened()
    other = opened(database=Database("other", Environment.STAGING))
    headers = auth("narrow") | {"Querywarden-Database": "other"}
    assert "unauthenticated" == problem(await client.get("/v1/approvals", headers=auth("narrow")))
    assert "unknown_request" == problem(await client.get(f"/v1/approvals/{request.id}", headers=headers))
    assert [other.id] == [each["id"] for each in (await client.get("/v1/approvals", headers=headers)).json()]


async def test_similar_requests_of_others_are_not_shown_to_the_requester(client: httpx.AsyncClient, opened: Open) -> None:
    opened(principal=replace(ALICE, subject="dave"))
    request = opened()
    found = (await client.get(f"/v1/approvals/{request.id}", headers=auth("alice"))).json()
    assert [] == found["similar"]
    assert not found["may_vote"]
    assert "own request" in found["may_not_because"]


async def test_approving(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    request = opened()
    body = {"note": "fine\x1b[31m", "uses": 3, "valid_for": "2h"}
    response = await client.post(f"/v1/approvals/{request.id.lower()}/approve", headers=auth("bob"), json=body)
    assert (200, "approved", "bob") == (response.status_code, response.json()["state"], response.json()["settled_by"])
    approved = world.request(request.id)
    assert (3, NOW + 7200, False) == (approved.uses_left, approved.valid_until, approved.is_standing)
    assert "fine[31m" == approved.votes[0].note
    assert [("voted approved", "bob")] == world.news.told
    assert [(request.id, RequestState.APPROVED)] == [(each.id, each.state) for each in world.changed]


async def test_approving_without_a_body(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    request = opened()
    assert 200 == (await client.post(f"/v1/approvals/{request.id}/approve", headers=auth("bob"))).status_code
    assert 1 == world.request(request.id).uses_left


async def test_a_standing_approval(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    request = opened()
    refused = await client.post(f"/v1/approvals/{request.id}/approve", headers=auth("bob"), json={"standing": True})
    assert "invalid" == problem(refused)
    assert RequestState.PENDING is world.request(request.id).state
    await client.post(f"/v1/approvals/{request.id}/approve", headers=auth("bob"), json={"standing": True, "valid_for": "1d"})
    assert world.request(request.id).is_standing


async def test_a_quorum_of_two(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    request = opened(terms=ApprovalTerms(("dba",), 2, 600))
    url = f"/v1/approvals/{request.id}/approve"
    first = (await client.post(url, headers=auth("bob"), json={"uses": 5})).json()
    assert ("pending", 1, 2) == (first["state"], first["approvals"], first["quorum"])
    assert "already_voted" == problem(await client.post(url, headers=auth("bob")))
    assert "already_voted" == problem(await client.post(f"/v1/approvals/{request.id}/deny", headers=auth("bob")))
    assert "approved" == (await client.post(url, headers=auth("carol"))).json()["state"]
    assert 1 == world.request(request.id).uses_left
    assert [("voted pending", "bob"), ("voted approved", "carol")] == world.news.told


async def test_a_vote_whose_approver_has_lost_the_right_does_not_count(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    request = opened(terms=ApprovalTerms(("dba",), 2, 600))
    url = f"/v1/approvals/{request.id}/approve"
    await client.post(url, headers=auth("bob"))
    world.approvers.gone.add("bob")
    assert "pending" == (await client.post(url, headers=auth("carol"))).json()["state"]


async def test_denying_is_final(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    request = opened(terms=ApprovalTerms(("dba",), 2, 600))
    denied = await client.post(f"/v1/approvals/{request.id}/deny", headers=auth("bob"), json={"note": "no"})
    assert "denied" == denied.json()["state"]
    assert "denied_already" == problem(await client.post(f"/v1/approvals/{request.id}/approve", headers=auth("carol")))
    assert RequestState.DENIED is world.request(request.id).state


@pytest.mark.parametrize("verb", ["approve", "deny"])
async def test_nobody_answers_its_own_request(client: httpx.AsyncClient, opened: Open, world: Any, verb: str) -> None:
    bob = replace(ALICE, subject="bob", groups=frozenset({"dba"}))
    own = opened(principal=bob)
    on_behalf = opened(principal=replace(bob, actors=(Actor("bot", "querywarden"),)))
    for request in (own, on_behalf):
        assert "own_request" == problem(await client.post(f"/v1/approvals/{request.id}/{verb}", headers=auth("bob")))
        assert RequestState.PENDING is world.request(request.id).state
    assert [] == world.news.told


async def test_an_administrator_sees_but_does_not_approve(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    request = opened()
    assert "not_an_approver" == problem(await client.post(f"/v1/approvals/{request.id}/approve", headers=auth("root")))
    assert RequestState.PENDING is world.request(request.id).state


async def test_an_agent_in_the_right_groups_sees_and_approves_nothing(client: httpx.AsyncClient, opened: Open) -> None:
    request = opened()
    assert "unknown_request" == problem(await client.post(f"/v1/approvals/{request.id}/approve", headers=auth("bot")))


async def test_what_is_settled_stays_so(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    expired, consumed, withdrawn, approved = opened(), opened(mode=WaitMode.WAIT), opened(mode=WaitMode.WAIT), opened(text="SELECT 2")
    for each in (consumed, approved):
        await client.post(f"/v1/approvals/{each.id}/approve", headers=auth("bob"))
    assert world.store.use(consumed.id, NOW)
    assert world.store.withdraw(withdrawn.id, "cancelled", NOW)
    codes = {consumed.id: "consumed", withdrawn.id: "withdrawn", approved.id: "not_pending"}
    for request_id_, code in codes.items():
        assert code == problem(await client.post(f"/v1/approvals/{request_id_}/approve", headers=auth("carol")))
    world.now = NOW + 600
    assert "expired" == problem(await client.post(f"/v1/approvals/{expired.id}/approve", headers=auth("carol")))
    world.store.expire(world.now)
    assert "expired" == problem(await client.post(f"/v1/approvals/{expired.id}/approve", headers=auth("carol")))
    assert RequestState.EXPIRED is world.request(expired.id).state


async def test_a_changed_policy_makes_an_approval_worthless(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    request = opened()
    world.policy = Policy("v2", ())
    assert "policy_changed" == problem(await client.post(f"/v1/approvals/{request.id}/approve", headers=auth("bob")))
    assert RequestState.PENDING is world.request(request.id).state


async def test_a_vote_that_comes_second_is_told_so(client: httpx.AsyncClient, opened: Open, world: Any, monkeypatch: Any) -> None:
    """Between the look and the vote another approver has denied: the store's word holds."""
    request = opened()
    stale = world.request(request.id)
    await client.post(f"/v1/approvals/{request.id}/deny", headers=auth("carol"))
    real, seen = world.store.request, []
    monkeypatch.setattr(world.store, "request", lambda id_: real(id_) if seen or seen.append(id_) else stale)
    assert "denied_already" == problem(await client.post(f"/v1/approvals/{request.id}/approve", headers=auth("bob")))


async def test_a_vote_that_can_not_be_recorded_says_so(client: httpx.AsyncClient, opened: Open, world: Any) -> None:
    request = opened()
    world.news.is_writable = False
    response = await client.post(f"/v1/approvals/{request.id}/approve", headers=auth("bob"))
    assert "unavailable" == problem(response)
    assert "audit log" in response.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"uses": 0}, {"uses": 1001}, {"uses": "many"}, {"valid_for": "soon"}, {"valid_for": "0s"}, {"valid_for": "31d"},
        {"note": "x" * 2001}, {"surprise": CANARY}, [CANARY], {"note": 5},
    ],
)  # fmt: skip
async def test_bad_bodies_change_nothing(client: httpx.AsyncClient, opened: Open, world: Any, body: Any) -> None:
    request = opened()
    assert "invalid" == problem(await client.post(f"/v1/approvals/{request.id}/approve", headers=auth("bob"), json=body))
    assert RequestState.PENDING is world.request(request.id).state


async def test_a_body_that_is_no_json_is_refused_without_being_quoted(client: httpx.AsyncClient, opened: Open) -> None:
    request = opened()
    headers = auth("bob") | {"Content-Type": "application/json"}
    assert "invalid" == problem(await client.post(f"/v1/approvals/{request.id}/approve", headers=headers, content=f"{{{CANARY}"))


@pytest.mark.parametrize("id_", ["x", "../../etc", "%00", "ZZZZZZZZZZZZ", "\u202e1234567", "'; DROP TABLE x"])
async def test_strange_ids_are_unknown(client: httpx.AsyncClient, id_: str) -> None:
    response = await client.get(f"/v1/approvals/{id_}", headers=auth("bob"))
    assert problem(response) in ("unknown_request", "not_found")


async def test_lists_are_filtered(client: httpx.AsyncClient, opened: Open) -> None:
    first, second = opened(), opened(text="SELECT 2")
    await client.post(f"/v1/approvals/{first.id}/deny", headers=auth("bob"))

    async def ids(**parameters: str) -> set[str]:
        return {each["id"] for each in (await client.get("/v1/approvals", headers=auth("bob"), params=parameters)).json()}

    assert {first.id, second.id} == await ids()
    assert {second.id} == await ids(state="pending")
    assert {first.id} == await ids(state="denied")
    assert 1 == len(await ids(limit="1"))
    assert "invalid" == problem(await client.get("/v1/approvals?state=open", headers=auth("bob")))
    assert "invalid" == problem(await client.get("/v1/approvals?limit=501", headers=auth("bob")))
