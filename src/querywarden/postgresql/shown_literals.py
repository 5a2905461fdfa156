"""Masks among the literals of a text: thoroughly, or quickly where the text is long and plain, as those of bulk loads are."""

from __future__ import annotations

import re
from functools import lru_cache

from querywarden.masking.write_back import MaskedValues
from querywarden.postgresql.analysis.literals import literal_values
from querywarden.postgresql.rows import knows_any
from querywarden.postgresql.shown_values import in_server_spelling, is_shown

_TEXTS_KEPT = 256
_KEPT_BYTES_MAX = 4096
"""Longer texts are read anew: they are rare among those that are run again and again."""

PLAIN_BYTES_MAX = 2 << 20
OTHER_BYTES_MAX = 256 << 10
"""Bytes of a text that are looked at, so that other sessions needn't wait: an eighth of a second or so."""

_NOT_PLAIN = (b"\\", b"$", b"--", b"/*", b"u&", b"U&")
"""What makes quotes mean something else: escapes, dollar quotes, comments."""
_CONTINUED = re.compile(rb"'\s*[\n\r]\s*'")
_VALUE = re.compile(rb"\"[^\"]*\"|'([^']*(?:''[^']*)*)'|(-?\s*[0-9][0-9.]{7,})")
"""An identifier, a string, or a number that is long enough to be remembered."""
_MARKED = re.compile(rb"[*\[<]|\xc2\xb7|\xe2\x80\xa2|\xf0\x9f\x99\x88|u_|02:00:00|^\s*[{(]", re.IGNORECASE)
"""Some sign of each form that masks have, and what may hold elements."""
_IN_HEXADECIMAL = re.compile(rb"\s*[0-9A-Fa-f:.{}-]{12,62}\s*")


def is_readable(text: bytes) -> bool:
    """Whether a text isn't too long to be looked at."""
    return len(text) <= OTHER_BYTES_MAX or (len(text) <= PLAIN_BYTES_MAX and is_plain(text))


def has_shown_literal(text: bytes, memory: MaskedValues | None) -> bool:
    """Whether a literal of a text is a mask that was shown; a text that can't be read has one."""
    try:
        if len(text) <= _KEPT_BYTES_MAX:
            return any(is_shown(value, memory) for value in _kept_literals(text))
        if is_plain(text):
            return _has_shown_plain(text, memory)
        return any(is_shown(value, memory) for value in literal_values(text))
    except ValueError:
        return True


@lru_cache(maxsize=_TEXTS_KEPT)
def _kept_literals(text: bytes) -> tuple[str, ...]:
    return tuple(literal_values(text))


def is_plain(text: bytes) -> bool:
    """Whether all that stands between single quotes is a string as it is."""
    return not any(sign in text for sign in _NOT_PLAIN) and _CONTINUED.search(text) is None


def _has_shown_plain(text: bytes, memory: MaskedValues | None) -> bool:
    values = []
    for string, number in _VALUE.findall(text):
        if string:
            values.append(string.replace(b"''", b"'"))
        elif number:
            values.append(number.lstrip(b"- \t\r\n"))
            if number[:1] == b"-":
                values.append(b"-" + values[-1])
    if any(_MARKED.search(value) is not None and is_shown(value.decode(), memory) for value in values):
        return True
    if memory is None:
        return False
    spelled = (in_server_spelling(value.decode()) for value in values if _IN_HEXADECIMAL.fullmatch(value))
    values += [reading.encode() for reading in spelled if reading is not None]
    return knows_any(memory, values)
