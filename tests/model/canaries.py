"""Canaries: values that stand in classified columns alone, and the search for whatever of them came out, in any form."""

from __future__ import annotations

import base64
import datetime
import hashlib
import random
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

PIECE_LENGTH = 6
"""Characters of a text canary that are one too many."""
_LETTERS = "qxzjvkw"
_MASKS = re.compile(rb"u_[0-9a-z]{10}")
"""What the operators for emails and user names write: ten keyed letters could be a piece of a canary by chance."""
_EPOCH = datetime.date(2000, 1, 1)


@dataclass
class Canaries:
    """The canaries of one schema, made from a seed, and the detector that knows them.

    Texts are searched for in pieces of six characters, numbers, dates and the like as a whole, in text and in network order.
    """

    chance: random.Random
    _texts: list[str] = field(default_factory=list)
    _wholes: dict[bytes, str] = field(default_factory=dict)
    _binaries: dict[bytes, str] = field(default_factory=dict)
    _found: re.Pattern[bytes] | None = None

    def text(self) -> str:
        """A text of 20 characters without vowels, so that no keyed syllables are like it."""
        value = "".join(self.chance.choice(_LETTERS) for _ in range(20)).capitalize()
        self._texts.append(value)
        return value

    def integer(self) -> int:
        """Nine digits, which fit into int4."""
        value = self.chance.randrange(300_000_000, 999_999_999)
        self._number(str(value))
        self._binaries[struct.pack(">i", value)] = f"int4 {value}"
        self._binaries[struct.pack(">q", value)] = f"int8 {value}"
        return value

    def long_integer(self) -> int:
        """Fifteen digits."""
        value = self.chance.randrange(10**14, 10**15)
        self._number(str(value))
        self._binaries[struct.pack(">q", value)] = f"int8 {value}"
        return value

    def number(self) -> Decimal:
        """Twelve digits before the point, two behind it."""
        value = Decimal(self.chance.randrange(10**13, 10**14)) / 100
        whole = str(int(value))
        self._number(whole)
        digits = [int(whole[max(0, end - 4) : end]) for end in range(len(whole), 0, -4)][::-1]
        self._binaries[struct.pack(f">{len(digits)}h", *digits)] = f"numeric {value}"
        return value

    def date(self) -> datetime.date:
        """A day of the 19th century that is no first of January, which a mask would leave."""
        value = datetime.date(self.chance.randrange(1803, 1899), self.chance.randrange(2, 13), self.chance.randrange(2, 29))
        self._wholes[value.isoformat().encode()] = f"date {value}"
        self._wholes[value.strftime("%d.%m.%Y").encode()] = f"date {value}"
        # With the length before it: four bytes alone may stand anywhere.
        self._binaries[struct.pack(">ii", 4, (value - _EPOCH).days)] = f"date {value}"
        self._binaries[struct.pack(">q", (value - _EPOCH).days * 86_400_000_000)] = f"timestamp {value}"
        return value

    def moment(self) -> str:
        """A timestamp with time zone, at midnight of a canary's date, in UTC."""
        return f"{self.date().isoformat()} 00:00:00+00"

    def uuid(self) -> str:
        raw = bytes(self.chance.randrange(256) for _ in range(16))
        digits = raw.hex()
        value = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        self._wholes[value.encode()] = self._wholes[digits.encode()] = f"uuid {value}"
        self._binaries[raw] = f"uuid {value}"
        return value

    def address(self) -> str:
        """An IPv6 address whose host part, which no mask leaves, is the canary."""
        host = [self.chance.randrange(0x1000, 0xFFFF) for _ in range(4)]
        shown = ":".join(f"{part:x}" for part in host)
        self._wholes[shown.encode()] = f"inet {shown}"
        self._binaries[struct.pack(">4H", *host)] = f"inet {shown}"
        return f"2001:db8:1:2:{shown}"

    def find(self, raw: bytes) -> str | None:
        """What of a canary is in these bytes, or None; None as well where there is nothing like one."""
        if self._found is None:
            self._found = re.compile(b"|".join(sorted(map(re.escape, self._forms()), key=len)))
        lowered = _MASKS.sub(b"", raw).lower()
        hit = self._found.search(lowered)
        if hit is not None:
            return f"text {hit.group().decode()!r}"
        for form, name in (*self._wholes.items(), *self._binaries.items()):
            if form in (raw if form in self._binaries else lowered):
                return name
        return self._in_code_points(lowered)

    def _number(self, digits: str) -> None:
        for form in (digits, digits[::-1], digits.encode().hex(), f"{int(digits):x}"):
            self._wholes[form.encode()] = f"number {digits}"

    def _forms(self) -> Iterator[bytes]:
        for text in self._texts:
            lowered = text.lower()
            for start in range(len(text) - PIECE_LENGTH + 1):
                piece = lowered[start : start + PIECE_LENGTH]
                for form in (piece, piece[::-1]):
                    yield form.encode()
                    yield form.encode().hex().encode()
                    yield form.upper().encode().hex().encode()
            for variant in {text, lowered, text.upper()}:
                raw = variant.encode()
                yield from (hashlib.new(name, raw).hexdigest().encode() for name in ("md5", "sha1", "sha256", "sha512"))
                # Three offsets, without what neighbours mix in. Searched in lower case, as everything is.
                for offset in range(3):
                    coded = base64.b64encode(b"\0" * offset + raw)[4:-4]
                    yield from (coded[at : at + 12].lower() for at in range(0, len(coded) - 11, 4))

    def _in_code_points(self, lowered: bytes) -> str | None:
        """Six and more numbers, one after the other, that are the characters of a text canary."""
        for run in re.findall(rb"(?:\d{2,3}[^0-9a-z]{1,12}){6,}", lowered):
            letters = "".join(chr(int(code)) for code in re.findall(rb"\d{2,3}", run)).lower()
            for text in self._texts:
                if any(text.lower()[at : at + PIECE_LENGTH] in letters for at in range(len(text) - PIECE_LENGTH + 1)):
                    return f"code points {letters!r}"
        return None
