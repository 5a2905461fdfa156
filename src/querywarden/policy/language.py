"""The policy language: access, rules, reveals, column classes and limits, as immutable values.

A policy file and the built-in baseline are both written in it, so that one evaluation serves both. A field left empty
asks nothing; several values in a field mean any of them; several fields mean all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import DataClass
from querywarden.model.facts import Hazard, Verb
from querywarden.model.glob import is_any_match, is_match, split_name
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment


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
    LARGE_OBJECT = "large_object"
    UNKNOWN_RELATION = "unknown_relation"
    """It names a relation that the catalogue does not have."""
    TOUCHES_CLASSIFIED = "touches_classified"
    """Values of classified columns may take part in it."""
    CLASSIFIED_COPY = "classified_copy"
    """COPY to the client from relations with classified columns that the principal may not see unmasked."""
    CLASSIFIED_WRITE = "classified_write"
    """It may store a classified value, which the principal may not see, where nothing masks it."""
    CLASSIFIED_PREDICATE = "classified_predicate"
    """A condition, order or computation on a classified column, which the principal may not see, tells about its values."""
    UNKEYED_WRITE = "unkeyed_write"
    """UPDATE or DELETE whose condition equates no indexed column with a value."""
    KEYED_WRITE = "keyed_write"
    """UPDATE or DELETE of at most one row: its condition equates all columns of a unique key with values."""
    CASCADES = "cascades"
    """DELETE or an UPDATE of a key that changes rows of other relations through their foreign keys."""
    ROW_SECURITY_OFF = "row_security_off"
    """It switches row-level security off in a database that holds classified columns."""


Property = Hazard | Trait


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
    schema; `functions` alike. `properties` are those of which one is there, `without` those of which none is.
    """

    verbs: frozenset[Verb] = frozenset()
    relations: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    properties: frozenset[Property] = frozenset()
    without: frozenset[Property] = frozenset()
    object_kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: for whom, where, what, and with which effect; the texts are public and are shown to who is refused.

    An allow rule may name rules in `overrides`: for the statements that it matches those are out of force. Rules with
    `is_fixed` can't be overridden.
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


@dataclass(frozen=True, slots=True)
class Access:
    """Who may reach which databases at all. Where a policy has none, every verified principal may reach every database."""

    id: str
    who: Who = Who()
    where: Where = Where()


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
class RowLimit:
    """How many rows one statement of a principal may return at most."""

    id: str
    rows_max: int
    who: Who = Who()
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy: what `decide` reads. `version` is the SHA-256, in hex, of the file or of the baseline.

    Rules stand in the order in which a refusal names them: the first of the strongest effect. Limits of `limits` take the
    place of those of `limits_default` for whoever they match. `trusted_functions` (globs of names, in any schema) are functions
    of a database's own that are known to compute from their arguments alone.
    """

    version: str
    rules: tuple[Rule, ...]
    access: tuple[Access, ...] = ()
    reveals: tuple[RevealRule, ...] = ()
    column_classes: tuple[ColumnClassRule, ...] = ()
    limits: tuple[RowLimit, ...] = ()
    limits_default: tuple[RowLimit, ...] = ()
    trusted_functions: tuple[str, ...] = ()
    name: str = ""
    fixed: frozenset[str] = field(init=False, repr=False, compare=False)
    _by_property: Mapping[Property, tuple[int, ...]] = field(init=False, repr=False, compare=False)
    _by_nothing: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_property: dict[Property, list[int]] = {}
        for number, rule in enumerate(self.rules):
            for each in rule.what.properties:
                by_property.setdefault(each, []).append(number)
        object.__setattr__(self, "fixed", frozenset(rule.id for rule in self.rules if rule.is_fixed))
        object.__setattr__(self, "_by_property", {each: tuple(numbers) for each, numbers in by_property.items()})
        object.__setattr__(self, "_by_nothing", tuple(number for number, rule in enumerate(self.rules) if not rule.what.properties))

    def candidates(self, properties: frozenset[Property]) -> list[Rule]:
        """The rules, in their order, that a statement's properties don't rule out: the few that are worth a closer look."""
        numbers = set(self._by_nothing)
        for each in properties:
            numbers.update(self._by_property.get(each, ()))
        return [self.rules[number] for number in sorted(numbers)]

    def column_class(self, database: Database, schema: str, relation: str, column: str) -> ColumnClassRule | None:
        """The first rule that says what class a column has; None where the policy says nothing."""
        for rule in self.column_classes:
            if rule.matches(schema, relation, column) and rule.where.matches(database):
                return rule
        return None
