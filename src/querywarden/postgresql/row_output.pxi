# The output of a row masker and the cells that it masks.

# One output buffer serves all maskers: it is taken at the start of a feed and given back at its end. (To write into the bytes object
# that is returned, and to shrink it, costs three times what the copy does: allocations of changing sizes are mapped anew each time.)
cdef unsigned char* spare = NULL
cdef Py_ssize_t spare_size = 0
cdef Py_ssize_t SPARE_SIZE_MAX = 1 << 20


cdef inline Py_ssize_t get_length(const unsigned char* p) noexcept nogil:
    return <int32_t>((<unsigned int>p[0] << 24) | (<unsigned int>p[1] << 16) | (<unsigned int>p[2] << 8) | p[3])

cdef inline void put_length(unsigned char* p, Py_ssize_t value) noexcept nogil:
    p[0] = (value >> 24) & 0xFF
    p[1] = (value >> 16) & 0xFF
    p[2] = (value >> 8) & 0xFF
    p[3] = value & 0xFF


cdef inline void copy_run(unsigned char* o, const unsigned char* v, Py_ssize_t n, const unsigned char* readable) noexcept nogil:
    # Runs between masked cells are short, and blocks of a fixed size are copied without a call. Both sides have room for the last
    # block to be too long: the output by `reserve`, the input where `readable` says so.
    if n > 512 or v + n + 32 > readable:
        memcpy(o, v, n)
        return
    while n > 0:
        memcpy(o, v, 32)
        o += 32
        v += 32
        n -= 32


cdef Py_ssize_t set_cell(Cell* cell, mask) except -1:
    """Take over the plain arguments of a CellMask, whose bytes the caller keeps alive; tells how much a value may grow by."""
    cdef bytes key, constant, empty
    memset(cell, 0, sizeof(Cell))
    if mask is None:
        return 0
    key, constant, empty = mask.key, mask.constant, mask.empty
    if len(key) != 16 or not 0 < mask.action <= CALLBACK or (mask.action == CALLBACK and mask.callback is None):
        raise ValueError("not the mask of a cell")
    cell.action = mask.action
    cell.fill = mask.fill
    memcpy(&cell.k0, PyBytes_AS_STRING(key), 8)
    memcpy(&cell.k1, PyBytes_AS_STRING(key) + 8, 8)
    cell.constant = <const unsigned char*>PyBytes_AS_STRING(constant)
    cell.constant_size = len(constant)
    cell.empty = <const unsigned char*>PyBytes_AS_STRING(empty)
    cell.empty_size = len(empty)
    if cell.constant_size <= CONSTANT_INLINE:
        memcpy(cell.inline_constant, cell.constant, cell.constant_size)
    cell.limit = mask.limit
    cell.is_padded = mask.is_padded
    return 64 + cell.constant_size + cell.empty_size


cdef class RowOutput:
    """The bytes that a masker has masked so far in one feed, and its cells."""

    cdef readonly Py_ssize_t rows
    cdef readonly Py_ssize_t masked_cells
    cdef Cell* cells
    cdef int count
    cdef tuple masks
    cdef list callbacks
    cdef Py_ssize_t growth
    cdef object remembered
    cdef Memory memory
    cdef unsigned char* out
    cdef Py_ssize_t out_size
    cdef Py_ssize_t out_used

    def __cinit__(self, cells, *arguments, memory=None, **named):
        cdef int index
        self.remembered = memory
        open_memory(&self.memory, memory)
        self.masks = tuple(cells)
        self.count = len(self.masks)
        self.callbacks = [None] * self.count
        self.growth = 64
        self.cells = <Cell*>malloc(max(self.count, 1) * sizeof(Cell))
        if self.cells == NULL:
            raise MemoryError
        for index in range(self.count):
            self.growth += set_cell(&self.cells[index], self.masks[index])
            if self.masks[index] is not None:
                self.callbacks[index] = self.masks[index].callback

    def __dealloc__(self):
        close_memory(&self.memory)
        free(self.cells)
        free(self.out)

    cdef object callback(self, int index, const unsigned char* v, Py_ssize_t n):
        value = (<const char*>v)[:n]
        settle(&self.memory)
        return self.callbacks[index](value) if self.remembered is None else self.callbacks[index](value, self.remembered)

    cdef inline Py_ssize_t write(self, int index, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept:
        """Write the mask of a cell that has no callback, and remember it."""
        cdef Py_ssize_t w = write_mask(&self.cells[index], v, n, o)
        remember(&self.memory, &self.cells[index], o, w)
        return w

    cdef Py_ssize_t call(self, int index, const unsigned char* v, Py_ssize_t n, Py_ssize_t more) except -2:
        """Mask a cell by its callback; writes behind the four bytes of its length."""
        cdef Py_ssize_t w
        masked = self.callback(index, v, n)
        if masked is None:
            return -1
        w = len(<bytes>masked)
        self.reserve(w + 4 + more)
        memcpy(self.out + self.out_used + 4, PyBytes_AS_STRING(masked), w)
        return w

    cdef void put_cell(self, Py_ssize_t size) noexcept:
        put_length(self.out + self.out_used, size)
        self.out_used += 4 if size < 0 else 4 + size
        self.masked_cells += 1

    cdef int reserve(self, Py_ssize_t more) except -1:
        """Make room for more bytes behind those written."""
        cdef Py_ssize_t size
        cdef unsigned char* moved
        if self.out_used + more > self.out_size:
            size = max(self.out_used + more, 2 * self.out_size)
            moved = <unsigned char*>realloc(self.out, size)
            if moved == NULL:
                raise MemoryError
            self.out = moved
            self.out_size = size
        return 0

    cdef void take_spare(self) noexcept:
        global spare, spare_size
        self.out, self.out_size, self.out_used = spare, spare_size, 0
        spare, spare_size = NULL, 0

    cdef void give_spare(self) noexcept:
        global spare, spare_size
        if spare == NULL and self.out_size <= SPARE_SIZE_MAX:
            spare, spare_size = self.out, self.out_size
        else:
            free(self.out)
        self.out, self.out_size, self.out_used = NULL, 0, 0
