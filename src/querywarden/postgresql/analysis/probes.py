"""Probes: the values that a statement compares, orders, searches or computes with in a way that tells more of them than equality.

One walk over all queries of a statement, on a stack of its own: each expression is looked at for what becomes of its value.
"""

from __future__ import annotations

from typing import Any

from querywarden.model.evidence import Probe
from querywarden.postgresql.analysis.flows import Origin
from querywarden.postgresql.analysis.naming import Level, Query, fill
from querywarden.postgresql.analysis.parse import Node
from querywarden.postgresql.analysis.shapes import NOTHING, Given, Session, Shape, TooIntricate
from querywarden.postgresql.analysis.uses import VISITS, Use, visit_other

_UNFOLLOWED = Probe(frozenset(), is_opaque=True)

_ROW_STATEMENTS = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
Work = tuple[Any, Use, Level]


def find_probes(tree: Node) -> tuple[Probe, ...]:
    """The probes of a statement, each once, in a stable order."""
    walk = Walk()
    try:
        walk.statement(tree)
        walk.run()
    except (TooIntricate, RecursionError):
        return (_UNFOLLOWED,)
    if not walk.origins:
        return ()
    return tuple(sorted(map(_probe, walk.origins), key=_order))


def _probe(origin: Origin) -> Probe:
    relations, column, function, is_optional = origin
    if function is not None:
        return Probe(frozenset(), function=function)
    if isinstance(column, str):
        return Probe(frozenset({column}), relations=relations, is_optional=is_optional)
    return Probe(frozenset(), is_opaque=column is None, relations=relations, position=column)


def _order(probe: Probe) -> tuple[list[str], list[str], int, str, bool]:
    relations = sorted(map(str, probe.relations)) if probe.relations is not None else []
    return sorted(probe.columns), relations, probe.position or 0, probe.function or "", probe.is_optional


class Walk:
    """One walk; `origins` are what the probes found so far are of."""

    def __init__(self) -> None:
        self.session = Session()
        self.origins: set[Origin] = set()
        self.stack: list[Work] = []

    def statement(self, tree: Node) -> None:
        """Put the queries of a statement on the stack, whatever stands around them."""
        pending: list[Any] = [tree]
        while pending:
            node = pending.pop()
            if type(node) is list:
                pending.extend(node)
                continue
            if type(node) is not dict:
                continue
            for kind, body in node.items():
                if kind in _ROW_STATEMENTS:
                    self.query(Query(kind, body, self.session, {}, None), Use.RETURNED)
                elif kind in _DEFINITIONS:
                    self.definition(kind, body)
                    pending.append(body)
                elif type(body) is dict or type(body) is list:
                    pending.append(body)

    def definition(self, kind: str, body: Node) -> None:
        """The expressions of a definition that are held against the rows that a relation has already, or will have."""
        target, conditions = _DEFINITIONS[kind]
        if target not in body:
            return
        level = Level(self.session, {}, None)
        fill(level, "AlterTableStmt", {"relation": body[target]})
        added = [item.get("AlterTableCmd", {}).get("def", {}).get("ColumnDef", {}).get("colname") for item in body.get("cmds", ())]
        if any(added):
            # Their names mean nothing yet, where the relation has no column of that name.
            level.add(None, Given(None, Shape(tuple((name, NOTHING) for name in added if name), frozenset()), ()))
        self.stack += [(body[field], Use.EQUATED, level) for field in conditions if field in body]
        self.stack += [(item["IndexElem"].get("expr"), Use.RETURNED, level) for item in body.get("indexParams", ())]
        for item in body.get("cmds", ()):
            definition = item.get("AlterTableCmd", {}).get("def", {})
            constraints = [definition, *definition.get("ColumnDef", {}).get("constraints", ())]
            for each in constraints:
                constraint = each.get("Constraint", {})
                use = Use.EQUATED if constraint.get("contype") == "CONSTR_CHECK" else Use.STORED
                self.stack.append((constraint.get("raw_expr"), use, level))
            self.stack.append((definition.get("ColumnDef", {}).get("raw_default"), Use.STORED, level))

    def run(self) -> None:
        """Look at all that is on the stack. Raises: TooIntricate."""
        stack = self.stack
        while stack:
            node, use, level = stack.pop()
            if type(node) is list:
                stack.extend([(item, use, level) for item in node])
                continue
            if type(node) is not dict:
                continue
            for kind, body in node.items():
                visit = VISITS.get(kind, visit_other)
                if visit is not None:
                    visit(self, body, use, level)

    def push(self, node: Any, use: Use, level: Level) -> None:
        """Look at a node later."""
        if node is not None:
            self.stack.append((node, use, level))

    def query(self, query: Query, use: Use) -> None:
        """Put a query on the stack; `use` is what becomes of what it hands out."""
        pending = [(query, use)]
        while pending:
            one, outputs = pending.pop()
            pending += [(table, Use.RETURNED) for table in one.common_tables()]
            if one.kind != "SelectStmt":
                self.change(one)
            elif "larg" in one.body:
                is_union_all = one.body["op"] == "SETOP_UNION" and one.body.get("all", False)
                pending += [(arm, outputs if is_union_all else max(outputs, Use.EQUATED)) for arm in one.arms()]
                self.bounds(one)
            else:
                pending += [(inner, Use.RETURNED) for inner in self.items(one)]
                self.select(one, outputs)
                self.bounds(one)

    def items(self, query: Query) -> list[Query]:
        """Put the conditions of FROM on the stack; the answer are its sub-selects."""
        body = query.body
        pending: list[Any] = [*(body.get("fromClause") or body.get("usingClause") or ())]
        if "sourceRelation" in body:
            pending.append(body["sourceRelation"])
        if not pending:
            return []
        level = query.level()
        for item in pending:
            if "RangeVar" in item:
                continue
            ((kind, inside),) = item.items()
            if kind == "JoinExpr":
                pending += (inside["larg"], inside["rarg"])
                self.push(inside.get("quals"), Use.EQUATED, level)
                for name in inside.get("usingClause", ()):
                    self.push({"ColumnRef": {"fields": [name]}}, Use.EQUATED, level)
            elif kind == "RangeTableSample":
                pending.append(inside["relation"])
                self.push(inside.get("args"), Use.TESTED, level)
            elif kind == "RangeFunction":
                # How many rows a function gives tells about what it was given.
                for function in inside["functions"]:
                    for each in function["List"]["items"]:
                        self.push(each["FuncCall"].get("args") if "FuncCall" in each else each, Use.TESTED, level)
            elif kind != "RangeSubselect":
                self.push({key: value for key, value in inside.items() if key not in ("alias", "coldeflist")}, Use.TESTED, level)
        if level.is_natural:
            for item in level.items:
                for _, lineage in item.shape().columns:
                    if not lineage.is_plain:
                        self.origins |= lineage.origins
        return level.sub_selects

    def select(self, query: Query, use: Use) -> None:
        """Put the parts of a SELECT on the stack."""
        body, level, push = query.body, query.level(), self.push
        for item in body.get("distinctClause", ()):
            if item:
                self.key(item, query, Use.TESTED)
            else:
                use = max(use, Use.EQUATED)
        for target in body.get("targetList", ()):
            value = target["ResTarget"]["val"]
            if use > Use.RETURNED or "ColumnRef" not in value:
                push(value, use, level)
        for row in body.get("valuesLists", ()):
            push([item for item in row["List"]["items"] if "A_Const" not in item and "ParamRef" not in item] or None, use, level)
        push(body.get("whereClause"), Use.EQUATED, level)
        push(body.get("havingClause"), Use.EQUATED, level)
        push(body.get("windowClause"), Use.EQUATED, level)
        groups = [*body.get("groupClause", ())]
        for item in groups:
            if "GroupingSet" in item:
                groups += item["GroupingSet"].get("content", ())
            else:
                self.key(item, query, Use.EQUATED)

    def bounds(self, query: Query) -> None:
        """Put ORDER BY, LIMIT and OFFSET on the stack."""
        for item in query.body.get("sortClause", ()):
            self.key(item["SortBy"]["node"], query, Use.TESTED)
        for field in ("limitCount", "limitOffset"):
            node = query.body.get(field)
            if node is not None and "A_Const" not in node and "ParamRef" not in node:
                self.push(node, Use.TESTED, query.level())

    def key(self, node: Node, query: Query, use: Use) -> None:
        """A key of ORDER BY, GROUP BY or DISTINCT ON: an output by its place or its name, or an expression."""
        level = query.level()
        place = node.get("A_Const", {}).get("ival")
        if place is not None:
            self.output(query, int(place.get("ival", 0)), use)
            return
        fields = node["ColumnRef"]["fields"] if "ColumnRef" in node else []
        if len(fields) == 1 and "String" in fields[0]:
            name = fields[0]["String"]["sval"]
            if "larg" in query.body:
                found = query.shape().column(name)
                self.origins |= found.origins if found is not None else frozenset()
                return
            values = [t["ResTarget"]["val"] for t in query.body.get("targetList", ()) if t["ResTarget"].get("name") == name]
            for value in values:
                self.push(value, use, level)
            if values and use is Use.TESTED:
                return
        self.push(node, use, level)

    def output(self, query: Query, place: int, use: Use) -> None:
        """The output at a place, from 1, as a key."""
        targets = query.body.get("targetList", ())
        before = targets[:place]
        if "larg" not in query.body and len(before) == place and not any(_is_star(target) for target in before):
            self.push(targets[place - 1]["ResTarget"]["val"], use, query.level())
            return
        shape = query.shape()
        if not shape.starred and 0 < place <= len(shape.columns):
            lineage = shape.columns[place - 1][1]
        elif len(targets) == 1 and not shape.columns and "larg" not in query.body:
            lineage = query.level().position(place)
        else:
            lineage = shape.whole()
        if use is Use.TESTED or not lineage.is_plain:
            self.origins |= lineage.origins

    def change(self, query: Query) -> None:
        """Put the parts of an INSERT, UPDATE, DELETE or MERGE on the stack."""
        body, level = query.body, query.level()
        if "selectStmt" in body:
            ((kind, source),) = body["selectStmt"].items()
            self.query(Query(kind, source, self.session, query.tables, query.outer), Use.STORED)
        for inner in self.items(query):
            self.query(inner, Use.RETURNED)
        for target in body.get("targetList", ()):
            self.push(target["ResTarget"].get("val"), Use.STORED, level)
        self.push(body.get("whereClause"), Use.EQUATED, level)
        self.push(body.get("joinCondition"), Use.EQUATED, level)
        conflict = body.get("onConflictClause", {})
        self.push(conflict.get("whereClause"), Use.EQUATED, level)
        for target in conflict.get("targetList", ()):
            self.push(target["ResTarget"].get("val"), Use.STORED, level)
        for item in body.get("mergeWhenClauses", ()):
            clause = item["MergeWhenClause"]
            self.push(clause.get("condition"), Use.EQUATED, level)
            self.push([*clause.get("targetList", ()), *clause.get("values", ())], Use.STORED, level)
        for target in body.get("returningClause", {}).get("exprs", ()):
            self.push(target["ResTarget"]["val"], Use.RETURNED, level)


_DEFINITIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "AlterTableStmt": ("relation", ()),
    "IndexStmt": ("relation", ("whereClause",)),
    "RuleStmt": ("relation", ("whereClause",)),
    "CreateTrigStmt": ("relation", ("whenClause",)),
    "CreatePolicyStmt": ("table", ("qual", "with_check")),
    "AlterPolicyStmt": ("table", ("qual", "with_check")),
}
"""Definitions whose expressions are about rows: the field of the relation, and those of conditions."""


def _is_star(target: Node) -> bool:
    value = target["ResTarget"]["val"]
    if "ColumnRef" in value:
        return "A_Star" in value["ColumnRef"]["fields"][-1]
    return "A_Indirection" in value and "A_Star" in value["A_Indirection"]["indirection"][-1]
