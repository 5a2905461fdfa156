"""The inputs of a session: everything that can happen to it, as a closed union.

The driver hands them over one at a time, with the time; a session never waits inside `handle`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import Catalogue
from querywarden.model.facts import Analysis
from querywarden.model.principal import Principal


@dataclass(frozen=True, slots=True)
class ClientBytes:
    """Bytes from the client. The view is valid only until `handle` returns."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class ServerBytes:
    """Bytes from the server. The view is valid only until `handle` returns."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class ClientClosed:
    """The client's side of the connection has ended (EOF or reset)."""


@dataclass(frozen=True, slots=True)
class ServerClosed:
    """The server's side of the connection has ended without our asking."""


@dataclass(frozen=True, slots=True)
class CredentialVerified:
    """The credential was accepted."""

    principal: Principal


@dataclass(frozen=True, slots=True)
class CredentialRejected:
    """The credential was not accepted; `cause` is for the log only."""

    cause: str


@dataclass(frozen=True, slots=True)
class ServerConnected:
    """The connection to the server stands, TLS included where asked for.

    `certificate` is the server's certificate (DER) under TLS, for channel binding; None without TLS.
    """

    certificate: bytes | None


@dataclass(frozen=True, slots=True)
class ServerUnavailable:
    """The server can't be reached; `detail` is public and names no secret."""

    detail: str


@dataclass(frozen=True, slots=True)
class AnalysisFinished:
    """The worker has analysed the text of the `Analyse` effect with this ticket."""

    ticket: int
    analysis: Analysis


@dataclass(frozen=True, slots=True)
class RecordSafe:
    """The record with this number of the session has reached its durability."""

    number: int


@dataclass(frozen=True, slots=True)
class RecordFailed:
    """The record with this number can't be written: nothing may be released on it."""

    number: int


@dataclass(frozen=True, slots=True)
class CatalogueReady:
    """A catalogue is there: the first one of the database, or that of a newer schema generation."""

    catalogue: Catalogue


@dataclass(frozen=True, slots=True)
class CatalogueFailed:
    """The catalogue could not be read; `detail` is public."""

    detail: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A CancelRequest with this session's key has arrived."""


@dataclass(frozen=True, slots=True)
class CancelAnswered:
    """The server has answered (or refused, or failed to answer) the cancel that was forwarded."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set by `SetTimer` has run out."""

    name: str


@dataclass(frozen=True, slots=True)
class Draining:
    """The proxy is going down: end at the next statement boundary outside a transaction."""


@dataclass(frozen=True, slots=True)
class AccessEnded:
    """The principal's access was revoked or has expired: end at the next statement boundary. `sentence` is public.

    `at_once`: somebody has pulled the switch; what is running is cancelled, and the session ends now.
    """

    sentence: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class PrincipalChanged:
    """The principal's groups are others now: access for a time was given, or has ended."""

    principal: Principal


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """Another policy is in force."""


class ApprovalOutcome(StrEnum):
    """How a request for an approval was settled."""

    GRANTED = "granted"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class ApprovalOpened:
    """The request of the `RequestApproval` with this ticket is open. `where` says, in a public phrase, where to look."""

    ticket: int
    id: str
    expires_at: float
    where: str


@dataclass(frozen=True, slots=True)
class ApprovalSettled:
    """The request with this ticket is settled; `by` are the labels of those who agreed or said no, `note` what they said (public)."""

    ticket: int
    id: str
    outcome: ApprovalOutcome
    by: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalUnavailable:
    """No approval can be asked for; `sentence` says why, and is public.

    `reason` tells what is out of order (the store, the log) from what the principal itself has used up.
    """

    ticket: int
    sentence: str
    reason: ReasonCode = ReasonCode.APPROVALS_UNAVAILABLE


Input = (
    ClientBytes
    | ServerBytes
    | ClientClosed
    | ServerClosed
    | CredentialVerified
    | CredentialRejected
    | ServerConnected
    | ServerUnavailable
    | AnalysisFinished
    | RecordSafe
    | RecordFailed
    | CatalogueReady
    | CatalogueFailed
    | CancelRequested
    | CancelAnswered
    | TimerFired
    | Draining
    | AccessEnded
    | PrincipalChanged
    | PolicyChanged
    | ApprovalOpened
    | ApprovalSettled
    | ApprovalUnavailable
)
