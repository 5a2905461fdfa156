"""Gathering: the one walk over a parse tree that collects what a statement reads, calls and casts.

The walk keeps its own stack, so that depth costs no Python frame but at each nested query.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from querywarden.model.facts import CopyFormat, Expression, Hazard, SettingChange, StatementFacts, Verb
from querywarden.model.resource import FunctionName, RelationName
from querywarden.postgresql.analysis.functions import SYSTEM_RELATIONS, hazards_of_function
from querywarden.postgresql.analysis.joins import has_column, is_given
from querywarden.postgresql.analysis.names import function_name, relation_name
from querywarden.postgresql.analysis.parse import Node
from querywarden.postgresql.analysis.settings import argument_change, hazards_of_change
from querywarden.postgresql.analysis.statements import STATEMENTS

Scope = frozenset[str]
"""The names of the common table expressions that a query can see; they hide relations of the same unqualified name."""

Reader = Callable[["Gatherer", Node, Scope], None]

READERS: dict[str, Reader] = {}
"""How each type of statement is read; one that isn't here is walked as it stands."""


def reads(*types: str) -> Callable[[Reader], Reader]:
    """Register the reader of statements of these node types."""

    def register(reader: Reader) -> Reader:
        for node_type in types:
            READERS[node_type] = reader
        return reader

    return register


class Gatherer:
    """What has been seen of one statement so far; `facts` closes it."""

    __slots__ = (
        "acts_as", "aliases", "assignments", "attribute_names", "bare_names", "cast_types", "children", "column_names", "copy",
        "cursor_is_held", "end", "from_is_plain", "functions", "has_star", "hazards", "is_from_stdin", "key_choices", "key_equalities",
        "normalised", "object_kind", "operators", "outputs", "probes", "reads", "settings", "start", "subject_name", "tables",
        "transaction", "values_rows", "verb", "writes",
    )  # fmt: skip

    visits: ClassVar[dict[str, Callable[[Gatherer, Any, Scope, Callable[[Any], None]], None] | None]] = {}

    def __init__(self, normalised: str, start: int, end: int, probes: tuple[Expression, ...] = ()) -> None:
        """Args: `probes` are those of the whole statement; each part of it is given them all, since names lead from one to another."""
        self.normalised = normalised
        self.start = start
        self.end = end
        self.probes = probes
        self.verb = Verb.UNKNOWN
        self.reads: set[RelationName] = set()
        self.writes: set[RelationName] = set()
        self.functions: set[FunctionName] = set()
        self.operators: set[str] = set()
        self.cast_types: set[str] = set()
        self.attribute_names: set[str] = set()
        self.column_names: set[str] = set()
        self.bare_names: set[str] = set()
        """The names that stand alone, which may be those of rows."""
        self.has_star = False
        self.tables: dict[str, list[Node]] = {}
        """The queries of the common tables by name; several may have one, at different places."""
        self.key_equalities: frozenset[str] = frozenset()
        self.key_choices: frozenset[str] = frozenset()
        self.values_rows: int | None = None
        self.acts_as: set[Verb] = set()
        self.hazards: set[Hazard] = set()
        self.settings: list[SettingChange] = []
        self.outputs: tuple[Expression, ...] | None = None
        self.assignments: tuple[Expression, ...] | None = ()
        self.aliases: set[str] = set()
        self.from_is_plain = True
        self.object_kind: str | None = None
        self.subject_name: str | None = None
        self.transaction: str | None = None
        self.is_from_stdin = self.cursor_is_held = False
        self.copy: CopyFormat | None = None
        self.children: list[StatementFacts] = []

    def read_statement(self, node: Node, scope: Scope) -> None:
        """Read a statement, `{type: fields}`, into this gatherer."""
        ((node_type, body),) = node.items()
        shape = STATEMENTS.get(node_type)
        if shape is None:
            return
        self.verb = shape.verb
        self.hazards |= shape.hazards
        self.object_kind = shape.object_kind
        reader = READERS.get(node_type)
        if reader is not None:
            reader(self, body, scope)
            return
        self.read_definition(node_type, body, scope)

    def read_definition(self, node_type: str, body: Node, scope: Scope) -> None:
        """Read a statement that needs no more than its shape: its target is written, everything else in it is walked."""
        target = STATEMENTS[node_type].target
        if target is None or target not in body:
            self.walk(body, scope)
            return
        self.write(body[target])
        if body[target].get("relpersistence") == "t":
            self.object_kind = f"temporary_{self.object_kind}"
        self.walk(body, scope, without=frozenset({target}))

    def read_child(self, node: Node, scope: Scope) -> StatementFacts:
        """Read a statement inside this one: its facts become a child's, and are counted as this one's too."""
        child = Gatherer(self.normalised, self.start, self.end, self.probes)
        child.read_statement(node, scope)
        facts = child.facts()
        self.children.append(facts)
        self.reads |= child.reads
        self.writes |= child.writes
        self.functions |= child.functions
        self.operators |= child.operators
        self.cast_types |= child.cast_types
        self.attribute_names |= child.attribute_names
        self.column_names |= child.column_names
        self.bare_names |= child.bare_names
        self.has_star |= child.has_star
        self.hazards |= child.hazards
        self.settings += child.settings
        self.aliases |= child.aliases
        self.from_is_plain &= child.from_is_plain
        return facts

    def facts(self) -> StatementFacts:
        """The facts as seen so far, immutable."""
        if not self.has_star and self.bare_names:
            self.has_star = not self.bare_names.isdisjoint(self.row_names())
        return StatementFacts(
            self.verb, self.normalised, self.start, self.end, frozenset(self.reads), frozenset(self.writes), frozenset(self.functions),
            frozenset(self.operators), frozenset(self.cast_types), frozenset(self.hazards), tuple(self.settings), self.outputs,
            self.assignments, frozenset(self.aliases), self.from_is_plain, self.object_kind, self.subject_name, self.transaction,
            self.is_from_stdin, self.cursor_is_held, tuple(self.children), frozenset(self.attribute_names),
            frozenset(self.column_names), self.has_star, self.probes, self.key_equalities, self.key_choices, self.values_rows,
            frozenset(self.acts_as), copy=self.copy,
        )  # fmt: skip

    def row_names(self) -> set[str]:
        """The names that may mean a whole row: aliases, relations, and what RETURNING and ON CONFLICT call the rows."""
        names = {relation.name for relation in self.reads}
        names.update([relation.name for relation in self.writes])
        names |= self.aliases
        if self.writes:
            names.update(("old", "new", "excluded"))
        return names

    def read(self, relation: Node, scope: Scope) -> None:
        """Count a RangeVar as read, unless it names a common table expression."""
        schema = relation.get("schemaname")
        name = relation["relname"]
        alias = relation.get("alias")
        if alias is not None:
            self.add_alias(alias)
        if schema is None and name in scope:
            self.from_is_plain = False
            self.aliases.add(name)
        else:
            self.reads.add(relation_name(schema, name))

    def write(self, relation: Node) -> None:
        """Count a RangeVar as written: always a relation, never a common table expression."""
        if (alias := relation.get("alias")) is not None:
            self.add_alias(alias)
        self.write_name(relation.get("schemaname"), relation["relname"])

    def write_name(self, schema: str | None, name: str) -> None:
        """Count a relation as written; the server's own are its administration, and `pg_settings` is a SET in disguise."""
        self.writes.add(relation_name(schema, name))
        if schema in (None, "pg_catalog") and name in SYSTEM_RELATIONS:
            self.hazards.add(Hazard.ANALYSIS_SETTING if name == "pg_settings" else Hazard.SERVER_ADMIN)

    def add_alias(self, alias: Node) -> None:
        """Count an alias; with a list of columns it renames what the names in expressions mean."""
        self.aliases.add(alias["aliasname"])
        if "colnames" in alias:
            self.from_is_plain = False
            self.has_star = True

    def call(self, schema: str | None, name: str, arguments: int) -> None:
        """Count a function as called."""
        self.functions.add(function_name(schema, name))
        self.hazards |= hazards_of_function(schema, name, arguments)

    def change_setting(self, change: SettingChange) -> None:
        """Count a setting as changed."""
        self.settings.append(change)
        self.hazards |= hazards_of_change(change)

    def walk(self, root: Any, scope: Scope, *, without: frozenset[str] = frozenset()) -> None:
        """Visit every node under `root`, which may be a node, its fields or a list; `without` names fields of `root` to leave out."""
        visits = self.visits
        stack: list[Any] = []
        push = stack.append
        if without:
            stack.extend({key: value} for key, value in root.items() if key not in without)
        else:
            push(root)
        while stack:
            node = stack.pop()
            if type(node) is list:
                stack.extend(node)
                continue
            if type(node) is not dict:
                continue
            for key, value in node.items():
                if key in visits:
                    visit = visits[key]
                    if visit is not None:
                        visit(self, value, scope, push)
                elif type(value) is dict or type(value) is list:
                    push(value)


def _visit_call(gatherer: Gatherer, body: Node, scope: Scope, push: Callable[[Any], None]) -> None:
    names = body["funcname"]
    name = names[-1]["String"]["sval"]
    schema = names[-2]["String"]["sval"] if len(names) > 1 else None
    arguments = body.get("args", ())
    if name == "setval" and not has_column(arguments):
        # As migrations and dumps call it; made of a column, it would keep a value where anybody reads it.
        gatherer.functions.add(function_name(schema, name))
    elif name == "pg_notify" and all(is_given(argument) for argument in arguments):
        # NOTIFY with parameters, as programs call it; made of anything else, its payload would carry values past the masks.
        gatherer.functions.add(function_name(schema, name))
    else:
        gatherer.call(schema, name, len(arguments))
    if name == "set_config" and schema in (None, "pg_catalog"):
        change = argument_change(arguments)
        if change is None:
            gatherer.hazards.add(Hazard.ANALYSIS_SETTING)
        else:
            gatherer.change_setting(change)
    for field in ("args", "agg_order", "agg_filter", "over"):
        if field in body:
            push(body[field])


def _visit_operation(gatherer: Gatherer, body: Node, scope: Scope, push: Callable[[Any], None]) -> None:
    kind = body["kind"]
    if kind in _BETWEEN:
        gatherer.operators.update(("<=", ">="))
    else:
        gatherer.operators.add(body["name"][-1]["String"]["sval"])
    if "lexpr" in body:
        push(body["lexpr"])
    if "rexpr" in body:
        push(body["rexpr"])


_BETWEEN = frozenset({"AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN", "AEXPR_BETWEEN_SYM", "AEXPR_NOT_BETWEEN_SYM"})


def _visit_type(gatherer: Gatherer, type_name: Any, scope: Scope, push: Callable[[Any], None]) -> None:
    """The type of a cast or a column; a list of names is that of a type being defined."""
    names = type_name.get("names", ()) if type(type_name) is dict else ()
    if names and (len(names) == 1 or names[-2]["String"]["sval"] != "pg_catalog"):
        gatherer.cast_types.add(names[-1]["String"]["sval"])


def _visit_column(gatherer: Gatherer, body: Node, scope: Scope, push: Callable[[Any], None]) -> None:
    fields = body["fields"]
    last = fields[-1].get("String")
    if last is None:
        gatherer.has_star = True
        return
    name = last["sval"]
    gatherer.column_names.add(name)
    if len(fields) > 1:
        gatherer.attribute_names.add(name)
    else:
        gatherer.bare_names.add(name)


def _visit_indirection(gatherer: Gatherer, steps: list[Node], scope: Scope, push: Callable[[Any], None]) -> None:
    fields = [step["String"]["sval"] for step in steps if "String" in step]
    gatherer.attribute_names.update(fields)
    gatherer.column_names.update(fields)
    gatherer.has_star |= any("A_Star" in step for step in steps)
    push([step for step in steps if "String" not in step])


def _visit_operator_name(gatherer: Gatherer, names: list[Node], scope: Scope, push: Callable[[Any], None]) -> None:
    gatherer.operators.add(names[-1]["String"]["sval"])


def _visit_index_element(gatherer: Gatherer, body: Node, scope: Scope, push: Callable[[Any], None]) -> None:
    if "name" in body:
        gatherer.column_names.add(body["name"])
    push(body)


def _visit_column_list(gatherer: Gatherer, names: Any, scope: Scope, push: Callable[[Any], None]) -> None:
    """Columns that a constraint names."""
    gatherer.column_names.update(name["String"]["sval"] for name in names if "String" in name)


def _visit_case(gatherer: Gatherer, body: Node, scope: Scope, push: Callable[[Any], None]) -> None:
    if "arg" in body:
        gatherer.operators.add("=")
    push(body)


def _visit_relation(gatherer: Gatherer, relation: Node, scope: Scope, push: Callable[[Any], None]) -> None:
    gatherer.read(relation, scope)


def _visit_query(gatherer: Gatherer, body: Node, scope: Scope, push: Callable[[Any], None]) -> None:
    READERS["nested SelectStmt"](gatherer, body, scope)


def _visit_statement(node_type: str) -> Callable[[Gatherer, Node, Scope, Callable[[Any], None]], None]:
    def visit(gatherer: Gatherer, body: Node, scope: Scope, push: Callable[[Any], None]) -> None:
        gatherer.read_child({node_type: body}, scope)

    return visit


def _visit_mention(gatherer: Gatherer, names: list[Node], scope: Scope, push: Callable[[Any], None]) -> None:
    """A function that a definition names runs when what is defined is used."""
    parts = [part["String"]["sval"] for part in names]
    gatherer.call(parts[-2] if len(parts) > 1 else None, parts[-1], 0)


def _visit_inline_relation(gatherer: Gatherer, value: Node, scope: Scope, push: Callable[[Any], None]) -> None:
    if "relname" in value:
        gatherer.read(value, scope)
    else:
        push(value)


def _visit_partition(gatherer: Gatherer, body: Node, scope: Scope, push: Callable[[Any], None]) -> None:
    gatherer.write(body["name"])
    push(body.get("bound"))


def _visit_new_syntax(name: str) -> Callable[[Gatherer, Node, Scope, Callable[[Any], None]], None]:
    """What a newer grammar reads as syntax is a call of an ordinary function to an older server."""

    def visit(gatherer: Gatherer, body: Node, scope: Scope, push: Callable[[Any], None]) -> None:
        gatherer.functions.add(function_name(None, name))
        push(body)

    return visit


def _visit_json_function(gatherer: Gatherer, body: Node, scope: Scope, push: Callable[[Any], None]) -> None:
    gatherer.functions.add(function_name(None, "json_" + body["op"].removeprefix("JSON_").removesuffix("_OP").lower()))
    push(body)


Gatherer.visits.update({node_type: _visit_statement(node_type) for node_type in STATEMENTS if node_type != "SelectStmt"})
Gatherer.visits.update(
    {
        "A_Const": None,
        "lockedRels": None,
        "ColumnRef": _visit_column,
        "indirection": _visit_indirection,
        "ParamRef": None,
        "String": None,
        "VariableSetStmt": None,
        "FuncCall": _visit_call,
        "A_Expr": _visit_operation,
        "typeName": _visit_type,
        "TypeName": None,
        "operName": _visit_operator_name,
        "useOp": _visit_operator_name,
        "CaseExpr": _visit_case,
        "IndexElem": _visit_index_element,
        "fk_attrs": _visit_column_list,
        "pk_attrs": _visit_column_list,
        "keys": _visit_column_list,
        "RangeVar": _visit_relation,
        "relation": _visit_inline_relation,
        "pktable": _visit_relation,
        "constrrel": _visit_relation,
        "PartitionCmd": _visit_partition,
        "SelectStmt": _visit_query,
        "funccall": _visit_call,
        "funcname": _visit_mention,
        "func_name": _visit_mention,
        "objname": _visit_mention,
        "JsonFuncExpr": _visit_json_function,
        "JsonParseExpr": _visit_new_syntax("json"),
        "JsonScalarExpr": _visit_new_syntax("json_scalar"),
        "JsonSerializeExpr": _visit_new_syntax("json_serialize"),
        "JsonObjectConstructor": _visit_new_syntax("json_object"),
        "JsonArrayConstructor": _visit_new_syntax("json_array"),
        "MergeSupportFunc": _visit_new_syntax("merge_action"),
    }
)
