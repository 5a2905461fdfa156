"""Conditions in node trees: what the queries of a statement compare, sort, group and compute with, and what that tells of values.

The rules are those by which a text is judged where no tree is to be had (`uses`): a column that is compared for equality tells no more
than that; one that is put through a function, an operator or a cast which could fail, or could be told from its outcome, tells more.
"""

from __future__ import annotations

from collections.abc import Callable

from querywarden.model.data_flow import Condition, ConditionKind
from querywarden.model.functions import stores_argument
from querywarden.postgresql.analysis.lineage import EXISTS, EXPRESSION, Lineage
from querywarden.postgresql.analysis.node_tree import Node, Value
from querywarden.postgresql.analysis.query_levels import Call, Level
from querywarden.postgresql.analysis.tree_visits import VISITS, visit_other
from querywarden.postgresql.analysis.uses import Use
from querywarden.postgresql.analysis.value_flow import Flow, derived

OnQuery = Callable[[Level, Use, ConditionKind], None]
Work = tuple[Level, Node, Use, ConditionKind]


class Conditions:
    """The conditions found so far, and the work that is left.

    `code` are the functions of the database's own that aren't followed, `calls` the calls of those that are; `stored` is what functions
    are given that keep it. With each piece of work goes what an equality test of it is called; ORDER stands with a sort key as it is.
    """

    def __init__(self, lineage: Lineage) -> None:
        self.lineage = lineage
        self.functions = lineage.functions
        self.found: set[Condition] = set()
        self.code: set[str] = set()
        self.calls: list[Call] = []
        self.stored: list[Flow] = []
        self._stack: list[Work] = []

    def look_at(self, level: Level, value: Value, use: Use, kind: ConditionKind = ConditionKind.EQUALITY) -> None:
        """Look at all expressions in a field later."""
        if type(value) is Node:
            self._stack.append((level, value, use, kind))
        elif type(value) is list:
            for item in value:
                if item is not None:
                    self.look_at(level, item, use, kind)

    def run(self, on_query: OnQuery) -> None:
        """Look at all that is left; `on_query` is called for the sub-queries of expressions. Raises: NodeTreeError, RecursionError."""
        while self._stack:
            level, node, use, kind = self._stack.pop()
            if node.type == "SUBLINK":
                self._sub_query(level, node, use, kind, on_query)
            else:
                VISITS.get(node.type, visit_other)(self, level, node, use, kind)

    def _sub_query(self, level: Level, node: Node, use: Use, kind: ConditionKind, on_query: OnQuery) -> None:
        link = node.number("subLinkType")
        inner = level.below(node.the("subselect"))
        if link == EXISTS:
            on_query(inner, Use.RETURNED, kind)
        elif link < EXPRESSION:
            tests = _operations(node.node("testexpr"))
            is_equality = bool(tests) and all(test.type == "OPEXPR" and self.functions.is_equality(test) for test in tests)
            use = Use.EQUATED if is_equality else Use.TESTED
            sides = [argument for test in tests for argument in test.nodes("args")] if is_equality else tests
            has_columns = any(self.lineage.flow(level, side).values for side in sides)
            gives_columns = any(self.lineage.output(inner, number).values for number in inner.outputs)
            on_query(inner, use, ConditionKind.JOIN if has_columns else ConditionKind.EQUALITY)
            self.look_at(level, sides, use, ConditionKind.JOIN if gives_columns else ConditionKind.EQUALITY)  # type: ignore[arg-type]
        else:
            on_query(inner, use, kind)

    def tell(self, flow: Flow, use: Use, kind: ConditionKind) -> None:
        """Note what the use of a value tells of the columns that it is made of."""
        if use < Use.EQUATED or not (flow.values or flow.code):
            return
        is_telling = use is Use.TESTED and kind is not ConditionKind.ORDER
        if is_telling or (use is Use.EQUATED and (flow.code or not flow.is_plain)):
            kind = ConditionKind.COMPARISON
        self.found.add(Condition(kind, flow.values, flow.code))

    def call(self, level: Level, node: Node, function: int) -> bool:
        """Note a call of a function that isn't the server's own; whether its body is followed."""
        before = id(node) in level.calls
        call = self.lineage.call(level, node, function)
        if call is None:
            self.code.add(self.functions.name(function))
            return False
        if not before or not any(known is call for known in self.calls):
            self.calls.append(call)
        return True

    def store(self, level: Level, node: Node) -> None:
        """Note what a function is given, if it keeps it where it can be read unmasked."""
        if stores_argument(self.functions.name(node.number("funcid"))):
            self.stored.append(derived(self.lineage.flows(level, node.fields["args"])))

    def sides(self, level: Level, left: list[Node], right: list[Node]) -> ConditionKind:
        """What an equality test of two sides is: a join where both have columns."""
        has_columns = [any(self.lineage.flow(level, node).values for node in side) for side in (left, right)]
        return ConditionKind.JOIN if all(has_columns) else ConditionKind.EQUALITY


def _operations(test: Node | None) -> list[Node]:
    """The comparisons that the test of a sub-query is made of: one for each column."""
    if test is not None and test.type == "BOOLEXPR":
        return [operation for part in test.nodes("args") for operation in _operations(part)]
    return [test] if test is not None else []
