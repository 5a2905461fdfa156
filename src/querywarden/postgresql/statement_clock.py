"""The clock of the running statement: a warning near its time, and its end when the time is up.

It runs while the server works: from when the statement before has ended, not while a statement waits for an approval.
"""

from __future__ import annotations

from enum import Enum, auto

from querywarden.postgresql.expected import Execution
from querywarden.postgresql.session_state import SessionState
from querywarden.session.effects import ClearTimer, SetTimer

TIMER = "statement"
"""The name of its timer."""
_WARNS_AT = 0.8


class Strike(Enum):
    """What a timer that has run out means."""

    NOTHING = auto()
    WARN = auto()
    CANCEL = auto()


class StatementClock:
    """The time of the statement that the server works on."""

    __slots__ = ("_before", "_has_warned", "_is_set", "_must_end", "_since", "_state", "is_over", "running")

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self.running: Execution | None = None
        """The statement whose time is taken."""
        self._since = 0.0
        self._before = 0.0
        """Seconds of earlier runs of the same portal."""
        self._is_set = False
        self._has_warned = False
        self._must_end = False
        self.is_over = False
        """The running statement has used up its time."""

    def seconds_of(self, execution: Execution) -> float:
        """How long a statement has run, as far as its time was taken."""
        return max(0.0, self._state.now - self._since) if execution is self.running else 0.0

    def seconds_used(self) -> float:
        """How long the running statement has run, its portal's earlier runs included."""
        return self._before + max(0.0, self._state.now - self._since)

    def start(self, execution: Execution | None, before: float) -> None:
        """The server has come to this statement, or to none. `before`: the seconds of earlier runs of its portal."""
        self.running, self._since, self._before = execution, self._state.now, before
        self._has_warned = self._must_end = self.is_over = False
        seconds_max = None if execution is None else execution.allow.seconds_max
        if seconds_max is None:
            self._clear()
        elif before >= _WARNS_AT * seconds_max:
            self._has_warned = True
            self._set(seconds_max - before)
        else:
            self._set(_WARNS_AT * seconds_max - before)

    def must_end(self) -> None:
        """The running statement has been cancelled; where that doesn't end it, it is cancelled again."""
        self._must_end = True
        self._set(self._state.context.limits.cancel_again_seconds)

    def strike(self) -> Strike:
        """The timer has run out."""
        if not self._is_set:
            return Strike.NOTHING
        self._is_set = False
        running = self.running
        if self._must_end:
            self.must_end()
            return Strike.CANCEL
        if running is None or running.allow.seconds_max is None:
            return Strike.NOTHING
        if not self._has_warned:
            self._has_warned = True
            self._set(running.allow.seconds_max - self.seconds_used())
            return Strike.WARN
        self.is_over = True
        self.must_end()
        return Strike.CANCEL

    def _set(self, seconds: float) -> None:
        self._is_set = True
        self._state.effects.append(SetTimer(TIMER, max(0.0, seconds)))

    def _clear(self) -> None:
        if self._is_set:
            self._is_set = False
            self._state.effects.append(ClearTimer(TIMER))
