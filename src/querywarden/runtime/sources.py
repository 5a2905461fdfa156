"""Sources: how many logins and sessions each address has, so that one can't take everything from the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from querywarden.model.limits import Limits

CONNECTIONS_BEYOND_SESSIONS = 256
"""Connections under way beyond `sessions_max`: enough to tell those that come too late why, few enough to bound descriptors."""


@dataclass(slots=True)
class Sources:
    """Counts of connections by address. Limits: `sessions_max`, `sessions_per_source_max`, `logins_per_source_concurrent_max`."""

    limits: Limits
    connections: int = 0
    sessions: int = 0
    _logins: Counter[str] = field(default_factory=Counter)
    _sessions: Counter[str] = field(default_factory=Counter)

    def begin_login(self, address: str) -> str | None:
        """Count a connection in, before anything is read from it. Returns: why it may not come in, if so."""
        if self.connections >= self.limits.sessions_max + CONNECTIONS_BEYOND_SESSIONS:
            return "connections"
        if self._logins[address] >= self.limits.logins_per_source_concurrent_max:
            return "logins_of_source"
        self.connections += 1
        self._logins[address] += 1
        return None

    def end_login(self, address: str) -> None:
        """The login of a connection is over, well or not."""
        _decrement(self._logins, address)

    def end_connection(self) -> None:
        """A connection is gone."""
        self.connections -= 1

    def begin_session(self, address: str) -> str | None:
        """Count a session in. Returns: the sentence for the client when there are too many."""
        if self.sessions >= self.limits.sessions_max:
            return "sorry, too many sessions already"
        if self._sessions[address] >= self.limits.sessions_per_source_max:
            return "sorry, too many sessions from this address already"
        self.sessions += 1
        self._sessions[address] += 1
        return None

    def end_session(self, address: str) -> None:
        """A session is over."""
        self.sessions -= 1
        _decrement(self._sessions, address)


def _decrement(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
