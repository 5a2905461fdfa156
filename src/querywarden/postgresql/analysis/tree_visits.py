"""Visits: what becomes of the parts of each kind of expression in a node tree, as `uses` says it of a text's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from querywarden.model.data_flow import ConditionKind
from querywarden.postgresql.analysis.flows import UNARY_VALUE_OPERATORS, VALUE_OPERATORS
from querywarden.postgresql.analysis.functions import MULTIPLYING, TOTAL
from querywarden.postgresql.analysis.lineage import is_keeping
from querywarden.postgresql.analysis.node_tree import Node
from querywarden.postgresql.analysis.query_levels import Level
from querywarden.postgresql.analysis.range_table import GROUP
from querywarden.postgresql.analysis.uses import Use

if TYPE_CHECKING:
    from querywarden.postgresql.analysis.tree_conditions import Conditions

_TEXT_TYPES = frozenset({25, 1042, 1043})
_EXPLICIT_CAST, _IMPLICIT_CAST = 1, 2
_NUMERIC = frozenset(
    {
        "abs", "age", "avg", "ceil", "ceiling", "count", "date_part", "date_trunc", "extract", "floor", "length", "max", "min", "round",
        "sum", "trunc",
    }
)  # fmt: skip
_JSON_OPERATORS = frozenset({"||", "->", "->>", "#>", "#>>"})
_XML_MAKING = frozenset({0, 1, 2})
"""XMLCONCAT, XMLELEMENT and XMLFOREST."""
_JSON_MAKING = frozenset({1, 2, 3, 4})
"""JSON_OBJECT, JSON_ARRAY, JSON_OBJECTAGG and JSON_ARRAYAGG."""
_JSON_AGGREGATES = frozenset({"json_agg_strict", "jsonb_agg_strict", "json_object_agg_strict", "jsonb_object_agg_strict"})
"""What JSON_OBJECTAGG and JSON_ARRAYAGG are; they fail no more than json_agg does."""
_OUTCOMES = frozenset(
    {
        "BOOLEXPR", "NULLTEST", "BOOLEANTEST", "CONST", "PARAM", "VAR", "DISTINCTEXPR", "NULLIFEXPR", "SCALARARRAYOPEXPR", "CASEEXPR",
        "COALESCEEXPR",
    }
)  # fmt: skip
"""What a cast may be of without failing for some of its values."""


def _visit_column(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    if use < Use.EQUATED:
        return
    home = level.up(node.number("varlevelsup"))
    number, column = node.number("varno"), node.number("varattno")
    if column > 0 and number not in home.arms:
        entry = home.entry(number)
        if entry.number("rtekind") == GROUP:
            # It stands for an expression of this very level.
            conditions.look_at(home, entry.nodes("groupexprs")[column - 1 : column], use, kind)  # type: ignore[arg-type]
            return
    conditions.tell(conditions.lineage.flow(level, node), use, kind)


def _visit_parameter(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    conditions.tell(conditions.lineage.flow(level, node), use, kind)


def _visit_operation(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    arguments, functions = node.nodes("args"), conditions.functions
    function = functions.of_operator(node)
    if function == 0:
        conditions.code.add(f"operator {node.number('opno')}")
    elif not functions.is_known(function):
        conditions.call(level, node, function)
    name = functions.operator_name(node)
    if node.type != "OPEXPR" or functions.is_equality(node):
        is_equality = functions.is_equality(node)
        if is_equality and len(arguments) == 2:
            sides = conditions.sides(level, arguments[:1], arguments[1:])
            first = Use.TESTED if node.type == "NULLIFEXPR" and use is Use.TESTED else Use.EQUATED
            conditions.look_at(level, arguments[0], first, sides)
            conditions.look_at(level, arguments[1], Use.EQUATED, sides)
            return
    elif name in (VALUE_OPERATORS if len(arguments) > 1 else UNARY_VALUE_OPERATORS):
        inside = Use.TESTED if use > Use.RETURNED else use
        # To divide by zero is a way to tell.
        divisor = Use.TESTED if name in ("/", "%") and use is Use.RETURNED else inside
        conditions.look_at(level, arguments[0], inside)
        conditions.look_at(level, arguments[1:], divisor)  # type: ignore[arg-type]
        return
    if function and not functions.is_known(function) and use > Use.RETURNED:
        conditions.tell(conditions.lineage.flow(level, node), use, ConditionKind.COMPARISON)
    conditions.look_at(level, arguments, Use.TESTED)  # type: ignore[arg-type]


def _visit_row_comparison(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    # Equality of rows is printed as an AND of operations: what is left are the other comparisons.
    conditions.look_at(level, [*node.nodes("largs"), *node.nodes("rargs")], Use.TESTED)


def _visit_call(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    number, form, functions = node.number("funcid"), node.number("funcformat"), conditions.functions
    arguments = node.nodes("args")
    conditions.store(level, node)
    if not functions.is_known(number):
        _visit_own(conditions, level, node, number, use, kind, "args")
    elif form == _IMPLICIT_CAST:
        conditions.look_at(level, arguments[:1], use, kind)  # type: ignore[arg-type]
    elif form == _EXPLICIT_CAST:
        _visit_cast(conditions, level, arguments[0], node.number("funcresulttype"), len(arguments) == 1, use, kind)
    else:
        conditions.look_at(level, arguments, _use_in(functions.name(number), use))  # type: ignore[arg-type]


def _use_in(name: str, use: Use) -> Use:
    """What a function of the server's own does with its arguments."""
    if (use is Use.STORED and name not in MULTIPLYING) or (use is Use.RETURNED and (name in TOTAL or name in _JSON_AGGREGATES)):
        return use
    return Use.TESTED


def _visit_own(conditions: Conditions, level: Level, node: Node, function: int, use: Use, kind: ConditionKind, *arguments: str) -> None:
    """A function of the database's own: followed, its result tells what its body makes of it; else anything may be in it."""
    is_followed = conditions.call(level, node, function)
    if use > Use.RETURNED:
        conditions.tell(conditions.lineage.flow(level, node), use, kind)
    inside = min(use, Use.RETURNED) if is_followed or use <= Use.RETURNED else Use.TESTED
    for name in arguments:
        conditions.look_at(level, node.fields[name], inside)


def _visit_cast(
    conditions: Conditions, level: Level, argument: Node, result: int, has_no_length: bool, use: Use, kind: ConditionKind
) -> None:
    """A cast that was asked for."""
    if argument.type in ("CONST", "PARAM") and level.call is None:
        return
    is_keeping_cast = has_no_length and is_keeping(result)
    if (use is Use.EQUATED and not is_keeping_cast) or (use is Use.RETURNED and not _is_safe(conditions, argument, result)):
        use, kind = Use.TESTED, ConditionKind.COMPARISON
    elif use is Use.TESTED:
        kind = ConditionKind.COMPARISON
    conditions.look_at(level, argument, use, kind)


def _is_safe(conditions: Conditions, argument: Node, result: int) -> bool:
    """Whether a cast can't fail for some values and not for others; a column's own fails for all or none."""
    while argument.type in ("RELABELTYPE", "COLLATEEXPR") or (
        argument.type == "FUNCEXPR" and argument.number("funcformat") == _IMPLICIT_CAST and len(argument.nodes("args")) == 1
    ):
        argument = argument.nodes("args")[0] if argument.type == "FUNCEXPR" else argument.the("arg")
    functions = conditions.functions
    if result in _TEXT_TYPES or argument.type in _OUTCOMES:
        return True
    if argument.type == "FUNCEXPR":
        return functions.is_known(argument.number("funcid")) and functions.name(argument.number("funcid")) in _NUMERIC
    if argument.type in ("AGGREF", "WINDOWFUNC"):
        number = argument.number("aggfnoid" if argument.type == "AGGREF" else "winfnoid")
        return functions.is_known(number) and functions.name(number) in _NUMERIC
    return argument.type == "OPEXPR" and functions.operator_name(argument) not in (None, *_JSON_OPERATORS)


def _visit_conversion(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    form = node.number("coerceformat")
    if form == _IMPLICIT_CAST:
        conditions.look_at(level, node.fields["arg"], use, kind)
    else:
        _visit_cast(conditions, level, node.the("arg"), node.number("resulttype"), node.type == "COERCEVIAIO", use, kind)
    if "elemexpr" in node.fields:
        conditions.look_at(level, node.fields["elemexpr"], min(use, Use.RETURNED))


def _visit_aggregate(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    number, functions = node.number("aggfnoid"), conditions.functions
    keys = {key.number("tleSortGroupRef") for key in node.nodes("aggorder")}
    for entry in node.nodes("args"):
        if entry.number("ressortgroupref") in keys:
            conditions.look_at(level, entry.fields["expr"], Use.TESTED, ConditionKind.ORDER)
    conditions.look_at(level, node.fields["aggfilter"], Use.EQUATED)
    given = [entry.fields["expr"] for entry in node.nodes("args") if not entry.flag("resjunk")]
    if functions.is_count(number):
        counted = ConditionKind.GROUP if node.nodes("aggdistinct") else ConditionKind.NULL_TEST
        conditions.look_at(level, given, Use.EQUATED, counted)
        return
    if not functions.is_known(number):
        _visit_own(conditions, level, node, number, use, kind, "args", "aggdirectargs")
        return
    inside = _use_in(functions.name(number), use)
    conditions.look_at(level, given, inside)
    conditions.look_at(level, node.fields["aggdirectargs"], inside)


def _visit_window(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    # What its window is sorted and partitioned by is looked at with the query.
    number, functions = node.number("winfnoid"), conditions.functions
    conditions.look_at(level, node.fields["aggfilter"], Use.EQUATED)
    if functions.is_count(number):
        conditions.look_at(level, node.fields["args"], Use.EQUATED, ConditionKind.NULL_TEST)
    elif not functions.is_known(number):
        _visit_own(conditions, level, node, number, use, kind, "args")
    else:
        conditions.look_at(level, node.fields["args"], _use_in(functions.name(number), use))


def _visit_case(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    whens, subject = node.nodes("args"), node.node("arg")
    for when in whens:
        conditions.look_at(level, when.fields["expr"], Use.EQUATED)
        conditions.look_at(level, when.fields["result"], use, kind)
    conditions.look_at(level, node.fields["defresult"], use, kind)
    if subject is not None:
        tests = [when.the("expr") for when in whens]
        is_equality = all(test.type == "OPEXPR" and conditions.functions.is_equality(test) for test in tests)
        others = [argument for test in tests for argument in test.nodes("args")[1:]] if is_equality else []
        kind = conditions.sides(level, [subject], others)
        conditions.look_at(level, subject, Use.EQUATED if is_equality else Use.TESTED, kind)


def _visit_null_test(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    conditions.look_at(level, node.fields["arg"], Use.EQUATED, ConditionKind.NULL_TEST)


def _visit_condition(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    conditions.look_at(level, node.fields["args" if node.type == "BOOLEXPR" else "arg"], Use.EQUATED)


def _visit_alike(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    """What hands its parts on as they are."""
    for value in node.fields.values():
        conditions.look_at(level, value, use, kind)


def _visit_computed(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    """What makes a new value of its parts and can't fail."""
    for value in node.fields.values():
        conditions.look_at(level, value, Use.TESTED if use > Use.RETURNED else use)


def _visit_json(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    # To make an object or array of values can't fail; to read one, or to write one as text, can.
    (_visit_computed if node.number("type") in _JSON_MAKING else visit_other)(conditions, level, node, use, kind)


def _visit_field(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    flow = conditions.lineage.flow(level, node)
    if flow.is_plain or use < Use.EQUATED:
        # A column of a row that is a row of a relation: it is that column.
        conditions.tell(flow, use, kind)
        conditions.look_at(level, node.fields["arg"], min(use, Use.RETURNED))
    else:
        _visit_computed(conditions, level, node, use, kind)


def _visit_xml(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    (_visit_computed if node.number("op") in _XML_MAKING else visit_other)(conditions, level, node, use, kind)


def visit_other(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    """What isn't known to hand its parts on may do anything with them."""
    for value in node.fields.values():
        conditions.look_at(level, value, use if use is Use.STORED else Use.TESTED)


def _visit_nothing(conditions: Conditions, level: Level, node: Node, use: Use, kind: ConditionKind) -> None:
    """There is nothing in it."""


VISITS: dict[str, Callable[[Conditions, Level, Node, Use, ConditionKind], None]] = {
    "VAR": _visit_column,
    "PARAM": _visit_parameter,
    "OPEXPR": _visit_operation,
    "DISTINCTEXPR": _visit_operation,
    "NULLIFEXPR": _visit_operation,
    "SCALARARRAYOPEXPR": _visit_operation,
    "ROWCOMPAREEXPR": _visit_row_comparison,
    "FUNCEXPR": _visit_call,
    "COERCEVIAIO": _visit_conversion,
    "ARRAYCOERCEEXPR": _visit_conversion,
    "AGGREF": _visit_aggregate,
    "WINDOWFUNC": _visit_window,
    "CASEEXPR": _visit_case,
    "NULLTEST": _visit_null_test,
    "BOOLEXPR": _visit_condition,
    "BOOLEANTEST": _visit_condition,
    "FIELDSELECT": _visit_field,
    "XMLEXPR": _visit_xml,
    "JSONCONSTRUCTOREXPR": _visit_json,
    **dict.fromkeys(
        ("RELABELTYPE", "COLLATEEXPR", "COERCETODOMAIN", "COALESCEEXPR", "ROWEXPR", "ARRAYEXPR", "NAMEDARGEXPR"), _visit_alike
    ),
    **dict.fromkeys(("CONVERTROWTYPEEXPR", "RETURNINGEXPR", "TARGETENTRY"), _visit_alike),
    **dict.fromkeys(("MINMAXEXPR", "SUBSCRIPTINGREF", "FIELDSTORE", "JSONVALUEEXPR"), _visit_computed),
    **dict.fromkeys(
        (
            "CONST", "SQLVALUEFUNCTION", "SETTODEFAULT", "CURRENTOFEXPR", "GROUPINGFUNC", "NEXTVALUEEXPR", "CASETESTEXPR",
            "COERCETODOMAINVALUE", "MERGESUPPORTFUNC",
        ),
        _visit_nothing,
    ),
}  # fmt: skip
"""How each type of node is looked at; any other by `visit_other`."""
