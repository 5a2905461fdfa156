"""The dialer: connects to the servers of configured databases, with TLS as their mode asks, and sends CancelRequests.

The answer to SSLRequest is read from the raw socket, one byte and no more, so that nothing sent in clear can survive into
the TLS connection. A server that declines TLS where it is required is an error; plaintext is never the fallback.

Spec: PostgreSQL 18, "SSL Session Encryption" and "Canceling Requests in Progress".
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Mapping

import structlog

from querywarden.config.models import DatabaseSettings, ServerSettings, TlsMode
from querywarden.errors import DependencyFailure
from querywarden.model.limits import Limits
from querywarden.runtime.tls import server_context
from querywarden.runtime.transport_sides import Side, prepare_socket

SSL_REQUEST = struct.pack("!II", 8, 80877103)
CANCEL_REQUEST_CODE = 80877102


class Dialer:
    """Connects sides to servers. Limits: `server_connect_seconds_max`, `cancel_seconds_max`, `cancels_in_flight_max`."""

    def __init__(self, databases: Mapping[str, DatabaseSettings], limits: Limits) -> None:
        self._databases = databases
        self._limits = limits
        self._contexts = {name: server_context(settings.server.tls) for name, settings in databases.items()}
        self._cancels = asyncio.Semaphore(limits.cancels_in_flight_max)

    def reload(self) -> None:
        """Read the TLS files again. Raises: ConfigurationError, with all contexts as they were."""
        self._contexts = {name: server_context(settings.server.tls) for name, settings in self._databases.items()}

    async def connect(self, database: str, side: Side) -> bytes | None:
        """Connect a side to a database's server.

        Returns: the server's certificate (DER) under TLS, None without.
        Raises: DependencyFailure, with a public text.
        """
        server = self._databases[database].server
        try:
            async with asyncio.timeout(self._limits.server_connect_seconds_max):
                return await self._connect(server, self._contexts[database], side)
        except TimeoutError:
            raise DependencyFailure(f"the server of {database} did not accept the connection in time") from None
        except ssl.SSLCertVerificationError as error:
            raise DependencyFailure(f"the certificate of the server of {database} is not accepted: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise DependencyFailure(f"TLS with the server of {database} failed: {error.reason or 'handshake error'}") from None
        except OSError as error:
            raise DependencyFailure(f"the server of {database} can't be reached: {error.strerror or type(error).__name__}") from None

    async def cancel(self, database: str, process_id: int, key: bytes, server: Side | None) -> None:
        """Send a CancelRequest and wait until the server has closed the connection, which is its only answer.

        It goes to the very address that the session's connection has, since a name may stand for several servers.
        """
        settings = self._databases[database].server
        request = struct.pack("!III", 12 + len(key), CANCEL_REQUEST_CODE, process_id) + key
        try:
            async with self._cancels, asyncio.timeout(self._limits.cancel_seconds_max):
                answered = _Answered()
                side = Side(answered, self._limits.high_water_bytes)
                await self._connect(settings, self._contexts[database], side, None if server is None else server.peer)
                try:
                    side.write(request)
                    await answered.wait()
                finally:
                    side.abort()
        except (OSError, TimeoutError, DependencyFailure) as error:
            structlog.get_logger().warning("cancel.unanswered", database=database, detail=type(error).__name__)

    async def _connect(
        self, server: ServerSettings, context: ssl.SSLContext | None, side: Side, address: tuple[str, int] | None = None
    ) -> bytes | None:
        sock = await _open_socket(*(address or (server.host, server.port)))
        loop = asyncio.get_running_loop()
        try:
            if context is not None and not await _ask_for_tls(sock, server.tls.mode):
                context = None
            if context is None:
                await loop.create_connection(lambda: side, sock=sock)
                return None
            # check_hostname, and SNI, go by the configured name, whatever address it stood for.
            transport, _ = await loop.create_connection(
                lambda: side, sock=sock, ssl=context, server_hostname=server.host,
                ssl_handshake_timeout=self._limits.server_connect_seconds_max,
            )  # fmt: skip
        except BaseException:
            sock.close()
            raise
        certificate = transport.get_extra_info("ssl_object").getpeercert(True)
        return bytes(certificate) if certificate else None


async def _open_socket(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise DependencyFailure(f"the server's name can't be resolved: {error.strerror}") from None
    last_error: OSError = OSError("no address")
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            prepare_socket(sock)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            last_error = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last_error


async def _ask_for_tls(sock: socket.socket, mode: TlsMode) -> bool:
    """Ask the server for TLS. Returns: whether it starts now. Raises: DependencyFailure when it must and doesn't."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, SSL_REQUEST)
    answer = await loop.sock_recv(sock, 1)
    if answer == b"S":
        if _has_bytes_waiting(sock):
            raise DependencyFailure("the server sent bytes in clear after agreeing to TLS; somebody may be in between")
        return True
    if answer == b"N":
        if mode is TlsMode.PREFER:
            return False
        raise DependencyFailure(f"the server does not offer TLS, and tls.mode is {mode.value}")
    if not answer:
        raise DependencyFailure("the server closed the connection when it was asked for TLS")
    raise DependencyFailure("the server did not answer the request for TLS as PostgreSQL does")


def _has_bytes_waiting(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except (BlockingIOError, InterruptedError):
        return False


class _Answered:
    """Owner of a connection that carries a CancelRequest: all that counts is its end."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()

    async def wait(self) -> None:
        await self._ended.wait()

    def data_arrived(self, side: Side, data: memoryview) -> None:
        """The server says nothing here; an error text of it changes nothing."""

    def side_ended(self, side: Side) -> None:
        self._ended.set()

    def side_gone(self, side: Side) -> None:
        self._ended.set()

    def side_congested(self, side: Side, is_congested: bool) -> None:
        """Sixteen bytes congest nothing."""
