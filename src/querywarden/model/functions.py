"""Functions of the server's that policy and analysis both know by name."""

from __future__ import annotations

LARGE_OBJECT_READS = frozenset({"lo_get", "loread", "lo_open", "lo_close", "lo_lseek", "lo_lseek64", "lo_tell", "lo_tell64"})
"""Functions of large objects that change nothing."""

LARGE_OBJECT = LARGE_OBJECT_READS | frozenset(
    {"lo_creat", "lo_create", "lowrite", "lo_unlink", "lo_put", "lo_from_bytea", "lo_truncate", "lo_truncate64"}
)
"""Functions of large objects: neither harmless nor a hazard; rules name them."""
