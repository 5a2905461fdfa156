"""Classes of the server's own relations: those whose columns show other sessions' texts, samples of data, or secrets.

Every other relation of pg_catalog and information_schema is unclassified, so that `\\d` and an ORM's introspection see it as it is.
"""

from __future__ import annotations

from querywarden.model.catalogue import Classification, DataClass

SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema"})

_STATISTICS = (
    "most_common_vals", "histogram_bounds", "most_common_elems", "range_length_histogram", "range_bounds_histogram",
)  # fmt: skip

_COLUMNS: dict[str, tuple[DataClass, tuple[str, ...]]] = {
    "pg_stats": (DataClass.OPAQUE, _STATISTICS),
    "pg_stats_ext": (DataClass.OPAQUE, _STATISTICS),
    "pg_stats_ext_exprs": (DataClass.OPAQUE, _STATISTICS),
    "pg_statistic": (DataClass.OPAQUE, ("stavalues1", "stavalues2", "stavalues3", "stavalues4", "stavalues5")),
    "pg_statistic_ext_data": (DataClass.OPAQUE, ("stxdmcv", "stxdexpr")),
    "pg_largeobject": (DataClass.OPAQUE, ("data",)),
    "pg_stat_activity": (DataClass.OPAQUE, ("query",)),
    "pg_prepared_statements": (DataClass.OPAQUE, ("statement",)),
    "pg_cursors": (DataClass.OPAQUE, ("statement",)),
    "pg_authid": (DataClass.PASSWORD_HASH, ("rolpassword",)),
    "pg_shadow": (DataClass.PASSWORD_HASH, ("passwd",)),
    "pg_user_mapping": (DataClass.SECRET, ("umoptions",)),
    "pg_user_mappings": (DataClass.SECRET, ("umoptions",)),
    "user_mapping_options": (DataClass.SECRET, ("option_value",)),
    "_pg_user_mappings": (DataClass.SECRET, ("umoptions",)),
    "pg_subscription": (DataClass.SECRET, ("subconninfo",)),
    "pg_stat_wal_receiver": (DataClass.SECRET, ("conninfo",)),
}

_OF_EXTENSIONS = frozenset({"pg_stat_statements"})
"""Relations of well-known extensions that show statements, in whatever schema they were put."""


def built_in_class(schema: str, relation: str, column: str) -> Classification | None:
    """The class that a column of the server's own, or of a well-known extension's, has; None where it has none."""
    if relation in _OF_EXTENSIONS and column == "query":
        return Classification(DataClass.OPAQUE, "built_in", "shows statements of other sessions")
    if schema not in SYSTEM_SCHEMAS:
        return None
    found = _COLUMNS.get(relation)
    if found is None or column not in found[1]:
        return None
    return Classification(found[0], "built_in", "a column of the server that shows data or secrets")
