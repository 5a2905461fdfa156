"""Limits: everything that is bounded, each with its unit in the name and its reason beside it.

Nothing is allocated, kept or waited for beyond these. The configuration's `limits` section moves those that operators may want to move.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a listener and its sessions."""

    # Before anybody is known: as little as real clients need.
    startup_bytes_max: int = 10_000
    """A StartupMessage: what PostgreSQL itself accepts."""
    password_bytes_max: int = 65_535
    """A credential: what PostgreSQL itself accepts; JWTs with many groups are some kilobytes."""
    login_buffered_bytes_max: int = 256 * KIB
    """What a client may send ahead while its credential is verified; then it is no longer read from."""
    login_seconds_max: float = 15.0
    """From the first byte to ReadyForQuery: an honest login takes two round trips and an HTTP request."""
    sessions_max: int = 2_000
    """Sessions of one process: each may hold a few hundred kilobytes and two file descriptors."""
    sessions_per_source_max: int = 500
    """Sessions of one address: a connection pool's size, below `sessions_max` so that one source can't take all."""
    logins_per_source_concurrent_max: int = 64
    """Logins under way of one address: each costs a TLS handshake and a signature check."""

    # Messages.
    client_message_bytes_max: int = 0x3FFF_FFFF
    """A client's message: what PostgreSQL itself accepts (1 GiB - 1); large ones flow through, they are not collected."""
    server_message_bytes_max: int = 0x3FFF_FFFF
    """A server's message: no value can be larger (1 GiB - 1); rows flow through, they are not collected."""
    statement_bytes_max: int = 16 * MIB
    """A statement's text: it has to be collected and analysed whole."""
    analysis_inline_bytes_max: int = 8 * KIB
    """A text analysed in the event loop (under a millisecond); larger ones go to a worker."""
    analysis_seconds_max: float = 5.0
    """A worker's time for one text; without an answer by then the statement is refused."""
    bind_buffered_bytes_max: int = 1 * MIB
    """A Bind that is collected whole before it is looked at; the values of a larger one flow through after its header."""
    inspected_message_bytes_max: int = 1 * MIB
    """A message other than rows, copy data, Query, Parse and Bind: names, texts of errors, descriptions of 1600 columns."""
    row_buffered_bytes_max: int = 1 * MIB
    """A row with masked columns that is seen whole; larger ones flow through, their masked cells as fillers, or end the result."""

    probe_row_bytes_max: int = 1 * MIB
    """A row of an answer to the proxy itself, such as a plan; what is larger is skipped, as if it were not there."""

    # Results that are counted.
    budget_rows_step: int = 1_000
    """Rows of one result after which its principal's budgets are told of them: what a result may take unseen by other sessions."""
    budget_bytes_step: int = 1 * MIB
    """Bytes, for the same."""

    # What a session keeps.
    statements_max: int = 10_000
    """Named prepared statements of one session: drivers cache some hundreds."""
    portals_max: int = 1_000
    """Open portals of one session."""
    pipeline_messages_max: int = 10_000
    """Messages sent ahead of their answers; then the client is no longer read from."""
    pipeline_bytes_max: int = 1 * MIB
    """Bytes of messages waiting for their release; then the client is no longer read from."""
    high_water_bytes: int = 256 * KIB
    """Bytes waiting for a slow reader; then the other side is no longer read from."""

    # Towards the server, and at the end.
    server_connect_seconds_max: float = 10.0
    """Reaching the server, TLS included: less than `login_seconds_max`, so that the client hears the reason."""
    cancel_seconds_max: float = 10.0
    """A CancelRequest towards the server: it answers by closing, or never."""
    cancel_again_seconds: float = 2.0
    """Until a statement that has to end is cancelled again: a cancel may come before the server has begun, or be caught by a function."""
    cancels_in_flight_max: int = 64
    """CancelRequests towards servers at once: each takes one of their connections."""
    drain_seconds_max: float = 30.0
    """From SIGTERM to the last session's end, by force at the end."""
