"""The statement phase: from the first ReadyForQuery to the end of the session.

Every input ends in the same three steps: admit what the client has sent as far as it can be judged, release what waits for nothing any
more, and read from each side just when there is room for what it sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from querywarden.audit.record import of_session
from querywarden.audit.session_records import CONN_CLOSED, conn_closed
from querywarden.errors import PeerViolation
from querywarden.gate.permit import Housekeeping
from querywarden.model.catalogue import Catalogue
from querywarden.model.principal import Principal
from querywarden.postgresql import holds
from querywarden.postgresql.client_messages import ClientMessages
from querywarden.postgresql.client_stream import ClientStream
from querywarden.postgresql.completion import finish
from querywarden.postgresql.error_response import encode_error
from querywarden.postgresql.front import Withdrawal
from querywarden.postgresql.login import Established
from querywarden.postgresql.messages.frontend import TERMINATE
from querywarden.postgresql.server_answers import ServerAnswers
from querywarden.postgresql.session_context import StatementContext
from querywarden.postgresql.session_state import Ending, SessionState
from querywarden.session import effects as fx
from querywarden.session import inputs

_WITHDRAWALS = {
    "draining": Withdrawal.DRAINING,
    "access_ended": Withdrawal.ACCESS_ENDED,
    "killed": Withdrawal.ACCESS_ENDED,
    "server_gone": Withdrawal.SERVER_GONE,
    "server_ended": Withdrawal.SERVER_GONE,
    "server_violation": Withdrawal.SERVER_GONE,
}
"""Why a wait for approvers ends with its session, by the session's own end; anything else is the client's."""


def major_version(parameters: Mapping[str, str]) -> int:
    """The major version in what a server reports as `server_version`, such as `15.14 (Debian …)` or `18beta1`; 0 when it says none."""
    digits = "".join(takewhile(str.isdigit, parameters.get("server_version", "")))
    return int(digits) if digits else 0


class StatementPhase:
    """One session between two logged-in sides."""

    __slots__ = (
        "_answers",
        "_client_is_paused",
        "_messages",
        "_opened_at",
        "_server_is_paused",
        "_server_key",
        "_state",
        "is_over",
    )

    def __init__(self, established: Established, context: StatementContext, peer: Mapping[str, Any], now: float) -> None:
        stream = ClientStream(context.limits)
        told = of_session(established.principal, context.database, context.session_id, peer)
        self._state = SessionState(context, established.principal, told, stream, now=now, client=peer)
        self._state.hold_mode = self._state.hold_mode_at_start = established.hold_mode
        self._state.reason = self._state.reason_at_start = established.reason
        self._state.server_major = major_version(established.parameters)
        self._state.is_dump = established.application_name == "pg_dump"
        self._state.told_settings = {(name.encode(), value.encode()) for name, value in established.parameters.items()}
        key = established.server_key
        self._server_key = None if key is None else (key.process_id, key.key)
        self._answers = ServerAnswers(self._state, self._server_key)
        self._messages = ClientMessages(self._state)
        self._client_is_paused = False
        self._server_is_paused = False
        self._opened_at = now
        self.is_over = False

    @property
    def state(self) -> SessionState:
        """The shared state, for tests and for the session's own reports."""
        return self._state

    def begin(self, established: Established, now: float) -> list[fx.Effect]:
        """The first effects: ask for the catalogue, and look at what both sides have sent ahead."""
        self._state.now = now
        self._state.ask_for_catalogue()
        self._state.stream.receive(established.client_bytes)
        if established.server_bytes:
            return self.handle(inputs.ServerBytes(memoryview(established.server_bytes)), now)
        return self._settle()

    def handle(self, input: inputs.Input, now: float) -> list[fx.Effect]:  # noqa: A002 - the word of session/inputs
        """The effects of an input."""
        if self.is_over:
            return []
        self._state.now = now
        try:
            self._take(input)
            return self._settle()
        except PeerViolation as violation:
            return self._violated(violation, self._messages.is_at_fault)

    def _take(self, input: inputs.Input) -> None:  # noqa: A002 - the word of session/inputs
        state = self._state
        match input:
            case inputs.ClientBytes(data):
                state.bytes_in += len(data)
                state.stream.receive(data)
            case inputs.ServerBytes(data):
                self._answers.receive(data)
            case inputs.RecordSafe(number):
                state.unsafe.discard(number)
            case inputs.RecordFailed(number):
                self._record_failed(number)
            case inputs.AnalysisFinished(ticket, analysis):
                self._messages.take_analysis(ticket, analysis)
            case inputs.CatalogueReady(catalogue):
                self._take_catalogue(catalogue)
            case inputs.CatalogueFailed(detail):
                state.awaits_catalogue = False
                state.catalogue_failure = None if self._answers.is_waiting else detail
                self._answers.resume()
            case inputs.CancelRequested():
                self._cancel()
            case inputs.CancelAnswered():
                state.to_server.is_blocked = False
            case inputs.ClientClosed():
                self._client_gone()
            case inputs.ServerClosed():
                self._server_gone()
            case inputs.Draining():
                state.is_draining = True
                holds.withdraw(state, Withdrawal.DRAINING)
            case inputs.AccessEnded(sentence, at_once):
                self._access_ended(sentence, at_once)
            case inputs.PrincipalChanged(principal):
                self._principal_changed(principal)
            case inputs.PolicyChanged():
                pass  # What waits is decided again when the inputs settle, below.
            case inputs.ApprovalOpened():
                holds.take_opened(state, input)
            case inputs.ApprovalSettled():
                holds.take_settled(state, input)
            case inputs.ApprovalUnavailable():
                holds.take_unavailable(state, input)
            case inputs.TimerFired(name):
                self._timer_fired(name)
            case inputs.CredentialVerified() | inputs.CredentialRejected() | inputs.ServerConnected() | inputs.ServerUnavailable():
                pass  # The login's; it is over.

    def _take_catalogue(self, catalogue: Catalogue) -> None:
        state = self._state
        if state.catalogue is None or catalogue.generation != state.catalogue.generation:
            state.tried_names.clear()
            state.tried_functions.clear()
            state.tried_ids.clear()
            self._answers.forget_unknown()
        state.catalogue = catalogue
        state.catalogue_failure = None
        if state.awaits_catalogue:
            state.awaits_catalogue = False
            state.changes.is_stale = state.changes.count != state.changes.count_asked
            self._answers.forget_stale()
        self._answers.resume()

    def _timer_fired(self, name: str) -> None:
        if name == holds.HOLD_TIMER:
            holds.remind(self._state)
        else:
            self._answers.timer_fired(name)

    def _principal_changed(self, principal: Principal) -> None:
        state = self._state
        state.principal = principal
        state.told = of_session(principal, state.context.database, state.context.session_id, state.client)

    def _access_ended(self, sentence: str, at_once: bool) -> None:
        state = self._state
        if at_once:
            self._fatal("57P01", sentence, "killed")
            return
        state.ending = Ending("57P01", sentence, "access_ended")
        holds.withdraw(state, Withdrawal.ACCESS_ENDED)

    # The three steps

    def _settle(self) -> list[fx.Effect]:
        state = self._state
        if not self.is_over:
            self._messages.admit()
        was_full, was_queued = self._messages.is_full, not state.to_server.is_quiet
        self._release()
        while was_full and not self.is_over and not self._messages.is_full:
            # There is room again for what was held back, and perhaps no further input that would have it looked at.
            self._messages.admit()
            was_full = self._messages.is_full
            self._release()
        if was_queued and state.front is not None and state.to_server.is_quiet and not self.is_over:
            # What stood before the message in front has gone, perhaps with no answer to come.
            self._messages.admit()
            self._release()
        if not self.is_over:
            self._end_at_boundary()
            self._answers.keep_time()
            self._regulate()
        effects, state.effects = state.effects, []
        return effects

    def _release(self) -> None:
        state = self._state
        state.effects += state.to_server.release(state.unsafe, state.failed)
        state.effects += state.to_client.release(state.unsafe)

    # Ends

    def _cancel(self) -> None:
        """Take back what waits for approvers, or forward a cancel if the server is at work for this client; else there is nothing to do."""
        state = self._state
        head = state.expected.head
        if holds.withdraw(state, Withdrawal.CANCELLED):
            return
        if head is not None and head.probe is not None and not holds.cancel_probe(state):
            return
        if state.expected and self._server_key is not None and not state.to_server.is_blocked:
            state.to_server.is_blocked = True
            state.effects.append(fx.ForwardCancel(*self._server_key))

    def _record_failed(self, number: int) -> None:
        state = self._state
        tells_an_end = state.to_client.waits_for(number)
        state.failed.add(number)
        if tells_an_end:
            # A statement has run, and its end can't be recorded: the client isn't told that it went well.
            self._fatal("53100", "Querywarden can't write its audit log: the outcome of the statement is not recorded", "log_unavailable")
        state.unsafe.discard(number)

    def _client_gone(self) -> None:
        state = self._state
        if state.expected and self._server_key is not None:
            state.effects.append(fx.ForwardCancel(*self._server_key))
        state.effects.append(fx.SendToServer(TERMINATE, Housekeeping.TERMINATE))
        self._close("client_gone")

    def _server_gone(self) -> None:
        if not self._answers.has_ended:
            self._fatal("08006", "the database server closed the connection", "server_gone", server_stands=False)
            return
        self._close("server_ended")

    def _end_at_boundary(self) -> None:
        state = self._state
        if state.has_said_goodbye and not len(state.to_server):
            self._close("client_ended")
            return
        if state.ending is None and not state.is_draining:
            return
        if state.expected or len(state.to_server) or len(state.to_client):
            return
        if state.ending is not None:
            self._fatal(state.ending.sqlstate, state.ending.sentence, state.ending.reason)
        elif state.is_draining and state.is_at_rest:
            self._fatal("57P01", "Querywarden is shutting down; connect again", "draining")

    def _violated(self, violation: PeerViolation, is_client: bool) -> list[fx.Effect]:
        side = "client" if is_client else "server"
        self._state.effects.append(fx.Log("warning", "session.violation", {"side": side, "detail": str(violation)}))
        if is_client:
            self._fatal("08P01", f"protocol violation: {violation}", "client_violation")
        else:
            self._fatal("08006", "the database server sent what Querywarden can't pass on", "server_violation")
        effects, self._state.effects = self._state.effects, []
        return effects

    def _fatal(self, sqlstate: str, sentence: str, reason: str, server_stands: bool = True) -> None:
        """End the session with one honest error."""
        state = self._state
        state.effects.extend(state.to_client.release(state.unsafe))
        state.to_client.drop()
        if not self._answers.is_mid_message:
            # In the middle of a row it would be taken for a part of that; the end of the connection is all that can be told then.
            state.effects.append(fx.SendToClient(encode_error("FATAL", sqlstate, sentence)))
        if server_stands:
            if state.expected and self._server_key is not None:
                state.effects.append(fx.ForwardCancel(*self._server_key))
            state.effects.append(fx.SendToServer(TERMINATE, Housekeeping.TERMINATE))
        self._close(reason)

    def _close(self, reason: str) -> None:
        """Record what is left open, and close both sides after what was queued."""
        state = self._state
        self.is_over = True
        holds.leave(state, _WITHDRAWALS.get(reason, Withdrawal.CLIENT_GONE))
        for entry in state.expected:
            for execution in entry.executions[entry.current :]:
                finish(state, execution, "unknown", client_waits=False)
        self._release()
        body = conn_closed(
            reason,
            session_id=state.context.session_id,
            principal=state.principal,
            database=state.context.database,
            statements=state.statements,
            bytes_in=state.bytes_in,
            bytes_out=state.to_client.released_bytes,
            duration_us=max(0, int((state.now - self._opened_at) * 1_000_000)),
        )
        state.effects.append(fx.AppendRecord(None, CONN_CLOSED, body, fx.Durability.WRITTEN))
        state.effects += [fx.CloseServer(), fx.CloseClient()]

    # Reading from both sides

    def _regulate(self) -> None:
        """Read from a side only when there is room for what it sends."""
        state = self._state
        client_waits = self._messages.is_waiting
        if client_waits != self._client_is_paused:
            self._client_is_paused = client_waits
            state.effects.append(fx.PauseClient() if client_waits else fx.ResumeClient())
        server_waits = self._answers.is_waiting or state.to_client.waiting_bytes > state.context.limits.high_water_bytes
        if server_waits != self._server_is_paused:
            self._server_is_paused = server_waits
            state.effects.append(fx.PauseServer() if server_waits else fx.ResumeServer())
