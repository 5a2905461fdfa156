"""Expected answers: what the server still owes, in the order in which it was asked.

Each forwarded message that the server answers has an entry; an error ends all entries up to the next Sync, as it does in the server.
Spec: PostgreSQL 18, "Extended Query" and "Pipelining".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from querywarden.errors import ReasonCode
from querywarden.gate.gate import Act
from querywarden.model.decision import Allow
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.prepared import Definition, Portal, Prepared
from querywarden.postgresql.probe import Probe
from querywarden.postgresql.refusal import Refusal
from querywarden.session.effects import Durability


class Awaited(StrEnum):
    """The message that an entry awaits the answer of."""

    PARSE = "parse"
    BIND = "bind"
    CLOSE = "close"
    DESCRIBE_STATEMENT = "describe_statement"
    DESCRIBE_PORTAL = "describe_portal"
    EXECUTE = "execute"
    SYNC = "sync"
    QUERY = "query"
    PROBE = "probe"
    """A hidden exchange of the proxy's own."""


@dataclass(slots=True, eq=False)
class Execution:
    """One statement that was permitted to run, and what is known of its run so far.

    `facts` are the statement's own; `shown` those that its results follow (the body of an EXECUTE, the query of a cursor; None when
    nothing is known of them). `touches` says that classified values may take part in it.
    """

    act: Act
    facts: StatementFacts
    shown: StatementFacts | None
    allow: Allow
    durability: Durability
    touches: bool
    started: float
    prepared: Prepared | None = None
    portal: Portal | None = None
    definitions: Sequence[Definition] = ()
    row_plan: Any = None
    masker: Any = None
    rows: int = 0
    masked_cells: int = 0
    bytes_out: int = 0
    is_finished: bool = False
    copies_out: bool = False
    """The server has announced copy data."""
    others_changes: int = 0
    """How often other sessions had changed the schema when it was decided."""
    budget_caps: frozenset[ReasonCode] = frozenset()
    """Which caps of `allow`, by what is told where they end a result, are what a budget has left."""


@dataclass(slots=True, eq=False)
class Expected:
    """The entry of one message. `is_hidden`: the message was ours, the client must not see its answer."""

    awaited: Awaited
    executions: Sequence[Execution] = ()
    refusal: Refusal | None = None
    definitions: Sequence[Definition] = ()
    portal: Portal | None = None
    prepared: Prepared | None = None
    is_hidden: bool = False
    changes_schema: bool = False
    takes_copy_data: bool = False
    syncs_in_copy: Sequence[Expected] = ()
    """For the Execute of a COPY FROM STDIN: the Syncs sent before its CopyDone, which the server ignores once it takes data."""
    takes_copy_now: bool = False
    """For the same: the server has asked for data, so that a Sync before its CopyDone is ignored for certain."""
    probe: Probe | None = None
    """For a hidden exchange: who takes all that the server says to it."""
    current: int = 0
    """For a Query: the index of the statement whose answer comes next."""

    @property
    def execution(self) -> Execution | None:
        """The statement whose answer comes next, if one is running."""
        return self.executions[self.current] if self.current < len(self.executions) else None


class ExpectedAnswers:
    """The entries, first owed first. Looked at for every message: `entries` is there to be read without a call."""

    __slots__ = ("copies", "entries")

    def __init__(self) -> None:
        self.entries: deque[Expected] = deque()
        self.copies = 0
        """Entries under way that take COPY data from the client."""

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Expected]:
        return iter(self.entries)

    @property
    def head(self) -> Expected | None:
        """The entry whose answer comes next."""
        return self.entries[0] if self.entries else None

    def add(self, entry: Expected) -> None:
        """A message was queued for the server."""
        self.entries.append(entry)
        self.copies += entry.takes_copy_data

    def add_before(self, entry: Expected, last: int) -> None:
        """A message was queued before the last ones, of which so many have an answer to come."""
        self.entries.insert(len(self.entries) - last, entry)

    def pop(self) -> Expected:
        """The head has been answered in full."""
        entry = self.entries.popleft()
        self.copies -= entry.takes_copy_data
        return entry

    def remove(self, entry: Expected) -> None:
        """The server will not answer this entry: a Sync that it read in the middle of a COPY."""
        self.entries.remove(entry)
        self.copies -= entry.takes_copy_data
