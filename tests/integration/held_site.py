"""A site whose policy holds things, and its people: what the tests of holds share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import psycopg
from tests.integration.approvers import Approver

POLICY = """version: 1
approvals: {approvers: [dba], expires: 5m}
rules:
  - {id: deletes, effect: hold, verbs: [delete], writes: [parts], because: Deletes of parts are looked at.}
  - {id: brief, effect: hold, verbs: [update], writes: [brief], approval: {expires: 2s}}
  - {id: two, effect: hold, verbs: [update], writes: [ledger], approval: {quorum: 2}}
  - {id: again, effect: hold, verbs: [delete], writes: [ledger], approval: {mode: fail}}
  - {id: many, effect: hold, verbs: [update], writes: [parts], rows_over: 50}
  - {id: by-dba, effect: hold, verbs: [delete], writes: [brief]}
  - {id: by-security, effect: hold, writes: [brief], verbs: [delete], approval: {approvers: [security]}}
"""


class Desk:
    """A site with a policy that holds things, and its people."""

    def __init__(self, site) -> None:
        self.site = site
        self.socket = site.folder / "data" / "querywarden.sock"
        self._approvers: list[Approver] = []
        self._earlier: frozenset[str] = frozenset()
        self._earlier = frozenset(request["id"] for request in self.approver().requests())

    def approver(self, subject: str = "erin", groups: tuple[str, ...] = ("dba",)) -> Approver:
        approver = Approver(self.socket, self.site.token(subject, groups=list(groups)), self._earlier)
        self._approvers.append(approver)
        return approver

    def open(self, subject: str = "alice", **options):
        return self.site.through("shop", subject).connect(**options)

    @contextlib.contextmanager
    def connect(self, subject: str = "alice", **options) -> Iterator[psycopg.Connection]:
        """A connection that is not closed under a thread which still waits on it."""
        connection = self.open(subject, **options)
        try:
            yield connection
        except BaseException:
            with contextlib.suppress(Exception):
                connection.cancel_safe(timeout=5)
            time.sleep(1)
            raise
        finally:
            connection.close()

    def count(self, table: str = "parts") -> int:
        return int(self.site.server.sql(f"SELECT count(*) FROM {table}", "people"))

    def policy_changes(self) -> int:
        """How often the proxy has taken another policy."""
        return self.site.proxy.log_file.read_text().count("policy.changed")

    def close(self) -> None:
        for approver in self._approvers:
            approver.close()


def set_up(server) -> None:
    server.sql(
        "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app; SET ROLE app;"
        "CREATE TABLE parts (id int PRIMARY KEY, weight int); INSERT INTO parts SELECT n, n FROM generate_series(1, 100) n;"
        "CREATE TABLE ledger (id int PRIMARY KEY, amount int); INSERT INTO ledger SELECT n, n FROM generate_series(1, 100) n;"
        "CREATE TABLE brief (id int PRIMARY KEY, n int); INSERT INTO brief VALUES (1, 1);"
        "ANALYZE;",
        "people",
    )
