"""Windows of time: the hours of a week and the periods in which a rule holds, by the clock of a time zone.

A window is told by the clock on the wall there: on days when the clocks change it is an hour longer or shorter, and an hour that comes
twice lies in it twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

MINUTES_OF_DAY = 24 * 60
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Weekly:
    """Some hours of some days of every week.

    `days` are numbers from 0 for Monday, none for all of them; `starts` and `ends` are minutes since midnight, the end not in the
    window. A window that ends before it starts goes on over midnight and belongs to the day on which it starts.
    """

    days: frozenset[int] = frozenset()
    starts: int = 0
    ends: int = MINUTES_OF_DAY
    zone: tzinfo = UTC

    def holds(self, now: float) -> bool:
        """Whether a time, in seconds since the epoch, lies in the window."""
        local = datetime.fromtimestamp(now, self.zone)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.starts <= self.ends:
            return self.starts <= minute < self.ends and self._has(day)
        return (minute >= self.starts and self._has(day)) or (minute < self.ends and self._has((day - 1) % 7))

    def _has(self, day: int) -> bool:
        return not self.days or day in self.days

    def __str__(self) -> str:
        days = ", ".join(DAYS[day] for day in sorted(self.days)) or "every day"
        return f"{days} {_clock(self.starts)}–{_clock(self.ends)} {self.zone}"


@dataclass(frozen=True, slots=True)
class Period:
    """One stretch of time, in seconds since the epoch; the end is not in it. `zone` is the one in which it is told."""

    starts: float
    ends: float
    zone: tzinfo = UTC

    def holds(self, now: float) -> bool:
        """Whether a time lies in the period."""
        return self.starts <= now < self.ends

    def __str__(self) -> str:
        starts, ends = (f"{datetime.fromtimestamp(each, self.zone):%Y-%m-%d %H:%M}" for each in (self.starts, self.ends))
        return f"from {starts} until {ends} {self.zone}"


Window = Weekly | Period


def is_open(windows: tuple[Window, ...], now: float) -> bool:
    """Whether a time lies in any of the windows; without windows it always does."""
    return not windows or any(window.holds(now) for window in windows)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
