"""Shapes: what a query or an item of FROM hands out, column by column, and where each of them comes from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from querywarden.model.resource import RelationName
from querywarden.postgresql.analysis.flows import Lineage, Origin

if TYPE_CHECKING:
    from querywarden.postgresql.analysis.naming import Query

NOTHING = Lineage(frozenset(), True)
ANYTHING = Lineage(frozenset({Origin(None, None)}), False)
_STEPS_MAX = 20_000
"""Names that are followed for one statement; sub-selects in recursive queries may be followed many times."""


class TooIntricate(Exception):
    """The names of a statement can't be followed within bounds."""


class Session:
    """What following the names of one statement has cost, and the recursive queries whose columns are no more than guessed yet."""

    __slots__ = ("guessed", "steps")

    def __init__(self) -> None:
        self.steps = 0
        self.guessed: set[int] = set()

    def step(self) -> None:
        """Count one step. Raises: TooIntricate."""
        self.steps += 1
        if self.steps > _STEPS_MAX:
            raise TooIntricate


class Shape(NamedTuple):
    """What a query hands out: its columns in order, and the relations of which a star hands out columns that aren't listed."""

    columns: tuple[tuple[str | None, Lineage], ...]
    starred: frozenset[RelationName]

    def column(self, name: str) -> Lineage | None:
        """What a name stands for; None when it is none of the columns. A column without a name may have any."""
        found = [lineage for column, lineage in self.columns if column == name]
        if found:
            return union(found)
        found = [lineage for column, lineage in self.columns if column is None]
        if self.starred:
            found.append(Lineage(frozenset({Origin(self.starred, name)}), True))
        return union(found) if found else None

    def whole(self) -> Lineage:
        """All of it."""
        found = [lineage for _, lineage in self.columns]
        if self.starred:
            found.append(Lineage(frozenset({Origin(self.starred, None)}), True))
        return union(found)


NOT_YET = Shape(((None, NOTHING),), frozenset())
"""A recursive query seen from inside, before anything is known of it: nothing, under whatever name."""


def union(found: Iterable[Lineage]) -> Lineage:
    """All that any of these may be."""
    lineages = tuple(found)
    if len(lineages) == 1:
        return lineages[0]
    origins: frozenset[Origin] = frozenset().union(*(lineage.origins for lineage in lineages))
    return Lineage(origins, all(lineage.is_plain or not lineage.origins for lineage in lineages))


class Base:
    """A relation in FROM; with a list of column names its columns can't be told apart."""

    __slots__ = ("is_renamed", "relations")

    def __init__(self, relation: RelationName, is_renamed: bool) -> None:
        self.relations = frozenset({relation})
        self.is_renamed = is_renamed

    def shape(self) -> Shape:
        """Its columns as a star hands them out."""
        return Shape(((None, self.column("")),), frozenset()) if self.is_renamed else Shape((), self.relations)

    def column(self, name: str) -> Lineage:
        """The column of a name."""
        return Lineage(frozenset({Origin(self.relations, None if self.is_renamed else name)}), True)


class Given:
    """An item of FROM whose shape is found when it is needed: a sub-select, a common table, a function, a join with an alias."""

    __slots__ = ("_names", "_query", "_shape")

    def __init__(self, query: Query | None, shape: Shape | None, names: tuple[str, ...]) -> None:
        self._query = query
        self._shape = shape
        self._names = names

    def shape(self) -> Shape:
        """Its columns; where a star leaves open how many they are, those of a list of names can't be told apart."""
        found = self._shape if self._shape is not None else self._query.shape() if self._query is not None else Shape((), frozenset())
        if not self._names:
            return found
        if found.starred or any(name is None for name, _ in found.columns):
            whole = found.whole()
            return Shape((*((name, whole) for name in self._names), (None, whole)), frozenset())
        names = (*self._names, *(name for name, _ in found.columns[len(self._names) :]))
        return Shape(tuple((name, lineage) for name, (_, lineage) in zip(names, found.columns, strict=False)), frozenset())

    def column(self, name: str) -> Lineage | None:
        """The column of a name."""
        return self.shape().column(name)


def merged(shapes: list[Shape]) -> Shape:
    """The shape of a set operation: column by column, under the names of the first arm."""
    shapes = [shape for shape in shapes if shape != NOT_YET] or [NOT_YET]
    first = shapes[0]
    if len(shapes) == 1:
        return first
    width = len(first.columns)
    if any(shape.starred or len(shape.columns) != width for shape in shapes):
        return Shape(((None, union([shape.whole() for shape in shapes])),), frozenset())
    columns = zip(*(shape.columns for shape in shapes), strict=True)
    return Shape(tuple((column[0][0], union([lineage for _, lineage in column])) for column in columns), frozenset())
