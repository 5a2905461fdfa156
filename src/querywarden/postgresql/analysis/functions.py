"""Functions: which of the server's own may be called by anybody, and what the others are a way to do."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from querywarden.model.facts import Hazard
from querywarden.model.functions import LARGE_OBJECT
from querywarden.model.resource import FunctionName


def _names(file: str) -> frozenset[str]:
    text = (files(__package__) / file).read_text(encoding="ascii")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


HARMLESS = _names("harmless_functions.txt")
OTHERS = _names("other_functions.txt")
SYSTEM_RELATIONS = _names("system_relations.txt")
TOTAL = _names("total_functions.txt")

AGGREGATES = frozenset(
    {
        "count", "sum", "avg", "min", "max", "array_agg", "string_agg", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg",
        "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor", "xmlagg", "stddev", "stddev_pop", "stddev_samp", "variance",
        "var_pop", "var_samp", "corr", "covar_pop", "covar_samp", "percentile_cont", "percentile_disc", "mode", "range_agg",
        "range_intersect_agg", "any_value", "regr_count", "regr_slope", "regr_intercept",
    }
)  # fmt: skip

MULTIPLYING = frozenset(
    {
        "generate_series", "generate_subscripts", "unnest", "regexp_matches", "regexp_split_to_table", "string_to_table", "aclexplode",
        "json_array_elements", "json_array_elements_text", "json_each", "json_each_text", "json_object_keys", "json_populate_recordset",
        "json_to_recordset", "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_each", "jsonb_each_text", "jsonb_object_keys",
        "jsonb_populate_recordset", "jsonb_to_recordset", "jsonb_path_query", "jsonb_path_query_tz", "ts_debug", "ts_parse",
        "ts_token_type", "ts_stat", "xmltable",
    }
)  # fmt: skip
"""Functions of the server's own that give rows."""

_FILE = frozenset({Hazard.FILE_ACCESS, Hazard.DANGEROUS_FUNCTION})
_NETWORK = frozenset({Hazard.NETWORK, Hazard.DANGEROUS_FUNCTION})
_DYNAMIC = frozenset({Hazard.DYNAMIC_SQL, Hazard.DANGEROUS_FUNCTION})
_ADMIN = frozenset({Hazard.SERVER_ADMIN, Hazard.DANGEROUS_FUNCTION})
_CODE = frozenset({Hazard.CODE_LOADING, Hazard.DANGEROUS_FUNCTION})
_DANGEROUS = frozenset({Hazard.DANGEROUS_FUNCTION})
_NONE: frozenset[Hazard] = frozenset()

_BUILT_IN_BY_PREFIX = (
    ("pg_read_", _FILE),
    ("pg_ls_", _FILE),
    ("pg_stat_file", _FILE),
    ("pg_file_", _FILE),
    ("pg_current_logfile", _FILE),
    ("pg_hba_file_rules", _FILE),
    ("pg_ident_file_mappings", _FILE),
    ("pg_show_all_file_settings", _FILE),
    ("lo_import", _FILE),
    ("lo_export", _FILE),
    ("query_to_xml", _DYNAMIC),
    ("cursor_to_xml", _DYNAMIC),
    ("table_to_xml", _DYNAMIC),
    ("schema_to_xml", _DYNAMIC),
    ("database_to_xml", _DYNAMIC),
    ("ts_stat", _DYNAMIC),
    ("ts_rewrite", _DYNAMIC),
    ("plpgsql_", _DYNAMIC),
    ("pg_terminate_backend", _ADMIN),
    ("pg_cancel_backend", _ADMIN),
    ("pg_reload_conf", _ADMIN),
    ("pg_rotate_logfile", _ADMIN),
    ("pg_promote", _ADMIN),
    ("pg_switch_wal", _ADMIN),
    ("pg_wal_replay_", _ADMIN),
    ("pg_create_", _ADMIN),
    ("pg_copy_", _ADMIN),
    ("pg_drop_", _ADMIN),
    ("pg_backup_", _ADMIN),
    ("pg_replication_", _ADMIN),
    ("pg_logical_", _ADMIN),
    ("pg_sync_", _ADMIN),
    ("pg_log_", _ADMIN),
    ("pg_stat_reset", _ADMIN),
    ("pg_clear_", _ADMIN),
    ("pg_restore_", _ADMIN),
    ("pg_import_", _ADMIN),
    ("pg_stop_", _ADMIN),
    ("binary_upgrade_", _ADMIN),
    ("pg_get_loaded_modules", _CODE),
)
"""What kind of hazard the functions that are not harmless are, by the beginning of their names."""

_EXTENSION_BY_PREFIX = (
    ("dblink", _NETWORK),
    ("postgres_fdw_", _NETWORK),
    ("http_get", _NETWORK),
    ("http_post", _NETWORK),
    ("http_put", _NETWORK),
    ("pg_file_", _FILE),
    ("get_raw_page", _FILE),
    ("pg_read_binary_file", _FILE),
    ("pg_read_file", _FILE),
    ("crosstab", _DYNAMIC),
    ("connectby", _DYNAMIC),
    ("xpath_table", _DYNAMIC),
    ("plpgsql_check", _DYNAMIC),
)
"""Functions of well-known extensions, which may stand in any schema."""


@lru_cache(maxsize=8192)
def hazards_of_function(schema: str | None, name: str, arguments: int) -> frozenset[Hazard]:
    """The hazards of calling a function; none for one that isn't the server's own, which the catalogue tells more about.

    `pg_catalog` always stands in the search path, so that an unqualified name may mean it.
    """
    for prefix, hazards in _EXTENSION_BY_PREFIX:
        if name.startswith(prefix):
            return hazards
    if schema not in (None, "pg_catalog") or name in LARGE_OBJECT or name == "set_config":
        return _NONE
    if name in HARMLESS or (name == "ts_rewrite" and arguments == 3):
        return _NONE
    if name in OTHERS or schema == "pg_catalog":
        return next((hazards for prefix, hazards in _BUILT_IN_BY_PREFIX if name.startswith(prefix)), _DANGEROUS)
    return _NONE


def is_built_in(name: FunctionName) -> bool:
    """Whether the server has a function of this name itself; one of the database's own may have the same name besides."""
    return name.schema in (None, "pg_catalog") and (name.name in HARMLESS or name.name in OTHERS or name.name in LARGE_OBJECT)
