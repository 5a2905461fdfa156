"""The health port: /healthz, /readyz and /metrics over plain HTTP, on loopback by default. It reads and changes nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping

from querywarden.errors import ConfigurationError
from querywarden.runtime.metrics import CONTENT_TYPE, Metrics

REQUEST_BYTES_MAX = 16 * 1024
REQUEST_SECONDS_MAX = 5.0
CONNECTIONS_MAX = 64

_JSON = "application/json"
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}

Checks = Mapping[str, Callable[[], bool]]
"""What must hold for the proxy to be ready, by name."""


class HealthServer:
    """Serves health and metrics. Limits: one request per connection, `CONNECTIONS_MAX` at once."""

    def __init__(self, metrics: Metrics, checks: Checks) -> None:
        self._metrics = metrics
        self._checks = checks
        self._server: asyncio.Server | None = None
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen. Returns: the address. Raises: ConfigurationError when it can't be had."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=REQUEST_BYTES_MAX)
        except OSError as error:
            raise ConfigurationError(
                f"the health port {host}:{port} can't be opened: {error.strerror}", hint="set admin.port, or admin.enabled: false"
            ) from None
        name = self._server.sockets[0].getsockname()
        return name[0], name[1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            async with self._places, asyncio.timeout(REQUEST_SECONDS_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ", 2)
                writer.write(self._response(method, path.split("?", 1)[0]))
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _response(self, method: str, path: str) -> bytes:
        if method not in ("GET", "HEAD"):
            return _http(405, _JSON, b"{}", is_head=False)
        status, kind, body = 404, _JSON, b"{}"
        if path == "/healthz":
            status, body = 200, b'{"status":"alive"}'
        elif path == "/readyz":
            status, body = self._readiness()
        elif path == "/metrics":
            status, kind, body = 200, CONTENT_TYPE, self._metrics.exposition()
        return _http(status, kind, body, is_head=method == "HEAD")

    def _readiness(self) -> tuple[int, bytes]:
        results = {name: check() for name, check in self._checks.items()}
        is_ready = all(results.values())
        return 200 if is_ready else 503, json.dumps({"status": "ready" if is_ready else "not ready", "checks": results}).encode()


def _http(status: int, kind: str, body: bytes, *, is_head: bool) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if is_head else body)
