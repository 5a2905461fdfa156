"""The slow, obvious masks of single values: the oracle of the compiled ones."""

from __future__ import annotations

import datetime
import re

from querywarden.postgresql.cell_masks import Action, CellMask

BITS = (1 << 64) - 1


def siphash(key: bytes, data: bytes) -> int:
    """SipHash-2-4 as its paper gives it."""
    k0, k1 = (int.from_bytes(key[i : i + 8], "little") for i in (0, 8))
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotated(x: int, bits: int) -> int:
        return ((x << bits) | (x >> (64 - bits))) & BITS

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & BITS
            v[2] = (v[2] + v[3]) & BITS
            v[1] = rotated(v[1], 13) ^ v[0]
            v[3] = rotated(v[3], 16) ^ v[2]
            v[0] = rotated(v[0], 32)
            v[2] = (v[2] + v[1]) & BITS
            v[0] = (v[0] + v[3]) & BITS
            v[1] = rotated(v[1], 17) ^ v[2]
            v[3] = rotated(v[3], 21) ^ v[0]
            v[2] = rotated(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i : i + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


class Draws:
    """Numbers drawn from a hash, five bits after five."""

    def __init__(self, cell: CellMask, value: bytes) -> None:
        self.state = siphash(cell.key, value.lower())

    def below(self, bound: int) -> int:
        self.state = ((self.state << 5) | (self.state >> 59)) & BITS
        return ((self.state >> 32) * bound) >> 32


def characters(value: bytes) -> list[bytes]:
    """The first bytes of a value's characters: all that aren't UTF-8 continuation bytes."""
    return [bytes([c]) for c in value if c & 0xC0 != 0x80]


def token(cell: CellMask, value: bytes) -> bytes:
    digest = siphash(cell.key, value.lower())
    letters = "".join("abcdefghijklmnopqrstuvwxyz234567"[(digest >> (5 * i)) & 31] for i in range(10))
    return b"u_" + letters.encode() + cell.constant


def shape(cell: CellMask, value: bytes, kept: int = 0) -> bytes:
    draws = Draws(cell, value)
    out = value[:kept]
    for c in (value[i : i + 1] for i in range(kept, len(value))):
        if c.isdigit():
            out += b"%d" % draws.below(10)
        elif c.isupper():
            out += bytes([65 + draws.below(26)])
        elif c.islower() or c[0] >= 0xC0:
            out += bytes([97 + draws.below(26)])
        else:
            draws.below(1)
            out += c if c[0] < 0x80 else b""
    return out


def name(cell: CellMask, value: bytes) -> bytes:
    draws = Draws(cell, value)
    out = b""
    for piece in re.findall(rb"[A-Za-z\x80-\xff]+|.", value, re.DOTALL):
        if re.fullmatch(rb"[A-Za-z\x80-\xff]+", piece) is None:
            out += b"%d" % draws.below(10) if piece.isdigit() else piece
            continue
        letters = characters(piece)
        count = max(len(letters), 1)
        count = 5 if 1 < count < 5 else count
        word = "".join("bdfgklmnprstvzhj"[draws.below(16)] if i % 2 == 0 else "aeiouaei"[draws.below(8)] for i in range(count))
        first = word[0] if b"a" <= piece[:1] <= b"z" else word[0].upper()
        rest = word[1:].upper() if len(letters) > 1 and b"A" <= letters[1] <= b"Z" else word[1:]
        out += (first + rest).encode()
    return out


def card(value: bytes) -> bytes:
    kept = [i for i, c in enumerate(value) if 48 <= c <= 57]
    kept = kept[-4:] if len(kept) >= 12 else []
    return bytes(c if c in b" -" or i in kept else 42 for i, c in enumerate(value) if c & 0xC0 != 0x80)


def iban(cell: CellMask, value: bytes) -> bytes:
    return shape(cell, value, 2 if len(value) >= 15 and re.match(rb"[A-Z]{2}[0-9]{2}", value) else 0)


def number(cell: CellMask, value: bytes) -> bytes:
    if re.search(rb"[^0-9.-]", value):
        return b"0"
    draws = Draws(cell, value)
    count = len(re.findall(rb"[0-9]", value))
    out = b""
    first = True
    for c in re.findall(rb".", value):
        if not c.isdigit():
            out += c
        elif first and count > 1:
            out += c if c == b"0" else b"1" if cell.limit and count >= cell.limit else b"%d" % (1 + draws.below(9))
            first = False
        else:
            out += b"%d" % draws.below(10)
            first = False
    return out


def integer(cell: CellMask, value: bytes) -> bytes:
    if len(value) not in (2, 4, 8):
        return cell.constant
    masked = number(cell, str(int.from_bytes(value, "big", signed=True)).encode())
    return (int(masked) & ((1 << 8 * len(value)) - 1)).to_bytes(len(value), "big")


def uuid_bytes(cell: CellMask, value: bytes) -> bytes:
    other = bytes(b ^ 0xFF for b in cell.key[:8]) + cell.key[8:]
    out = bytearray(siphash(cell.key, value.lower()).to_bytes(8, "little") + siphash(other, value.lower()).to_bytes(8, "little"))
    out[6] = out[6] & 0x0F | 0x80
    out[8] = out[8] & 0x3F | 0x80
    return bytes(out)


def uuid_text(cell: CellMask, value: bytes) -> bytes:
    digits = b"".join(re.findall(rb"[0-9a-fA-F]", value))[:32].ljust(32, b"0")
    h = uuid_bytes(cell, bytes.fromhex(digits.decode())).hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}".encode()


def hardware(cell: CellMask, value: bytes) -> bytes:
    draws = Draws(cell, value)
    if cell.action is Action.HARDWARE_BINARY:
        return b"\2" + bytes(draws.below(256) for _ in value[1:])
    out = b""
    seen = 0
    for c in (value[i : i + 1] for i in range(len(value)) if value[i] & 0xC0 != 0x80):
        if c in b"0123456789abcdefABCDEF":
            out += b"02"[seen : seen + 1] if seen < 2 else b"%x" % draws.below(16)
            seen += 1
        else:
            out += b"%x" % draws.below(16) if c.isalpha() or c[0] >= 0x80 else c
    return out


def network(cell: CellMask, value: bytes) -> bytes:
    address, slash, prefix = value.partition(b"/")
    if len(prefix) > 3 or re.search(rb"[^0-9]", prefix) or len(address) > 45:
        return cell.constant
    if found := re.fullmatch(rb"((?:[0-9]{1,3}\.){3})[0-9]{1,3}", address):
        return found[1] + b"0" + slash + prefix
    if b":" not in address or re.search(rb"[^0-9a-fA-F:.]|[0-9a-fA-F]{5}", address):
        return cell.constant
    colons, dots = address.count(b":"), address.count(b".")
    if b"::" not in address and colons != 7 and not (colons == 6 and dots == 3):
        return cell.constant
    groups = address.split(b"::")[0].split(b":")[:3]
    if any(b"." in group for group in groups):
        return cell.constant
    return b":".join(groups) + b"::" + slash + prefix


def network_bytes(cell: CellMask, value: bytes) -> bytes:
    if len(value) not in (8, 20) or value[3] != len(value) - 4:
        return cell.constant
    kept = 7 if len(value) == 8 else 10
    return value[:kept] + bytes(len(value) - kept)


def year_text(cell: CellMask, value: bytes) -> bytes | None:
    found = re.fullmatch(rb"([0-9]{4,7})-[0-9]{2}-[0-9]{2}(?:[ T].*)?", value, re.DOTALL)
    if not found:
        return cell.constant or None
    if cell.limit:
        return b"2000-01-01" + cell.empty
    return found[1] + b"-01-01" + cell.empty + (b" BC" if value.endswith(b" BC") else b"")


def year_binary(cell: CellMask, value: bytes) -> bytes:
    size = 4 if cell.action is Action.DATE_BINARY else 8
    if len(value) != size:
        return cell.constant
    stamp = int.from_bytes(value, "big", signed=True)
    if stamp in ((1 << (8 * size - 1)) - 1, -(1 << (8 * size - 1))):
        return cell.constant
    unit = 1 if size == 4 else 86_400_000_000
    days = stamp // unit
    cycles = 0
    # Years repeat every 400; datetime knows only 1 to 9999.
    while not -500_000 < days < 2_000_000:
        step = days // 146097 - 1 if days > 0 else days // 146097 + 1
        days -= step * 146097
        cycles += step
    first = datetime.date((datetime.date(2000, 1, 1) + datetime.timedelta(days)).year, 1, 1)
    result = ((first - datetime.date(2000, 1, 1)).days + cycles * 146097) * unit
    return (result & ((1 << 8 * size) - 1)).to_bytes(size, "big")


def json_document(cell: CellMask, value: bytes) -> bytes:
    text = value[len(cell.constant) :].lstrip(b" \t\r\n")
    outer = {b"{": b"{}", b"[": b"[]", b'"': b'"[redacted]"', b"t": b"false", b"f": b"false", b"n": b"null", b"": b"null"}
    return cell.constant + outer.get(text[:1], b"0")


def masked(cell: CellMask, value: bytes) -> bytes | None:
    """The mask of one value that isn't NULL."""
    if not value:
        return value
    match cell.action:
        case Action.NULL:
            return None
        case Action.CALLBACK:
            assert cell.callback is not None
            return cell.callback(value)
        case Action.YEAR_TEXT:
            return year_text(cell, value)
    if cell.empty and value == cell.empty:
        return value
    whole = value
    if cell.is_padded:
        value = value.rstrip(b" ")
        if not value:
            return whole
    fixed = {
        Action.INTEGER_TEXT: number, Action.NUMERIC_TEXT: number, Action.INTEGER_BINARY: integer, Action.UUID_TEXT: uuid_text,
        Action.NETWORK_BINARY: network_bytes, Action.DATE_BINARY: year_binary, Action.TIMESTAMP_BINARY: year_binary,
        Action.JSON: json_document,
    }  # fmt: skip
    if cell.action in fixed:
        return fixed[cell.action](cell, value)
    if cell.action is Action.UUID_BINARY:
        return uuid_bytes(cell, value) if len(value) == 16 else cell.constant
    out = {
        Action.TOKEN: lambda: token(cell, value), Action.CONSTANT: lambda: cell.constant, Action.SHAPE: lambda: shape(cell, value),
        Action.NAME: lambda: name(cell, value), Action.CARD: lambda: card(value), Action.IBAN: lambda: iban(cell, value),
        Action.HARDWARE_TEXT: lambda: hardware(cell, value), Action.HARDWARE_BINARY: lambda: hardware(cell, value),
        Action.NETWORK_TEXT: lambda: network(cell, value),
    }[cell.action]()  # fmt: skip
    out = out[: cell.limit] if cell.limit else out
    return out.ljust(min(cell.limit, len(whole)), b" ") if cell.is_padded else out
