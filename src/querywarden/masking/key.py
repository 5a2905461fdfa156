"""The masking key: one per deployment; each class of data has a key derived from it."""

from __future__ import annotations

from hashlib import blake2b

KEY_BYTES = 32


class MaskingKey:
    """The 32 bytes that keyed masks depend on. Secrets: the key; its repr shows nothing."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a masking key has {KEY_BYTES} bytes")
        self._key = key

    def derive(self, domain: str) -> bytes:
        """The 16 byte key of a domain: the same value has unrelated masks in different domains."""
        return blake2b(domain.encode(), key=self._key, digest_size=16, person=b"querywarden mask").digest()

    def __repr__(self) -> str:
        return "MaskingKey(…)"
