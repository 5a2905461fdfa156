"""Runs of rows: how many DataRow or CopyData messages follow each other in a chunk, and where a number of them ends."""

from __future__ import annotations

from querywarden.postgresql.framing import HEADER_BYTES, LENGTH_MAX, read_header

COPY_DATA = ord("d")
TRAILER_LENGTH = 6
"""The length of the CopyData that ends a COPY in binary. Rows of text may have it, too."""
_TRAILER = b"\xff\xff"


def copy_run(data: bytes | memoryview, start: int, end: int, length_max: int = LENGTH_MAX) -> tuple[int, int, int]:
    """The run of CopyData messages at the start of data[start:end], of which the last may have begun only.

    Returns: where it ends, its rows, and how many bytes of the last message are still to come. The trailer of the binary format is no
    row; a message that has its length is left out unless it is whole.
    """
    position, rows = start, 0
    while position + HEADER_BYTES <= end and data[position] == COPY_DATA:
        length = read_header(data, position, length_max)[1]
        if length == TRAILER_LENGTH:
            if position + 1 + length > end:
                break
            rows -= data[position + HEADER_BYTES : position + 1 + length] == _TRAILER
        rows += 1
        position += 1 + length
    return min(position, end), rows, max(0, position - end)


def end_of_rows(data: bytes | memoryview, start: int, end: int, rows: int) -> int:
    """Where the first `rows` messages of the run data[start:end] end; `end` where it has no more than these."""
    position = start
    while rows > 0 and position < end:
        position += 1 + read_header(data, position)[1]
        rows -= 1
    return min(position, end)
