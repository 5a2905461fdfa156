"""The policy language: access, rules, approvals, reveals, masks, column classes and limits, as immutable values.

A policy file and the built-in baseline are both written in it, so that one evaluation serves both. A field left empty
asks nothing; several values in a field mean any of them; several fields mean all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import DataClass
from querywarden.model.decision import ApprovalTerms, Budget
from querywarden.model.facts import Hazard, Verb
from querywarden.model.glob import is_any_match, is_match, split_name
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.windows import Window, is_open


class Effect(StrEnum):
    """What a rule says of the statements that it matches; deny beats hold beats allow."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


class Trait(StrEnum):
    """A property of a statement that takes the catalogue, the principal or the whole of its facts to see.

    Together with the hazards of the facts these are the `properties` that rules name.
    """

    READ_ONLY = "read_only"
    """It reads and changes nothing that lasts, and it is no export: SELECT, SHOW, EXPLAIN, cursors, transactions, settings."""
    CHANGES_DATA = "changes_data"
    """It may change rows, schema, privileges or anything else that lasts."""
    TEMPORARY = "temporary"
    """What it changes are temporary objects of the session, and nothing else."""
    OWN_FUNCTION = "own_function"
    """It calls a function, operator or cast of the database's own."""
    VOLATILE_FUNCTION = "volatile_function"
    """It calls a procedure or a volatile function of the database's own, which may change anything."""
    TRUSTED_CALL = "trusted_call"
    """CALL of a procedure that the policy trusts by name."""
    LARGE_OBJECT = "large_object"
    UNKNOWN_RELATION = "unknown_relation"
    """It names a relation that the catalogue does not have."""
    TOUCHES_CLASSIFIED = "touches_classified"
    """Values of classified columns may take part in it."""
    CLASSIFIED_COPY = "classified_copy"
    """COPY to the client of what the principal may not see unmasked, in a form that can't be masked on its way."""
    CLASSIFIED_WRITE = "classified_write"
    """It may store a classified value, which the principal may not see, where nothing masks it."""
    CLASSIFIED_PREDICATE = "classified_predicate"
    """A condition, order or computation on a classified column, which the principal may not see, tells about its values."""
    CLASSIFIED_GROUPING = "classified_grouping"
    """It groups by a classified column, which the principal may not see, makes rows distinct by it or partitions by it."""
    MASKED_WRITE_BACK = "masked_write_back"
    """It would store a masked value, as one that was read before, in place of the real one."""
    UNKEYED_WRITE = "unkeyed_write"
    """UPDATE or DELETE whose condition equates no indexed column with a value."""
    KEYED_WRITE = "keyed_write"
    """UPDATE or DELETE of at most one row: its condition equates all columns of a unique key with values."""
    CASCADES = "cascades"
    """DELETE or an UPDATE of a key that changes rows of other relations through their foreign keys."""
    ROW_SECURITY_OFF = "row_security_off"
    """It switches row-level security off in a database that holds classified columns."""


Property = Hazard | Trait

TERMS_DEFAULT = ApprovalTerms()
"""Who has to agree where a policy doesn't say."""


@dataclass(frozen=True, slots=True)
class Group:
    """A set of principals by groups, subjects (globs) and kinds; within a field any, over the fields all."""

    groups: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    kinds: frozenset[PrincipalKind] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked."""
        return not (self.groups or self.subjects or self.kinds)

    def holds(self, principal: Principal) -> bool:
        """Whether a principal is one of the set."""
        if self.kinds and principal.kind not in self.kinds:
            return False
        if self.subjects and not is_any_match(self.subjects, principal.subject):
            return False
        return not self.groups or any(is_any_match(self.groups, group) for group in principal.groups)

    def touches(self, principal: Principal) -> bool:
        """Whether a principal meets any one of the fields: what `not` excludes."""
        return (
            principal.kind in self.kinds
            or is_any_match(self.subjects, principal.subject)
            or any(is_any_match(self.groups, group) for group in principal.groups)
        )


EVERYONE = Group()


@dataclass(frozen=True, slots=True)
class Who:
    """The principals that a rule is about. `delegated` None: whether or not they act for someone else."""

    included: Group = EVERYONE
    excluded: Group = EVERYONE
    delegated: bool | None = None

    def matches(self, principal: Principal) -> bool:
        """Whether the rule is about this principal."""
        if self.delegated is not None and self.delegated != bool(principal.actors):
            return False
        return self.included.holds(principal) and not self.excluded.touches(principal)


@dataclass(frozen=True, slots=True)
class Where:
    """The databases that a rule is about, by name (globs) and by environment."""

    databases: tuple[str, ...] = ()
    environments: frozenset[Environment] = frozenset()

    def matches(self, database: Database) -> bool:
        """Whether the rule is about this database."""
        if self.environments and database.environment not in self.environments:
            return False
        return not self.databases or is_any_match(self.databases, database.name)


@dataclass(frozen=True, slots=True)
class What:
    """The statements that a rule is about.

    `relations` are read or written, `reads` read, `writes` written: globs of `schema.relation` or of `relation` in any
    schema; `functions` alike; `columns` are read or written: globs of `schema.relation.column`, or of `relation.column` in any schema.
    `properties` are those of which one is there, `without` those of which none is. `rows_over`: it returns or changes more rows than
    this, as the server's planner expects; with `spares_values` the rows of an INSERT that stand in its text don't count.
    """

    verbs: frozenset[Verb] = frozenset()
    relations: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    properties: frozenset[Property] = frozenset()
    without: frozenset[Property] = frozenset()
    object_kinds: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows_over: int | None = None
    spares_values: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: for whom, where, what, when, and with which effect; the texts are public and are shown to who is refused.

    An allow rule may name rules in `overrides`: for the statements that it matches those are out of force. Rules with
    `is_fixed` can't be overridden. A rule holds in any window of `when`, without windows always. `is_observed`: what it would deny or
    hold is recorded, and nothing else. `terms` None: those of the policy. `is_freeze`: it is about whatever changes data or schema,
    temporary objects aside.
    """

    id: str
    effect: Effect
    who: Who = Who()
    where: Where = Where()
    what: What = What()
    reason: ReasonCode = ReasonCode.POLICY_DENIED
    sentence: str = ""
    hint: str = ""
    overrides: frozenset[str] = frozenset()
    is_fixed: bool = False
    is_baseline: bool = False
    when: tuple[Window, ...] = ()
    is_observed: bool = False
    terms: ApprovalTerms | None = None
    is_freeze: bool = False


@dataclass(frozen=True, slots=True)
class AutomaticApproval:
    """What needs nobody's word although the rules named here hold it: for whom, where, when, up to how many rows.

    `is_standing`: not nobody's word, but a standing approval of the exact statement, given to whomever, is enough.
    """

    id: str
    rules: frozenset[str]
    who: Who = Who()
    where: Where = Where()
    when: tuple[Window, ...] = ()
    rows_up_to: int | None = None
    is_standing: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """Who may reach which databases at all. Where a policy has none, every verified principal may reach every database."""

    id: str
    who: Who = Who()
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class Requestable:
    """What principals may ask for, to have it for a time once others agree: groups, and access to databases (globs both).

    `terms` None: those of the policy.
    """

    id: str
    who: Who = Who()
    groups: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    seconds_max: int = 3600
    terms: ApprovalTerms | None = None


@dataclass(frozen=True, slots=True)
class RevealRule:
    """Who sees which classes or columns (globs of `schema.relation.column`) unmasked, and where."""

    id: str
    who: Who = Who()
    where: Where = Where()
    classes: frozenset[DataClass] = frozenset()
    columns: tuple[str, ...] = ()
    everything: bool = False


@dataclass(frozen=True, slots=True)
class MaskRule:
    """The operator that masks classes or columns (globs of `schema.relation.column`) for some, in place of a class's own."""

    id: str
    operator: str
    who: Who = Who()
    where: Where = Where()
    classes: frozenset[DataClass] = frozenset()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnClassRule:
    """The class of columns by name, stronger than what their names or comments say; `data_class` None: not classified.

    `column` is a glob of `schema.relation.column`, or of `relation.column` in any schema.
    """

    column: str
    data_class: DataClass | None
    where: Where = Where()

    def matches(self, schema: str, relation: str, column: str) -> bool:
        """Whether the rule is about this column."""
        rest, name = split_name(self.column)
        if not is_match(name, column):
            return False
        wanted_schema, wanted_relation = split_name(rest or "*")
        return is_match(wanted_relation, relation) and (wanted_schema is None or is_match(wanted_schema, schema))


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a principal may take: per statement, in sessions at once, and by hour and day. What is None has no limit here."""

    id: str
    who: Who = Who()
    where: Where = Where()
    rows_max: int | None = None
    bytes_max: int | None = None
    seconds_max: float | None = None
    sessions_max: int | None = None
    budgets: tuple[Budget, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy: what `decide` reads. `version` is the SHA-256, in hex, of the file or of the baseline.

    Rules stand in the order in which a refusal names them: the first of the strongest effect; freezes are among them. `approvals` are
    the terms of rules that state none. Limits of `limits` take the place of those of `limits_default`, measure by measure, for whoever
    they match. `trusted_functions` (globs of names, in any schema) are functions of a database's own that are known to compute from their
    arguments alone.
    """

    version: str
    rules: tuple[Rule, ...]
    access: tuple[Access, ...] = ()
    reveals: tuple[RevealRule, ...] = ()
    column_classes: tuple[ColumnClassRule, ...] = ()
    limits: tuple[Limit, ...] = ()
    limits_default: tuple[Limit, ...] = ()
    trusted_functions: tuple[str, ...] = ()
    name: str = ""
    approvals: ApprovalTerms = TERMS_DEFAULT
    automatic: tuple[AutomaticApproval, ...] = ()
    requestable: tuple[Requestable, ...] = ()
    masks: tuple[MaskRule, ...] = ()
    fixed: frozenset[str] = field(init=False, repr=False, compare=False)
    _by_property: Mapping[Property, tuple[int, ...]] = field(init=False, repr=False, compare=False)
    _by_nothing: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _timetables: tuple[tuple[Window, ...], ...] = field(init=False, repr=False, compare=False)
    _last_phase: list[tuple[int, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_property: dict[Property, list[int]] = {}
        for number, rule in enumerate(self.rules):
            for each in rule.what.properties:
                by_property.setdefault(each, []).append(number)
        timetables = dict.fromkeys([*(rule.when for rule in self.rules), *(approval.when for approval in self.automatic)])
        object.__setattr__(self, "fixed", frozenset(rule.id for rule in self.rules if rule.is_fixed))
        object.__setattr__(self, "_by_property", {each: tuple(numbers) for each, numbers in by_property.items()})
        object.__setattr__(self, "_by_nothing", tuple(number for number, rule in enumerate(self.rules) if not rule.what.properties))
        object.__setattr__(self, "_timetables", tuple(filter(None, timetables)))
        object.__setattr__(self, "_last_phase", [(-1, 0)])

    def candidates(self, properties: frozenset[Property]) -> list[Rule]:
        """The rules, in their order, that a statement's properties don't rule out: the few that are worth a closer look."""
        numbers = set(self._by_nothing)
        for each in properties:
            numbers.update(self._by_property.get(each, ()))
        return [self.rules[number] for number in sorted(numbers)]

    def phase(self, now: float) -> int:
        """Which of the policy's windows and freezes hold at a time, as bits: while it is the same, so are the decisions."""
        if not self._timetables:
            return 0
        second, bits = self._last_phase[0]
        if second != int(now):
            second = int(now)
            bits = sum(1 << number for number, windows in enumerate(self._timetables) if is_open(windows, second))
            self._last_phase[0] = (second, bits)
        return bits

    def terms(self, of: Rule | Requestable) -> ApprovalTerms:
        """Who has to agree to what a rule holds, or to what is asked for."""
        return of.terms or self.approvals

    def column_class(self, database: Database, schema: str, relation: str, column: str) -> ColumnClassRule | None:
        """The first rule that says what class a column has; None where the policy says nothing."""
        for rule in self.column_classes:
            if rule.matches(schema, relation, column) and rule.where.matches(database):
                return rule
        return None
