"""Names as credentials give them: subjects, actors and groups that are safe to show, log and compare."""

from __future__ import annotations

import unicodedata

NAME_CHARACTERS_MAX = 255
"""OpenID Connect Core §2 bounds `sub` at 255 characters; groups and actors keep to the same."""


def is_sane_name(value: object) -> bool:
    """Whether a value is a text of 1 to 255 characters without control, formatting or unassigned characters or outer blanks.

    Formatting characters (category Cf) turn the reading direction around or show nothing: a name with them imitates another.
    Separators other than the plain blank would break a log line.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_CHARACTERS_MAX or value != value.strip():
        return False
    if value.isascii():
        return value.isprintable()
    return not any(c != " " and unicodedata.category(c)[0] in "CZ" for c in value)
