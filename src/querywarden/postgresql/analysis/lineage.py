"""Lineage: where the values of expressions in a query tree come from, through sub-queries, views, common tables and function bodies.

Each column of each level is found once. A tree is as large as the server has made it, so recursion is as deep as the statement is
nested; the caller turns a RecursionError into "not understood".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from querywarden.model.catalogue import Catalogue
from querywarden.model.data_flow import FlowKind
from querywarden.postgresql.analysis.flows import UNARY_VALUE_OPERATORS, VALUE_OPERATORS
from querywarden.postgresql.analysis.node_tree import Node, NodeTreeError, Value
from querywarden.postgresql.analysis.query_levels import Call, Level
from querywarden.postgresql.analysis.range_table import RangeTable
from querywarden.postgresql.analysis.tree_functions import Functions
from querywarden.postgresql.analysis.tree_types import type_of
from querywarden.postgresql.analysis.value_flow import CHOSEN, NOTHING, Flow, derived, outcome, unknown, with_code

_STEPS_MAX = 100_000
_CALLS_DEEP_MAX = 8
_CALLS_MAX = 300
"""Calls that are followed in one statement; what more there are is code that isn't known."""
_ARGUMENTS_MAX = 1000
"""No server is built for functions of more arguments."""
_RECORD = 2249
_PARAMETER, _MULTIPLE = 0, 3
"""Kinds of PARAM: a parameter of the statement or function, and a column of a sub-query in UPDATE … SET (a, b) = (SELECT …)."""
_EXPLICIT_CAST, _IMPLICIT_CAST = 1, 2
EXISTS, EXPRESSION, ARRAY = 0, 4, 6
"""Kinds of SUBLINK; the others compare."""
_KEEPING_TYPES = frozenset({25, 1042, 1043, 1700, 2950})
"""text, char, varchar, numeric and uuid: a cast to these, without a length, doesn't let two values fall together."""

_FITTING = frozenset({"varchar", "bpchar"})
"""Casts of a text to a length: those that weren't asked for fail where they would cut anything but spaces off."""


class Lineage:
    """The lineage of one statement's queries."""

    def __init__(self, catalogue: Catalogue, functions: Functions) -> None:
        self.functions = functions
        self._tables = RangeTable(catalogue, self)
        self._steps = 0
        self._calls = 0

    def output(self, level: Level, number: int) -> Flow:
        """An output of a query by its number. Raises: NodeTreeError."""
        if number == 0:
            return self.whole(level, level.outputs)
        entry = level.outputs.get(number)
        if entry is None:
            raise NodeTreeError("an output that isn't there")
        return self.flow(level, entry.the("expr"))

    def whole(self, level: Level, numbers: Iterable[int]) -> Flow:
        """Several outputs as one row."""
        return derived((self.output(level, number) for number in numbers), FlowKind.WHOLE_ROW, is_plain=True)

    def flow(self, level: Level, node: Node) -> Flow:
        """An expression's value. Raises: NodeTreeError, RecursionError."""
        found = level.flows.get(id(node))
        if found is None:
            self._steps += 1
            if self._steps > _STEPS_MAX:
                raise NodeTreeError("too intricate")
            found = level.flows[id(node)] = _FLOWS.get(node.type, _of_parts)(self, level, node)
        return found

    def flows(self, level: Level, value: Value) -> list[Flow]:
        """Those of all expressions in a field. Raises: NodeTreeError."""
        if type(value) is Node:
            return [self.flow(level, value)]
        if type(value) is list:
            return [flow for item in value for flow in self.flows(level, item)]
        return []

    def column(self, level: Level, number: int, column: int) -> Flow:
        """A column of an entry of the range table, the whole row for 0. Raises: NodeTreeError."""
        found = level.columns.get((number, column))
        if found is None:
            found = level.columns[number, column] = self._tables.column(level, number, column)
        return found

    def call(self, level: Level, node: Node, function: int) -> Call | None:
        """The call of a function whose body can be followed. Raises: NodeTreeError."""
        found = level.calls.get(id(node))
        if found is not None:
            return found
        known = self.functions.function(function)
        if known is None or known.kind not in "fp":
            return None
        body = self.functions.body(function)
        around = level.call
        if (
            body is None
            or self._calls >= _CALLS_MAX
            or (around is not None and (function in around.inside or len(around.inside) >= _CALLS_DEEP_MAX))
        ):
            return None
        self._calls += 1
        call = Call(function, known.name, tuple(self._arguments(level, node)), around)
        call.levels = [Level(query, None, call, is_clients=level.is_clients) for query in body.queries()]
        level.calls[id(node)] = call
        return call

    def _arguments(self, level: Level, node: Node) -> list[Flow]:
        arguments: list[Flow] = []
        for argument in node.nodes("args"):
            if argument.type == "NAMEDARGEXPR":
                position = argument.number("argnumber")
                if not 0 <= position < _ARGUMENTS_MAX:
                    raise NodeTreeError("an argument that no function has")
                # What stands between is a default, which isn't in the tree.
                arguments += [unknown("a default argument")] * (position - len(arguments) + 1)
                arguments[position] = self.flow(level, argument)
            else:
                arguments.append(self.flow(level, argument))
        return arguments

    def result(self, call: Call, row_type: int, number: int, position: int | None = None) -> Flow:
        """A field of a call's result by its number. Raises: NodeTreeError.

        Args: `position` is its place among the fields that haven't been dropped, which a body gives alone; None where it isn't known.
        """
        level = call.answering()
        if level is None or not level.outputs:
            return unknown(call.name)
        if len(level.outputs) == 1:
            expression = next(iter(level.outputs.values())).the("expr")
            if type_of(expression)[0] == row_type:
                return self.field(level, expression, number)
            if number != 1 or position != 1 or expression.type == "ROWEXPR":
                # A row of another type is fitted to the function's by names, or without what has been dropped.
                return derived([self.flow(level, expression)])
        if row_type == _RECORD or position is not None:
            return self.output(level, number if position is None else position)
        # It may be any of those up to there.
        found = self.output(level, min(number, max(level.outputs)))
        before = derived(self.output(level, each) for each in level.outputs if each < number)
        return found if before.sources <= found.sources and before.code <= found.code else derived([found, before])

    def field(self, level: Level, node: Node, number: int) -> Flow:
        """A field of a row by its number. Raises: NodeTreeError."""
        if node.type in _ALIKE:
            return self.field(level, node.the(_ALIKE[node.type]), number)
        if node.type == "VAR":
            found = self._tables.field(level.up(node.number("varlevelsup")), node.number("varno"), node.number("varattno"), number)
            if found is not None:
                return found
        elif node.type == "ROWEXPR":
            arguments = node.nodes("args")
            if 0 < number <= len(arguments):
                return self.flow(level, arguments[number - 1])
        elif node.type == "FUNCEXPR":
            call = self._own_call(level, node, node.number("funcid"))
            if call is not None:
                return self.result(call, node.number("funcresulttype"), number)
        elif node.type == "SUBLINK" and node.number("subLinkType") == EXPRESSION:
            inner = level.below(node.the("subselect"))
            outputs = list(inner.outputs.values())
            if len(outputs) == 1:
                return self.field(inner, outputs[0].the("expr"), number)
        return derived([self.flow(level, node)])

    def _own_call(self, level: Level, node: Node, function: int) -> Call | None:
        return None if self.functions.is_known(function) else self.call(level, node, function)

    def called(self, level: Level, node: Node, function: int, arguments: list[Flow]) -> Flow | None:
        """What a function of the database's own makes of its arguments; None for one that computes from these alone."""
        if self.functions.is_known(function):
            return None
        call = self.call(level, node, function)
        if call is None:
            return with_code(derived(arguments), self.functions.name(function))
        answering = call.answering()
        if answering is None:
            return unknown(call.name)
        outputs = answering.outputs
        return self.output(answering, next(iter(outputs)) if len(outputs) == 1 else 0)

    def column_of_call(self, level: Level, node: Node, number: int, position: int) -> Flow:
        """A column of a function in FROM: by its number, and by its place among those that haven't been dropped. Raises: NodeTreeError."""
        call = self._own_call(level, node, node.number("funcid")) if node.type == "FUNCEXPR" else None
        return self.field(level, node, number) if call is None else self.result(call, node.number("funcresulttype"), number, position)

    def common_table(self, owner: Level, table: Node) -> Level:
        """The level of a CTE's query; a recursive one's as its columns are in the end. Raises: NodeTreeError."""
        query = table.the("ctequery")
        if table.flag("cterecursive"):
            self._tables.recursion(owner, query)
        return owner.below(query)


def is_keeping(type_number: int) -> bool:
    """Whether a cast to a type, without a length, leaves different values different."""
    return type_number in _KEEPING_TYPES


def _of_parts(lineage: Lineage, level: Level, node: Node) -> Flow:
    return derived(flow for value in node.fields.values() for flow in lineage.flows(level, value))


def _of_test(lineage: Lineage, level: Level, node: Node) -> Flow:
    return outcome(flow for value in node.fields.values() for flow in lineage.flows(level, value))


def _of_nothing(lineage: Lineage, level: Level, node: Node) -> Flow:
    return NOTHING


def _of_constant(lineage: Lineage, level: Level, node: Node) -> Flow:
    return NOTHING if node.flag("constisnull") or not level.is_clients or level.call is not None else CHOSEN


def _of_column(lineage: Lineage, level: Level, node: Node) -> Flow:
    return lineage.column(level.up(node.number("varlevelsup")), node.number("varno"), node.number("varattno"))


def _of_alike(lineage: Lineage, level: Level, node: Node) -> Flow:
    return lineage.flow(level, node.the(_ALIKE[node.type]))


def _of_parameter(lineage: Lineage, level: Level, node: Node) -> Flow:
    kind, number = node.number("paramkind"), node.number("paramid")
    if kind == _MULTIPLE:
        return lineage.output(level.multiple_assignment(number >> 16), number & 0xFFFF)
    if kind != _PARAMETER:
        # It stands for what the sub-query beside it gives, which is among the sources there.
        return NOTHING
    if level.call is None:
        return CHOSEN
    arguments = level.call.arguments
    return arguments[number - 1] if 0 < number <= len(arguments) else unknown(level.call.name)


def _of_function(lineage: Lineage, level: Level, node: Node) -> Flow:
    arguments = lineage.flows(level, node.fields["args"])
    found = lineage.called(level, node, node.number("funcid"), arguments)
    if found is not None:
        return found
    form = node.number("funcformat")
    if form not in (_EXPLICIT_CAST, _IMPLICIT_CAST) or not arguments:
        return derived(arguments)
    # What a cast has besides its argument is the length, which the type says.
    first = arguments[0]
    if form == _IMPLICIT_CAST and lineage.functions.name(node.number("funcid")) in _FITTING:
        return first
    is_keeping_cast = form == _IMPLICIT_CAST or is_keeping(node.number("funcresulttype"))
    return derived([first], is_plain=len(arguments) == 1 and is_keeping_cast)


def _of_operation(lineage: Lineage, level: Level, node: Node) -> Flow:
    arguments = lineage.flows(level, node.fields["args"])
    function = lineage.functions.of_operator(node)
    if function == 0:
        return with_code(derived(arguments), f"operator {node.number('opno')}")
    found = lineage.called(level, node, function, arguments)
    if found is not None:
        return found
    name = lineage.functions.operator_name(node)
    if node.type == "NULLIFEXPR":
        return derived(arguments)._replace(values=arguments[0].values, is_plain=arguments[0].is_plain) if arguments else NOTHING
    values = VALUE_OPERATORS if len(arguments) > 1 else UNARY_VALUE_OPERATORS
    is_value = node.type == "OPEXPR" and (name is None or name in values)
    return derived(arguments) if is_value else outcome(arguments)


def _of_aggregate(lineage: Lineage, level: Level, node: Node) -> Flow:
    number = node.number("aggfnoid")
    if lineage.functions.is_count(number):
        return NOTHING
    parts = [flow for name in ("aggdirectargs", "args", "aggfilter") for flow in lineage.flows(level, node.fields[name])]
    found = lineage.called(level, node, number, parts)
    if found is not None:
        return found
    flow = derived(parts, FlowKind.AGGREGATE)
    return flow if flow.kind is FlowKind.CONSTANT else flow._replace(function=lineage.functions.name(number))


def _of_window(lineage: Lineage, level: Level, node: Node) -> Flow:
    number = node.number("winfnoid")
    is_count = lineage.functions.is_count(number)
    window = level.window(node.number("winref"))
    parts = [] if is_count else [f for name in ("args", "aggfilter") for f in lineage.flows(level, node.fields[name])]
    keys = window.nodes("orderClause") + ([] if is_count else window.nodes("partitionClause"))
    parts += [lineage.flow(level, level.sorted_by(key.number("tleSortGroupRef"))) for key in keys]
    parts += [flow for name in ("startOffset", "endOffset") for flow in lineage.flows(level, window.fields[name])]
    found = lineage.called(level, node, number, parts)
    return found if found is not None else derived(parts)


def _of_case(lineage: Lineage, level: Level, node: Node) -> Flow:
    whens = node.nodes("args")
    tests = [*lineage.flows(level, node.fields["arg"]), *(lineage.flow(level, when.the("expr")) for when in whens)]
    results = [*(lineage.flow(level, when.the("result")) for when in whens), *lineage.flows(level, node.fields["defresult"])]
    result = derived(results)
    return derived([*tests, *results])._replace(values=result.values, is_plain=all(part.is_plain for part in results))


def _of_first(lineage: Lineage, level: Level, node: Node) -> Flow:
    return derived(lineage.flows(level, node.fields["args"]), is_plain=True)


def _of_field(lineage: Lineage, level: Level, node: Node) -> Flow:
    return lineage.field(level, node.the("arg"), node.number("fieldnum"))


def _of_conversion(lineage: Lineage, level: Level, node: Node) -> Flow:
    flow = lineage.flow(level, node.the("arg"))
    return derived([flow], is_plain=is_keeping(node.number("resulttype")))


def _of_sub_query(lineage: Lineage, level: Level, node: Node) -> Flow:
    link = node.number("subLinkType")
    if link == EXISTS:
        return NOTHING
    inner = level.below(node.the("subselect"))
    outputs = [lineage.output(inner, number) for number in inner.outputs]
    if link == EXPRESSION and len(outputs) == 1:
        return outputs[0]
    if link == ARRAY:
        return derived(outputs)
    return outcome([*outputs, *lineage.flows(level, node.fields["testexpr"])])


def _misplaced(lineage: Lineage, level: Level, node: Node) -> Flow:
    raise NodeTreeError(f"{node.type} in an expression")


_ALIKE = {
    "RELABELTYPE": "arg",
    "COLLATEEXPR": "arg",
    "COERCETODOMAIN": "arg",
    "NAMEDARGEXPR": "arg",
    "TARGETENTRY": "expr",
    "RETURNINGEXPR": "retexpr",
}
"""Nodes whose value is that of a part of them."""

_FLOWS: dict[str, Callable[[Lineage, Level, Node], Flow]] = {
    "VAR": _of_column,
    "CONST": _of_constant,
    "PARAM": _of_parameter,
    **dict.fromkeys(_ALIKE, _of_alike),
    "FUNCEXPR": _of_function,
    "OPEXPR": _of_operation,
    "DISTINCTEXPR": _of_operation,
    "NULLIFEXPR": _of_operation,
    "SCALARARRAYOPEXPR": _of_operation,
    "BOOLEXPR": _of_test,
    "NULLTEST": _of_test,
    "BOOLEANTEST": _of_test,
    "ROWCOMPAREEXPR": _of_test,
    "JSONISPREDICATE": _of_test,
    "AGGREF": _of_aggregate,
    "WINDOWFUNC": _of_window,
    "CASEEXPR": _of_case,
    "COALESCEEXPR": _of_first,
    "FIELDSELECT": _of_field,
    "COERCEVIAIO": _of_conversion,
    "SUBLINK": _of_sub_query,
    **dict.fromkeys(
        ("GROUPINGFUNC", "SQLVALUEFUNCTION", "NEXTVALUEEXPR", "CURRENTOFEXPR", "SETTODEFAULT", "CASETESTEXPR", "COERCETODOMAINVALUE"),
        _of_nothing,
    ),
    "MERGESUPPORTFUNC": _of_nothing,
    **dict.fromkeys(("QUERY", "RANGETBLENTRY", "FROMEXPR", "JOINEXPR", "SETOPERATIONSTMT", "RANGETBLREF", "COMMONTABLEEXPR"), _misplaced),
}
"""How each type of node is read; any other is made of all its parts."""
