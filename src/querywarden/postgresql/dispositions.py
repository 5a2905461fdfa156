"""Dispositions: what becomes of each type of client message, in each phase of a session.

Total: a type that a phase doesn't list is refused. Nothing is "uninteresting".
Spec: PostgreSQL 18, "Message Formats" (F).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Phase(StrEnum):
    """Where a session stands: before it is ready, between its messages, or while a COPY takes data from the client."""

    LOGIN = "login"
    STATEMENTS = "statements"
    COPY_IN = "copy_in"


class Disposition(StrEnum):
    """Look at it, pass it on unchanged, leave it out as the server would, or refuse it."""

    INSPECT = "inspect"
    RELAY = "relay"
    DROP = "drop"
    REFUSE = "refuse"


_STATEMENTS: dict[int, Disposition] = {
    ord("Q"): Disposition.INSPECT,
    ord("P"): Disposition.INSPECT,
    ord("B"): Disposition.INSPECT,
    ord("D"): Disposition.INSPECT,
    ord("E"): Disposition.INSPECT,
    ord("C"): Disposition.INSPECT,
    ord("H"): Disposition.INSPECT,
    ord("S"): Disposition.INSPECT,
    ord("X"): Disposition.INSPECT,
    # The server ignores these outside COPY: a client may still be sending when its COPY has already failed.
    ord("d"): Disposition.DROP,
    ord("c"): Disposition.DROP,
    ord("f"): Disposition.DROP,
}

DISPOSITIONS: Mapping[Phase, Mapping[int, Disposition]] = {
    Phase.LOGIN: {ord("p"): Disposition.INSPECT},
    Phase.STATEMENTS: _STATEMENTS,
    Phase.COPY_IN: {**_STATEMENTS, ord("d"): Disposition.RELAY, ord("c"): Disposition.RELAY, ord("f"): Disposition.RELAY},
}


def disposition(phase: Phase, message_type: int) -> Disposition:
    """The disposition of a client message; REFUSE for every type that the phase doesn't list."""
    return DISPOSITIONS[phase].get(message_type, Disposition.REFUSE)
