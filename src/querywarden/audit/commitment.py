"""Salted commitments: a record binds a text or a parameter without showing it.

A commitment is `SHA-256(0x02 ‖ salt ‖ data)`; the salt of each record and label comes from a secret key that is kept beside the log,
never in it. Literals have little entropy (a postcode, a name), so a bare hash would be guessed; without the salt nothing can be tried.
Who holds the key can show the salt of one record, and thereby prove what was run, without opening any other. Deleting the key erases
the link between all commitments and their data for good, and the log still verifies.
"""

from __future__ import annotations

import hashlib

KEY_BYTES = 32
"""The length of a commitment key; that of the hash, so that it is no easier to guess than the hash is to invert."""

_SALT_DOMAIN = b"querywarden/commitment-salt/v1\x00"
_BLOCK_BYTES = 64
"""The block of SHA-256, to which HMAC pads its key."""
_COMMITMENT_PREFIX = b"\x02"
"""Keeps commitments apart from leaves (0x00) and nodes (0x01) of the tree."""


class Committer:
    """Makes the commitments of one log. Secrets: the key; `repr` doesn't show it."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a commitment key has {KEY_BYTES} bytes")
        # HMAC-SHA-256 (RFC 2104) with what doesn't change hashed beforehand: each statement needs it twice.
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + _SALT_DOMAIN)
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def __repr__(self) -> str:
        return "Committer(…)"

    @property
    def key_name(self) -> str:
        """A name for the key that doesn't show it: tells an auditor which key the commitments of a stretch of the log belong to."""
        return self.salt("", "key-name").hex()[:16]

    def salt(self, record_id: str, label: str) -> bytes:
        """The salt of one record's commitment, to be disclosed when that record's data is to be proved."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{record_id}\x00{label}".encode())
        outer.update(inner.digest())
        return outer.digest()

    def commit(self, record_id: str, label: str, data: bytes) -> str:
        """The commitment of a record to some data, as 64 hexadecimal digits.

        Args:
            record_id: the id of the record that will hold it; equal data gives unrelated commitments in different records.
            label: what the data is to the record (`statement`, `parameters`), so that one can't stand for the other.
        """
        return commitment(self.salt(record_id, label), data)


def commitment(salt: bytes, data: bytes) -> str:
    """The commitment to data under a disclosed salt: what an auditor recomputes."""
    return hashlib.sha256(_COMMITMENT_PREFIX + salt + data).hexdigest()
