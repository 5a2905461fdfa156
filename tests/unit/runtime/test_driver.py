"""The driver with a session made up for the test and real sockets on both sides: order, one write, pauses, ends, failures."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from querywarden.approval.request import HeldStatement
from querywarden.errors import DependencyFailure, IdentityRejected, PeerViolation
from querywarden.gate.permit import Housekeeping
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import ApprovalTerms, WaitMode
from querywarden.model.facts import Unanalysable
from querywarden.model.limits import Limits
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.runtime.driver import SessionDriver
from querywarden.runtime.metrics import Metrics
from querywarden.runtime.services import Services
from querywarden.runtime.timers import now
from querywarden.runtime.transport_sides import ClosureWatch, Side
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

ALICE = Principal("alice", "https://idp", PrincipalKind.HUMAN)
SQL = Housekeeping.SYNC


class FakeSession:
    """Answers each input as a table says; remembers what it saw."""

    def __init__(self, answer: Callable[[ev.Input], list[fx.Effect]], first: list[fx.Effect] | None = None) -> None:
        self.answer = answer
        self.first = first or []
        self.seen: list[Any] = []
        self.cancel_key: tuple[int, bytes] | None = None
        self.principal: Principal | None = None
        self.depth = 0
        self.happened = asyncio.Event()

    def begin(self, now: float) -> list[fx.Effect]:
        return self.first

    def handle(self, input: ev.Input, now: float) -> list[fx.Effect]:  # noqa: A002
        assert self.depth == 0, "the session was entered twice"
        self.depth += 1
        try:
            self.seen.append(bytes(input.data) if isinstance(input, ev.ClientBytes | ev.ServerBytes) else input)
            self.happened.set()
            return self.answer(input)
        finally:
            self.depth -= 1

    async def until(self, condition: Callable[[list[Any]], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition(self.seen):
                self.happened.clear()
                await self.happened.wait()


class FakeJournal:
    def __init__(self) -> None:
        self.records: list[tuple[str, Any]] = []
        self.answer: bool | None = True

    def append(self, type: str, body: Any, durability: Any, callback: Any, id: str | None = None) -> None:  # noqa: A002
        self.records.append((type, body))
        if callback is not None and self.answer is not None:
            callback(self.answer)


class FakeEntry:
    def __init__(self) -> None:
        self.principal = ALICE
        self.refusal: str | None = None
        self.deliver: Any = None
        self.credentials: Any = None
        self.calls: list[str] = []

    async def prepare(self) -> None:
        self.calls.append("prepare")

    def logged_in(self) -> None:
        self.calls.append("logged_in")

    def leave(self) -> None:
        self.calls.append("leave")


class FakeWorld:
    """Stand-ins for everything that a driver asks of the process."""

    def __init__(self) -> None:
        self.server_end: socket.socket | None = None
        self.unavailable = False
        self.cancelled: list[tuple[int, bytes]] = []
        self.listeners: list[Any] = []
        self.catalogue: Catalogue | None = None
        self.loaded = Catalogue("1", {})
        self.changed: list[str] = []
        self.watched: list[Any] = []
        self.entry = FakeEntry()
        self.asked: dict[int, Any] = {}
        self.withdrawn: list[tuple[int, str]] = []
        self.spent: list[Any] = []

    async def verify(self, credential: bytes, database: str, peer_ip: str) -> Principal:
        if credential == b"broken":
            raise RuntimeError("the verifier failed with eyJhbGciOi")
        if credential == b"unverifiable":
            raise DependencyFailure("no keys")
        if credential != b"good":
            raise IdentityRejected("expired")
        return ALICE

    def watch(self, principal: Principal, on_ended: Any) -> Callable[[], None]:
        self.watched.append(on_ended)
        return lambda: self.watched.remove(on_ended)

    def enter(self, session_id: str, principal: Principal, database: str, client_ip: str, deliver: Any) -> FakeEntry:
        self.entry.deliver = deliver
        self.entry.credentials = (session_id, principal, database, client_ip)
        return self.entry

    def open(self, ticket: int, held: Any, answer: Any) -> Any:
        self.asked[ticket] = answer
        return lambda cause: self.withdrawn.append((ticket, cause))

    def spend(self, principal: Principal, database: str, *, statements: int, rows: int, bytes: int, guesses: int) -> None:  # noqa: A002
        self.spent.append((principal, database, statements, rows, bytes, guesses))

    async def connect(self, database: str, side: Side) -> bytes | None:
        if self.unavailable:
            raise DependencyFailure("the server can't be reached")
        ours, self.server_end = socket.socketpair()
        ours.setblocking(False)
        self.server_end.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: side, sock=ours)
        return b"certificate"

    async def cancel(self, database: str, process_id: int, key: bytes, server: Side | None) -> None:
        self.cancelled.append((process_id, key))

    async def analyse(self, text: bytes) -> Unanalysable:
        return Unanalysable("timeout", "too slow")

    def current(self, database: str) -> Catalogue | None:
        return self.catalogue

    async def load(self, database: str, *, fresh: bool) -> Catalogue:
        await asyncio.sleep(0)
        for listener in list(self.listeners):
            listener(Catalogue("older", {}))
        return self.loaded

    def subscribe(self, database: str, listener: Any) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def schema_changed(self, database: str) -> None:
        self.changed.append(database)


class Bench:
    """A driver between two sockets of the test."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.journal = FakeJournal()
        self.metrics = Metrics()
        self.watch = ClosureWatch(interval_seconds=0.02)
        self.ended = asyncio.Event()
        self.client: socket.socket = socket.socket()
        self.driver: SessionDriver | None = None

    async def start(self, session: FakeSession, leftover: bytes = b"", high_water: int = 256 * 1024) -> SessionDriver:
        limits = Limits(high_water_bytes=high_water)
        world: Any = self.world
        journal: Any = self.journal
        services = Services(journal, world, world, world, world, world, world, world, world, self.metrics, limits, self.watch)
        self.client.close()
        ours, self.client = socket.socketpair()
        ours.setblocking(False)
        self.client.setblocking(False)
        side = Side(_Nobody(), high_water, self.watch)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: side, ours)
        self.driver = SessionDriver(session, "s-1", side, "127.0.0.1", services, now() + 5)  # type: ignore[arg-type]
        self.driver.on_end = lambda driver: self.ended.set()
        self.driver.begin(leftover)
        return self.driver

    async def receive(self, size: int) -> bytes:
        return await _exactly(self.client, size)

    async def wait_end(self) -> None:
        async with asyncio.timeout(5):
            await self.ended.wait()


class _Nobody:
    def data_arrived(self, side: Side, data: memoryview) -> None: ...
    def side_ended(self, side: Side) -> None: ...
    def side_gone(self, side: Side) -> None: ...
    def side_congested(self, side: Side, is_congested: bool) -> None: ...


async def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(5):
        while len(data) < size:
            part = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
            if not part:
                break
            data += part
    return data


async def _standstill(progress: Callable[[], int]) -> None:
    """Let the loop turn until something makes no progress any more."""
    last, turns = -1, 0
    while turns < 500:
        await asyncio.sleep(0)
        turns = turns + 1 if progress() == last else 0
        last = progress()


async def _send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    if bench.driver is not None and not bench.ended.is_set():
        bench.driver.abort()
        await bench.wait_end()
    bench.client.close()
    if bench.world.server_end is not None:
        bench.world.server_end.close()
    gc.collect()


def connect_first(answer: Callable[[ev.Input], list[fx.Effect]] = lambda _: []) -> FakeSession:
    return FakeSession(answer, [fx.ConnectServer("shop")])


async def test_effects_are_carried_out_in_order_and_sends_are_joined(bench: Bench) -> None:
    def answer(happened: ev.Input) -> list[fx.Effect]:
        if isinstance(happened, ev.ClientBytes):
            record = fx.AppendRecord(1, "db.query.decided", {}, fx.Durability.WRITTEN)
            return [fx.SendToClient(b"a"), record, fx.SendToClient(b"b"), fx.SendToClient(b"c")]
        return [fx.SendToClient(b"d")] if isinstance(happened, ev.RecordSafe) else []

    session = FakeSession(answer)
    await bench.start(session)
    await _send(bench.client, b"hello")
    assert await bench.receive(4) == b"abcd"
    assert session.seen == [b"hello", ev.RecordSafe(1)]
    assert bench.journal.records == [("db.query.decided", {})]


async def test_leftover_of_the_start_up_comes_first(bench: Bench) -> None:
    session = FakeSession(lambda _: [])
    await bench.start(session, leftover=b"early")
    await _send(bench.client, b"late")
    await session.until(lambda seen: len(seen) == 2)
    assert session.seen == [b"early", b"late"]


async def test_a_record_that_fails_at_once_is_no_reentrance(bench: Bench) -> None:
    bench.journal.answer = False
    session = FakeSession(
        lambda happened: [fx.AppendRecord(7, "x", {}, fx.Durability.DURABLE)] if isinstance(happened, ev.ClientBytes) else []
    )
    await bench.start(session, leftover=b"go")
    assert session.seen == [b"go", ev.RecordFailed(7)]


async def test_records_without_number_are_not_answered(bench: Bench) -> None:
    session = FakeSession(
        lambda happened: [fx.AppendRecord(None, "x", {}, fx.Durability.DURABLE)] if isinstance(happened, ev.ClientBytes) else []
    )
    await bench.start(session, leftover=b"go")
    assert session.seen == [b"go"]
    assert bench.journal.records == [("x", {})]


async def test_bytes_go_both_ways_between_client_and_server(bench: Bench) -> None:
    def answer(happened: ev.Input) -> list[fx.Effect]:
        match happened:
            case ev.ClientBytes(data):
                return [fx.SendToServer(bytes(data), SQL)]
            case ev.ServerBytes(data):
                return [fx.SendToClient(bytes(data))]
        return []

    session = connect_first(answer)
    await bench.start(session)
    await session.until(lambda seen: ev.ServerConnected(b"certificate") in seen)
    assert bench.world.server_end is not None
    await _send(bench.client, b"question")
    assert await _exactly(bench.world.server_end, 8) == b"question"
    await _send(bench.world.server_end, b"answer")
    assert await bench.receive(6) == b"answer"
    assert (bench.metrics.client_bytes_received, bench.metrics.server_bytes_sent) == (8, 8)
    assert (bench.metrics.server_bytes_received, bench.metrics.client_bytes_sent) == (6, 6)


async def test_an_unavailable_server_is_told(bench: Bench) -> None:
    bench.world.unavailable = True
    session = connect_first()
    await bench.start(session)
    await session.until(bool)
    assert session.seen == [ev.ServerUnavailable("the server can't be reached")]


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (b"good", ev.CredentialVerified(ALICE)),
        (b"old", ev.CredentialRejected("expired")),
        (b"unverifiable", ev.CredentialRejected("unverifiable")),
    ],
)
async def test_credentials(bench: Bench, credential: bytes, expected: ev.Input) -> None:
    session = FakeSession(lambda _: [], [fx.VerifyCredential(credential, "shop")])
    await bench.start(session)
    await session.until(bool)
    assert session.seen == [expected]


async def test_access_is_watched_until_the_end(bench: Bench) -> None:
    session = FakeSession(lambda _: [], [fx.VerifyCredential(b"good", "shop")])
    driver = await bench.start(session)
    await session.until(bool)
    bench.world.watched[0]("Your credential has expired.")
    assert session.seen[-1] == ev.AccessEnded("Your credential has expired.")
    driver.abort()
    await bench.wait_end()
    assert bench.world.watched == []


async def test_a_service_that_crashes_ends_the_session_with_one_fatal(bench: Bench) -> None:
    await bench.start(FakeSession(lambda _: [], [fx.VerifyCredential(b"broken", "shop")]))
    data = await bench.receive(10_000)
    assert data.count(b"XX000") == 1
    assert b"eyJ" not in data
    await bench.wait_end()


@pytest.mark.parametrize(("error", "sqlstate"), [(RuntimeError("secret-42"), b"XX000"), (PeerViolation("Bind: too long"), b"08P01")])
async def test_an_exception_of_the_session_ends_both_sides(bench: Bench, error: Exception, sqlstate: bytes) -> None:
    def answer(happened: ev.Input) -> list[fx.Effect]:
        if isinstance(happened, ev.ClientBytes):
            raise error
        return []

    session = connect_first(answer)
    await bench.start(session)
    await session.until(bool)
    await _send(bench.client, b"boom")
    data = await bench.receive(10_000)
    assert data[:1] == b"E"
    assert data.count(sqlstate) == 1
    assert b"secret-42" not in data
    assert bench.world.server_end is not None
    assert await _exactly(bench.world.server_end, 1) == b""
    await bench.wait_end()
    assert session.seen[-1] == b"boom"


async def test_close_client_writes_what_was_sent_before(bench: Bench) -> None:
    session = FakeSession(lambda _: [fx.SendToClient(b"x" * 3_000_000), fx.CloseClient(), fx.SendToClient(b"too late")])
    await bench.start(session)
    await _send(bench.client, b"go")
    assert await bench.receive(4_000_000) == b"x" * 3_000_000
    await bench.wait_end()
    assert session.seen == [b"go"]


async def test_client_and_server_closing_are_told_once(bench: Bench) -> None:
    def answer(happened: ev.Input) -> list[fx.Effect]:
        return [fx.CloseServer()] if isinstance(happened, ev.ClientClosed) else []

    session = connect_first(answer)
    await bench.start(session)
    await session.until(bool)
    bench.client.shutdown(socket.SHUT_WR)
    await bench.wait_end()
    assert session.seen[1:] == [ev.ClientClosed()]


async def test_a_server_that_dies_is_told(bench: Bench) -> None:
    session = connect_first(lambda happened: [fx.CloseClient()] if isinstance(happened, ev.ServerClosed) else [])
    await bench.start(session)
    await session.until(bool)
    assert bench.world.server_end is not None
    bench.world.server_end.close()
    await bench.wait_end()
    assert session.seen[1:] == [ev.ServerClosed()]


async def test_a_client_that_vanishes_while_paused_is_noticed(bench: Bench) -> None:
    session = FakeSession(lambda happened: [fx.PauseClient()] if isinstance(happened, ev.ClientBytes) else [])
    await bench.start(session)
    await _send(bench.client, b"long statement")
    await session.until(bool)
    await _send(bench.client, b"unread")
    bench.client.close()
    await bench.wait_end()
    assert session.seen == [b"long statement", ev.ClientClosed()]


async def test_a_paused_client_is_not_read_until_resumed(bench: Bench) -> None:
    def answer(happened: ev.Input) -> list[fx.Effect]:
        if happened == ev.ClientBytes(memoryview(b"one")):
            return [fx.PauseClient(), fx.SetTimer("go", 0.05)]
        return [fx.ResumeClient()]

    session = FakeSession(answer)
    await bench.start(session)
    await _send(bench.client, b"one")
    await session.until(bool)
    await _send(bench.client, b"two")
    await session.until(lambda seen: len(seen) == 3)
    assert session.seen == [b"one", ev.TimerFired("go"), b"two"]


async def test_a_slow_reader_stops_the_other_side_and_memory_stays_bounded(bench: Bench) -> None:
    total = 64 * 1024 * 1024
    sent = 0

    def answer(happened: ev.Input) -> list[fx.Effect]:
        return [fx.SendToClient(bytes(happened.data))] if isinstance(happened, ev.ServerBytes) else []

    session = connect_first(answer)
    await bench.start(session)
    await session.until(bool)
    session.seen = _Nothing()
    server = bench.world.server_end
    assert server is not None

    async def flood() -> None:
        nonlocal sent
        chunk = b"r" * 65536
        while sent < total:
            await _send(server, chunk)
            sent += len(chunk)

    task = asyncio.create_task(flood())
    await _standstill(lambda: sent)
    assert sent < 4 * 1024 * 1024, "the proxy went on reading though nobody read from it"
    assert bench.metrics.client_bytes_sent < 4 * 1024 * 1024
    received = 0
    async with asyncio.timeout(20):
        while received < total:
            received += len(await asyncio.get_running_loop().sock_recv(bench.client, 1 << 20))
        await task
    assert received == total


async def test_a_slow_server_does_not_stop_what_the_server_sends(bench: Bench) -> None:
    def answer(happened: ev.Input) -> list[fx.Effect]:
        match happened:
            case ev.ClientBytes(data):
                return [fx.SendToServer(bytes(data), SQL)]
            case ev.ServerBytes(data):
                return [fx.SendToClient(bytes(data))]
        return []

    session = connect_first(answer)
    await bench.start(session)
    await session.until(bool)
    session.seen = _Nothing()
    server = bench.world.server_end
    assert server is not None

    sent = 0

    async def flood() -> None:
        nonlocal sent
        for _ in range(512):
            await _send(bench.client, b"w" * 65536)
            sent += 1

    task = asyncio.create_task(flood())
    await _standstill(lambda: sent)
    assert not task.done()
    await _send(server, b"notice")
    assert await bench.receive(6) == b"notice"
    read = 0
    while read < 512 * 65536:
        read += len(await asyncio.get_running_loop().sock_recv(server, 1 << 20))
    await task


async def test_timers_are_replaced_and_cleared(bench: Bench) -> None:
    first = [fx.SetTimer("a", 0.01), fx.SetTimer("a", 0.03), fx.SetTimer("b", 0.02), fx.ClearTimer("b"), fx.SetTimer("end", 0.05)]
    session = FakeSession(lambda _: [], first)
    await bench.start(session)
    await session.until(lambda seen: ev.TimerFired("end") in seen)
    assert session.seen == [ev.TimerFired("a"), ev.TimerFired("end")]


async def test_the_login_timer_ends_with_the_deadline_of_the_connection(bench: Bench) -> None:
    session = FakeSession(lambda _: [])
    driver = await bench.start(session)
    driver._login_deadline = now() + 0.02
    session.answer = lambda happened: [fx.SetTimer("login", 15.0)] if isinstance(happened, ev.ClientBytes) else []
    await _send(bench.client, b"x")
    await session.until(lambda seen: ev.TimerFired("login") in seen)
    assert now() < driver._login_deadline + 10


async def test_catalogue_that_is_there_comes_at_once_and_others_are_waited_for(bench: Bench) -> None:
    bench.world.catalogue = Catalogue("0", {})

    def answer(happened: ev.Input) -> list[fx.Effect]:
        match happened:
            case ev.ServerConnected():
                return [fx.LoadCatalogue(None)]
            case ev.ClientBytes():
                return [fx.LoadCatalogue("0"), fx.SchemaChanged()]
        return []

    session = connect_first(answer)
    await bench.start(session)
    await session.until(lambda seen: len(seen) == 2)
    await _send(bench.client, b"x")
    await session.until(lambda seen: len(seen) == 4)
    # What was read before the session asked is not handed to it in between.
    assert session.seen[1:] == [ev.CatalogueReady(bench.world.catalogue), b"x", ev.CatalogueReady(bench.world.loaded)]
    assert bench.world.changed == ["shop"]
    bench.world.listeners[0](Catalogue("2", {}))
    assert session.seen[-1] == ev.CatalogueReady(Catalogue("2", {}))


async def test_analysis_and_cancel_are_answered(bench: Bench) -> None:
    def answer(happened: ev.Input) -> list[fx.Effect]:
        match happened:
            case ev.ServerConnected():
                return [fx.Analyse(3, b"select"), fx.ForwardCancel(42, b"key!")]
        return []

    session = connect_first(answer)
    await bench.start(session)
    await session.until(lambda seen: len(seen) == 3)
    assert ev.AnalysisFinished(3, Unanalysable("timeout", "too slow")) in session.seen
    assert ev.CancelAnswered() in session.seen
    assert bench.world.cancelled == [(42, b"key!")]


async def test_a_cancel_outlives_the_session_that_asked_for_it(bench: Bench) -> None:
    """A session that is killed ends at once; the server is still to be told to stop its statement."""
    may_go = asyncio.Event()

    async def cancel(database: str, process_id: int, key: bytes, server: Side | None) -> None:
        await may_go.wait()
        bench.world.cancelled.append((process_id, key))

    bench.world.cancel = cancel  # type: ignore[method-assign]
    session = connect_first(
        lambda happened: [fx.ForwardCancel(42, b"key!"), fx.CloseClient(), fx.CloseServer()] if isinstance(happened, ev.AccessEnded) else []
    )
    driver = await bench.start(session)
    await session.until(bool)
    driver.deliver(ev.AccessEnded("Ended.", at_once=True))
    await bench.wait_end()
    assert bench.world.cancelled == []
    may_go.set()
    async with asyncio.timeout(5):
        while not bench.world.cancelled:
            await asyncio.sleep(0)
    assert bench.world.cancelled == [(42, b"key!")]


async def test_login_is_counted_when_the_session_says_so(bench: Bench) -> None:
    session = FakeSession(lambda _: [fx.ClearTimer("login")])
    driver = await bench.start(session)
    logins: list[SessionDriver] = []
    driver.on_login = logins.append
    driver.database = "shop"
    session.principal = ALICE
    await _send(bench.client, b"x")
    await session.until(bool)
    assert logins == [driver]
    assert b'querywarden_sessions{database="shop"} 1.0' in bench.metrics.exposition()
    driver.abort()
    await bench.wait_end()
    assert b'querywarden_sessions{database="shop"} 0.0' in bench.metrics.exposition()


async def test_a_crash_after_the_login_is_recorded(bench: Bench) -> None:
    def answer(happened: ev.Input) -> list[fx.Effect]:
        if happened == ev.ClientBytes(memoryview(b"boom")):
            raise RuntimeError("secret-42")
        return [fx.ClearTimer("login")]

    session = FakeSession(answer)
    session.principal = ALICE
    await bench.start(session, leftover=b"login")
    await _send(bench.client, b"boom")
    await bench.wait_end()
    assert [(kind, body["reason"], body["session"]) for kind, body in bench.journal.records] == [("conn.closed", "internal", "s-1")]
    assert "secret-42" not in str(bench.journal.records)


HELD = HeldStatement(
    ALICE, Database("shop", Environment.PRODUCTION), "s-1", "a-1", WaitMode.WAIT, "bulk", "It changes many rows.", ApprovalTerms(), "v1",
    "delete from t", "delete from t", "delete",
)  # fmt: skip


async def test_requests_for_approvals_go_to_the_desk_and_its_answers_to_the_session(bench: Bench) -> None:
    session = FakeSession(lambda happened: [fx.RequestApproval(5, HELD)] if isinstance(happened, ev.ClientBytes) else [])
    await bench.start(session, leftover=b"go")
    bench.world.asked[5](ev.ApprovalOpened(5, "ABC", 10.0, "here"))
    bench.world.asked[5](ev.ApprovalSettled(5, "ABC", ev.ApprovalOutcome.GRANTED))
    assert session.seen[1:] == [ev.ApprovalOpened(5, "ABC", 10.0, "here"), ev.ApprovalSettled(5, "ABC", ev.ApprovalOutcome.GRANTED)]
    assert bench.world.withdrawn == []


async def test_a_withdrawn_request_is_answered_no_more(bench: Bench) -> None:
    def answer(happened: ev.Input) -> list[fx.Effect]:
        if happened == ev.ClientBytes(memoryview(b"go")):
            return [fx.RequestApproval(5, HELD), fx.WithdrawApproval(5, "cancelled"), fx.WithdrawApproval(6, "cancelled")]
        return []

    session = FakeSession(answer)
    await bench.start(session, leftover=b"go")
    bench.world.asked[5](ev.ApprovalUnavailable(5, "no store"))
    assert session.seen == [b"go"]
    assert bench.world.withdrawn == [(5, "cancelled")]


async def test_what_still_waits_at_the_end_of_a_session_is_withdrawn(bench: Bench) -> None:
    session = FakeSession(lambda happened: [fx.RequestApproval(5, HELD)] if isinstance(happened, ev.ClientBytes) else [])
    driver = await bench.start(session, leftover=b"go")
    driver.abort()
    await bench.wait_end()
    assert bench.world.withdrawn == [(5, "client_gone")]


async def test_budgets_hear_what_was_spent(bench: Bench) -> None:
    session = FakeSession(lambda happened: [fx.Spend(1, 20, 300, 2)] if isinstance(happened, ev.ClientBytes) else [])
    session.principal = ALICE
    driver = await bench.start(session)
    driver.database = "shop"
    await _send(bench.client, b"x")
    await session.until(bool)
    assert bench.world.spent == [(ALICE, "shop", 1, 20, 300, 2)]


async def test_a_session_enters_with_the_access_it_was_given_and_leaves_at_its_end(bench: Bench) -> None:
    oncall = replace(ALICE, groups=frozenset({"oncall"}))
    bench.world.entry.principal = oncall
    session = FakeSession(
        lambda happened: [fx.ClearTimer("login")] if isinstance(happened, ev.CredentialVerified) else [],
        [fx.VerifyCredential(b"good", "shop")],
    )
    session.principal = oncall
    driver = await bench.start(session)
    await session.until(bool)
    assert session.seen == [ev.CredentialVerified(oncall)]
    assert bench.world.entry.credentials == ("s-1", ALICE, "shop", "127.0.0.1")
    bench.world.entry.deliver(ev.PrincipalChanged(ALICE))
    assert session.seen[1:] == [ev.PrincipalChanged(ALICE)]
    assert driver.principal == ALICE
    driver.abort()
    await bench.wait_end()
    assert bench.world.entry.calls == ["prepare", "logged_in", "leave"]


async def test_who_may_not_come_in_is_told_why_and_no_server_is_asked(bench: Bench) -> None:
    bench.world.entry.refusal = "Your access is blocked."

    def answer(happened: ev.Input) -> list[fx.Effect]:
        match happened:
            case ev.CredentialVerified():
                return [fx.ConnectServer("shop")]
            case ev.AccessEnded():
                return [fx.CloseClient(), fx.CloseServer()]
        return []

    session = FakeSession(answer, [fx.VerifyCredential(b"good", "shop")])
    await bench.start(session)
    await bench.wait_end()
    assert session.seen == [ev.CredentialVerified(ALICE), ev.AccessEnded("Your access is blocked.")]
    assert bench.world.server_end is None


class _Nothing(list[Any]):
    """Forgets what it is given, so that a test of memory doesn't keep everything itself."""

    def append(self, item: Any) -> None:
        """Forget it."""
