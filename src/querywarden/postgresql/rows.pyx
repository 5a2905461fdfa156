# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The row kernel: a chunk of DataRow messages in, the same rows masked out.

A row that doesn't fit into the chunk is kept until it is complete. A row larger than `row_buffered_bytes_max` is not: once so many
bytes of it are here, what is masked in them is masked as usual, and every later masked cell is replaced by as many bytes valid
for its type, so that the message's length is known at its start. Where a type has no such replacement, RowTooLarge is raised
before any byte of the row is emitted.

Spec: PostgreSQL 18, Frontend/Backend Protocol, Message Formats, DataRow.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset, strlen

from querywarden.postgresql.row_errors import RowTooLarge, RowViolation

include "keyed_text.pxi"
include "row_cells.pxi"
include "shown_masks.pxi"
include "row_output.pxi"
include "row_stream.pxi"

ACTIONS = {
    "NULL": TO_NULL, "CONSTANT": CONSTANT, "TOKEN": TOKEN, "SHAPE": SHAPE, "NAME": NAME, "CARD": CARD, "IBAN": IBAN,
    "INTEGER_TEXT": INTEGER_TEXT, "INTEGER_BINARY": INTEGER_BINARY, "NUMERIC_TEXT": NUMERIC_TEXT, "UUID_TEXT": UUID_TEXT,
    "UUID_BINARY": UUID_BINARY, "HARDWARE_TEXT": HARDWARE_TEXT, "HARDWARE_BINARY": HARDWARE_BINARY, "NETWORK_TEXT": NETWORK_TEXT,
    "NETWORK_BINARY": NETWORK_BINARY, "YEAR_TEXT": YEAR_TEXT, "DATE_BINARY": DATE_BINARY, "TIMESTAMP_BINARY": TIMESTAMP_BINARY,
    "JSON": JSON, "CALLBACK": CALLBACK,
}
FILLS = {
    "NONE": FILL_NONE, "TEXT": FILL_TEXT, "DIGITS": FILL_DIGITS, "ZERO_BYTES": FILL_ZERO_BYTES, "JSON": FILL_JSON,
    "JSONB": FILL_JSONB, "BYTEA_TEXT": FILL_BYTEA_TEXT, "STARS": FILL_STARS,
}

cdef class RowMasker(RowStream):
    """Masks a stream of DataRow messages that belong to one result.

    Raises: RowViolation when a row doesn't have the result's number of fields or its lengths don't fit; RowTooLarge.
    """

    cdef bint is_broken
    cdef const unsigned char* base
    cdef Py_ssize_t buffered_max
    cdef unsigned char* kept
    cdef Py_ssize_t kept_size
    cdef Py_ssize_t kept_used

    def __cinit__(self, cells, Py_ssize_t row_buffered_bytes_max=1 << 20, *, memory=None):
        self.buffered_max = max(row_buffered_bytes_max, 16)

    def __dealloc__(self):
        free(self.kept)

    @property
    def is_mid_row(self):
        """Whether a row has begun and not ended."""
        return self.is_streaming or self.kept_used > 0

    def feed(self, data, Py_ssize_t start, Py_ssize_t end):
        """Mask the run of DataRow messages at the start of data[start:end].

        Returns: the masked bytes, and the position of the first byte that belongs to another message, or `end`.
        """
        cdef Py_buffer view
        cdef const unsigned char* base
        cdef const unsigned char* p
        if self.is_broken:
            raise RowViolation("DataRow after a violation")
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if start < 0 or end > view.len or start > end:
                raise ValueError("the run is outside the data")
            self.base = base = <const unsigned char*>view.buf
            self.take_spare()
            try:
                p = self.run(base + start, base + end)
                return (<char*>self.out)[: self.out_used], p - base
            except BaseException:
                self.is_broken = True
                raise
            finally:
                settle(&self.memory)
                self.give_spare()
        finally:
            PyBuffer_Release(&view)

    cdef const unsigned char* run(self, const unsigned char* p, const unsigned char* end) except NULL:
        cdef Py_ssize_t total, left
        while True:
            if self.is_streaming:
                p = self.stream(p, end)
            elif self.kept_used:
                p = self.complete(p, end)
            if p >= end or self.is_streaming or self.kept_used:
                if p >= end:
                    return p
                continue
            if p[0] != 68:
                return p
            left = end - p
            if left < 5:
                self.keep(p, left)
                return end
            total = get_length(p + 1) + 1
            if total < 7:
                raise RowViolation("DataRow is too short")
            if total <= left and total <= self.buffered_max:
                self.mask_row(p, total, end)
                p += total
            else:
                self.keep(p, 5)
                p += 5

    cdef int keep(self, const unsigned char* p, Py_ssize_t n) except -1:
        cdef Py_ssize_t size
        cdef unsigned char* moved
        if self.kept_used + n > self.kept_size:
            size = max(self.kept_used + n, min(2 * self.kept_size, self.buffered_max), 64)
            moved = <unsigned char*>realloc(self.kept, size)
            if moved == NULL:
                raise MemoryError
            self.kept = moved
            self.kept_size = size
        memcpy(self.kept + self.kept_used, p, n)
        self.kept_used += n
        return 0

    cdef void forget_kept(self) noexcept:
        self.kept_used = 0
        if self.kept_size > 4096:
            free(self.kept)
            self.kept = NULL
            self.kept_size = 0

    cdef const unsigned char* complete(self, const unsigned char* p, const unsigned char* end) except NULL:
        """Add to the kept part of a row; mask the row once it is whole or as large as rows may be kept."""
        cdef Py_ssize_t total, wanted, n
        if self.kept_used < 5:
            n = min(5 - self.kept_used, end - p)
            self.keep(p, n)
            p += n
            if self.kept_used < 5:
                return p
        total = get_length(self.kept + 1) + 1
        if total < 7:
            raise RowViolation("DataRow is too short")
        wanted = min(total, self.buffered_max)
        n = min(wanted - self.kept_used, end - p)
        self.keep(p, n)
        p += n
        if self.kept_used == wanted:
            if wanted == total:
                self.mask_row(self.kept, total, self.kept + total)
            else:
                self.consumed = p - self.base
                self.begin_stream(self.kept, self.kept_used, total)
            self.forget_kept()
        return p

    cdef int mask_row(self, const unsigned char* p, Py_ssize_t total, const unsigned char* readable) except -1:
        """Mask one whole row into the output; `readable` ends what may be read behind it."""
        cdef const unsigned char* end = p + total
        cdef const unsigned char* q = p + 7
        cdef const unsigned char* run = p + 5
        cdef unsigned char* o
        cdef unsigned char* begin
        cdef Py_ssize_t n, w, at = self.out_used
        cdef int index
        self.reserve(3 * total + self.growth)
        begin = o = self.out + at
        if ((<int>p[5] << 8) | p[6]) != self.count:
            raise RowViolation("DataRow has another number of fields than its RowDescription")
        o[0] = 68
        o += 5
        for index in range(self.count):
            if end - q < 4:
                raise RowViolation("DataRow ends inside a field")
            n = get_length(q)
            if n <= 0 or self.cells[index].action == CLEAR:
                if n < -1 or n > end - q - 4:
                    raise RowViolation("DataRow has a field length that does not fit")
                q += 4 if n < 0 else 4 + n
                continue
            if n > end - q - 4:
                raise RowViolation("DataRow has a field length that does not fit")
            copy_run(o, run, q - run, readable)
            o += q - run
            q += 4
            if self.cells[index].action == CALLBACK:
                self.out_used = o - self.out
                at = begin - self.out
                w = self.call(index, q, n, 3 * total + self.growth)
                begin = self.out + at
                o = self.out + self.out_used
            else:
                w = self.write(index, q, n, o + 4)
            put_length(o, w)
            o += 4 if w < 0 else 4 + w
            q += n
            run = q
            self.masked_cells += 1
        if q != end:
            raise RowViolation("DataRow has bytes left over")
        copy_run(o, run, q - run, readable)
        o += q - run
        put_length(begin + 1, o - begin - 1)
        self.out_used = o - self.out
        self.rows += 1
        return 0


def mask_value(mask, bytes value, remembered=None):
    """Mask one value outside a row, as the elements of arrays are; `remembered` is the MaskedValues that is to know it, if any."""
    cdef Cell cell
    cdef Memory memory
    cdef Py_ssize_t growth = set_cell(&cell, mask)
    cdef Py_ssize_t size = len(value)
    cdef unsigned char* o
    if size == 0:
        return value
    if cell.action == CALLBACK:
        return mask.callback(value) if remembered is None else mask.callback(value, remembered)
    o = <unsigned char*>malloc(3 * size + growth)
    if o == NULL:
        raise MemoryError
    try:
        open_memory(&memory, remembered)
        size = write_mask(&cell, <const unsigned char*>PyBytes_AS_STRING(value), size, o)
        remember(&memory, &cell, o, size)
        close_memory(&memory)
        return None if size < 0 else (<char*>o)[:size]
    finally:
        free(o)


def hashed_mask(bytes key, bytes value):
    """The 64 bits that a remembered mask is known by, under a key of 16 bytes; upper and lower case alike."""
    cdef uint64_t k0, k1
    if len(key) != 16 or len(value) < 8:
        raise ValueError("not the key, or not the text, of a remembered mask")
    memcpy(&k0, PyBytes_AS_STRING(key), 8)
    memcpy(&k1, PyBytes_AS_STRING(key) + 8, 8)
    return mask_hash(k0, k1, <const unsigned char*>PyBytes_AS_STRING(value), len(value))



def knows_any(remembered, list values):
    """Whether any of these bytes is a mask that a MaskedValues knows."""
    cdef Memory memory
    cdef uint32_t known[8]
    cdef bytes value
    cdef bint found = False
    open_memory(&memory, remembered)
    try:
        for value in values:
            if look_up(&memory, <const unsigned char*>PyBytes_AS_STRING(value), len(value)):
                found = is_known(&memory, known)
                memory.pending = NULL
                if found:
                    break
    finally:
        close_memory(&memory)
    return found


def relay_rows(data, Py_ssize_t start, Py_ssize_t end):
    """Skip the run of DataRow messages at the start of data[start:end].

    Returns: the position of the first byte that isn't part of a DataRow, the rows begun, and how many bytes of the last one are
    still to come. A DataRow's header of less than five bytes is not skipped.
    """
    cdef Py_buffer view
    cdef const unsigned char* p
    cdef Py_ssize_t position = start, rows = 0, total
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if start < 0 or end > view.len or start > end:
            raise ValueError("the run is outside the data")
        p = <const unsigned char*>view.buf
        while end - position >= 5 and p[position] == 68:
            total = get_length(p + position + 1) + 1
            if total < 7:
                raise RowViolation("DataRow is too short")
            rows += 1
            if total > end - position:
                return end, rows, total - (end - position)
            position += total
        return position, rows, 0
    finally:
        PyBuffer_Release(&view)
