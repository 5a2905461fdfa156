"""The listener: accepts connections and brings each to its StartupMessage or CancelRequest.

The bytes before TLS are read from the raw socket, exactly as many as the negotiation asks for, and the transport is made
only then. So nothing that was sent in clear can survive into the TLS connection: whatever lies behind an SSLRequest is the
handshake's, and fails as such.

Spec: PostgreSQL 18, "Start-up", "SSL Session Encryption"; CVE-2021-23214 and CVE-2021-3935 are what is ruled out.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import structlog

from querywarden.postgresql.error_response import encode_error
from querywarden.postgresql.login_settings import Peer
from querywarden.postgresql.startup import (
    Answer,
    BeginSession,
    CancelRequest,
    Negotiation,
    Outcome,
    Reject,
    StartTls,
    StartupMessage,
    check_direct_alpn,
    is_direct_tls,
)
from querywarden.runtime.cancel import SessionRegistry
from querywarden.runtime.driver import SessionDriver
from querywarden.runtime.services import Measures
from querywarden.runtime.sources import Sources
from querywarden.runtime.timers import now
from querywarden.runtime.transport_sides import ClosureWatch, PauseReason, Side, prepare_socket

BACKLOG = 1024
_ACCEPT_PAUSE_SECONDS = 0.5


MakeDriver = Callable[[StartupMessage, Peer, str | None, Side, float], SessionDriver]
"""Makes the driver of a session: its StartupMessage, who connects, the listener's bound database, its side, the login deadline."""


@dataclass(slots=True)
class Door:
    """What all listeners share."""

    sources: Sources
    registry: SessionRegistry
    metrics: Measures
    watch: ClosureWatch
    make_driver: MakeDriver
    is_closed: bool = False


class Listener:
    """Listens on one address."""

    def __init__(self, sock: socket.socket, door: Door, tls: ssl.SSLContext | None, bound_database: str | None) -> None:
        self._sock = sock
        self._door = door
        self.tls = tls
        self._bound_database = bound_database
        self._tasks: dict[asyncio.Task[None], socket.socket] = {}
        self._accepting: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The address on which it listens."""
        name = self._sock.getsockname()
        return name[0], name[1]

    def start(self) -> None:
        """Accept connections from now on."""
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    async def stop(self) -> None:
        """Accept no more, and give up on those who have not come to a session yet."""
        tasks = [task for task in (self._accepting, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._sock.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(self._sock)
            except OSError as error:
                if error.errno in (errno.ECONNABORTED, errno.EINTR):
                    continue
                # Out of descriptors or memory: the connections that are there must not suffer, new ones wait in the backlog.
                structlog.get_logger().error("listener.accept_failed", detail=error.strerror)
                await asyncio.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            task = loop.create_task(self._receive(sock, address[0], address[1]))
            self._tasks[task] = sock
            task.add_done_callback(self._received)

    def _received(self, task: asyncio.Task[None]) -> None:
        sock = self._tasks.pop(task)
        if task.cancelled():
            # It may have been cancelled before its first step. Where a transport has the socket, the transport keeps it.
            sock.close()

    async def _receive(self, sock: socket.socket, ip: str, port: int) -> None:
        refused = self._door.sources.begin_login(ip)
        if refused is not None:
            self._door.metrics.observe("connections_refused", (refused,), 1)
            structlog.get_logger().warning("connection.refused", ip=ip, reason=refused)
            sock.close()
            return
        opening = _Opening(sock, ip, port, self._door, self.tls, self._bound_database)
        try:
            await opening.run()
        finally:
            if opening.driver is None:
                self._door.sources.end_login(ip)
                self._door.sources.end_connection()


class _Opening:
    """One connection from its acceptance to its session."""

    def __init__(self, sock: socket.socket, ip: str, port: int, door: Door, tls: ssl.SSLContext | None, bound_database: str | None) -> None:
        self._sock = sock
        self._ip = ip
        self._port = port
        self._door = door
        self._tls = tls
        self._bound_database = bound_database
        self._limits = door.sources.limits
        self._deadline = now() + self._limits.login_seconds_max
        self._log = structlog.get_logger().bind(ip=ip, port=port)
        self.driver: SessionDriver | None = None

    async def run(self) -> None:
        """Bring the connection to its session; a connection that says nothing is closed at the deadline, without a fuss."""
        try:
            prepare_socket(self._sock)
            async with asyncio.timeout(self._limits.login_seconds_max):
                await self._negotiate()
        except TimeoutError:
            self._log.debug("connection.silent")
        except ssl.SSLError as error:
            self._observe_failure("tls")
            self._log.info("connection.tls_failed", detail=error.reason or "handshake error")
        except OSError as error:
            self._log.debug("connection.lost", detail=error.strerror)
        except Exception as error:
            self._log.error("connection.crashed", exc_info=error)
        finally:
            # A transport that was made has the socket to itself; without one it is ours to close.
            if self._side is None:
                _close(self._sock)

    _side: Side | None = None

    async def _negotiate(self) -> None:
        loop = asyncio.get_running_loop()
        first = await self._peek()
        if not first:
            return
        # Plaintext is accepted exactly where a listener has no certificate, which the configuration allows on loopback only.
        negotiation = Negotiation(self._tls is not None, self._tls is None, self._limits)
        outcome: Outcome = Answer(b"")
        if is_direct_tls(first[0]):
            outcome = negotiation.begin_direct_tls()
        while isinstance(outcome, Answer):
            if outcome.data:
                await loop.sock_sendall(self._sock, outcome.data)
            data = await loop.sock_recv(self._sock, negotiation.needs)
            if not data:
                return
            outcome = negotiation.receive(data)
        match outcome:
            case StartTls(answer):
                if answer:
                    await loop.sock_sendall(self._sock, answer)
                await self._start_tls(negotiation, is_direct=not answer)
            case BeginSession(startup):
                waiting = _Waiting()
                self._side = side = Side(waiting, self._limits.high_water_bytes, self._door.watch)
                await loop.connect_accepted_socket(lambda: side, self._sock)
                self._begin_session(startup, side, bytes(waiting.buffer), None)
            case CancelRequest(process_id, key):
                self._cancel(process_id, key)
            case Reject(data, cause):
                self._rejected(cause)
                if data:
                    await self._say_and_close(data)
            case _:
                assert_never(outcome)

    async def _peek(self) -> bytes:
        """The first byte, left in the socket: it tells a TLS handshake from a message."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return self._sock.recv(1, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                await _readable(loop, self._sock)

    async def _say_and_close(self, data: bytes) -> None:
        """Send a last message; what the client still sends is read away, since closing over it would reset the connection."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._sock, data)
        self._sock.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(1.0):
            while await loop.sock_recv(self._sock, 4096):
                pass

    async def _start_tls(self, negotiation: Negotiation, *, is_direct: bool) -> None:
        startup = _TlsStartup(negotiation)
        side = Side(startup, self._limits.high_water_bytes, self._door.watch)
        self._side = side
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: side, self._sock, ssl=self._tls, ssl_handshake_timeout=self._limits.login_seconds_max
        )
        connection = side.transport.get_extra_info("ssl_object")
        rejected = check_direct_alpn(connection.selected_alpn_protocol()) if is_direct else None
        try:
            outcome = rejected or await startup.outcome
        except BaseException:
            side.abort()
            raise
        match outcome:
            case BeginSession(message):
                self._begin_session(message, side, bytes(startup.buffer), connection.version())
            case CancelRequest(process_id, key):
                self._cancel(process_id, key)
                side.close()
            case Reject(data, cause):
                self._rejected(cause)
                side.write(data)
                side.close()

    def _begin_session(self, startup: StartupMessage, side: Side, leftover: bytes, tls: str | None) -> None:
        sources, registry, ip = self._door.sources, self._door.registry, self._ip
        too_many = "the proxy is shutting down" if self._door.is_closed else sources.begin_session(ip)
        if too_many is not None:
            self._door.metrics.observe("connections_refused", ("sessions",), 1)
            self._log.warning("connection.refused", reason=too_many)
            side.write(encode_error("FATAL", "57P01" if self._door.is_closed else "53300", too_many))
            side.close()
            return
        driver = self._door.make_driver(startup, Peer(ip, self._port, tls), self._bound_database, side, self._deadline)
        self.driver = driver
        login = _Login(sources, registry, ip)
        driver.on_login, driver.on_end = login.succeeded, login.session_ended
        registry.add(driver)
        driver.begin(leftover)
        side.resume(PauseReason.STARTUP)

    def _cancel(self, process_id: int, key: bytes) -> None:
        found = self._door.registry.cancel(process_id, key, self._ip)
        self._door.metrics.observe("cancels", ("forwarded" if found else "unknown",), 1)

    def _rejected(self, cause: str) -> None:
        self._log.info("connection.rejected", cause=cause)
        self._observe_failure(cause)

    def _observe_failure(self, cause: str) -> None:
        self._door.metrics.observe("connections_refused", (cause,), 1)


class _Login:
    """Keeps the counts of a source right, whichever way a login and its session end."""

    def __init__(self, sources: Sources, registry: SessionRegistry, ip: str) -> None:
        self._sources = sources
        self._registry = registry
        self._ip = ip
        self._is_under_way = True

    def succeeded(self, driver: SessionDriver) -> None:
        """The login is over, well."""
        self._registry.logged_in(driver)
        self._end_login()

    def session_ended(self, driver: SessionDriver) -> None:
        """The session is over, logged in or not."""
        self._registry.remove(driver)
        self._end_login()
        self._sources.end_session(self._ip)
        self._sources.end_connection()

    def _end_login(self) -> None:
        if self._is_under_way:
            self._is_under_way = False
            self._sources.end_login(self._ip)


class _Waiting:
    """Owner of a client's side until its session begins: what arrives meanwhile is kept for the session."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def data_arrived(self, side: Side, data: memoryview) -> None:
        """Keep it; the session begins in the next turn of the loop."""
        self.buffer += data

    def side_ended(self, side: Side) -> None:
        """The session sees it when it begins."""

    def side_gone(self, side: Side) -> None:
        """The session sees it when it begins."""

    def side_congested(self, side: Side, is_congested: bool) -> None:
        """At most one error message is written so early: it congests nothing."""


class _TlsStartup(_Waiting):
    """Owner of a client's side inside TLS until its StartupMessage is there."""

    def __init__(self, negotiation: Negotiation) -> None:
        super().__init__()
        self._negotiation = negotiation
        self.outcome: asyncio.Future[BeginSession | CancelRequest | Reject] = asyncio.get_running_loop().create_future()

    def data_arrived(self, side: Side, data: memoryview) -> None:
        """Feed the negotiation exactly what it asks for; what lies behind is the session's."""
        self.buffer += data
        while self.buffer and not self.outcome.done():
            wanted = bytes(self.buffer[: self._negotiation.needs])
            del self.buffer[: len(wanted)]
            match self._negotiation.receive(wanted):
                case Answer(answer):
                    if answer:
                        side.write(answer)
                case StartTls():
                    side.abort()
                case outcome:
                    side.pause(PauseReason.STARTUP)
                    self.outcome.set_result(outcome)

    def side_ended(self, side: Side) -> None:
        """A client that has gone before it said who it is: no error."""
        if not self.outcome.done():
            self.outcome.set_exception(ConnectionResetError(errno.ECONNRESET, "closed during start-up"))


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Wait until a socket can be read from."""
    ready: asyncio.Future[None] = loop.create_future()

    def set_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sock.fileno(), set_ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())


def _close(sock: socket.socket) -> None:
    """Close a raw socket for certain: the loop may still count itself among its users after an error."""
    sock.close()
    if sock.fileno() >= 0:
        os.close(sock.detach())


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket. Raises: OSError when the address can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
    sock.setblocking(False)
    return sock
