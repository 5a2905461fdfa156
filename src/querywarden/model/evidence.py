"""Evidence: what the conditions of a statement tell, as far as its text says which columns of which relations they are about."""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.model.facts import Expression
from querywarden.model.resource import RelationName


@dataclass(frozen=True, slots=True)
class Probe(Expression):
    """A value that is compared, ordered, searched or computed with in a way that tells more of it than equality.

    Its one column is of one of `relations` (None: of any relation of the statement). `is_opaque`: any column of them, or the whole row.
    `position` stands for a column by its place, from 1, where a star hides its name. `function` is a function that isn't the
    server's own and whose result is the value. `is_optional`: where no relation has such a column, the name means something harmless.
    """

    relations: frozenset[RelationName] | None = None
    position: int | None = None
    function: str | None = None
    is_optional: bool = False
