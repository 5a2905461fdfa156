"""Functions of the server's that policy and analysis both know by name."""

from __future__ import annotations

LARGE_OBJECT_READS = frozenset({"lo_get", "loread", "lo_open", "lo_close", "lo_lseek", "lo_lseek64", "lo_tell", "lo_tell64"})
"""Functions of large objects that change nothing."""

LARGE_OBJECT = LARGE_OBJECT_READS | frozenset(
    {"lo_creat", "lo_create", "lowrite", "lo_unlink", "lo_put", "lo_from_bytea", "lo_truncate", "lo_truncate64"}
)
"""Functions of large objects: neither harmless nor a hazard; rules name them."""

_STORING = frozenset(
    {
        "set_config", "setval", "pg_notify", "pg_logical_emit_message", "lo_create", "lo_creat", "lo_from_bytea", "lo_put", "lowrite",
        "lo_import",
    }
)  # fmt: skip
_STORING_PREFIXES = ("pg_advisory_", "pg_try_advisory_")


def stores_argument(function: str) -> bool:
    """Whether a function keeps an argument where other statements read it unmasked: a setting, a sequence, a notification, a lock's id."""
    return function in _STORING or function.startswith(_STORING_PREFIXES)
