"""What the kernels remember of the masks that they show is what Python's way of remembering would, and no less."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.rows import decode_row, encode_row

from querywarden.masking.key import MaskingKey
from querywarden.masking.operators import Operator
from querywarden.masking.plan import ColumnMask
from querywarden.masking.write_back import MaskedValues, is_masked_form
from querywarden.model.catalogue import DataClass
from querywarden.model.data_flow import FlowKind, OutputFlow, ValueFlow
from querywarden.model.facts import CopyFormat
from querywarden.postgresql.array_masks import mask_array_text
from querywarden.postgresql.cell_masks import Action, CellMask, memory_for
from querywarden.postgresql.copy_masks import copy_masker
from querywarden.postgresql.numeric_masks import decode_numeric, encode_numeric
from querywarden.postgresql.rows import RowMasker, hashed_mask, mask_value
from querywarden.postgresql.value_masks import cell_mask

KEY = MaskingKey(bytes(range(32)))
SECRET = bytes(range(16))
TEXT, INT4, INT8, NUMERIC, UUID, MACADDR, TEXT_ARRAY, INT8_ARRAY = 25, 23, 20, 1700, 2950, 829, 1009, 1016


def memory(slots: int = 1024) -> MaskedValues:
    return MaskedValues(partial(hashed_mask, SECRET), slots, SECRET)


def cell(operator: Operator, type_id: int = TEXT, code: int = 0) -> CellMask:
    return cell_mask(type_id, -1, code, ColumnMask(DataClass.PHONE, operator, is_derived=False), KEY)


def shown(mask: CellMask, values: list[bytes | None], remembered: MaskedValues | None) -> list[bytes | None]:
    """The masks of a column of values, one in each row."""
    masker = RowMasker([mask], memory=remembered)
    found = []
    for value in values:
        row = encode_row([value])
        found += decode_row(masker.feed(row, 0, len(row))[0][5:])
    return found


CASES: list[tuple[Operator, int, bytes]] = [
    (Operator.PHONE, TEXT, b"+49 151 2345 6789"),
    (Operator.SHAPE, TEXT, b"AB-1234567"),
    (Operator.NAME, TEXT, "Jürgen Großmann".encode()),
    (Operator.IBAN, TEXT, b"DE89370400440532013000"),
    (Operator.HARDWARE, TEXT, b"08:00:2b:01:02:03"),
    (Operator.PHONE, INT8, b"-491512345678"),
    (Operator.PHONE, NUMERIC, b"491512345678.25"),
    (Operator.SHAPE, UUID, b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    (Operator.HARDWARE, MACADDR, b"08:00:2b:01:02:03"),
    (Operator.PHONE, TEXT_ARRAY, b'{"+49 151 2345 6789",NULL,x}'),
    (Operator.PHONE, INT8_ARRAY, b"{491512345678}"),
]


@pytest.mark.parametrize(("operator", "type_id", "value"), CASES)
def test_a_mask_is_known_to_who_was_shown_it_and_what_was_not_shown_is_not(operator: Operator, type_id: int, value: bytes) -> None:
    remembered = memory()
    (mask,) = shown(cell(operator, type_id), [value], remembered)
    assert mask is not None
    elements = mask.strip(b"{}").split(b",")[:1]
    assert not any(is_masked_form(element.decode()) for element in elements)
    assert all(remembered.knows(element.strip(b'"')) for element in elements)
    assert not remembered.knows(value.strip(b"{}").split(b",")[0].strip(b'"'))
    assert shown(cell(operator, type_id), [value], None) == [mask]


def _binary(type_id: int, value: bytes) -> bytes:
    match type_id:
        case 23 | 20:
            return int(value).to_bytes(4 if type_id == INT4 else 8, "big", signed=True)
        case 1700:
            return encode_numeric(value)
        case 2950:
            return bytes.fromhex(value.replace(b"-", b"").decode())
    return bytes.fromhex(value.replace(b":", b"").decode())


def _text(type_id: int, value: bytes) -> bytes:
    match type_id:
        case 23 | 20:
            return str(int.from_bytes(value, "big", signed=True)).encode()
        case 1700:
            return decode_numeric(value) or b""
        case 2950:
            digits = value.hex()
            return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}".encode()
    return value.hex(":").encode()


@pytest.mark.parametrize(
    ("type_id", "value"),
    [(INT4, b"1234567890"), (INT8, b"-9123456789012"), (INT8, b"12345678"), (NUMERIC, b"-12345678.25"),
     (UUID, b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), (MACADDR, b"08:00:2b:01:02:03"), (774, b"08:00:2b:01:02:03:04:05")],
)  # fmt: skip
def test_binary_masks_are_remembered_in_their_text_form(type_id: int, value: bytes) -> None:
    remembered = memory()
    (mask,) = shown(cell(Operator.HARDWARE if type_id in (829, 774) else Operator.PHONE, type_id, 1), [_binary(type_id, value)], remembered)
    assert mask is not None
    assert remembered.knows(_text(type_id, mask)), _text(type_id, mask)


def test_the_elements_of_binary_arrays_are_remembered() -> None:
    remembered = memory()
    element = (491512345678).to_bytes(8, "big")
    array = struct.pack("!iiIii", 1, 0, INT8, 1, 1) + struct.pack("!i", 8) + element
    (mask,) = shown(cell(Operator.PHONE, INT8_ARRAY, 1), [array], remembered)
    assert mask is not None
    assert remembered.knows(str(int.from_bytes(mask[-8:], "big")).encode())


@pytest.mark.parametrize(
    ("operator", "type_id", "value"),
    [(Operator.EMAIL, TEXT, b"ann@corp.test"), (Operator.CARD, TEXT, b"4111 1111 1111 1111"), (Operator.REDACT, TEXT, b"a whole text"),
     (Operator.SECRET, TEXT, b"a whole text"), (Operator.REDACT, INT8, b"123456789012"), (Operator.YEAR, 1082, b"1980-05-06"),
     (Operator.NETWORK, 869, b"192.168.123.123"), (Operator.PHONE, TEXT, b"123-4567"), (Operator.NAME, TEXT, b"Li")],
)  # fmt: skip
def test_masks_of_a_known_form_and_constants_take_no_room(operator: Operator, type_id: int, value: bytes) -> None:
    remembered = memory()
    shown(cell(operator, type_id), [value, None, b""], remembered)
    assert bytes(len(remembered.slots)) == remembered.slots


pieces = st.one_of(st.binary(max_size=30), st.text(max_size=20).map(str.encode), st.from_regex(rb"[ ]{0,2}[A-Za-z0-9 +-]{0,20}[ ]{0,2}"))


@settings(max_examples=300)
@given(st.lists(pieces, max_size=60), st.sampled_from([8, 16, 24, 1024]), st.sampled_from([Operator.PHONE, Operator.NAME, Operator.IBAN]))
def test_the_kernel_remembers_exactly_what_python_would(values: list[bytes], slots: int, operator: Operator) -> None:
    by_kernel, by_python = memory(slots), memory(slots)
    for mask in shown(cell(operator), list(values), by_kernel):
        if mask:
            by_python.remember(mask)
    assert by_kernel.slots == by_python.slots


@settings(max_examples=100)
@given(st.lists(st.tuples(pieces, pieces), max_size=30))
def test_one_memory_serves_several_columns_and_ways_of_masking(rows: list[tuple[bytes, bytes]]) -> None:
    by_kernel, by_python = memory(16), memory(16)
    texts, arrays = cell(Operator.PHONE), cell(Operator.PHONE, TEXT_ARRAY)
    masker = RowMasker([texts, arrays, texts], memory=by_kernel)
    data = b"".join(encode_row([one, b'{"' + other.hex().encode() + b'"}', other]) for one, other in rows)
    masked, _ = masker.feed(data, 0, len(data))
    position = 0
    while position < len(masked):
        size = 1 + int.from_bytes(masked[position + 1 : position + 5], "big")
        first, array, last = decode_row(masked[position + 5 : position + size])
        for mask in (first, array.strip(b'{}"') if array else None, last):
            if mask:
                by_python.remember(mask)
        position += size
    assert by_kernel.slots == by_python.slots


@pytest.mark.parametrize("form", [CopyFormat(), CopyFormat("csv", b",", b"", b'"', b'"'), CopyFormat("binary", b"", b"")])
def test_copies_remember_too(form: CopyFormat) -> None:
    remembered = memory()
    values = [b"+49 151 2345 %04d" % number for number in range(50)]
    masks = [mask_value(cell(Operator.PHONE), value) for value in values]
    column = OutputFlow("c", ValueFlow(FlowKind.DIRECT), TEXT)
    masker = copy_masker(
        form, [column], [ColumnMask(DataClass.PHONE, Operator.PHONE, is_derived=False)], KEY, remembered=lambda: remembered
    )
    assert masker is not None
    payload = b"".join(value + b"\n" for value in values)
    if form.format == "binary":
        rows = b"".join(struct.pack("!hi", 1, len(value)) + value for value in values)
        payload = b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows + b"\xff\xff"
    data = b"d" + (len(payload) + 4).to_bytes(4, "big") + payload
    masker.feed(data, 0, len(data))
    assert all(mask is not None and remembered.knows(mask) for mask in masks)
    assert not any(remembered.knows(value) for value in values)


def test_the_elements_of_an_array_in_text_are_remembered_one_by_one() -> None:
    remembered = memory()
    element = cell(Operator.PHONE)
    masked = mask_array_text(element, b"{491512345678,491512345679}", remembered)
    assert masked is not None
    assert all(remembered.knows(each) for each in masked.strip(b"{}").split(b","))
    assert not remembered.knows(masked)


def test_a_memory_is_asked_for_only_where_a_mask_is_to_be_remembered() -> None:
    asked: list[MaskedValues] = []

    def make() -> MaskedValues:
        asked.append(memory())
        return asked[-1]

    assert memory_for([None, cell(Operator.EMAIL), cell(Operator.CARD), cell(Operator.REDACT)], make) is None
    assert memory_for([cell(Operator.PHONE)], None) is None
    assert not asked
    assert memory_for([None, cell(Operator.PHONE)], make) is asked[0]


def test_a_memory_needs_a_key_and_room() -> None:
    wrong = memory()
    wrong.key = b"short"
    with pytest.raises(ValueError, match="key"):
        RowMasker([CellMask(Action.SHAPE)], memory=wrong)
    wrong.key, wrong.slots = SECRET, bytearray(8)
    with pytest.raises(ValueError, match="room"):
        RowMasker([CellMask(Action.SHAPE)], memory=wrong)
    hashes: list[Callable[[], int]] = [partial(hashed_mask, b"", b"12345678"), partial(hashed_mask, SECRET, b"1234567")]
    for hashed in hashes:
        with pytest.raises(ValueError, match="key"):
            hashed()


def test_slots_stay_where_they_are_while_a_kernel_fills_them() -> None:
    remembered = memory()
    masker = RowMasker([cell(Operator.PHONE)], memory=remembered)
    with pytest.raises(BufferError):
        remembered.slots.extend(b"more")
    del masker
    remembered.slots.extend(bytes(32))


def test_hashes_differ_by_key_case_aside_and_by_every_byte() -> None:
    values = [bytes([first]) + b"bcdefgh%d" % number for first in b"axyz" for number in range(500)]
    assert len({hashed_mask(SECRET, value) for value in values}) == len(values)
    assert len({hashed_mask(SECRET, value) >> 32 for value in values}) == len(values)
    assert hashed_mask(SECRET, b"ABCDEFGHIJ") == hashed_mask(SECRET, b"abcdefghij")
    assert hashed_mask(SECRET, b"abcdefghij") != hashed_mask(bytes(16), b"abcdefghij")
    assert hashed_mask(SECRET, b"abcdefgh") != hashed_mask(SECRET, b"abcdefgh\0")
