"""Data flows that are known: what a server has said of texts, shared by the sessions of a database.

An answer holds for one text (or texts that differ in literals that don't matter), declared parameter types, name space and catalogue, and
until some session changes the schema. It is pure memory: losing an entry costs a question.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from querywarden.model.data_flow import DataFlow
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.analysis.text_shape import shape_of

ENTRIES_MAX = 4096
"""Texts whose data flow is remembered for a database; the oldest is forgotten first."""
CHARACTERS_MAX = 8 * 1024 * 1024
"""Characters of all these texts together: what is kept of one takes up to some twenty bytes for each."""
_DIGESTED_BYTES = 1024
"""Longer shapes are told apart by their digest, and shapes of longer texts are made anew."""
REFUSED_SECONDS = 60.0
"""For how long a server isn't asked again that has said that its role may not silence the log."""

Key = tuple[str, str, bytes, tuple[int, ...]]
"""Name space, catalogue generation, shape of the text, declared parameter types."""


@dataclass(slots=True, eq=False)
class Known:
    """What is known of a text: its data flow, None where it isn't understood; with the facts that it was put together with last."""

    flow: DataFlow | None
    facts: StatementFacts
    flowing: StatementFacts
    characters: int = field(init=False)
    """How long its text is, without its literals."""

    def __post_init__(self) -> None:
        self.characters = len(self.facts.normalised)


class DataFlows:
    """The data flows of one database."""

    __slots__ = ("_characters", "_entries", "_shapes", "epoch", "refused_until")

    def __init__(self) -> None:
        self._entries: dict[Key, Known] = {}
        self._characters = 0
        self._shapes: dict[bytes, bytes] = {}
        self.epoch = 0
        """How often a session has changed the schema, or begun to."""
        self.refused_until = 0.0
        """When the server may be asked again, in seconds since the epoch."""

    def get(self, key: Key) -> Known | None:
        """What is known of a text."""
        return self._entries.get(key)

    def keep(self, key: Key, known: Known) -> None:
        """Remember what is known of a text."""
        self._forget(key)
        self._characters += known.characters
        while self._entries and (len(self._entries) >= ENTRIES_MAX or self._characters > CHARACTERS_MAX):
            self._forget(next(iter(self._entries)))
        self._entries[key] = known

    def _forget(self, key: Key) -> None:
        known = self._entries.pop(key, None)
        self._characters -= 0 if known is None else known.characters

    def text_key(self, text: bytes) -> bytes:
        """What stands for a text in a key: its shape, where it has one, or a digest of that."""
        found = self._shapes.get(text)
        if found is None:
            shape = shape_of(text) or text
            found = shape if len(shape) <= _DIGESTED_BYTES else hashlib.sha256(shape).digest()
            if len(text) <= _DIGESTED_BYTES:
                if len(self._shapes) >= ENTRIES_MAX:
                    self._shapes.clear()
                self._shapes[text] = found
        return found

    def schema_changes(self) -> None:
        """A session changes the schema now, or has just committed a change: what was known may not hold any more."""
        self.epoch += 1
        self._characters = 0
        self._entries.clear()
