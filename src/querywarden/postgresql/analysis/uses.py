"""Uses: what becomes of the value of an expression, and so of the values that it is made of."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from querywarden.postgresql.analysis.flows import EQUALITIES, Origin, called, is_keeping, is_own, is_value_operation
from querywarden.postgresql.analysis.functions import MULTIPLYING, TOTAL
from querywarden.postgresql.analysis.naming import Level
from querywarden.postgresql.analysis.parse import Node

if TYPE_CHECKING:
    from querywarden.postgresql.analysis.probes import Walk


class Use(IntEnum):
    """What becomes of a value, in the order of what that tells."""

    STORED = 0
    """It is written to a column, where it is masked as that is."""
    RETURNED = 1
    """It is handed out, where it is masked; that computing it fails would tell."""
    EQUATED = 2
    """Whether it is equal to something decides what happens."""
    TESTED = 3
    """Something other than its equality decides what happens."""


_EQUATING = frozenset({"AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT", "AEXPR_IN", "AEXPR_NULLIF"})
_TEXTS = frozenset({"text", "varchar", "bpchar"})
_NUMERIC = frozenset(
    {
        "abs", "age", "avg", "ceil", "ceiling", "count", "date_part", "date_trunc", "extract", "floor", "length", "max", "min", "round",
        "sum", "trunc",
    }
)  # fmt: skip
_XML_MAKING = frozenset({"IS_XMLCONCAT", "IS_XMLELEMENT", "IS_XMLFOREST"})
_OUTCOMES = frozenset({"BoolExpr", "NullTest", "BooleanTest", "A_Const", "ParamRef", "ColumnRef", "A_Expr", "CaseExpr", "CoalesceExpr"})
"""What a cast may be of without failing for some of its values; of operations those alone that compare or calculate."""


def _visit_column(walk: Walk, body: Node, use: Use, level: Level) -> None:
    if use < Use.EQUATED or (use is Use.EQUATED and level.is_simple):
        return
    lineage = level.resolve(body["fields"])
    if use is Use.TESTED or not lineage.is_plain:
        walk.origins |= lineage.origins


def _visit_operation(walk: Walk, body: Node, use: Use, level: Level) -> None:
    kind, names = body["kind"], body["name"]
    left, right = body.get("lexpr"), body.get("rexpr")
    is_servers = len(names) == 1 or names[0].get("String", {}).get("sval") == "pg_catalog"
    operator = names[-1]["String"]["sval"]
    if kind in _EQUATING or (kind in ("AEXPR_OP", "AEXPR_OP_ANY", "AEXPR_OP_ALL") and operator in EQUALITIES and is_servers):
        within = Use.TESTED if kind == "AEXPR_NULLIF" and use is Use.TESTED else Use.EQUATED
        walk.push(left, within, level)
        walk.push(right, Use.EQUATED, level)
    elif kind == "AEXPR_OP" and is_servers and is_value_operation(body):
        inside = Use.TESTED if use > Use.RETURNED else use
        # To divide by zero is a way to tell.
        divisor = Use.TESTED if operator in ("/", "%") and use is Use.RETURNED else inside
        walk.push(left, inside, level)
        walk.push(right, divisor, level)
    else:
        walk.push(left, Use.TESTED, level)
        walk.push(right, Use.TESTED, level)


def _visit_call(walk: Walk, body: Node, use: Use, level: Level) -> None:
    schema, name = called(body)
    if name == "count" and schema in (None, "pg_catalog"):
        inside = Use.EQUATED
    elif is_own(schema, name):
        inside = use if use <= Use.RETURNED else Use.TESTED
        if use > Use.RETURNED:
            walk.origins.add(Origin(None, None, name))
    elif (use is Use.STORED and name not in MULTIPLYING) or (use is Use.RETURNED and name in TOTAL):
        inside = use
    else:
        inside = Use.TESTED
    walk.push(body.get("args"), inside, level)
    walk.push(body.get("agg_filter"), Use.EQUATED, level)
    walk.push(body.get("agg_order"), Use.TESTED, level)
    if "over" in body:
        _visit_window(walk, body["over"], use, level)


def _visit_window(walk: Walk, body: Node, use: Use, level: Level) -> None:
    walk.push(body.get("partitionClause"), Use.EQUATED, level)
    walk.push(body.get("orderClause"), Use.TESTED, level)
    walk.push(body.get("startOffset"), Use.TESTED, level)
    walk.push(body.get("endOffset"), Use.TESTED, level)


def _visit_sub_query(walk: Walk, body: Node, use: Use, level: Level) -> None:
    query, kind = level.sub_query(body["subselect"]), body["subLinkType"]
    if kind == "EXISTS_SUBLINK":
        walk.query(query, Use.RETURNED)
    elif kind in ("ANY_SUBLINK", "ALL_SUBLINK", "ROWCOMPARE_SUBLINK"):
        names = body.get("operName", ())
        is_equality = not names or (len(names) == 1 and names[-1]["String"]["sval"] in EQUALITIES)
        inside = Use.EQUATED if is_equality else Use.TESTED
        walk.query(query, inside)
        walk.push(body.get("testexpr"), inside, level)
    else:
        walk.query(query, use)


def _visit_cast(walk: Walk, body: Node, use: Use, level: Level) -> None:
    argument = body["arg"]
    if "A_Const" in argument or "ParamRef" in argument:
        return
    if (use is Use.EQUATED and not is_keeping(body["typeName"])) or (use is Use.RETURNED and not _is_safe_cast(body["typeName"], argument)):
        use = Use.TESTED
    walk.push(argument, use, level)


def _is_safe_cast(type_name: Node, argument: Node) -> bool:
    """Whether a cast can't fail for some values and not for others, a column's own cast aside: that fails for all or none."""
    ((kind, body),) = argument.items()
    if type_name["names"][-1]["String"]["sval"] in _TEXTS:
        return True
    if kind == "FuncCall":
        return called(body)[1] in _NUMERIC
    if kind == "A_Expr" and body["kind"] == "AEXPR_OP":
        return body["name"][-1]["String"]["sval"] not in ("||", "->", "->>", "#>", "#>>")
    return kind in _OUTCOMES


def _visit_case(walk: Walk, body: Node, use: Use, level: Level) -> None:
    walk.push(body.get("arg"), Use.EQUATED, level)
    for item in body["args"]:
        when = item["CaseWhen"]
        walk.push(when["expr"], Use.EQUATED, level)
        walk.push(when["result"], use, level)
    walk.push(body.get("defresult"), use, level)


def _visit_condition(walk: Walk, body: Node, use: Use, level: Level) -> None:
    walk.push(body.get("args", body.get("arg")), Use.EQUATED, level)


def _visit_alike(walk: Walk, body: Node, use: Use, level: Level) -> None:
    """What hands its parts on as they are."""
    walk.stack.extend([(part, use, level) for part in body.values() if type(part) is dict or type(part) is list])


def _visit_computed(walk: Walk, body: Node, use: Use, level: Level) -> None:
    """What makes a new value of its parts and can't fail."""
    _visit_alike(walk, body, Use.TESTED if use > Use.RETURNED else use, level)


def _visit_xml(walk: Walk, body: Node, use: Use, level: Level) -> None:
    (_visit_computed if body["op"] in _XML_MAKING else visit_other)(walk, body, use, level)


def visit_other(walk: Walk, body: Any, use: Use, level: Level) -> None:
    """What isn't known to hand its parts on may do anything with them."""
    walk.push(body, use if use is Use.STORED else Use.TESTED, level)


VISITS: dict[str, Callable[[Walk, Any, Use, Level], None] | None] = {
    "ColumnRef": _visit_column,
    "A_Expr": _visit_operation,
    "FuncCall": _visit_call,
    "SubLink": _visit_sub_query,
    "TypeCast": _visit_cast,
    "CaseExpr": _visit_case,
    "BoolExpr": _visit_condition,
    "NullTest": _visit_condition,
    "BooleanTest": _visit_condition,
    "WindowDef": _visit_window,
    "CoalesceExpr": _visit_alike,
    "CollateClause": _visit_alike,
    "RowExpr": _visit_alike,
    "A_ArrayExpr": _visit_alike,
    "List": _visit_alike,
    "ResTarget": _visit_alike,
    "MultiAssignRef": _visit_alike,
    "NamedArgExpr": _visit_alike,
    "SortBy": _visit_alike,
    "MinMaxExpr": _visit_computed,
    "A_Indirection": _visit_computed,
    "A_Indices": _visit_computed,
    "XmlExpr": _visit_xml,
    "JsonObjectConstructor": _visit_computed,
    "JsonArrayConstructor": _visit_computed,
    "JsonObjectAgg": _visit_computed,
    "JsonArrayAgg": _visit_computed,
    "JsonKeyValue": _visit_computed,
    "JsonValueExpr": _visit_computed,
    "A_Const": None,
    "ParamRef": None,
    "typeName": None,
    "String": None,
    "SQLValueFunction": None,
    "SetToDefault": None,
    "CurrentOfExpr": None,
    "GroupingFunc": None,
    "name": None,
}
"""How each type of node is looked at; None: there is nothing in it. For any other there is `visit_other`."""
