"""The server on real sockets: its file's mode and life, TLS, its end, and nothing left behind or warned of."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from querywarden.api.server import ApiServer
from querywarden.config.approval_settings import ApiSettings
from querywarden.demo.certificates import write_certificates
from querywarden.errors import ConfigurationError

BOB = {"Authorization": "Bearer token-bob"}


def settings(path: Path, **more: Any) -> ApiSettings:
    return ApiSettings.model_validate({"socket": path, **more})


@pytest.fixture
async def server(world: Any, tmp_path: Path) -> AsyncIterator[ApiServer]:
    found = ApiServer(world.services, settings(tmp_path / "api.sock"))
    await found.start()
    yield found
    await found.stop()


def over(path: Path) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://querywarden")


async def left(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_it_serves_on_its_socket(server: ApiServer, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    found = path.stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert 0o600 == stat.S_IMODE(found.st_mode)
    async with over(path) as client:
        response = await client.get("/v1/approvals", headers=BOB)
        assert (200, []) == (response.status_code, response.json())
        assert "server" not in response.headers
        assert 401 == (await client.get("/v1/approvals")).status_code


async def test_the_file_goes_with_the_server(world: Any, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "api.sock"
    server = ApiServer(world.services, settings(path, socket_mode="0660"))
    await server.start()
    assert 0o660 == stat.S_IMODE(path.stat().st_mode)
    await server.stop()
    assert not path.exists()
    await server.stop()


async def test_signals_stay_the_proxys(world: Any, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    server = ApiServer(world.services, settings(tmp_path / "api.sock"))
    await server.start()
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    await server.stop()


async def test_a_stale_socket_is_replaced(world: Any, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = ApiServer(world.services, settings(path))
    await server.start()
    async with over(path) as client:
        assert 200 == (await client.get("/openapi.json")).status_code
    await server.stop()


async def test_a_socket_in_use_is_left_alone(server: ApiServer, world: Any, tmp_path: Path) -> None:
    second = ApiServer(world.services, settings(tmp_path / "api.sock"))
    with pytest.raises(ConfigurationError, match="another program answers"):
        await second.start()
    async with over(tmp_path / "api.sock") as client:
        assert 200 == (await client.get("/openapi.json")).status_code


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
async def test_what_is_no_socket_is_left_alone(world: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "api.sock"
    target = tmp_path / "precious"
    target.write_text("data")
    if kind == "file":
        path.write_text("data")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(target)
    before = os.lstat(path).st_ino
    with pytest.raises(ConfigurationError, match="is no socket"):
        await ApiServer(world.services, settings(path)).start()
    assert before == os.lstat(path).st_ino
    assert "data" == target.read_text()


async def test_a_path_that_is_too_long_is_told(world: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="107 bytes"):
        await ApiServer(world.services, settings(tmp_path / ("x" * 120))).start()


async def test_a_file_that_another_server_has_put_there_stays(world: Any, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    server = ApiServer(world.services, settings(path))
    await server.start()
    path.unlink()
    path.write_text("another's")
    await server.stop()
    assert "another's" == path.read_text()


async def test_tcp_with_tls(world: Any, tmp_path: Path) -> None:
    certificates = write_certificates(tmp_path / "tls")
    listen = {"host": "127.0.0.1", "port": 0, "tls": {"certificate": certificates.certificate, "key": certificates.key}}
    server = ApiServer(world.services, settings(tmp_path / "api.sock", listen=listen))
    await server.start()
    assert server.address is not None
    context = ssl.create_default_context(cafile=certificates.authority)
    async with httpx.AsyncClient(base_url=f"https://localhost:{server.address[1]}", verify=context) as client:
        response = await client.get("/v1/approvals", headers=BOB)
        assert (200, "max-age=31536000") == (response.status_code, response.headers["strict-transport-security"])
    assert server._tls is not None
    assert ssl.TLSVersion.TLSv1_2 == server._tls.minimum_version
    server.reload()
    await server.stop()


async def test_plaintext_on_tcp_has_to_be_asked_for(world: Any, tmp_path: Path) -> None:
    listen = {"host": "127.0.0.1", "port": 0}
    with pytest.raises(ConfigurationError, match="needs tls"):
        await ApiServer(world.services, settings(tmp_path / "api.sock", listen=listen)).start()
    assert not (tmp_path / "api.sock").exists()


async def test_what_was_opened_is_closed_when_the_rest_fails(world: Any, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.mkdir()
    listen = {"host": "127.0.0.1", "port": 0, "allow_plaintext_loopback": True}
    server = ApiServer(world.services, settings(path, listen=listen))
    with pytest.raises(ConfigurationError):
        await server.start()
    assert server.address is not None
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*server.address)


async def test_a_stream_ends_when_the_server_stops(world: Any, tmp_path: Path) -> None:
    server = ApiServer(world.services, settings(tmp_path / "api.sock"))
    await server.start()
    async with over(tmp_path / "api.sock") as client, client.stream("GET", "/v1/approvals/events", headers=BOB) as response:
        lines = response.aiter_lines()
        assert (await anext(lines)).startswith(":")
        async with asyncio.timeout(5):
            await server.stop()
            assert [""] == [line async for line in lines]


async def test_the_end_does_not_wait_for_who_says_nothing(world: Any, tmp_path: Path) -> None:
    server = ApiServer(world.services, settings(tmp_path / "api.sock"))
    await server.start()
    reader, writer = await asyncio.open_unix_connection(tmp_path / "api.sock")
    writer.write(b"GET /v1/app")
    async with asyncio.timeout(5):
        await server.stop()
        assert b"" == await reader.read()
    await left(writer)


@pytest.mark.parametrize("noise", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"])
async def test_noise_is_answered_with_400_and_the_end(server: ApiServer, tmp_path: Path, noise: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(tmp_path / "api.sock")
    writer.write(noise)
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
    await left(writer)


async def test_a_silent_connection_is_closed(server: ApiServer, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("querywarden.api.http_server.HEAD_SECONDS_MAX", 0.01)
    reader, writer = await asyncio.open_unix_connection(tmp_path / "api.sock")
    async with asyncio.timeout(5):
        assert b"" == await reader.read()
    await left(writer)
