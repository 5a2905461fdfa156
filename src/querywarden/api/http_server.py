"""The HTTP server: uvicorn in the proxy's own loop, without its signal handlers, its access log and its socket files."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from socket import AF_UNIX, socket

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_BYTES_MAX = 80 * 1024
"""Request line and headers: a token may have 64 KiB."""
HEAD_SECONDS_MAX = 10.0
"""From a connection to its first whole request: whoever only opens connections doesn't keep their places."""
CONNECTIONS_MAX = 64
KEEP_ALIVE_SECONDS = 5
STOP_SECONDS_MAX = 2


class HttpServer(uvicorn.Server):
    """Serves an application on one socket that is open already, with TLS where a context is given."""

    def __init__(self, app: ASGIApp, sock: socket, tls: ssl.SSLContext | None) -> None:
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS_MAX,
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        )
        super().__init__(config)
        self._sock = sock
        self._tls = tls

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the proxy's business."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen on the socket."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            return _Protocol(self.config, self.server_state, self.lifespan.state)

        if self._sock.family == AF_UNIX:
            server = await loop.create_unix_server(protocol, sock=self._sock, backlog=CONNECTIONS_MAX)
        else:
            server = await loop.create_server(protocol, sock=self._sock, ssl=self._tls, backlog=CONNECTIONS_MAX)
        self.servers = [server]
        self.started = True

    async def open(self) -> None:
        """Start, and return once connections are accepted."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup()
        # What else the server would do again and again is to date answers and to look for signals.
        await self.on_tick(0)

    async def close(self) -> None:
        """Stop: requests under way have `STOP_SECONDS_MAX`, then they are cut off."""
        if self.started:
            self.started = False
            await self.shutdown()
            for connection in list(self.server_state.connections):
                connection.transport.abort()


class _Protocol(H11Protocol):
    """HTTP/1.1, with a deadline for the first request of a connection and for each that has begun."""

    _head_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_deadline = self.loop.call_later(HEAD_SECONDS_MAX, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        cycle = self.cycle
        super().data_received(data)
        if self.cycle is not cycle:
            self._forget_deadline()
        elif self._head_deadline is None and self._is_idle():
            self._head_deadline = self.loop.call_later(HEAD_SECONDS_MAX, self._head_is_late)

    def _is_idle(self) -> bool:
        """Whether no request is under way: what comes now begins one."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _head_is_late(self) -> None:
        self._head_deadline = None
        self.transport.abort()

    def _forget_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
