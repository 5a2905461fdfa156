# The binary format of COPY: a header, rows of fields with their lengths, a trailer.

cdef enum Stage:
    SIGNATURE = 0
    COUNT = 1
    LENGTH = 2
    CELL = 3
    ENDED = 4

cdef enum:
    SIGNATURE_SIZE = 19

# The signature, no flags, no extension: all that any server has ever written.
cdef const char* BINARY_HEADER = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"


cdef class BinaryCopyMasker(CopyMasker):
    """Masks the rows of a COPY in binary format."""

    cdef int stage
    cdef bint owes_header
    cdef Py_ssize_t cell_left
    cdef int part_used
    cdef unsigned char part[19]

    cdef bint is_complete(self) noexcept:
        return self.stage == ENDED

    cdef int take(self, const unsigned char* p, const unsigned char* end) except -1:
        cdef Py_ssize_t n
        cdef int wanted
        while p < end:
            if self.stage == CELL:
                n = min(self.cell_left, end - p)
                self.cell_left -= n
                self.take_cell(p, n)
                p += n
                continue
            if self.stage == ENDED:
                raise RowViolation("a COPY goes on behind its trailer")
            wanted = 2 if self.stage == COUNT else 4 if self.stage == LENGTH else SIGNATURE_SIZE
            if self.part_used == 0 and end - p >= wanted:
                self.take_part(p)
                p += wanted
                continue
            n = min(wanted - self.part_used, end - p)
            memcpy(&self.part[self.part_used], p, n)
            self.part_used += n
            p += n
            if self.part_used == wanted:
                self.part_used = 0
                self.take_part(self.part)
        return 0

    cdef int take_part(self, const unsigned char* v) except -1:
        cdef Py_ssize_t n
        if self.stage == LENGTH:
            n = get_length(v)
            if n < -1:
                raise RowViolation("a field of a COPY has a length that does not fit")
            if n <= 0 or self.cells[self.index].action == CLEAR:
                self.put(v, 4)
            self.cell_left = n
            self.stage = CELL
            if n <= 0:
                self.end_cell()
        elif self.stage == COUNT:
            n = (<int>v[0] << 8) | v[1]
            if n != self.count and n != 0xFFFF:
                raise RowViolation("a row of a COPY has another number of fields than its plan")
            self.begin_row()
            if self.owes_header:
                # With the first row, or with the trailer, as the server sends it.
                self.put(<const unsigned char*>BINARY_HEADER, SIGNATURE_SIZE)
                self.owes_header = False
            self.put(v, 2)
            self.stage = LENGTH
            if n != self.count:
                self.close_message()
                self.in_row = False
                self.stage = ENDED
        else:
            if memcmp(v, BINARY_HEADER, SIGNATURE_SIZE) != 0:
                raise RowViolation("a COPY has a binary header that is not known")
            self.owes_header = True
            self.stage = COUNT
        return 0

    cdef int take_cell(self, const unsigned char* p, Py_ssize_t n) except -1:
        """Take bytes of a cell, which are its last ones when nothing of it is left."""
        if self.cells[self.index].action == CLEAR:
            self.put_run(p, n)
        elif self.cell_left or self.kept_used or self.is_dropped or n > self.buffered_max:
            self.keep(p, n)
            if self.cell_left == 0:
                self.mask_cell(self.kept, self.kept_used)
                self.forget_kept()
        else:
            self.mask_cell(p, n)
        if self.cell_left == 0:
            self.end_cell()
        return 0

    cdef int mask_cell(self, const unsigned char* v, Py_ssize_t n) except -1:
        cdef Py_ssize_t w = self.write_cell(v, n, 4)
        self.reserve(4)
        put_length(self.out + self.out_used, w)
        self.out_used += 4 if w < 0 else 4 + w
        return 0

    cdef void end_cell(self) noexcept:
        self.index += 1
        self.stage = LENGTH
        if self.index == self.count:
            self.end_row()
            self.stage = COUNT
