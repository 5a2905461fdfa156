"""Prepared statements and portals: what each name means, at the client's end of the wire and at the server's.

Two views of one name space. The *confirmed* view follows the server's answers and mirrors the server exactly at the point of
the response stream that has been read. The *pending* view holds what has been admitted but not answered yet. A name that is
pending in an earlier segment (before a Sync or Query) can't be relied on, since an error may have made the server skip it.
Protocol and SQL share the names: PREPARE and Parse, DECLARE and Bind.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from querywarden.model.decision import Allow
from querywarden.model.facts import StatementFacts, Verb
from querywarden.postgresql.bind_scan import BindScan
from querywarden.postgresql.messages.frontend import Bind
from querywarden.postgresql.verdicts import Verdict


@dataclass(slots=True, eq=False)
class Prepared:
    """A prepared statement: its facts, and the policy's verdict with what that rests on.

    `facts` None: the text holds no statement. An empty `basis`: there is no verdict yet. A verdict that holds the statement leaves it to be
    prepared, since nothing of it runs before it is executed. `parameter_types` are OIDs as far as they are known, 0 where not.
    """

    text: bytes
    facts: StatementFacts | None
    verdict: Verdict | None = None
    basis: tuple[Any, ...] = ()
    parameter_types: tuple[int, ...] = ()
    is_of_sql: bool = False
    """Made by PREPARE or DECLARE: `text` is that statement, not its body."""
    declared_types: tuple[int, ...] = ()
    """The types that its Parse has declared, as OIDs; the server infers the others from the text."""
    understood: StatementFacts | None = None
    """Its facts with the data flow that it had when it was prepared, and `understood_at` how often the name space may have moved then."""
    understood_at: int = 0
    names_at: int = 0
    """How often the session had made names when it was prepared: the server has settled then what those in the text mean."""

    @property
    def may_wait(self) -> bool:
        """Whether its executions may have to wait for an approval or an estimate, which take the parameters to be known."""
        return self.verdict is None or self.verdict.wants_estimate or not isinstance(self.verdict.decision, Allow)


@dataclass(slots=True, eq=False)
class Portal:
    """A portal: the prepared statement it runs, a commitment to its parameters, and what its rows are, once described.

    `prepared` None: a cursor that the session didn't see being opened; its rows are treated as touching everything.
    """

    prepared: Prepared | None
    parameters: int = 0
    parameters_commitment: bytes = b""
    values: int = 0
    """How many values its parameters hold, the elements of arrays one by one; 0 for a few."""
    arguments: Bind | None = None
    """Its parameters, where an estimate, an approver or the look for masks may need them. Secrets: they are the client's own values."""
    scan: BindScan | None = None
    """What was seen of its parameters, where these are too large to be kept and had to be looked at."""
    is_held: bool = False
    is_lasting: bool = False
    """A held cursor whose transaction has been committed: a later rollback leaves it."""
    is_doubtful: bool = False
    """A rollback to a savepoint may have closed it, so that code of the database may have opened another one under its name."""
    described_in: int = -1
    """The segment in which a Describe was sent; an error there may have made the server skip it."""
    description: bytes | None = None
    """The body of its RowDescription, once the server has sent it."""
    target: Prepared | Portal | None = None
    """For a portal over EXECUTE or FETCH: what the name in it meant when the portal was bound, which is when its columns were settled."""
    approved: Any = None
    """The `judgement.Approved` that it was released on, which lets it go on where its rows are fetched in portions."""
    understood: tuple[StatementFacts, StatementFacts | None] | None = None
    """Its statement with its data flow, and what its rows follow, as they were when it was executed first: its plan stays the same."""
    bound_names: int = 0
    """How often the name space may have moved when it was bound."""
    bound_at: int = 0
    """Statements of the session that were permitted before it was bound."""

    @property
    def bound_commitment(self) -> bytes:
        """The digest of the parameters with their declared types: the same bytes are another value as another type."""
        types = () if self.prepared is None else self.prepared.declared_types
        return hashlib.sha256(b"".join((self.parameters_commitment, *(each.to_bytes(4, "big") for each in types)))).digest()

    @property
    def runs_by_name(self) -> bool:
        """Whether the portal runs what a name means when it is executed."""
        facts = None if self.prepared is None else self.prepared.facts
        return facts is not None and facts.verb in (Verb.EXECUTE, Verb.FETCH)


@dataclass(slots=True, eq=False)
class Definition:
    """A change of the name space that waits for the server's answer; `value` None: the name is dropped.

    `segment` counts the Syncs and Queries admitted before it.
    """

    is_portal: bool
    name: bytes
    value: Prepared | Portal | None
    segment: int


class NotSettled(Exception):
    """The name is pending in an earlier segment: its meaning is known once the server has answered."""


class Registry:
    """The names of one session."""

    __slots__ = ("_pending", "portals", "segment", "statements")

    def __init__(self) -> None:
        self.statements: dict[bytes, Prepared] = {}
        self.portals: dict[bytes, Portal] = {}
        self.segment = 0
        self._pending: dict[tuple[bool, bytes], list[Definition]] = {}

    def define(self, is_portal: bool, name: bytes, value: Prepared | Portal | None) -> Definition:
        """Note a definition (or, with None, a drop) that was sent to the server."""
        definition = Definition(is_portal, name, value, self.segment)
        self._pending.setdefault((is_portal, name), []).append(definition)
        return definition

    def confirm(self, definition: Definition) -> None:
        """The server has carried a definition out."""
        self._forget(definition)
        names: dict[bytes, Any] = self.portals if definition.is_portal else self.statements
        if definition.value is None:
            names.pop(definition.name, None)
        else:
            names[definition.name] = definition.value

    def discard(self, definition: Definition) -> None:
        """The server has refused or skipped a definition."""
        self._forget(definition)

    def drop_unnamed_statement(self) -> None:
        """A Parse of the unnamed statement has failed: the server has dropped the old one first."""
        self.statements.pop(b"", None)

    def drop_named_statements(self) -> None:
        """DEALLOCATE ALL and DISCARD ALL leave the unnamed statement."""
        self.statements = {name: prepared for name, prepared in self.statements.items() if not name}

    def _forget(self, definition: Definition) -> None:
        key = (definition.is_portal, definition.name)
        waiting = self._pending.get(key)
        if waiting and definition in waiting:
            waiting.remove(definition)
            if not waiting:
                del self._pending[key]

    def statement(self, name: bytes) -> Prepared | None:
        """The prepared statement that a name means for a message admitted now.

        Raises: NotSettled.
        """
        found = self._pending_value(False, name)
        if found is not None:
            return found.value if isinstance(found.value, Prepared) else None
        return self.statements.get(name)

    def portal(self, name: bytes) -> Portal | None:
        """The portal that a name means for a message admitted now.

        Raises: NotSettled.
        """
        found = self._pending_value(True, name)
        if found is not None:
            return found.value if isinstance(found.value, Portal) else None
        return self.portals.get(name)

    def _pending_value(self, is_portal: bool, name: bytes) -> Definition | None:
        waiting = self._pending.get((is_portal, name))
        if not waiting:
            return None
        if waiting[-1].segment != self.segment:
            raise NotSettled
        return waiting[-1]

    def end_transaction(self, is_committed: bool) -> None:
        """A transaction has ended: portals other than held cursors are gone, and so are its held cursors if it was rolled back."""
        if not self.portals:
            return
        self.portals = {
            name: portal
            for name, portal in self.portals.items()
            if portal.is_lasting or (portal.is_held and is_committed and not portal.is_doubtful)
        }
        for portal in self.portals.values():
            portal.is_lasting = True

    def roll_back_to_savepoint(self) -> None:
        """Portals opened after the savepoint are gone; which those are isn't followed here."""
        for portal in self.portals.values():
            portal.is_doubtful = not portal.is_lasting
