"""Queries of a statement's tree: the clauses of each, looked at for conditions, and what each writes.

The queries of views aren't the client's and are left out; those of followed functions are looked at for what becomes of the arguments.
"""

from __future__ import annotations

from querywarden.model.data_flow import Assignment, ConditionKind
from querywarden.model.functions import stores_argument
from querywarden.postgresql.analysis.lineage import Lineage
from querywarden.postgresql.analysis.node_tree import Node, NodeTreeError, Value
from querywarden.postgresql.analysis.query_levels import Call, Command, Level, set_operation_arms
from querywarden.postgresql.analysis.range_table import FUNCTION, JOIN, RELATION, RESULT, SUB_QUERY, TABLE_FUNCTION, VALUES
from querywarden.postgresql.analysis.range_table import GROUP as GROUP_ENTRY
from querywarden.postgresql.analysis.tree_conditions import Conditions
from querywarden.postgresql.analysis.uses import Use
from querywarden.postgresql.analysis.value_flow import Flow, derived

EQUALITY, COMPARISON, ORDER, GROUP = (
    ConditionKind.EQUALITY, ConditionKind.COMPARISON, ConditionKind.ORDER, ConditionKind.GROUP,
)  # fmt: skip
_SIMPLE = frozenset({RELATION, JOIN, RESULT, GROUP_ENTRY})
_PARAMETER = 0


class Queries:
    """One walk over the queries of a statement."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._seen: set[int] = set()
        self._calls_seen = 0
        self._simple: dict[int, bool] = {}
        self.conditions = Conditions(lineage)
        self.assignments: list[Assignment] = []

    def look_at(self, level: Level) -> None:
        """Look at a query of the statement, all that is in it, and the functions that it calls. Raises: NodeTreeError, RecursionError."""
        self._query(level, Use.RETURNED, EQUALITY)
        self.conditions.run(self._query)
        calls = self.conditions.calls
        while self._calls_seen < len(calls):
            self._body(calls[self._calls_seen])
            self._calls_seen += 1
            self.conditions.run(self._query)

    def _body(self, call: Call) -> None:
        for level in call.levels:
            self._query(level, Use.RETURNED, EQUALITY)

    def _query(self, level: Level, use: Use, kind: ConditionKind) -> None:
        """`use` is what becomes of what the query hands out, `kind` what an equality test of that is called."""
        query = level.query
        if not level.is_clients:
            return
        if id(level) not in self._seen:
            self._seen.add(id(level))
            self._common_tables(level)
            self._entries(level)
            self._join_tree(level, query.the("jointree"))
            self._clauses(level)
            if level.command is not Command.SELECT:
                self._change(level)
        if level.command is not Command.SELECT:
            return
        if query.nodes("distinctClause") and not query.flag("hasDistinctOn"):
            use, kind = max(use, Use.EQUATED), GROUP if use < Use.EQUATED else kind
        arms = set_operation_arms(query) if level.arms else []
        for number, is_union_all in arms:
            inside = level.below(level.entry(number).the("subquery"))
            self._query(inside, use if is_union_all else max(use, Use.EQUATED), kind if is_union_all or use > Use.RETURNED else GROUP)
        if not arms:
            for entry in level.outputs.values():
                self._root(level, entry.fields["expr"], use, kind)

    def _common_tables(self, level: Level) -> None:
        for table in level.query.nodes("cteList"):
            self._query(self._lineage.common_table(level, table), Use.RETURNED, EQUALITY)

    def _entries(self, level: Level) -> None:
        """What stands in FROM: sub-queries, functions, VALUES and samples."""
        handed_on = Use.STORED if level.command is Command.INSERT else Use.RETURNED
        for number, entry in enumerate(level.entries, start=1):
            entry_kind = entry.number("rtekind")
            if entry_kind == SUB_QUERY and number not in level.arms:
                query = entry.the("subquery")
                if not level.view(entry, query):
                    self._query(level.below(query), handed_on, EQUALITY)
            elif entry_kind == FUNCTION:
                # How many rows a function gives tells about what it was given.
                for item in entry.nodes("functions"):
                    expression = item.the("funcexpr")
                    if expression.type == "FUNCEXPR":
                        self.conditions.store(level, expression)
                    own = expression.type == "FUNCEXPR" and not self._lineage.functions.is_known(expression.number("funcid"))
                    self._root(level, expression if own else expression.fields.get("args"), Use.RETURNED if own else Use.TESTED, COMPARISON)
            elif entry_kind == TABLE_FUNCTION:
                self._root(level, entry.fields["tablefunc"], Use.TESTED, COMPARISON)
            elif entry_kind == VALUES:
                self._root(level, entry.fields["values_lists"], handed_on, EQUALITY)
            elif entry_kind == RELATION:
                sample = entry.node("tablesample")
                if sample is not None:
                    self._root(level, [sample.fields["args"], sample.fields["repeatable"]], Use.TESTED, COMPARISON)

    def _join_tree(self, level: Level, node: Node) -> None:
        if node.type == "RANGETBLREF":
            return
        if node.type == "FROMEXPR":
            inside = node.nodes("fromlist")
        elif node.type == "JOINEXPR":
            inside = [node.the("larg"), node.the("rarg")]
        else:
            raise NodeTreeError(f"{node.type} in FROM")
        self._condition(level, node.fields["quals"])
        for item in inside:
            self._join_tree(level, item)

    def _condition(self, level: Level, condition: Value) -> None:
        """A condition, part by part; what a view through which a query writes has added to it is left out."""
        if type(condition) is Node and condition.type == "BOOLEXPR" and condition.word("boolop") == "and":
            for part in condition.nodes("args"):
                self._condition(level, part)
        elif type(condition) is list:
            for item in condition:
                self._condition(level, item)
        elif type(condition) is Node and not (_writes_view(level) and _is_stored(condition)):
            self._root(level, condition, Use.EQUATED, EQUALITY)

    def _clauses(self, level: Level) -> None:
        query, root = level.query, self._root
        for clause in query.nodes("groupClause"):
            root(level, level.sorted_by(clause.number("tleSortGroupRef")), Use.EQUATED, GROUP)
        for clause in query.nodes("distinctClause") if query.flag("hasDistinctOn") else ():
            root(level, level.sorted_by(clause.number("tleSortGroupRef")), Use.TESTED, COMPARISON)
        for clause in query.nodes("sortClause"):
            root(level, level.sorted_by(clause.number("tleSortGroupRef")), Use.TESTED, ORDER)
        for window in query.nodes("windowClause"):
            for clause in window.nodes("partitionClause"):
                root(level, level.sorted_by(clause.number("tleSortGroupRef")), Use.EQUATED, GROUP)
            for clause in window.nodes("orderClause"):
                root(level, level.sorted_by(clause.number("tleSortGroupRef")), Use.TESTED, ORDER)
            root(level, [window.fields["startOffset"], window.fields["endOffset"]], Use.TESTED, COMPARISON)
        self._condition(level, query.fields["havingQual"])
        root(level, [query.fields["limitCount"], query.fields["limitOffset"]], Use.TESTED, COMPARISON)

    def _change(self, level: Level) -> None:
        """What an INSERT, UPDATE, DELETE or MERGE stores and asks."""
        query, written = level.query, level.written()
        self._condition(level, query.fields.get("mergeJoinCondition"))
        targets = query.nodes("targetList")
        conflict = query.node("onConflict")
        if conflict is not None:
            targets = [*targets, *conflict.nodes("onConflictSet")]
            self._root(level, conflict.fields["onConflictWhere"], Use.EQUATED, EQUALITY)
        for action in level.merge_actions():
            self._condition(level, action.fields["qual"])
            targets = [*targets, *action.nodes("targetList")]
        for entry in level.outputs.values():
            self._root(level, entry.fields["expr"], Use.RETURNED, EQUALITY)
        if written is None:
            raise NodeTreeError("a change of nothing")
        for target in targets:
            self._root(level, target.fields["expr"], Use.STORED, EQUALITY)
            if not target.flag("resjunk"):
                number = target.number("resno")
                flow = self._stored(level, target.the("expr"), number)
                place = (written.number("relid"), number)
                self.assignments.append(Assignment(place, flow.value_flow(), flow.is_chosen))

    def _stored(self, level: Level, value: Node, number: int) -> Flow:
        """What an assignment stores; of one to a field or an element, that and not the rest of the column, which stays."""
        parts: list[Flow] = []
        while True:
            if value.type == "COERCETODOMAIN" and value.the("arg").type in ("FIELDSTORE", "SUBSCRIPTINGREF"):
                value = value.the("arg")
            if value.type == "FIELDSTORE":
                parts += self._lineage.flows(level, value.fields["newvals"])
                container = value.node("arg")
            elif value.type == "SUBSCRIPTINGREF" and value.node("refassgnexpr") is not None:
                for name in ("refupperindexpr", "reflowerindexpr", "refassgnexpr"):
                    parts += self._lineage.flows(level, value.fields[name])
                container = value.node("refexpr")
            else:
                break
            if container is None:
                return derived(parts)
            value = container
        if not parts:
            return self._lineage.flow(level, value)
        target = (level.query.number("resultRelation"), number, 0)
        is_itself = value.type == "VAR" and (value.number("varno"), value.number("varattno"), value.number("varlevelsup")) == target
        return derived(parts if is_itself else [*parts, self._lineage.flow(level, value)])

    def _root(self, level: Level, value: Value, use: Use, kind: ConditionKind) -> None:
        """Look at an expression, in a function's body only if what the function was called with may be in it."""
        if level.call is None or not self._is_simple(level.call) or _has_parameter(value):
            self.conditions.look_at(level, value, use, kind)

    def _is_simple(self, call: Call) -> bool:
        """Whether a body reads relations alone and keeps nothing, so that arguments stand where they are used."""
        if call.function not in self._simple:
            functions = self._lineage.functions
            called, nodes = functions.reached_by(call.function)
            keeps = any(stores_argument(functions.name(number)) for number in called)
            writes = any(node.type == "QUERY" and node.number("commandType") != Command.SELECT for node in nodes)
            reads = all(entry.number("rtekind") in _SIMPLE for level in call.levels for entry in level.entries)
            self._simple[call.function] = reads and not keeps and not writes
        return self._simple[call.function]


def _has_parameter(value: Value) -> bool:
    pending: list[Value] = [value]
    while pending:
        item = pending.pop()
        if type(item) is list:
            pending += item
        elif type(item) is Node:
            if item.type == "PARAM" and item.number("paramkind") == _PARAMETER:
                return True
            pending += item.fields.values()
    return False


def _writes_view(level: Level) -> bool:
    """Whether a query names a view that it writes through: this stays in its range table."""
    if level.command is Command.SELECT:
        return False
    return any(entry.number("rtekind") == RELATION and entry.word("relkind") == "v" for entry in level.entries)


def _is_stored(condition: Node) -> bool:
    """Whether a condition is from a stored definition: what isn't in the text has no place in it."""
    pending: list[Value] = [condition]
    while pending:
        item = pending.pop()
        if type(item) is list:
            pending += item
        elif type(item) is Node:
            if item.fields.get("location", "-1") != "-1":
                return False
            pending += item.fields.values()
    return True
