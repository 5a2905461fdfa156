"""Permits: the only thing on which a statement goes to the server, and the closed list of what needs none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Housekeeping(StrEnum):
    """Bytes to the server that are not a statement; the list is closed."""

    LOGIN = "login"
    EMPTY = "empty"
    """An empty query string of our own, in place of a text that holds no statement."""
    COPY_DATA = "copy_data"
    """CopyData and CopyDone of a COPY that runs on a permit."""
    BIND = "bind"
    """Bind of a statement that was permitted when it was parsed; it runs nothing."""
    SYNC = "sync"
    FLUSH = "flush"
    CLOSE = "close"
    COPY_FAIL = "copy_fail"
    TERMINATE = "terminate"
    REFUSAL = "refusal"
    """The message that the server rejects in place of a refused one."""
    ESTIMATE = "estimate"
    """EXPLAIN of a statement that is not decided yet, in a read-only savepoint or transaction of our own; it plans and runs nothing."""
    DESCRIBE = "describe"
    """Asking what a statement or portal returns; it runs nothing."""


@dataclass(frozen=True, slots=True)
class Permit:
    """The gate's word that a statement was decided and its record is safe; `audit_id` names the record. Single use."""

    audit_id: str


Basis = Permit | Housekeeping
