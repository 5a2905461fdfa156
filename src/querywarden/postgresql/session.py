"""A PostgreSQL session: the login, then statements. Inputs in, effects out; no clock, no randomness, no I/O of its own.

The property that everything here serves: no statement goes to the server without a permit, and no permit exists without a safe record.
"""

from __future__ import annotations

from querywarden.audit import record
from querywarden.model.principal import Principal
from querywarden.postgresql.login import LoginPhase
from querywarden.postgresql.messages.opening import StartupMessage
from querywarden.postgresql.session_context import SessionContext
from querywarden.postgresql.statement_phase import StatementPhase
from querywarden.session import effects as fx
from querywarden.session import inputs


class PostgresSession:
    """One client's session, from its StartupMessage to its end."""

    __slots__ = ("_context", "_login", "_startup", "_statements")

    def __init__(self, startup: StartupMessage, context: SessionContext) -> None:
        self._startup = startup
        self._context = context
        self._login = LoginPhase(startup, context.login, context.peer, context.session_id)
        self._statements: StatementPhase | None = None

    @property
    def session_id(self) -> str:
        """The id under which the log and the operator know the session."""
        return self._context.session_id

    @property
    def cancel_key(self) -> tuple[int, bytes] | None:
        """Process id and key that the client was told, once it is logged in. Secrets: the key."""
        established = self._login.established
        own = None if established is None else established.own_key
        return None if own is None else (own.process_id, own.key)

    @property
    def principal(self) -> Principal | None:
        """Who is speaking, once it is known."""
        established = self._login.established
        return None if established is None else established.principal

    @property
    def database(self) -> str | None:
        """The name of the configured database, once the session is established."""
        established = self._login.established
        return None if established is None else established.database.name

    @property
    def is_over(self) -> bool:
        """Whether both sides are being closed."""
        return self._login.is_over if self._statements is None else self._statements.is_over

    def begin(self, now: float) -> list[fx.Effect]:
        """The first effects."""
        return self._login.begin(now)

    def handle(self, input: inputs.Input, now: float) -> list[fx.Effect]:  # noqa: A002 - the word of session/inputs
        """The effects of an input at a time, in seconds since the epoch."""
        if self._statements is not None:
            return self._statements.handle(input, now)
        effects = self._login.handle(input, now)
        established = self._login.established
        if established is not None:
            peer = self._context.peer
            shown = record.client(peer.ip, peer.port, peer.tls, established.application_name)
            self._statements = StatementPhase(established, self._context.statements(established), shown, now)
            effects += self._statements.begin(established, now)
        return effects
