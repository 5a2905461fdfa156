# The streaming of a row too large to be kept.

cdef enum Mode:
    COPYING = 0
    SKIPPING = 1
    FILLING = 2


cdef bint is_settled(Cell* cell, const unsigned char* v, Py_ssize_t n) noexcept:
    """Whether the mask of a cell is known though only its first `n` bytes are here."""
    if cell.action == TO_NULL:
        return True
    if cell.action == CONSTANT:
        return not cell.is_padded
    return cell.action == JSON and n > cell.constant_size and v[cell.constant_size] > 32


cdef class RowStream(RowOutput):
    """The state of a row that is streamed: how much of the message is still to come, the current cell, what is done with it."""

    cdef bint is_streaming
    cdef Py_ssize_t consumed
    cdef Py_ssize_t message_left
    cdef Py_ssize_t cell_left
    cdef Py_ssize_t cell_size
    cdef int cell_index
    cdef int mode
    cdef int head_used
    cdef unsigned char head[4]
    cdef int fill_width
    cdef int fill_place

    cdef int begin_stream(self, const unsigned char* kept, Py_ssize_t kept_used, Py_ssize_t total) except -1:
        """Mask what is complete in the kept part, settle the message's length, and go on in the streaming state."""
        cdef Py_ssize_t at = self.out_used, q = 7, n, w, emitted
        cdef int index = 0
        cdef Cell* cell
        if ((<int>kept[5] << 8) | kept[6]) != self.count:
            raise RowViolation("DataRow has another number of fields than its RowDescription")
        self.reserve(3 * kept_used + self.growth)
        self.out[at] = 68
        memcpy(self.out + at + 5, kept + 5, 2)
        self.out_used = at + 7
        self.cell_left = self.head_used = 0
        while index < self.count and kept_used - q >= 4:
            cell = &self.cells[index]
            n = get_length(kept + q)
            if n < -1 or n > total - q - 4:
                raise RowViolation("DataRow has a field length that does not fit")
            if n > kept_used - q - 4:
                if is_settled(cell, kept + q + 4, kept_used - q - 4):
                    w = self.write(index, kept + q + 4, kept_used - q - 4, self.out + self.out_used + 4)
                    self.put_cell(w)
                    q += 4
                    self.mode, self.cell_left, self.cell_size = SKIPPING, n, n
                break
            if n <= 0 or cell.action == CLEAR:
                w = 4 if n < 0 else 4 + n
                memcpy(self.out + self.out_used, kept + q, w)
                self.out_used += w
                q += w
            else:
                if cell.action == CALLBACK:
                    w = self.call(index, kept + q + 4, n, 3 * kept_used + self.growth)
                else:
                    w = self.write(index, kept + q + 4, n, self.out + self.out_used + 4)
                self.put_cell(w)
                q += 4 + n
            index += 1
        self.cell_index = index
        for n in range(index + 1 if self.cell_left else index, self.count):
            if self.cells[n].action != CLEAR and self.cells[n].fill == FILL_NONE:
                raise RowTooLarge((<char*>self.out)[:at], self.consumed, total - kept_used)
        self.message_left = total - q
        emitted = self.out_used - at + self.message_left - self.cell_left
        if emitted > INT32_MAX:
            raise RowTooLarge((<char*>self.out)[:at], self.consumed, total - kept_used)
        put_length(self.out + at + 1, emitted - 1)
        self.is_streaming = True
        self.end_if_complete()
        self.stream(kept + q, kept + kept_used)
        return 0

    cdef const unsigned char* stream(self, const unsigned char* p, const unsigned char* end) except NULL:
        """Relay, skip or fill what is here of the row; stops behind its last byte."""
        cdef Py_ssize_t n
        while p < end and self.is_streaming:
            if self.cell_left:
                n = min(self.cell_left, end - p)
                if self.mode != SKIPPING:
                    self.reserve(n)
                    if self.mode == COPYING:
                        memcpy(self.out + self.out_used, p, n)
                    else:
                        self.fill(p, n, self.out + self.out_used)
                    self.out_used += n
                p += n
                self.cell_left -= n
                self.message_left -= n
                if self.cell_left == 0:
                    self.cell_index += 1
                    self.end_if_complete()
                continue
            if self.head_used == 0 and self.message_left < 4:
                raise RowViolation("DataRow ends inside a field")
            n = min(4 - self.head_used, end - p)
            memcpy(&self.head[self.head_used], p, n)
            self.head_used += n
            self.message_left -= n
            p += n
            if self.head_used == 4:
                self.head_used = 0
                self.begin_cell(get_length(self.head))
        return p

    cdef int begin_cell(self, Py_ssize_t size) except -1:
        if size < -1 or size > self.message_left:
            raise RowViolation("DataRow has a field length that does not fit")
        self.reserve(4)
        put_length(self.out + self.out_used, size)
        self.out_used += 4
        if size <= 0:
            self.cell_index += 1
            self.end_if_complete()
            return 0
        self.cell_left = self.cell_size = size
        self.fill_width = self.fill_place = 0
        self.mode = COPYING
        if self.cells[self.cell_index].action != CLEAR:
            self.mode = FILLING
            self.masked_cells += 1
        return 0

    cdef int end_if_complete(self) except -1:
        if self.cell_index == self.count:
            if self.message_left:
                raise RowViolation("DataRow has bytes left over")
            self.is_streaming = False
            self.rows += 1
        return 0

    cdef void fill(self, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept:
        """As many bytes as there are, valid for the type of the cell; of the value, only the width of its characters stays."""
        cdef Cell* cell = &self.cells[self.cell_index]
        cdef Py_ssize_t place = self.cell_size - self.cell_left, size = self.cell_size, i
        cdef const unsigned char* wide
        if cell.fill == FILL_DIGITS:
            memset(o, 48, n)
        elif cell.fill == FILL_ZERO_BYTES:
            memset(o, 0, n)
        elif cell.fill == FILL_TEXT:
            for i in range(n):
                if is_continuation(v[i]) and 0 < self.fill_place < self.fill_width:
                    wide = b"\xc2\xb7" if self.fill_width == 2 else b"\xe2\x80\xa2" if self.fill_width == 3 else b"\xf0\x9f\x99\x88"
                    o[i] = wide[self.fill_place]
                    self.fill_place += 1
                elif v[i] >= 0xC0:
                    self.fill_width = 2 if v[i] < 0xE0 else 3 if v[i] < 0xF0 else 4
                    self.fill_place = 1
                    o[i] = 0xC2 if v[i] < 0xE0 else 0xE2 if v[i] < 0xF0 else 0xF0
                else:
                    self.fill_place = 0
                    o[i] = 42
        else:
            memset(o, 42, n)
            if cell.fill == FILL_JSONB:
                place -= 1
                size -= 1
            for i in range(n):
                if cell.fill == FILL_BYTEA_TEXT and size % 2 == 0:
                    o[i] = 92 if place + i == 0 else 120 if place + i == 1 else 50 if (place + i) % 2 == 0 else 97
                elif cell.fill == FILL_JSONB and place + i == -1:
                    o[i] = 1
                elif cell.fill == FILL_JSON or cell.fill == FILL_JSONB:
                    if size == 1:
                        o[i] = 48
                    elif place + i == 0 or place + i == size - 1:
                        o[i] = 34
