"""Who calls: the bearer token of each request, verified like the password of a login, and how often that may fail."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import Request

from querywarden.admin.problems import Problem, ProblemCode
from querywarden.errors import IdentityRejected
from querywarden.model.limits import Limits
from querywarden.model.principal import Principal

UNIX_PEER = "unix"
"""The address of whoever comes through the Unix socket; a service token that is narrowed to networks is not accepted there."""
DATABASE_HEADER = "querywarden-database"
"""Names the database that a service token is for, where the token is narrowed to databases."""
FAILURES_PER_MINUTE_MAX = 20
FAILURES_PER_MINUTE_UNIX_MAX = 120
"""All local users share one address, and the file's mode already says who may come."""
PEERS_KEPT = 4096

Verify = Callable[[bytes, str, str], Awaitable[Principal]]
"""Verifies a credential, for a database (empty: none named) and from an address. Raises IdentityRejected; Problem for the blocked."""

Rejected = Callable[[str, str, str], None]
"""Hears of a credential that was not accepted: the private cause, the address, and the database that was named."""
BLOCKED_CAUSE = "principal_blocked"

log = structlog.get_logger(__name__)


class FailureLimit:
    """Counts the failed verifications of each address. Limits: `PEERS_KEPT` addresses, the longest unseen forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._peers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, peer: str) -> int:
        """How long an address has to wait before its next credential is looked at; 0: not at all."""
        failures = self._failures(peer)
        excess = failures - (_failures_max(peer) - 1)
        return 0 if excess <= 0 else int(excess * 60 / _failures_max(peer)) + 1

    def failed(self, peer: str) -> None:
        """Count a failure."""
        self._peers[peer] = (self._failures(peer) + 1, self._clock())
        self._peers.move_to_end(peer)
        while len(self._peers) > PEERS_KEPT:
            self._peers.popitem(last=False)

    def _failures(self, peer: str) -> float:
        """What is left of an address's failures: they fade evenly, the whole allowance in a minute."""
        failures, at = self._peers.get(peer, (0.0, 0.0))
        return max(0.0, failures - (self._clock() - at) * _failures_max(peer) / 60)


def _failures_max(peer: str) -> int:
    return FAILURES_PER_MINUTE_UNIX_MAX if peer == UNIX_PEER else FAILURES_PER_MINUTE_MAX


class Authentication:
    """Verifies the caller of each request. Secrets: tokens pass through and are not kept."""

    def __init__(self, verify: Verify, rejected: Rejected, failures: FailureLimit | None = None) -> None:
        self._verify = verify
        self._rejected = rejected
        self._failures = FailureLimit() if failures is None else failures

    async def caller(self, request: Request) -> Principal:
        """The verified principal of a request. Raises: Problem; to the caller, all rejected credentials are alike."""
        peer = peer_of(request)
        if (seconds := self._failures.seconds_to_wait(peer)) > 0:
            raise Problem(
                ProblemCode.TOO_MANY_REQUESTS, f"Too many credentials from this address were not accepted; wait {seconds} seconds."
            )
        credential, database = _bearer(request), request.headers.get(DATABASE_HEADER, "")
        try:
            return await self._verify(credential, database, peer)
        except IdentityRejected as rejected:
            self._failures.failed(peer)
            log.warning("api.credential_rejected", cause=str(rejected.cause), peer=peer)
            self._rejected(str(rejected.cause), peer, database)
            raise Problem(ProblemCode.UNAUTHENTICATED, "The token is not accepted.") from None
        except Problem:
            # Verified, and blocked all the same.
            self._rejected(BLOCKED_CAUSE, peer, database)
            raise


def peer_of(request: Request) -> str:
    """The address that a request comes from."""
    return UNIX_PEER if request.client is None or not request.client.host else request.client.host


def _bearer(request: Request) -> bytes:
    """The token of the Authorization header (RFC 6750 §2.1). Raises: Problem when there is none."""
    values = request.headers.getlist("authorization")
    if len(values) == 1:
        scheme, _, token = values[0].partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token and token.isascii() and len(token) <= Limits().password_bytes_max:
            return token.encode("ascii")
    raise Problem(ProblemCode.UNAUTHENTICATED, "A token is needed: Authorization: Bearer and the token that you log in with.")
