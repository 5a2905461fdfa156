# What the forms of COPY have in common: the server's messages taken apart, the client's put together, cells kept until they are whole.

cdef enum:
    COPY_DATA = 100
    MESSAGE_HEAD = 5
    SLACK = 64


cdef unsigned char* grown(unsigned char** buffer, Py_ssize_t* size, Py_ssize_t wanted) except NULL:
    """A buffer of at least this size; what is in it stays."""
    cdef unsigned char* moved
    if wanted > size[0] or buffer[0] == NULL:
        wanted = max(wanted, 2 * size[0], SLACK)
        moved = <unsigned char*>realloc(buffer[0], wanted)
        if moved == NULL:
            raise MemoryError
        buffer[0] = moved
        size[0] = wanted
    return buffer[0]


cdef class CopyMasker(RowOutput):
    """Masks a stream of CopyData messages that belong to one COPY. `begun` counts the rows of which something has gone out.

    Raises: RowViolation when a row doesn't have the plan's number of fields or isn't as the server writes rows.
    """

    cdef readonly Py_ssize_t begun
    cdef bint is_broken
    cdef bint in_header
    cdef Py_ssize_t buffered_max
    cdef const unsigned char* readable
    # The server's message.
    cdef Py_ssize_t message_left
    cdef int head_used
    cdef unsigned char head[5]
    # The client's: where in the output the open one begins (-1: none is open), and how much of the output is whole messages.
    cdef Py_ssize_t message_at
    cdef Py_ssize_t done
    # The row, and the masked cell that is not whole yet.
    cdef bint in_row
    cdef bint is_split
    cdef int index
    cdef bint is_dropped
    cdef unsigned char* kept
    cdef Py_ssize_t kept_size
    cdef Py_ssize_t kept_used

    def __cinit__(self, cells, *arguments, Py_ssize_t row_buffered_bytes_max=1 << 20, **named):
        if self.count == 0:
            raise ValueError("a COPY without columns has nothing to be masked")
        self.buffered_max = max(row_buffered_bytes_max, 16)
        self.message_at = -1

    def __dealloc__(self):
        free(self.kept)

    @property
    def is_mid_row(self):
        """Whether a message of the server's has begun and not ended."""
        return self.message_left > 0 or self.head_used > 0

    @property
    def is_continuing(self):
        """Whether the next message goes on with a row of which something has gone out, or is the line with the names."""
        return self.in_header or self.is_split

    def feed(self, data, Py_ssize_t start, Py_ssize_t end):
        """Mask the run of CopyData messages at the start of data[start:end].

        Returns: whole messages, and the position of the first byte that belongs to another message, or `end`.
        """
        cdef Py_buffer view
        cdef const unsigned char* base
        cdef const unsigned char* p
        if self.is_broken:
            raise RowViolation("CopyData after a violation")
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if start < 0 or end > view.len or start > end:
                raise ValueError("the run is outside the data")
            base = <const unsigned char*>view.buf
            self.readable = base + end
            if self.out == NULL:
                self.take_spare()
            try:
                p = self.run(base + start, base + end)
                if p == base + start and start < end:
                    raise RowViolation("a COPY goes on with something else than CopyData")
                return self.take_done(), p - base
            except BaseException:
                self.is_broken = True
                self.out_used = 0
                raise
            finally:
                settle(&self.memory)
                if self.out_used == 0:
                    self.give_spare()
        finally:
            PyBuffer_Release(&view)

    def end(self):
        """The server says that the COPY is done. Raises: RowViolation when it is in the middle of something."""
        if self.is_broken or self.is_mid_row or self.in_row or self.in_header or not self.is_complete():
            self.is_broken = True
            raise RowViolation("a COPY ends in the middle of a row")

    cdef bint is_complete(self) noexcept:
        return True

    cdef const unsigned char* run(self, const unsigned char* p, const unsigned char* end) except NULL:
        cdef Py_ssize_t n
        while p < end:
            if self.message_left:
                n = min(self.message_left, end - p)
                if self.in_row and self.message_at < 0:
                    self.open_message()
                self.take(p, p + n)
                self.message_left -= n
                p += n
                continue
            if self.head_used == 0 and p[0] != COPY_DATA:
                return p
            n = min(MESSAGE_HEAD - self.head_used, end - p)
            memcpy(&self.head[self.head_used], p, n)
            self.head_used += n
            p += n
            if self.head_used == MESSAGE_HEAD:
                self.head_used = 0
                self.message_left = get_length(&self.head[1]) - 4
                if self.message_left < 0:
                    raise RowViolation("CopyData is too short")
        return p

    cdef int take(self, const unsigned char* p, const unsigned char* end) except -1:
        """Mask bytes of rows, wherever they begin and end."""
        raise NotImplementedError

    # The client's messages

    cdef int open_message(self) except -1:
        self.reserve(MESSAGE_HEAD + SLACK)
        self.message_at = self.out_used
        self.out_used += MESSAGE_HEAD
        return 0

    cdef void close_message(self) noexcept:
        self.out[self.message_at] = COPY_DATA
        put_length(self.out + self.message_at + 1, self.out_used - self.message_at - 1)
        self.done = self.out_used
        self.message_at = -1

    cdef int begin_row(self) except -1:
        self.open_message()
        self.in_row = True
        self.index = 0
        return 0

    cdef void end_row(self) noexcept:
        self.close_message()
        if self.in_header:
            self.in_header = False
        else:
            self.rows += 1
            self.begun += not self.is_split
        self.in_row = self.is_split = False

    cdef bytes take_done(self):
        """The whole messages; what there is of a row stays in the output, unless it is too large to stay."""
        cdef bytes masked
        if self.message_at >= 0 and self.out_used - self.message_at > self.buffered_max:
            self.close_message()
            self.begun += not (self.is_split or self.in_header)
            self.is_split = True
        masked = (<char*>self.out)[: self.done]
        self.out_used -= self.done
        memmove(self.out, self.out + self.done, self.out_used)
        if self.message_at >= 0:
            self.message_at -= self.done
        self.done = 0
        return masked

    cdef inline int put(self, const unsigned char* v, Py_ssize_t n) except -1:
        """Put bytes into the open message that are not the chunk's."""
        if self.out_used + n > self.out_size:
            self.reserve(n)
        memcpy(self.out + self.out_used, v, n)
        self.out_used += n
        return 0

    cdef inline int put_run(self, const unsigned char* v, Py_ssize_t n) except -1:
        """Put bytes of the chunk into the open message."""
        if self.out_used + n + SLACK > self.out_size:
            self.reserve(n + SLACK)
        copy_run(self.out + self.out_used, v, n, self.readable)
        self.out_used += n
        return 0

    # The masked cell that is not whole yet

    cdef int keep(self, const unsigned char* v, Py_ssize_t n) except -1:
        if self.is_dropped or self.kept_used + n > self.buffered_max:
            self.is_dropped = True
            return 0
        grown(&self.kept, &self.kept_size, self.kept_used + n)
        memcpy(self.kept + self.kept_used, v, n)
        self.kept_used += n
        return 0

    cdef void forget_kept(self) noexcept:
        self.kept_used = 0
        self.is_dropped = False
        if self.kept_size > 4096:
            free(self.kept)
            self.kept = NULL
            self.kept_size = 0

    cdef Py_ssize_t write_cell(self, const unsigned char* v, Py_ssize_t n, Py_ssize_t ahead) except -2:
        """Write the mask of the current cell so many bytes ahead of the output's end; -1 stands for NULL."""
        cdef Cell* cell = &self.cells[self.index]
        cdef Py_ssize_t w
        self.masked_cells += 1
        if self.is_dropped:
            # All that is known of the cell is that it is larger than what is kept.
            if cell.action != CONSTANT or cell.is_padded:
                return -1
            self.reserve(ahead + self.growth + SLACK)
            return write_constant(cell, self.out + self.out_used + ahead)
        if cell.action == CALLBACK:
            masked = self.callback(self.index, v, n)
            if masked is None:
                return -1
            w = len(<bytes>masked)
            self.reserve(ahead + w + SLACK)
            memcpy(self.out + self.out_used + ahead, PyBytes_AS_STRING(masked), w)
            return w
        self.reserve(ahead + 3 * n + self.growth + SLACK)
        return self.write(self.index, v, n, self.out + self.out_used + ahead)
