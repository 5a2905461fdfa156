"""The HTTP API of a proxy as a part of it: started and stopped with the others, in the same loop."""

from __future__ import annotations

import asyncio
import ssl

import structlog

from querywarden.api.application import ApiServices, make_application
from querywarden.api.http_server import HttpServer
from querywarden.api.shield import Shield
from querywarden.api.sockets import UnixSocket, open_tcp
from querywarden.config.approval_settings import ApiListenSettings, ApiSettings
from querywarden.errors import ConfigurationError
from querywarden.runtime.tls import load_listener_certificate

ALPN = "http/1.1"

log = structlog.get_logger(__name__)


class ApiServer:
    """Serves the API on its Unix socket and, where the configuration says so, on TCP."""

    def __init__(self, services: ApiServices, settings: ApiSettings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._app = Shield(make_application(services, self._stopping))
        self._unix: UnixSocket | None = None
        self._servers: list[HttpServer] = []
        self._tls: ssl.SSLContext | None = None
        self.address: tuple[str, int] | None = None
        """The TCP address, once it is listened on."""

    async def start(self) -> None:
        """Listen. Raises: ConfigurationError when a socket, certificate or key can't be used; nothing is left open then."""
        settings = self._settings
        try:
            # TCP first: its mistakes are found before the socket's file exists.
            if settings.listen is not None:
                await self._listen_on_tcp(settings.listen)
            self._unix = UnixSocket(settings.socket, settings.socket_permissions)
            await self._serve(HttpServer(self._app, self._unix.sock, None))
        except BaseException:
            await self.stop()
            raise
        log.info("api.listening", socket=str(settings.socket), address=self.address)

    async def stop(self) -> None:
        """Accept nothing more, end event streams, let requests under way finish within a second or two."""
        self._stopping.set()
        await asyncio.gather(*(server.close() for server in self._servers))
        self._servers.clear()
        if self._unix is not None:
            self._unix.sock.close()
            self._unix.remove()
            self._unix = None

    def reload(self) -> None:
        """Read certificate and key again. Raises: ConfigurationError; what is in use stays then."""
        listen = self._settings.listen
        if self._tls is not None and listen is not None and listen.tls is not None:
            load_listener_certificate(self._tls, listen.tls)

    async def _listen_on_tcp(self, listen: ApiListenSettings) -> None:
        self._tls = _context(listen)
        sock = open_tcp(listen.host, listen.port)
        host, port = sock.getsockname()[:2]
        self.address = host, port
        await self._serve(HttpServer(self._app, sock, self._tls))

    async def _serve(self, server: HttpServer) -> None:
        self._servers.append(server)
        await server.open()


def _context(listen: ApiListenSettings) -> ssl.SSLContext | None:
    if listen.tls is None:
        if not listen.allow_plaintext_loopback:
            raise ConfigurationError("api.listen needs tls", hint="or allow_plaintext_loopback on a loopback address")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([ALPN])
    load_listener_certificate(context, listen.tls)
    return context
