"""Durations as people write them: 90s, 30m, 8h, 2d, 1w."""

from __future__ import annotations

import re

from querywarden.admin.problems import Problem, ProblemCode

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def seconds_of(text: str) -> int:
    """The seconds of a duration. Raises: Problem."""
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0
    if seconds <= 0:
        raise Problem(ProblemCode.INVALID, "A duration is a number and a unit, such as 90s, 30m, 8h or 2d.")
    return seconds


def told(seconds: int) -> str:
    """A duration for people, in its largest whole unit."""
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _UNIT_SECONDS[unit] == 0:
            return f"{seconds // _UNIT_SECONDS[unit]}{unit}"
    return f"{seconds}s"
