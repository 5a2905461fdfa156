"""Declared types: the kind of a column's type, and the classes whose values a kind can hold."""

from __future__ import annotations

import re
from enum import StrEnum

from querywarden.model.catalogue import DataClass


class Kind(StrEnum):
    """A kind of declared type, as far as it tells what a column can't hold."""

    TEXT = "text"
    TRUTH = "truth"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIME = "time"
    UUID = "uuid"
    NETWORK = "network"
    HARDWARE = "hardware"
    PLACE = "place"
    DOCUMENT = "document"
    OTHER = "other"
    """A type that holds no data of its own: search vectors, intervals, references."""


_WORDS = {
    Kind.TRUTH: "bool boolean bit",
    Kind.INTEGER: "smallint integer int int2 int4 int8 bigint serial smallserial bigserial mediumint tinyint oid",
    Kind.DECIMAL: "numeric decimal real float float4 float8 double money number",
    Kind.DATE: "date datetime timestamp timestamptz",
    Kind.TIME: "time timetz",
    Kind.UUID: "uuid",
    Kind.NETWORK: "inet cidr",
    Kind.HARDWARE: "macaddr macaddr8",
    Kind.PLACE: "point geometry geography polygon path circle box lseg line",
    Kind.DOCUMENT: "json jsonb xml hstore",
    Kind.OTHER: "tsvector tsquery interval regclass regtype regproc pg_lsn xid xid8 int4range int8range daterange tsrange tstzrange void",
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_FIRST_WORD = re.compile(r"[a-z_0-9]+")

_NUMBERS = frozenset(
    {
        DataClass.PHONE, DataClass.NATIONAL_ID, DataClass.TAX_ID, DataClass.CREDIT_CARD, DataClass.BANK_ACCOUNT, DataClass.MEDICAL_ID,
        DataClass.SENSITIVE, DataClass.DOB, DataClass.GENDER, DataClass.POSTCODE, DataClass.DEVICE_ID, DataClass.PASSPORT,
        DataClass.LICENSE,
    }
)  # fmt: skip

_HELD: dict[Kind, frozenset[DataClass]] = {
    Kind.TRUTH: frozenset(),
    Kind.INTEGER: _NUMBERS,
    Kind.DECIMAL: (_NUMBERS | {DataClass.GEO}) - {DataClass.GENDER, DataClass.DOB},
    Kind.DATE: frozenset({DataClass.DOB}),
    Kind.TIME: frozenset({DataClass.DOB}),
    Kind.UUID: frozenset({DataClass.SECRET, DataClass.DEVICE_ID}),
    Kind.NETWORK: frozenset({DataClass.IP}),
    Kind.HARDWARE: frozenset({DataClass.MAC}),
    Kind.PLACE: frozenset({DataClass.GEO}),
    Kind.OTHER: frozenset(),
}


def kind_of(type_name: str) -> Kind:
    """The kind of a declared type; a type that isn't known (a domain, an enumeration, a composite) counts as text."""
    lowered = type_name.lower()
    if lowered.startswith("tinyint(1)"):
        return Kind.TRUTH
    if lowered.startswith("bit varying"):
        return Kind.TEXT
    word = _FIRST_WORD.match(lowered.removeprefix("pg_catalog."))
    kind = _KINDS.get(word[0], Kind.TEXT) if word else Kind.TEXT
    if "[]" in lowered:
        return Kind.DOCUMENT if kind is Kind.TEXT else kind
    return kind


def can_hold(kind: Kind, data_class: DataClass) -> bool:
    """Whether values of a class make sense in a type of this kind."""
    return kind not in _HELD or data_class in _HELD[kind]
