"""The two sides of a session: a transport each, read into one buffer that all of the process shares.

A shared buffer is safe because whoever gets the bytes has consumed them when `data_arrived` returns: the loop fills the
buffer and calls `buffer_updated` without anything in between, for plain and for TLS transports.
"""

from __future__ import annotations

import asyncio
import select
import socket
from enum import IntFlag
from typing import Protocol, cast

RECEIVE_BUFFER_BYTES = 256 * 1024
_RECEIVE_BUFFER = memoryview(bytearray(RECEIVE_BUFFER_BYTES))

LINGER_SECONDS = 10.0
"""How long a closed side may take to accept what was sent to it before it is cut off."""

CLOSURE_CHECK_SECONDS = 0.5


class PauseReason(IntFlag):
    """Why a side is not read from; reading goes on when no reason is left."""

    SESSION = 1
    PEER_SLOW = 2
    STARTUP = 4


class SideOwner(Protocol):
    """Who is told what happens on a side."""

    def data_arrived(self, side: Side, data: memoryview) -> None:
        """Bytes have arrived; the view is valid only until this returns."""

    def side_ended(self, side: Side) -> None:
        """The other end has closed, or the connection is lost; told once, and not after our own `close`."""

    def side_gone(self, side: Side) -> None:
        """The transport is gone; told once, the last call."""

    def side_congested(self, side: Side, is_congested: bool) -> None:
        """What was written waits for a slow reader, or does so no longer."""


class Side(asyncio.BufferedProtocol):
    """One side of a session. Limits: `high_water_bytes` waiting to be written before `side_congested` is told."""

    __slots__ = ("_is_closing", "_linger", "_owner", "_pauses", "_transport", "_watch", "has_ended", "high_water_bytes", "is_gone", "peer")

    def __init__(self, owner: SideOwner, high_water_bytes: int, watch: ClosureWatch | None = None) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._pauses = PauseReason(0)
        self.has_ended = False
        self._is_closing = False
        self._linger: asyncio.TimerHandle | None = None
        self._watch = watch
        self.high_water_bytes = high_water_bytes
        self.is_gone = False
        self.peer: tuple[str, int] | None = None
        """The other end's address, also once the connection is gone."""

    @property
    def transport(self) -> asyncio.Transport:
        """The transport; there is one from `connection_made` on."""
        assert self._transport is not None
        return self._transport

    @property
    def has_transport(self) -> bool:
        """Whether the connection has stood."""
        return self._transport is not None

    @property
    def is_open(self) -> bool:
        """Whether the side can still be written to."""
        return self._transport is not None and not self._is_closing and not self.is_gone

    def hand_over(self, owner: SideOwner) -> None:
        """Tell another owner from now on."""
        self._owner = owner

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self.high_water_bytes)
        name = self._transport.get_extra_info("peername")
        self.peer = (name[0], name[1]) if isinstance(name, tuple) and len(name) >= 2 else None
        if self._pauses:
            self._transport.pause_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        """The shared buffer."""
        return _RECEIVE_BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes are in the shared buffer."""
        if not self._is_closing:
            self._owner.data_arrived(self, _RECEIVE_BUFFER[:nbytes])

    def eof_received(self) -> bool:
        """The other end has closed; the transport closes itself."""
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        if self.is_gone:
            return
        self._end()
        self.is_gone = True
        if self._watch is not None:
            self._watch.forget(self)
        if self._linger is not None:
            self._linger.cancel()
        self._owner.side_gone(self)

    def pause_writing(self) -> None:
        """More than the high-water mark waits to be written."""
        self._owner.side_congested(self, True)

    def resume_writing(self) -> None:
        """What waited has been written."""
        self._owner.side_congested(self, False)

    # What the owner calls.

    def write(self, data: bytes) -> None:
        """Write bytes, or drop them when the side is closing."""
        transport = self._transport
        if transport is not None and not self._is_closing and not self.is_gone:
            transport.write(data)

    def pause(self, reason: PauseReason) -> None:
        """Stop reading for a reason."""
        was_reading = not self._pauses
        self._pauses |= reason
        if was_reading and self.is_open:
            self.transport.pause_reading()
            if self._watch is not None:
                self._watch.add(self)

    def resume(self, reason: PauseReason) -> None:
        """Take a reason away; reading goes on when none is left."""
        if not self._pauses:
            return
        self._pauses &= ~reason
        if not self._pauses:
            if self._watch is not None:
                self._watch.forget(self)
            if self.is_open:
                self.transport.resume_reading()

    def close(self) -> None:
        """Close once what was written has gone out, or after `LINGER_SECONDS` without that."""
        if self._transport is None or self._is_closing or self.is_gone:
            return
        self._is_closing = True
        if self._watch is not None:
            self._watch.forget(self)
        self._linger = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)
        # A transport that isn't read from never learns that its peer has gone.
        if self._pauses and not self._transport.is_closing():
            self._transport.resume_reading()
        self._transport.close()

    def abort(self) -> None:
        """Cut the connection at once."""
        self._is_closing = True
        if self._transport is not None and not self.is_gone:
            self._transport.abort()

    def closure_noticed(self) -> None:
        """The watch has seen that the other end closed while the side was paused."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        if self.has_ended or self._is_closing:
            return
        self.has_ended = True
        self._owner.side_ended(self)


class ClosureWatch:
    """Notices that the other end of a paused side has closed.

    A transport that isn't read from doesn't report the end of its stream, and a statement may run (or be held) for hours
    meanwhile. So while any side is paused, the paused sockets are polled for POLLRDHUP twice a second, as PostgreSQL's
    `client_connection_check_interval` does: it is seen even behind unread bytes. A side must be paused over a whole interval
    before it is looked at, so that a short pause never costs a client that has sent everything and closed its last bytes.

    Limits: who has filled the whole receive window before going isn't noticed, since the end waits behind what can't be
    received; keepalive and the end of the statement find that one. PostgreSQL itself sees no more.
    """

    def __init__(self, interval_seconds: float = CLOSURE_CHECK_SECONDS) -> None:
        self._interval_seconds = interval_seconds
        self._sides: dict[Side, bool] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, side: Side) -> None:
        """Watch a side that was paused."""
        self._sides[side] = False
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_seconds, self._check)

    def forget(self, side: Side) -> None:
        """Watch a side no longer."""
        self._sides.pop(side, None)

    def _check(self) -> None:
        self._timer = None
        closed = _closed([side for side, was_paused in self._sides.items() if was_paused])
        for side in self._sides:
            self._sides[side] = True
        for side in closed:
            self.forget(side)
            side.closure_noticed()
        if self._sides and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_seconds, self._check)


def _closed(sides: list[Side]) -> list[Side]:
    if not sides:
        return []
    poll = select.poll()
    ended = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)
    by_descriptor: dict[int, Side] = {}
    for side in sides:
        descriptor = side.transport.get_extra_info("socket").fileno()
        if descriptor >= 0:
            by_descriptor[descriptor] = side
            poll.register(descriptor, ended)
    return [by_descriptor[descriptor] for descriptor, events in poll.poll(0) if events & ended]


def prepare_socket(sock: socket.socket) -> None:
    """Set what every connection of the proxy has: no delay, keepalive that finds a dead peer within two minutes."""
    sock.setblocking(False)
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
