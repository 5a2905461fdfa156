"""Masks are known again: by their form where that is theirs alone, else from memory."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querywarden.masking.key import MaskingKey
from querywarden.masking.operators import Operator
from querywarden.masking.plan import ColumnMask
from querywarden.masking.write_back import MaskedValues, canonical, is_masked_form
from querywarden.model.catalogue import DataClass
from querywarden.postgresql.cell_masks import CellMask
from querywarden.postgresql.rows import mask_value
from querywarden.postgresql.value_masks import cell_mask

KEY = MaskingKey(bytes(range(32)))
TEXT, VARCHAR, CHARACTER, BYTEA, XML, JSONB, TEXT_ARRAY = 25, 1043, 1042, 17, 142, 3802, 1009


def hashed(value: bytes) -> int:
    return int.from_bytes(blake2b(value, digest_size=8, key=b"of the test").digest(), "little")


def masked(operator: Operator, value: str, type_id: int = TEXT, modifier: int = -1) -> str:
    """What a client is shown of a value."""
    cell: CellMask = cell_mask(type_id, modifier, 0, ColumnMask(DataClass.EMAIL, operator, is_derived=False), KEY)
    shown = cell.callback(value.encode()) if cell.callback is not None else mask_value(cell, value.encode())
    assert shown is not None
    return shown.decode()


@pytest.mark.parametrize(
    ("operator", "value", "type_id", "modifier"),
    [
        (Operator.EMAIL, "ann@corp.test", TEXT, -1),
        (Operator.EMAIL, "ann@corp.test", VARCHAR, 4 + 17),
        (Operator.EMAIL, "ann@corp.test", VARCHAR, 4 + 12),
        (Operator.EMAIL, "ann@corp.test", CHARACTER, 4 + 40),
        (Operator.USERNAME, "ann", TEXT, -1),
        (Operator.CARD, "4111 1111 1111 1111", TEXT, -1),
        (Operator.CARD, "4111111111111111", TEXT, -1),
        (Operator.CARD, "4111-1111-11", TEXT, -1),
        (Operator.REDACT, "anything", TEXT, -1),
        (Operator.REDACT, "anything", VARCHAR, 4 + 6),
        (Operator.SECRET, "anything", TEXT, -1),
        (Operator.SECRET, "anything", CHARACTER, 4 + 20),
        (Operator.REDACT, "\\x0102", BYTEA, -1),
        (Operator.REDACT, "<a/>", XML, -1),
        (Operator.REDACT, '"a"', JSONB, -1),
        (Operator.EMAIL, "{ann@corp.test,NULL}", TEXT_ARRAY, -1),
        (Operator.REDACT, '{"a b",c}', TEXT_ARRAY, -1),
    ],
)
def test_masks_of_a_form_of_their_own_are_known(operator: Operator, value: str, type_id: int, modifier: int) -> None:
    shown = masked(operator, value, type_id, modifier)
    assert is_masked_form(shown), shown
    assert is_masked_form(shown.upper()), shown
    assert not is_masked_form(value)


@pytest.mark.parametrize(
    "value",
    ["", "*", "***", "-", "- - -", "    ", "u_", "u_short", "u_abcdefghij2", "u_abcdefghi1", "u_abcdefghij@corp.test", "redacted",
     "a [redacted] part",
     "{}", "[]", "{a,b}", "0", "2000-01-01", "4111 1111 1111 1111", "1111", "1234-5678", "*** bold ***", "\\x2a", "Peter", "**** 12345"],
)  # fmt: skip
def test_other_values_are_not_taken_for_masks(value: str) -> None:
    assert not is_masked_form(value)


@given(st.text())
def test_any_text_has_an_answer(value: str) -> None:
    assert is_masked_form(value) in (True, False)


def test_what_is_remembered_is_known_in_any_spelling() -> None:
    memory = MaskedValues(hashed)
    shown = masked(Operator.PHONE, "+49 151 2345 6789")
    assert not memory.knows(shown.encode())
    memory.remember(shown.encode())
    assert memory.knows(shown.encode())
    memory.remember(b"Tagubiko Feretu")
    assert memory.knows(b"TAGUBIKO FERETU  ")
    assert not memory.knows(b"Tagubiko Feret")
    assert b"tagubiko feretu" == canonical(b" Tagubiko Feretu ")


@pytest.mark.parametrize("value", [b"", b"7", b"1234567", b"Peter", b"12-34-56", b"1980-01", "Jürg".encode()])
def test_what_is_too_short_is_not_kept(value: bytes) -> None:
    memory = MaskedValues(hashed)
    memory.remember(value)
    assert not memory.knows(value)
    assert bytes(len(memory.slots)) == memory.slots


def test_the_newest_stay_and_the_oldest_go() -> None:
    memory = MaskedValues(hashed, slots=1024)
    values = [b"value number %08d" % number for number in range(10_000)]
    for value in values:
        memory.remember(value)
    newest, oldest = values[-300:], values[:5000]
    assert 300 == sum(memory.knows(value) for value in newest)
    assert 0 == sum(memory.knows(value) for value in oldest)


def test_one_that_is_shown_again_takes_no_second_slot() -> None:
    memory = MaskedValues(hashed, slots=8)
    for number in range(8):
        memory.remember(b"value number %d" % number)
        memory.remember(b"value number 0")
    assert all(memory.knows(b"value number %d" % number) for number in range(8))


def test_a_full_memory_hardly_ever_knows_what_it_was_not_told() -> None:
    memory = MaskedValues(hashed, slots=4096)
    for number in range(8192):
        memory.remember(b"value number %08d" % number)
    assert 0 == sum(memory.knows(b"other number %08d" % number) for number in range(50_000))


@pytest.mark.parametrize("slots", [0, 4, 12])
def test_slots_come_in_buckets(slots: int) -> None:
    with pytest.raises(ValueError, match="buckets"):
        MaskedValues(hashed, slots)


def test_a_fingerprint_of_zero_is_not_an_empty_slot() -> None:
    memory = MaskedValues(lambda value: len(value), slots=8)
    assert not memory.knows(b"12345678")
    memory.remember(b"12345678")
    assert memory.knows(b"12345678")
