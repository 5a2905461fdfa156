# The masks of single cells, in C. Each function reads `n` bytes at `v`, writes at `o` and returns how many bytes it wrote.
#
# None writes behind 3 * n + 64 bytes and the cell's constant. Keyed masks come from SipHash-2-4 of the value (upper and lower
# case alike) under the key of its class; the hash seeds a generator, so that a mask tells no more than the hash does.

cdef enum Action:
    CLEAR = 0
    TO_NULL = 1
    CONSTANT = 2
    TOKEN = 3
    SHAPE = 4
    NAME = 5
    CARD = 6
    IBAN = 7
    INTEGER_TEXT = 8
    INTEGER_BINARY = 9
    NUMERIC_TEXT = 10
    UUID_TEXT = 11
    UUID_BINARY = 12
    HARDWARE_TEXT = 13
    HARDWARE_BINARY = 14
    NETWORK_TEXT = 15
    NETWORK_BINARY = 16
    YEAR_TEXT = 17
    DATE_BINARY = 18
    TIMESTAMP_BINARY = 19
    JSON = 20
    CALLBACK = 21

cdef enum Fill:
    FILL_NONE = 0
    FILL_TEXT = 1
    FILL_DIGITS = 2
    FILL_ZERO_BYTES = 3
    FILL_JSON = 4
    FILL_JSONB = 5
    FILL_BYTEA_TEXT = 6
    FILL_STARS = 7

cdef enum:
    CONSTANT_INLINE = 32

cdef struct Cell:
    int action
    int fill
    uint64_t k0
    uint64_t k1
    const unsigned char* constant
    Py_ssize_t constant_size
    const unsigned char* empty
    Py_ssize_t empty_size
    Py_ssize_t limit
    bint is_padded
    unsigned char inline_constant[32]

cdef const char* BASE32 = b"abcdefghijklmnopqrstuvwxyz234567"
cdef const char* CONSONANTS = b"bdfgklmnprstvzhj"
cdef const char* VOWELS = b"aeiouaei"
cdef const char* HEXADECIMAL = b"0123456789abcdef"


cdef inline bint is_digit(unsigned char c) noexcept nogil:
    return 48 <= c <= 57

cdef inline bint is_upper(unsigned char c) noexcept nogil:
    return 65 <= c <= 90

cdef inline bint is_lower(unsigned char c) noexcept nogil:
    return 97 <= c <= 122

cdef inline bint is_continuation(unsigned char c) noexcept nogil:
    return (c & 0xC0) == 0x80

cdef inline uint64_t rotate(uint64_t x, int bits) noexcept nogil:
    return (x << bits) | (x >> (64 - bits))

cdef inline uint64_t fold(uint64_t word) noexcept nogil:
    # Eight bytes at once: ASCII upper case becomes lower case, everything else stays.
    cdef uint64_t seven = word & <uint64_t>0x7F7F7F7F7F7F7F7F
    cdef uint64_t above_z = seven + <uint64_t>0x2525252525252525
    cdef uint64_t from_a = seven + <uint64_t>0x3F3F3F3F3F3F3F3F
    return word | ((((from_a ^ above_z) & ~word) & <uint64_t>0x8080808080808080) >> 2)


cdef inline uint64_t keyed_hash(uint64_t k0, uint64_t k1, const unsigned char* v, Py_ssize_t n) noexcept nogil:
    """SipHash-2-4 of the case-folded bytes."""
    cdef uint64_t a = k0 ^ <uint64_t>0x736F6D6570736575
    cdef uint64_t b = k1 ^ <uint64_t>0x646F72616E646F6D
    cdef uint64_t c = k0 ^ <uint64_t>0x6C7967656E657261
    cdef uint64_t d = k1 ^ <uint64_t>0x7465646279746573
    cdef uint64_t word, last = 0
    cdef Py_ssize_t left = n
    cdef int i
    if n >= 8:
        # The bytes behind the last whole word are the upper ones of the last eight.
        if n & 7:
            memcpy(&last, v + n - 8, 8)
            last = fold(last >> (8 * (8 - (n & 7))))
    else:
        for i in range(<int>n):
            last |= <uint64_t>v[i] << (8 * i)
        last = fold(last)
    last |= <uint64_t>n << 56
    while left >= 8:
        memcpy(&word, v, 8)
        word = fold(word)
        d ^= word
        for i in range(2):
            a += b; b = rotate(b, 13); b ^= a; a = rotate(a, 32)
            c += d; d = rotate(d, 16); d ^= c
            a += d; d = rotate(d, 21); d ^= a
            c += b; b = rotate(b, 17); b ^= c; c = rotate(c, 32)
        a ^= word
        v += 8
        left -= 8
    d ^= last
    for i in range(2):
        a += b; b = rotate(b, 13); b ^= a; a = rotate(a, 32)
        c += d; d = rotate(d, 16); d ^= c
        a += d; d = rotate(d, 21); d ^= a
        c += b; b = rotate(b, 17); b ^= c; c = rotate(c, 32)
    a ^= last
    c ^= 0xFF
    for i in range(4):
        a += b; b = rotate(b, 13); b ^= a; a = rotate(a, 32)
        c += d; d = rotate(d, 16); d ^= c
        a += d; d = rotate(d, 21); d ^= a
        c += b; b = rotate(b, 17); b ^= c; c = rotate(c, 32)
    return a ^ b ^ c ^ d


cdef inline unsigned int draw(uint64_t* state, unsigned int below) noexcept nogil:
    """The next number in 0 … below - 1. Each takes five fresh bits of the hash; the thirteenth comes round to the first again."""
    state[0] = rotate(state[0], 5)
    return <unsigned int>(((state[0] >> 32) * below) >> 32)


cdef inline Py_ssize_t write_constant(Cell* cell, unsigned char* o) noexcept nogil:
    if cell.constant_size <= CONSTANT_INLINE:
        memcpy(o, cell.inline_constant, CONSTANT_INLINE)
    else:
        memcpy(o, cell.constant, cell.constant_size)
    return cell.constant_size


cdef inline Py_ssize_t write_token(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    cdef uint64_t h = keyed_hash(cell.k0, cell.k1, v, n)
    cdef int i
    o[0] = 117
    o[1] = 95
    for i in range(10):
        o[2 + i] = BASE32[(h >> (5 * i)) & 31]
    return 12 + write_constant(cell, o + 12)


cdef struct Shape:
    unsigned int base
    unsigned int range
    Py_ssize_t kept

cdef Shape SHAPES[256]

cdef void fill_shapes() noexcept:
    """What becomes of each byte: `base` and a number below `range`, or nothing where it isn't `kept`."""
    cdef int c
    for c in range(256):
        SHAPES[c] = Shape(c, 0, 1)
        if is_digit(c):
            SHAPES[c] = Shape(48, 10, 1)
        elif is_upper(c):
            SHAPES[c] = Shape(65, 26, 1)
        elif is_lower(c) or c >= 0xC0:
            SHAPES[c] = Shape(97, 26, 1)
        elif is_continuation(c):
            SHAPES[c].kept = 0

fill_shapes()


cdef inline Py_ssize_t write_shape(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o, Py_ssize_t kept) noexcept nogil:
    """The first `kept` bytes as they are, then keyed letters and digits; a character beyond ASCII becomes a letter."""
    cdef uint64_t state = keyed_hash(cell.k0, cell.k1, v, n)
    cdef Py_ssize_t i, w = kept
    cdef Shape* shape
    for i in range(kept):
        o[i] = v[i]
    for i in range(kept, n):
        shape = &SHAPES[v[i]]
        o[w] = <unsigned char>(shape.base + draw(&state, shape.range))
        w += shape.kept
    return w


cdef Py_ssize_t write_name(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    """Words of at least five letters, but initials stay single; each takes the case of the word's first two letters."""
    cdef uint64_t state = keyed_hash(cell.k0, cell.k1, v, n)
    cdef Py_ssize_t i = 0, w = 0, letters, j
    cdef bint first_upper, rest_upper
    cdef unsigned char c
    while i < n:
        c = v[i]
        if is_digit(c):
            o[w] = 48 + draw(&state, 10)
            w += 1
            i += 1
            continue
        if not (is_upper(c) or is_lower(c) or c >= 0x80):
            o[w] = c
            w += 1
            i += 1
            continue
        letters = 0
        first_upper = not is_lower(c)
        rest_upper = False
        while i < n and (is_upper(v[i]) or is_lower(v[i]) or v[i] >= 0x80):
            if not is_continuation(v[i]):
                letters += 1
                if letters == 2:
                    rest_upper = is_upper(v[i])
            i += 1
        if letters == 0:
            letters = 1
        if 1 < letters < 5:
            letters = 5
        for j in range(letters):
            c = CONSONANTS[draw(&state, 16)] if j % 2 == 0 else VOWELS[draw(&state, 8)]
            if first_upper if j == 0 else rest_upper:
                c -= 32
            o[w] = c
            w += 1
    return w


cdef Py_ssize_t write_card(const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    """Blanks, hyphens and the last four of twelve or more digits stay; everything else becomes `*`."""
    cdef Py_ssize_t i, w = 0, digits = 0, seen = 0
    for i in range(n):
        digits += is_digit(v[i])
    for i in range(n):
        if is_continuation(v[i]):
            continue
        seen += is_digit(v[i])
        if v[i] == 32 or v[i] == 45 or (is_digit(v[i]) and digits >= 12 and seen > digits - 4):
            o[w] = v[i]
        else:
            o[w] = 42
        w += 1
    return w


cdef Py_ssize_t write_iban(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    cdef bint has_country = n >= 15 and is_upper(v[0]) and is_upper(v[1]) and is_digit(v[2]) and is_digit(v[3])
    return write_shape(cell, v, n, o, 2 if has_country else 0)


cdef Py_ssize_t write_number(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    """Keyed digits in the same places; the first is 0 if it was, and 1 where another might leave the type's range.

    `limit` is the number of digits from which that is so (0: never).
    """
    cdef uint64_t state = keyed_hash(cell.k0, cell.k1, v, n)
    cdef Py_ssize_t i, digits = 0
    cdef bint is_first = True
    for i in range(n):
        if is_digit(v[i]):
            digits += 1
        elif v[i] != 45 and v[i] != 46:
            o[0] = 48
            return 1
    for i in range(n):
        if not is_digit(v[i]):
            o[i] = v[i]
            continue
        if is_first and digits > 1:
            o[i] = 48 if v[i] == 48 else 49 if cell.limit and digits >= cell.limit else 49 + draw(&state, 9)
        else:
            o[i] = 48 + draw(&state, 10)
        is_first = False
    return n


cdef Py_ssize_t integer_text(const unsigned char* v, Py_ssize_t n, unsigned char* text) noexcept nogil:
    """The decimal text of a binary integer of up to 8 bytes, at the end of 24; tells where it begins."""
    cdef uint64_t magnitude = 0
    cdef Py_ssize_t i, at = 24
    cdef bint negative
    for i in range(n):
        magnitude = (magnitude << 8) | v[i]
    if n < 8 and magnitude >> (8 * n - 1):
        magnitude |= ~<uint64_t>0 << (8 * n)
    negative = <int64_t>magnitude < 0
    if negative:
        magnitude = ~magnitude + 1
    while magnitude or at == 24:
        at -= 1
        text[at] = 48 + <unsigned char>(magnitude % 10)
        magnitude //= 10
    if negative:
        at -= 1
        text[at] = 45
    return at


cdef Py_ssize_t write_integer(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    """A binary integer of 2, 4 or 8 bytes, masked as its decimal text is."""
    cdef unsigned char text[24]
    cdef unsigned char masked[24]
    cdef uint64_t magnitude = 0
    cdef Py_ssize_t i, at = integer_text(v, n, text), size
    cdef bint negative = text[at] == 45
    size = write_number(cell, text + at, 24 - at, masked)
    for i in range(1 if negative else 0, size):
        magnitude = magnitude * 10 + (masked[i] - 48)
    if negative:
        magnitude = ~magnitude + 1
    for i in range(n):
        o[n - 1 - i] = <unsigned char>(magnitude & 0xFF)
        magnitude >>= 8
    return n


