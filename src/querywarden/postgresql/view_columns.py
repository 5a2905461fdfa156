"""View columns: where the columns of a view come from, read from the node tree of its rule (pg_rewrite.ev_action).

Such a tree is analysed but not rewritten: views that a view reads stand in it as relations. What isn't understood is reported as not
known, never as harmless.
"""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.model.catalogue import Catalogue, Relation
from querywarden.postgresql.analysis.lineage import Lineage
from querywarden.postgresql.analysis.node_tree import Node, NodeTreeError, parse_node_tree
from querywarden.postgresql.analysis.query_levels import Level
from querywarden.postgresql.analysis.tree_functions import Functions

_COUNTS = frozenset({2147, 2803})
"""The ids of count(any) and count(*), the same in all versions."""


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """A column of a view. `origin`: the relation and column that it is, as the server says, or None for an expression.

    `sources` are the columns that it is made of, with number 0 for whole rows; None where they aren't known.
    """

    number: int
    origin: tuple[int, int] | None
    sources: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, slots=True)
class ViewTree:
    """The columns of a view, and the ids of the relations and functions that occur anywhere in it."""

    columns: tuple[ViewColumn, ...]
    relations: frozenset[int]
    functions: frozenset[int]


def parse_view(tree: str) -> ViewTree | None:
    """Read the node tree of a view's rule; None when it isn't one query, or isn't understood."""
    try:
        read = parse_node_tree(tree)
        queries = read.queries()
        if len(queries) != 1:
            return None
        relations = frozenset(_relations(read.nodes))
        # Whatever it reads is taken for a relation, with classes of its own: what the catalogue says of it comes later.
        catalogue = Catalogue("", {number: Relation(number, "", "", "", {}) for number in relations})
        functions = _AllKnown(catalogue)
        lineage, level = Lineage(catalogue, functions), Level(queries[0], None, None, is_clients=True)
        columns = tuple(_column(lineage, level, number, entry) for number, entry in sorted(level.outputs.items()))
        return ViewTree(columns, relations, frozenset(functions.called_in(read.nodes)))
    except (NodeTreeError, RecursionError):
        return None


class _AllKnown(Functions):
    """Functions as if all of them computed from their arguments alone: which of a view's don't is looked at besides."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(catalogue, {})

    def is_known(self, number: int) -> bool:
        """Always."""
        return True

    def is_count(self, number: int) -> bool:
        """Whether it is the server's count."""
        return number in _COUNTS


def _column(lineage: Lineage, level: Level, number: int, entry: Node) -> ViewColumn:
    origin = (entry.number("resorigtbl"), entry.number("resorigcol"))
    return ViewColumn(number, origin if origin[0] else None, tuple(sorted(lineage.output(level, number).sources)))


def _relations(nodes: list[Node]) -> set[int]:
    found = {node.number("relid") for node in nodes if node.type == "RANGETBLENTRY" and node.fields.get("relid") is not None}
    return found - {0}
