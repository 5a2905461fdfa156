"""Definitions: CREATE, ALTER, DROP, COMMENT and GRANT, as far as they need more than a look at their node type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from querywarden.model.facts import Expression, Hazard
from querywarden.postgresql.analysis.expressions import describe
from querywarden.postgresql.analysis.gather import Gatherer, Scope, reads
from querywarden.postgresql.analysis.parse import Node
from querywarden.postgresql.analysis.queries import make_table
from querywarden.postgresql.analysis.settings import hazards_of_change, statement_changes
from querywarden.postgresql.analysis.statements import DROPPING_COMMANDS, PRIVILEGE_COMMANDS, kind_of
from querywarden.postgresql.analysis.utilities import judge_language, mark_temporary

_NOT_OF_COLUMNS = frozenset(
    {
        "AT_DropConstraint", "AT_ValidateConstraint", "AT_AlterConstraint", "AT_ClusterOn", "AT_SetTableSpace", "AT_EnableTrig",
        "AT_EnableAlwaysTrig", "AT_EnableReplicaTrig", "AT_DisableTrig", "AT_EnableRule", "AT_EnableAlwaysRule", "AT_EnableReplicaRule",
        "AT_DisableRule", "AT_SetAccessMethod",
    }
)  # fmt: skip
"""ALTER TABLE commands that name something other than a column."""
_RELATIONS = frozenset({"table", "view", "materialized_view", "index", "sequence", "foreign_table"})
_TABLES = frozenset({"OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"})
_HOLDING = _TABLES | {"OBJECT_MATVIEW"}
"""Relations that hold rows of their own."""
_PARTS_OF_RELATIONS = frozenset({"trigger", "rule", "policy"})
_NAMING_FUNCTIONS = frozenset({"aggregate", "operator", "type"})
_NAMING_TYPES = frozenset({"leftarg", "rightarg", "stype", "mstype", "basetype", "element", "like"})

_ROLE_KINDS = frozenset({"role", "policy"})
_SERVER_KINDS = frozenset({"event_trigger", "publication", "subscription", "database", "tablespace"})
_NETWORK_KINDS = frozenset({"foreign_server", "foreign_data_wrapper", "user_mapping"})
_CODE_KINDS = frozenset({"extension", "language", "access_method"})
_LABELS = ("querywarden", "pii")
"""The words that labels in comments begin with."""


@reads("CreateTableAsStmt")
def read_create_as(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """CREATE TABLE AS and CREATE MATERIALIZED VIEW: the query, or EXECUTE, is the child."""
    make_table(gatherer, body["into"], kind_of(body.get("objtype")) or "table")
    gatherer.read_child(body["query"], scope)


@reads("ViewStmt")
def read_view(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """CREATE VIEW: its query is the child."""
    gatherer.write(body["view"])
    if body["view"].get("relpersistence") == "t":
        gatherer.object_kind = "temporary_view"
    query = gatherer.read_child(body["query"], scope)
    if any(name.name == "pg_settings" for name in query.reads):
        # An update of such a view would be an update of pg_settings, which is a SET.
        gatherer.hazards.add(Hazard.ANALYSIS_SETTING)


@reads("RuleStmt")
def read_rule(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """CREATE RULE: its actions are children."""
    gatherer.write(body["relation"])
    gatherer.walk(body.get("whereClause"), scope)
    for action in body.get("actions", ()):
        gatherer.read_child(action, scope)


@reads("CreateSchemaStmt")
def read_schema(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """CREATE SCHEMA: what it makes inside are children."""
    if "authrole" in body:
        gatherer.hazards.add(Hazard.PRIVILEGE)
    for element in body.get("schemaElts", ()):
        gatherer.read_child(element, scope)


@reads("CreateTrigStmt")
def read_trigger(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """CREATE TRIGGER."""
    gatherer.write(body["relation"])
    gatherer.walk(body, scope, without=frozenset({"relation"}))


@reads("CreateStmt")
def read_table(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """CREATE TABLE: what its defaults compute is stored."""
    columns = [element["ColumnDef"] for element in body.get("tableElts", ()) if "ColumnDef" in element]
    gatherer.assignments = tuple(stored for column in columns for stored in _defaults(column, column.get("colname")))
    gatherer.read_definition("CreateStmt", body, scope)


@reads("CreateForeignTableStmt")
def read_foreign_table(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """CREATE FOREIGN TABLE: a table's definition with a server."""
    read_table(gatherer, body["base"], scope)


@reads("CreateDomainStmt")
def read_domain(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """CREATE DOMAIN: its default is that of the columns which have none of their own."""
    gatherer.assignments = tuple(_defaults(body, None))
    gatherer.walk(body, scope)


@reads("AlterDomainStmt")
def read_alter_domain(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """ALTER DOMAIN: of what it may say, only a default is an expression and no constraint."""
    if "def" in body and "Constraint" not in body["def"]:
        gatherer.assignments = (describe(body["def"], ()),)
    gatherer.walk(body, scope)


def _defaults(definition: Node, target: str | None) -> Iterator[Expression]:
    for item in definition.get("constraints", ()):
        constraint = item.get("Constraint", {})
        if constraint.get("contype") == "CONSTR_DEFAULT":
            yield describe(constraint.get("raw_expr", {}), (), target)


@reads("CreateSubscriptionStmt", "AlterSubscriptionStmt", "CreateUserMappingStmt", "AlterUserMappingStmt", "CreateTableSpaceStmt")
def read_options_alone(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """Statements made of names and options."""


@reads("CreateFunctionStmt")
def read_function(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """CREATE FUNCTION or PROCEDURE: the statements of a BEGIN ATOMIC body are children, a body in quotes is out of sight."""
    gatherer.object_kind = "procedure" if body.get("is_procedure") else "function"
    gatherer.walk(body.get("parameters"), scope)
    _read_function_options(gatherer, body.get("options", ()))
    judge_language(gatherer, body.get("options", ()))
    pending: list[Any] = [body.get("sql_body")]
    while pending:
        node = pending.pop(0)
        if not node:
            continue
        if "List" in node:
            pending = [*node["List"].get("items", ()), *pending]
        elif "ReturnStmt" in node:
            gatherer.walk(node["ReturnStmt"], scope)
        else:
            gatherer.read_child(node, scope)


@reads("AlterFunctionStmt")
def read_alter_function(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """ALTER FUNCTION or PROCEDURE."""
    gatherer.walk(body.get("func"), scope)
    _read_function_options(gatherer, body.get("actions", ()))


def _read_function_options(gatherer: Gatherer, options: Any) -> None:
    for item in options:
        option = item["DefElem"]
        if option["defname"] == "security" and option.get("arg", {}).get("Boolean", {}).get("boolval"):
            gatherer.hazards.add(Hazard.PRIVILEGE)
        elif option["defname"] == "set":
            for change in statement_changes(option["arg"]["VariableSetStmt"]):
                gatherer.change_setting(change)
        elif option["defname"] == "support":
            gatherer.hazards.add(Hazard.CODE_LOADING)


@reads("AlterRoleSetStmt", "AlterDatabaseSetStmt")
def read_stored_setting(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """ALTER ROLE or DATABASE … SET: sessions to come start with it, so that it changes none of this one."""
    for change in statement_changes(body["setstmt"]):
        gatherer.hazards |= hazards_of_change(change)


@reads("DefineStmt")
def read_define(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """CREATE AGGREGATE, OPERATOR, TYPE, COLLATION, TEXT SEARCH …: functions that it names run when it is used."""
    gatherer.object_kind = kind_of(body["kind"])
    gatherer.walk(body.get("args"), scope)
    if gatherer.object_kind not in _NAMING_FUNCTIONS:
        return
    for item in body.get("definition", ()):
        option = item["DefElem"]
        names = option.get("arg", {}).get("TypeName", {}).get("names", ())
        if names and option["defname"] not in _NAMING_TYPES:
            parts = [name["String"]["sval"] for name in names]
            gatherer.call(parts[-2] if len(parts) > 1 else None, parts[-1], 0)


@reads("AlterTableStmt")
def read_alter_table(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """ALTER TABLE, INDEX, VIEW, SEQUENCE …: its commands decide what it is."""
    gatherer.object_kind = kind_of(body.get("objtype"))
    gatherer.write(body["relation"])
    mark_temporary(gatherer)
    gatherer.assignments = tuple(stored for item in body["cmds"] for stored in _stored_by(item.get("AlterTableCmd", {})))
    for item in body["cmds"]:
        command = item.get("AlterTableCmd", {})
        subtype = command.get("subtype")
        if subtype in DROPPING_COMMANDS:
            gatherer.hazards.add(Hazard.DESTRUCTIVE_DDL)
        elif subtype in PRIVILEGE_COMMANDS:
            gatherer.hazards.add(Hazard.PRIVILEGE)
        column = command.get("def", {}).get("ColumnDef", {}).get("colname") if subtype == "AT_AddColumn" else command.get("name")
        if column is not None and subtype not in _NOT_OF_COLUMNS:
            gatherer.column_names.add(column)
        gatherer.walk(command, scope)


def _stored_by(command: Node) -> Iterator[Expression]:
    """What a command of ALTER TABLE stores into a column: USING, defaults, and generation expressions."""
    subtype, definition = command.get("subtype"), command.get("def", {})
    column = definition.get("ColumnDef", {})
    if subtype == "AT_AlterColumnType" and "raw_default" in column:
        yield describe(column["raw_default"], (), command.get("name"))
    elif subtype == "AT_SetExpression" or (subtype == "AT_ColumnDefault" and definition):
        yield describe(definition, (), command.get("name"))
    elif subtype == "AT_AddColumn":
        yield from _defaults(column, column.get("colname"))
        for item in column.get("constraints", ()):
            constraint = item.get("Constraint", {})
            if constraint.get("contype") == "CONSTR_GENERATED":
                yield describe(constraint.get("raw_expr", {}), (), column.get("colname"))


@reads("RenameStmt")
def read_rename(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """ALTER … RENAME: a renamed relation is written under both of its names."""
    kind = kind_of(body["renameType"]) or ""
    _judge_kind(gatherer, kind)
    gatherer.object_kind = kind_of(body.get("relationType")) if body["renameType"] in ("OBJECT_COLUMN", "OBJECT_ATTRIBUTE") else kind
    relation = body.get("relation")
    if body["renameType"] == "OBJECT_COLUMN" and body.get("relationType") in _TABLES:
        # Most classes rest on names: what is renamed is stored under another one.
        gatherer.column_names |= {body["subname"], body["newname"]}
        gatherer.assignments = (Expression(frozenset({body["subname"]}), is_plain_column=True, target=body["newname"]),)
    elif body["renameType"] in _HOLDING:
        # A class may rest on the relation's name as well: all of its columns are stored under another one.
        gatherer.assignments = None
    if relation is not None:
        gatherer.write(relation)
        mark_temporary(gatherer)
        if kind in _RELATIONS and body["renameType"] != "OBJECT_COLUMN":
            gatherer.write_name(relation.get("schemaname"), body["newname"])
    gatherer.walk(body.get("object"), scope)


@reads("AlterOwnerStmt", "AlterObjectSchemaStmt", "AlterObjectDependsStmt")
def read_alter_object(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """ALTER … OWNER TO, SET SCHEMA, DEPENDS ON EXTENSION."""
    kind = kind_of(body["objectType"]) or ""
    _judge_kind(gatherer, kind)
    gatherer.object_kind = kind
    if "relation" in body:
        gatherer.write(body["relation"])
        mark_temporary(gatherer)
        if body["objectType"] in _HOLDING and "newschema" in body:
            gatherer.assignments = None
        if kind in _RELATIONS and "newschema" in body:
            gatherer.write_name(body["newschema"], body["relation"]["relname"])
    gatherer.walk(body.get("object"), scope)


@reads("DropStmt")
def read_drop(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """DROP of any kind of object."""
    kind = kind_of(body["removeType"]) or ""
    gatherer.object_kind = kind
    _judge_kind(gatherer, kind)
    for item in body["objects"]:
        _write_named(gatherer, kind, item)
    if kind in _RELATIONS:
        mark_temporary(gatherer)


@reads("CommentStmt", "SecLabelStmt")
def read_comment(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """COMMENT ON and SECURITY LABEL ON: a comment on a column can change what is masked."""
    item = body.get("object", {})
    if body["objtype"] == "OBJECT_COLUMN" and "List" in item:
        column = item["List"]["items"][-1]["String"]["sval"]
        gatherer.column_names.add(column)
        # A comment takes the place of the one before it; one that isn't plain may be a label itself.
        is_label = any(word in body.get("comment", "").lower() for word in _LABELS)
        gatherer.assignments = (Expression(frozenset({column}), is_opaque=is_label, target=column),)
        item = {"List": {"items": item["List"]["items"][:-1]}}
    kind = kind_of(body["objtype"]) or ""
    gatherer.object_kind = kind
    _write_named(gatherer, kind, item)


def _write_named(gatherer: Gatherer, kind: str, item: Node) -> None:
    """Count the relation that a list of names means, for relations and what hangs on one."""
    names = [part["String"]["sval"] for part in item.get("List", {}).get("items", ()) if "String" in part]
    if kind in _PARTS_OF_RELATIONS:
        names = names[:-1]
    elif kind not in _RELATIONS:
        return
    if names:
        gatherer.write_name(names[-2] if len(names) > 1 else None, names[-1])


@reads("GrantStmt", "AlterDefaultPrivilegesStmt")
def read_grant(gatherer: Gatherer, body: Node, scope: Scope) -> None:
    """GRANT and REVOKE on objects."""
    gatherer.object_kind = kind_of(body.get("objtype"))
    for item in body.get("objects", ()):
        if "RangeVar" in item:
            gatherer.write(item["RangeVar"])
    for item in body.get("privileges", ()):
        gatherer.column_names.update(name["String"]["sval"] for name in item["AccessPriv"].get("cols", ()))


def _judge_kind(gatherer: Gatherer, kind: str) -> None:
    for kinds, hazard in (
        (_ROLE_KINDS, Hazard.PRIVILEGE),
        (_SERVER_KINDS, Hazard.SERVER_ADMIN),
        (_NETWORK_KINDS, Hazard.NETWORK),
        (_CODE_KINDS, Hazard.CODE_LOADING),
    ):
        if kind in kinds:
            gatherer.hazards.add(hazard)
