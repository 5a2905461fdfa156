"""Webhooks against a sink on loopback: signed deliveries, retries, giving up, and receivers that misbehave."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from querywarden.approval.request import ApprovalRequest, Party, RequestKind, RequestState
from querywarden.config.approval_settings import WebhookEvent, WebhookFormat, WebhookSettings
from querywarden.errors import DependencyFailure
from querywarden.model.decision import ApprovalTerms
from querywarden.model.principal import PrincipalKind
from querywarden.runtime import webhooks
from querywarden.runtime.metrics import Metrics
from querywarden.runtime.store_calls import StoreCalls
from querywarden.runtime.webhooks import DELIVERY_SECONDS_MAX, Webhooks
from querywarden.storage.control_store import ControlStore

REQUEST = ApprovalRequest(
    id="7K3M9QWX", kind=RequestKind.STATEMENT, state=RequestState.PENDING, requester=Party("alice", "i", PrincipalKind.HUMAN),
    database="shop", environment="production", rule="bulk", terms=ApprovalTerms(), fingerprint="f", statement_fingerprint="s",
    created_at=1_700_000_000, expires_at=1_700_001_800,
)  # fmt: skip
SECRET = "a shared secret"
PATH_SECRET = "T000-hook-path"


class Sink:
    """An HTTP receiver that answers as it is told and remembers what it got."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/{PATH_SECRET}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.paths.append(first.split()[1])
        self.requests.append((headers, body))
        answer = self.answers.pop(0) if self.answers else b"HTTP/1.1 204 No Content\r\n\r\n"
        if answer == b"hang":
            await reader.read()
        else:
            writer.write(answer)
        writer.close()


def status(code: int, *headers: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {code} X", *headers, "content-length: 0", "", "")).encode()


class Bench:
    def __init__(self, store: ControlStore, url: str) -> None:
        self.store = store
        self.url = url
        self.now = 1_700_000_000.0
        self.metrics = Metrics()
        self.numbers = itertools.count(1)
        self.calls = StoreCalls(lambda *_: None)

    def webhooks(self, instance: str = "one", **changes: Any) -> Webhooks:
        settings = WebhookSettings.model_validate({"url": self.url, "secret": SecretStr(SECRET), **changes})
        return Webhooks(
            [settings], self.store, self.calls, instance, self.metrics, lambda size: next(self.numbers).to_bytes(size, "big"),
            lambda number: f"show {number}", lambda: self.now,
        )  # fmt: skip

    async def send(self, hooks: Webhooks, event: str = "approval.requested") -> None:
        hooks.tell(event, REQUEST)
        await hooks.flush()
        await hooks.deliver()

    def counted(self, outcome: str) -> bool:
        return f'querywarden_webhooks_total{{outcome="{outcome}"}} 1.0'.encode() in self.metrics.exposition()


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    yield sink
    await sink.stop()


@pytest.fixture
async def bench(tmp_path: Path, sink: Sink) -> AsyncIterator[Bench]:
    store = ControlStore(f"sqlite:///{tmp_path}/control.db")
    bench = Bench(store, await sink.start())
    yield bench
    bench.calls.close()
    store.close()


async def test_a_delivery_is_signed_and_made_once(bench: Bench, sink: Sink) -> None:
    hooks = bench.webhooks()
    await bench.send(hooks)
    assert await hooks.deliver() == 0
    ((headers, body),) = sink.requests
    assert sink.paths == [f"/{PATH_SECRET}"]
    assert json.loads(body)["type"] == "approval.requested"
    assert json.loads(body)["data"]["where"] == "show 7K3M9QWX"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"].startswith("msg_")
    assert headers["webhook-timestamp"] == "1700000000"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert bench.store.list_deliveries() == []
    assert bench.counted("delivered")


async def test_slack_gets_its_own_form_and_nothing_is_signed_without_a_secret(bench: Bench, sink: Sink) -> None:
    await bench.send(bench.webhooks(format=WebhookFormat.SLACK, secret=None))
    ((headers, body),) = sink.requests
    assert "blocks" in json.loads(body)
    assert "webhook-signature" not in headers


async def test_only_the_wanted_events_are_told(bench: Bench, sink: Sink) -> None:
    hooks = bench.webhooks(events=[WebhookEvent.DENIED])
    await bench.send(hooks)
    await bench.send(hooks, "approval.denied")
    assert [json.loads(body)["type"] for _, body in sink.requests] == ["approval.denied"]


@pytest.mark.parametrize("answer", [status(500), status(404), status(302, "location: http://127.0.0.1:1/"), b"", b"no HTTP\r\n\r\n"])
async def test_a_failed_delivery_is_tried_again_later_under_its_id(bench: Bench, sink: Sink, answer: bytes) -> None:
    sink.answers = [answer]
    hooks = bench.webhooks()
    await bench.send(hooks)
    assert await hooks.deliver() == 0, "not at once"
    bench.now += 10
    assert await hooks.deliver() == 1
    assert len({headers["webhook-id"] for headers, _ in sink.requests}) == 1
    assert [headers["webhook-timestamp"] for headers, _ in sink.requests] == ["1700000000", "1700000010"]
    assert bench.store.list_deliveries() == []


async def test_the_pauses_grow_and_after_a_day_it_is_given_up(bench: Bench, sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    sink.answers = [status(500)] * 100
    hooks = bench.webhooks()
    began = bench.now
    await bench.send(hooks)
    attempts = 1
    while not (left := bench.store.list_deliveries())[0].is_dead:
        assert left[0].next_at - bench.now <= webhooks.RETRY_SECONDS_MAX * 1.5 + 1
        bench.now = left[0].next_at
        attempts += await hooks.deliver()
    assert bench.now - began <= DELIVERY_SECONDS_MAX
    assert 20 <= attempts <= 70
    assert bench.counted("given_up")


async def test_a_receiver_that_wants_no_more_gets_no_more(bench: Bench, sink: Sink) -> None:
    sink.answers = [status(410)]
    await bench.send(bench.webhooks())
    assert bench.store.list_deliveries()[0].is_dead


async def test_a_receiver_that_hangs_is_left_in_time(bench: Bench, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "ANSWER_SECONDS_MAX", 0.05)
    sink.answers = [b"hang"]
    await bench.send(bench.webhooks())
    assert bench.store.list_deliveries()[0].attempts == 1


async def test_an_endless_answer_is_not_read(bench: Bench, sink: Sink) -> None:
    sink.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\nx"]
    await bench.send(bench.webhooks())
    assert bench.store.list_deliveries() == []


async def test_the_address_and_the_secret_stay_out_of_the_log(bench: Bench, sink: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    sink.answers = [status(500), status(410)]
    hooks = bench.webhooks()
    await bench.send(hooks)
    await bench.send(hooks)
    said = capsys.readouterr()
    assert "webhook.failed" in said.out + said.err
    assert "webhook.given_up" in said.out + said.err
    assert PATH_SECRET not in said.out + said.err
    assert SECRET not in said.out + said.err
    assert PATH_SECRET not in str(bench.store.list_deliveries())


async def test_two_proxies_deliver_once(bench: Bench, sink: Sink) -> None:
    first, second = bench.webhooks("one"), bench.webhooks("two")
    first.tell("approval.requested", REQUEST)
    await first.flush()
    await asyncio.gather(first.deliver(), second.deliver())
    assert len(sink.requests) == 1


async def test_what_a_dead_store_cannot_take_waits_in_memory_within_bounds(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "WAITING_MAX", 1)
    hooks = bench.webhooks()
    monkeypatch.setattr(bench.store, "enqueue", _fail)
    hooks.tell("approval.requested", REQUEST)
    with pytest.raises(DependencyFailure):
        await hooks.flush()
    hooks.tell("approval.granted", REQUEST)
    monkeypatch.undo()
    await hooks.flush()
    await hooks.flush()
    assert [delivery.event for delivery in bench.store.list_deliveries()] == ["approval.requested"]
    assert bench.counted("dropped")


async def test_a_delivery_that_cannot_be_noted_is_made_again(bench: Bench, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = bench.webhooks()
    monkeypatch.setattr(bench.store, "delivered", _fail)
    with pytest.raises(DependencyFailure):
        await bench.send(hooks)
    monkeypatch.undo()
    bench.now += webhooks.LEASE_SECONDS
    assert await hooks.deliver() == 1
    assert len({headers["webhook-id"] for headers, _ in sink.requests}) == 1


async def test_it_runs_by_itself(bench: Bench, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = bench.webhooks()
    task = asyncio.create_task(hooks.run())
    hooks.tell("approval.requested", REQUEST)
    async with asyncio.timeout(10):
        while bench.store.list_deliveries() or not sink.requests:
            await asyncio.sleep(0)
    task.cancel()
    assert len(sink.requests) == 1


async def test_without_addresses_nothing_runs(bench: Bench) -> None:
    hooks = Webhooks([], bench.store, bench.calls, "one", bench.metrics, bytes, str)
    hooks.tell("approval.requested", REQUEST)
    await hooks.run()
    assert bench.store.list_deliveries() == []


def _fail(*_: Any) -> Any:
    raise DependencyFailure("down")
