"""The driver of a session: carries its effects out, in order, and tells it what happens.

One driver per session connects client, server and the pure session between them. Nothing is decided here. Inputs that come
up while the session handles one (a record that is safe at once, a catalogue that is there already) wait in a queue, so that
the session is never entered twice. What an input makes the session send goes out as one write per side at most.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, assert_never

import structlog

from querywarden.audit.session_records import CONN_CLOSED, conn_closed
from querywarden.errors import DependencyFailure, IdentityRejected, PeerViolation
from querywarden.model.principal import Principal
from querywarden.postgresql.error_response import encode_error
from querywarden.postgresql.login import LOGIN_TIMER
from querywarden.runtime.catalogue_feed import CatalogueFeed
from querywarden.runtime.output import Output
from querywarden.runtime.services import Services, Session, SessionEntry
from querywarden.runtime.session_approvals import SessionApprovals
from querywarden.runtime.timers import Timers, now
from querywarden.runtime.transport_sides import PauseReason, Side
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

ORPHAN_SECONDS = 60.0
"""How long a session may go on without its client, to settle its records and its server, before it is cut off."""

_INTERNAL_ERROR = "Querywarden met an internal error and ended this session"


class SessionDriver:
    """Drives one session from its start to the end of both of its connections."""

    def __init__(
        self,
        session: Session,
        session_id: str,
        client: Side,
        peer_ip: str,
        services: Services,
        login_deadline: float,
    ) -> None:
        self.session = session
        self.session_id = session_id
        self.peer_ip = peer_ip
        self.principal: Principal | None = None
        self.database: str | None = None
        self.is_logged_in = False
        self.on_login: Callable[[SessionDriver], None] = _nothing
        self.on_end: Callable[[SessionDriver], None] = _nothing
        self._client = client
        self._server: Side | None = None
        self._services = services
        self._login_deadline = login_deadline
        self._log = structlog.get_logger().bind(session=session_id)
        self._queue: deque[ev.Input] = deque()
        self._is_handling = False
        self._is_over = False
        self._has_crashed = False
        self._client_close_requested = False
        self._output = Output(client, services.metrics)
        self._timers = Timers(lambda name: self.deliver(ev.TimerFired(name)))
        self._tasks: set[asyncio.Task[None]] = set()
        self._outliving: set[asyncio.Task[None]] = set()
        self._at_end: list[Callable[[], None]] = []
        self._catalogue = CatalogueFeed(services, self._spawn, self.deliver)
        self._approvals = SessionApprovals(services.approvals, self.deliver)
        self._entry: SessionEntry | None = None
        self._at_end += (self._catalogue.end, self._approvals.end)
        self._orphan_timer: asyncio.TimerHandle | None = None

    def begin(self, leftover: bytes = b"") -> None:
        """Start the session; `leftover` are bytes of the client that came with its StartupMessage."""
        self._client.hand_over(self)
        self._run(None)
        if leftover:
            self.deliver(ev.ClientBytes(memoryview(leftover)))
        if self._client.has_ended:
            self.deliver(ev.ClientClosed())

    def deliver(self, happened: ev.Input) -> None:
        """Hand the session an input, now or after the one that it is handling."""
        if self._is_handling:
            self._queue.append(happened)
        else:
            self._run(happened)

    def abort(self) -> None:
        """End the session at once, whatever it is doing."""
        self._client.abort()
        if self._server is not None:
            self._server.abort()
        self._end_if_over()

    # What the sides say.

    def data_arrived(self, side: Side, data: memoryview) -> None:
        """Bytes from a side."""
        if side is self._client:
            self._services.metrics.client_bytes_received += len(data)
            self.deliver(ev.ClientBytes(data))
        else:
            self._services.metrics.server_bytes_received += len(data)
            self.deliver(ev.ServerBytes(data))

    def side_ended(self, side: Side) -> None:
        """A side was closed by its other end."""
        self.deliver(ev.ClientClosed() if side is self._client else ev.ServerClosed())

    def side_gone(self, side: Side) -> None:
        """A side's transport is gone."""
        if side is self._client and self._orphan_timer is None and not self._is_over:
            self._orphan_timer = asyncio.get_running_loop().call_later(ORPHAN_SECONDS, self._orphaned)
        other = self._server if side is self._client else self._client
        if other is not None:
            other.resume(PauseReason.PEER_SLOW)
        self._end_if_over()

    def side_congested(self, side: Side, is_congested: bool) -> None:
        """A slow reader on one side stops reading on the other; the way back goes on."""
        other = self._server if side is self._client else self._client
        if other is None:
            return
        if is_congested:
            other.pause(PauseReason.PEER_SLOW)
        else:
            other.resume(PauseReason.PEER_SLOW)

    # Running the session.

    def _run(self, happened: ev.Input | None) -> None:
        """Run the session on an input (None: its beginning) and on what comes up meanwhile."""
        if self._is_over or self._has_crashed:
            return
        self._is_handling = True
        began = now()
        try:
            effects = self.session.begin(began) if happened is None else self.session.handle(happened, began)
            while True:
                for effect in effects:
                    self._carry_out(effect)
                if not self._queue:
                    break
                effects = self.session.handle(self._queue.popleft(), now())
        except PeerViolation as violation:
            self._crash("08P01", f"protocol violation: {violation}", violation)
        except Exception as error:
            self._crash("XX000", _INTERNAL_ERROR, error)
        finally:
            self._is_handling = False
        self._output.end_of_input()
        if type(happened) is ev.ClientBytes:
            self._services.metrics.observe("added_seconds", _SESSION_STAGE, now() - began)
        if self._client.is_gone:
            self._end_if_over()

    def _observe_stage(self, stage: str, began: float) -> None:
        self._services.metrics.observe("added_seconds", (stage,), now() - began)

    def _carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case fx.SendToServer():
                self._output.to_server.append(effect.data)
            case fx.SendToClient():
                self._output.to_client.append(effect.data)
            case fx.AppendRecord():
                self._append(effect)
            case fx.Observe():
                self._services.metrics.observe(effect.metric, effect.labels, effect.amount)
            case fx.PauseClient():
                self._client.pause(PauseReason.SESSION)
            case fx.ResumeClient():
                self._client.resume(PauseReason.SESSION)
            case fx.PauseServer():
                if self._server is not None:
                    self._server.pause(PauseReason.SESSION)
            case fx.ResumeServer():
                if self._server is not None:
                    self._server.resume(PauseReason.SESSION)
            case fx.SetTimer():
                self._set_timer(effect)
            case fx.ClearTimer():
                self._clear_timer(effect)
            case fx.Analyse():
                self._spawn(self._analyse(effect))
            case fx.LoadCatalogue():
                self._catalogue.load(self.database, effect)
            case fx.SchemaChanged():
                if self.database is not None:
                    self._services.catalogues.schema_changed(self.database)
            case fx.VerifyCredential():
                self._spawn(self._verify(effect))
            case fx.ConnectServer():
                self._spawn(self._connect(effect))
            case fx.ForwardCancel():
                self._spawn(self._forward_cancel(effect), outlives=True)
            case fx.CloseClient():
                self._output.flush()
                self._client_close_requested = True
                self._client.close()
            case fx.CloseServer():
                self._output.flush()
                if self._server is not None:
                    self._server.close()
            case fx.RequestApproval():
                self._approvals.request(effect)
            case fx.WithdrawApproval():
                self._approvals.withdraw(effect)
            case fx.Spend():
                self._spend(effect)
            case fx.Log():
                self._log.log(_LEVELS.get(effect.level, 20), effect.event, **effect.fields)
            case _:
                assert_never(effect)

    def _crash(self, sqlstate: str, sentence: str, error: Exception) -> None:
        """End the session after an error that it did not settle itself: one FATAL, both sides closed, nothing half open."""
        self._has_crashed = True
        self._queue.clear()
        if isinstance(error, PeerViolation):
            self._log.warning("session.violation", detail=str(error))
        else:
            self._log.error("session.crashed", exc_info=error)
        kind = "violation" if isinstance(error, PeerViolation) else "internal"
        self._services.metrics.observe("session_errors", (kind,), 1)
        if self.is_logged_in:
            body = conn_closed(kind, session_id=self.session_id, principal=self.principal)
            self._services.journal.append(CONN_CLOSED, body, fx.Durability.WRITTEN, None)
        self._output.drop_unfinished()
        if not self._client_close_requested:
            self._client.write(encode_error("FATAL", sqlstate, sentence))
        self._client.close()
        if self._server is not None:
            # Not a close: bytes that were on their way to the server must not be followed by an orderly end.
            self._server.abort()

    # Carrying effects out.

    def _append(self, effect: fx.AppendRecord) -> None:
        number = effect.number
        if number is None:
            self._services.journal.append(effect.type, effect.body, effect.durability, None, effect.id)
            return

        began = now()
        is_at_hand = effect.durability is fx.Durability.WRITTEN
        self._output.answers_at_hand += is_at_hand

        def settled(is_safe: bool) -> None:
            self._output.answers_at_hand -= is_at_hand
            self._services.metrics.observe("added_seconds", _RECORD_STAGE, now() - began)
            self.deliver(ev.RecordSafe(number) if is_safe else ev.RecordFailed(number))

        self._services.journal.append(effect.type, effect.body, effect.durability, settled, effect.id)

    def _set_timer(self, effect: fx.SetTimer) -> None:
        seconds = effect.seconds
        if effect.name == LOGIN_TIMER:
            seconds = max(0.0, min(seconds, self._login_deadline - now()))
        self._timers.set(effect.name, seconds)

    def _clear_timer(self, effect: fx.ClearTimer) -> None:
        self._timers.clear(effect.name)
        if effect.name == LOGIN_TIMER and not self.is_logged_in and self.session.principal is not None:
            self._logged_in()

    def _logged_in(self) -> None:
        self.is_logged_in = True
        self._services.metrics.session_opened(self.database or "")
        if self._entry is not None:
            self._entry.logged_in()
        self.on_login(self)

    def _spend(self, effect: fx.Spend) -> None:
        principal = self.session.principal
        if principal is not None and self.database is not None:
            used = {"statements": effect.statements, "rows": effect.rows, "bytes": effect.bytes, "guesses": effect.guesses}
            self._services.budgets.spend(principal, self.database, **used)

    async def _analyse(self, effect: fx.Analyse) -> None:
        began = now()
        analysis = await self._services.analysers.analyse(effect.text)
        self._observe_stage("analyse", began)
        self.deliver(ev.AnalysisFinished(effect.ticket, analysis))

    async def _verify(self, effect: fx.VerifyCredential) -> None:
        self.database = effect.database
        began = now()
        try:
            principal = await self._services.verifier.verify(effect.credential, effect.database, self.peer_ip)
        except IdentityRejected as rejected:
            self.deliver(ev.CredentialRejected(rejected.cause))
        except DependencyFailure as failure:
            self._log.warning("credential.unverifiable", detail=str(failure))
            self.deliver(ev.CredentialRejected("unverifiable"))
        else:
            self._observe_stage("verify", began)
            await self._enter(principal, effect.database)

    async def _enter(self, principal: Principal, database: str) -> None:
        """Count the session in among the open ones, and go on with the principal and the access that it was given for a time."""
        self._at_end.append(self._services.access.watch(principal, self._access_ended))
        entry = self._entry = self._services.presence.enter(self.session_id, principal, database, self.peer_ip, self._changed)
        self._at_end.append(entry.leave)
        await entry.prepare()
        self.principal = entry.principal
        self.deliver(ev.CredentialVerified(entry.principal))
        if entry.refusal is not None:
            self.deliver(ev.AccessEnded(entry.refusal))

    def _changed(self, happened: ev.Input) -> None:
        if isinstance(happened, ev.PrincipalChanged):
            self.principal = happened.principal
        self.deliver(happened)

    def _access_ended(self, sentence: str) -> None:
        self.deliver(ev.AccessEnded(sentence))

    async def _connect(self, effect: fx.ConnectServer) -> None:
        if self._client_close_requested:
            return  # The login has ended in the same turn of the loop.
        self.database = effect.database
        side = Side(self, self._services.limits.high_water_bytes)
        self._server = self._output.server = side
        began = now()
        try:
            certificate = await self._services.dialer.connect(effect.database, side)
        except DependencyFailure as failure:
            self._server = self._output.server = None
            self._log.warning("server.unavailable", database=effect.database, detail=str(failure))
            self.deliver(ev.ServerUnavailable(str(failure)))
        else:
            self._observe_stage("connect", began)
            self.deliver(ev.ServerConnected(certificate))

    async def _forward_cancel(self, effect: fx.ForwardCancel) -> None:
        if self.database is not None:
            await self._services.dialer.cancel(self.database, effect.process_id, effect.key, self._server)
        self.deliver(ev.CancelAnswered())

    def _spawn(self, work: Coroutine[Any, Any, None], *, outlives: bool = False) -> None:
        """Run work in a task, which ends with the session unless it `outlives` it: a session that was killed still has to be cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        (self._outliving if outlives else self._tasks).add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._outliving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._is_over:
            # An unforeseen error of a service: the session can't know what became of its request.
            self._crash("XX000", _INTERNAL_ERROR, error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
            self._end_if_over()

    # The end.

    def _orphaned(self) -> None:
        if not self._is_over:
            self._log.error("session.orphaned")
            self.abort()

    def _end_if_over(self) -> None:
        if self._is_over or not self._client.is_gone:
            return
        # A server that is being dialled has no transport yet; it goes with its task.
        if self._server is not None and self._server.has_transport and not self._server.is_gone:
            return
        self._is_over = True
        self._timers.clear_all()
        if self._orphan_timer is not None:
            self._orphan_timer.cancel()
        for undo in self._at_end:
            undo()
        for task in list(self._tasks):
            task.cancel()
        if self.is_logged_in:
            self._services.metrics.session_closed(self.database or "")
        self.on_end(self)


def _nothing(driver: SessionDriver) -> None:
    """Who makes a driver may want to hear of its login and its end, or not."""


_SESSION_STAGE = ("session",)
_RECORD_STAGE = ("record",)

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
