"""Believable personal data, made up: names, addresses, telephone and card numbers from small word lists and a seeded generator."""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass

_FIRST = (
    "Amelia", "Noah", "Sofia", "Liam", "Hannah", "Jonas", "Clara", "Mateo", "Ingrid", "Tomasz", "Yara", "Felix", "Zoe", "Omar",
    "Leonie", "Marco", "Freya", "Paul", "Nadia", "Henrik", "Alice", "Daan", "Elif", "Viktor", "Maeve", "Rafael", "Selma", "Hugo",
)  # fmt: skip
_LAST = (
    "Lindqvist", "Moreau", "Okafor", "Becker", "Santos", "Novak", "Hughes", "Yilmaz", "Rossi", "Jansen", "Keller", "Fischer",
    "Duarte", "O'Brien", "Petrov", "Andersen", "Marchetti", "Walsh", "Haddad", "Kowalski", "Van Dijk", "Schneider", "Costa", "Berg",
)  # fmt: skip
_STREETS = ("Harbour Street", "Mill Lane", "Lindenallee", "Rue des Tilleuls", "Station Road", "Via Verdi", "Kirkegata", "Orchard Close")
_CITIES = (
    ("Rotterdam", "3011"), ("Leipzig", "04109"), ("Lyon", "69002"), ("Bologna", "40121"), ("Porto", "4050"), ("Bergen", "5003"),
    ("Gdansk", "80-831"), ("Cork", "T12"),
)  # fmt: skip
_MAIL_HOSTS = ("postbox.example", "mail.example.org", "inbox.example.net", "example.com")


@dataclass(frozen=True, slots=True)
class Person:
    """A made-up person."""

    first_name: str
    last_name: str
    email: str
    phone: str
    date_of_birth: datetime.date
    street: str
    postcode: str
    city: str
    card_number: str
    iban: str


def with_luhn_digit(digits: str) -> str:
    """A card number: the digits and the check digit that makes them one."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return digits + str(-total % 10)


def with_iban_digits(country: str, account: str) -> str:
    """An IBAN: country, the two check digits, account."""
    letters = "".join(str(int(c, 36)) for c in f"{account}{country}00")
    return f"{country}{98 - int(letters) % 97:02d}{account}"


def _digits(draw: random.Random, count: int) -> str:
    return "".join(draw.choice("0123456789") for _ in range(count))


def make_person(draw: random.Random, number: int) -> Person:
    """The person of this number; the same generator gives the same people in the same order."""
    first, last = draw.choice(_FIRST), draw.choice(_LAST)
    city, postcode = draw.choice(_CITIES)
    ascii_last = last.lower().replace("'", "").replace(" ", "")
    return Person(
        first_name=first,
        last_name=last,
        email=f"{first.lower()}.{ascii_last}{number}@{draw.choice(_MAIL_HOSTS)}",
        phone=f"+44 20 7946 {_digits(draw, 4)}",
        date_of_birth=datetime.date(1946, 1, 1) + datetime.timedelta(days=draw.randrange(58 * 365)),
        street=f"{draw.randrange(1, 180)} {draw.choice(_STREETS)}",
        postcode=postcode,
        city=city,
        card_number=with_luhn_digit("4" + _digits(draw, 14)),
        iban=with_iban_digits("DE", _digits(draw, 18)),
    )
