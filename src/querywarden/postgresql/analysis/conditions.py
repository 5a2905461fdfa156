"""Conditions: whether the condition of an UPDATE, DELETE or MERGE is true for every row, or doesn't depend on rows at all.

A proof is by text alone. What can't be proved either way is taken to depend on the row, except where a condition names no
column of the target: then it is for all rows or none, and it names none.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

from querywarden.postgresql.analysis.folding import UNKNOWN, Unknown, Value, fold, operator_of, truth_of_text
from querywarden.postgresql.analysis.functions import AGGREGATES
from querywarden.postgresql.analysis.parse import Node
from querywarden.postgresql.analysis.ranges import cover_everything
from querywarden.postgresql.analysis.references import Shapes, is_key_name, names_target


class Truth(Enum):
    """What a condition is: true or false for each row, the same for all rows but not known, or up to the row."""

    TRUE = "true"
    FALSE = "false"
    ROWLESS = "rowless"
    BY_ROW = "by_row"


_OPPOSITE = {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE}
_REFLEXIVE = frozenset({"=", ">=", "<=", "~~", "~~*", "@>", "<@", "&&", "~", "~*"})
_IRREFLEXIVE = frozenset({"<>", "!=", "<", ">", "!~~", "!~~*", "!~", "!~*"})
_NEVER_NEGATIVE = frozenset(
    {"abs", "length", "char_length", "character_length", "octet_length", "bit_length", "cardinality", "random", "strpos", "position"}
)
_REDUCING = frozenset({"limitCount", "limitOffset", "havingClause", "groupClause", "distinctClause"})
_ANY_TEXT = frozenset({"", ".*", "^", "$", "^.*", ".*$", "^.*$", "(.*)", "^(.*)$"})


def truth_of(condition: Node, targets: frozenset[str], relation: str, twins: frozenset[str] = frozenset()) -> Truth:
    """The truth of a condition.

    Args: `targets` are the names under which columns of the target are qualified, `relation` is the target's own name, `twins`
    are names under which the same relation is joined once more: to be equal to itself there, a row has only to exist.
    """
    return _Judge(targets, relation, twins).truth(condition)


class _Judge:
    """A judge of conditions on one target."""

    def __init__(self, targets: frozenset[str], relation: str, twins: frozenset[str]) -> None:
        self._targets = targets
        self._relation = relation
        self._same = targets | twins
        self._shapes = Shapes(self._same)

    def truth(self, node: Any) -> Truth:
        """The truth of a condition or a part of one."""
        ((kind, body),) = node.items()
        if kind == "BoolExpr":
            return self._boolean(body)
        if kind == "TypeCast":
            return self.truth(body["arg"])
        if kind == "SubLink":
            return self._sub_query(body)
        if not names_target(node, self._targets):
            return _of_value(fold(node))
        if kind == "A_Expr":
            return self._operation(body)
        if kind == "NullTest":
            return self._null_test(body)
        if kind == "BooleanTest":
            return self._boolean_test(body)
        if kind == "CoalesceExpr":
            truths = [self.truth(argument) for argument in body["args"]]
            return Truth.TRUE if truths[0] is Truth.TRUE else self._all_of(truths)
        if kind == "CaseExpr":
            results = [item["CaseWhen"]["result"] for item in body["args"]]
            results.append(body.get("defresult", {"A_Const": {"isnull": True}}))
            return self._all_of(self.truth(result) for result in results)
        return Truth.BY_ROW

    def _all_of(self, truths: Iterable[Truth]) -> Truth:
        found = set(truths)
        if len(found) == 1:
            return found.pop()
        return Truth.ROWLESS if found == {Truth.TRUE, Truth.ROWLESS} else Truth.BY_ROW

    def _boolean(self, body: Node) -> Truth:
        arms = body["args"]
        if body["boolop"] == "NOT_EXPR":
            truth = self.truth(arms[0])
            return _OPPOSITE.get(truth, truth)
        truths = [self.truth(arm) for arm in arms]
        if body["boolop"] == "AND_EXPR":
            if Truth.FALSE in truths or self._are_opposed(arms):
                return Truth.FALSE
            if Truth.BY_ROW in truths:
                return Truth.BY_ROW
            return Truth.ROWLESS if Truth.ROWLESS in truths else Truth.TRUE
        if Truth.TRUE in truths or self._are_opposed(arms) or cover_everything(arms, self._shapes):
            return Truth.TRUE
        if Truth.ROWLESS in truths:
            return Truth.ROWLESS
        return Truth.BY_ROW if Truth.BY_ROW in truths else Truth.FALSE

    def _are_opposed(self, arms: list[Node]) -> bool:
        """Whether one arm is the negation of another, NULL aside."""
        positive: set[int] = set()
        negative: set[int] = set()
        for arm in arms:
            is_negated, subject = _sign_of(arm)
            key = self._shapes.of(subject)
            if key in (positive if is_negated else negative):
                return True
            (negative if is_negated else positive).add(key)
        return False

    def _operation(self, body: Node) -> Truth:
        kind, operator = body["kind"], operator_of(body)
        left, right = self._shapes.simplified(body.get("lexpr")), self._shapes.simplified(body.get("rexpr"))
        if kind in ("AEXPR_OP", "AEXPR_LIKE", "AEXPR_ILIKE", "AEXPR_SIMILAR"):
            return self._comparison(operator, left, right)
        if kind in ("AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT") and self._is_same(left, right):
            return Truth.TRUE if kind == "AEXPR_NOT_DISTINCT" else Truth.FALSE
        if kind == "AEXPR_IN":
            return self._membership(operator, left, body["rexpr"].get("List", {}).get("items", []))
        if kind == "AEXPR_OP_ANY" and operator == "=" and "A_ArrayExpr" in right:
            return self._membership("=", left, right["A_ArrayExpr"].get("elements", []))
        if kind in ("AEXPR_BETWEEN", "AEXPR_BETWEEN_SYM"):
            bounds = [self._shapes.simplified(bound) for bound in body["rexpr"]["List"]["items"]]
            if all(self._is_same(left, bound) for bound in bounds):
                return Truth.TRUE
        return Truth.BY_ROW

    def _comparison(self, operator: str, left: Node, right: Node) -> Truth:
        if left and self._is_same(left, right):
            return Truth.TRUE if operator in _REFLEXIVE else Truth.FALSE if operator in _IRREFLEXIVE else Truth.BY_ROW
        folded = fold({"A_Expr": {"kind": "AEXPR_OP", "name": [{"String": {"sval": operator}}], "lexpr": left, "rexpr": right}})
        if not isinstance(folded, Unknown):
            return _of_value(folded)
        pattern = fold(right)
        if isinstance(pattern, str) and _is_any_text(operator, pattern):
            return Truth.TRUE
        if (
            isinstance(pattern, int)
            and (operator, pattern) in ((">=", 0), (">", -1), ("<>", -1))
            and _is_never_negative(left, self._shapes)
        ):
            return Truth.TRUE
        if operator == "=" and isinstance(pattern, bool):
            truth = self.truth(left) if "ColumnRef" not in left else Truth.BY_ROW
            return truth if pattern else _OPPOSITE.get(truth, truth)
        return Truth.BY_ROW

    def _membership(self, operator: str, left: Node, items: list[Node]) -> Truth:
        is_in = any(self._is_same(left, self._shapes.simplified(item)) for item in items if "A_Const" not in item)
        values = [fold(item) for item in items]
        if is_in or (any(value is True for value in values) and any(value is False for value in values)):
            return Truth.TRUE if operator == "=" else Truth.FALSE
        return Truth.BY_ROW

    def _null_test(self, body: Node) -> Truth:
        """A key is never NULL, nor is anything made of keys alone; other columns may be, as far as the text shows."""
        if not _is_never_null(body["arg"]):
            return Truth.BY_ROW
        return Truth.TRUE if body["nulltesttype"] == "IS_NOT_NULL" else Truth.FALSE

    def _boolean_test(self, body: Node) -> Truth:
        kind = body["booltesttype"]
        if kind.endswith("UNKNOWN"):
            is_negated = kind == "IS_NOT_UNKNOWN"
            return self._null_test({"arg": body["arg"], "nulltesttype": "IS_NOT_NULL" if is_negated else "IS_NULL"})
        truth = self.truth(body["arg"])
        is_opposite = kind in ("IS_FALSE", "IS_NOT_TRUE")
        return _OPPOSITE.get(truth, truth) if is_opposite else truth

    def _sub_query(self, body: Node) -> Truth:
        query = body.get("subselect", {}).get("SelectStmt", {})
        kind = body["subLinkType"]
        if _is_empty(query):
            return Truth.TRUE if kind == "ALL_SUBLINK" else Truth.FALSE
        if kind == "EXISTS_SUBLINK":
            if _is_one_row(query) or self._takes_all_of_itself(query, self._twin_of(query)):
                return Truth.TRUE
            rest = {key: value for key, value in query.items() if key != "targetList"}
            return Truth.BY_ROW if names_target(rest, self._targets) else Truth.ROWLESS
        if kind == "ANY_SUBLINK" and self._selects_itself(body, query):
            return Truth.TRUE
        return Truth.BY_ROW if names_target({"SubLink": body}, self._targets) else Truth.ROWLESS

    def _selects_itself(self, link: Node, query: Node) -> bool:
        """Whether it is `column IN (SELECT column FROM target)`."""
        outputs, twin = query.get("targetList", ()), self._twin_of(query)
        if len(outputs) != 1 or link.get("operName", [{"String": {"sval": "="}}])[-1]["String"]["sval"] != "=":
            return False
        if not self._takes_all_of_itself(query, twin):
            return False
        return Shapes(self._same | twin).are_same(link.get("testexpr"), outputs[0]["ResTarget"]["val"])

    def _twin_of(self, query: Node) -> frozenset[str]:
        """The names of the one relation of a sub-select when that is the target once more, else none."""
        items = query.get("fromClause", ())
        relation = items[0].get("RangeVar", {}) if len(items) == 1 else {}
        if relation.get("relname") != self._relation:
            return frozenset()
        return frozenset({relation.get("alias", {}).get("aliasname", self._relation)})

    def _takes_all_of_itself(self, query: Node, twin: frozenset[str]) -> bool:
        """Whether a sub-select of the target leaves out no row that is equal to the one at hand."""
        if not twin or not query.keys().isdisjoint(_REDUCING):
            return False
        if "whereClause" not in query:
            return True
        judge = _Judge(self._targets | twin, self._relation, self._same)
        return judge.truth(query["whereClause"]) in (Truth.TRUE, Truth.ROWLESS)

    def _is_same(self, left: Any, right: Any) -> bool:
        return bool(left) and bool(right) and self._shapes.are_same(left, right)


def _of_value(value: Value) -> Truth:
    if isinstance(value, str):
        value = truth_of_text(value)
    if isinstance(value, Unknown):
        return Truth.ROWLESS
    return Truth.FALSE if value is None or value is False else Truth.TRUE


def _sign_of(arm: Node) -> tuple[bool, Any]:
    """An arm as what it says about something, and whether it denies it."""
    if "BoolExpr" in arm and arm["BoolExpr"]["boolop"] == "NOT_EXPR":
        is_negated, subject = _sign_of(arm["BoolExpr"]["args"][0])
        return not is_negated, subject
    if "NullTest" in arm:
        return arm["NullTest"]["nulltesttype"] == "IS_NOT_NULL", {"NullTest": arm["NullTest"]["arg"]}
    if "A_Expr" in arm:
        body = arm["A_Expr"]
        operator = operator_of(body)
        for positive, negative in (("=", "<>"), ("~~", "!~~"), ("~~*", "!~~*"), ("~", "!~"), ("<", ">="), (">", "<=")):
            if operator in (positive, negative) and body["kind"] in ("AEXPR_OP", "AEXPR_LIKE", "AEXPR_ILIKE", "AEXPR_IN"):
                subject = {"kind": body["kind"], "name": positive, "lexpr": body.get("lexpr"), "rexpr": body.get("rexpr")}
                return operator == negative, {"A_Expr": subject}
    return False, arm


def _is_any_text(operator: str, pattern: str) -> bool:
    if operator in ("~~", "~~*"):
        return pattern != "" and pattern.strip("%") == ""
    return operator in ("~", "~*") and pattern in _ANY_TEXT


def _is_never_negative(node: Node, shapes: Shapes) -> bool:
    if "FuncCall" in node:
        return node["FuncCall"]["funcname"][-1]["String"]["sval"] in _NEVER_NEGATIVE
    body = node.get("A_Expr", {})
    if not body or operator_of(body) not in ("*", "^"):
        return False
    left, right = shapes.simplified(body.get("lexpr")), shapes.simplified(body.get("rexpr"))
    if operator_of(body) == "*":
        return shapes.are_same(left, right)
    power = fold(right)
    return isinstance(power, int) and power % 2 == 0


def _is_never_null(node: Any) -> bool:
    """Whether an expression is made of constants and keys alone, by operators that give NULL for NULL only."""
    if type(node) is not dict:
        return False
    if "ColumnRef" in node:
        last = node["ColumnRef"]["fields"][-1].get("String")
        return last is not None and is_key_name(last["sval"])
    if "A_Const" in node:
        return fold(node) not in (None, UNKNOWN)
    if "TypeCast" in node:
        return _is_never_null(node["TypeCast"]["arg"])
    if "A_Expr" in node and node["A_Expr"]["kind"] == "AEXPR_OP":
        body = node["A_Expr"]
        return _is_never_null(body.get("rexpr")) and ("lexpr" not in body or _is_never_null(body["lexpr"]))
    if "CoalesceExpr" in node:
        return any(_is_never_null(argument) for argument in node["CoalesceExpr"]["args"])
    return "A_ArrayExpr" in node


def _is_empty(query: Node) -> bool:
    """Whether a sub-select can't give a row: a false condition, or LIMIT 0."""
    if "limitCount" in query and fold(query["limitCount"]) == 0:
        return True
    if "whereClause" not in query or "havingClause" in query or _is_aggregated(query):
        return False
    condition = fold(query["whereClause"])
    return condition is None or condition is False


def _is_one_row(query: Node) -> bool:
    """Whether a sub-select gives one row whatever its relations hold."""
    if "havingClause" in query or "limitCount" in query or "limitOffset" in query or "groupClause" in query:
        return False
    return _is_aggregated(query) or not ("fromClause" in query or "whereClause" in query)


def _is_aggregated(query: Node) -> bool:
    for output in query.get("targetList", ()):
        call = output["ResTarget"]["val"].get("FuncCall")
        if call is not None and call["funcname"][-1]["String"]["sval"] in AGGREGATES and "over" not in call:
            return True
    return False
