# The masks of cells by type, and the choice among them. What they write is bounded as in keyed_text.pxi.


cdef int hex_digit(unsigned char c) noexcept nogil:
    if is_digit(c):
        return c - 48
    if 97 <= c <= 102:
        return c - 87
    if 65 <= c <= 70:
        return c - 55
    return -1


cdef void write_uuid_bytes(Cell* cell, const unsigned char* v, unsigned char* o) noexcept nogil:
    """A UUID of version 8 (RFC 9562): 122 keyed bits."""
    cdef uint64_t high = keyed_hash(cell.k0, cell.k1, v, 16)
    cdef uint64_t low = keyed_hash(~cell.k0, cell.k1, v, 16)
    memcpy(o, &high, 8)
    memcpy(o + 8, &low, 8)
    o[6] = (o[6] & 0x0F) | 0x80
    o[8] = (o[8] & 0x3F) | 0x80


cdef Py_ssize_t uuid_text(const unsigned char* v, unsigned char* o) noexcept nogil:
    """The text of a UUID's bytes, with hyphens."""
    cdef Py_ssize_t i, w = 0
    for i in range(16):
        if i == 4 or i == 6 or i == 8 or i == 10:
            o[w] = 45
            w += 1
        o[w] = HEXADECIMAL[v[i] >> 4]
        o[w + 1] = HEXADECIMAL[v[i] & 15]
        w += 2
    return w


cdef Py_ssize_t write_uuid_text(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    cdef unsigned char raw[16]
    cdef unsigned char masked[16]
    cdef Py_ssize_t i
    cdef int nibbles = 0, digit
    memset(raw, 0, 16)
    for i in range(n):
        digit = hex_digit(v[i])
        if digit >= 0 and nibbles < 32:
            raw[nibbles // 2] |= digit << (0 if nibbles % 2 else 4)
            nibbles += 1
    write_uuid_bytes(cell, raw, masked)
    return uuid_text(masked, o)


cdef Py_ssize_t write_hardware(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o, bint is_text) noexcept nogil:
    """The first octet becomes 02 (locally administered, unicast), the others are keyed."""
    cdef uint64_t state = keyed_hash(cell.k0, cell.k1, v, n)
    cdef Py_ssize_t i, w = 0, nibbles = 0
    if not is_text:
        for i in range(n):
            o[i] = 2 if i == 0 else draw(&state, 256)
        return n
    for i in range(n):
        if hex_digit(v[i]) >= 0:
            o[w] = 48 if nibbles == 0 else 50 if nibbles == 1 else HEXADECIMAL[draw(&state, 16)]
            nibbles += 1
        elif is_continuation(v[i]):
            continue
        elif is_upper(v[i]) or is_lower(v[i]) or v[i] >= 0x80:
            o[w] = HEXADECIMAL[draw(&state, 16)]
        else:
            o[w] = v[i]
        w += 1
    return w


cdef Py_ssize_t write_network(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    """`a.b.c.0` or the first three groups of IPv6, and the prefix length as it was. Anything else: the constant."""
    cdef Py_ssize_t i, w = 0, end = 0, colons = 0, dots = 0, digits = 0, last_dot = 0
    cdef bint is_short = False
    while end < n and v[end] != 47:
        if v[end] == 58:
            colons += 1
            is_short |= end > 0 and v[end - 1] == 58
        end += 1
    if n - end > 4 or end > 45:
        return write_constant(cell, o)
    for i in range(end + 1, n):
        if not is_digit(v[i]):
            return write_constant(cell, o)
    for i in range(end):
        digits += 1
        if v[i] == 46 and (colons or digits > 1):
            dots += 1
            last_dot = i
            digits = 0
        elif v[i] == 58 and colons:
            digits = 0
        elif not (is_digit(v[i]) or (colons and hex_digit(v[i]) >= 0)) or digits > (4 if colons else 3):
            return write_constant(cell, o)
    if colons == 0:
        if dots != 3 or digits == 0:
            return write_constant(cell, o)
        w = last_dot + 1
        memcpy(o, v, w)
        o[w] = 48
        w += 1
    else:
        if not is_short and colons != 7 and not (colons == 6 and dots == 3):
            return write_constant(cell, o)
        colons = 0
        for i in range(end):
            if v[i] == 58:
                colons += 1
                if colons == 3 or (i + 1 < end and v[i + 1] == 58):
                    break
            elif v[i] == 46:
                return write_constant(cell, o)
            o[w] = v[i]
            w += 1
        o[w] = 58
        o[w + 1] = 58
        w += 2
    memcpy(o + w, v + end, n - end)
    return w + n - end


cdef Py_ssize_t write_network_bytes(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    """Binary inet and cidr: family, bits, is_cidr, size, address."""
    cdef Py_ssize_t kept
    if (n != 8 and n != 20) or v[3] != n - 4:
        return write_constant(cell, o)
    kept = 7 if n == 8 else 10
    memcpy(o, v, kept)
    memset(o + kept, 0, n - kept)
    return n


cdef Py_ssize_t write_year(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    """The first of January of the year of an ISO date (of 2000 with a `limit`); what follows the date becomes `empty`.

    Anything else: the constant, or NULL without one, since another style of dates can't be told from the value alone.
    """
    cdef Py_ssize_t year = 0, w
    cdef bint is_before_christ = n > 3 and v[n - 1] == 67 and v[n - 2] == 66 and v[n - 3] == 32
    while year < n and year < 7 and is_digit(v[year]):
        year += 1
    if not (
        year >= 4 and n >= year + 6 and v[year] == 45 and v[year + 3] == 45
        and is_digit(v[year + 1]) and is_digit(v[year + 2]) and is_digit(v[year + 4]) and is_digit(v[year + 5])
        and (n == year + 6 or v[year + 6] == 32 or v[year + 6] == 84)
    ):
        return write_constant(cell, o) if cell.constant_size else -1
    if cell.limit:
        year = 4
        is_before_christ = False
    memcpy(o, <const char*>b"2000" if cell.limit else <const char*>v, year)
    memcpy(o + year, b"-01-01", 6)
    w = year + 6
    memcpy(o + w, cell.empty, cell.empty_size)
    w += cell.empty_size
    if is_before_christ:
        memcpy(o + w, b" BC", 3)
        w += 3
    return w


cdef int64_t first_of_year(int64_t days) noexcept nogil:
    """The first of January of a day's year; both count from 2000-01-01 (proleptic Gregorian)."""
    cdef int64_t z = days + 730425
    cdef int64_t era = (z if z >= 0 else z - 146096) // 146097
    cdef int64_t day_of_era = z - era * 146097
    cdef int64_t year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    cdef int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef int64_t year = year_of_era + era * 400 + (1 if day_of_year >= 306 else 0)
    cdef int64_t before = year - 1
    cdef int64_t cycles = (before if before >= 0 else before - 399) // 400
    cdef int64_t of_cycle = before - cycles * 400
    return cycles * 146097 + of_cycle * 365 + of_cycle // 4 - of_cycle // 100 - 730119


cdef Py_ssize_t write_year_binary(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    cdef uint64_t raw = 0
    cdef int64_t value, day = 86400000000
    cdef Py_ssize_t i
    if n != (4 if cell.action == DATE_BINARY else 8):
        return write_constant(cell, o)
    for i in range(n):
        raw = (raw << 8) | v[i]
    if n == 4:
        value = <int32_t>raw
        if value == INT32_MIN or value == INT32_MAX:
            return write_constant(cell, o)
        value = first_of_year(value)
    else:
        value = <int64_t>raw
        if value == INT64_MIN or value == INT64_MAX:
            return write_constant(cell, o)
        value = first_of_year((value if value >= 0 else value - day + 1) // day) * day
    raw = <uint64_t>value
    for i in range(n):
        o[n - 1 - i] = <unsigned char>(raw & 0xFF)
        raw >>= 8
    return n


cdef Py_ssize_t write_json(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    """A document of the same outer type, without its content. null stays null."""
    cdef Py_ssize_t i = cell.constant_size, w = cell.constant_size
    cdef const char* masked = b"null"
    memcpy(o, cell.constant, w)
    while i < n and (v[i] == 32 or v[i] == 9 or v[i] == 10 or v[i] == 13):
        i += 1
    if i < n:
        if v[i] == 123:
            masked = b"{}"
        elif v[i] == 91:
            masked = b"[]"
        elif v[i] == 34:
            masked = b'"[redacted]"'
        elif v[i] == 116 or v[i] == 102:
            masked = b"false"
        elif v[i] != 110:
            masked = b"0"
    memcpy(o + w, masked, strlen(masked))
    return w + strlen(masked)


cdef Py_ssize_t write_mask(Cell* cell, const unsigned char* v, Py_ssize_t n, unsigned char* o) noexcept nogil:
    """Mask one cell that is neither NULL nor empty; -1 stands for NULL."""
    cdef int action = cell.action
    cdef Py_ssize_t w, whole = n
    if action == TO_NULL:
        return -1
    if action != YEAR_TEXT and cell.empty_size and n == cell.empty_size and memcmp(v, cell.empty, n) == 0:
        memcpy(o, v, n)
        return n
    if cell.is_padded:
        w = n
        while w and v[w - 1] == 32:
            w -= 1
        if w == 0:
            memcpy(o, v, n)
            return n
        n = w
    if action == TOKEN:
        w = write_token(cell, v, n, o)
    elif action == CONSTANT:
        w = write_constant(cell, o)
    elif action == SHAPE:
        w = write_shape(cell, v, n, o, 0)
    elif action == NAME:
        w = write_name(cell, v, n, o)
    elif action == CARD:
        w = write_card(v, n, o)
    elif action == IBAN:
        w = write_iban(cell, v, n, o)
    elif action == INTEGER_TEXT or action == NUMERIC_TEXT:
        return write_number(cell, v, n, o)
    elif action == INTEGER_BINARY:
        return write_integer(cell, v, n, o) if n == 2 or n == 4 or n == 8 else write_constant(cell, o)
    elif action == UUID_TEXT:
        return write_uuid_text(cell, v, n, o)
    elif action == UUID_BINARY:
        if n != 16:
            return write_constant(cell, o)
        write_uuid_bytes(cell, v, o)
        return 16
    elif action == HARDWARE_TEXT or action == HARDWARE_BINARY:
        w = write_hardware(cell, v, n, o, action == HARDWARE_TEXT)
    elif action == NETWORK_TEXT:
        w = write_network(cell, v, n, o)
    elif action == NETWORK_BINARY:
        return write_network_bytes(cell, v, n, o)
    elif action == YEAR_TEXT:
        return write_year(cell, v, n, o)
    elif action == DATE_BINARY or action == TIMESTAMP_BINARY:
        return write_year_binary(cell, v, n, o)
    elif action == JSON:
        return write_json(cell, v, n, o)
    else:
        return -1
    if cell.limit and w > cell.limit:
        w = cell.limit
    while cell.is_padded and w < cell.limit and w < whole:
        o[w] = 32
        w += 1
    return w
