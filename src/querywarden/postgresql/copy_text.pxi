# The text format of COPY: fields with backslash escapes.

cdef const char* ESCAPE_LETTERS = b"btnvfr"


cdef class TextCopyMasker(CopyLines):
    """Masks the rows of a COPY in text format."""

    cdef const unsigned char* field_end(self, const unsigned char* p, const unsigned char* end) except NULL:
        while p < end:
            if self.state == ESCAPED:
                if p[0] == NEWLINE:
                    raise RowViolation("a line of a COPY ends behind a backslash")
                self.state = STARTING
                p += 1
            p = find_sign(p, end, self.delimiter, NEWLINE, BACKSLASH)
            if p == end or p[0] != BACKSLASH:
                break
            self.has_escapes = True
            self.state = ESCAPED
            p += 1
        return p

    cdef int mask_field(self, const unsigned char* v, Py_ssize_t n) except -1:
        if n == 0 or (n == self.null_size and memcmp(v, self.null, n) == 0):
            self.put(v, n)
            return 0
        if self.has_escapes:
            n = self.unescape(v, n)
            v = self.plain
        return self.mask_plain(v, n)

    cdef Py_ssize_t unescape(self, const unsigned char* v, Py_ssize_t n) except -1:
        cdef const unsigned char* end = v + n
        cdef unsigned char* o = grown(&self.plain, &self.plain_size, n)
        cdef unsigned char c
        cdef int place
        while v < end:
            c = v[0]
            v += 1
            if c == BACKSLASH:
                # Something follows: else the sign behind the field would be part of it.
                c = v[0]
                v += 1
                for place in range(6):
                    if c == <unsigned char>ESCAPE_LETTERS[place]:
                        c = 8 + place
                        break
                else:
                    if c != BACKSLASH and c != self.delimiter:
                        raise RowViolation("a field of a COPY has an escape that the server doesn't write")
            o[0] = c
            o += 1
        return o - self.plain

    cdef inline bint is_escaped(self, unsigned char c) noexcept:
        return c == BACKSLASH or c == self.delimiter or 8 <= c <= 13

    cdef int write_value(self, Py_ssize_t n) except -1:
        cdef unsigned char* o = self.out + self.out_used
        cdef unsigned char* v
        cdef Py_ssize_t i, w = 0
        for i in range(n):
            if self.is_escaped(o[i]):
                break
        else:
            self.out_used += n
            return 0
        v = grown(&self.plain, &self.plain_size, n)
        memcpy(v, o, n)
        self.reserve(2 * n)
        o = self.out + self.out_used
        for i in range(n):
            if self.is_escaped(v[i]):
                o[w] = BACKSLASH
                w += 1
            o[w] = ESCAPE_LETTERS[v[i] - 8] if 8 <= v[i] <= 13 else v[i]
            w += 1
        self.out_used += w
        return 0
