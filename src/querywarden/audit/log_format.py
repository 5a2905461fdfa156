"""The definitions of the log's format: all that the writer and the verifier have in common."""

from __future__ import annotations

from typing import Final

FORMAT_VERSION: Final = 1
FIRST_PREV: Final = "0" * 64
"""The `prev` of the first record of a log."""
NONCE_BYTES: Final = 16
LINE_BYTES_MAX: Final = 65_535
"""A line without its LF: the 16-bit length of an entry in a C2SP entry bundle."""
INTEGER_MAX: Final = 2**53 - 1
"""The largest integer that every JSON reader understands alike."""
LEAF_PREFIX: Final = b"\x00"
"""What stands before a line when it is hashed (RFC 6962, "Merkle Hash Trees")."""

IDENTITY_FILE: Final = "log.json"
SEGMENT_DIRECTORY: Final = "seg"
QUARANTINE_DIRECTORY: Final = "quarantine"
LOCK_FILE: Final = "LOCK"
COMMITMENT_KEY_FILE: Final = "commitment.key"

GENESIS: Final = "log.genesis"
ROTATE: Final = "log.rotate"
CLOSE: Final = "log.close"
DECIDED: Final = "db.query.decided"
COMPLETED: Final = "db.query.completed"


def segment_name(first_seq: int) -> str:
    """The name of the segment whose first record has this number."""
    return f"{first_seq:020d}.jsonl"
