"""The column classifier: the class of a column from its name, table, type and comment.

A name is taken apart into tokens. The last phrase of the vocabulary in it decides, if nothing but neutral words follows: the head
of `email_verified_at` is `at`. A word for any name needs a person beside it or a table of persons around it (`staff.name`, not
`product.name`), and the declared type can rule a class out. A tag in the column's comment is stronger than all of that.
"""

from __future__ import annotations

import re

from querywarden.masking.column_names import (
    NAME_NOUNS,
    NAMES_OF_PERSONS_ONLY,
    NEUTRAL,
    NOT_STREET,
    ONLINE_NAMES,
    PERSONS,
    PHRASE_LENGTH_MAX,
    PHRASES,
    PROFILES,
    THINGS,
    TRUTH,
    Tokens,
    singular,
    tokens_of,
)
from querywarden.masking.declared_types import Kind, can_hold, kind_of
from querywarden.model.catalogue import Classification, DataClass

_TAG = re.compile(r"\b(querywarden|pii)\s*[:=]\s*([a-z_]+)", re.IGNORECASE)
_CLASSES = {data_class.value: data_class for data_class in DataClass}
_ALIASES = {
    "name": DataClass.PERSON_NAME,
    "card": DataClass.CREDIT_CARD,
    "ssn": DataClass.NATIONAL_ID,
    "birthday": DataClass.DOB,
    "token": DataClass.SECRET,
    "key": DataClass.SECRET,
    "zip": DataClass.POSTCODE,
}
_NOT_CLASSIFIED = frozenset({"none", "no", "false", "public"})
_JOINED_TO_ADDRESS = frozenset({DataClass.ADDRESS, DataClass.CRYPTO})
_ABOUT_TABLES = frozenset({"tbl", "table", "archive", "history", "profile", "profiles"})
_PATIENT = frozenset({"patient", "patients", "patienten", "paciente", "pacientes", "paziente", "pazienti"})
_IDENTIFIERS = frozenset({("identifier",), ("code",), ("number",)})
_OFFICIAL = frozenset({("national", "id"), ("tax", "id"), ("vat", "id")})
_SESSIONS = frozenset({"session", "sessions", "sitzungen", "sesiones"})


def classify_comment(comment: str) -> tuple[Classification | None] | None:
    """What the tag in a column's comment says: None without a tag, else a class or None in a tuple.

    `querywarden: email` names a class, `querywarden: none` none. A class that doesn't exist counts as the strictest one.
    """
    found = _TAG.search(comment)
    if found is None:
        return None
    word = found[2].lower()
    if word in _NOT_CLASSIFIED:
        return (None,)
    fallback = DataClass.OPAQUE if found[1].lower() == "querywarden" else DataClass.SENSITIVE
    data_class = _CLASSES.get(word) or _ALIASES.get(word) or fallback
    return (Classification(data_class, "comment", f"tagged {found[1].lower()}: {word}"),)


def classify_column(schema: str, table: str, column: str, type_name: str, comment: str | None) -> Classification | None:
    """The class of a column, None when nothing is known against it."""
    said = classify_comment(comment) if comment else None
    if said is not None:
        return said[0]
    kind = kind_of(type_name)
    readings = tokens_of(column)
    if not any(tokens and tokens[0] in TRUTH for tokens in readings):
        if kind is Kind.NETWORK:
            return Classification(DataClass.IP, "name", f"type {type_name}")
        if kind is Kind.HARDWARE:
            return Classification(DataClass.MAC, "name", f"type {type_name}")
    persons = any(_is_about_persons(tokens) for tokens in tokens_of(table))
    if kind is Kind.PLACE and persons:
        return Classification(DataClass.GEO, "name", f"type {type_name} beside a person")
    things = any(_is_about_things(tokens) for tokens in tokens_of(table))
    for tokens in readings:
        found = _class_of(tokens, kind, persons, things) or _class_in_table(tokens, tokens_of(table)[0], kind)
        if found is not None and can_hold(kind, found) and not _is_key(tokens, kind):
            return Classification(found, "name", f"name {' '.join(tokens)}")
    return None


def classify_name(column: str) -> Classification | None:
    """The class of a column of which only the name is known."""
    return classify_column("", "", column, "text", None)


def _class_of(tokens: Tokens, kind: Kind, persons: bool, things: bool) -> DataClass | None:
    """The class that a name has by its vocabulary."""
    if not tokens or tokens[0] in TRUTH:
        return None
    if kind is Kind.DOCUMENT and tokens in PROFILES:
        return DataClass.SENSITIVE
    if persons and tokens in ONLINE_NAMES:
        return DataClass.USERNAME
    match = _last_phrase(tokens)
    if match is not None and all(token in NEUTRAL or token.isdigit() for token in tokens[match[1] :]):
        start, end, found = match
        before = tokens[start - 1] if start else ""
        if found in _JOINED_TO_ADDRESS and before in NOT_STREET:
            return None
        phrase = tokens[start:end]
        if phrase in NAMES_OF_PERSONS_ONLY and (things or before in THINGS):
            return None
        return found
    return DataClass.PERSON_NAME if _is_name_of_person(tokens, persons) else None


def _is_key(tokens: Tokens, kind: Kind) -> bool:
    """Whether a number or UUID is a key of some row rather than what its name says (`device_id`, but not `tax_id`)."""
    return kind in (Kind.INTEGER, Kind.UUID) and tokens[-1] in ("id", "ids") and tokens[-2:] not in _OFFICIAL and tokens[0] != "session"


def _last_phrase(tokens: Tokens) -> tuple[int, int, DataClass] | None:
    """The longest phrase that ends last."""
    for end in range(len(tokens), 0, -1):
        for start in range(max(0, end - PHRASE_LENGTH_MAX), end):
            found = PHRASES.get(tokens[start:end])
            if found is not None:
                return start, end, found
    return None


def _is_name_of_person(tokens: Tokens, persons: bool) -> bool:
    end = len(tokens)
    while end > 1 and (tokens[end - 1] in NEUTRAL or tokens[end - 1].isdigit()) and tokens[end - 1] not in NAME_NOUNS:
        end -= 1
    tokens = tokens[:end]
    if tokens in NAMES_OF_PERSONS_ONLY:
        return persons
    if tokens[-1] not in NAME_NOUNS:
        return False
    if len(tokens) == 1:
        return persons
    return bool(singular(tokens[-2]) & PERSONS) and not singular(tokens[-2]) & THINGS


def _is_about_persons(table: Tokens) -> bool:
    table = tuple(token for token in table if token not in NEUTRAL and token not in _ABOUT_TABLES)
    if not table:
        return False
    if singular(table[-1]) & PERSONS:
        return True
    return bool(singular(table[0]) & PERSONS) and not any(singular(token) & THINGS for token in table)


def _is_about_things(table: Tokens) -> bool:
    return bool(table) and bool(singular(table[-1]) & THINGS) and not singular(table[-1]) & PERSONS


def _class_in_table(tokens: Tokens, table: Tokens, kind: Kind) -> DataClass | None:
    """Names that mean something only in a table of patients or sessions."""
    if tokens in _IDENTIFIERS and table and table[0] in _PATIENT and kind is Kind.TEXT:
        return DataClass.MEDICAL_ID
    if tokens == ("session", "id") and table and table[-1] in _SESSIONS and kind in (Kind.TEXT, Kind.UUID):
        return DataClass.SECRET
    return None
