"""Rejections at the API: credentials that were not accepted there are recorded as those of logins are, so many a minute."""

from __future__ import annotations

import time
from collections.abc import Callable

from querywarden.audit.session_records import AUTH_FAILED, auth_failed
from querywarden.runtime.services import Journal
from querywarden.session.effects import Durability

RECORDS_PER_MINUTE_MAX = 60
"""Of all addresses together: who has many must not fill the disk. What is left out is counted by the next record."""
WHERE = "api"


class ApiRejections:
    """Writes `auth.failed` records. Secrets: causes are codes, and nothing of a credential comes here."""

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._room = float(RECORDS_PER_MINUTE_MAX)
        self._looked_at = clock()
        self._left_out = 0

    def rejected(self, cause: str, peer: str, database: str) -> None:
        """A credential was not accepted. `peer` is the caller's address, `database` the one that it named (empty: none)."""
        now = self._clock()
        self._room = min(RECORDS_PER_MINUTE_MAX, self._room + (now - self._looked_at) * RECORDS_PER_MINUTE_MAX / 60)
        self._looked_at = now
        if self._room < 1:
            self._left_out += 1
            return
        self._room -= 1
        body = auth_failed(cause, where=WHERE, peer={"ip": peer}, database=database or None, user=None)
        if self._left_out:
            body["left_out"], self._left_out = self._left_out, 0
        self._journal.append(AUTH_FAILED, body, Durability.WRITTEN, None)
