"""The server's answers: each message matched to what it answers, rows masked, errors cleaned, ends recorded before they are told.

A chunk is worked through in one go: runs of rows by `result_stream`, everything else message by message. What can't be decided yet (a
result from a relation that the catalogue doesn't have) is left in place, and the server isn't read from until it can.
Spec: PostgreSQL 18, "Message Flow".
"""

from __future__ import annotations

from querywarden.errors import PeerViolation
from querywarden.postgresql import asynchronous, errors_of_server
from querywarden.postgresql.completion import carry_out, finish
from querywarden.postgresql.error_response import ErrorFields, decode_fields
from querywarden.postgresql.expected import Awaited, Execution, Expected
from querywarden.postgresql.framing import HEADER_BYTES, encode, read_header
from querywarden.postgresql.messages.backend import decode_command_complete, decode_parameter_description, decode_ready_for_query
from querywarden.postgresql.probe import Probe
from querywarden.postgresql.result_copy import end_copy
from querywarden.postgresql.result_stream import ResultStream
from querywarden.postgresql.row_plan import STALE, UnknownRelation
from querywarden.postgresql.runs_of_rows import TRAILER_LENGTH
from querywarden.postgresql.session_state import IDLE, SessionState
from querywarden.postgresql.statement_clock import TIMER
from querywarden.session.effects import SchemaChanged

_DATA_ROW, _COPY_DATA, _ERROR = ord("D"), ord("d"), ord("E")
_LARGE_TEXT = frozenset(b"EN")
"""Errors and notices quote the client's own texts, which may be as long as a statement."""
_OF_PROBES = frozenset(b"DN")
"""Rows and notices of hidden exchanges: what is longer than any answer that is read is for nobody."""
_OF_THE_SESSION = frozenset(b"AS")
"""Messages that come at any moment and have to do with no statement."""


class ServerAnswers:
    """The server's byte stream of one session, and how far it has been worked through."""

    __slots__ = ("_partial", "_position", "_result", "_state", "has_ended", "is_waiting")

    def __init__(self, state: SessionState, server_key: tuple[int, bytes] | None) -> None:
        self._state = state
        self._result = ResultStream(state, server_key)
        self._partial = b""
        self._position = 0
        self.is_waiting = False
        """Bytes are left that need a newer catalogue first."""
        self.has_ended = False
        """The server has said a FATAL error: it will close, and the client knows why."""

    @property
    def _row_of_probe_max(self) -> int:
        return self._state.context.limits.probe_row_bytes_max

    @property
    def is_mid_message(self) -> bool:
        """Whether the client has got the beginning of a message only, so that nothing else may be said to it."""
        return self._result.is_mid_message(self._running())

    def forget_unknown(self) -> None:
        """A new schema generation has come: what the old one didn't have may be in it."""
        self._result.tried = frozenset()

    def forget_stale(self) -> None:
        """A catalogue has come that was asked for: the next change of the session is to be asked for again."""
        self._result.tried -= {STALE}

    def keep_time(self) -> None:
        """Take the time of the statement that the server works on now. To be called at the end of every input."""
        execution = self._running()
        if execution is not self._result.clock.running:
            self._result.start_clock(execution)

    def timer_fired(self, name: str) -> bool:
        """A timer has run out.

        Returns: whether it was that of the running statement.
        """
        if name != TIMER:
            return False
        self._result.strike(self._running())
        return True

    def receive(self, data: memoryview) -> None:
        """Work through bytes from the server.

        Raises: PeerViolation when the server breaks the protocol.
        """
        if self._partial:
            whole = memoryview(self._partial + bytes(data))
            self._partial = b""
        else:
            whole = data
        if self.is_waiting:
            self._partial = bytes(whole)
            return
        position = self._work_through(whole)
        if position < len(whole):
            self._partial = bytes(whole[position:])

    def resume(self) -> None:
        """A newer catalogue has come, or won't: go on with what was left."""
        if self.is_waiting and not self._state.awaits_catalogue:
            self.is_waiting = False
            self.receive(memoryview(b""))

    def _work_through(self, data: memoryview) -> int:
        self._position = 0
        try:
            self._take_messages(data)
        except UnknownRelation as unknown:
            self._result.tried |= unknown.ids
            self.is_waiting = True
            self._state.ask_for_catalogue()
        return self._position

    def _take_messages(self, data: memoryview) -> None:
        position, end = 0, len(data)
        length_max = self._state.context.limits.server_message_bytes_max
        result, entries = self._result, self._state.expected.entries
        while position < end:
            self._position = position
            head = entries[0] if entries else None
            execution = None if head is None else head.execution
            if result.left:
                position = result.relay(data, position, end, execution)
                continue
            if execution is not None and execution.masker is not None and execution.masker.is_mid_row:
                position = result.masked(data, position, end, execution)
                continue
            if end - position < HEADER_BYTES:
                break
            kind, length = read_header(data, position, length_max)
            if execution is not None:
                if kind == _DATA_ROW:
                    position = result.rows(data, position, end, execution)
                    continue
                if kind == _COPY_DATA and (length != TRAILER_LENGTH or end - position > length):
                    position = result.copied(data, position, end, execution)
                    continue
            size = 1 + length
            if end - position >= size:
                self._message(head, kind, bytes(data[position + HEADER_BYTES : position + size]))
                position += size
            elif kind in _OF_PROBES and head is not None and head.probe is not None and length > self._row_of_probe_max:
                result.skip(size)
            else:
                self._check_size(kind, length)
                break
        self._position = position

    def _check_size(self, kind: int, length: int) -> None:
        limits = self._state.context.limits
        limit = 2 * limits.statement_bytes_max if kind in _LARGE_TEXT else 4 * limits.inspected_message_bytes_max
        if length > limit:
            raise PeerViolation(f"the server's message of type {chr(kind)!r} has {length} bytes")

    def _running(self) -> Execution | None:
        entries = self._state.expected.entries
        return entries[0].execution if entries else None

    def _send(self, data: bytes) -> None:
        self._result.send(data)

    def _probed(self, probe: Probe, kind: int, body: bytes) -> None:
        """Give a message to a hidden exchange. Only the end of the session is for the client."""
        if kind == _ERROR and ErrorFields(decode_fields(body)).is_fatal:
            self._error(body)
        elif (kind != _DATA_ROW or len(body) <= self._row_of_probe_max) and probe.take(kind, body):
            self._state.expected.pop()

    def _message(self, head: Expected | None, kind: int, body: bytes) -> None:
        if head is not None and head.probe is not None and kind not in _OF_THE_SESSION:
            self._probed(head.probe, kind, body)
        elif kind == 0x5A:  # Z
            self._ready_for_query(body)
        elif kind == 0x43:  # C
            self._command_complete(body)
        elif kind == 0x54:  # T
            self._row_description(body)
        elif kind == 0x31:  # 1
            self._completes(Awaited.PARSE, kind, body)
        elif kind == 0x32:  # 2
            self._completes(Awaited.BIND, kind, body)
        elif kind == 0x33:  # 3
            self._completes(Awaited.CLOSE, kind, body)
        elif kind == 0x6E:  # n
            self._no_data(body)
        elif kind == 0x74:  # t
            prepared = self._answers(Awaited.DESCRIBE_STATEMENT).prepared
            if prepared is not None:
                prepared.parameter_types = decode_parameter_description(body).parameter_types
            self._send(encode(b"t", body))
        elif kind == 0x45:  # E
            self._error(body)
        elif kind in (0x4E, 0x41, 0x53):  # N A S
            self._asynchronous(kind, body)
        elif kind in (0x73, 0x49):  # s I
            self._suspended_or_empty(kind, body)
        elif kind in (0x47, 0x48, 0x63):  # G H c
            self._copy(kind, body)
        else:
            raise PeerViolation(f"the server sent a message of type {chr(kind)!r} that has no place here")

    def _answers(self, *awaited: Awaited) -> Expected:
        head = self._state.expected.head
        if head is None or head.awaited not in awaited or head.refusal is not None:
            raise PeerViolation("the server answered something else than was asked")
        return head

    def _completes(self, awaited: Awaited, kind: int, body: bytes) -> None:
        entry = self._answers(awaited)
        for definition in entry.definitions:
            self._state.registry.confirm(definition)
        self._state.expected.pop()
        self._send(encode(bytes((kind,)), body))

    def _row_description(self, body: bytes) -> None:
        state = self._state
        entry = self._answers(Awaited.QUERY, Awaited.DESCRIBE_PORTAL, Awaited.DESCRIBE_STATEMENT)
        if entry.awaited is Awaited.QUERY:
            execution = entry.execution
            if execution is None:
                raise PeerViolation("the server described rows that nothing asked for")
            self._result.plan(body, execution)
        elif entry.awaited is Awaited.DESCRIBE_PORTAL and entry.portal is not None:
            # The plan belongs to the run, whose decision it follows: it is made when rows come.
            entry.portal.description = body
        if entry.awaited is not Awaited.QUERY:
            state.expected.pop()
        if not entry.is_hidden:
            self._send(encode(b"T", body))

    def _no_data(self, body: bytes) -> None:
        entry = self._answers(Awaited.DESCRIBE_PORTAL, Awaited.DESCRIBE_STATEMENT)
        self._state.expected.pop()
        if not entry.is_hidden:
            self._send(encode(b"n", body))

    def _command_complete(self, body: bytes) -> None:
        state = self._state
        entry = self._answers(Awaited.QUERY, Awaited.EXECUTE)
        execution = entry.execution
        if execution is None:
            raise PeerViolation("the server completed a statement that nothing asked for")
        tag = decode_command_complete(body).tag
        carry_out(state, execution, tag)
        finish(state, execution, "ok", tag=tag)
        state.transaction_touches |= execution.touches
        entry.current += 1
        if entry.awaited is Awaited.EXECUTE:
            self._pop_execute(entry)
        self._send(encode(b"C", body))

    def _pop_execute(self, entry: Expected) -> None:
        state = self._state
        state.expected.pop()
        if state.copy_execute is entry:
            state.copy_execute = None
        if entry.changes_schema:
            state.changes.has_any = True

    def _suspended_or_empty(self, kind: int, body: bytes) -> None:
        entry = self._answers(Awaited.EXECUTE) if kind == 0x73 else self._answers(Awaited.EXECUTE, Awaited.QUERY)
        execution = entry.execution
        if execution is not None:
            if kind == 0x73:
                self._result.suspend(execution)
            finish(self._state, execution, "ok", tag=b"SUSPENDED")
        if entry.awaited is Awaited.EXECUTE:
            self._pop_execute(entry)
        self._send(encode(bytes((kind,)), body))

    def _copy(self, kind: int, body: bytes) -> None:
        entry = self._answers(Awaited.QUERY, Awaited.EXECUTE)
        if entry.execution is None:
            raise PeerViolation("the server began a COPY that nothing asked for")
        if kind == 0x47 and entry.awaited is Awaited.EXECUTE:
            # The server reads these Syncs in the middle of the COPY, and ignores them.
            for sync in entry.syncs_in_copy:
                self._state.expected.remove(sync)
            entry.takes_copy_now = True
            entry.syncs_in_copy = []
        elif kind == 0x48:
            self._result.begin_copy(entry.execution, body)
        elif kind == 0x63:
            end_copy(entry.execution.masker)
        self._send(encode(bytes((kind,)), body))

    def _error(self, body: bytes) -> None:
        state, execution = self._state, self._running()
        refusal = None if execution is None else self._result.refusal_of_cancel(execution, body)
        if execution is not None and refusal is not None:
            finish(state, execution, "refused", sqlstate=refusal.sqlstate)
            state.observe("refusals", refusal.reason.value)
        shown = errors_of_server.take_error(state, body)
        self.has_ended |= shown.is_fatal
        if shown.is_fatal:
            # Also where the rest of a result is dropped: the client is told why the session ends.
            state.to_client.send(shown.data)
        else:
            self._send(shown.data if refusal is None else refusal.error())

    def _asynchronous(self, kind: int, body: bytes) -> None:
        data = asynchronous.shown(self._state, kind, body)
        self._state.to_client.send(data)

    def _ready_for_query(self, body: bytes) -> None:
        state = self._state
        status = decode_ready_for_query(body).status
        entry = self._ready_entry()
        for definition in entry.definitions:
            state.registry.confirm(definition)
        for execution in entry.executions:
            for pending in execution.definitions:
                state.registry.discard(pending)
            finish(state, execution, "unknown")
        state.expected.pop()
        state.transaction = status
        if status == IDLE:
            self._end_transaction()
        state.is_muted = False
        state.to_client.send(encode(b"Z", body))

    def _ready_entry(self) -> Expected:
        head = self._state.expected.head
        if head is None or head.awaited not in (Awaited.QUERY, Awaited.SYNC):
            raise PeerViolation("the server is ready before it has answered")
        return head

    def _end_transaction(self) -> None:
        state = self._state
        state.registry.end_transaction(is_committed=not state.has_failed)
        state.has_failed = False
        state.transaction_touches = False
        self._result.forget_portals()
        state.names.transaction_ended()
        state.has_run_code &= bool(state.expected)
        if state.changes.has_schema:
            state.schema_changes()
        if state.changes.has_any:
            state.changes.is_stale = True
            state.changes.count += 1
            state.effects.append(SchemaChanged())
        if not any(entry.changes_schema for entry in state.expected.entries):
            state.changes.is_opaque = state.changes.has_code = state.changes.has_any = state.changes.has_schema = False
