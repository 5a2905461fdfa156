"""Cell masks: what the row kernel is told to do with a column, as plain arguments.

The numbers of `Action` and `Fill` are those of the enumerations in `rows.pyx`; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple

from querywarden.masking.write_back import MaskedValues


class Action(IntEnum):
    """What the kernel does with a cell that is neither NULL nor empty."""

    NULL = 1
    CONSTANT = 2
    TOKEN = 3
    """`u_`, ten keyed letters, then `constant`."""
    SHAPE = 4
    """Keyed digits and letters in place of digits and letters."""
    NAME = 5
    """Keyed syllables in place of words."""
    CARD = 6
    IBAN = 7
    INTEGER_TEXT = 8
    INTEGER_BINARY = 9
    NUMERIC_TEXT = 10
    UUID_TEXT = 11
    UUID_BINARY = 12
    HARDWARE_TEXT = 13
    HARDWARE_BINARY = 14
    NETWORK_TEXT = 15
    NETWORK_BINARY = 16
    YEAR_TEXT = 17
    DATE_BINARY = 18
    TIMESTAMP_BINARY = 19
    JSON = 20
    """`constant` is what stands in front of the document: nothing, or the version byte of binary jsonb."""
    CALLBACK = 21


class Fill(IntEnum):
    """What replaces a masked cell of a row too large to be buffered: as many bytes, valid for the type."""

    NONE = 0
    TEXT = 1
    """`*` for each character of one byte, a fixed character of as many bytes for each other one."""
    DIGITS = 2
    ZERO_BYTES = 3
    JSON = 4
    JSONB = 5
    BYTEA_TEXT = 6
    STARS = 7


_REMEMBERED = frozenset(
    {
        Action.SHAPE, Action.NAME, Action.IBAN, Action.INTEGER_TEXT, Action.INTEGER_BINARY, Action.NUMERIC_TEXT, Action.UUID_TEXT,
        Action.UUID_BINARY, Action.HARDWARE_TEXT, Action.HARDWARE_BINARY, Action.CALLBACK,
    }
)  # fmt: skip
"""What masks a value by one that looks like an ordinary value; a callback may."""

Memories = Callable[[], MaskedValues | None]
"""Gives a principal's memory of masks, which is made when it is asked for."""


class CellMask(NamedTuple):
    """The mask of one column. `key` has 16 bytes. `limit` is the longest result in characters, 0 for none.

    `is_padded`: results are filled up with blanks to `limit`. A value equal to `empty` is left as it is.
    """

    action: Action
    fill: Fill = Fill.NONE
    key: bytes = bytes(16)
    constant: bytes = b""
    empty: bytes = b""
    limit: int = 0
    is_padded: bool = False
    callback: Callable[[bytes], bytes | None] | None = None


def memory_for(cells: Sequence[CellMask | None], remembered: Memories | None) -> MaskedValues | None:
    """The memory that the masks of these cells go into; none is made where none of them is to be remembered."""
    if remembered is None or not any(cell is not None and cell.action in _REMEMBERED for cell in cells):
        return None
    return remembered()
