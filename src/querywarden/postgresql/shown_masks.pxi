# What is remembered of the masks that were shown, so that they are known when they come back: see MaskedValues in masking/write_back.py.
#
# Those that nothing but a mask looks like are known by their form, and constants are like ordinary values: neither is remembered.

cdef extern from *:
    int __builtin_popcountll(unsigned long long x) nogil
    void __builtin_prefetch(const void* v) nogil
    ctypedef unsigned long long uint128_t "unsigned __int128"

cdef enum:
    BUCKET_BYTES = 32
    FINGERPRINT_BYTES = 4
    SIGNIFICANT_MIN = 8

cdef uint64_t REMEMBERED = (
    <uint64_t>1 << SHAPE | <uint64_t>1 << NAME | <uint64_t>1 << IBAN | <uint64_t>1 << INTEGER_TEXT | <uint64_t>1 << INTEGER_BINARY
    | <uint64_t>1 << NUMERIC_TEXT | <uint64_t>1 << UUID_TEXT | <uint64_t>1 << UUID_BINARY | <uint64_t>1 << HARDWARE_TEXT
    | <uint64_t>1 << HARDWARE_BINARY
)

cdef struct Memory:
    unsigned char* slots
    uint64_t buckets
    uint64_t k0
    uint64_t k1
    unsigned char* pending
    uint32_t fingerprint
    Py_buffer view

cdef int open_memory(Memory* memory, remembered) except -1:
    """Take over the slots of a MaskedValues, which can't be resized until the memory is closed; None: nothing is remembered."""
    cdef bytes key
    memory.slots = memory.pending = NULL
    if remembered is None:
        return 0
    key = remembered.key
    if len(key) != 16:
        raise ValueError("not the key of remembered masks")
    memcpy(&memory.k0, PyBytes_AS_STRING(key), 8)
    memcpy(&memory.k1, PyBytes_AS_STRING(key) + 8, 8)
    PyObject_GetBuffer(remembered.slots, &memory.view, PyBUF_WRITABLE)
    memory.buckets = memory.view.len // BUCKET_BYTES
    if memory.buckets:
        memory.slots = <unsigned char*>memory.view.buf
        return 0
    PyBuffer_Release(&memory.view)
    raise ValueError("no room for remembered masks")


cdef void close_memory(Memory* memory) noexcept:
    if memory.slots != NULL:
        settle(memory)
        PyBuffer_Release(&memory.view)
        memory.slots = NULL


cdef inline uint64_t significant(uint64_t word) noexcept nogil:
    # Eight bytes at once: the highest bit of each that is a letter, a digit or beyond ASCII.
    cdef uint64_t seven = word & <uint64_t>0x7F7F7F7F7F7F7F7F
    cdef uint64_t lower = seven | <uint64_t>0x2020202020202020
    cdef uint64_t digits = (seven + <uint64_t>0x5050505050505050) & ~(seven + <uint64_t>0x4646464646464646)
    cdef uint64_t letters = (lower + <uint64_t>0x1F1F1F1F1F1F1F1F) & ~(lower + <uint64_t>0x0505050505050505)
    return (digits | letters | word) & <uint64_t>0x8080808080808080


cdef inline uint64_t rest_of(const unsigned char* v, Py_ssize_t n) noexcept nogil:
    """The bytes behind the last whole word, of which there is one: the upper ones of the last eight."""
    cdef uint64_t word
    if n == 0:
        return 0
    memcpy(&word, v + n - 8, 8)
    return word >> (8 * (8 - n))


cdef inline bint is_short(const unsigned char* v, Py_ssize_t n) noexcept nogil:
    """Whether a value has too few letters and digits to be told from an ordinary one."""
    cdef uint64_t word
    cdef int found = 0
    if n < SIGNIFICANT_MIN:
        return True
    while n >= 8:
        memcpy(&word, v, 8)
        found += __builtin_popcountll(significant(word))
        if found >= SIGNIFICANT_MIN:
            return False
        v += 8
        n -= 8
    return found + __builtin_popcountll(significant(rest_of(v, n))) < SIGNIFICANT_MIN


cdef inline uint64_t multiplied(uint64_t x, uint64_t y) noexcept nogil:
    cdef uint128_t product = <uint128_t>x * y
    return <uint64_t>product ^ <uint64_t>(product >> <uint128_t>64)


cdef inline uint64_t mask_hash(uint64_t k0, uint64_t k1, const unsigned char* v, Py_ssize_t n) noexcept nogil:
    """A keyed hash of eight or more case-folded bytes, by multiplication. It never leaves the process, so that a slower one would protect nothing."""
    # Two odd numbers of many bits, whatever the key is.
    cdef uint64_t factor = (k1 ^ <uint64_t>0xA0761D6478BD642F) | 1
    cdef uint64_t last_factor = (k0 ^ <uint64_t>0xE7037ED1A0B428DB) | 1
    cdef uint64_t hashed = k0 ^ <uint64_t>n
    cdef uint64_t word
    while n >= 8:
        memcpy(&word, v, 8)
        hashed = multiplied(hashed ^ fold(word), factor)
        v += 8
        n -= 8
    hashed = multiplied(hashed ^ fold(rest_of(v, n)), factor)
    return multiplied(hashed, last_factor)


cdef inline bint is_known(Memory* memory, uint32_t* known) noexcept nogil:
    """Whether the pending fingerprint is in its bucket, which is copied."""
    cdef uint32_t found = 0
    cdef int i
    memcpy(known, memory.pending, BUCKET_BYTES)
    for i in range(8):
        found |= known[i] == memory.fingerprint
    return found


cdef inline void settle(Memory* memory) noexcept nogil:
    """Put the last fingerprint into its bucket. It waits for the next one, or for the end of the chunk, since its bucket is far away."""
    cdef uint32_t known[8]
    if memory.pending == NULL:
        return
    if not is_known(memory, known):
        memcpy(memory.pending + FINGERPRINT_BYTES, known, BUCKET_BYTES - FINGERPRINT_BYTES)
        memcpy(memory.pending, &memory.fingerprint, FINGERPRINT_BYTES)
    memory.pending = NULL


cdef inline bint look_up(Memory* memory, const unsigned char* v, Py_ssize_t n) noexcept nogil:
    """Settle what is pending, and make the bucket and fingerprint of a value pending; False where it is too short."""
    cdef uint64_t hashed
    while n and v[0] == 32:
        v += 1
        n -= 1
    while n and v[n - 1] == 32:
        n -= 1
    if is_short(v, n):
        return False
    hashed = mask_hash(memory.k0, memory.k1, v, n)
    settle(memory)
    if memory.buckets & (memory.buckets - 1):
        memory.pending = memory.slots + BUCKET_BYTES * (hashed % memory.buckets)
    else:
        memory.pending = memory.slots + BUCKET_BYTES * (hashed & (memory.buckets - 1))
    memory.fingerprint = <uint32_t>(hashed >> 32)
    if memory.fingerprint == 0:
        memory.fingerprint = 1
    return True


cdef inline void remember_text(Memory* memory, const unsigned char* v, Py_ssize_t n) noexcept nogil:
    if look_up(memory, v, n):
        __builtin_prefetch(memory.pending)


cdef void remember_binary(Memory* memory, int action, const unsigned char* v, Py_ssize_t n) noexcept nogil:
    """Remember the text form of a mask in binary."""
    cdef unsigned char text[48]
    cdef Py_ssize_t at, i
    if action == INTEGER_BINARY and n <= 8:
        at = integer_text(v, n, text)
        remember_text(memory, text + at, 24 - at)
    elif action == UUID_BINARY and n == 16:
        remember_text(memory, text, uuid_text(v, text))
    elif action == HARDWARE_BINARY and n <= 8:
        for i in range(n):
            text[3 * i] = HEXADECIMAL[v[i] >> 4]
            text[3 * i + 1] = HEXADECIMAL[v[i] & 15]
            text[3 * i + 2] = 58
        remember_text(memory, text, 3 * n - 1)


cdef inline void remember(Memory* memory, Cell* cell, const unsigned char* v, Py_ssize_t n) noexcept nogil:
    """Remember the mask of a cell, if it is one that is; -1 bytes stand for NULL."""
    if memory.slots == NULL or n <= 0 or not (REMEMBERED >> cell.action) & 1:
        return
    if cell.action == INTEGER_BINARY or cell.action == UUID_BINARY or cell.action == HARDWARE_BINARY:
        remember_binary(memory, cell.action, v, n)
    else:
        remember_text(memory, v, n)
