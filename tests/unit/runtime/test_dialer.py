"""The dialer against a scripted server: every mode, every answer to SSLRequest, and CancelRequests."""

from __future__ import annotations

import asyncio
import datetime
import gc
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from querywarden.config.models import DatabaseSettings
from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.model.limits import Limits
from querywarden.runtime.dialer import SSL_REQUEST, Dialer
from querywarden.runtime.transport_sides import Side

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `localhost` (self-signed, so that it is its own authority), and another authority."""
    made = tmp_path_factory.mktemp("tls")
    for file in ("server", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, file)])
        today = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(today - datetime.timedelta(days=1)).not_valid_after(today + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
        )  # fmt: skip
        (made / f"{file}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (made / f"{file}.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    return made


class Listening:
    """Owner of the proxy's side: keeps what arrives."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.arrived = asyncio.Event()

    def data_arrived(self, side: Side, data: memoryview) -> None:
        self.received += data
        self.arrived.set()

    def side_ended(self, side: Side) -> None:
        self.arrived.set()

    def side_gone(self, side: Side) -> None:
        self.arrived.set()

    def side_congested(self, side: Side, is_congested: bool) -> None: ...


@asynccontextmanager
async def server(script: Script) -> AsyncIterator[int]:
    failures: list[BaseException] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except Exception as error:
            failures.append(error)
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await asyncio.sleep(0)
        gc.collect()
    assert failures == []


def dialer(port: int, tls: dict[str, Any], host: str = "localhost", **limits: Any) -> Dialer:
    settings = DatabaseSettings.model_validate({"server": {"host": host, "port": port, "database": "d", "role": "r", "tls": tls}})
    return Dialer({"shop": settings}, Limits(**limits))


def answering(answer: bytes, then: bytes = b"") -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == SSL_REQUEST
        writer.write(answer)
        await writer.drain()
        if then:
            assert await reader.readexactly(len(then)) == then
            writer.write(b"welcome")
            await writer.drain()

    return script


def with_tls(folder: Path) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == SSL_REQUEST
        writer.write(b"S")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        await writer.start_tls(context)
        assert await reader.readexactly(5) == b"hello"
        writer.write(b"welcome")
        await writer.drain()

    return script


async def talk(made: Dialer) -> tuple[bytes | None, bytes]:
    owner = Listening()
    side = Side(owner, 65536)
    async with asyncio.timeout(5):
        certificate = await made.connect("shop", side)
        side.write(b"hello")
        while not owner.received and not side.is_gone:
            owner.arrived.clear()
            await owner.arrived.wait()
    side.abort()
    return certificate, bytes(owner.received)


async def test_disable_sends_no_ssl_request() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(5) == b"hello"
        writer.write(b"welcome")

    async with server(script) as port:
        assert await talk(dialer(port, {"mode": "disable"})) == (None, b"welcome")


async def test_prefer_takes_no_for_an_answer() -> None:
    async with server(answering(b"N", b"hello")) as port:
        assert await talk(dialer(port, {"mode": "prefer"})) == (None, b"welcome")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_no_is_an_error_where_tls_is_required(mode: str) -> None:
    async with server(answering(b"N")) as port:
        with pytest.raises(DependencyFailure, match="does not offer TLS"):
            await talk(dialer(port, {"mode": mode}))


@pytest.mark.parametrize(
    ("tls", "host"),
    [
        ({"mode": "prefer"}, "localhost"),
        ({"mode": "require"}, "localhost"),
        ({"mode": "require", "ca": "server.pem"}, "localhost"),
        ({"mode": "verify-ca", "ca": "server.pem"}, "127.0.0.1"),
        ({"mode": "verify-full", "ca": "server.pem"}, "localhost"),
        ({"mode": "require", "certificate": "other.pem", "key": "other.key"}, "localhost"),
    ],
)
async def test_tls_by_mode(folder: Path, tls: dict[str, Any], host: str) -> None:
    tls = {name: folder / value if name != "mode" else value for name, value in tls.items()}
    async with server(with_tls(folder)) as port:
        certificate, received = await talk(dialer(port, tls, host))
    assert received == b"welcome"
    assert certificate == ssl.PEM_cert_to_DER_cert((folder / "server.pem").read_text())


@pytest.mark.parametrize(
    ("tls", "host"),
    [
        ({"mode": "require", "ca": "other.pem"}, "localhost"),
        ({"mode": "verify-ca", "ca": "other.pem"}, "localhost"),
        ({"mode": "verify-full"}, "localhost"),
        ({"mode": "verify-full", "ca": "server.pem"}, "127.0.0.1"),
    ],
)
async def test_certificates_that_are_not_accepted(folder: Path, tls: dict[str, Any], host: str) -> None:
    tls = {name: folder / value if name != "mode" else value for name, value in tls.items()}
    async with server(with_tls(folder)) as port:
        with pytest.raises(DependencyFailure, match="certificate of the server of shop is not accepted"):
            await talk(dialer(port, tls, host))


@pytest.mark.parametrize("answer", [b"SS", b"S" + b"R\0\0\0\x08\0\0\0\0", b"", b"E", b"X"])
async def test_answers_that_are_no_answers(answer: bytes) -> None:
    async with server(answering(answer)) as port:
        with pytest.raises(DependencyFailure):
            await talk(dialer(port, {"mode": "prefer"}))


async def test_a_silent_server_is_given_up() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(silence) as port:
        with pytest.raises(DependencyFailure, match="in time"):
            await talk(dialer(port, {"mode": "prefer"}, server_connect_seconds_max=0.05))


async def test_nobody_listens() -> None:
    async with server(answering(b"N")) as port:
        pass
    with pytest.raises(DependencyFailure, match="can't be reached"):
        await talk(dialer(port, {"mode": "prefer"}, host="127.0.0.1"))


def test_tls_files_are_read_at_the_start(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be used"):
        dialer(1, {"mode": "verify-ca", "ca": folder / "nowhere.pem"})


@pytest.mark.parametrize("key", [b"four", b"k" * 32])
async def test_cancel_waits_for_the_end_of_the_connection(key: bytes) -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == SSL_REQUEST
        writer.write(b"N")
        seen.append(await reader.readexactly(12 + len(key)))

    async with server(script) as port:
        await dialer(port, {"mode": "prefer"}).cancel("shop", 4711, key, None)
    assert seen == [struct.pack("!III", 12 + len(key), 80877102, 4711) + key]


async def test_a_cancel_that_is_not_answered_ends_with_its_deadline() -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readexactly(16))
        await reader.read()

    async with server(script) as port, asyncio.timeout(5):
        await dialer(port, {"mode": "disable"}, cancel_seconds_max=0.05).cancel("shop", 1, b"four", None)
    assert seen == [struct.pack("!III", 16, 80877102, 1) + b"four"]
