"""Secrets in memory: a value that never shows itself in a repr, a log line or an error."""

from __future__ import annotations


class Secret:
    """A password, token or key as bytes; `reveal` is the only way to read it."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The secret itself; don't keep it, don't put it into a text."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)
