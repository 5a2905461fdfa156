"""The masks that principals have been shown, remembered in this process for as long as there is room."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from querywarden.masking.write_back import MaskedValues
from querywarden.model.principal import Principal
from querywarden.postgresql.rows import hashed_mask

MEMORIES_MAX = 256
"""Memories of masks, each of 256 KiB, that are kept; beyond that the one goes that was used longest ago."""

_Owner = tuple[str, str, str]


class MaskedMemory:
    """The memories of a process: one for each principal and database, made when the first mask that is remembered is shown.

    Args: `key` has 16 bytes, drawn anew by each process. Secrets: the key.
    """

    def __init__(self, key: bytes, memories_max: int = MEMORIES_MAX) -> None:
        self._key = key
        self._max = memories_max
        self._memories: OrderedDict[_Owner, MaskedValues] = OrderedDict()

    def __len__(self) -> int:
        return len(self._memories)

    def of(self, database: str, principal: Principal, is_to_be_made: bool) -> MaskedValues | None:
        """The memory of a principal in a database, used last from now on; None where there is none, and none is to be made."""
        owner = (principal.issuer, principal.subject, database)
        found = self._memories.get(owner)
        if found is None:
            if not is_to_be_made:
                return None
            if len(self._memories) >= self._max:
                self._memories.popitem(last=False)
            found = self._memories[owner] = MaskedValues(partial(hashed_mask, self._key), key=self._key)
        self._memories.move_to_end(owner)
        return found
