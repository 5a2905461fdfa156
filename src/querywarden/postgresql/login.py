"""The login of a session: from the client's StartupMessage until both sides are logged in.

The client's credential is verified before the server hears of it, and `conn.opened` is safe in the log before the client
hears that it may begin. Whatever goes wrong ends both sides: there is no half-open session.
Spec: PostgreSQL 18, "Start-up".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from querywarden.audit import record, session_records
from querywarden.errors import DependencyFailure, PeerViolation
from querywarden.gate.permit import Housekeeping
from querywarden.model.decision import WaitMode
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.postgresql import login_failure as failure
from querywarden.postgresql.authentication import ClientGone, CredentialReader, negotiated_protocol, version_negotiation
from querywarden.postgresql.cancel_key import draw_cancel_key
from querywarden.postgresql.error_response import encode_error
from querywarden.postgresql.login_failure import LoginFailure
from querywarden.postgresql.login_settings import LoginSettings, Peer, ServerAccount
from querywarden.postgresql.messages.authentication import AUTHENTICATION_CLEARTEXT_PASSWORD, AUTHENTICATION_OK
from querywarden.postgresql.messages.backend import BackendKeyData, encode_backend_key_data, encode_ready_for_query
from querywarden.postgresql.messages.frontend import TERMINATE
from querywarden.postgresql.messages.opening import StartupMessage
from querywarden.postgresql.parameters import ClientParameters, ParameterRefused, read_parameters, server_parameters
from querywarden.postgresql.server_login import ServerLogin
from querywarden.session import effects as fx
from querywarden.session import inputs

__all__ = ["LOGIN_TIMER", "OPENED_RECORD", "Established", "LoginPhase", "LoginSettings", "Peer", "ServerAccount"]

LOGIN_TIMER = "login"
OPENED_RECORD = 0
"""The number of the `conn.opened` record within its session: the first."""
SERVER_LEFTOVER_BYTES_MAX = 256 * 1024
_NEEDED_SETTINGS = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}


class LoginStage(StrEnum):
    """How far a login has come: what it waits for."""

    CREDENTIAL = "credential"
    VERIFYING = "verifying"
    CONNECTING = "connecting"
    SERVER = "server"
    OPENING = "opening"
    ESTABLISHED = "established"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Established:
    """Both sides are logged in. Secrets: the keys, and the bytes that either side has sent ahead.

    `settings` are the client's start-up settings as the server got them, `parameters` what the server has reported.
    `own_key` is what the client was told (None where the server told us nothing), `server_key` what the server told us.
    `hold_mode` and `reason` are what the client said to the proxy itself.
    """

    principal: Principal
    database: Database
    role: str
    protocol: tuple[int, int]
    parameters: Mapping[str, str]
    settings: tuple[tuple[str, str], ...]
    server_key: BackendKeyData | None
    own_key: BackendKeyData | None
    claimed_user: str
    application_name: str
    client_bytes: bytes
    server_bytes: bytes
    hold_mode: WaitMode | None = None
    reason: str | None = None

    def __repr__(self) -> str:
        return f"Established(principal={self.principal!r}, database={self.database!r})"


class LoginPhase:
    """One login. `begin` gives its first effects, `handle` those of each input; `established` is set at its good end."""

    __slots__ = (
        "_account", "_client", "_client_is_paused", "_credential", "_database", "_kept", "_peer", "_principal", "_server", "_server_stands",
        "_session_id", "_settings", "_stage", "_startup", "established",
    )  # fmt: skip

    def __init__(self, startup: StartupMessage, settings: LoginSettings, peer: Peer, session_id: str) -> None:
        self._startup = startup
        self._settings = settings
        self._peer = peer
        self._session_id = session_id
        self._stage = LoginStage.CREDENTIAL
        self._client = ClientParameters("", None, "", (), ())
        self._credential = CredentialReader(settings.limits.password_bytes_max)
        self._kept = bytearray()
        self._client_is_paused = False
        self._database = ""
        self._account: ServerAccount | None = None
        self._principal: Principal | None = None
        self._server: ServerLogin | None = None
        self._server_stands = False
        self.established: Established | None = None

    @property
    def stage(self) -> LoginStage:
        """What the login waits for."""
        return self._stage

    @property
    def is_over(self) -> bool:
        """Whether the login has failed: both sides are being closed, and no input has an effect any more."""
        return self._stage is LoginStage.OVER

    def begin(self, now: float) -> list[fx.Effect]:
        """Judge the StartupMessage, and ask for the credential."""
        read = read_parameters(self._startup)
        if isinstance(read, ParameterRefused):
            answer = encode_error("FATAL", read.sqlstate, read.message, hint=read.hint)
            return self._fail(LoginFailure(answer, "startup_parameter", "info", fields={"sqlstate": read.sqlstate}))
        self._client = read
        self._database, self._account = self._settings.resolve(read.database, read.user)
        negotiation = version_negotiation(self._startup.protocol, read.protocol_options)
        return [
            fx.SetTimer(LOGIN_TIMER, self._settings.limits.login_seconds_max),
            fx.SendToClient(negotiation + AUTHENTICATION_CLEARTEXT_PASSWORD),
        ]

    def handle(self, input: inputs.Input, now: float) -> list[fx.Effect]:  # noqa: A002 - the word of session/inputs
        """The effects of an input. Inputs that come too late, or that no login waits for, have none."""
        if self._stage in (LoginStage.OVER, LoginStage.ESTABLISHED):
            return []
        match input:
            case inputs.ClientBytes(data):
                return self._client_bytes(data)
            case inputs.ServerBytes(data):
                return self._server_bytes(data)
            case inputs.CredentialVerified(principal) if self._stage is LoginStage.VERIFYING:
                return self._verified(principal)
            case inputs.CredentialRejected(cause) if self._stage is LoginStage.VERIFYING:
                return self._fail(failure.rejected(cause))
            case inputs.ServerConnected(certificate) if self._stage is LoginStage.CONNECTING:
                return self._connected(certificate)
            case inputs.ServerUnavailable(detail) if self._stage is LoginStage.CONNECTING:
                return self._fail(failure.unavailable(self._database, detail))
            case inputs.RecordSafe(number) if number == OPENED_RECORD and self._stage is LoginStage.OPENING:
                return self._opened()
            case inputs.RecordFailed(number) if number == OPENED_RECORD and self._stage is LoginStage.OPENING:
                return self._fail(failure.log_unavailable())
            case inputs.ClientClosed():
                return self._fail(LoginFailure(b"", "client_gone", "debug", fields={"stage": self._stage.value}))
            case inputs.ServerClosed() if self._server_stands:
                return self._fail(failure.server_closed(self._database))
            case inputs.TimerFired(name) if name == LOGIN_TIMER:
                return self._fail(failure.timed_out(self._stage.value))
            case inputs.Draining():
                return self._fail(failure.ended("Querywarden is shutting down; connect again", "draining"))
            case inputs.AccessEnded(sentence):
                return self._fail(failure.ended(sentence, "access_ended"))
            case _:
                # Late answers and what belongs to statements; there is nothing yet that a CancelRequest could mean.
                return []

    def _client_bytes(self, data: memoryview) -> list[fx.Effect]:
        if self._stage is not LoginStage.CREDENTIAL:
            return self._keep(data)
        try:
            credential = self._credential.receive(data)
        except ClientGone:
            return self._fail(LoginFailure(b"", "client_gone", "debug", fields={"stage": self._stage.value}))
        except PeerViolation as violation:
            return self._fail(failure.violated("client", str(violation)))
        if credential is None:
            return []
        if not credential:
            return self._fail(failure.rejected("empty"))
        self._stage = LoginStage.VERIFYING
        ahead = self._credential.take_leftover()
        effects = self._keep(memoryview(ahead)) if ahead else []
        return [*effects, fx.VerifyCredential(credential, self._database)]

    def _keep(self, data: memoryview) -> list[fx.Effect]:
        """Keep what the client sends ahead; it isn't looked at before the session stands."""
        self._kept += data
        limit = self._settings.limits.login_buffered_bytes_max
        if len(self._kept) > 4 * limit:
            return self._fail(failure.violated("client", "too many bytes ahead of the login's end"))
        if len(self._kept) <= limit or self._client_is_paused:
            return []
        self._client_is_paused = True
        return [fx.PauseClient()]

    def _verified(self, principal: Principal) -> list[fx.Effect]:
        self._principal = principal
        if self._account is None:
            return self._fail(failure.rejected("unknown_database"))
        sentence = self._settings.authorise(principal, self._account.name)
        if sentence is not None:
            return self._fail(failure.rejected("not_authorised", {"why": sentence}))
        self._stage = LoginStage.CONNECTING
        body = session_records.auth_succeeded(principal, self._account.resource, session_id=self._session_id, peer=self._record_peer())
        return [
            fx.AppendRecord(None, session_records.AUTH_SUCCEEDED, body, fx.Durability.WRITTEN),
            # Said now and not at the end: after it libpq takes a failure for the server's, and doesn't try again without TLS.
            fx.SendToClient(AUTHENTICATION_OK),
            fx.ConnectServer(self._account.name),
        ]

    def _connected(self, certificate: bytes | None) -> list[fx.Effect]:
        assert self._account is not None
        assert self._principal is not None
        self._server_stands = True
        account = self._account
        try:
            parameters = server_parameters(account.role, account.database, self._principal, self._client)
            self._server = ServerLogin(parameters, account.password, certificate, self._settings.draw, self._settings.scram_cache)
            opening = self._server.opening()
        except ValueError:
            return self._fail(failure.unavailable(self._database, "The principal's name or groups can't be told to the server."))
        if len(opening) > self._settings.limits.startup_bytes_max:
            return self._fail(
                failure.unavailable(self._database, "The principal has more groups than the server's start-up packet can hold.")
            )
        self._stage = LoginStage.SERVER
        return [fx.SendToServer(opening, Housekeeping.LOGIN)]

    def _server_bytes(self, data: memoryview) -> list[fx.Effect]:
        if self._server is None:
            return self._fail(failure.violated("server", "it spoke first"))
        try:
            step = self._server.receive(data)
        except PeerViolation as violation:
            return self._fail(failure.violated("server", str(violation)))
        except DependencyFailure as error:
            return self._fail(failure.unavailable(self._database, str(error)))
        effects: list[fx.Effect] = []
        if step.relay:
            effects.append(fx.SendToClient(step.relay))
        if self._server.error is not None:
            assert self._account is not None
            return effects + self._fail(failure.server_refused(self._database, self._account.role, self._server.error))
        if step.reply:
            effects.append(fx.SendToServer(step.reply, Housekeeping.LOGIN))
        if self._server.is_ready and self._stage is LoginStage.SERVER:
            effects += self._server_ready(self._server)
        elif self._server.unread_bytes > SERVER_LEFTOVER_BYTES_MAX:
            effects += self._fail(failure.violated("server", "too many bytes ahead of the login's end"))
        return effects

    def _server_ready(self, server: ServerLogin) -> list[fx.Effect]:
        assert self._account is not None
        assert self._principal is not None
        for name, value in _NEEDED_SETTINGS.items():
            if server.parameters.get(name) != value:
                return self._fail(failure.unfit_settings(name))
        self._stage = LoginStage.OPENING
        body = session_records.conn_opened(
            self._principal, self._account.resource, session_id=self._session_id, peer=self._record_peer(), role=self._account.role
        )
        return [fx.AppendRecord(OPENED_RECORD, session_records.CONN_OPENED, body, fx.Durability.WRITTEN)]

    def _opened(self) -> list[fx.Effect]:
        assert self._account is not None
        assert self._principal is not None
        assert self._server is not None
        protocol = negotiated_protocol(self._startup.protocol)
        # A server behind some poolers gives no key; then the client gets none either, since it could cancel nothing.
        own_key = None if self._server.key is None else draw_cancel_key(self._settings.draw, protocol)
        self._stage = LoginStage.ESTABLISHED
        self.established = Established(
            principal=self._principal,
            database=self._account.resource,
            role=self._account.role,
            protocol=protocol,
            parameters=self._server.parameters,
            settings=self._client.settings,
            server_key=self._server.key,
            own_key=own_key,
            claimed_user=self._client.user,
            application_name=self._client.application_name,
            client_bytes=bytes(self._kept),
            server_bytes=self._server.take_leftover(),
            hold_mode=None if self._client.hold_mode is None else WaitMode(self._client.hold_mode),
            reason=self._client.reason or None,
        )
        self._kept.clear()
        key_data = b"" if own_key is None else encode_backend_key_data(own_key)
        effects: list[fx.Effect] = [fx.ClearTimer(LOGIN_TIMER), fx.SendToClient(key_data + encode_ready_for_query(b"I"))]
        if self._client_is_paused:
            effects.append(fx.ResumeClient())
        effects.append(fx.Observe("logins", ("accepted",), 1))
        return effects

    def _record_peer(self) -> record.Body:
        return record.client(self._peer.ip, self._peer.port, self._peer.tls, self._client.application_name)

    def _fail(self, why: LoginFailure) -> list[fx.Effect]:
        """End the login: tell the client, record and log the cause, close both sides."""
        is_in_session = self._server is not None and self._server.is_ready
        stage, self._stage = self._stage, LoginStage.OVER
        self._kept.clear()
        self._credential.take_leftover()
        effects: list[fx.Effect] = []
        if why.cause != "client_gone":
            effects += self._failure_records(why)
        if why.answer:
            effects.append(fx.SendToClient(why.answer))
        if is_in_session and self._server_stands:
            effects.append(fx.SendToServer(TERMINATE, Housekeeping.TERMINATE))
        effects += [fx.ClearTimer(LOGIN_TIMER), fx.CloseClient()]
        if self._server_stands or stage is LoginStage.CONNECTING:
            effects.append(fx.CloseServer())
        return effects

    def _failure_records(self, why: LoginFailure) -> list[fx.Effect]:
        peer = self._record_peer()
        if why.blames_credential:
            kind = session_records.AUTH_FAILED
            body = session_records.auth_failed(
                why.cause, session_id=self._session_id, peer=peer, database=self._database or None, user=self._client.user or None
            )
            if self._principal is not None:
                body["who"] = record.who(self._principal)
        else:
            kind = session_records.CONN_REFUSED
            body = session_records.conn_refused(
                why.cause, session_id=self._session_id, peer=peer, principal=self._principal, database=self._database or None
            )
        return [
            fx.AppendRecord(None, kind, body, fx.Durability.WRITTEN),
            fx.Log(why.level, "login.failed", {"cause": why.cause, "ip": self._peer.ip, **why.fields}),
            fx.Observe("logins", ("rejected" if why.blames_credential else "failed",), 1),
        ]
