"""The effects of a session: everything it can ask of the world, as a closed union.

The driver carries them out in the order in which they were returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from querywarden.approval.request import HeldStatement
from querywarden.gate.permit import Basis


class Durability(StrEnum):
    """How far a record must have come: handed to the kernel, or on disk."""

    WRITTEN = "written"
    DURABLE = "durable"


@dataclass(frozen=True, slots=True)
class SendToClient:
    """Send bytes to the client. Nothing waits for a record any more: what had to wait was kept back by the session."""

    data: bytes

    def __repr__(self) -> str:
        return f"SendToClient({len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class SendToServer:
    """Send bytes to the server, on a permit or as housekeeping. Secrets: during the login, `data` may hold a password."""

    data: bytes
    basis: Basis

    def __repr__(self) -> str:
        return f"SendToServer({len(self.data)} bytes, {self.basis!r})"


@dataclass(frozen=True, slots=True)
class VerifyCredential:
    """Verify the credential that the client sent for a database. Secrets: `credential`; never log this effect.

    Answered by `CredentialVerified` or `CredentialRejected`.
    """

    credential: bytes
    database: str

    def __repr__(self) -> str:
        return f"VerifyCredential(database={self.database!r})"


@dataclass(frozen=True, slots=True)
class ConnectServer:
    """Connect to the server of a configured database. Answered by `ServerConnected` or `ServerUnavailable`."""

    database: str


@dataclass(frozen=True, slots=True)
class LoadCatalogue:
    """Ask for the catalogue of the session's database. Answered by `CatalogueReady` or `CatalogueFailed`.

    `generation` None: any will do. Otherwise the answer must be read from the server after this effect was issued,
    since what the session met is not in the catalogue of that generation.
    """

    generation: str | None


@dataclass(frozen=True, slots=True)
class Analyse:
    """Analyse a text too large for the loop in a worker. Answered by `AnalysisFinished`. Secrets: the text."""

    ticket: int
    text: bytes

    def __repr__(self) -> str:
        return f"Analyse(ticket={self.ticket}, {len(self.text)} bytes)"


@dataclass(frozen=True, slots=True)
class AppendRecord:
    """Append a record to the log. Answered by `RecordSafe` or `RecordFailed`, unless `number` is None.

    `type` is the record's type (`db.query.decided`, …), `body` its fields without those that the log adds itself
    (`v`, `log`, `seq`, `prev`, `n`, `id`, `t`, `mono`, `boot`). `body` holds no literal, token or row data.
    `id` is the record's UUIDv7 where the client is told it (the audit id), else None and the log makes one.
    """

    number: int | None
    type: str
    body: Mapping[str, Any]
    durability: Durability
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ForwardCancel:
    """Send a CancelRequest with this key to the session's server. Answered by `CancelAnswered`."""

    process_id: int
    key: bytes

    def __repr__(self) -> str:
        return f"ForwardCancel(process_id={self.process_id})"


@dataclass(frozen=True, slots=True)
class PauseClient:
    """Stop reading from the client until `ResumeClient`."""


@dataclass(frozen=True, slots=True)
class ResumeClient:
    """Read from the client again."""


@dataclass(frozen=True, slots=True)
class PauseServer:
    """Stop reading from the server until `ResumeServer`."""


@dataclass(frozen=True, slots=True)
class ResumeServer:
    """Read from the server again."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire `TimerFired(name)` after so many seconds; a timer of the same name is replaced."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ClearTimer:
    """Forget the timer of this name, if there is one."""

    name: str


@dataclass(frozen=True, slots=True)
class CloseClient:
    """Close the client's connection once what was sent to it has been written."""


@dataclass(frozen=True, slots=True)
class CloseServer:
    """Close the server's connection once what was sent to it has been written."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Count something: a metric's name, its labels and an amount (seconds, rows, cells, or 1)."""

    metric: str
    labels: tuple[str, ...]
    amount: float


@dataclass(frozen=True, slots=True)
class SchemaChanged:
    """The session has run a schema change: the database's catalogue is to be read again before others rely on it."""


@dataclass(frozen=True, slots=True)
class RequestApproval:
    """Ask for the approval of a held statement, or use one that was given before.

    Answered by `ApprovalOpened` and, sooner or later, `ApprovalSettled`; by `ApprovalSettled` at once where an approval was used or a
    denial still stands; or by `ApprovalUnavailable`. In fail mode `ApprovalOpened` is the last answer. Secrets: the statement's text.
    """

    ticket: int
    held: HeldStatement


@dataclass(frozen=True, slots=True)
class WithdrawApproval:
    """The session does not wait any more for the approval that it asked for with this ticket; nothing answers.

    `cause` is `cancelled`, `client_gone`, `server_gone`, `draining`, `access_ended`, `policy_changed` or `transaction_over`.
    """

    ticket: int
    cause: str


@dataclass(frozen=True, slots=True)
class Spend:
    """The principal has used so much of its budgets."""

    statements: int = 0
    rows: int = 0
    bytes: int = 0
    guesses: int = 0


@dataclass(frozen=True, slots=True)
class Log:
    """Write a line for the operator. `fields` hold no secret, no literal and no row data."""

    level: str
    event: str
    fields: Mapping[str, Any]


Effect = (
    SendToClient
    | SendToServer
    | VerifyCredential
    | ConnectServer
    | LoadCatalogue
    | Analyse
    | AppendRecord
    | ForwardCancel
    | PauseClient
    | ResumeClient
    | PauseServer
    | ResumeServer
    | SetTimer
    | ClearTimer
    | CloseClient
    | CloseServer
    | Observe
    | SchemaChanged
    | RequestApproval
    | WithdrawApproval
    | Spend
    | Log
)
