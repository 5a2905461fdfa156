# The forms of COPY that are lines of fields: text and CSV.

cdef extern from *:
    int __builtin_ctzll(unsigned long long x) nogil

cdef enum State:
    STARTING = 0
    PLAIN = 1
    QUOTED = 2
    ESCAPED = 3
    CLOSED = 4

cdef enum:
    NEWLINE = 10
    BACKSLASH = 92

cdef uint64_t ONES = <uint64_t>0x0101010101010101
cdef uint64_t HIGHS = <uint64_t>0x8080808080808080


cdef inline const unsigned char* find_sign(
    const unsigned char* p, const unsigned char* end, unsigned char a, unsigned char b, unsigned char c
) noexcept nogil:
    """The first of three signs, or the end."""
    cdef uint64_t word, x, y, z, found
    cdef uint64_t all_a = ONES * a, all_b = ONES * b, all_c = ONES * c
    while end - p >= 8:
        # Eight bytes at once: a byte that is one of them becomes zero, and the lowest zero byte is found for certain.
        memcpy(&word, p, 8)
        x, y, z = word ^ all_a, word ^ all_b, word ^ all_c
        found = (((x - ONES) & ~x) | ((y - ONES) & ~y) | ((z - ONES) & ~z)) & HIGHS
        if found:
            return p + (__builtin_ctzll(found) >> 3)
        p += 8
    while p < end and p[0] != a and p[0] != b and p[0] != c:
        p += 1
    return p


cdef class CopyLines(CopyMasker):
    """Masks lines of fields."""

    cdef unsigned char delimiter
    cdef bytes null_text
    cdef const unsigned char* null
    cdef Py_ssize_t null_size
    cdef int state
    cdef bint has_escapes
    cdef unsigned char* plain
    cdef Py_ssize_t plain_size

    def __cinit__(self, cells, *, bytes delimiter, bytes null, bint has_header=False, **named):
        if len(delimiter) != 1:
            raise ValueError("a delimiter is one byte")
        self.delimiter = delimiter[0]
        self.null_text = null
        self.null = <const unsigned char*>PyBytes_AS_STRING(self.null_text)
        self.null_size = len(null)
        self.in_header = has_header

    def __dealloc__(self):
        free(self.plain)

    cdef int take(self, const unsigned char* p, const unsigned char* end) except -1:
        cdef const unsigned char* run = p
        cdef const unsigned char* q
        while p < end:
            if not self.in_row:
                self.begin_row()
            q = self.field_end(p, end)
            if self.cells[self.index].action != CLEAR and not self.in_header:
                self.put_run(run, p - run)
                run = q
                if q == end:
                    self.keep(p, q - p)
                    break
                self.end_masked(p, q - p)
            if q == end:
                break
            self.state = STARTING
            self.has_escapes = False
            p = q + 1
            if q[0] == NEWLINE:
                if self.index != self.count - 1:
                    raise RowViolation("a line of a COPY has fewer fields than its plan")
                self.put_run(run, p - run)
                self.end_row()
                run = p
                continue
            self.index += 1
            if self.index == self.count:
                raise RowViolation("a line of a COPY has more fields than its plan")
        self.put_run(run, end - run)
        return 0

    cdef int end_masked(self, const unsigned char* p, Py_ssize_t n) except -1:
        """The last bytes of a masked field are here; the others have been kept."""
        if self.kept_used == 0 and not self.is_dropped and n <= self.buffered_max:
            self.mask_field(p, n)
            return 0
        self.keep(p, n)
        if self.is_dropped:
            self.mask_plain(NULL, 0)
        else:
            self.mask_field(self.kept, self.kept_used)
        self.forget_kept()
        return 0

    cdef int mask_plain(self, const unsigned char* v, Py_ssize_t n) except -1:
        """Mask a value that is neither NULL nor empty, read already."""
        cdef Py_ssize_t w = self.write_cell(v, n, 0)
        if w < 0:
            self.put(self.null, self.null_size)
        else:
            self.write_value(w)
        return 0

    cdef const unsigned char* field_end(self, const unsigned char* p, const unsigned char* end) except NULL:
        """Where the field ends of which p is a part: its delimiter or newline, or the end of what is here."""
        raise NotImplementedError

    cdef int mask_field(self, const unsigned char* v, Py_ssize_t n) except -1:
        """Read the bytes of a whole field, and mask its value."""
        raise NotImplementedError

    cdef int write_value(self, Py_ssize_t n) except -1:
        """Write so many bytes, which stand behind the output's end, as a field is written."""
        raise NotImplementedError
