"""Column names taken apart: tokens of a name, and the vocabulary as phrases of tokens."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from querywarden.masking.vocabulary import contact, documents, grammar, people, technical
from querywarden.model.catalogue import DataClass

_TOKEN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_LETTERS = str.maketrans(
    {"ß": "ss", "ı": "i", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "đ": "d", "Đ": "D", "þ": "th", "ð": "d"}
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "å": "aa", "Å": "Aa"})
_PIECE_LENGTH_MIN = 3

Tokens = tuple[str, ...]


def _split(name: str) -> Tokens:
    plain = unicodedata.normalize("NFKD", name.translate(_LETTERS))
    ascii_only = "".join(c for c in plain if not unicodedata.combining(c))
    return tuple(token.lower() for token in _TOKEN.findall(ascii_only))


def _tokens_of_words(text: str) -> frozenset[str]:
    return frozenset(token for word in text.split() for token in _split(word))


def _phrases(text: str) -> frozenset[Tokens]:
    return frozenset(_split(entry) for entry in text.split())


CLASSES: tuple[tuple[DataClass, str], ...] = (
    (DataClass.PASSWORD_HASH, technical.PASSWORD_HASHES),
    (DataClass.PASSWORD, technical.PASSWORDS),
    (DataClass.SECRET, technical.SECRETS),
    (DataClass.EMAIL, contact.EMAILS),
    (DataClass.PHONE, contact.PHONES),
    (DataClass.USERNAME, people.USERNAMES),
    (DataClass.PERSON_NAME, people.GIVEN_AND_FAMILY_NAMES),
    (DataClass.DOB, people.BIRTH),
    (DataClass.GENDER, people.GENDERS),
    (DataClass.NATIONAL_ID, documents.NATIONAL_IDS),
    (DataClass.TAX_ID, documents.TAX_IDS),
    (DataClass.PASSPORT, documents.PASSPORTS),
    (DataClass.LICENSE, documents.LICENSES),
    (DataClass.VEHICLE_ID, documents.VEHICLES),
    (DataClass.CREDIT_CARD, documents.CARDS),
    (DataClass.IBAN, documents.IBANS),
    (DataClass.BANK_ACCOUNT, documents.BANK_ACCOUNTS),
    (DataClass.CRYPTO, documents.CRYPTO),
    (DataClass.MEDICAL_ID, documents.MEDICAL_IDS),
    (DataClass.HEALTH, documents.HEALTH),
    (DataClass.IP, technical.IPS),
    (DataClass.MAC, technical.MACS),
    (DataClass.DEVICE_ID, technical.DEVICES),
    (DataClass.POSTCODE, contact.POSTCODES),
    (DataClass.CITY, contact.CITIES),
    (DataClass.ADDRESS, contact.ADDRESSES),
    (DataClass.GEO, contact.PLACES),
    (DataClass.SENSITIVE, documents.SENSITIVE + contact.CONTACT_DETAILS),
)
"""The vocabulary of each class; where two have the same phrase, the first wins."""

PHRASES: dict[Tokens, DataClass] = {}
for _data_class, _text in CLASSES:
    for _phrase in _phrases(_text):
        PHRASES.setdefault(_phrase, _data_class)
PHRASE_LENGTH_MAX = max(len(phrase) for phrase in PHRASES)

NEUTRAL = _tokens_of_words(grammar.NEUTRAL_AFTER)
TRUTH = _tokens_of_words(grammar.TRUTH_BEFORE)
NOT_STREET = _tokens_of_words(grammar.NOT_STREET_BEFORE)
NAME_NOUNS = _tokens_of_words(people.NAME_NOUNS.replace("display_name", "").replace("displayname", ""))
NAMES_OF_PERSONS_ONLY = _phrases(people.NAME_IN_TABLES_OF_PERSONS)
ONLINE_NAMES = _phrases(people.ONLINE_NAMES_IN_TABLES_OF_PERSONS)
PROFILES = _phrases(contact.PROFILES)
PERSONS = frozenset(people.PERSONS.replace("_", " ").split())
THINGS = frozenset(people.THINGS.replace("_", " ").split())
_PIECES = (
    frozenset(token for phrase in PHRASES for token in phrase)
    | NEUTRAL
    | NAME_NOUNS
    | PERSONS
    | THINGS
    | _tokens_of_words(grammar.HEADS_THAT_RULE_OUT)
    | frozenset({"ship", "bill", "payment", "sender", "receiver"})
)
_ENDINGS = frozenset({"id", "ids", "no", "nr", "ip", "at", "on"})
_JOINTS = frozenset({"", "s", "n", "en"})


@lru_cache(maxsize=20_000)
def tokens_of(name: str) -> tuple[Tokens, ...]:
    """The tokens of a name, compounds taken apart; twice for names with umlauts, which schemas write in two ways."""
    readings = [name] if name.translate(_UMLAUTS) == name else [name, name.translate(_UMLAUTS)]
    return tuple(tuple(piece for token in _split(reading) for piece in _pieces(token)) for reading in readings)


def _pieces(token: str) -> Tokens:
    """A token that isn't a word itself, as the words that it is made of: `kundenname` is `kunden` and `name`."""
    if token in _PIECES or len(token) < 2 * _PIECE_LENGTH_MIN - 1 or len(token) > 40 or token.isdigit():
        return (token,)
    best: dict[int, Tokens] = {0: ()}
    for end in range(1, len(token) + 1):
        for start, before in list(best.items()):
            for joint in _JOINTS if before else ("",):
                word = token[start:end]
                if joint and not word.startswith(joint):
                    continue
                word = word[len(joint) :]
                is_long = len(word) >= _PIECE_LENGTH_MIN and word in _PIECES
                if not (is_long or (end == len(token) and before and word in _ENDINGS)):
                    continue
                found = (*before, word)
                if end not in best or len(found) < len(best[end]):
                    best[end] = found
    return best.get(len(token), (token,))


def singular(token: str) -> frozenset[str]:
    """The forms that a table's noun may have in the vocabulary."""
    forms = {token}
    for ending in ("s", "es", "en", "n", "e"):
        if token.endswith(ending) and len(token) > len(ending) + 2:
            forms.add(token[: -len(ending)])
    if token.endswith("ies"):
        forms.add(token[:-3] + "y")
    return frozenset(forms)
