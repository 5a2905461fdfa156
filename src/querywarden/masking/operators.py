"""Mask operators: what each of them keeps of a value, and which one a class of data has by default."""

from __future__ import annotations

from enum import StrEnum

from querywarden.model.catalogue import DataClass


class Operator(StrEnum):
    """A way to mask a value. All of them keep NULL and the empty string; the kernel makes them valid for each type."""

    EMAIL = "email"
    """`u_<10 keyed letters>@example.com`; equality is kept, upper and lower case don't matter."""
    PHONE = "phone"
    """The format and the leading `+`; every digit is replaced by a keyed one. Equality is kept."""
    CARD = "card"
    """The separators and the last four digits (as receipts do); the other digits become `*`, or 0 in numbers."""
    IBAN = "iban"
    """The country, length and grouping; the rest is keyed. Equality is kept."""
    SHAPE = "shape"
    """The places of letters, digits and punctuation; every letter and digit is keyed. Equality is kept."""
    NAME = "name"
    """The number of words and their case; each word becomes keyed syllables. Equality is kept."""
    USERNAME = "username"
    """`u_<10 keyed letters>`. Equality is kept."""
    NETWORK = "network"
    """The network of an address: /24 of IPv4, /48 of IPv6, host part zero."""
    HARDWARE = "hardware"
    """A hardware address keyed into the locally administered range. Equality is kept."""
    YEAR = "year"
    """The year of a date: its first of January."""
    REDACT = "redact"
    """Nothing: a constant of the type."""
    SECRET = "secret"  # noqa: S105 - the name of an operator
    """Nothing, not even equality: a constant that says so."""
    NULL = "null"
    """Nothing: NULL."""


DEFAULT_OPERATORS: dict[DataClass, Operator] = {
    DataClass.EMAIL: Operator.EMAIL,
    DataClass.PHONE: Operator.PHONE,
    DataClass.PERSON_NAME: Operator.NAME,
    DataClass.USERNAME: Operator.USERNAME,
    DataClass.ADDRESS: Operator.REDACT,
    DataClass.POSTCODE: Operator.REDACT,
    DataClass.CITY: Operator.REDACT,
    DataClass.GEO: Operator.REDACT,
    DataClass.DOB: Operator.YEAR,
    DataClass.GENDER: Operator.REDACT,
    DataClass.NATIONAL_ID: Operator.SHAPE,
    DataClass.TAX_ID: Operator.SHAPE,
    DataClass.PASSPORT: Operator.SHAPE,
    DataClass.LICENSE: Operator.SHAPE,
    DataClass.VEHICLE_ID: Operator.SHAPE,
    DataClass.CREDIT_CARD: Operator.CARD,
    DataClass.IBAN: Operator.IBAN,
    DataClass.BANK_ACCOUNT: Operator.SHAPE,
    DataClass.CRYPTO: Operator.SHAPE,
    DataClass.IP: Operator.NETWORK,
    DataClass.MAC: Operator.HARDWARE,
    DataClass.DEVICE_ID: Operator.SHAPE,
    DataClass.MEDICAL_ID: Operator.SHAPE,
    DataClass.HEALTH: Operator.REDACT,
    DataClass.SENSITIVE: Operator.REDACT,
    DataClass.PASSWORD: Operator.SECRET,
    DataClass.PASSWORD_HASH: Operator.SECRET,
    DataClass.SECRET: Operator.SECRET,
    DataClass.OPAQUE: Operator.NULL,
}
"""The operator of each class; a class without one can't exist, which a test proves."""

_NAMES = frozenset(operator.value for operator in Operator)
_OF_DERIVED = frozenset({Operator.NULL, Operator.REDACT, Operator.SECRET})
"""What may mask a value that is derived from classified ones: nothing of it may stay, not even equality."""


def operator_of(data_class: DataClass, name: str | None) -> Operator:
    """The operator of a class of data: the class's own, or the one of this name.

    A name that isn't that of an operator gives NULL: who wrote it wanted a mask. Whether an operator suits a column's type is settled where
    the type is known; what doesn't is masked by a constant there.
    """
    if name is None:
        return DEFAULT_OPERATORS[data_class]
    if name not in _NAMES:
        return Operator.NULL
    operator = Operator(name)
    return operator if data_class is not DataClass.OPAQUE or operator in _OF_DERIVED else DEFAULT_OPERATORS[data_class]
