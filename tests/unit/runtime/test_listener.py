"""The listener on real sockets: the bytes before TLS, direct TLS, limits, cancels, silence."""

from __future__ import annotations

import asyncio
import datetime
import gc
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from querywarden.config.models import ListenerTls
from querywarden.model.limits import Limits
from querywarden.model.principal import Principal
from querywarden.postgresql.login_settings import Peer
from querywarden.postgresql.startup import StartupMessage
from querywarden.runtime.cancel import SessionRegistry
from querywarden.runtime.driver import SessionDriver
from querywarden.runtime.listener import Door, Listener, open_socket
from querywarden.runtime.metrics import Metrics
from querywarden.runtime.services import Services
from querywarden.runtime.sources import Sources
from querywarden.runtime.tls import listener_context
from querywarden.runtime.transport_sides import ClosureWatch, Side
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)


def startup_message(**parameters: str) -> bytes:
    body = struct.pack("!I", 0x00030000) + b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


STARTUP = startup_message(user="alice", database="shop")


def cancel_request(process_id: int, key: bytes) -> bytes:
    return struct.pack("!III", 12 + len(key), 80877102, process_id) + key


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ListenerTls:
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1)).not_valid_after(today + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ListenerTls(certificate=folder / "cert.pem", key=folder / "key.pem")


class EchoSession:
    """Says `hello`, then echoes; logged in from the start, with a key of its own."""

    def __init__(self, startup: StartupMessage, cancel_key: tuple[int, bytes]) -> None:
        self.startup = startup
        self.cancel_key: tuple[int, bytes] | None = cancel_key
        self.principal: Principal | None = Principal("alice", "idp", "human")  # type: ignore[arg-type]
        self.cancels = 0

    def begin(self, now: float) -> list[fx.Effect]:
        return [fx.ClearTimer("login"), fx.SendToClient(b"hello")]

    def handle(self, input: ev.Input, now: float) -> list[fx.Effect]:  # noqa: A002
        if isinstance(input, ev.CancelRequested):
            self.cancels += 1
            return [fx.SendToClient(b"cancelled")]
        if isinstance(input, ev.ClientBytes) and input.data == b"hold":
            return [fx.SendToClient(b"held"), fx.PauseClient()]
        return [fx.SendToClient(bytes(input.data))] if isinstance(input, ev.ClientBytes) else []


class House:
    """A listener, what it shares, and the sessions that came of it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.metrics = Metrics()
        self.registry = SessionRegistry()
        self.watch = ClosureWatch(interval_seconds=0.02)
        self.sources = Sources(limits)
        self.door = Door(self.sources, self.registry, self.metrics, self.watch, self.make_driver)
        self.sessions: list[EchoSession] = []
        self.peers: list[Peer] = []

    def make_driver(self, startup: StartupMessage, peer: Peer, bound: str | None, side: Side, deadline: float) -> SessionDriver:
        nothing: Any = None
        services = Services(*[nothing] * 9, self.metrics, self.limits, self.watch)
        session = EchoSession(startup, (100 + len(self.sessions), b"k" * 4))
        self.sessions.append(session)
        self.peers.append(peer)
        return SessionDriver(session, f"s-{len(self.sessions)}", side, peer.ip, services, deadline)

    def counted(self, text: str) -> bool:
        return text.encode() in self.metrics.exposition()


@asynccontextmanager
async def house(tls: ListenerTls | None, **limits: Any) -> AsyncIterator[tuple[House, tuple[str, int]]]:
    made = House(Limits(**limits))
    listener = Listener(open_socket("127.0.0.1", 0), made.door, None if tls is None else listener_context(tls), None)
    listener.start()
    try:
        yield made, listener.address
    finally:
        await listener.stop()
        for driver in made.registry.all():
            driver.abort()
        async with asyncio.timeout(5):
            await made.registry.wait_until_empty()
        await asyncio.sleep(0)
        gc.collect()


async def connect(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


async def ask(address: tuple[str, int], data: bytes, size: int = 10_000) -> bytes:
    """Send bytes on a fresh connection and read to the end, or so many bytes."""
    loop = asyncio.get_running_loop()
    sock = await connect(address)
    received = b""
    try:
        async with asyncio.timeout(5):
            await loop.sock_sendall(sock, data)
            while len(received) < size:
                part = await loop.sock_recv(sock, size - len(received))
                if not part:
                    break
                received += part
    except ConnectionResetError:
        pass
    finally:
        sock.close()
    return received


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def client_context(alpn: list[str] | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


async def open_tls(sock: socket.socket, alpn: list[str] | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(sock=sock, ssl=client_context(alpn), server_hostname="localhost")


async def test_plaintext_session_where_it_is_allowed() -> None:
    async with house(None) as (made, address):
        assert await ask(address, SSL_REQUEST + b"", 1) == b"N"
        assert await ask(address, STARTUP + b"and more", 13) == b"helloand more"
        assert made.peers[0].tls is None
        assert dict(made.sessions[0].startup.parameters)[b"user"] == b"alice"


async def test_start_up_in_single_bytes() -> None:
    async with house(None) as (_, address):
        sock = await connect(address)
        loop = asyncio.get_running_loop()
        for byte in GSSENC_REQUEST:
            await loop.sock_sendall(sock, bytes([byte]))
        assert await loop.sock_recv(sock, 1) == b"N"
        for byte in STARTUP:
            await loop.sock_sendall(sock, bytes([byte]))
        assert await loop.sock_recv(sock, 5) == b"hello"
        sock.close()


async def test_plaintext_is_refused_before_any_secret_moves(certificate: ListenerTls) -> None:
    async with house(certificate) as (made, address):
        answer = await ask(address, STARTUP)
        assert answer[:1] == b"E"
        assert b"28000" in answer
        assert b"TLS" in answer
        assert made.sessions == []
        assert made.counted('querywarden_connections_refused_total{cause="plaintext_login"} 1.0')


async def test_tls_after_ssl_request(certificate: ListenerTls) -> None:
    async with house(certificate) as (made, address):
        sock = await connect(address)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, SSL_REQUEST)
        assert await loop.sock_recv(sock, 1) == b"S"
        reader, writer = await open_tls(sock)
        writer.write(STARTUP[:7])
        await writer.drain()
        writer.write(STARTUP[7:] + b"leftover")
        assert await reader.readexactly(13) == b"helloleftover"
        assert made.peers[0].tls == "TLSv1.3"
        writer.close()
        await writer.wait_closed()


async def test_direct_tls_with_alpn(certificate: ListenerTls) -> None:
    async with house(certificate) as (_, address):
        reader, writer = await open_tls(await connect(address), ["postgresql"])
        writer.write(STARTUP)
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()


async def test_direct_tls_without_alpn_is_refused(certificate: ListenerTls) -> None:
    async with house(certificate) as (made, address):
        reader, writer = await open_tls(await connect(address))
        writer.write(STARTUP)
        answer = await reader.read(1000)
        assert answer[:1] == b"E"
        assert b"ALPN" in answer
        assert made.sessions == []
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("split", [False, True])
async def test_bytes_injected_before_tls_never_reach_the_session(certificate: ListenerTls, split: bool) -> None:
    async with house(certificate) as (made, address):
        sock = await connect(address)
        loop = asyncio.get_running_loop()
        injected = startup_message(user="mallory", database="shop")
        await loop.sock_sendall(sock, SSL_REQUEST if split else SSL_REQUEST + injected)
        assert await loop.sock_recv(sock, 1) == b"S"
        if split:
            await loop.sock_sendall(sock, injected)

        async def go_on() -> None:
            reader, writer = await open_tls(sock)
            writer.write(STARTUP)
            if not await reader.read(1):
                raise ConnectionResetError

        with pytest.raises((ssl.SSLError, ConnectionError)):
            await go_on()
        assert made.sessions == []
        sock.close()


async def test_silence_and_probes_are_no_errors() -> None:
    async with house(None, login_seconds_max=0.1) as (made, address):
        assert await ask(address, b"\0\0") == b""
        sock = await connect(address)
        await until(lambda: made.sources.connections == 1)
        sock.close()
        await until(lambda: made.sources.connections == 0)
        assert b"connections_refused_total{" not in made.metrics.exposition()


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x04", b"\xff\xff\xff\xff", b"\0\0\0\x08\x04\xd2\x16\x99"])
async def test_nonsense_is_closed(first: bytes) -> None:
    async with house(None, login_seconds_max=1.0) as (made, address):
        answer = await ask(address, first)
        assert answer[:1] in (b"", b"E")
        assert made.sessions == []


async def test_too_many_sessions_are_told_so() -> None:
    async with house(None, sessions_per_source_max=1) as (made, address):
        first = await connect(address)
        await asyncio.get_running_loop().sock_sendall(first, STARTUP)
        assert await asyncio.get_running_loop().sock_recv(first, 5) == b"hello"
        answer = await ask(address, STARTUP)
        assert b"53300" in answer
        assert len(made.sessions) == 1
        first.close()
        async with asyncio.timeout(5):
            await made.registry.wait_until_empty()
        assert await ask(address, STARTUP, 5) == b"hello"


async def test_concurrent_logins_of_a_source_are_limited() -> None:
    async with house(None, logins_per_source_concurrent_max=2) as (made, address):
        waiting = [await connect(address), await connect(address)]
        await until(lambda: made.sources.connections == 2)
        assert await ask(address, STARTUP) == b""
        assert made.counted('querywarden_connections_refused_total{cause="logins_of_source"} 1.0')
        waiting[0].close()
        await until(lambda: made.sources.connections == 1)
        assert await ask(address, STARTUP, 5) == b"hello"
        waiting[1].close()


async def test_cancel_reaches_its_session_only() -> None:
    async with house(None) as (made, address):
        loop = asyncio.get_running_loop()
        socks = []
        for _ in range(2):
            sock = await connect(address)
            await loop.sock_sendall(sock, STARTUP)
            assert await loop.sock_recv(sock, 5) == b"hello"
            socks.append(sock)
        assert await ask(address, cancel_request(101, b"kkkk")) == b""
        assert await loop.sock_recv(socks[1], 100) == b"cancelled"
        assert await ask(address, cancel_request(100, b"wrong"[:4])) == b""
        assert [session.cancels for session in made.sessions] == [0, 1]
        for sock in socks:
            sock.close()


@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize("unread", [0, 1, 20_000])
async def test_a_paused_client_that_vanishes_is_noticed(certificate: ListenerTls, is_encrypted: bool, unread: int) -> None:
    async with house(certificate if is_encrypted else None) as (made, address):
        sock = await connect(address)
        if is_encrypted:
            reader, writer = await open_tls(sock, ["postgresql"])
        else:
            reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(STARTUP)
        assert await reader.readexactly(5) == b"hello"
        writer.write(b"hold")
        assert await reader.readexactly(4) == b"held"
        writer.write(b"x" * unread)
        writer.transport.abort()
        async with asyncio.timeout(5):
            await made.registry.wait_until_empty()
        assert made.sources.connections == 0


async def test_an_address_that_guesses_keys_is_shut_out() -> None:
    async with house(None) as (made, address):
        sock = await connect(address)
        await asyncio.get_running_loop().sock_sendall(sock, STARTUP)
        assert await asyncio.get_running_loop().sock_recv(sock, 5) == b"hello"
        for guess in range(10):
            assert not made.registry.cancel(100, struct.pack("!I", guess), "10.0.0.9")
        assert not made.registry.cancel(100, b"kkkk", "10.0.0.9")
        assert made.registry.cancel(100, b"kkkk", "10.0.0.10")
        sock.close()


async def test_a_stopped_listener_accepts_nobody() -> None:
    async with house(None) as (made, address):
        made.door.is_closed = True
        assert b"57P01" in await ask(address, STARTUP)
