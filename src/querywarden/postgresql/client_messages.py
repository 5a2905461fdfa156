"""The client's messages, admitted one after the other as far as they can be judged.

What can't be judged yet stays in front, and everything behind it waits: admission is in order of arrival.
"""

from __future__ import annotations

import hashlib

from querywarden.errors import PeerViolation, ReasonCode
from querywarden.gate.permit import Housekeeping
from querywarden.model.facts import Analysis
from querywarden.postgresql import extended_query, holds, simple_query
from querywarden.postgresql.client_stream import Message, Oversize, Piece
from querywarden.postgresql.dispositions import Disposition, Phase, disposition
from querywarden.postgresql.error_response import encode_fields
from querywarden.postgresql.error_text import runs_own_code
from querywarden.postgresql.expected import Awaited, Expected
from querywarden.postgresql.framing import HEADER_BYTES, encode
from querywarden.postgresql.hidden_exchange import SegmentFailed
from querywarden.postgresql.judgement import judge_refused
from querywarden.postgresql.judgement_wait import MustWait
from querywarden.postgresql.messages.frontend import TERMINATE
from querywarden.postgresql.outgoing import ToServer
from querywarden.postgresql.prepared import NotSettled, Portal
from querywarden.postgresql.refusal import refusal_for
from querywarden.postgresql.session_state import Ending, SessionState

_WHOLE_MESSAGES = {
    ord("Q"): simple_query.admit_query,
    ord("P"): extended_query.admit_parse,
    ord("D"): extended_query.admit_describe,
    ord("E"): extended_query.admit_execute,
    ord("C"): extended_query.admit_close,
}
_SYNC, _FLUSH, _TERMINATE, _BIND, _COPY_DONE, _FUNCTION_CALL, _QUERY, _PARSE = (ord(c) for c in "SHXBcFQP")
_RUNS = frozenset(b"QPE")
_OF_PORTALS = frozenset(b"BE")

Received = Message | Oversize | Piece


class ClientMessages:
    """What the client has sent, on its way to being judged."""

    __slots__ = (
        "_binding",
        "_bytes_max",
        "_digest",
        "_is_copy_of_query",
        "_messages_max",
        "_pending",
        "_relays_piece",
        "_state",
        "is_at_fault",
    )

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._messages_max = state.context.limits.pipeline_messages_max
        self._bytes_max = state.context.limits.pipeline_bytes_max
        self._pending: Received | None = None
        """The message that is admitted next."""
        self._binding: Portal | None = None
        """The portal of a Bind whose values are still coming."""
        self._digest = hashlib.sha256()
        self._relays_piece = False
        """The server has the beginning of a message whose rest is still to come: it gets all of it, whatever happens meanwhile."""
        self._is_copy_of_query = False
        """That beginning is of data for a COPY in a Query."""
        self.is_at_fault = False
        """A violation that comes up now is the client's."""

    @property
    def is_waiting(self) -> bool:
        """Whether the client needn't be read from: a message is waiting, or none is admitted any more."""
        return self._pending is not None or self._must_hold_back()

    def take_analysis(self, ticket: int, analysis: Analysis) -> None:
        """The worker's answer for the message in front."""
        state = self._state
        if ticket == state.awaited_analysis and isinstance(self._pending, Message):
            state.analyses[_text_of(self._pending)] = analysis
            state.awaited_analysis = 0

    def admit(self) -> None:
        """Admit messages in order until one has to wait, or none is left.

        Raises: PeerViolation, with `is_at_fault` set.
        """
        stream = self._state.stream
        if self._pending is None and not len(stream):
            return
        self.is_at_fault = True
        while not self._must_hold_back():
            if self._pending is None:
                self._pending = stream.take() if len(stream) else None
            if self._pending is None:
                break
            try:
                self._admit_one(self._pending)
            except (MustWait, NotSettled):
                break
            except SegmentFailed as failed:
                self._fail_segment(failed, self._pending)
            self._pending = None
            holds.leave(self._state)
        self.is_at_fault = False

    def _fail_segment(self, failed: SegmentFailed, message: Received) -> None:
        """A hidden exchange was the segment's to fail: the client gets its error where the message in front would have got one."""
        state = self._state
        sqlstate = failed.error.sqlstate.decode("ascii", "replace")
        refusal = holds.cancelled(state)
        if refusal is None:
            sentence = "the server could not plan this statement"
            refusal = refusal_for(ReasonCode.UNANALYSABLE, state.new_audit_id(), sentence, sqlstate=sqlstate)
        judgement = judge_refused(state, "execute", 0, refusal)
        state.to_client.hold_until_safe(judgement.record)
        if not state.is_muted:
            is_own = failed.shown is not None and not runs_own_code(failed.shown)
            state.to_client.send(encode_fields(failed.shown) if failed.shown is not None and is_own else refusal.error())
        state.has_failed = True
        if message.type == _QUERY or (message.type == _PARSE and isinstance(message, Message) and message.body[:1] == b"\0"):
            # It would have taken the place of this before it failed.
            state.registry.drop_unnamed_statement()
        state.is_skipping = message.type != _QUERY
        if message.type == _QUERY:
            # The server would be ready after the error of a Query; after ours it skips to a Sync, whose ReadyForQuery is the Query's.
            state.queue(ToServer(encode(b"S", b""), Housekeeping.SYNC, entry=Expected(Awaited.SYNC)))
            self._end_segment()

    def _end_segment(self) -> None:
        state = self._state
        state.registry.segment += 1
        state.is_mid_segment = state.has_portals = state.may_be_implicit = False

    def _must_hold_back(self) -> bool:
        state = self._state
        if state.has_said_goodbye or (state.ending is not None and not state.is_mid_segment):
            return True
        if state.is_draining and state.is_at_rest:
            return True
        return self.is_full

    @property
    def is_full(self) -> bool:
        """Whether as much is under way as may be."""
        state = self._state
        return len(state.expected.entries) >= self._messages_max or state.to_server.waiting_bytes >= self._bytes_max

    def _admit_one(self, message: Received) -> None:
        state = self._state
        kind = message.type
        if isinstance(message, Piece) and not message.is_first:
            self._go_on(message)
            return
        if state.is_skipping and kind not in (_SYNC, _TERMINATE):
            return  # The server would skip it too: an error came, and no Sync yet.
        phase = Phase.COPY_IN if state.expected.copies else Phase.STATEMENTS
        match disposition(phase, kind):
            case Disposition.INSPECT:
                self._inspect(message)
            case Disposition.DROP:
                return
            case Disposition.RELAY:
                self._relay_copy(message)
            case Disposition.REFUSE:
                self._refuse(message)

    def _inspect(self, message: Received) -> None:
        state = self._state
        if isinstance(message, Oversize):
            refuse = simple_query.refuse_oversize if message.type == _QUERY else extended_query.refuse_oversize_parse
            refuse(state, message.length)
        elif isinstance(message, Piece):
            self._begin_bind(message)
        elif message.type == _SYNC:
            extended_query.admit_sync(state)
            state.is_mid_segment = state.has_portals = state.may_be_implicit = False
        elif message.type in _WHOLE_MESSAGES or message.type == _BIND:
            self._inspect_whole(message)
        elif message.type == _FLUSH:
            extended_query.admit_flush(state)
        elif message.type == _TERMINATE:
            state.queue(ToServer(TERMINATE, Housekeeping.TERMINATE))
            state.has_said_goodbye = True

    def _inspect_whole(self, message: Message) -> None:
        """Admit a message that runs or prepares something, unless the principal's access has ended.

        Between statements the session ends then; in a pipeline the rest is refused, so that its Sync still gets its answer.
        """
        state, kind = self._state, message.type
        self._check_access()
        if state.ending is not None:
            if not state.is_mid_segment:
                return
            if kind in _RUNS:
                extended_query.refuse_ended(state, kind, len(message.body), state.ending.sentence)
                return
        if kind == _BIND:
            extended_query.admit_bind(state, encode(b"B", message.body), message.body, is_whole=True)
        else:
            _WHOLE_MESSAGES[kind](state, message.body)
        state.is_mid_segment = kind != _QUERY
        state.may_be_implicit |= kind == _QUERY and state.has_portals
        state.has_portals = state.is_mid_segment and (state.has_portals or kind in _OF_PORTALS)

    def _refuse(self, message: Received) -> None:
        if message.type != _FUNCTION_CALL or not isinstance(message, Message):
            raise PeerViolation(f"message of type 0x{message.type:02x} is not known, or has no place here")
        simple_query.refuse_function_call(self._state, len(message.body))

    def _check_access(self) -> None:
        """A principal whose access has ended gets no further statement."""
        state = self._state
        if state.ending is None:
            sentence = state.context.access_ended(state.principal, state.now)
            if sentence is not None:
                state.ending = Ending("57P01", sentence, "access_ended")

    def _begin_bind(self, piece: Piece) -> None:
        state = self._state
        self._binding = extended_query.admit_bind(state, piece.data, piece.data[HEADER_BYTES:], is_whole=False)
        self._digest = hashlib.sha256(piece.data[HEADER_BYTES:].split(b"\0", 2)[2])
        self._relays_piece = self._binding is not None and not piece.is_last
        state.is_mid_segment = state.has_portals = True
        self._end_bind(piece)

    def _go_on(self, piece: Piece) -> None:
        """The rest of a message in pieces follows its beginning, to the server or nowhere."""
        if self._relays_piece:
            basis = Housekeeping.BIND if self._binding is not None else Housekeeping.COPY_DATA
            self._state.queue(ToServer(piece.data, basis), is_of_query=self._binding is None and self._is_copy_of_query)
        self._relays_piece = self._relays_piece and not piece.is_last
        if self._binding is not None:
            self._digest.update(piece.data)
            if self._binding.scan is not None:
                self._binding.scan.feed(piece.data)
            self._end_bind(piece)

    def _end_bind(self, piece: Piece) -> None:
        if piece.is_last and self._binding is not None:
            self._binding.parameters_commitment = self._digest.digest()
            self._binding = None

    def _relay_copy(self, message: Received) -> None:
        state = self._state
        # Data for a Query must not be kept back with what comes after the Query.
        self._is_copy_of_query = state.copy_execute is None
        if isinstance(message, Piece):
            state.queue(ToServer(message.data, Housekeeping.COPY_DATA), is_of_query=self._is_copy_of_query)
            self._relays_piece = not message.is_last
        elif isinstance(message, Message):
            basis = Housekeeping.COPY_DATA if message.type == _COPY_DONE else Housekeeping.COPY_FAIL
            state.queue(ToServer(encode(bytes((message.type,)), message.body), basis), is_of_query=self._is_copy_of_query)
            state.copy_execute = None


def _text_of(message: Message) -> bytes:
    """The statement's text in a Query or Parse."""
    if message.type == _QUERY:
        return message.body[:-1]
    return message.body.split(b"\0", 2)[1]
