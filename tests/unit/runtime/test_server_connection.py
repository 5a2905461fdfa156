"""The proxy's own server connection against a scripted server."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from querywarden.errors import DependencyFailure
from querywarden.model.secret import Secret
from querywarden.postgresql.login_settings import ServerAccount
from querywarden.postgresql.scram import ScramCache
from querywarden.runtime.server_connection import Description, ServerConnection
from querywarden.runtime.transport_sides import Side

OK = b"R\0\0\0\x08\0\0\0\0"
READY = b"Z\0\0\0\x05I"


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def row(*cells: bytes | None) -> bytes:
    parts = [b"\xff\xff\xff\xff" if cell is None else struct.pack("!i", len(cell)) + cell for cell in cells]
    return message(b"D", struct.pack("!H", len(cells)) + b"".join(parts))


def error(sqlstate: str, text: str) -> bytes:
    return message(b"E", b"SERROR\0C" + sqlstate.encode() + b"\0M" + text.encode() + b"\0\0")


class ScriptedDialer:
    """Connects to a socket of the test."""

    def __init__(self) -> None:
        self.server, self.ours = socket.socketpair()

    async def connect(self, database: str, side: Side) -> bytes | None:
        for sock in (self.server, self.ours):
            sock.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: side, sock=self.ours)
        return None

    async def cancel(self, database: str, process_id: int, key: bytes, server: Side | None) -> None: ...

    async def say(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.server, data)

    async def hear(self) -> bytes:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self.server, 65536)


@pytest.fixture
async def dialer() -> AsyncIterator[ScriptedDialer]:
    made = ScriptedDialer()
    yield made
    made.server.close()


@pytest.fixture
async def connection(dialer: ScriptedDialer) -> AsyncIterator[ServerConnection]:
    account = ServerAccount("shop", "shopdb", "shop_app", Secret(b"pw"))
    made = ServerConnection(dialer, account, lambda size: b"r" * size, ScramCache(), "catalogue", 65536)
    yield made
    made.close()


async def logged_in(dialer: ScriptedDialer, connection: ServerConnection) -> bytes:
    opening = asyncio.create_task(connection.open())
    startup = await dialer.hear()
    await dialer.say(OK + message(b"S", b"server_version\x0018.1\0") + READY)
    async with asyncio.timeout(5):
        await opening
    return startup


async def test_login_pins_what_the_proxy_rests_on(dialer: ScriptedDialer, connection: ServerConnection) -> None:
    startup = await logged_in(dialer, connection)
    for name, value in ((b"search_path", b"pg_catalog"), (b"default_transaction_read_only", b"on"), (b"user", b"shop_app")):
        assert name + b"\0" + value + b"\0" in startup
    assert connection.parameters == {"server_version": "18.1"}
    assert connection.is_open


async def test_rows_come_as_bytes_however_they_are_cut(dialer: ScriptedDialer, connection: ServerConnection) -> None:
    await logged_in(dialer, connection)
    asking = asyncio.create_task(connection.query("SELECT 1"))
    assert await dialer.hear() == message(b"Q", b"SELECT 1\0")
    rows = row(b"a", None) + message(b"N", b"\0") + row(b"", b"\xff" * 70_000)
    answer = message(b"T", b"\0\0") + rows + message(b"C", b"SELECT 2\0") + READY
    for start in range(0, len(answer), 4999):
        await dialer.say(answer[start : start + 4999])
        await asyncio.sleep(0)
    assert await asking == [(b"a", None), (b"", b"\xff" * 70_000)]


async def test_an_error_tells_its_sqlstate_and_not_its_text(dialer: ScriptedDialer, connection: ServerConnection) -> None:
    await logged_in(dialer, connection)
    asking = asyncio.create_task(connection.query("SELECT 1"))
    await dialer.hear()
    await dialer.say(error("42501", "no right to row 4111") + READY)
    with pytest.raises(DependencyFailure) as caught:
        await asking
    assert "42501" in str(caught.value)
    assert "4111" not in str(caught.value)
    again = asyncio.create_task(connection.query("SELECT 2"))
    await dialer.hear()
    await dialer.say(READY)
    assert await again == []


@pytest.mark.parametrize(
    "answer",
    [
        error("28P01", "password failed"),
        message(b"R", struct.pack("!I", 3)),
        message(b"R", struct.pack("!I", 7)),
        b"HTTP/1.1 400",
        OK + message(b"Z", b"T"),
    ],
)
async def test_logins_that_fail(dialer: ScriptedDialer, connection: ServerConnection, answer: bytes) -> None:
    opening = asyncio.create_task(connection.open())
    await dialer.hear()
    await dialer.say(answer)
    with pytest.raises(DependencyFailure):
        await opening
    assert not connection.is_open


@pytest.mark.parametrize("data", [b"", row(b"x")[:-1], message(b"D", b"\0\x01\0\0\0\x09x"), b"D\0\0\0\x01"])
async def test_servers_that_go_or_talk_nonsense(dialer: ScriptedDialer, connection: ServerConnection, data: bytes) -> None:
    await logged_in(dialer, connection)
    asking: asyncio.Task[Any] = asyncio.create_task(connection.query("SELECT 1"))
    await dialer.hear()
    await dialer.say(data)
    dialer.server.close()
    with pytest.raises(DependencyFailure):
        await asking
    assert not connection.is_open


async def test_a_description_is_of_a_statement_that_is_not_run(dialer: ScriptedDialer, connection: ServerConnection) -> None:
    await logged_in(dialer, connection)
    asking = asyncio.create_task(connection.describe(b"SELECT $1", (25,)))
    parse = message(b"P", b"\0SELECT $1\0" + struct.pack("!hI", 1, 25))
    assert await dialer.hear() == parse + message(b"D", b"S\0") + message(b"S", b"")
    columns = b"\0\0"
    answer = message(b"N", b"VLOG\0Ma tree\0\0") + message(b"1", b"") + message(b"t", b"\0\0") + message(b"T", columns) + READY
    await dialer.say(answer)
    assert await asking == Description(columns, (b"VLOG\0Ma tree\0\0",), None)
    asking = asyncio.create_task(connection.describe(b"SELECT x"))
    await dialer.hear()
    await dialer.say(error("42703", 'column "x" does not exist') + READY)
    described = await asking
    assert (described.row_description, described.error and described.error.sqlstate) == (None, b"42703")
    assert connection.is_open


async def test_names_may_mean_what_they_mean_to_a_client(dialer: ScriptedDialer) -> None:
    account = ServerAccount("shop", "shopdb", "shop_app", Secret(b"pw"))
    made = ServerConnection(dialer, account, lambda size: b"r" * size, ScramCache(), "lineage", 65536, has_clients_names=True)
    startup = await logged_in(dialer, made)
    assert b"search_path" not in startup
    assert b"default_transaction_read_only\0on\0" in startup
    made.close()
