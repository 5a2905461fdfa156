"""Hidden exchanges: the proxy asks the server something in the client's own session before the message in front is decided.

Asked once everything before the message has been answered: outside a transaction in one of our own, inside one under a savepoint that is
rolled back. In the middle of a segment that the server has begun to work on there is neither, so that the question stands alone, and its
error is the segment's. Spec: PostgreSQL 18, "Pipelining"; the transaction's mode comes back with the end of the subtransaction.
"""

from __future__ import annotations

from typing import NoReturn

from querywarden.gate.permit import Housekeeping
from querywarden.postgresql.error_response import ErrorFields, Fields
from querywarden.postgresql.expected import Awaited, Expected
from querywarden.postgresql.framing import encode
from querywarden.postgresql.front import Asked, Front
from querywarden.postgresql.judgement_wait import MustWait
from querywarden.postgresql.outgoing import NO_SEGMENT, ToServer
from querywarden.postgresql.probe import Probe, Step
from querywarden.postgresql.session_state import IDLE, SessionState

SECONDS_MAX = 2
"""The server's time for a question that makes it plan; planning takes milliseconds, hundreds of partitions some more."""
_SAVEPOINT = b"querywarden_probe"


class SegmentFailed(Exception):
    """A hidden exchange in the client's own segment has ended with an error: the server skips to the next Sync. Secrets: its text."""

    def __init__(self, error: ErrorFields, shown: Fields | None = None) -> None:
        """Args: `shown` are the fields that the client gets, where the error is one of its own statement's."""
        super().__init__(error.sqlstate.decode("ascii", "replace"))
        self.error = error
        self.shown = shown


def settle_before(state: SessionState, has_segment: bool) -> Front:
    """The message in front, once everything before it has been answered.

    Args: `has_segment`: it belongs to a segment of extended queries, whose messages wait with it where that can be.
    Raises: MustWait.
    """
    front = state.front
    if front is None:
        is_begun = state.may_be_implicit or (
            state.is_mid_segment and not (has_segment and state.to_server.keep_back(state.registry.segment))
        )
        # A Sync of ours in a segment that has no portal yet changes nothing.
        front = state.front = Front(is_in_segment=is_begun and (state.may_be_implicit or state.has_portals), wants_flush=is_begun)
    owes_answers = len(state.expected) > state.to_server.kept_entries
    if front.wants_flush and owes_answers:
        front.wants_flush = False
        state.queue(ToServer(encode(b"H", b""), Housekeeping.FLUSH))
    if owes_answers or not state.to_server.is_quiet:
        raise MustWait
    return front


def ask(state: SessionState, front: Front, probe: Probe, about: Asked) -> NoReturn:
    """Send an exchange to the server, before what is kept back. Raises: MustWait, always."""
    front.probe, front.asked = probe, about
    entry = Expected(Awaited.PROBE, probe=probe)
    state.expected.add_before(entry, state.to_server.kept_entries)
    # In the client's segment it is a part of that: the server has begun it then, also for the next question.
    segment = state.registry.segment if probe.is_in_segment else NO_SEGMENT
    state.to_server.add_before_kept(ToServer(probe.data, Housekeeping.ESTIMATE, entry=entry, segment=segment))
    raise MustWait


def answered(state: SessionState, front: Front) -> Probe:
    """The exchange under way, once the server has answered all of it and is where it was before.

    Something from outside may have disturbed it (an administrator's cancel). Then an open transaction of the client's has failed, and one
    of our own is ended now.

    Raises: MustWait.
    """
    probe = front.probe
    assert probe is not None
    if not probe.is_over:
        raise MustWait
    about, front.probe, front.asked = front.asked, None, None
    if probe.is_in_segment:
        return probe
    disturbed = probe if probe.disturbed is None else probe.disturbed
    if state.transaction == IDLE and probe.status != IDLE:
        ask(state, front, Probe([Step(b"ROLLBACK")], disturbed=disturbed), about or Asked.PLAN)
    if probe.status != state.transaction:
        state.transaction = probe.status
        state.has_failed = True
        front.broken = disturbed.error
    if about is not Asked.PLAN:
        # What waited for locks in the statement's place was given up in its place, too: it isn't to wait once more.
        front.broken = front.broken or disturbed.interruption
    return disturbed


def fail_segment(probe: Probe) -> None:
    """In a segment an error of ours is the segment's: the server skips to the next Sync now. Raises: SegmentFailed."""
    error = probe.error
    if error is not None:
        raise SegmentFailed(error)


def opening(state: SessionState) -> list[Step]:
    """What opens a question inside the client's transaction: a savepoint; nothing outside, where each group is a transaction."""
    return [] if state.transaction == IDLE else [Step(b"SAVEPOINT " + _SAVEPOINT)]


def limited_opening(state: SessionState) -> list[Step]:
    """What opens a question that makes the server plan: a transaction or savepoint that is read-only and has a time-out."""
    timeout = Step(b"SET LOCAL statement_timeout = '%ds'" % SECONDS_MAX)
    if state.transaction == IDLE:
        return [Step(b"BEGIN READ ONLY"), timeout]
    return [*opening(state), Step(b"SET LOCAL transaction_read_only = on"), timeout]


def closing(state: SessionState, *, is_opened: bool = True) -> list[Step]:
    """What takes back all that a question has set. Args: `is_opened`: outside the client's transaction, one of our own was begun."""
    if state.transaction == IDLE:
        return [Step(b"ROLLBACK")] if is_opened else []
    return [Step(b"ROLLBACK TO SAVEPOINT " + _SAVEPOINT), Step(b"RELEASE SAVEPOINT " + _SAVEPOINT)]
