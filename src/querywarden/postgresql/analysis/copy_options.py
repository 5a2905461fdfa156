"""The options of COPY … TO STDOUT, in the old and the new syntax, which have one parse tree.

What the server would refuse, or what isn't known here, makes the form one that isn't rewritable.
Spec: PostgreSQL 18, COPY, Parameters and File Formats.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from querywarden.model.facts import CopyFormat
from querywarden.postgresql.analysis.parse import Node

_FORMATS = frozenset({"text", "csv", "binary"})
_OPTIONS = frozenset({"format", "delimiter", "null", "header", "quote", "escape", "force_quote", "encoding"})
_OF_CSV = frozenset({"quote", "escape", "force_quote"})
_UTF8 = frozenset({"utf8", "unicode"})
_NO_DELIMITERS = frozenset(b"\\.abcdefghijklmnopqrstuvwxyz0123456789")
"""What the server takes for no delimiter of the text format, where it would read as part of an escape or a number."""
_NEWLINES = frozenset(b"\r\n")
_TRUE, _FALSE = frozenset({"true", "on", "1"}), frozenset({"false", "off", "0"})
_HARMLESS_NULL = b"null"
"""A value that reads so tells nothing of anybody, where it is taken for a NULL."""
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_KNOWN_ESCAPES = frozenset((b"b", b"f", b"n", b"r", b"t", b"v", b"\\"))
UNKNOWN_FORM = CopyFormat(is_rewritable=False)


def read_copy_options(options: Sequence[Node]) -> CopyFormat:
    """The form that the options of a COPY … TO STDOUT ask for."""
    found: dict[str, Any] = {}
    for item in options:
        option = item["DefElem"]
        name = option["defname"]
        if name not in _OPTIONS or name in found:
            return UNKNOWN_FORM
        found[name] = option.get("arg")
    form = _text(found["format"]) if "format" in found else "text"
    if form not in _FORMATS or not _is_utf8(found):
        return UNKNOWN_FORM
    has_header = _header(found)
    if form == "binary":
        is_plain = not found.keys() - {"format", "encoding", "header"} and has_header is False
        return CopyFormat("binary", b"", b"") if is_plain else UNKNOWN_FORM
    if has_header is None or (form == "text" and not _OF_CSV.isdisjoint(found)):
        return UNKNOWN_FORM
    return _of_lines(form, has_header, found)


def _of_lines(form: str, has_header: bool, found: dict[str, Any]) -> CopyFormat:
    is_csv = form == "csv"
    delimiter = _bytes(found, "delimiter", b"," if is_csv else b"\t")
    null = _bytes(found, "null", b"" if is_csv else b"\\N")
    quote = _bytes(found, "quote", b'"') if is_csv else b""
    escape = _bytes(found, "escape", quote or b"") if is_csv else b""
    names = _force_quote(found)
    if delimiter is None or null is None or quote is None or escape is None or names is None:
        return UNKNOWN_FORM
    signs = (delimiter, quote, escape) if is_csv else (delimiter,)
    if any(len(sign) != 1 or sign[0] in _NEWLINES or not 0 < sign[0] < 128 for sign in signs):
        return UNKNOWN_FORM
    if delimiter in null or not _NEWLINES.isdisjoint(null) or delimiter == quote or (is_csv and quote in null):
        return UNKNOWN_FORM
    if not is_csv and (delimiter[0] in _NO_DELIMITERS or not _is_told_apart(null)):
        return UNKNOWN_FORM
    return CopyFormat(form, delimiter, null, quote, escape, has_header, names - {"*"}, names == _ALL)


_ALL = frozenset({"*"})


def _is_told_apart(null: bytes) -> bool:
    """Whether what stands for NULL in the text format can't be a value as well: a client could choose it to find rows by a value."""
    if not null or null.lower() == _HARMLESS_NULL:
        return True
    if b"\\" in _ESCAPE.sub(b"", null):
        # It ends with a sign that would escape the delimiter behind it.
        return False
    return any(sign not in _KNOWN_ESCAPES for sign in _ESCAPE.findall(null))


def _text(argument: Any) -> str | None:
    if not isinstance(argument, dict):
        return None
    found = argument.get("String", {}).get("sval")
    return found if isinstance(found, str) else None


def _bytes(found: dict[str, Any], name: str, default: bytes) -> bytes | None:
    if name not in found:
        return default
    text = _text(found[name])
    return None if text is None else text.encode()


def _is_utf8(found: dict[str, Any]) -> bool:
    if "encoding" not in found:
        return True
    name = _text(found["encoding"])
    return name is not None and re.sub(r"[^a-z0-9]", "", name.lower()) in _UTF8


def _header(found: dict[str, Any]) -> bool | None:
    """Whether there is a line with the names; None where that isn't known, as for MATCH, which COPY FROM alone has."""
    if "header" not in found:
        return False
    argument = found["header"]
    if argument is None:
        return True
    if "Boolean" in argument:
        return bool(argument["Boolean"].get("boolval", False))
    if "Integer" in argument:
        word = str(argument["Integer"].get("ival", 0))
    else:
        word = (_text(argument) or "").lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _force_quote(found: dict[str, Any]) -> frozenset[str] | None:
    """The columns whose values are always quoted, `*` for all; None where that isn't known."""
    if "force_quote" not in found:
        return frozenset()
    argument = found["force_quote"]
    if not isinstance(argument, dict):
        return None
    if "A_Star" in argument:
        return _ALL
    names = [_text(item) for item in argument.get("List", {}).get("items", ())]
    known = frozenset(name for name in names if name is not None)
    return known if names and None not in names and "*" not in known else None
