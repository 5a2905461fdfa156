"""Data flow: what the server itself understands of a statement, by ids: where outputs come from, what conditions rest on, what is written.

It is read from the tree that a server prints of a statement which it has analysed, not from the text. Like facts it holds no literals.
A column of a relation is a `Place`: the relation's id and the column's number; number 0 stands for the whole row, a negative one for a
system column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Place = tuple[int, int]
"""A relation's id and a column's number."""


class FlowKind(StrEnum):
    """What an expression is, seen from the columns that it is made of."""

    DIRECT = "direct"
    """One value of a column, unchanged: through aliases, joins, sub-queries, CTEs, views, set operations and casts that change no byte."""
    DERIVED = "derived"
    """Computed from columns: a cast, a function, an operator, a condition, a window function, an element of an array."""
    AGGREGATE = "aggregate"
    """Computed by an aggregate over many rows."""
    WHOLE_ROW = "whole_row"
    """The row of a relation, or a sub-query's, as one value."""
    CONSTANT = "constant"
    """Of no column: constants, parameters, counts, whether a row exists, and what is computed from those."""


@dataclass(frozen=True, slots=True)
class ValueFlow:
    """Where a value comes from.

    `sources` are the columns of base relations (tables, materialised views, foreign tables) whose values may be in it; that of a view
    only where the view's column itself has a class that isn't its origin's. `code` names the functions of the database's own, whose body
    isn't known, that it has come through: anything may be in it.
    """

    kind: FlowKind
    sources: frozenset[Place] = frozenset()
    code: frozenset[str] = frozenset()
    function: str | None = None
    """For an aggregate: its name."""

    @property
    def is_constant(self) -> bool:
        """Whether nothing of any relation is in it."""
        return not self.sources and not self.code


@dataclass(frozen=True, slots=True)
class OutputFlow:
    """A column of a result: its name and declared type as the server has settled them, and where its values come from."""

    name: str
    value: ValueFlow
    type_id: int = 0
    type_modifier: int = -1


class ConditionKind(StrEnum):
    """What a condition, an order or a grouping tells about the values that it rests on."""

    EQUALITY = "equality"
    """Compared by = or IN with what the client may choose: constants, parameters and what is computed from them."""
    JOIN = "join"
    """Compared by = or IN with another column."""
    NULL_TEST = "null_test"
    COMPARISON = "comparison"
    """Anything that tells more than equality: ranges, patterns, functions and operators of it, casts."""
    ORDER = "order"
    """Sorted by, the smallest or largest of, a window's order."""
    GROUP = "group"
    """Grouped, made distinct or partitioned by."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of the statement's own (not of a view's definition or a row-security policy), and the columns that it rests on."""

    kind: ConditionKind
    sources: frozenset[Place]
    code: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value that the statement stores: into a column, or with number 0 into rows that can't be told apart by column."""

    target: Place
    value: ValueFlow
    takes_client_values: bool = False
    """It is a constant or parameter, or computed from some: the client may have chosen it."""


@dataclass(frozen=True, slots=True)
class DataFlow:
    """The data flow of one statement, that of its CTEs, of the rules' actions and of followed function bodies included.

    `outputs` None: it returns no rows. `relations` are the base relations and views that are read or written anywhere; `column_names`
    the names of the columns of each, by number, as the server knows them, for relations that a catalogue may not have.
    """

    outputs: tuple[OutputFlow, ...] | None
    relations: frozenset[int] = frozenset()
    written: frozenset[int] = frozenset()
    conditions: frozenset[Condition] = frozenset()
    assignments: tuple[Assignment, ...] = ()
    functions: frozenset[int] = frozenset()
    """The ids of all functions that are called: as such, by operators, casts and aggregates."""
    code: frozenset[str] = frozenset()
    """The names of those of the database's own whose body isn't known."""
    stored_arguments: ValueFlow | None = None
    """What is handed to functions that keep it where it can be read unmasked: settings, sequences, notifications, large objects, locks."""
    column_names: Mapping[int, Mapping[int, str]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The answer where the server's tree is missing or not understood; `reason` holds no part of a statement."""

    reason: str


@dataclass(frozen=True, slots=True)
class WantsBodies:
    """The tree calls SQL-language functions whose bodies are text: the server is to be asked about these first, by function id."""

    functions: frozenset[int]
