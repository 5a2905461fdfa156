"""The result under way: rows and copy data from the server to the client, masked, counted, and ended where they may not go on.

A chunk is worked through run by run, not row by row. Spec: PostgreSQL 18, "Simple Query", "Extended Query" and "COPY Operations".
"""

from __future__ import annotations

from querywarden.errors import PeerViolation
from querywarden.postgresql.completion import finish
from querywarden.postgresql.error_response import ErrorFields, decode_fields
from querywarden.postgresql.expected import Execution
from querywarden.postgresql.limited_rows import NOTHING_TAKEN, LimitedRows, Taken, is_limited
from querywarden.postgresql.prepared import Portal
from querywarden.postgresql.refusal import Refusal
from querywarden.postgresql.result_copy import begin_copy_masked
from querywarden.postgresql.row_errors import CapReached, RowTooLarge
from querywarden.postgresql.row_limits import notice_of_time, refusal_of_schema_change, refusal_of_size, refusal_of_time
from querywarden.postgresql.row_plan import plan_rows
from querywarden.postgresql.rows import relay_rows
from querywarden.postgresql.runs_of_rows import copy_run
from querywarden.postgresql.session_state import SessionState
from querywarden.postgresql.statement_clock import StatementClock, Strike
from querywarden.session.effects import ForwardCancel

_CANCELLED = b"57014"
_TAKEN_SPARE = 16
"""Portals that may be remembered beyond those that are open, before the others are looked for."""


class ResultStream:
    """What the client gets of results, and how far the one under way has come."""

    __slots__ = ("_is_silent", "_server_key", "_state", "_taken", "clock", "left", "tried")

    def __init__(self, state: SessionState, server_key: tuple[int, bytes] | None) -> None:
        self._state = state
        self._server_key = server_key
        self.clock = StatementClock(state)
        self._taken: dict[Portal, Taken] = {}
        """What was taken of portals that were suspended and have a limit."""
        self.left = 0
        """Bytes of a message that are still to come and to be passed on as they are."""
        self._is_silent = False
        """Those bytes are for nobody."""
        self.tried: frozenset[int] = frozenset()
        """Relations for which a newer catalogue was asked for in vain: temporary ones, or of an open transaction."""

    def send(self, data: bytes | memoryview) -> None:
        """Send something of the answer to a statement."""
        if not self._state.is_muted:
            self._state.to_client.send(bytes(data))

    # Rows and copy data

    def relay(self, data: memoryview, position: int, end: int, execution: Execution | None) -> int:
        """Pass on what is there of a message that has begun. All of these return the position behind what they took."""
        stop = min(end, position + self.left)
        if not self._is_silent:
            self.send(data[position:stop])
            if execution is not None:
                execution.bytes_out += stop - position
        self.left -= stop - position
        return stop

    def skip(self, size: int) -> None:
        """The next bytes are for nobody."""
        self.left = size
        self._is_silent = True

    def rows(self, data: memoryview, position: int, end: int, execution: Execution) -> int:
        """Take the run of rows that begins here."""
        if execution.row_plan is None:
            self._plan_described(execution)
            if execution.row_plan is None:
                raise PeerViolation("the server sent a row that nothing asked for")
        if execution.masker is not None and not self._state.is_muted:
            return self.masked(data, position, end, execution)
        stop, rows, self.left = relay_rows(data, position, end)
        return self._pass_on(data, position, stop, execution, rows)

    def copied(self, data: memoryview, position: int, end: int, execution: Execution) -> int:
        """Take the run of copy data that begins here. Raises: PeerViolation where the server hasn't said that they begin."""
        if not execution.copies_out:
            raise PeerViolation("the server sent copy data that it had not announced")
        if execution.masker is not None and not self._state.is_muted:
            return self.masked(data, position, end, execution)
        stop, rows, self.left = copy_run(data, position, end, self._state.context.limits.server_message_bytes_max)
        return self._pass_on(data, position, stop, execution, rows)

    def _pass_on(self, data: memoryview, position: int, stop: int, execution: Execution, rows: int) -> int:
        execution.rows += rows
        execution.bytes_out += stop - position
        self._is_silent = False
        self.send(data[position:stop])
        return stop

    def masked(self, data: memoryview, position: int, end: int, execution: Execution) -> int:
        """Take a run by what masks or counts it; also where that is in the middle of a row."""
        try:
            out, stop = execution.masker.feed(data, position, end)
        except RowTooLarge as too_large:
            self.send(too_large.out)
            self._end(execution, refusal_of_size(execution, self._state.context.limits.row_buffered_bytes_max))
            self.left, self._is_silent = too_large.remaining, False
            return too_large.position
        except CapReached as cap:
            self.send(cap.out)
            self._end(execution, execution.masker.refusal(cap.reason))
            self.left, self._is_silent = cap.remaining, False
            return cap.position
        execution.bytes_out += len(out)
        self.send(out)
        return int(stop)

    # Plans

    def plan(self, body: bytes, execution: Execution) -> None:
        """Plan the rows of a statement by their RowDescription.

        Raises: UnknownRelation when a newer catalogue may know more.
        """
        state = self._state
        if self._is_overtaken(execution):
            self._end(execution, refusal_of_schema_change(execution))
        plan = execution.row_plan = plan_rows(state, body, execution, self.tried)
        masker = plan.masker(state)
        execution.masker = masker
        if is_limited(state, execution):
            execution.masker = LimitedRows(state, execution, masker, len(plan.fields), self._taken_of(execution))

    def _plan_described(self, execution: Execution) -> None:
        """The rows of an Execute follow what its portal was described as."""
        described = None if execution.portal is None else execution.portal.description
        if isinstance(described, bytes):
            self.plan(described, execution)

    def begin_copy(self, execution: Execution, body: bytes) -> None:
        """The server begins to send copy data, as its CopyOutResponse says.

        Raises: UnknownRelation when a newer catalogue may know more.
        """
        begun = begin_copy_masked(self._state, execution, body, self.tried)
        execution.copies_out = True
        if self._is_overtaken(execution):
            begun = refusal_of_schema_change(execution)
        if isinstance(begun, Refusal):
            self._end(execution, begun)
        else:
            execution.masker = begun

    def _is_overtaken(self, execution: Execution) -> bool:
        """Whether another session has changed the schema since the data flow of a statement was understood."""
        shown = execution.shown
        return shown is not None and shown.flow is not None and execution.others_changes != self._state.others_changes

    # Portals that are taken in pieces

    def _taken_of(self, execution: Execution) -> Taken:
        return NOTHING_TAKEN if execution.portal is None else self._taken.get(execution.portal, NOTHING_TAKEN)

    def suspend(self, execution: Execution) -> None:
        """A portal was suspended: what its next run returns counts on."""
        if execution.portal is None or not isinstance(execution.masker, LimitedRows):
            return
        if len(self._taken) > len(self._state.registry.portals) + _TAKEN_SPARE:
            open_now = set(self._state.registry.portals.values())
            self._taken = {portal: taken for portal, taken in self._taken.items() if portal in open_now}
        self._taken[execution.portal] = execution.masker.taken(self.clock.seconds_of(execution))

    def forget_portals(self) -> None:
        """A transaction has ended, and with it its portals."""
        if self._taken:
            open_now = set(self._state.registry.portals.values())
            self._taken = {portal: taken for portal, taken in self._taken.items() if portal in open_now}

    # Ends

    def _end(self, execution: Execution, refusal: Refusal) -> None:
        """A result may not go on: the client gets an error, the server a cancel, and the rest is dropped."""
        state = self._state
        finish(state, execution, "refused", sqlstate=refusal.sqlstate)
        state.observe("refusals", refusal.reason.value)
        self.send(refusal.error())
        self._state.is_muted = True
        if execution is not self.clock.running:
            self.start_clock(execution)
        self.clock.must_end()
        self._cancel()

    def _cancel(self) -> None:
        if self._server_key is not None and not self._state.to_server.is_blocked:
            self._state.to_server.is_blocked = True
            self._state.effects.append(ForwardCancel(*self._server_key))

    # Time

    def start_clock(self, execution: Execution | None) -> None:
        """The server works on another statement now, or on none."""
        self.clock.start(execution, 0.0 if execution is None else self._taken_of(execution).seconds)

    def strike(self, execution: Execution | None) -> None:
        """The timer of the running statement has run out."""
        struck = self.clock.strike()
        if struck is Strike.CANCEL:
            self._cancel()
        elif struck is Strike.WARN and execution is not None and execution.allow.seconds_max is not None and not self._state.is_muted:
            notice = notice_of_time(self.clock.seconds_used(), execution.allow.seconds_max)
            if not (isinstance(execution.masker, LimitedRows) and execution.masker.interject(notice)):
                self._state.to_client.send(notice)

    def refusal_of_cancel(self, execution: Execution, body: bytes) -> Refusal | None:
        """What the client is told in place of an error that is the cancel of a statement whose time is up; None for any other error."""
        seconds_max = execution.allow.seconds_max
        if not self.clock.is_over or execution is not self.clock.running or execution.is_finished or seconds_max is None:
            return None
        return refusal_of_time(execution, seconds_max) if ErrorFields(decode_fields(body)).sqlstate == _CANCELLED else None

    def is_mid_message(self, execution: Execution | None) -> bool:
        """Whether the client has got the beginning of a message only."""
        if self._state.is_muted:
            return False
        masker = None if execution is None else execution.masker
        return (self.left > 0 and not self._is_silent) or (masker is not None and masker.is_mid_row)
