# The CSV format of COPY: fields quoted where they need it.


cdef class CsvCopyMasker(CopyLines):
    """Masks the rows of a COPY in CSV format. `quoted` says of each column whether its values are always quoted."""

    cdef unsigned char quote
    cdef unsigned char escape
    cdef tuple quoted

    def __cinit__(self, cells, *, bytes quote, bytes escape, quoted=(), **named):
        if len(quote) != 1 or len(escape) != 1:
            raise ValueError("a quote and an escape are one byte each")
        self.quote = quote[0]
        self.escape = escape[0]
        self.quoted = tuple([bool(each) for each in quoted]) or (False,) * self.count
        if len(self.quoted) != self.count:
            raise ValueError("each column is always quoted or not")

    cdef const unsigned char* field_end(self, const unsigned char* p, const unsigned char* end) except NULL:
        while p < end:
            if self.state == STARTING:
                self.state = PLAIN
                if p[0] == self.quote:
                    self.state = QUOTED
                    p += 1
            elif self.state == PLAIN:
                p = find_sign(p, end, self.delimiter, NEWLINE, self.quote)
                if p < end and p[0] == self.quote:
                    raise RowViolation("a field of a COPY has a quote in the middle")
                return p
            elif self.state == QUOTED:
                p = find_sign(p, end, self.quote, self.escape, self.quote)
                if p < end:
                    self.state = CLOSED if p[0] == self.quote else ESCAPED
                    p += 1
            elif self.state == ESCAPED:
                if p[0] != self.quote and p[0] != self.escape:
                    raise RowViolation("a field of a COPY has an escape that the server doesn't write")
                self.has_escapes = True
                self.state = QUOTED
                p += 1
            elif p[0] == self.quote and self.escape == self.quote:
                self.has_escapes = True
                self.state = QUOTED
                p += 1
            elif p[0] == self.delimiter or p[0] == NEWLINE:
                return p
            else:
                raise RowViolation("a field of a COPY goes on behind its quotes")
        return p

    cdef int mask_field(self, const unsigned char* v, Py_ssize_t n) except -1:
        cdef bint is_quoted = self.state == CLOSED
        if n == 0 or (is_quoted and n == 2) or (not is_quoted and n == self.null_size and memcmp(v, self.null, n) == 0):
            self.put(v, n)
            return 0
        if is_quoted:
            v += 1
            n -= 2
            if self.has_escapes:
                n = self.unescape(v, n)
                v = self.plain
        return self.mask_plain(v, n)

    cdef Py_ssize_t unescape(self, const unsigned char* v, Py_ssize_t n) except -1:
        cdef const unsigned char* end = v + n
        cdef unsigned char* o = grown(&self.plain, &self.plain_size, n)
        while v < end:
            # A quote or an escape stands behind each escape: `field_end` has seen to it.
            v += v[0] == self.escape
            o[0] = v[0]
            o += 1
            v += 1
        return o - self.plain

    cdef bint needs_quotes(self, const unsigned char* v, Py_ssize_t n):
        cdef Py_ssize_t i
        if self.quoted[self.index] or (n == self.null_size and memcmp(v, self.null, n) == 0):
            return True
        if self.count == 1 and n == 2 and memcmp(v, b"\\.", 2) == 0:
            return True
        for i in range(n):
            if v[i] == self.delimiter or v[i] == self.quote or v[i] == NEWLINE or v[i] == 13:
                return True
        return False

    cdef int write_value(self, Py_ssize_t n) except -1:
        cdef unsigned char* o = self.out + self.out_used
        cdef unsigned char* v
        cdef Py_ssize_t i, w = 1
        if not self.needs_quotes(o, n):
            self.out_used += n
            return 0
        v = grown(&self.plain, &self.plain_size, n)
        memcpy(v, o, n)
        self.reserve(2 * n + 2)
        o = self.out + self.out_used
        o[0] = self.quote
        for i in range(n):
            if v[i] == self.quote or v[i] == self.escape:
                o[w] = self.escape
                w += 1
            o[w] = v[i]
            w += 1
        o[w] = self.quote
        self.out_used += w + 1
        return 0
