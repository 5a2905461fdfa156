"""What a session's driver needs of the rest of the process, as protocols: the real parts and the tests' stand-ins fit them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from querywarden.approval.request import HeldStatement
from querywarden.model.catalogue import Catalogue
from querywarden.model.facts import Analysis
from querywarden.model.limits import Limits
from querywarden.model.principal import Principal
from querywarden.runtime.transport_sides import ClosureWatch, Side
from querywarden.session.effects import Durability, Effect
from querywarden.session.inputs import ApprovalOpened, ApprovalSettled, ApprovalUnavailable, Input

ApprovalAnswer = ApprovalOpened | ApprovalSettled | ApprovalUnavailable
"""What the desk answers to a request."""
Withdraw = Callable[[str], None]


class Session(Protocol):
    """A dialect's session: inputs in, effects out."""

    def begin(self, now: float) -> list[Effect]:
        """The effects with which a session starts, before any input."""

    def handle(self, input: Input, now: float) -> list[Effect]:  # noqa: A002 - the word of session/inputs
        """The effects of an input; `now` is `timers.now()`."""

    @property
    def cancel_key(self) -> tuple[int, bytes] | None:
        """The key that the client was given for its CancelRequests; None before the login has ended."""

    @property
    def principal(self) -> Principal | None:
        """Who is speaking, once the login has ended well."""


class Journal(Protocol):
    """The audit log's writer."""

    def append(
        self,
        type: str,  # noqa: A002 - the record's field
        body: Mapping[str, Any],
        durability: Durability,
        callback: Callable[[bool], None] | None,
        id: str | None = None,  # noqa: A002 - the record's field
    ) -> None:
        """Append a record; `callback` hears whether it has reached its durability."""


class Verifier(Protocol):
    """Who verifies credentials."""

    async def verify(self, credential: bytes, database: str, peer_ip: str) -> Principal:
        """The principal of a credential. Raises: IdentityRejected."""


class ServerDialer(Protocol):
    """Who connects to servers."""

    async def connect(self, database: str, side: Side) -> bytes | None:
        """Connect a side to a database's server. Returns: its certificate under TLS. Raises: DependencyFailure."""

    async def cancel(self, database: str, process_id: int, key: bytes, server: Side | None) -> None:
        """Send a CancelRequest to a database's server and wait for its answer, within a deadline. Never raises."""


class TextAnalysers(Protocol):
    """Who analyses long texts."""

    async def analyse(self, text: bytes) -> Analysis:
        """The analysis of a text; a failure is an `Unanalysable`."""


class Catalogues(Protocol):
    """Who reads the catalogues of databases."""

    def current(self, database: str) -> Catalogue | None:
        """The catalogue that is there already."""

    async def load(self, database: str, *, fresh: bool) -> Catalogue:
        """The catalogue, read after this call where `fresh`. Raises: DependencyFailure."""

    def subscribe(self, database: str, listener: Callable[[Catalogue], None]) -> Callable[[], None]:
        """Hear of each new catalogue of a database, until what is returned is called."""

    def schema_changed(self, database: str) -> None:
        """Read the catalogue again at once."""


class Access(Protocol):
    """Who watches whether principals keep their access."""

    def watch(self, principal: Principal, on_ended: Callable[[str], None]) -> Callable[[], None]:
        """Watch a principal until what is returned is called; `on_ended` hears a public sentence."""


class SessionEntry(Protocol):
    """One session among the open ones, from the moment its principal is known."""

    @property
    def principal(self) -> Principal:
        """The principal with the access that it was given for a time."""

    @property
    def refusal(self) -> str | None:
        """The public sentence why the session may not come in; None if it may."""

    async def prepare(self) -> None:
        """Read what has to be known of the principal before its session begins. Never raises."""

    def logged_in(self) -> None:
        """The login has ended well."""

    def leave(self) -> None:
        """The session is over."""


class Presence(Protocol):
    """Who knows the open sessions of all proxies, and what was done about them."""

    def enter(self, session_id: str, principal: Principal, database: str, client_ip: str, deliver: Callable[[Input], None]) -> SessionEntry:
        """Count a session in; `deliver` hears what changes for it."""


class Approvals(Protocol):
    """Who asks approvers."""

    def open(self, ticket: int, held: HeldStatement, answer: Callable[[ApprovalAnswer], None]) -> Withdraw:
        """Ask for the approval of a held statement; `answer` is called in later turns of the loop.

        Returns: what takes the request back, with the cause; then nothing answers any more.
        """


class Ledger(Protocol):
    """Who counts what principals use of their budgets."""

    def spend(self, principal: Principal, database: str, *, statements: int, rows: int, bytes: int) -> None:  # noqa: A002 - as the effect
        """Count what a principal has used on a database."""


class Measures(Protocol):
    """Who counts."""

    client_bytes_received: int
    client_bytes_sent: int
    server_bytes_received: int
    server_bytes_sent: int

    def observe(self, metric: str, labels: tuple[str, ...], amount: float) -> None:
        """Count something."""

    def session_opened(self, database: str) -> None:
        """A session has logged in."""

    def session_closed(self, database: str) -> None:
        """A session that had logged in is over."""


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the process that sessions share."""

    journal: Journal
    verifier: Verifier
    dialer: ServerDialer
    analysers: TextAnalysers
    catalogues: Catalogues
    access: Access
    presence: Presence
    approvals: Approvals
    budgets: Ledger
    metrics: Measures
    limits: Limits
    watch: ClosureWatch
