"""Types of the compiled copy kernel."""

from collections.abc import Sequence

from querywarden.masking.write_back import MaskedValues
from querywarden.postgresql.cell_masks import CellMask

class CopyMasker:
    """Masks a stream of CopyData messages that belong to one COPY."""

    rows: int
    begun: int
    masked_cells: int
    @property
    def is_mid_row(self) -> bool: ...
    @property
    def is_continuing(self) -> bool: ...
    def feed(self, data: bytes | bytearray | memoryview, start: int, end: int) -> tuple[bytes, int]: ...
    def end(self) -> None: ...

class TextCopyMasker(CopyMasker):
    """Masks the rows of a COPY in text format."""

    def __init__(
        self,
        cells: Sequence[CellMask | None],
        *,
        delimiter: bytes,
        null: bytes,
        has_header: bool = ...,
        row_buffered_bytes_max: int = ...,
        memory: MaskedValues | None = ...,
    ) -> None: ...

class CsvCopyMasker(CopyMasker):
    """Masks the rows of a COPY in CSV format."""

    def __init__(
        self,
        cells: Sequence[CellMask | None],
        *,
        delimiter: bytes,
        null: bytes,
        quote: bytes,
        escape: bytes,
        quoted: Sequence[bool] = ...,
        has_header: bool = ...,
        row_buffered_bytes_max: int = ...,
        memory: MaskedValues | None = ...,
    ) -> None: ...

class BinaryCopyMasker(CopyMasker):
    """Masks the rows of a COPY in binary format."""

    def __init__(
        self, cells: Sequence[CellMask | None], *, row_buffered_bytes_max: int = ..., memory: MaskedValues | None = ...
    ) -> None: ...
