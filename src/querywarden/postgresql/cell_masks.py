"""Cell masks: what the row kernel is told to do with a column, as plain arguments.

The numbers of `Action` and `Fill` are those of the enumerations in `rows.pyx`; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple


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
