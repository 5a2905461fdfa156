"""The server's answers: each message matched to what it answers, rows masked, errors cleaned, ends recorded before they are told.

A chunk is worked through in one go: runs of rows by the kernel, everything else message by message. What can't be decided yet (a result
from a relation that the catalogue doesn't have) is left in place, and the server isn't read from until it can.
Spec: PostgreSQL 18, "Message Flow".
"""

from __future__ import annotations

from querywarden.errors import PeerViolation
from querywarden.postgresql import asynchronous, errors_of_server, row_limits
from querywarden.postgresql.completion import carry_out, finish
from querywarden.postgresql.expected import Awaited, Execution, Expected
from querywarden.postgresql.framing import HEADER_BYTES, encode, read_header
from querywarden.postgresql.messages.backend import decode_command_complete, decode_ready_for_query
from querywarden.postgresql.refusal import Refusal
from querywarden.postgresql.row_errors import RowTooLarge
from querywarden.postgresql.row_plan import STALE, UnknownRelation, plan_rows
from querywarden.postgresql.rows import relay_rows
from querywarden.postgresql.session_state import IDLE, SessionState
from querywarden.session.effects import ForwardCancel, SchemaChanged

_DATA_ROW, _COPY_DATA = ord("D"), ord("d")
_LARGE_TEXT = frozenset(b"EN")
"""Errors and notices quote the client's own texts, which may be as long as a statement."""


class ServerAnswers:
    """The server's byte stream of one session, and how far it has been worked through."""

    __slots__ = (
        "_is_muted", "_partial", "_position", "_relaying", "_row_left", "_server_key", "_state", "_tried", "has_ended",
        "is_waiting",
    )  # fmt: skip

    def __init__(self, state: SessionState, server_key: tuple[int, bytes] | None) -> None:
        self._state = state
        self._server_key = server_key
        self._partial = b""
        self._position = 0
        self._row_left = 0
        """Bytes of a masked row that are still to come, where rows are counted."""
        self._relaying = 0
        """Bytes of a relayed message that are still to come."""
        self._is_muted = False
        """The client has been told an error of ours that ends the statement under way; the server's answers to it are dropped."""
        self._tried: frozenset[int] = frozenset()
        """Relations for which a newer catalogue was asked for in vain: temporary ones, or of an open transaction."""
        self.is_waiting = False
        """Bytes are left that need a newer catalogue first."""
        self.has_ended = False
        """The server has said a FATAL error: it will close, and the client knows why."""

    def forget_unknown(self) -> None:
        """A new schema generation has come: what the old one didn't have may be in it."""
        self._tried = frozenset()

    def forget_stale(self) -> None:
        """A catalogue has come that was asked for: the next change of the session is to be asked for again."""
        self._tried -= {STALE}

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
            self._tried |= unknown.ids
            self.is_waiting = True
            self._state.ask_for_catalogue()
        return self._position

    def _take_messages(self, data: memoryview) -> None:
        position, end = 0, len(data)
        length_max = self._state.context.limits.server_message_bytes_max
        while position < end:
            self._position = position
            if self._relaying:
                position = self._relay(data, position, min(end, position + self._relaying))
                continue
            execution = self._running()
            if execution is not None and execution.masker is not None and execution.masker.is_mid_row:
                stop = end if execution.allow.rows_max is None else min(end, position + self._row_left)
                self._row_left -= stop - position
                position = self._mask_rows(data, position, stop, execution)
                continue
            if end - position < HEADER_BYTES:
                break
            kind, length = read_header(data, position, length_max)
            if kind == _DATA_ROW:
                position = self._rows(data, position, end, execution)
            elif kind == _COPY_DATA:
                position = self._copy_data(data, position, end, length, execution)
            else:
                size = 1 + length
                if end - position < size:
                    self._check_size(kind, length)
                    break
                self._message(kind, bytes(data[position + HEADER_BYTES : position + size]))
                position += size
        self._position = position

    def _check_size(self, kind: int, length: int) -> None:
        limits = self._state.context.limits
        limit = 2 * limits.statement_bytes_max if kind in _LARGE_TEXT else 4 * limits.inspected_message_bytes_max
        if length > limit:
            raise PeerViolation(f"the server's message of type {chr(kind)!r} has {length} bytes")

    def _running(self) -> Execution | None:
        entries = self._state.expected.entries
        return entries[0].execution if entries else None

    def _send(self, data: bytes | memoryview) -> None:
        if not self._is_muted:
            self._state.to_client.send(bytes(data))

    # Rows and copy data

    def _relay(self, data: memoryview, position: int, stop: int) -> int:
        self._send(data[position:stop])
        self._relaying -= stop - position
        execution = self._running()
        if execution is not None:
            execution.bytes_out += stop - position
        return stop

    def _rows(self, data: memoryview, position: int, end: int, execution: Execution | None) -> int:
        if execution is not None and execution.row_plan is None:
            self._plan_described(execution)
        if execution is None or execution.row_plan is None:
            raise PeerViolation("the server sent a row that nothing asked for")
        if execution.allow.rows_max is not None and not self._is_muted:
            end, self._row_left = row_limits.end_of_rows(data, position, end, execution.allow.rows_max - execution.rows_so_far)
            if end == position:
                self._end_result(execution, row_limits.refusal(execution))
                end = len(data)
        if execution.masker is not None and not self._is_muted:
            return self._mask_rows(data, position, end, execution)
        stop, rows, remaining = relay_rows(data, position, end)
        execution.rows += rows
        self._relaying = remaining
        execution.bytes_out += stop - position
        self._send(data[position:stop])
        return stop

    def _mask_rows(self, data: memoryview, position: int, end: int, execution: Execution) -> int:
        try:
            out, stop = execution.masker.feed(data, position, end)
        except RowTooLarge as too_large:
            self._send(too_large.out)
            self._end_result(execution, row_limits.refusal_of_size(execution, self._state.context.limits.row_buffered_bytes_max))
            self._relaying = too_large.remaining
            return too_large.position
        execution.bytes_out += len(out)
        self._send(out)
        return int(stop)

    def _end_result(self, execution: Execution, refusal: Refusal) -> None:
        """A result may not go on: the client gets an error, the server a cancel, and the rest is dropped."""
        state = self._state
        finish(state, execution, "refused", sqlstate=refusal.sqlstate)
        state.observe("refusals", refusal.reason.value)
        self._send(refusal.error())
        self._is_muted = True
        if self._server_key is not None:
            state.to_server.is_blocked = True
            state.effects.append(ForwardCancel(*self._server_key))

    def _copy_data(self, data: memoryview, position: int, end: int, length: int, execution: Execution | None) -> int:
        if execution is None:
            raise PeerViolation("the server sent copy data that nothing asked for")
        stop = position
        size = 1 + length
        rows = 0
        # A run of CopyData goes on as one slice; the last may have begun only.
        while True:
            stop += size
            rows += 1
            if stop + HEADER_BYTES > end or data[stop] != _COPY_DATA:
                break
            size = 1 + read_header(data, stop, self._state.context.limits.server_message_bytes_max)[1]
        present = min(stop, end)
        execution.rows += rows
        self._relaying = stop - present
        if execution.allow.rows_max is not None and execution.rows > execution.allow.rows_max and not self._is_muted:
            self._end_result(execution, row_limits.refusal(execution))
        execution.bytes_out += present - position
        self._send(data[position:present])
        return present

    # Everything else

    def _message(self, kind: int, body: bytes) -> None:
        if kind == 0x5A:  # Z
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
            self._answers(Awaited.DESCRIBE_STATEMENT)
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
            execution.row_plan = plan_rows(state, body, execution, self._tried)
            execution.masker = execution.row_plan.masker(state)
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

    def _plan_described(self, execution: Execution) -> None:
        """The rows of an Execute follow what its portal was described as."""
        described = None if execution.portal is None else execution.portal.description
        if isinstance(described, bytes):
            execution.row_plan = plan_rows(self._state, described, execution, self._tried)
            execution.masker = execution.row_plan.masker(self._state)

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
        self._send(encode(bytes((kind,)), body))

    def _error(self, body: bytes) -> None:
        shown = errors_of_server.take_error(self._state, body)
        self.has_ended |= shown.is_fatal
        self._send(shown.data)

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
        self._is_muted = False
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
        if state.changes.has_any:
            state.changes.is_stale = True
            state.changes.count += 1
            state.effects.append(SchemaChanged())
        if not any(entry.changes_schema for entry in state.expected.entries):
            state.changes.is_opaque = state.changes.has_code = state.changes.has_any = False


