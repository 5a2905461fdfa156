"""The catalogue: what a database's relations hold, by class, for one schema generation.

The catalogue is immutable; a schema change makes a new one. Relations are looked up by id (a PostgreSQL OID) where the
server proves an origin, and by name over all schemas where only the text is known: that needs no trust in the search path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from querywarden.model.facts import StatementFacts, Verb
from querywarden.model.resource import RelationName


class DataClass(StrEnum):
    """A class of personal data or secrets; the default mask follows from it."""

    EMAIL = "email"
    PHONE = "phone"
    PERSON_NAME = "person_name"
    USERNAME = "username"
    ADDRESS = "address"
    POSTCODE = "postcode"
    CITY = "city"
    GEO = "geo"
    DOB = "dob"
    GENDER = "gender"
    NATIONAL_ID = "national_id"
    TAX_ID = "tax_id"
    PASSPORT = "passport"
    LICENSE = "license"
    VEHICLE_ID = "vehicle_id"
    CREDIT_CARD = "credit_card"
    IBAN = "iban"
    BANK_ACCOUNT = "bank_account"
    CRYPTO = "crypto"
    IP = "ip"
    MAC = "mac"
    DEVICE_ID = "device_id"
    MEDICAL_ID = "medical_id"
    HEALTH = "health"
    SENSITIVE = "sensitive"
    PASSWORD = "password"
    PASSWORD_HASH = "password_hash"
    SECRET = "secret"
    OPAQUE = "opaque"
    """Derived from classified data in a way that is not known: shown to nobody who may not see every class."""


@dataclass(frozen=True, slots=True)
class Classification:
    """The class of a column and where it comes from: `policy`, `comment`, `name`, `view` or `built_in`."""

    data_class: DataClass
    source: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation; `number` is its attribute number, `classification` None when nothing is known against it."""

    number: int
    name: str
    type_name: str
    classification: Classification | None = None
    is_declared_none: bool = False
    """The policy or a comment says that the column holds nothing classified, wherever its values come from."""
    is_generated: bool = False


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a relation, by names of columns.

    `unique` are the sets of columns that no two rows agree in, the rows of its children included: empty where that isn't certain, or where
    a rule does something else in place of a change. `indexed` are the first columns of its indexes. A DELETE changes rows of other
    relations when `delete_cascades`, an UPDATE of one of `cascading` does.
    """

    unique: tuple[frozenset[str], ...] = ()
    indexed: frozenset[str] = frozenset()
    delete_cascades: bool = False
    cascading: frozenset[str] = frozenset()
    has_row_ids: bool = False
    """Whether a `ctid` stands for one row: of a plain table without children or rules."""


NO_KEYS = Keys()


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation of the database; `kind` is `table`, `view`, `materialized_view`, `partitioned_table`, `foreign_table`, …"""

    id: int
    schema: str
    name: str
    kind: str
    columns: Mapping[int, Column]
    reads_classified: bool = False
    """A view that reads classified columns, perhaps in a condition alone: no row shows them, but errors may quote them."""
    keys: Keys = NO_KEYS

    @property
    def is_classified(self) -> bool:
        """Whether any column of the relation has a class."""
        return any(column.classification is not None for column in self.columns.values())

    @property
    def holds_classified(self) -> bool:
        """Whether any column has a class that isn't built in, as those of the server's own statistics and secrets are."""
        return any(column.classification is not None and column.classification.source != "built_in" for column in self.columns.values())


@dataclass(frozen=True, slots=True)
class Function:
    """A function, aggregate, window function or procedure of the database, the server's own included.

    `is_own`: it is neither the server's nor one that is known to compute from its arguments alone, so that only its body could tell
    what it reads.
    """

    id: int
    schema: str
    name: str
    kind: str
    """`f`unction, `a`ggregate, `w`indow function or `p`rocedure."""
    volatility: str
    """`i`mmutable, `s`table or `v`olatile."""
    is_own: bool = False
    body: SqlBody | None = None

    @property
    def is_volatile(self) -> bool:
        """Whether it may change something; a procedure always may."""
        return self.kind == "p" or self.volatility == "v"


@dataclass(frozen=True, slots=True)
class SqlBody:
    """The body of a function in SQL: a node tree as the server keeps it (BEGIN ATOMIC), or else its text.

    Left out where the caller's name space doesn't decide what the text means: SECURITY DEFINER, or settings of the function's own.
    """

    tree: str | None
    text: str | None
    argument_types: tuple[int, ...] = ()
    argument_names: tuple[str, ...] = ()
    returns_set: bool = False


@dataclass(frozen=True, slots=True)
class OperatorName:
    """An operator: its name, and the id of the function that computes it.

    `is_built_in`: it came with the server, or with a well-known extension that computes from arguments alone, so that it does what its
    name says.
    """

    name: str
    function: int
    is_built_in: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The relations of one database at one schema generation, with their classes.

    `opaque_functions`, `opaque_operators` and `opaque_casts` are the names of functions, operators and cast target types that
    are not the server's own: what they read can't be known from a statement's text.
    """

    generation: str
    relations: Mapping[int, Relation]
    opaque_functions: frozenset[str] = frozenset()
    volatile_functions: frozenset[str] = frozenset()
    """Those of `opaque_functions` that are VOLATILE (and all procedures)."""
    opaque_operators: frozenset[str] = frozenset()
    opaque_casts: frozenset[str] = frozenset()
    has_silent_casts: bool = False
    """Whether some of `opaque_casts` run where the text has none: IMPLICIT ones, and those of assignments."""
    functions: Mapping[int, Function] = field(default_factory=dict, repr=False)
    operators: Mapping[int, OperatorName] = field(default_factory=dict, repr=False)
    notifying_functions: bool = False
    """Whether some function of the database sends notifications, so that payloads may hold row data."""
    _by_name: Mapping[str, tuple[Relation, ...]] = field(init=False, repr=False, compare=False)
    has_classified: bool = field(init=False, repr=False, compare=False)
    """Whether the database holds classified columns of its own."""
    _function_names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, list[Relation]] = {}
        for relation in self.relations.values():
            by_name.setdefault(relation.name, []).append(relation)
        object.__setattr__(self, "_by_name", {name: tuple(found) for name, found in by_name.items()})
        object.__setattr__(self, "has_classified", any(r.holds_classified for r in self.relations.values()))
        object.__setattr__(self, "_function_names", frozenset(function.name for function in self.functions.values()))

    def candidates(self, name: RelationName) -> tuple[Relation, ...]:
        """Every relation that a name may mean: all of that name when unqualified, whatever the search path is.

        A temporary relation may shadow any other, so those of the `pg_temp` schemas answer to `pg_temp.name` too.
        """
        found = self._by_name.get(name.name, ())
        if name.schema is None:
            return found
        if name.schema == "pg_temp":
            return tuple(r for r in found if r.schema.startswith("pg_temp"))
        return tuple(r for r in found if r.schema == name.schema)

    def knows(self, name: RelationName) -> bool:
        """Whether a name means some relation of this catalogue."""
        return bool(self.candidates(name))

    def touched(self, facts: StatementFacts) -> Iterator[Relation]:
        """The relations that a statement may read or write, by name."""
        for name in facts.reads | facts.writes:
            yield from self.candidates(name)

    def is_opaque(self, facts: StatementFacts) -> bool:
        """Whether a statement calls code of the database's own, which may read any relation."""
        if facts.flow is not None:
            return any(self.is_opaque_code(name) for name in facts.flow.code) or (not _is_query(facts) and self._names_opaque(facts))
        return self._names_opaque(facts)

    def is_opaque_code(self, name: str) -> bool:
        """Whether what a function reads isn't known: the policy may trust one by its name, but none that the catalogue doesn't have."""
        return name in self.opaque_functions or name not in self._function_names

    def _names_opaque(self, facts: StatementFacts) -> bool:
        if any(f.schema != "pg_catalog" and f.name in self.opaque_functions for f in facts.functions):
            return True
        # Whether `t.f` is a column or a call of f(t), the server alone knows; a column of that name elsewhere proves nothing.
        if not facts.attribute_names.isdisjoint(self.opaque_functions):
            return True
        if self.has_silent_casts and (facts.reads or facts.writes or facts.cast_types):
            return True
        return not (facts.operators.isdisjoint(self.opaque_operators) and facts.cast_types.isdisjoint(self.opaque_casts))

    def calls_volatile(self, facts: StatementFacts) -> bool:
        """Whether a statement calls a volatile function of the database's own, which may change anything."""
        if facts.flow is not None:
            return any(self._is_volatile(each) for each in facts.flow.functions) or (not _is_query(facts) and self._names_volatile(facts))
        return self._names_volatile(facts)

    def _is_volatile(self, function_id: int) -> bool:
        function = self.functions.get(function_id)
        if function is None:
            return True
        return function.is_own and function.is_volatile and function.name in self.volatile_functions

    def _names_volatile(self, facts: StatementFacts) -> bool:
        if any(f.schema != "pg_catalog" and f.name in self.volatile_functions for f in facts.functions):
            return True
        names = facts.attribute_names & self.volatile_functions
        return bool(names) and not names <= {column.name for relation in self.touched(facts) for column in relation.columns.values()}

    def touches_classified(self, facts: StatementFacts) -> bool:
        """Whether values of classified columns may take part in a statement; errs towards yes."""
        if self.has_classified and self.is_opaque(facts):
            return True
        if facts.flow is not None and any(self._may_hold_classified(each) for each in facts.flow.relations):
            return True
        if facts.flow is not None and _is_query(facts):
            return False
        return any(relation.is_classified or relation.reads_classified for relation in self.touched(facts))

    def _may_hold_classified(self, relation_id: int) -> bool:
        relation = self.relations.get(relation_id)
        return relation is None or relation.is_classified or relation.reads_classified


_QUERIES = frozenset(
    {
        Verb.SELECT, Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.COPY_OUT, Verb.PREPARE, Verb.DECLARE, Verb.FETCH, Verb.EXPLAIN,
    }
)  # fmt: skip
"""Statements that are a query and nothing besides; the arguments of EXECUTE are no part of the query that it runs."""


def _is_query(facts: StatementFacts) -> bool:
    """Whether a statement's data flow is all that it does; of others, it is only that of the query in them."""
    return facts.verb in _QUERIES
