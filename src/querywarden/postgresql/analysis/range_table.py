"""Range tables: where the columns of what stands in FROM come from, whatever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from querywarden.model.catalogue import Catalogue, Classification, Column
from querywarden.model.data_flow import FlowKind, Place
from querywarden.postgresql.analysis.node_tree import Node, NodeTreeError
from querywarden.postgresql.analysis.query_levels import Level, Recursion
from querywarden.postgresql.analysis.value_flow import NOTHING, Flow, derived, direct, either, unknown

if TYPE_CHECKING:
    from querywarden.postgresql.analysis.lineage import Lineage

RELATION, SUB_QUERY, JOIN, FUNCTION, TABLE_FUNCTION, VALUES, COMMON_TABLE, TRANSITION, RESULT, GROUP = range(10)
"""The kinds of a RANGETBLENTRY."""
_ROUNDS_MAX = 100
"""Rounds after which a recursive query's columns are given up; each moves one column's sources to another."""


class RangeTable:
    """The columns of range table entries; expressions are read by `lineage`."""

    def __init__(self, catalogue: Catalogue, lineage: Lineage) -> None:
        self._catalogue = catalogue
        self._lineage = lineage

    def column(self, level: Level, number: int, column: int) -> Flow:
        """A column of an entry, the whole row for 0. Raises: NodeTreeError."""
        if column < 0:
            # A system column: where and when a row was stored, and by which table.
            return NOTHING
        if number in level.arms:
            # A set operation's outputs name the first arm and mean all.
            return either(self._entry_column(level, arm, column) for arm in level.arms)
        if number == level.excluded:
            return self._proposed(level, column)
        return self._entry_column(level, number, column)

    def _entry_column(self, level: Level, number: int, column: int) -> Flow:
        entry, lineage = level.entry(number), self._lineage
        kind = entry.number("rtekind")
        if kind == RELATION:
            return self._of_relation(level, number, column)
        if kind == SUB_QUERY:
            return self._of_sub_query(level, entry, column)
        if kind == JOIN:
            return self._of_join(level, entry, column)
        if kind == FUNCTION:
            return self._of_functions(level, entry, column)
        if kind == TABLE_FUNCTION:
            return derived([lineage.flow(level, entry.the("tablefunc"))])
        if kind == VALUES:
            return self._of_values(level, entry, column)
        if kind == COMMON_TABLE:
            return self._of_common_table(level, entry, column)
        if kind == TRANSITION and entry.fields.get("relid") is not None and entry.number("relid"):
            return direct((entry.number("relid"), column))
        if kind == GROUP:
            expressions = entry.nodes("groupexprs")
            if 0 < column <= len(expressions):
                return lineage.flow(level, expressions[column - 1])
        raise NodeTreeError("a column of an entry that has none")

    def _of_relation(self, level: Level, number: int, column: int) -> Flow:
        entry = level.entry(number)
        relation = entry.number("relid")
        if entry.word("relkind") == "v" and relation not in self._catalogue.relations:
            return unknown(f"view {relation}")
        found = direct((relation, column))
        if number == level.query.number("resultRelation"):
            # What is written through a view shows as columns of the table behind; the view's columns may have classes of their own.
            places = frozenset(place for item in level.entries for place in self._own_places(item, relation))
            found = found._replace(sources=found.sources | places, values=found.values | places)
        return found

    def _own_places(self, entry: Node, target: int) -> list[Place]:
        if entry.number("rtekind") != RELATION or entry.word("relkind") != "v" or entry.number("relid") == target:
            return []
        view = self._catalogue.relations.get(entry.number("relid"))
        return [(view.id, column.number) for column in view.columns.values() if _own_class(column)] if view is not None else []

    def _of_sub_query(self, level: Level, entry: Node, column: int) -> Flow:
        query = entry.the("subquery")
        view = level.view(entry, query)
        inner = level.below(query, is_clients=not view)
        if column == 0:
            parts = [self._of_sub_query(level, entry, number) for number in inner.outputs]
            return derived(parts, FlowKind.WHOLE_ROW, is_plain=True)
        found = self._lineage.output(inner, column)
        return self._at_border(view, column, found) if view else found

    def _at_border(self, view: int, column: int, inner: Flow) -> Flow:
        """A column of a view, of which the catalogue may say more than where it comes from."""
        relation = self._catalogue.relations.get(view)
        said = relation.columns.get(column) if relation is not None else None
        if said is None:
            return inner
        if said.is_declared_none:
            return NOTHING
        if _own_class(said) is None:
            return inner
        own = direct((view, column))
        sources = inner.sources | own.sources
        if not inner.code and not any(self._is_classified(place) for place in inner.sources):
            # Nothing but the view's column itself is masked, and that is handed on as it stands.
            return own._replace(sources=sources, values=sources)
        return inner._replace(sources=sources, values=inner.values | own.values)

    def _is_classified(self, place: Place) -> bool:
        relation = self._catalogue.relations.get(place[0])
        if relation is None:
            return False
        column = relation.columns.get(place[1])
        return relation.is_classified if column is None else column.classification is not None

    def _of_join(self, level: Level, entry: Node, column: int) -> Flow:
        columns = entry.fields["joinaliasvars"]
        if column == 0:
            return derived(self._lineage.flows(level, columns), FlowKind.WHOLE_ROW, is_plain=True)
        if type(columns) is not list or column > len(columns):
            raise NodeTreeError("a joined column that isn't there")
        merged = columns[column - 1]
        if type(merged) is Node and merged.type == "COALESCEEXPR":
            # FULL JOIN … USING: the value of one side or the other.
            return either(self._lineage.flows(level, merged.fields["args"]))
        # A column that has been dropped since has nothing in its place.
        return either(self._lineage.flows(level, merged)) if merged is not None else NOTHING

    def _of_functions(self, level: Level, entry: Node, column: int) -> Flow:
        functions, lineage = entry.nodes("functions"), self._lineage
        if column == 0:
            return derived((lineage.flow(level, item.the("funcexpr")) for item in functions), FlowKind.WHOLE_ROW)
        before = 0
        for item in functions:
            count = item.number("funccolcount")
            if column <= before + count:
                expression = item.the("funcexpr")
                is_scalar = count == 1 and item.fields["funccolnames"] is None
                if is_scalar:
                    return lineage.flow(level, expression)
                # A field that has been dropped has no name.
                position = sum(map(bool, entry.the("eref").names("colnames")[before:column]))
                return lineage.column_of_call(level, expression, column - before, position)
            before += count
        if entry.flag("funcordinality") and column == before + 1:
            return NOTHING
        raise NodeTreeError("a function's column that isn't there")

    def _of_values(self, level: Level, entry: Node, column: int) -> Flow:
        rows = entry.fields["values_lists"]
        found: list[Flow] = []
        for row in rows if type(rows) is list else ():
            if type(row) is not list or len(row) < column:
                raise NodeTreeError("a value that isn't there")
            found += self._lineage.flows(level, row if column == 0 else row[column - 1])
        return either(found) if column and found else derived(found, FlowKind.WHOLE_ROW)

    def _of_common_table(self, level: Level, entry: Node, column: int) -> Flow:
        owner = level.up(entry.number("ctelevelsup"))
        table = owner.common_table(entry.word("ctename"))
        query, lineage = table.the("ctequery"), self._lineage
        if not table.flag("cterecursive"):
            return lineage.output(owner.below(query), column)
        recursion = self.recursion(owner, query)
        if column == 0:
            return derived(recursion.guess.values(), FlowKind.WHOLE_ROW, is_plain=True)
        if column not in recursion.guess:
            raise NodeTreeError("a common table's column that isn't there")
        return recursion.guess[column]

    def recursion(self, owner: Level, query: Node) -> Recursion:
        """What a recursive query's columns are in the end: guessed as nothing, and read again until that changes nothing."""
        if id(query) in owner.recursions:
            return owner.recursions[id(query)]
        level = Level(query, owner, owner.call, owner.is_clients)
        recursion = owner.recursions[id(query)] = Recursion(level.outputs)
        for _ in range(_ROUNDS_MAX):
            owner.inner[id(query)] = level
            found = {number: self._lineage.output(level, number) for number in level.outputs}
            if found == recursion.guess:
                return recursion
            recursion.guess = found
            level = Level(query, owner, owner.call, owner.is_clients)
        raise NodeTreeError("too intricate")

    def _proposed(self, level: Level, column: int) -> Flow:
        """A column of the row that INSERT … ON CONFLICT would have inserted."""
        entries = {entry.number("resno"): entry.the("expr") for entry in level.query.nodes("targetList")}
        if column in entries:
            return self._lineage.flow(level, entries[column])
        relation = self._catalogue.relations.get(level.entry(level.excluded).number("relid"))
        known = relation.columns.get(column) if relation is not None else None
        if known is not None and not known.is_generated:
            return NOTHING
        return derived([self._lineage.flow(level, value) for value in entries.values()])

    def field(self, level: Level, number: int, column: int, field: int) -> Flow | None:
        """A field of a column that is a row, of the entry's own row for column 0; None where its fields can't be told apart."""
        if column < 0 or number in level.arms or number == level.excluded:
            return None
        if column == 0:
            return self._lineage.column(level, number, field)
        entry = level.entry(number)
        kind = entry.number("rtekind")
        inner: Level | None = None
        if kind == SUB_QUERY:
            query = entry.the("subquery")
            inner = level.below(query) if not level.view(entry, query) else None
        elif kind == COMMON_TABLE:
            owner = level.up(entry.number("ctelevelsup"))
            table = owner.common_table(entry.word("ctename"))
            inner = owner.below(table.the("ctequery")) if not table.flag("cterecursive") else None
        elif kind == GROUP:
            expressions = entry.nodes("groupexprs")
            if column <= len(expressions):
                return self._lineage.field(level, expressions[column - 1], field)
        if inner is None or column not in inner.outputs:
            return None
        return self._lineage.field(inner, inner.outputs[column].the("expr"), field)


def _own_class(column: Column) -> Classification | None:
    """The class of a view's column that isn't that of the columns which it comes from."""
    found = column.classification
    return found if found is not None and found.source != "view" else None
