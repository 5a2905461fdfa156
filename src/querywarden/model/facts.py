"""Statement facts: what a statement is and touches, as far as its text alone tells.

Facts are dialect-neutral and immutable: a dialect's analysis makes them, policy and masking read them.
They hold names and shapes, never literals: nothing here is personal data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from querywarden.model.data_flow import DataFlow
from querywarden.model.resource import FunctionName, RelationName


class Verb(StrEnum):
    """The class of a statement; `UNKNOWN` is always refused."""

    EMPTY = "empty"
    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"
    TRUNCATE = "truncate"
    COPY_IN = "copy_in"
    COPY_OUT = "copy_out"
    CREATE = "create"
    ALTER = "alter"
    DROP = "drop"
    COMMENT = "comment"
    CALL = "call"
    DO = "do"
    PREPARE = "prepare"
    EXECUTE = "execute"
    DEALLOCATE = "deallocate"
    DECLARE = "declare"
    FETCH = "fetch"
    CLOSE = "close"
    EXPLAIN = "explain"
    SET = "set"
    RESET = "reset"
    SHOW = "show"
    DISCARD = "discard"
    TRANSACTION = "transaction"
    LOCK = "lock"
    GRANT = "grant"
    ROLE = "role"
    ADMIN = "admin"
    MAINTENANCE = "maintenance"
    LISTEN = "listen"
    NOTIFY = "notify"
    UNKNOWN = "unknown"


class Hazard(StrEnum):
    """A property of a statement that policy rules name."""

    UNCONDITIONAL = "unconditional"
    """An UPDATE or DELETE (at any depth) without a condition."""
    TAUTOLOGICAL = "tautological"
    """An UPDATE or DELETE (at any depth) whose condition is always true, as far as the text shows."""
    SCHEMA_CHANGE = "schema_change"
    DESTRUCTIVE_DDL = "destructive_ddl"
    """DROP or TRUNCATE of anything, or an ALTER that drops a column, partition or constraint."""
    PRIVILEGE = "privilege"
    """GRANT, roles, ownership, default privileges, policies, security labels, SECURITY DEFINER."""
    ROLE_SWITCH = "role_switch"
    """SET ROLE or SET SESSION AUTHORIZATION, also through set_config."""
    FILE_ACCESS = "file_access"
    PROGRAM = "program"
    NETWORK = "network"
    CODE_LOADING = "code_loading"
    """LOAD, CREATE EXTENSION, CREATE LANGUAGE, C functions."""
    DYNAMIC_SQL = "dynamic_sql"
    """Text run as SQL out of the analysis' sight: DO, query_to_xml and the like."""
    DATA_MODIFYING_CTE = "data_modifying_cte"
    EXPLAIN_ANALYZE = "explain_analyze"
    ANALYSIS_SETTING = "analysis_setting"
    """A change of a setting that the analysis rests on."""
    SERVER_ADMIN = "server_admin"
    """ALTER SYSTEM, terminating or cancelling other sessions, replication slots, reload and the like."""
    DANGEROUS_FUNCTION = "dangerous_function"
    """A built-in function that is not on the list of harmless ones."""
    CROSS_JOIN = "cross_join"
    NO_LIMIT = "no_limit"
    TWO_PHASE = "two_phase"
    WHOLE_RELATION_EXPORT = "whole_relation_export"
    """COPY TO of a relation, or of a query without a condition."""
    MULTI_STATEMENT = "multi_statement"
    """One of several statements in one text."""
    EXCLUSIVE_LOCK = "exclusive_lock"
    """LOCK in a mode that keeps others from writing or reading."""
    MERGE_DELETE = "merge_delete"
    """A MERGE that deletes rows."""


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A session setting that a statement changes; `value` None for RESET, DEFAULT or a value not known from the text."""

    name: str
    value: str | None
    is_local: bool


@dataclass(frozen=True, slots=True)
class Expression:
    """What an output or assigned expression is made of, by name.

    `columns` are the last parts of its column references. `is_opaque` says that names don't bound its data flow: it holds a
    sub-select that reads relations, a whole row, a star, an indirection into a row, or a name that the text can't settle.
    `is_plain_column` is a bare column reference. `target` is the assigned column (None for outputs).
    References inside count(...) and EXISTS(...) are left out: they tell how many, not what.
    """

    columns: frozenset[str]
    is_opaque: bool = False
    is_plain_column: bool = False
    target: str | None = None


@dataclass(frozen=True, slots=True)
class CopyFormat:
    """The form in which a COPY … TO STDOUT sends its rows: its options, with PostgreSQL's defaults where the text names none.

    `format` is `text`, `csv` or `binary`, which has none of the others. The bytes are in UTF-8; `null` stands for NULL. `is_rewritable`
    says that rows of this form can be read and written anew for certain: no option is unknown, and a value can't be taken for a NULL.
    """

    format: str = "text"
    delimiter: bytes = b"\t"
    null: bytes = b"\\N"
    quote: bytes = b""
    escape: bytes = b""
    has_header: bool = False
    force_quote: frozenset[str] = frozenset()
    forces_all_quotes: bool = False
    is_rewritable: bool = True


@dataclass(frozen=True, slots=True)
class StatementFacts:
    """The facts of one statement, itself and its children (CTEs, the bodies of EXPLAIN, COPY, PREPARE, DECLARE).

    `reads`, `writes`, `functions`, `operators` and `hazards` include those of the children.
    `outputs` are the top-level outputs (target list or RETURNING) in order, None where a star or a set operation hides them.
    `from_is_plain`: each item of every FROM is a relation (no sub-select, CTE, function or column alias list), so that names
    in `outputs` and `assignments` are names of columns of `reads` and `writes`, or an alias in `aliases`.
    `normalised` is the text with its literals replaced by `?`: safe to record.
    `start` and `end` bound the statement in the bytes of its text.
    """

    verb: Verb
    normalised: str
    start: int = 0
    end: int = 0
    reads: frozenset[RelationName] = frozenset()
    writes: frozenset[RelationName] = frozenset()
    functions: frozenset[FunctionName] = frozenset()
    operators: frozenset[str] = frozenset()
    cast_types: frozenset[str] = frozenset()
    hazards: frozenset[Hazard] = frozenset()
    settings: tuple[SettingChange, ...] = ()
    outputs: tuple[Expression, ...] | None = None
    assignments: tuple[Expression, ...] | None = ()
    aliases: frozenset[str] = frozenset()
    from_is_plain: bool = True
    object_kind: str | None = None
    """For CREATE, ALTER, DROP: `table`, `view`, `function`, `index`, …"""
    subject_name: str | None = None
    """The prepared statement, cursor or channel that the statement names; None also for ALL."""
    transaction: str | None = None
    """For TRANSACTION: `begin`, `commit`, `rollback`, `savepoint`, `release`, `rollback_to`, `prepare`, …"""
    is_from_stdin: bool = False
    """COPY FROM STDIN or TO STDOUT: data flows on the wire."""
    cursor_is_held: bool = False
    children: tuple[StatementFacts, ...] = ()
    attribute_names: frozenset[str] = frozenset()
    """The last parts of qualified names and the fields taken out of rows: `t.f` may call a function `f` of the row `t`."""
    column_names: frozenset[str] = frozenset()
    """The last parts of all column references, and the columns that are written; those of the children too."""
    has_star: bool = False
    """A star or a whole row stands for columns that aren't named, here or in a child; INSERT without a list of columns too."""
    probes: tuple[Expression, ...] = ()
    """What is compared, ordered, searched or computed in a way that tells about values by more than equality: each is taken together
    with the columns in it. Plain =, IN, IS NULL and joins by equality are none, nor is what is merely returned."""
    key_equalities: frozenset[str] = frozenset()
    """For UPDATE and DELETE: columns of the target that the condition's top-level AND equates with one constant or parameter each."""
    key_choices: frozenset[str] = frozenset()
    """For UPDATE and DELETE: other columns of the target that it equates with one of several of these, as `id IN (1, 2)` does."""
    values_rows: int | None = None
    """For INSERT … VALUES: the number of rows that it writes."""
    acts_as: frozenset[Verb] = frozenset()
    """What else the statement does to rows: the actions of a MERGE, the UPDATE of an INSERT … ON CONFLICT, the DELETE that TRUNCATE is."""
    flow: DataFlow | None = None
    """What the server understands of the statement, or of the query in it; None where it wasn't asked, or where that isn't known: then
    names decide."""
    copy: CopyFormat | None = None
    """For COPY … TO STDOUT: the form of its rows."""

    @property
    def changes_data(self) -> bool:
        """Whether the statement may change anything that lasts: rows, schema, privileges, sequences through functions aside."""
        return bool(self.writes) or self.verb in _CHANGING or any(child.changes_data for child in self.children)


_CHANGING = frozenset(
    {
        Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.TRUNCATE, Verb.COPY_IN, Verb.CREATE, Verb.ALTER, Verb.DROP,
        Verb.COMMENT, Verb.CALL, Verb.DO, Verb.GRANT, Verb.ROLE, Verb.ADMIN, Verb.NOTIFY,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unanalysable:
    """The answer of an analysis that could not understand a text; `detail` holds no part of the text beyond a token."""

    reason: str
    """`syntax`, `encoding`, `nul`, `too_large`, `too_complex`, `unknown_statement`, `timeout`."""
    detail: str
    sqlstate: str = "42501"
    position: int | None = None


Analysis = tuple[StatementFacts, ...] | Unanalysable
"""What analysing one text gives: the facts of each of its statements in order (none for an empty text), or why not."""
