"""Flows: where the value of an expression may come from, and whether it still is the value of a column as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from querywarden.model.resource import RelationName
from querywarden.postgresql.analysis.functions import HARMLESS, OTHERS
from querywarden.postgresql.analysis.parse import Node

if TYPE_CHECKING:
    from querywarden.postgresql.analysis.naming import Level


class Origin(NamedTuple):
    """Where a value may come from: a column, by name or by place, of one of some relations, or a function of the database's own.

    `relations` None: any relation of the statement. `column` None: any column of them, or the whole row. `is_optional`: the name may
    mean something else, which is among the origins as well.
    """

    relations: frozenset[RelationName] | None
    column: str | int | None
    function: str | None = None
    is_optional: bool = False


class Lineage(NamedTuple):
    """All that a value may come from; `is_plain`: it is the value of one of them as it stands."""

    origins: frozenset[Origin]
    is_plain: bool


EQUALITIES = frozenset({"=", "<>"})
VALUE_OPERATORS = frozenset({"+", "-", "*", "/", "%", "||", "->", "->>", "#>", "#>>", "#-", "&", "|", "#", "<<", ">>"})
"""Operators that compute a value; of the others, which compare, nothing but the outcome is handed on."""
UNARY_VALUE_OPERATORS = frozenset({"+", "-", "~", "@"})

KEEPING_CASTS = frozenset({"text", "varchar", "bpchar", "numeric", "uuid", "citext"})
"""Types that a cast without a length to doesn't let two values fall together."""

_LEAVES = frozenset(
    {
        "A_Const", "ParamRef", "typeName", "String", "alias", "coldeflist", "BoolExpr", "NullTest", "BooleanTest", "JsonIsPredicate",
        "SetToDefault", "SQLValueFunction", "CurrentOfExpr", "GroupingFunc", "indirection",
    }
)  # fmt: skip


def flow_of(root: Any, level: Level) -> Lineage:
    """What the value of an expression is made of; the outcomes of comparisons in it are left out. Raises: TooIntricate."""
    origins: set[Origin] = set()
    is_all_plain = True
    stack: list[tuple[Any, bool]] = [(root, True)]
    while stack:
        node, is_plain = stack.pop()
        if type(node) is list:
            stack.extend((item, is_plain) for item in node)
            continue
        if type(node) is not dict:
            continue
        for kind, body in node.items():
            if kind in _LEAVES:
                continue
            if kind == "ColumnRef":
                found = level.resolve(body["fields"])
            elif kind == "SubLink":
                found = _of_sub_query(body, level)
            else:
                _open(kind, body, is_plain, stack, origins)
                continue
            origins |= found.origins
            is_all_plain &= (is_plain and found.is_plain) or not found.origins
    return Lineage(frozenset(origins), is_all_plain and not any(origin.function for origin in origins))


def _open(kind: str, body: Any, is_plain: bool, stack: list[tuple[Any, bool]], origins: set[Origin]) -> None:
    """Put what an expression's value is made of on the stack."""
    if kind == "FuncCall":
        schema, name = called(body)
        if name == "count" and schema in (None, "pg_catalog"):
            return
        if is_own(schema, name):
            origins.add(Origin(None, None, name))
        stack.append((body.get("args"), False))
    elif kind == "TypeCast":
        stack.append((body["arg"], is_plain and is_keeping(body["typeName"])))
    elif kind == "A_Expr":
        if body["kind"] == "AEXPR_NULLIF":
            stack.append((body["lexpr"], is_plain))
        elif body["kind"] == "AEXPR_OP" and is_value_operation(body):
            stack += ((body.get("lexpr"), False), (body.get("rexpr"), False))
    elif kind == "CaseExpr":
        stack += [(item["CaseWhen"]["result"], is_plain) for item in body["args"]]
        stack.append((body.get("defresult"), is_plain))
    elif kind == "CoalesceExpr":
        stack.append((body["args"], is_plain))
    elif kind == "CollateClause":
        stack.append((body["arg"], is_plain))
    elif type(body) is dict or type(body) is list:
        stack.append((body, False))


def _of_sub_query(link: Node, level: Level) -> Lineage:
    if link["subLinkType"] not in ("EXPR_SUBLINK", "ARRAY_SUBLINK", "MULTIEXPR_SUBLINK"):
        return Lineage(frozenset(), True)
    return level.sub_query(link["subselect"]).shape().whole()


def called(call: Node) -> tuple[str | None, str]:
    """The schema and the name of a function that is called."""
    names = call["funcname"]
    return (names[-2]["String"]["sval"] if len(names) > 1 else None), names[-1]["String"]["sval"]


def is_own(schema: str | None, name: str) -> bool:
    """Whether a function is none of the server's, as far as its name tells."""
    return schema != "pg_catalog" and name not in HARMLESS and name not in OTHERS


def is_keeping(type_name: Node) -> bool:
    """Whether a cast to a type leaves different values different."""
    return "typmods" not in type_name and type_name["names"][-1]["String"]["sval"] in KEEPING_CASTS


def is_value_operation(body: Node) -> bool:
    """Whether an operation computes a value rather than comparing."""
    operator = body["name"][-1]["String"]["sval"]
    return operator in (VALUE_OPERATORS if "lexpr" in body else UNARY_VALUE_OPERATORS)


def output_name(value: Node) -> str | None:
    """The name that the server gives an output without an alias; None where that isn't known here."""
    for _ in range(64):
        ((kind, body),) = value.items()
        if kind == "ColumnRef":
            last = body["fields"][-1].get("String")
            return None if last is None else str(last["sval"])
        if kind == "FuncCall":
            return called(body)[1]
        if kind == "TypeCast":
            if "ColumnRef" not in body["arg"] and "FuncCall" not in body["arg"]:
                return str(body["typeName"]["names"][-1]["String"]["sval"]) if "A_Const" in body["arg"] else None
            value = body["arg"]
        elif kind == "CollateClause":
            value = body["arg"]
        elif kind == "CoalesceExpr":
            return "coalesce"
        elif kind in ("A_Expr", "BoolExpr", "NullTest", "A_Const", "ParamRef", "BooleanTest"):
            return "nullif" if kind == "A_Expr" and body["kind"] == "AEXPR_NULLIF" else "?column?"
        else:
            return None
    return None
