"""References: which columns a condition names, and whether two expressions are the same but for spelling."""

from __future__ import annotations

from typing import Any

from querywarden.postgresql.analysis.folding import UNKNOWN, Value, compare, fold, operator_of
from querywarden.postgresql.analysis.parse import Node

_KEYS = frozenset({"id", "pk", "uuid", "guid", "oid", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
_UNINFORMATIVE = frozenset({"tableoid"})
"""Columns that are the same in every row of a table."""

_NEUTRAL = {("+", 0), ("-", 0), ("*", 1), ("/", 1), ("||", "")}
_BARE_SELECT = {"targetList", "limitOption", "op"}
_ZERO = {"A_Const": {"ival": {"ival": 0}}}


def is_key_name(name: str) -> bool:
    """Whether a column of this name is most likely the key of its row, and so never NULL."""
    return name in _KEYS


def names_target(root: Any, targets: frozenset[str]) -> bool:
    """Whether a column of the target may be named under a node; an unqualified name may always be the target's."""
    stack = [root]
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack.extend(node)
            continue
        if type(node) is not dict:
            continue
        for key, value in node.items():
            if key == "ColumnRef":
                if _is_of_target(value["fields"], targets):
                    return True
            elif key == "CurrentOfExpr":
                return True
            elif type(value) is dict or type(value) is list:
                stack.append(value)
    return False


def _is_of_target(fields: list[Node], targets: frozenset[str]) -> bool:
    last = fields[-1].get("String")
    if last is not None and last["sval"] in _UNINFORMATIVE:
        return False
    return len(fields) == 1 or fields[-2].get("String", {}).get("sval") in targets


class Shapes:
    """The shapes of the expressions of one condition: two expressions of one shape are the same but for spelling.

    Each node is looked at once, so that a deep condition costs no more than a wide one of the same size.
    """

    def __init__(self, targets: frozenset[str]) -> None:
        """Args: `targets` are the names that qualify columns of the target; they make no difference."""
        self._targets = targets
        self._numbers: dict[Any, int] = {}
        self._shapes: dict[int, tuple[Any, int]] = {}
        self._simplified: dict[int, tuple[Any, Any, Value]] = {}

    def of(self, node: Any) -> int:
        """A number that stands for the shape of a node; casts and places in the text make no difference."""
        if type(node) is not dict and type(node) is not list:
            return self._number((type(node), node))
        known = self._shapes.get(id(node))
        if known is not None:
            return known[1]
        cast = node.get("TypeCast") if type(node) is dict else None
        shape = self._number(self._parts(node)) if cast is None else self.of(cast["arg"])
        # The node is kept, so that no other one can come to have its id.
        self._shapes[id(node)] = (node, shape)
        return shape

    def _number(self, parts: Any) -> int:
        return self._numbers.setdefault(parts, len(self._numbers))

    def _parts(self, node: Any) -> Any:
        if type(node) is list:
            return ("list", *[self.of(item) for item in node])
        if "A_Const" in node:
            return ("constant", *[f"{key}{value}" for key, value in node["A_Const"].items() if key != "location"])
        if "ColumnRef" in node:
            fields = node["ColumnRef"]["fields"]
            if len(fields) > 1 and fields[-2].get("String", {}).get("sval") in self._targets:
                fields = fields[-1:]
            return ("column", *[field.get("String", {}).get("sval") for field in fields])
        return frozenset((key, self.of(value)) for key, value in node.items() if key != "location")

    def are_same(self, left: Any, right: Any) -> bool:
        """Whether two expressions, simplified, have one shape."""
        return self.of(left) == self.of(right)

    def simplified(self, node: Any) -> Any:
        """An expression without casts, and without operations that change nothing; `x * 0` and `x - x` are zero."""
        return self._simplify(node)[0]

    def _simplify(self, node: Any) -> tuple[Any, Value]:
        known = self._simplified.get(id(node))
        if known is None:
            simple, value = self._simplify_once(_unwrapped(node))
            self._simplified[id(node)] = (node, simple, value)
            return simple, value
        return known[1], known[2]

    def _simplify_once(self, node: Any) -> tuple[Any, Value]:
        if type(node) is not dict:
            return {}, UNKNOWN
        if "A_Expr" not in node or node["A_Expr"]["kind"] != "AEXPR_OP":
            return node, fold(node)
        body = node["A_Expr"]
        operator = operator_of(body)
        right, right_value = self._simplify(body.get("rexpr"))
        if "lexpr" not in body:
            return (right, right_value) if operator == "+" else (node, fold(node))
        left, left_value = self._simplify(body["lexpr"])
        if operator == "*" and (left_value == 0 or right_value == 0):
            return _ZERO, 0
        if (operator in ("-", "%", "#") and self.are_same(left, right)) or (operator == "%" and right_value == 1):
            return _ZERO, 0
        if isinstance(right_value, int | str) and (operator, right_value) in _NEUTRAL:
            return left, left_value
        if isinstance(left_value, int | str) and operator in ("+", "*", "||") and (operator, left_value) in _NEUTRAL:
            return right, right_value
        return {"A_Expr": {**body, "lexpr": left, "rexpr": right}}, compare(operator, left_value, right_value)


def _unwrapped(node: Any) -> Any:
    """What stands inside casts, and inside a sub-select that does nothing but name one expression."""
    while type(node) is dict:
        if "TypeCast" in node:
            node = node["TypeCast"]["arg"]
            continue
        query = node.get("SubLink", {}).get("subselect", {}).get("SelectStmt", {})
        outputs = query.get("targetList", ())
        if node.get("SubLink", {}).get("subLinkType") != "EXPR_SUBLINK" or len(outputs) != 1 or query.keys() - _BARE_SELECT:
            break
        node = outputs[0]["ResTarget"]["val"]
    return node
