"""The state of a session's statement phase: one object that the phase's parts share, with the few moves that all of them make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from querywarden.audit.record_id import RANDOM_BYTES, record_id
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import WaitMode
from querywarden.model.facts import Analysis, Hazard, StatementFacts, Verb
from querywarden.model.principal import Principal
from querywarden.model.resource import FunctionName, RelationName
from querywarden.policy.properties import is_temporary
from querywarden.postgresql.analysis.functions import is_built_in
from querywarden.postgresql.client_stream import ClientStream
from querywarden.postgresql.expected import Expected, ExpectedAnswers
from querywarden.postgresql.foresight import NamesMade
from querywarden.postgresql.front import Front
from querywarden.postgresql.name_resolution import NameResolution, moves
from querywarden.postgresql.outgoing import ClientQueue, ServerQueue, ToServer
from querywarden.postgresql.prepared import Registry
from querywarden.postgresql.session_context import StatementContext
from querywarden.postgresql.verdicts import Verdicts
from querywarden.session.effects import AppendRecord, Durability, Effect, LoadCatalogue, Observe

IDLE, OPEN, FAILED = b"I", b"T", b"E"
"""The transaction status of a session outside a transaction block, in one, and in one that has failed."""

RUNS_NOTHING = frozenset(
    {Verb.SET, Verb.RESET, Verb.SHOW, Verb.TRANSACTION, Verb.DEALLOCATE, Verb.DISCARD, Verb.CLOSE, Verb.LISTEN, Verb.NOTIFY, Verb.EMPTY}
)
_TRIED_MAX = 10_000
"""Unknown names that a session remembers; one that asks for more, asks for the catalogue again."""
_CHANGES_SCHEMA = frozenset({Verb.CREATE, Verb.ALTER, Verb.DROP, Verb.COMMENT})
_PLAIN_OBJECTS = frozenset({"table", "temporary_table", "index", "sequence", "schema", "type", "enum", "domain", "extension", "statistics"})
_CODE_OBJECTS = frozenset({"function", "procedure", "routine", "aggregate", "operator", "cast", "trigger", "rule", "language", "transform"})


@dataclass(slots=True)
class OpenChanges:
    """Schema changes that others can't see yet: of a transaction that is open, or of one that has just ended.

    `is_opaque`: names may mean something else than in the catalogue. `has_code`: functions or operators may have been made. `has_schema`:
    some of them are statements that change the schema, of more than temporary tables. `is_stale`: they are committed, and the catalogue is
    older than they are.
    """

    is_opaque: bool = False
    has_code: bool = False
    has_any: bool = False
    has_schema: bool = False
    is_stale: bool = False
    count: int = 0
    count_asked: int = 0
    """Changes committed by now, and by the time the catalogue was last asked for."""

    @property
    def marks(self) -> tuple[bool, bool, bool]:
        """What the statements of the open transaction have made uncertain, to be gone back to where some of them won't run."""
        return self.is_opaque, self.has_code, self.has_any

    def go_back(self, marks: tuple[bool, bool, bool]) -> None:
        """Forget what was noted since these marks."""
        self.is_opaque, self.has_code, self.has_any = marks


@dataclass(frozen=True, slots=True)
class Ending:
    """With what the session ends at the next statement boundary: SQLSTATE and sentence for the client, the reason for the log."""

    sqlstate: str
    sentence: str
    reason: str


@dataclass(slots=True)
class SessionState:
    """What the statement phase knows. `now` is the time of the input under way, in seconds since the epoch."""

    context: StatementContext
    principal: Principal
    told: Mapping[str, Any]
    """The fields that its records share, as `audit.record.of_session` gives them."""
    stream: ClientStream
    catalogue: Catalogue | None = None
    expected: ExpectedAnswers = field(default_factory=ExpectedAnswers)
    verdicts: Verdicts = field(default_factory=Verdicts)
    registry: Registry = field(default_factory=Registry)
    to_server: ServerQueue = field(default_factory=ServerQueue)
    to_client: ClientQueue = field(default_factory=ClientQueue)
    changes: OpenChanges = field(default_factory=OpenChanges)
    names_made: NamesMade = field(default_factory=NamesMade)
    names: NameResolution = field(default_factory=NameResolution)
    is_dump: bool = False
    """The client has introduced itself as pg_dump."""
    own_settings: set[str] = field(default_factory=set)
    """Settings that the client has changed by a statement of its own, in lower case."""
    told_settings: set[tuple[bytes, bytes]] = field(default_factory=set)
    """Reported settings with the values that the client has been told."""
    has_run_code: bool = False
    """Code of the database's own may have run since the last transaction ended: called, or by a trigger."""
    own_changes: int = 0
    """How many of the changes that `context.flows` counts are this session's."""
    effects: list[Effect] = field(default_factory=list)
    now: float = 0.0
    transaction: bytes = IDLE
    transaction_touches: bool = False
    """Some statement of the open transaction touches classified columns, so that a deferred error may quote them."""
    has_failed: bool = False
    """An error has come since the last transaction ended."""
    is_skipping: bool = False
    """The server skips everything up to the next Sync, after an error that had no Sync behind it yet."""
    is_muted: bool = False
    """The client has been told an error of ours that ends the statement under way; what is said up to the next Sync is dropped."""
    ending: Ending | None = None
    is_draining: bool = False
    has_said_goodbye: bool = False
    """The client has sent Terminate: nothing comes after it."""
    is_mid_segment: bool = False
    """Extended-query messages were admitted since the last Sync or Query."""
    has_portals: bool = False
    """Among these are some that make or run a portal, which a Sync would end."""
    may_be_implicit: bool = False
    """A Query came behind such messages: the server may be in a transaction that the next Sync ends, whatever it says of its status."""
    copy_execute: Expected | None = None
    unsafe: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    records: int = 0
    statements: int = 0
    bytes_in: int = 0
    """Bytes of the client since its login."""
    tried_names: set[RelationName] = field(default_factory=set)
    tried_functions: set[FunctionName] = field(default_factory=set)
    """Names for which a newer catalogue was asked for in vain."""
    tried_ids: set[int] = field(default_factory=set)
    """Relations and functions of data flows for which it was."""
    awaits_catalogue: bool = False
    catalogue_failure: str | None = None
    analyses: dict[bytes, Analysis] = field(default_factory=dict)
    """Answers of the worker, each until the message that asked for it is admitted."""
    awaited_analysis: int = 0
    front: Front | None = None
    """The message in front, where it waits for the planner or for approvers."""
    held_since: float = 0.0
    """When approvers were asked about the message in front."""
    client: Mapping[str, Any] = field(default_factory=dict)
    """The client's end, as records tell it."""
    hold_mode: WaitMode | None = None
    """The client's wish: to wait for approvals, or to be told to come again."""
    reason: str | None = None
    """The reason that the client has given for what it does in this session. It is the client's own text."""
    server_major: int = 0
    """The server's major version, as it has told it; 0 when it hasn't."""
    hold_mode_at_start: WaitMode | None = None
    reason_at_start: str | None = None
    has_budgets: bool = False
    """The principal has budgets here, so that what it uses is counted."""

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way: no transaction, no answer owed, no pipeline that waits for its Sync."""
        return self.transaction == IDLE and not self.expected and not self.is_mid_segment

    def new_audit_id(self) -> str:
        """A fresh record id, to be told to the client before the record is written."""
        return record_id(int(self.now * 1000), self.context.draw(RANDOM_BYTES))

    def append(self, kind: str, body: Mapping[str, Any], durability: Durability, audit_id: str | None = None) -> int:
        """Append a record and wait for its safety.

        Returns: the number under which `RecordSafe` will name it.
        """
        self.records += 1
        self.unsafe.add(self.records)
        self.effects.append(AppendRecord(self.records, kind, body, durability, audit_id))
        return self.records

    def observe(self, metric: str, *labels: str, amount: float = 1.0) -> None:
        """Count something."""
        self.effects.append(Observe(metric, labels, amount))

    def queue(self, message: ToServer, *, is_of_query: bool = False) -> None:
        """Queue a message for the server, and expect its answer if it has one. Args: `is_of_query`: it belongs to the Query before it."""
        message.segment = self.registry.segment - is_of_query
        self.to_server.add(message)
        entry = message.entry
        if entry is not None:
            self.expected.add(entry)

    def ask_for_catalogue(self) -> None:
        """Ask for a catalogue that is newer than what the session has met."""
        if not self.awaits_catalogue:
            self.awaits_catalogue = True
            self.changes.count_asked = self.changes.count
            self.effects.append(LoadCatalogue(None if self.catalogue is None else self.catalogue.generation))

    def needs_catalogue_for(self, facts: StatementFacts) -> bool:
        """Whether a statement names what the catalogue doesn't have, or the catalogue is known to be old."""
        if self.catalogue is None:
            return True
        if facts.verb in RUNS_NOTHING:
            return False
        if self.changes.is_stale:
            return True
        verdicts = self.current_verdicts()
        if verdicts.known.get(facts):
            return False
        unknown = {name for name in facts.reads | facts.writes if not self.catalogue.knows(name)} - self.tried_names
        if facts.verb is Verb.CREATE:
            unknown -= facts.writes
        # A function that is neither the server's own nor in the catalogue is newer than the catalogue, and may read anything.
        functions = {name for name in facts.functions if not is_built_in(name) and name.name not in self.catalogue.opaque_functions}
        functions -= self.tried_functions
        if len(self.tried_names) + len(self.tried_functions) > _TRIED_MAX:
            self.tried_names.clear()
            self.tried_functions.clear()
        self.tried_names |= unknown
        self.tried_functions |= functions
        if not unknown and not functions:
            verdicts.known.keep(facts, True)
        return bool(unknown or functions)

    def current_verdicts(self) -> Verdicts:
        """The verdicts that hold now."""
        changes, verdicts = self.changes, self.verdicts
        policy = self.context.policy()
        verdicts.rest_on(policy, policy.phase(self.now), self.principal, self.catalogue, changes.is_opaque, changes.has_code)
        return verdicts

    @property
    def others_changes(self) -> int:
        """How often other sessions have changed the schema: what was understood before holds only as long as this is the same."""
        return self.context.flows.epoch - self.own_changes

    def note_admitted(self, facts: StatementFacts) -> None:
        """Note what a statement that is admitted now may change of what other statements mean, here and in other sessions."""
        kept = self.current_verdicts().harmless
        if kept.get(facts):
            return
        catalogue = self.catalogue or Catalogue(generation="none", relations={})
        runs_code = facts.changes_data or catalogue.is_opaque(facts)
        changes_schema = _changes_schema(facts)
        if not (runs_code or changes_schema or facts.settings or facts.verb is Verb.TRANSACTION or moves(facts, catalogue)):
            kept.keep(facts, True)
            return
        self.names_made.note(facts)
        self.names.note(facts, catalogue)
        self.own_settings.update(change.name.lower() for change in facts.settings)
        self.has_run_code |= runs_code
        if changes_schema and not is_temporary(facts):
            self.changes.has_schema = True
            self.schema_changes()

    def schema_changes(self) -> None:
        """This session changes the schema."""
        self.own_changes += 1
        self.context.flows.schema_changes()

    def note_schema_change(self, facts: StatementFacts) -> bool:
        """Note what a statement that is admitted now may change.

        Returns: whether the catalogue has to be read again after it.
        """
        catalogue = self.catalogue
        runs_code = facts.verb in (Verb.CALL, Verb.DO) or (catalogue is not None and catalogue.calls_volatile(facts))
        inner = any(self.note_schema_change(child) for child in facts.children)
        if facts.verb not in _CHANGES_SCHEMA and Hazard.SCHEMA_CHANGE not in facts.hazards:
            self.changes.has_any |= runs_code
            return runs_code or inner
        self.changes.has_any = True
        kind = facts.object_kind or ""
        is_plain = facts.verb in (Verb.COMMENT, Verb.DROP) or (facts.verb is Verb.CREATE and kind in _PLAIN_OBJECTS)
        if not is_plain:
            self.changes.is_opaque = True
        if kind in _CODE_OBJECTS or kind == "extension":
            self.changes.has_code = True
        return True


def _changes_schema(facts: StatementFacts) -> bool:
    return facts.verb in _CHANGES_SCHEMA or Hazard.SCHEMA_CHANGE in facts.hazards or any(map(_changes_schema, facts.children))
