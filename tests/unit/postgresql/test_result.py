"""RowDescription, result formats and compiled rows; masked values stay valid and hold nothing of the original."""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import re
import struct
import uuid

import psycopg
import psycopg.types.json
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.adapt import Transformer
from psycopg.pq import Format
from tests.model.rows import decode_row, encode_row

from querywarden.errors import PeerViolation
from querywarden.masking.key import MaskingKey
from querywarden.masking.operators import DEFAULT_OPERATORS, Operator
from querywarden.masking.plan import ColumnMask, OutputColumn, mask_of_class
from querywarden.model.catalogue import DataClass
from querywarden.postgresql.numeric_masks import decode_numeric, encode_numeric
from querywarden.postgresql.result import FieldDescription, compile_rows, decode_row_description, output_columns, result_formats
from querywarden.postgresql.rows import mask_value
from querywarden.postgresql.value_masks import cell_mask

KEY = MaskingKey(b"k" * 32)
LOADERS = Transformer(psycopg.adapters)
FIELD = FieldDescription(b"mail", 16384, 2, 25, -1, -1, 0)


def describe(*fields: FieldDescription) -> bytes:
    """The body of a RowDescription."""
    body = len(fields).to_bytes(2, "big")
    for f in fields:
        body += f.name + b"\0" + struct.pack("!IhIhih", f.relation_id, f.column_number, f.type_oid, f.type_size, f.type_modifier, f.format)
    return body


def mask_one(data_class: DataClass, type_oid: int, value: bytes, binary: int = 0, modifier: int = -1) -> bytes | None:
    """The mask of one value by its class."""
    return mask_value(cell_mask(type_oid, modifier, binary, mask_of_class(data_class), KEY), value)


def load(type_oid: int, value: bytes | None, binary: int = 0) -> object:
    """The value as a driver reads it."""
    assert value is not None
    return LOADERS.get_loader(type_oid, Format(binary)).load(value)


def test_row_description_is_decoded_in_wire_order() -> None:
    other = FieldDescription(b"", 0, 0, 1043, -1, 24, 1)
    assert decode_row_description(describe(FIELD, other)) == (FIELD, other)
    assert decode_row_description(memoryview(describe())) == ()


def test_row_description_with_any_byte_less_or_more_is_a_violation() -> None:
    body = describe(FIELD, FIELD)
    for cut in range(len(body)):
        with pytest.raises(PeerViolation):
            decode_row_description(body[:cut])
    with pytest.raises(PeerViolation):
        decode_row_description(body + b"\0")
    with pytest.raises(PeerViolation):
        decode_row_description(describe(FieldDescription(b"a", 0, 0, 25, -1, -1, 2)))


def test_output_columns_keep_names_that_are_not_utf8_apart() -> None:
    broken = FieldDescription(b"\xff", 1, 2, 25, -1, -1, 0)
    assert output_columns([FIELD, broken]) == (OutputColumn("mail", 16384, 2), OutputColumn("�", 1, 2))


def test_formats_are_none_one_for_all_or_one_each() -> None:
    binary = FieldDescription(b"b", 0, 0, 23, 4, -1, 1)
    assert result_formats([FIELD, binary], ()) == (0, 1)
    assert result_formats([FIELD, binary], (1,)) == (1, 1)
    assert result_formats([FIELD, binary], (0, 1)) == (0, 1)
    with pytest.raises(PeerViolation):
        result_formats([FIELD], (0, 1))


def test_nothing_masked_needs_no_masker_and_a_mask_too_few_is_an_error() -> None:
    assert compile_rows([FIELD], (), [None], KEY) is None
    with pytest.raises(ValueError, match="one mask"):
        compile_rows([FIELD], (), [], KEY)


def test_compiled_rows_mask_by_class_type_and_format() -> None:
    fields = [FIELD, FieldDescription(b"born", 1, 3, 1082, 4, -1, 0), FieldDescription(b"id", 1, 1, 23, 4, -1, 0)]
    masks = [mask_of_class(DataClass.EMAIL), mask_of_class(DataClass.DOB), None]
    masker = compile_rows(fields, (0, 1, 0), masks, KEY)
    assert masker is not None
    days = (datetime.date(1987, 4, 23) - datetime.date(2000, 1, 1)).days
    row = encode_row([b"Alice@Corp.example", struct.pack("!i", days), b"7"])
    out, position = masker.feed(row, 0, len(row))
    email, born, number = decode_row(out[5:])
    assert re.fullmatch(rb"u_[a-z2-7]{10}@example\.com", email or b"")
    assert load(1082, born, 1) == datetime.date(1987, 1, 1)
    assert (number, position, masker.masked_cells) == (b"7", len(row), 2)


def test_equal_values_have_equal_masks_within_a_class_and_unrelated_ones_across() -> None:
    first = mask_one(DataClass.EMAIL, 25, b"alice@corp.example")
    assert first == mask_one(DataClass.EMAIL, 1043, b"ALICE@corp.example")
    assert first != mask_one(DataClass.EMAIL, 25, b"alicf@corp.example")
    other = mask_value(cell_mask(25, -1, 0, ColumnMask(DataClass.USERNAME, Operator.EMAIL, False), KEY), b"alice@corp.example")
    assert first != other
    elsewhere = mask_value(cell_mask(25, -1, 0, mask_of_class(DataClass.EMAIL), MaskingKey(b"x" * 32)), b"alice@corp.example")
    assert first != elsewhere


def test_secrets_have_one_mask_whatever_they_are() -> None:
    for data_class in (DataClass.PASSWORD, DataClass.PASSWORD_HASH, DataClass.SECRET):
        assert mask_one(data_class, 25, b"ghp_0123456789") == mask_one(data_class, 25, b"hunter2") == b"********"


@pytest.mark.parametrize(
    ("data_class", "value", "pattern"),
    [
        (DataClass.PHONE, "+49 (170) 123-4567", r"\+\d\d \(\d{3}\) \d{3}-\d{4}"),
        (DataClass.CREDIT_CARD, "4111 1111 1111 1234", r"\*{4} \*{4} \*{4} 1234"),
        (DataClass.CREDIT_CARD, "1234", r"\*{4}"),
        (DataClass.IBAN, "DE89 3704 0044 0532 0130 00", r"DE\d\d \d{4} \d{4} \d{4} \d{4} \d\d"),
        (DataClass.NATIONAL_ID, "AB-123456-c", r"[A-Z]{2}-\d{6}-[a-z]"),
        (DataClass.PERSON_NAME, "Anna-Maria O'Neil", r"[A-Z][a-z]{4}-[A-Z][a-z]{4} [A-Z]'[A-Z][a-z]{4}"),
        (DataClass.PERSON_NAME, "王小明", r"[A-Z][a-z]{4}"),
        (DataClass.IP, "203.0.113.77", r"203\.0\.113\.0"),
        (DataClass.IP, "2001:db8:1:2::77", r"2001:db8:1::"),
        (DataClass.IP, "secret.host.example", r"0\.0\.0\.0"),
        (DataClass.MAC, "08:00:2b:01:02:03", r"02(:[0-9a-f]{2}){5}"),
        (DataClass.DOB, "1987-04-23", r"1987-01-01"),
        (DataClass.DOB, "23 April 1987", r"\[redacted\]"),
        (DataClass.ADDRESS, "12 Main Street", r"\[redacted\]"),
    ],
)
def test_text_masks_keep_what_their_operator_says(data_class: DataClass, value: str, pattern: str) -> None:
    masked = mask_one(data_class, 25, value.encode())
    assert masked is not None
    assert re.fullmatch(pattern, masked.decode()), masked


VALUES: list[tuple[int, int, bytes, object]] = [
    (16, 0, b"t", bool),
    (16, 1, b"\1", bool),
    (17, 0, b"\\xdeadbeef", bytes),
    (17, 1, b"\xde\xad\xbe\xef", bytes),
    (20, 0, b"9223372036854775807", int),
    (20, 1, struct.pack("!q", -(2**63)), int),
    (21, 0, b"-32768", int),
    (21, 1, struct.pack("!h", 32767), int),
    (23, 0, b"2147483647", int),
    (23, 1, struct.pack("!i", -2147483648), int),
    (700, 0, b"1.5e+20", float),
    (701, 1, struct.pack("!d", 52.520008), float),
    (1700, 0, b"-98765.4321", decimal.Decimal),
    (1700, 1, encode_numeric(b"-98765.4321"), decimal.Decimal),
    (114, 0, b'{"ssn": "078-05-1120"}', dict),
    (3802, 1, b'\1["078-05-1120"]', list),
    (3802, 0, b'"078-05-1120"', str),
    (2950, 0, b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", uuid.UUID),
    (2950, 1, uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").bytes, uuid.UUID),
    (869, 0, b"203.0.113.77", (ipaddress.IPv4Address, ipaddress.IPv4Interface)),
    (869, 1, b"\2\x20\0\4\xcb\0\x71\x4d", ipaddress.IPv4Address),
    (650, 0, b"2001:db8:1:2::/64", (ipaddress.IPv4Network, ipaddress.IPv6Network)),
    (650, 1, b"\2\x20\1\4\xcb\0\x71\x4d", ipaddress.IPv4Network),
    (1082, 0, b"1987-04-23", datetime.date),
    (1082, 1, struct.pack("!i", -4637), datetime.date),
    (1114, 0, b"1987-04-23 10:11:12.5", datetime.datetime),
    (1114, 1, struct.pack("!q", -400_000_000_000_001), datetime.datetime),
    (1184, 0, b"1987-04-23 10:11:12.5+02", datetime.datetime),
    (1184, 1, struct.pack("!q", -400_000_000_000_001), datetime.datetime),
    (1083, 0, b"10:11:12", datetime.time),
    (1083, 1, struct.pack("!q", 36_672_000_000), datetime.time),
    (1266, 0, b"10:11:12+02", datetime.time),
    (1186, 0, b"3 days", datetime.timedelta),
    (1186, 1, struct.pack("!qii", 5, 3, 1), datetime.timedelta),
    (1009, 0, b'{"Anna Smith",NULL,"",{bob}}', list),
    (1007, 0, b"{12345,-7,NULL}", list),
    (1009, 1, struct.pack("!iiIii", 1, 1, 25, 3, 1) + struct.pack("!i", 10) + b"Anna Smith" + b"\xff" * 4 + struct.pack("!i", 0), list),
]


@pytest.mark.parametrize("operator", list(Operator))
@pytest.mark.parametrize(("type_oid", "binary", "value", "expected"), VALUES)
def test_masked_value_is_valid_for_its_type_and_not_the_original(
    type_oid: int, binary: int, value: bytes, expected: type, operator: Operator
) -> None:
    masked = mask_value(cell_mask(type_oid, -1, binary, ColumnMask(DataClass.NATIONAL_ID, operator, False), KEY), value)
    if operator is Operator.NULL:
        assert masked is None
        return
    loaded = load(type_oid, masked, binary)
    assert isinstance(loaded, expected)
    original = load(type_oid, value, binary)
    is_coarse = operator in (Operator.YEAR, Operator.NETWORK)
    assert loaded != original or (is_coarse and type_oid in (650, 869, 1082))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(DataClass)), st.sampled_from([25, 1043, 1042, 19, 114, 3802]), st.binary(min_size=6, max_size=12))
def test_original_is_never_in_the_mask_of_a_text(data_class: DataClass, type_oid: int, secret: bytes) -> None:
    canary = secret.hex().encode()
    value = b'{"a":"' + canary + b'"}' if type_oid in (114, 3802) else b"Mr " + canary + b"@x.example"
    masked = mask_one(data_class, type_oid, value, modifier=54 if type_oid in (1042, 1043) else -1)
    assert masked is None or canary not in masked


@given(st.sampled_from(list(DataClass)), st.text(alphabet="aZ9é王 -", min_size=1, max_size=30), st.integers(1, 30))
def test_declared_length_is_never_exceeded_and_characters_stay_padded(data_class: DataClass, text: str, limit: int) -> None:
    text = text[:limit]
    varying = mask_one(data_class, 1043, text.encode(), modifier=limit + 4)
    assert varying is None or len(varying.decode()) <= limit
    fixed = mask_one(data_class, 1042, text.ljust(limit).encode(), modifier=limit + 4)
    if fixed is not None and DEFAULT_OPERATORS[data_class] is not Operator.YEAR:
        assert len(fixed.decode()) == limit


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**14), max_value=10**14))
def test_numeric_is_decoded_and_encoded_as_the_server_does(number: decimal.Decimal) -> None:
    text = f"{number:f}".encode()
    assert load(1700, encode_numeric(text), 1) == number
    assert decimal.Decimal((decode_numeric(encode_numeric(text)) or b"").decode()) == number


@pytest.mark.parametrize("value", [b"", b"\0\1", b"\0\2\0\0\0\0\0\0\0\1", b"\0\1\0\0\x12\x34\0\0\0\1"])
def test_malformed_numeric_becomes_null_or_zero(value: bytes) -> None:
    assert decode_numeric(value) in (None, b"NaN")


@pytest.mark.parametrize("value", [b"\0\0", b"\0\0\0\7" + bytes(80), struct.pack("!iiIii", 1, 0, 25, 1, 1) + struct.pack("!i", 99) + b"x"])
def test_malformed_binary_array_becomes_null(value: bytes) -> None:
    assert mask_one(DataClass.PERSON_NAME, 1009, value, binary=1) is None


def test_bounds_of_an_array_stay_and_its_elements_keep_their_masks() -> None:
    element = mask_one(DataClass.PERSON_NAME, 25, b"Anna Smith")
    assert element is not None
    assert mask_one(DataClass.PERSON_NAME, 1009, b'[0:1]={"Anna Smith",NULL}') == b'[0:1]={"' + element + b'",NULL}'


def test_types_that_are_not_known_become_null_but_citext_is_text() -> None:
    assert mask_one(DataClass.EMAIL, 70_000, b"alice@corp.example") is None
    cell = cell_mask(70_000, -1, 0, ColumnMask(DataClass.EMAIL, Operator.EMAIL, False, is_citext=True), KEY)
    assert mask_value(cell, b"alice@corp.example") == mask_one(DataClass.EMAIL, 25, b"alice@corp.example")


def test_masking_key_has_32_bytes_and_shows_nothing() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        MaskingKey(b"short")
    assert "k" not in repr(KEY).removeprefix("MaskingKey")
    assert len(KEY.derive("email")) == 16
    assert KEY.derive("email") != KEY.derive("phone")
