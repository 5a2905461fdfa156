"""A session's output: what it has sent to either side and what of it has yet to be written, in order, in few writes.

When the log is about to answer for a record of the session, which it does in the loop's next round, what the session sends meanwhile is
kept for that long and goes out together with what the answer sets free: a system call, and often the waking of a process, less.
"""

from __future__ import annotations

from querywarden.runtime.services import Measures
from querywarden.runtime.transport_sides import Side

DEFERRED_PARTS_MAX = 64
"""Pieces of a side's output that may wait for the log's answer."""


class Output:
    """The output of one session. Order-preserving on each side."""

    __slots__ = ("_client", "_deferred_to_client", "_metrics", "answers_at_hand", "server", "to_client", "to_server")

    def __init__(self, client: Side, metrics: Measures) -> None:
        self.to_client: list[bytes] = []
        self.to_server: list[bytes] = []
        self.server: Side | None = None
        self.answers_at_hand = 0
        """Records that the log answers for in the loop's next round, since they need not be on disk first."""
        self._deferred_to_client = 0
        """Pieces that would have gone to the client already, had they not been deferred."""
        self._client = client
        self._metrics = metrics

    def end_of_input(self) -> None:
        """An input has been worked through: write what it made the session send, now or with what the log's answer sets free."""
        if self.answers_at_hand and len(self.to_client) < DEFERRED_PARTS_MAX and len(self.to_server) < DEFERRED_PARTS_MAX:
            self._deferred_to_client = len(self.to_client)
        elif self.to_client or self.to_server:
            self.flush()

    def flush(self) -> None:
        """Write everything."""
        self._deferred_to_client = 0
        if self.to_client:
            data = self.to_client[0] if len(self.to_client) == 1 else b"".join(self.to_client)
            self.to_client.clear()
            self._metrics.client_bytes_sent += len(data)
            self._client.write(data)
        if self.to_server:
            data = self.to_server[0] if len(self.to_server) == 1 else b"".join(self.to_server)
            self.to_server.clear()
            self._metrics.server_bytes_sent += len(data)
            if self.server is not None:
                self.server.write(data)

    def drop_unfinished(self) -> None:
        """The input under way has failed: what it made the session send goes nowhere, nor anything to the server.

        What earlier inputs made it send to the client counts as sent.
        """
        del self.to_client[self._deferred_to_client :]
        self.to_server.clear()
        self.flush()
