"""The application as a whole: every route needs a token, bounds and headers hold, nothing of a failure's text is told."""

from __future__ import annotations

import asyncio
import io
import json
import os
from dataclasses import replace
from typing import Any

import httpx
import pytest
import structlog
from tests.model.api_world import CANARY as CANARY_OF_HELD
from tests.model.api_world import open_request

from querywarden.admin.access import Wanted
from querywarden.admin.approvals import PendingRequests
from querywarden.admin.problems import Problem, ProblemCode
from querywarden.api.application import make_application
from querywarden.api.authentication import FAILURES_PER_MINUTE_MAX, UNIX_PEER, FailureLimit
from querywarden.api.event_routes import _stream
from querywarden.api.shield import BODY_BYTES_MAX, HEADERS, BrokenAnswer, Shield
from querywarden.config.models import LogFormat, LogSettings
from querywarden.errors import DependencyFailure
from querywarden.runtime.logs import configure_logs

CANARY = "canary-77aa"
BOB = {"Authorization": "Bearer token-bob"}


def routes(world: Any) -> list[tuple[str, str]]:
    paths = make_application(world.services, world.stopping).openapi()["paths"]
    return [(method.upper(), path.replace("{id}", "x")) for path, methods in paths.items() for method in methods]


async def test_every_route_needs_a_token(client: httpx.AsyncClient, world: Any) -> None:
    found = routes(world)
    assert len(found) >= 13
    for method, path in found:
        for headers in ({}, {"Authorization": "Basic dG9rZW4tYm9iOg=="}, {"Authorization": "Bearer "}, {"Authorization": "Bearer \xff"}):
            raw = {name: value.encode("latin-1") for name, value in headers.items()}
            response = await client.request(method, path, headers=raw)
            assert (401, "unauthenticated") == (response.status_code, response.json()["code"]), (method, path, headers)
            assert 'Bearer realm="querywarden"' == response.headers["www-authenticate"]


async def test_two_tokens_are_none(client: httpx.AsyncClient) -> None:
    headers = [("Authorization", "Bearer token-bob"), ("Authorization", "Bearer token-root")]
    assert 401 == (await client.get("/v1/approvals", headers=headers)).status_code


async def test_a_rejected_token_is_not_told_why_nor_logged(client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]) -> None:
    response = await client.get("/v1/approvals", headers={"Authorization": f"Bearer {CANARY}"})
    assert "The token is not accepted." == response.json()["detail"]
    shown = capsys.readouterr()
    assert CANARY not in response.text + shown.out + shown.err


async def test_a_rejected_token_is_told_to_the_log_with_what_was_named(client: httpx.AsyncClient, world: Any) -> None:
    await client.get("/v1/approvals", headers={"Authorization": f"Bearer {CANARY}", "Querywarden-Database": "shop"})
    await client.get("/v1/approvals")
    assert [("unknown", "127.0.0.1", "shop")] == world.rejected


async def test_who_is_blocked_is_told_to_the_log_too(world: Any) -> None:
    async def blocked(*_: Any) -> Any:
        raise Problem(ProblemCode.BLOCKED, "blocked")

    app = Shield(make_application(replace(world.services, verify=blocked), world.stopping))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://querywarden") as client:
        assert 403 == (await client.get("/v1/approvals", headers=BOB)).status_code
    assert [("principal_blocked", "127.0.0.1", "")] == world.rejected


async def test_failed_tokens_are_limited(client: httpx.AsyncClient) -> None:
    for _ in range(FAILURES_PER_MINUTE_MAX):
        assert 401 == (await client.get("/v1/approvals", headers={"Authorization": "Bearer wrong"})).status_code
    limited = await client.get("/v1/approvals", headers=BOB)
    assert (429, "too_many_requests") == (limited.status_code, limited.json()["code"])


def test_the_limit_of_failures_fades_by_address() -> None:
    now = [0.0]
    limit = FailureLimit(lambda: now[0])
    for _ in range(FAILURES_PER_MINUTE_MAX):
        assert 0 == limit.seconds_to_wait("10.0.0.1")
        limit.failed("10.0.0.1")
    wait = limit.seconds_to_wait("10.0.0.1")
    assert 1 <= wait <= 10
    assert (0, 0) == (limit.seconds_to_wait("10.0.0.2"), limit.seconds_to_wait(UNIX_PEER))
    now[0] = float(wait)
    assert 0 == limit.seconds_to_wait("10.0.0.1")


def test_the_limit_of_failures_keeps_a_bounded_number_of_addresses() -> None:
    limit = FailureLimit(lambda: 0.0)
    for number in range(10_000):
        limit.failed(str(number))
    assert len(limit._peers) <= 4096


@pytest.mark.parametrize("path", ["/v1/approvals", "/nowhere", "/openapi.json"])
async def test_every_answer_has_the_headers(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path, headers=BOB | {"Origin": "https://evil.example.com"})
    for name, value in HEADERS:
        assert value.decode() == response.headers[name.decode()]
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert "strict-transport-security" not in response.headers


async def test_over_tls_browsers_are_told_to_stay_there(world: Any) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="https://querywarden") as client:
        assert "max-age" in (await client.get("/openapi.json")).headers["strict-transport-security"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/v1/approvals", 405), ("GET", "/docs", 404)])
async def test_what_is_not_there_is_a_problem_too(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    response = await client.request(method, path, headers=BOB)
    assert (status, "application/problem+json") == (response.status_code, response.headers["content-type"])


async def test_a_long_body_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/access", headers=BOB, content=b"x" * (BODY_BYTES_MAX + 1))
    assert (413, "too_large") == (response.status_code, response.json()["code"])

    async def parts() -> Any:
        for _ in range(BODY_BYTES_MAX // 1024 + 1):
            yield b"x" * 1024

    assert 413 == (await client.post("/v1/access", headers=BOB, content=parts())).status_code
    lying = {"Content-Length": "99999999999"}
    assert 413 == (await client.post("/v1/access", headers=BOB | lying, content=b"{}")).status_code


async def test_a_deep_body_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/access", headers=BOB | {"Content-Type": "application/json"}, content=b"[" * 60_000)
    assert response.status_code in (400, 422)


async def test_a_failing_store_is_told_as_such(client: httpx.AsyncClient, world: Any, monkeypatch: Any) -> None:
    def fails(*_: Any) -> Any:
        raise DependencyFailure("the control store does not answer: OperationalError")

    monkeypatch.setattr(world.store, "list_requests", fails)
    response = await client.get("/v1/approvals", headers=BOB)
    assert (503, "unavailable") == (response.status_code, response.json()["code"])


async def test_a_defect_is_told_and_logged_without_its_text(client: httpx.AsyncClient, world: Any, monkeypatch: Any) -> None:
    out = io.StringIO()
    configure_logs(LogSettings(format=LogFormat.JSON), out)

    def fails(*_: Any) -> Any:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(world.store, "list_requests", fails)
    response = await client.get("/v1/approvals", headers=BOB)
    structlog.reset_defaults()
    assert (500, "internal") == (response.status_code, response.json()["code"])
    assert ["api.broken", "RuntimeError"] == [json.loads(out.getvalue())[key] for key in ("event", "error")]
    assert CANARY not in response.text + out.getvalue()


async def test_an_answer_that_breaks_off_is_not_ended_as_if_it_were_whole() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError(CANARY)

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(BrokenAnswer) as broken:
        await Shield(app)({"type": "http", "headers": [], "scheme": "http"}, receive, send)
    assert CANARY not in str(broken.value)
    assert ["http.response.start", "http.response.body"] == [message["type"] for message in sent]


async def test_who_goes_away_before_the_body_is_there_is_not_served() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("served")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await Shield(app)({"type": "http", "headers": [], "scheme": "http"}, receive, send)
    assert [] == sent


def test_the_openapi_document_is_sound(world: Any) -> None:
    document = make_application(world.services, world.stopping).openapi()
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}
    assert references <= set(document["components"]["schemas"])
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    assert all(operation.get("summary") for operation in operations)
    assert all("401" in operation["responses"] for operation in operations)
    # Nothing is loaded from elsewhere, and no credential stands in an address.
    assert "cdn" not in text
    assert "token" not in [parameter["name"] for operation in operations for parameter in operation.get("parameters", [])]


def test_nothing_is_measured_or_sent_by_the_framework(world: Any, monkeypatch: Any) -> None:
    for name in ("FASTAPI_OTEL_AUTO_CONFIGURE", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.setitem(os.environ, name, "true" if name.startswith("FAST") else "http://127.0.0.1:9")
    telemetry = getattr(make_application(world.services, world.stopping), "_telemetry", {})
    assert not any(telemetry.get(name) for name in ("tracing", "metrics", "logs", "operation_spans", "auto_configure"))


async def test_events_begin_with_what_is_pending_and_end_when_the_proxy_stops(world: Any) -> None:
    asked = await world.services.access.ask((await world.services.verify(b"token-alice", "", "unix")), _wanted(), "unix")
    bob = await world.services.verify(b"token-bob", "", "unix")
    places = asyncio.Semaphore(1)
    stream = _stream(world.services.approvals, bob, world.stopping, places)
    assert (await anext(stream)).startswith(b":")
    event = (await anext(stream)).decode()
    assert event.startswith("event: requested\ndata: {")
    assert event.endswith("}\n\n")
    assert asked.id == json.loads(event.split("data: ", 1)[1])["id"]
    assert places.locked()
    world.stopping.set()
    assert [] == [each async for each in stream]
    assert not places.locked()


def _wanted() -> Any:
    return Wanted("oncall", None, 3600, "line\nbreak\n\ndata: x")


async def test_a_follower_tells_each_change_once(world: Any) -> None:
    alice, bob, dave = [await world.services.verify(f"token-{name}".encode(), "", "unix") for name in ("alice", "bob", "dave")]
    asked = await world.services.access.ask(alice, _wanted(), "unix")
    follower, stranger = world.services.approvals.follow(bob), world.services.approvals.follow(dave)
    assert [("requested", asked.id, "pending")] == [(name, each.id, each.state) for name, each in await follower.changes()]
    assert [] == await follower.changes()
    await world.services.approvals.deny(bob, asked.id, "")
    assert [("settled", asked.id, "denied")] == [(name, each.id, each.state) for name, each in await follower.changes()]
    assert [] == await follower.changes()
    assert [] == await stranger.changes()


async def test_all_who_follow_share_one_look(world: Any, monkeypatch: Any) -> None:
    """However many follow, the store is read once in its time; what is kept holds no text of a statement."""
    open_request(world, 1)
    real, looks = world.store.list_requests, []
    monkeypatch.setattr(world.store, "list_requests", lambda *arguments: looks.append(1) or real(*arguments))
    ticks = [0.0]
    pending = PendingRequests(world.services.approvals._parts, lambda: ticks[0])
    found = [await pending.look() for _ in range(10)]
    assert 1 == len(looks)
    assert CANARY_OF_HELD not in repr(found)
    ticks[0] = 1.0
    await pending.look()
    pending.forget()
    await pending.look()
    assert 3 == len(looks)
