"""List PostgreSQL's built-in functions, harmless ones and others, and its system relations, from real servers.

Run it with the DSNs of servers of every supported version; it writes the three data files of the analysis:

    python tools/list_harmless_functions.py src/querywarden/postgresql/analysis "host=/tmp/a" "host=/tmp/b" …

A name is harmless when each function of that name, on each server, is IMMUTABLE or STABLE and not an exception below, or is
in the list of harmless VOLATILE names. Everything else that `pg_catalog` has goes to the other list.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg

_HARMLESS_VOLATILE_TEXT = """
random random_normal setseed clock_timestamp timeofday gen_random_uuid uuidv4 uuidv7 array_sample array_shuffle
nextval currval lastval pg_sequence_last_value pg_get_sequence_data
pg_database_size pg_indexes_size pg_relation_size pg_table_size pg_tablespace_size pg_total_relation_size
txid_status pg_xact_status pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_last_committed_xact
pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared pg_advisory_xact_lock
pg_advisory_xact_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock
pg_try_advisory_xact_lock_shared
pg_is_in_recovery pg_is_wal_replay_paused pg_get_wal_replay_pause_state pg_current_wal_lsn pg_current_wal_insert_lsn
pg_current_wal_flush_lsn pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp
pg_blocking_pids pg_safe_snapshot_blocking_pids pg_isolation_test_session_is_blocked pg_lock_status pg_notification_queue_usage
pg_partition_tree pg_partition_ancestors pg_collation_actual_version pg_database_collation_actual_version pg_jit_available
pg_prepared_xact pg_stat_clear_snapshot amvalidate bernoulli system current_query suppress_redundant_updates_trigger
tsvector_update_trigger tsvector_update_trigger_column
"""
HARMLESS_VOLATILE = frozenset(_HARMLESS_VOLATILE_TEXT.split())
"""Advisory locks are here because migration tools need them; they hold what they are given where other sessions can see it."""

HARMLESS_VOLATILE_PREFIXES = ("pg_stat_get_",)

_EXCEPTIONS_TEXT = """
pg_stat_get_activity pg_stat_get_backend_activity pg_prepared_statement pg_cursor pg_config
table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema
database_to_xml database_to_xmlschema database_to_xml_and_xmlschema
"""
EXCEPTIONS = frozenset(_EXCEPTIONS_TEXT.split())
"""IMMUTABLE or STABLE, and yet they show other sessions' statements, or run what they are given."""


def functions_of(dsn: str) -> list[tuple[str, str]]:
    """The names and volatilities of a server's own functions; those that only the server can call are left out."""
    with psycopg.connect(dsn) as server:
        return server.execute(
            "SELECT DISTINCT proname, provolatile::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
        ).fetchall()


def relations_of(dsn: str) -> list[str]:
    """The names of a server's own relations."""
    with psycopg.connect(dsn) as server:
        rows = server.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')"
        ).fetchall()
    return [name for (name,) in rows]


def is_harmless(name: str, volatilities: set[str]) -> bool:
    """Whether a name with these volatilities belongs in the list of harmless ones."""
    if name in EXCEPTIONS:
        return False
    if "v" not in volatilities:
        return True
    return name in HARMLESS_VOLATILE or name.startswith(HARMLESS_VOLATILE_PREFIXES)


def write(path: Path, title: str, names: list[str]) -> None:
    """Write one data file, a name per line below a title."""
    path.write_text(f"# {title}\n# Made by tools/list_harmless_functions.py; don't edit.\n" + "\n".join(sorted(names)) + "\n")
    sys.stdout.write(f"{path}: {len(names)} names\n")


def main(folder: str, *dsns: str) -> None:
    """Write the three data files from the servers of the DSNs."""
    volatilities: dict[str, set[str]] = {}
    relations: set[str] = set()
    for dsn in dsns:
        for name, volatility in functions_of(dsn):
            volatilities.setdefault(name, set()).add(volatility)
        relations.update(relations_of(dsn))
    harmless = [name for name, found in volatilities.items() if is_harmless(name, found)]
    others = [name for name in volatilities if name not in set(harmless)]
    write(Path(folder) / "harmless_functions.txt", "Built-in functions that any statement may call.", harmless)
    write(Path(folder) / "other_functions.txt", "Built-in functions that are not on the list of harmless ones.", others)
    write(Path(folder) / "system_relations.txt", "Relations of pg_catalog.", sorted(relations))


if __name__ == "__main__":
    main(*sys.argv[1:])
