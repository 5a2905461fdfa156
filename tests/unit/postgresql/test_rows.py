"""The row kernel against its oracle: every plan, row and chunking, and near-misses."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.rows import decode_row, encode_row, mask_rows
from tests.model.value_masks import masked, siphash

from querywarden.masking.key import MaskingKey
from querywarden.masking.operators import Operator
from querywarden.masking.plan import ColumnMask
from querywarden.model.catalogue import DataClass
from querywarden.postgresql import rows as kernel
from querywarden.postgresql.cell_masks import Action, CellMask, Fill
from querywarden.postgresql.row_errors import RowTooLarge, RowViolation
from querywarden.postgresql.rows import RowMasker, mask_value, relay_rows
from querywarden.postgresql.value_masks import cell_mask

KEY = MaskingKey(bytes(range(32)))
TYPES = [16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 142, 600, 650, 700, 701, 829, 869, 1007, 1009, 1015, 1042, 1043, 1082, 1083, 1114, 1184,
         1231, 1700, 2950, 3802, 99_999]  # fmt: skip
SAMPLES = [
    b"alice@corp.example", b"Anna-Maria O'Neil JR", "Żółć Ünal 王小明".encode(), b"+49 (170) 123-4567", b"4111 1111 1111 1111",
    b"DE89370400440532013000", b"10.1.2.3", b"10.1.2.3/25", b"fe80::1:2/64", b"1:2:3:4:5:6:7:8", b"::ffff:1.2.3.4", b"08:00:2b:01:02:03",
    b"1987-04-23", b"0044-03-15 BC", b"1987-04-23 10:00:00.5+02", b"23.04.1987", b"-12345.678", b"9223372036854775807", b"0.05", b"NaN",
    b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", b'{"a": 1}', b'  "x"', b"\1[1]", b"null", b"   ", b"\\x", b"\\xdeadbeef", b'{a,"b c",NULL}',
    bytes(4), bytes(8), b"\x80\0\0\0", b"\2\x20\0\4\x0a\1\2\3", b"\xff\xfe\x80", b"\0\1\0\0\0\0\0\2\x1e\x61\4\xd2",
]  # fmt: skip

Result = tuple[list[CellMask | None], list[list[bytes | None]]]

values = st.one_of(st.none(), st.just(b""), st.sampled_from(SAMPLES), st.binary(max_size=40), st.text(max_size=30).map(str.encode))
cells = st.one_of(
    st.none(),
    st.builds(
        lambda oid, modifier, code, operator, data_class: cell_mask(oid, modifier, code, ColumnMask(data_class, operator, False), KEY),
        st.sampled_from(TYPES),
        st.sampled_from([-1, 5, 8, 20, 54]),
        st.sampled_from([0, 1]),
        st.sampled_from(list(Operator)),
        st.sampled_from(list(DataClass)),
    ),
)


@st.composite
def results(draw: st.DrawFn) -> Result:
    """A plan and rows that fit it."""
    plan = draw(st.lists(cells, max_size=6))
    rows = draw(st.lists(st.lists(values, min_size=len(plan), max_size=len(plan)), max_size=5))
    return plan, rows


def feed_in_chunks(masker: RowMasker, data: bytes, cuts: Sequence[int]) -> tuple[bytes, int]:
    """Feed data cut at these positions, with a guard byte around each chunk that must not matter."""
    out = b""
    begin = 0
    for cut in [*sorted(cuts), len(data)]:
        chunk = memoryview(b"\xff" + data[begin:cut] + b"D")
        masked_bytes, position = masker.feed(chunk, 1, 1 + cut - begin)
        out += masked_bytes
        if position != 1 + cut - begin:
            return out, begin + position - 1
        begin = cut
    return out, begin


def test_actions_and_fills_have_the_kernels_numbers() -> None:
    assert {action.name: action.value for action in Action} == kernel.ACTIONS
    assert {fill.name: fill.value for fill in Fill} == kernel.FILLS


def test_hash_of_the_oracle_is_siphash_of_the_paper() -> None:
    assert siphash(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5


@settings(max_examples=600, deadline=None)
@given(cells, values)
def test_value_is_masked_as_the_oracle_says(cell: CellMask | None, value: bytes | None) -> None:
    if cell is not None and value is not None:
        assert mask_value(cell, value) == masked(cell, value)


@settings(max_examples=300, deadline=None)
@given(results(), st.data())
def test_rows_are_masked_as_the_oracle_says_at_any_chunking(result: Result, data: st.DataObject) -> None:
    plan, rows = result
    stream = b"".join(encode_row(row) for row in rows) + b"C\0\0\0\x0dSELECT 5\0"
    limit = data.draw(st.sampled_from([1 << 20, 16, 24, 40, 64]))
    cuts = data.draw(st.one_of(st.lists(st.integers(0, len(stream)), max_size=6), st.just(list(range(len(stream))))))
    masker = RowMasker(plan, limit)
    before = None
    try:
        expected, position, count, masked_cells = mask_rows(plan, stream, limit)
    except RowTooLarge as too_large:
        before = too_large.out
    if before is not None:
        with pytest.raises(RowTooLarge):
            feed_in_chunks(masker, stream, cuts)
        with pytest.raises(RowTooLarge) as caught:
            RowMasker(plan, limit).feed(stream, 0, len(stream))
        assert caught.value.out == before
        return
    out, consumed = feed_in_chunks(masker, stream, cuts)
    assert (out, consumed) == (expected, position)
    assert (masker.rows, masker.masked_cells, masker.is_mid_row) == (count, masked_cells, False)


@settings(max_examples=300, deadline=None)
@given(results(), st.data())
def test_row_with_one_byte_of_its_lengths_changed_is_judged_as_the_oracle_judges(result: Result, data: st.DataObject) -> None:
    plan, rows = result
    if not rows:
        return
    stream = bytearray(b"".join(encode_row(row) for row in rows))
    place = data.draw(st.integers(1, min(len(stream) - 1, 14)))
    stream[place] = (stream[place] + data.draw(st.sampled_from([1, 2, 255, 128, 4]))) % 256
    size = int.from_bytes(stream[1:5], "big", signed=True)
    if size >= len(stream):
        return
    expected: tuple[bytes, int, int, int] | None
    try:
        expected = mask_rows(plan, bytes(stream), 1 << 20)
    except RowViolation:
        expected = None
    masker = RowMasker(plan)
    try:
        found = masker.feed(bytes(stream), 0, len(stream))
    except RowViolation:
        assert expected is None
    else:
        assert found == expected[:2] if expected else masker.is_mid_row


def test_masker_stays_broken_after_a_violation() -> None:
    masker = RowMasker([None])
    with pytest.raises(RowViolation):
        masker.feed(encode_row([b"a", b"b"]), 0, len(encode_row([b"a", b"b"])))
    with pytest.raises(RowViolation):
        masker.feed(encode_row([b"a"]), 0, len(encode_row([b"a"])))


def test_large_unmasked_cell_passes_with_its_neighbours_masked_and_nothing_kept() -> None:
    cell = cell_mask(25, -1, 0, ColumnMask(DataClass.EMAIL, Operator.EMAIL, False), KEY)
    body = b"x" * 3_000_000
    row = encode_row([b"alice@corp.example", body, b"bob@corp.example"])
    masker = RowMasker([cell, None, cell], 1 << 16)
    out = b""
    largest = 0
    for start in range(0, len(row), 65536):
        piece, _ = masker.feed(row, start, min(start + 65536, len(row)))
        largest = max(largest, len(piece))
        out += piece
    first, second, third = decode_row(out[5:])
    assert first == masked(cell, b"alice@corp.example")
    assert second == body
    assert third == b"*" * len(b"bob@corp.example")
    assert largest <= 3 * 65536
    assert not masker.is_mid_row


def test_row_too_large_to_mask_is_refused_before_any_of_it_is_emitted() -> None:
    cell = cell_mask(1082, -1, 0, ColumnMask(DataClass.DOB, Operator.YEAR, False), KEY)
    small = encode_row([b"x", b"1987-04-23"])
    large = encode_row([b"x" * 5000, b"1987-04-23"])
    masker = RowMasker([None, cell], 1024)
    with pytest.raises(RowTooLarge) as caught:
        masker.feed(small + large, 0, len(small) + len(large))
    assert caught.value.out == encode_row([b"x", b"1987-01-01"])
    assert (caught.value.position, caught.value.remaining) == (len(small) + 1024, len(large) - 1024)
    assert "x" not in repr(caught.value).removeprefix("RowTooLarge")


@given(st.lists(st.lists(values, max_size=4), max_size=6), st.integers(0, 40))
def test_relayed_rows_end_where_another_message_begins(rows: list[list[bytes | None]], cut: int) -> None:
    stream = b"".join(encode_row(row) for row in rows)
    assert relay_rows(stream + b"Z\0\0\0\x05I", 0, len(stream) + 6) == (len(stream), len(rows), 0)
    short = max(len(stream) - cut, 0)
    position, count, remaining = relay_rows(stream, 0, short)
    if remaining:
        assert position == short
        assert relay_rows(stream[short:], remaining, len(stream) - short)[1] == len(rows) - count
    else:
        assert short - position < 5
        assert relay_rows(stream[position:], 0, len(stream) - position)[1] == len(rows) - count


def test_relayed_row_of_impossible_length_is_a_violation() -> None:
    with pytest.raises(RowViolation):
        relay_rows(b"D\0\0\0\x05\0\0", 0, 7)
