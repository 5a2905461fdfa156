"""Statements: each node type that a statement can be, with its verb, its hazards and its object; what isn't here is unknown."""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.model.facts import Hazard, Verb


@dataclass(frozen=True, slots=True)
class Shape:
    """What a node type alone says of a statement; `target` is the field with the relation that it changes."""

    verb: Verb
    hazards: frozenset[Hazard] = frozenset()
    object_kind: str | None = None
    target: str | None = None


def _shape(verb: Verb, *hazards: Hazard, kind: str | None = None, target: str | None = None) -> Shape:
    return Shape(verb, frozenset(hazards), kind, target)


_SCHEMA = Hazard.SCHEMA_CHANGE
_DROPS = Hazard.DESTRUCTIVE_DDL
_PRIVILEGE = Hazard.PRIVILEGE
_NETWORK = Hazard.NETWORK
_CODE = Hazard.CODE_LOADING
_ADMIN = Hazard.SERVER_ADMIN
_FILE = Hazard.FILE_ACCESS

STATEMENTS: dict[str, Shape] = {
    # Rows.
    "SelectStmt": _shape(Verb.SELECT),
    "InsertStmt": _shape(Verb.INSERT),
    "UpdateStmt": _shape(Verb.UPDATE),
    "DeleteStmt": _shape(Verb.DELETE),
    "MergeStmt": _shape(Verb.MERGE),
    "TruncateStmt": _shape(Verb.TRUNCATE, _DROPS, kind="table"),
    "CopyStmt": _shape(Verb.COPY_OUT),
    "LockStmt": _shape(Verb.LOCK, kind="table"),
    # Sessions.
    "TransactionStmt": _shape(Verb.TRANSACTION),
    "PrepareStmt": _shape(Verb.PREPARE),
    "ExecuteStmt": _shape(Verb.EXECUTE),
    "DeallocateStmt": _shape(Verb.DEALLOCATE),
    "DeclareCursorStmt": _shape(Verb.DECLARE),
    "FetchStmt": _shape(Verb.FETCH),
    "ClosePortalStmt": _shape(Verb.CLOSE),
    "ExplainStmt": _shape(Verb.EXPLAIN),
    "VariableSetStmt": _shape(Verb.SET),
    "VariableShowStmt": _shape(Verb.SHOW),
    "ConstraintsSetStmt": _shape(Verb.SET),
    "DiscardStmt": _shape(Verb.DISCARD),
    "ListenStmt": _shape(Verb.LISTEN),
    "UnlistenStmt": _shape(Verb.LISTEN),
    "NotifyStmt": _shape(Verb.NOTIFY),
    "CallStmt": _shape(Verb.CALL),
    "DoStmt": _shape(Verb.DO, Hazard.DYNAMIC_SQL),
    # Maintenance.
    "VacuumStmt": _shape(Verb.MAINTENANCE),
    "ClusterStmt": _shape(Verb.MAINTENANCE),
    "ReindexStmt": _shape(Verb.MAINTENANCE),
    "RefreshMatViewStmt": _shape(Verb.MAINTENANCE, kind="materialized_view", target="relation"),
    "CheckPointStmt": _shape(Verb.ADMIN, _ADMIN),
    "AlterSystemStmt": _shape(Verb.ADMIN, _ADMIN),
    "LoadStmt": _shape(Verb.ADMIN, _CODE),
    # Relations.
    "CreateStmt": _shape(Verb.CREATE, _SCHEMA, kind="table", target="relation"),
    "CreateTableAsStmt": _shape(Verb.CREATE, _SCHEMA, kind="table"),
    "ViewStmt": _shape(Verb.CREATE, _SCHEMA, kind="view", target="view"),
    "IndexStmt": _shape(Verb.CREATE, _SCHEMA, kind="index", target="relation"),
    "CreateSeqStmt": _shape(Verb.CREATE, _SCHEMA, kind="sequence", target="sequence"),
    "CreateTrigStmt": _shape(Verb.CREATE, _SCHEMA, kind="trigger", target="relation"),
    "RuleStmt": _shape(Verb.CREATE, _SCHEMA, kind="rule", target="relation"),
    "CreateStatsStmt": _shape(Verb.CREATE, _SCHEMA, kind="statistics"),
    "AlterTableStmt": _shape(Verb.ALTER, _SCHEMA, kind="table", target="relation"),
    "AlterTableMoveAllStmt": _shape(Verb.ALTER, _SCHEMA, kind="tablespace"),
    "AlterSeqStmt": _shape(Verb.ALTER, _SCHEMA, kind="sequence", target="sequence"),
    "AlterStatsStmt": _shape(Verb.ALTER, _SCHEMA, kind="statistics"),
    "RenameStmt": _shape(Verb.ALTER, _SCHEMA, target="relation"),
    "AlterObjectSchemaStmt": _shape(Verb.ALTER, _SCHEMA, target="relation"),
    "AlterObjectDependsStmt": _shape(Verb.ALTER, _SCHEMA, target="relation"),
    "DropStmt": _shape(Verb.DROP, _SCHEMA, _DROPS),
    "CommentStmt": _shape(Verb.COMMENT, _SCHEMA),
    # Schemas, types, functions, operators.
    "CreateSchemaStmt": _shape(Verb.CREATE, _SCHEMA, kind="schema"),
    "CreateDomainStmt": _shape(Verb.CREATE, _SCHEMA, kind="domain"),
    "CreateEnumStmt": _shape(Verb.CREATE, _SCHEMA, kind="type"),
    "CreateRangeStmt": _shape(Verb.CREATE, _SCHEMA, kind="type"),
    "CompositeTypeStmt": _shape(Verb.CREATE, _SCHEMA, kind="type"),
    "DefineStmt": _shape(Verb.CREATE, _SCHEMA),
    "CreateFunctionStmt": _shape(Verb.CREATE, _SCHEMA, kind="function"),
    "CreateCastStmt": _shape(Verb.CREATE, _SCHEMA, kind="cast"),
    "CreateConversionStmt": _shape(Verb.CREATE, _SCHEMA, kind="conversion"),
    "CreateTransformStmt": _shape(Verb.CREATE, _SCHEMA, kind="transform"),
    "CreateOpClassStmt": _shape(Verb.CREATE, _SCHEMA, kind="operator_class"),
    "CreateOpFamilyStmt": _shape(Verb.CREATE, _SCHEMA, kind="operator_family"),
    "AlterDomainStmt": _shape(Verb.ALTER, _SCHEMA, kind="domain"),
    "AlterEnumStmt": _shape(Verb.ALTER, _SCHEMA, kind="type"),
    "AlterTypeStmt": _shape(Verb.ALTER, _SCHEMA, kind="type"),
    "AlterFunctionStmt": _shape(Verb.ALTER, _SCHEMA, kind="function"),
    "AlterOperatorStmt": _shape(Verb.ALTER, _SCHEMA, kind="operator"),
    "AlterOpFamilyStmt": _shape(Verb.ALTER, _SCHEMA, kind="operator_family"),
    "AlterCollationStmt": _shape(Verb.ALTER, _SCHEMA, kind="collation"),
    "AlterTSConfigurationStmt": _shape(Verb.ALTER, _SCHEMA, kind="text_search_configuration"),
    "AlterTSDictionaryStmt": _shape(Verb.ALTER, _SCHEMA, kind="text_search_dictionary"),
    # Privileges, roles, row-level security.
    "GrantStmt": _shape(Verb.GRANT, _PRIVILEGE),
    "GrantRoleStmt": _shape(Verb.GRANT, _PRIVILEGE),
    "AlterDefaultPrivilegesStmt": _shape(Verb.GRANT, _PRIVILEGE),
    "CreateRoleStmt": _shape(Verb.ROLE, _PRIVILEGE, kind="role"),
    "AlterRoleStmt": _shape(Verb.ROLE, _PRIVILEGE, kind="role"),
    "AlterRoleSetStmt": _shape(Verb.ROLE, _PRIVILEGE, kind="role"),
    "DropRoleStmt": _shape(Verb.ROLE, _PRIVILEGE, _DROPS, kind="role"),
    "ReassignOwnedStmt": _shape(Verb.ROLE, _PRIVILEGE, kind="role"),
    "DropOwnedStmt": _shape(Verb.DROP, _SCHEMA, _DROPS, _PRIVILEGE, kind="role"),
    "AlterOwnerStmt": _shape(Verb.ALTER, _SCHEMA, _PRIVILEGE, target="relation"),
    "SecLabelStmt": _shape(Verb.ALTER, _SCHEMA, _PRIVILEGE, kind="security_label"),
    "CreatePolicyStmt": _shape(Verb.CREATE, _SCHEMA, _PRIVILEGE, kind="policy", target="table"),
    "AlterPolicyStmt": _shape(Verb.ALTER, _SCHEMA, _PRIVILEGE, kind="policy", target="table"),
    "CreateEventTrigStmt": _shape(Verb.CREATE, _SCHEMA, _PRIVILEGE, _ADMIN, kind="event_trigger"),
    "AlterEventTrigStmt": _shape(Verb.ALTER, _SCHEMA, _PRIVILEGE, _ADMIN, kind="event_trigger"),
    # Code, other servers, the server itself.
    "CreateExtensionStmt": _shape(Verb.CREATE, _SCHEMA, _CODE, kind="extension"),
    "AlterExtensionStmt": _shape(Verb.ALTER, _SCHEMA, _CODE, kind="extension"),
    "AlterExtensionContentsStmt": _shape(Verb.ALTER, _SCHEMA, _CODE, kind="extension"),
    "CreatePLangStmt": _shape(Verb.CREATE, _SCHEMA, _CODE, kind="language"),
    "CreateAmStmt": _shape(Verb.CREATE, _SCHEMA, _CODE, kind="access_method"),
    "CreateFdwStmt": _shape(Verb.CREATE, _SCHEMA, _NETWORK, _CODE, kind="foreign_data_wrapper"),
    "AlterFdwStmt": _shape(Verb.ALTER, _SCHEMA, _NETWORK, _CODE, kind="foreign_data_wrapper"),
    "CreateForeignServerStmt": _shape(Verb.CREATE, _SCHEMA, _NETWORK, kind="server"),
    "AlterForeignServerStmt": _shape(Verb.ALTER, _SCHEMA, _NETWORK, kind="server"),
    "CreateForeignTableStmt": _shape(Verb.CREATE, _SCHEMA, _NETWORK, kind="foreign_table"),
    "ImportForeignSchemaStmt": _shape(Verb.CREATE, _SCHEMA, _NETWORK, kind="foreign_table"),
    "CreateUserMappingStmt": _shape(Verb.CREATE, _SCHEMA, _NETWORK, _PRIVILEGE, kind="user_mapping"),
    "AlterUserMappingStmt": _shape(Verb.ALTER, _SCHEMA, _NETWORK, _PRIVILEGE, kind="user_mapping"),
    "DropUserMappingStmt": _shape(Verb.DROP, _SCHEMA, _DROPS, _NETWORK, _PRIVILEGE, kind="user_mapping"),
    "CreateSubscriptionStmt": _shape(Verb.CREATE, _SCHEMA, _NETWORK, _ADMIN, kind="subscription"),
    "AlterSubscriptionStmt": _shape(Verb.ALTER, _SCHEMA, _NETWORK, _ADMIN, kind="subscription"),
    "DropSubscriptionStmt": _shape(Verb.DROP, _SCHEMA, _DROPS, _NETWORK, _ADMIN, kind="subscription"),
    "CreatePublicationStmt": _shape(Verb.CREATE, _SCHEMA, _ADMIN, kind="publication"),
    "AlterPublicationStmt": _shape(Verb.ALTER, _SCHEMA, _ADMIN, kind="publication"),
    "CreateTableSpaceStmt": _shape(Verb.CREATE, _SCHEMA, _FILE, _ADMIN, kind="tablespace"),
    "AlterTableSpaceOptionsStmt": _shape(Verb.ALTER, _SCHEMA, _ADMIN, kind="tablespace"),
    "DropTableSpaceStmt": _shape(Verb.DROP, _SCHEMA, _DROPS, _ADMIN, kind="tablespace"),
    "CreatedbStmt": _shape(Verb.CREATE, _SCHEMA, _ADMIN, kind="database"),
    "AlterDatabaseStmt": _shape(Verb.ALTER, _SCHEMA, _ADMIN, kind="database"),
    "AlterDatabaseRefreshCollStmt": _shape(Verb.ALTER, _SCHEMA, _ADMIN, kind="database"),
    "AlterDatabaseSetStmt": _shape(Verb.ALTER, _SCHEMA, _PRIVILEGE, kind="database"),
    "DropdbStmt": _shape(Verb.DROP, _SCHEMA, _DROPS, _ADMIN, kind="database"),
}
"""Not here, and so unknown: RawStmt, SetOperationStmt, ReturnStmt, PLAssignStmt and ReplicaIdentityStmt: only ever parts of others."""

SETTING_STATEMENTS = frozenset({"AlterSystemStmt", "AlterRoleSetStmt", "AlterDatabaseSetStmt", "CreateFunctionStmt", "AlterFunctionStmt"})
"""Statements that may hold `SET name TO value`, whose value may be written as a bare name."""

DROPPING_COMMANDS = frozenset({"AT_DropColumn", "AT_DropConstraint", "AT_DetachPartition"})
"""ALTER TABLE commands that drop something, or take rows out of sight."""

PRIVILEGE_COMMANDS = frozenset(
    {"AT_ChangeOwner", "AT_EnableRowSecurity", "AT_DisableRowSecurity", "AT_ForceRowSecurity", "AT_NoForceRowSecurity"}
)
"""ALTER TABLE commands that change who may see what."""

_KINDS = {"matview": "materialized_view", "tabcolumn": "table", "column": "table", "tabconstraint": "table", "fdw": "foreign_data_wrapper"}


def kind_of(object_type: str | None) -> str | None:
    """The kind of object that an ObjectType of the grammar stands for."""
    if object_type is None:
        return None
    name = object_type.removeprefix("OBJECT_").lower()
    return _KINDS.get(name, name)
