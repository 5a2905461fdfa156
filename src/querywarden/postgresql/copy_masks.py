"""Copy masks: what the copy kernel is told to do with the columns of a COPY … TO STDOUT."""

from __future__ import annotations

from collections.abc import Sequence

from querywarden.masking.key import MaskingKey
from querywarden.masking.plan import ColumnMask
from querywarden.model.data_flow import OutputFlow
from querywarden.model.facts import CopyFormat
from querywarden.postgresql.cell_masks import Memories, memory_for
from querywarden.postgresql.copy_rows import BinaryCopyMasker, CopyMasker, CsvCopyMasker, TextCopyMasker
from querywarden.postgresql.result import ROW_BUFFERED_BYTES_MAX
from querywarden.postgresql.value_masks import cell_mask


def copy_masker(
    form: CopyFormat,
    columns: Sequence[OutputFlow],
    masks: Sequence[ColumnMask | None],
    key: MaskingKey,
    row_buffered_bytes_max: int = ROW_BUFFERED_BYTES_MAX,
    remembered: Memories | None = None,
) -> CopyMasker | None:
    """The masker of a COPY whose rows have these columns, None when no column of it is masked.

    A COPY has no RowDescription: names and types are those that the server has settled for the query. `remembered` gives the memory that
    its masks go into.
    Raises: ValueError when the form can't be rewritten.
    """
    if len(masks) != len(columns):
        raise ValueError("a COPY needs one mask, or None, for each of its columns")
    if all(mask is None for mask in masks):
        return None
    if not form.is_rewritable:
        raise ValueError("the form of a COPY can't be rewritten")
    code = int(form.format == "binary")
    cells = tuple(
        None if mask is None else cell_mask(column.type_id, column.type_modifier, code, mask, key)
        for column, mask in zip(columns, masks, strict=True)
    )
    memory = memory_for(cells, remembered)
    if form.format == "binary":
        return BinaryCopyMasker(cells, row_buffered_bytes_max=row_buffered_bytes_max, memory=memory)
    if form.format == "text":
        return TextCopyMasker(
            cells,
            delimiter=form.delimiter,
            null=form.null,
            has_header=form.has_header,
            row_buffered_bytes_max=row_buffered_bytes_max,
            memory=memory,
        )
    return CsvCopyMasker(
        cells,
        delimiter=form.delimiter,
        null=form.null,
        quote=form.quote,
        escape=form.escape,
        quoted=[form.forces_all_quotes or column.name in form.force_quote for column in columns],
        has_header=form.has_header,
        row_buffered_bytes_max=row_buffered_bytes_max,
        memory=memory,
    )
