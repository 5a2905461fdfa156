# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The copy kernel: CopyData messages of a COPY … TO STDOUT in, the same rows masked out, as the server itself would have written them.

Where the server's messages begin and end says nothing of rows. Each row goes out as one message, once all of it is here and masked. A row
of more than `row_buffered_bytes_max` goes out in pieces, since no form of COPY says how long a row is going to be: its masked cells are
still kept whole, each up to that size, and one that is larger becomes its constant or NULL.

Spec: PostgreSQL 18, Frontend/Backend Protocol, COPY Operations; COPY, File Formats.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset, strlen

from querywarden.postgresql.row_errors import RowViolation

include "keyed_text.pxi"
include "row_cells.pxi"
include "shown_masks.pxi"
include "row_output.pxi"
include "copy_output.pxi"
include "copy_lines.pxi"
include "copy_text.pxi"
include "copy_csv.pxi"
include "copy_binary.pxi"
