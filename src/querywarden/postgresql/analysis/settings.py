"""Settings: what SET, RESET and set_config change, and which changes would take the ground from under the analysis."""

from __future__ import annotations

from typing import Any

from querywarden.model.facts import Hazard, SettingChange
from querywarden.postgresql.analysis.parse import Node

_KEPT_VALUES = frozenset(
    {
        "role", "session_authorization", "search_path", "client_encoding", "standard_conforming_strings", "client_min_messages",
        "datestyle", "intervalstyle", "timezone", "bytea_output", "extra_float_digits", "row_security", "default_transaction_read_only",
        "default_transaction_isolation",
        "transaction_read_only", "transaction_isolation", "statement_timeout",
    }
)  # fmt: skip
"""Settings whose values are words of PostgreSQL or names, and matter to a decision; other values may be anything."""

_ANALYSIS_SETTINGS = frozenset(
    {
        "session_replication_role", "local_preload_libraries", "session_preload_libraries", "shared_preload_libraries",
        "dynamic_library_path", "event_triggers", "allow_system_table_mods", "ignore_system_indexes", "backslash_quote",
        "transform_null_equals", "lo_compat_privileges", "zero_damaged_pages", "ignore_checksum_failure", "jit_provider",
        "extension_control_path",
    }
)  # fmt: skip
_ANALYSIS_PREFIXES = ("querywarden.", "log_", "debug_", "trace_", "auto_explain.", "plpgsql.", "pgaudit.")

REASON_SETTING = "querywarden.reason"
HOLD_SETTING = "querywarden.hold"
"""What a client may say to the proxy itself, by SET and at start-up, and in no other way."""
HOLD_MODES = frozenset({"wait", "fail"})
REASON_CHARACTERS_MAX = 500

_ON = frozenset({"on", "true", "yes", "1"})
_UTF8 = frozenset({"utf8", "unicode"})
_QUIET_LEVELS = frozenset({"notice", "warning", "error"})
_OWN_ROLE = frozenset({"none", "default"})

_KEEPING_TYPES = frozenset({"text", "varchar", "bool", "int4"})
"""Types that a cast of a constant to leaves its text as it is, when they are given no length."""

_SET_KINDS = frozenset({"VAR_SET_VALUE", "VAR_SET_CURRENT"})


def statement_changes(body: Node) -> list[SettingChange]:
    """The changes of a VariableSetStmt; RESET ALL is the change of a setting called `all`."""
    kind = body["kind"]
    is_local = body.get("is_local", False)
    if kind == "VAR_RESET_ALL":
        return [SettingChange("all", None, False)]
    if kind == "VAR_SET_MULTI":
        items = [item["DefElem"] for item in body.get("args", ()) if "DefElem" in item]
        prefix = "default_" if body["name"] == "SESSION CHARACTERISTICS" else ""
        return [_change(prefix + item["defname"], _constant(item.get("arg")), is_local) for item in items]
    name = body["name"].lower()
    if kind not in _SET_KINDS:
        return [SettingChange(name, None, is_local)]
    values = [_constant(argument) for argument in body.get("args", ())]
    value = None if not values or None in values else ", ".join(str(one) for one in values)
    if kind == "VAR_SET_CURRENT" or value is None:
        # Not known from the text: as good as any value.
        return [SettingChange(name, "" if name in _KEPT_VALUES else None, is_local)]
    return [_change(name, value, is_local)]


def own_change(body: Node) -> SettingChange | None:
    """The change of a VariableSetStmt to one of the client's own settings of the proxy; None for any other, and for values not allowed."""
    name, kind = body.get("name", "").lower(), body["kind"]
    if name not in (REASON_SETTING, HOLD_SETTING):
        return None
    is_local = body.get("is_local", False)
    if kind in ("VAR_RESET", "VAR_SET_DEFAULT"):
        return SettingChange(name, None, is_local)
    values = [_constant(argument) for argument in body.get("args", ())]
    if kind != "VAR_SET_VALUE" or len(values) != 1 or values[0] is None:
        return None
    if name == REASON_SETTING:
        return SettingChange(name, clean_reason(values[0]), is_local)
    mode = values[0].lower()
    return SettingChange(name, mode, is_local) if mode in HOLD_MODES else None


def clean_reason(text: str) -> str:
    """A reason as it is kept: on one line, and no longer than is of use."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:REASON_CHARACTERS_MAX]


def argument_change(arguments: list[Node] | tuple[Node, ...]) -> SettingChange | None:
    """The change that a call of set_config makes, or None when its text doesn't tell which setting it is.

    A value that the text doesn't tell is given as empty, which no setting that the analysis rests on may have.
    """
    if len(arguments) < 2:
        return None
    name = _constant(arguments[0])
    if name is None:
        return None
    value = _constant(arguments[1])
    is_local = len(arguments) > 2 and _constant(arguments[2]) in ("true", "t", "on", "1", "yes", "y")
    return _change(name.lower(), "" if value is None else value, is_local)


def with_settings_named(select: Node) -> Node:
    """A SELECT over `pg_settings` with `WHERE name = 'x'`, with that name in place of the column in its calls of set_config.

    pg_dump sets a setting so where the server has it; every row that is selected has the name that the condition tells.
    """
    items: list[Node] = select.get("fromClause", [])
    relation = items[0].get("RangeVar", {}) if len(items) == 1 else {}
    if relation.get("relname") != "pg_settings" or relation.get("schemaname", "pg_catalog") != "pg_catalog":
        return select
    condition = select.get("whereClause", {}).get("A_Expr", {})
    is_equality = condition.get("kind") == "AEXPR_OP" and condition["name"][-1]["String"]["sval"] == "="
    if not is_equality or not _is_name_column(condition.get("lexpr")) or _constant(condition.get("rexpr")) is None:
        return select
    targets = [_with_name(target, condition["rexpr"]) for target in select.get("targetList", ())]
    return {**select, "targetList": targets}


def _is_name_column(node: Any) -> bool:
    fields: list[Node] = node.get("ColumnRef", {}).get("fields", []) if type(node) is dict else []
    return len(fields) == 1 and fields[0].get("String", {}).get("sval") == "name"


def _with_name(target: Node, name: Node) -> Node:
    value = target.get("ResTarget", {}).get("val", {})
    call = value.get("FuncCall", {})
    arguments: list[Node] = call.get("args", [])
    if not arguments or call["funcname"][-1]["String"]["sval"] != "set_config" or not _is_name_column(arguments[0]):
        return target
    return {"ResTarget": {**target["ResTarget"], "val": {"FuncCall": {**call, "args": [name, *arguments[1:]]}}}}


def hazards_of_change(change: SettingChange) -> frozenset[Hazard]:
    """The hazards of a change; RESET, and SET to DEFAULT, go back to what the session started with."""
    name, value = change.name, change.value
    if name.startswith("querywarden."):
        return frozenset({Hazard.ANALYSIS_SETTING})
    if value is None and name in _KEPT_VALUES:
        return frozenset()
    if name in ("role", "session_authorization"):
        return frozenset() if value in _OWN_ROLE else frozenset({Hazard.ROLE_SWITCH})
    if name in _ANALYSIS_SETTINGS or name.startswith(_ANALYSIS_PREFIXES):
        return frozenset({Hazard.ANALYSIS_SETTING})
    return frozenset() if value is None or _is_fine(name, value.lower()) else frozenset({Hazard.ANALYSIS_SETTING})


def _is_fine(name: str, value: str) -> bool:
    if name == "standard_conforming_strings":
        return value in _ON
    if name == "client_encoding":
        return "".join(sign for sign in value if sign.isalnum()) in _UTF8
    if name == "client_min_messages":
        return value in _QUIET_LEVELS
    return True


def _change(name: str, value: str | None, is_local: bool) -> SettingChange:
    return SettingChange(name, value if name in _KEPT_VALUES else None, is_local)


def _constant(node: Any) -> str | None:
    """The text of a constant, casts aside; None for anything else, NULL too."""
    while type(node) is dict and "TypeCast" in node:
        type_name = node["TypeCast"]["typeName"]
        if "typmods" in type_name or type_name["names"][-1]["String"]["sval"] not in _KEEPING_TYPES:
            return None
        node = node["TypeCast"]["arg"]
    if type(node) is not dict or "A_Const" not in node:
        return None
    constant = node["A_Const"]
    if "sval" in constant:
        return str(constant["sval"].get("sval", ""))
    if "ival" in constant:
        return str(constant["ival"].get("ival", 0))
    if "fval" in constant:
        return str(constant["fval"].get("fval", "0"))
    if "boolval" in constant:
        return "true" if constant["boolval"].get("boolval", False) else "false"
    return None
