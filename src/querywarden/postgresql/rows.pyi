"""Types of the compiled row kernel."""

from collections.abc import Sequence

from querywarden.masking.write_back import MaskedValues
from querywarden.postgresql.cell_masks import CellMask

ACTIONS: dict[str, int]
FILLS: dict[str, int]

class RowMasker:
    """Masks a stream of DataRow messages that belong to one result."""

    rows: int
    masked_cells: int
    def __init__(
        self, cells: Sequence[CellMask | None], row_buffered_bytes_max: int = ..., *, memory: MaskedValues | None = ...
    ) -> None: ...
    @property
    def is_mid_row(self) -> bool: ...
    def feed(self, data: bytes | bytearray | memoryview, start: int, end: int) -> tuple[bytes, int]: ...

def mask_value(cell: CellMask, value: bytes, remembered: MaskedValues | None = ...) -> bytes | None: ...
def hashed_mask(key: bytes, value: bytes) -> int: ...
def relay_rows(data: bytes | bytearray | memoryview, start: int, end: int) -> tuple[int, int, int]: ...
