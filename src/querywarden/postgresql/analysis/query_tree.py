"""Query trees: the data flow of a statement, read from the trees that the server prints of what it has understood.

The trees are those of the analysed and rewritten statement: views are expanded, names are ids, rules and policies are applied. What
isn't understood in full is Unresolved, never harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from querywarden.model.catalogue import Catalogue
from querywarden.model.data_flow import DataFlow, OutputFlow, Unresolved, ValueFlow, WantsBodies
from querywarden.postgresql.analysis.lineage import Lineage
from querywarden.postgresql.analysis.node_tree import Node, NodeTree, NodeTreeError, parse_node_tree
from querywarden.postgresql.analysis.query_levels import Command, Level, output_name
from querywarden.postgresql.analysis.range_table import RELATION
from querywarden.postgresql.analysis.tree_functions import Functions
from querywarden.postgresql.analysis.tree_queries import Queries
from querywarden.postgresql.analysis.tree_types import type_of
from querywarden.postgresql.analysis.value_flow import derived

_UTILITY = re.compile(r"\(\{QUERY\s:commandType\s\d\s:querySource\s\d\s:canSetTag\s\w+\s:utilityStmt\s(?!<>)")
"""The beginning of a tree whose query is in a statement of another kind, or is none at all."""


def data_flow_of(
    trees: Sequence[str], catalogue: Catalogue, bodies: Mapping[int, str] | None = None
) -> DataFlow | Unresolved | WantsBodies:
    """The data flow of a statement.

    Args: `trees` are the trees that the server has printed of it, one for each time that it said "rewritten parse tree"; `bodies` those
    of functions whose bodies are text, by function id. Never raises; the work is bounded.
    """
    if any(_UTILITY.match(text) for text in trees):
        return Unresolved("utility")
    functions = Functions(catalogue, bodies or {})
    try:
        found = _Reading(catalogue, functions).read([parse_node_tree(text) for text in trees])
    except NodeTreeError as error:
        return Unresolved(str(error))
    except RecursionError:
        return Unresolved("too deep")
    return WantsBodies(frozenset(functions.wanted)) if functions.wanted else found


class _Reading:
    """The reading of one statement."""

    def __init__(self, catalogue: Catalogue, functions: Functions) -> None:
        self._functions = functions
        self._lineage = Lineage(catalogue, functions)
        self._queries = Queries(self._lineage)

    def read(self, trees: list[NodeTree]) -> DataFlow:
        """The data flow of all trees together. Raises: NodeTreeError, RecursionError."""
        if not trees:
            raise NodeTreeError("no tree")
        levels = [Level(query, None, None, is_clients=True) for tree in trees for query in tree.queries()]
        for level in levels:
            self._queries.look_at(level)
        outputs = self._outputs(levels)
        called, nodes = self._functions.reached([node for tree in trees for node in tree.nodes])
        conditions, assignments = self._queries.conditions, tuple(self._queries.assignments)
        values = [output.value for output in outputs or ()] + [assignment.value for assignment in assignments]
        return DataFlow(
            outputs=outputs,
            relations=frozenset(_relations(nodes)),
            written=frozenset(_written(nodes)),
            conditions=frozenset(conditions.found),
            assignments=assignments,
            functions=frozenset(called),
            code=self._code(values),
            stored_arguments=derived(conditions.stored).value_flow() if conditions.stored else None,
            column_names=_column_names(nodes),
        )

    def _outputs(self, levels: list[Level]) -> tuple[OutputFlow, ...] | None:
        """The outputs of the one query whose result the client gets."""
        answering = [level for level in levels if level.query.flag("canSetTag")]
        if len(answering) > 1:
            raise NodeTreeError("more than one statement")
        if not answering or (answering[0].command is not Command.SELECT and not answering[0].query.nodes("returningList")):
            return None
        level = answering[0]
        return tuple(self._output(level, number, entry) for number, entry in sorted(level.outputs.items()))

    def _output(self, level: Level, number: int, entry: Node) -> OutputFlow:
        type_id, modifier = type_of(entry.the("expr"))
        return OutputFlow(output_name(entry), self._lineage.output(level, number).value_flow(), type_id, modifier)

    def _code(self, values: Iterable[ValueFlow]) -> frozenset[str]:
        """The functions that aren't known: of values, of conditions, and of the bodies of those that are followed."""
        conditions, functions = self._queries.conditions, self._functions
        found = set(conditions.code).union(*(value.code for value in values), *(condition.code for condition in conditions.found))
        for number in {call.function for call in conditions.calls}:
            called, _ = functions.reached_by(number)
            found |= {functions.name(inside) for inside in called if not functions.is_known(inside) and functions.body(inside) is None}
        return frozenset(found)


def _relations(nodes: Iterable[Node]) -> Iterable[int]:
    for node in nodes:
        if node.type == "RANGETBLENTRY" and node.fields.get("relid") is not None:
            relation = node.number("relid")
            if relation:
                yield relation


def _written(nodes: Iterable[Node]) -> Iterable[int]:
    for node in nodes:
        if node.type == "QUERY" and node.number("commandType") != Command.SELECT and node.number("resultRelation"):
            entries = node.nodes("rtable")
            number = node.number("resultRelation")
            if number > len(entries):
                raise NodeTreeError("a range table entry that isn't there")
            yield entries[number - 1].number("relid")


def _column_names(nodes: Iterable[Node]) -> dict[int, dict[int, str]]:
    """The names of the columns of each relation, as far as the statement doesn't give them others."""
    found: dict[int, dict[int, str]] = {}
    for node in nodes:
        if node.type == "RANGETBLENTRY" and node.number("rtekind") == RELATION:
            alias = node.node("alias")
            renamed = len(alias.names("colnames")) if alias is not None else 0
            names = found.setdefault(node.number("relid"), {})
            for number, name in enumerate(node.the("eref").names("colnames"), start=1):
                # A column that has been dropped has no name.
                if number > renamed and name:
                    names[number] = name
    return found
