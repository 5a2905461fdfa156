"""A server connection of the proxy's own: logs in with the same pure pieces as sessions do, and asks simple queries.

Used where the proxy itself wants to know something of a server: its catalogue, its version, its rights, what it understands of a text. Rows
stay bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from querywarden.errors import DependencyFailure, PeerViolation
from querywarden.postgresql.error_response import ErrorFields, decode_fields
from querywarden.postgresql.framing import HEADER_BYTES, read_header
from querywarden.postgresql.login_settings import ServerAccount
from querywarden.postgresql.messages.body import BodyReader
from querywarden.postgresql.messages.frontend import (
    SYNC,
    TERMINATE,
    Describe,
    Parse,
    Query,
    encode_describe,
    encode_parse,
    encode_query,
)
from querywarden.postgresql.scram import ScramCache
from querywarden.postgresql.server_login import ServerLogin
from querywarden.runtime.services import ServerDialer
from querywarden.runtime.transport_sides import Side

RESULT_BYTES_MAX = 256 * 1024 * 1024
"""The rows of one query: a catalogue of a million columns takes about half of it."""

Row = tuple[bytes | None, ...]

_SETTINGS = (
    (b"client_encoding", b"UTF8"),
    (b"standard_conforming_strings", b"on"),
    (b"default_transaction_read_only", b"on"),
    (b"statement_timeout", b"60000"),
    (b"lock_timeout", b"5000"),
    (b"bytea_output", b"hex"),
    (b"DateStyle", b"ISO"),
)
_OWN_NAMES = (b"search_path", b"pg_catalog")
"""Nobody's functions or tables may stand in for the server's own in what the proxy believes of a database."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a server says of a statement that it analyses and doesn't run. Secrets: notices and errors may quote the statement.

    The body of its RowDescription, None where it returns no rows; the bodies of its notices; the error where it has one.
    """

    row_description: bytes | None = None
    notices: tuple[bytes, ...] = ()
    error: ErrorFields | None = None


class ServerConnection:
    """One connection; `open` comes first, queries go one at a time. Secrets: rows are not for logs."""

    def __init__(
        self,
        dialer: ServerDialer,
        account: ServerAccount,
        draw: Callable[[int], bytes],
        cache: ScramCache,
        purpose: str,
        high_water: int,
        *,
        has_clients_names: bool = False,
    ) -> None:
        """Args: `has_clients_names`: names mean what they mean to a client of the role, so that queries of ours have to be qualified."""
        self._dialer = dialer
        self._account = account
        self._draw = draw
        self._cache = cache
        self._purpose = purpose
        self._settings = _SETTINGS if has_clients_names else (*_SETTINGS, _OWN_NAMES)
        self._side = Side(self, high_water)
        self._received = bytearray()
        self._arrival = asyncio.Event()
        self._has_ended = False
        self.certificate: bytes | None = None
        self.parameters: dict[str, str] = {}

    @property
    def is_open(self) -> bool:
        """Whether the server is still there."""
        return self._side.is_open and not self._has_ended

    async def open(self) -> None:
        """Connect and log in. Raises: DependencyFailure."""
        self.certificate = await self._dialer.connect(self._account.name, self._side)
        own = (
            (b"user", self._account.role.encode()),
            (b"database", self._account.database.encode()),
            (b"application_name", f"querywarden {self._purpose}".encode()),
        )
        login = ServerLogin((*own, *self._settings), self._account.password, self.certificate, self._draw, self._cache)
        try:
            self._side.write(login.opening())
            while not login.is_ready:
                self._side.write(login.receive(await self._arrived()).reply)
                if login.error is not None:
                    raise DependencyFailure(f"the server refused the proxy's login (SQLSTATE {login.error.sqlstate.decode()})")
        except PeerViolation as violation:
            self.close()
            raise DependencyFailure(f"the server broke the protocol: {violation}") from None
        except BaseException:
            self.close()
            raise
        self.parameters = login.parameters
        self._received = bytearray(login.take_leftover())

    async def query(self, text: str) -> list[Row]:
        """Ask one statement. Returns: its rows. Raises: DependencyFailure, with the server's SQLSTATE and none of its text."""
        rows: list[Row] = []
        errors: list[ErrorFields] = []
        size = 0

        def take(kind: bytes, body: bytes) -> None:
            nonlocal size
            if kind == b"D":
                size += len(body)
                if size > RESULT_BYTES_MAX:
                    raise DependencyFailure("the server's answer is too large")
                rows.append(_decode_row(body))
            elif kind == b"E":
                errors.append(ErrorFields(decode_fields(body)))

        await self._ask(encode_query(Query(text.encode())), take)
        if errors:
            raise DependencyFailure(f"the server refused a query of the proxy (SQLSTATE {errors[0].sqlstate.decode()})")
        return rows

    async def describe(self, text: bytes, parameter_types: Sequence[int] = ()) -> Description:
        """Have the server analyse a statement, which may have parameters, without running it. Raises: DependencyFailure."""
        described: list[bytes] = []
        notices: list[bytes] = []
        errors: list[ErrorFields] = []

        def take(kind: bytes, body: bytes) -> None:
            if kind == b"T":
                described.append(body)
            elif kind == b"N":
                notices.append(body)
            elif kind == b"E":
                errors.append(ErrorFields(decode_fields(body)))

        asked = encode_parse(Parse(b"", text, tuple(parameter_types))) + encode_describe(Describe(b"S", b"")) + SYNC
        await self._ask(asked, take)
        return Description(described[0] if described else None, tuple(notices), errors[0] if errors else None)

    async def query_all(self, texts: Sequence[str]) -> list[list[Row]]:
        """Ask several statements, one after the other."""
        return [await self.query(text) for text in texts]

    def close(self) -> None:
        """End the connection in good order."""
        self._side.write(TERMINATE)
        self._side.close()

    # What the side says.

    def data_arrived(self, side: Side, data: memoryview) -> None:
        """Bytes of the server."""
        self._received += data
        self._arrival.set()

    def side_ended(self, side: Side) -> None:
        """The server has closed."""
        self._has_ended = True
        self._arrival.set()

    def side_gone(self, side: Side) -> None:
        """The transport is gone."""
        self._has_ended = True
        self._arrival.set()

    def side_congested(self, side: Side, is_congested: bool) -> None:
        """Queries are small, and one at a time."""

    async def _ask(self, asked: bytes, take: Callable[[bytes, bytes], None]) -> None:
        """Send messages, the last of which makes the server ready again, and take what it says until then."""
        self._side.write(asked)
        try:
            while True:
                kind, body = await self._message()
                if kind == b"Z":
                    return
                take(kind, body)
        except PeerViolation as violation:
            self.close()
            raise DependencyFailure(f"the server broke the protocol: {violation}") from None
        except BaseException:
            # An answer that is only half read would be taken for the next query's.
            self.close()
            raise

    async def _arrived(self) -> bytes:
        """All that has arrived, at least one byte."""
        while not self._received:
            await self._wait()
        data = bytes(self._received)
        self._received.clear()
        return data

    async def _message(self) -> tuple[bytes, bytes]:
        while len(self._received) < HEADER_BYTES:
            await self._wait()
        kind, length = read_header(self._received, 0, RESULT_BYTES_MAX)
        while len(self._received) < 1 + length:
            await self._wait()
        body = bytes(self._received[HEADER_BYTES : 1 + length])
        del self._received[: 1 + length]
        return bytes((kind,)), body

    async def _wait(self) -> None:
        if self._has_ended:
            raise DependencyFailure("the server closed the connection")
        self._arrival.clear()
        await self._arrival.wait()


def _decode_row(body: bytes) -> Row:
    reader = BodyReader("DataRow", body)
    cells: list[bytes | None] = []
    for _ in range(reader.uint16()):
        size = reader.int32()
        cells.append(None if size == -1 else reader.take(size))
    reader.finish()
    return tuple(cells)
