"""Folding: the value of an expression of constants, as far as it can be known without a server."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from querywarden.postgresql.analysis.parse import Node


class Unknown:
    """The value that can't be known."""


UNKNOWN: Final = Unknown()
Value = int | float | str | bool | None | Unknown
"""A folded value; None is SQL's NULL."""

_TRUE = frozenset({"t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"})
_FALSE = frozenset({"f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"})
_NUMBER_TYPES = frozenset({"int2", "int4", "int8", "numeric", "float4", "float8", "decimal"})
_TEXT_TYPES = frozenset({"text", "varchar", "bpchar", "name"})
_MAGNITUDE_MAX = 10**18

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: bool(left == right),
    "<>": lambda left, right: bool(left != right),
    "<": lambda left, right: bool(left < right),
    ">": lambda left, right: bool(left > right),
    "<=": lambda left, right: bool(left <= right),
    ">=": lambda left, right: bool(left >= right),
}
_ORDERED = frozenset({"<", ">", "<=", ">="})


def fold(node: Any) -> Value:
    """The value of an expression, `UNKNOWN` unless it is made of constants in ways that are understood here."""
    if type(node) is not dict or len(node) != 1:
        return UNKNOWN
    ((kind, body),) = node.items()
    folder = _FOLDERS.get(kind)
    return UNKNOWN if folder is None else folder(body)


def operator_of(body: Node) -> str:
    """The operator's name of an A_Expr."""
    return str(body["name"][-1]["String"]["sval"])


def compare(operator: str, left: Value, right: Value) -> Value:
    """What a binary operator makes of two values."""
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return UNKNOWN
    if left is None or right is None:
        return None
    if operator == "||" and isinstance(left, str) and isinstance(right, str):
        return left + right
    if operator in ("~~", "!~~") and isinstance(left, str) and isinstance(right, str):
        return is_like(left, right) == (operator == "~~")
    left, right = _of_one_type(left, right)
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return UNKNOWN
    if operator in _COMPARISONS:
        if isinstance(left, str) and (operator in _ORDERED):
            return UNKNOWN  # The collation decides.
        return _COMPARISONS[operator](left, right)
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return UNKNOWN
    return _calculate(operator, left, right)


def _calculate(operator: str, left: float, right: float) -> Value:
    if operator in _ARITHMETIC:
        value: float = _ARITHMETIC[operator](left, right)
        return value if abs(value) < _MAGNITUDE_MAX else UNKNOWN
    if operator in ("/", "%") and isinstance(left, int) and isinstance(right, int) and right > 0 and left >= 0:
        return left // right if operator == "/" else left % right
    return UNKNOWN


def _of_one_type(left: int | float | str, right: int | float | str) -> tuple[Value, Value]:
    """Both as the server would compare them: a text literal takes the type of what stands beside it."""
    if isinstance(left, str) == isinstance(right, str):
        return left, right
    if isinstance(left, str):
        return _of_type_of(right, left), right
    return left, _of_type_of(left, right)


def _of_type_of(model: int | float | str, text: int | float | str) -> Value:
    return truth_of_text(str(text)) if isinstance(model, bool) else number_of_text(str(text))


def is_like(text: str, pattern: str) -> bool:
    """Whether LIKE holds for a text; a pattern with an escape is taken as it stands."""
    return re.fullmatch("".join({"%": ".*", "_": "."}.get(sign, re.escape(sign)) for sign in pattern), text, re.DOTALL) is not None


def truth_of_text(text: str) -> Value:
    """The boolean that a text stands for."""
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else UNKNOWN


def number_of_text(text: str) -> Value:
    """The number that a text stands for."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return UNKNOWN


def _fold_constant(body: Node) -> Value:
    if body.get("isnull"):
        return None
    if "ival" in body:
        return int(body["ival"].get("ival", 0))
    if "boolval" in body:
        return bool(body["boolval"].get("boolval", False))
    if "sval" in body:
        return str(body["sval"].get("sval", ""))
    if "fval" in body:
        return number_of_text(body["fval"].get("fval", ""))
    return UNKNOWN


def _fold_cast(body: Node) -> Value:
    value = fold(body["arg"])
    if value is None or isinstance(value, Unknown):
        return value
    type_name = body["typeName"]
    name = type_name["names"][-1]["String"]["sval"]
    if "arrayBounds" in type_name or "typmods" in type_name:
        return UNKNOWN
    if name == "bool":
        return truth_of_text(value) if isinstance(value, str) else bool(value)
    if name in _NUMBER_TYPES:
        value = number_of_text(value) if isinstance(value, str) else value
        return UNKNOWN if isinstance(value, float) and name.startswith("int") else value
    if name in _TEXT_TYPES and isinstance(value, str):
        return value
    return UNKNOWN


def _fold_operation(body: Node) -> Value:
    kind, operator = body["kind"], operator_of(body)
    if kind in ("AEXPR_OP", "AEXPR_LIKE"):
        if "lexpr" not in body:
            value = fold(body.get("rexpr"))
            return -value if operator == "-" and isinstance(value, int | float) and not isinstance(value, bool) else UNKNOWN
        return compare(operator, fold(body["lexpr"]), fold(body.get("rexpr")))
    if kind == "AEXPR_IN":
        found = _is_among(fold(body["lexpr"]), body["rexpr"])
        return found if isinstance(found, Unknown) or found is None else found == (operator == "=")
    if kind in ("AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT"):
        left, right = fold(body["lexpr"]), fold(body["rexpr"])
        if isinstance(left, Unknown) or isinstance(right, Unknown):
            return UNKNOWN
        is_equal = left is right if left is None or right is None else compare("=", left, right)
        return is_equal if isinstance(is_equal, Unknown) else bool(is_equal) is (kind == "AEXPR_NOT_DISTINCT")
    if kind in ("AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN"):
        low, high = body["rexpr"]["List"]["items"]
        value = fold(body["lexpr"])
        above, below = compare(">=", value, fold(low)), compare("<=", value, fold(high))
        if isinstance(above, bool) and isinstance(below, bool):
            return bool((above and below) == (kind == "AEXPR_BETWEEN"))
    return UNKNOWN


def _is_among(value: Value, items: Any) -> Value:
    found: Value = False
    if type(items) is not dict or "List" not in items:
        return UNKNOWN
    for item in items["List"]["items"]:
        is_equal = compare("=", value, fold(item))
        if is_equal is True:
            return True
        if is_equal is not False:
            found = is_equal
    return found


def _fold_boolean(body: Node) -> Value:
    values = [fold(argument) for argument in body["args"]]
    kind = body["boolop"]
    if kind == "NOT_EXPR":
        value = values[0]
        return not value if isinstance(value, bool) else value if value is None else UNKNOWN
    decisive = bool(kind == "OR_EXPR")
    if any(value is decisive for value in values):
        return decisive
    if any(isinstance(value, Unknown) for value in values):
        return UNKNOWN
    return None if None in values else not decisive


def _fold_null_test(body: Node) -> Value:
    value = fold(body["arg"])
    return UNKNOWN if isinstance(value, Unknown) else (value is None) is bool(body["nulltesttype"] == "IS_NULL")


def _fold_boolean_test(body: Node) -> Value:
    value = fold(body["arg"])
    if not (value is None or isinstance(value, bool)):
        return UNKNOWN
    wanted = {"TRUE": True, "FALSE": False, "UNKNOWN": None}[body["booltesttype"].split("_")[-1]]
    return (value is wanted) != ("_NOT_" in body["booltesttype"])


def _fold_coalesce(body: Node) -> Value:
    for argument in body["args"]:
        value = fold(argument)
        if value is not None:
            return value
    return None


def _fold_case(body: Node) -> Value:
    for item in body["args"]:
        when = item["CaseWhen"]
        condition = fold(when["expr"])
        if "arg" in body:
            condition = compare("=", fold(body["arg"]), condition)
        if isinstance(condition, Unknown):
            return UNKNOWN
        if condition is True:
            return fold(when["result"])
    return fold(body["defresult"]) if "defresult" in body else None


_FOLDERS: dict[str, Callable[[Node], Value]] = {
    "A_Const": _fold_constant,
    "TypeCast": _fold_cast,
    "A_Expr": _fold_operation,
    "BoolExpr": _fold_boolean,
    "NullTest": _fold_null_test,
    "BooleanTest": _fold_boolean_test,
    "CoalesceExpr": _fold_coalesce,
    "CaseExpr": _fold_case,
}
