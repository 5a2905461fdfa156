"""The copy kernel against its oracle: every form, plan, row and chunking, and near-misses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.model.copy_rows import BINARY, CSV, SIGNATURE, TEXT, TRAILER, copy_data, mask_copy, payloads, write_binary_row, write_rows
from tests.unit.postgresql.test_rows import KEY, SAMPLES, cells

from querywarden.masking.operators import Operator
from querywarden.masking.plan import ColumnMask
from querywarden.model.catalogue import DataClass
from querywarden.model.facts import CopyFormat
from querywarden.postgresql.cell_masks import CellMask
from querywarden.postgresql.copy_rows import BinaryCopyMasker, CopyMasker, CsvCopyMasker, TextCopyMasker
from querywarden.postgresql.row_errors import RowViolation
from querywarden.postgresql.value_masks import cell_mask

EXAMPLES = int(os.environ.get("QUERYWARDEN_COPY_EXAMPLES", "250"))
EMAIL = cell_mask(25, -1, 0, ColumnMask(DataClass.EMAIL, Operator.EMAIL, False), KEY)
ADDRESS = cell_mask(25, -1, 0, ColumnMask(DataClass.ADDRESS, Operator.REDACT, False), KEY)
SHAPE = cell_mask(25, -1, 0, ColumnMask(DataClass.PHONE, Operator.SHAPE, False), KEY)
CANARY = b"canary-4f1c@corp.example"

FORMS = [
    TEXT, replace(TEXT, delimiter=b"|", null=b""), replace(TEXT, has_header=True), replace(TEXT, delimiter=b"\b", null=b"NULL"),
    replace(TEXT, delimiter=b"N", null=b"\\-"), CSV, replace(CSV, has_header=True, escape=b"\\"),
    replace(CSV, delimiter=b";", null=b"NULL"),
    replace(CSV, quote=b"'", escape=b",", delimiter=b","), replace(CSV, quote=b"$", escape=b"^", null=b"\\N", forces_all_quotes=True),
    BINARY,
]  # fmt: skip

pieces = st.sampled_from(
    [b'"', b"'", b",", b";", b"\\", b"\n", b"\r", b"\t", b"|", b"\b", b"N", b"$", b"^", b"\\.", b"\\N", b"NULL", "ł王".encode()]
)
written = st.lists(st.one_of(pieces, st.binary(max_size=4)), max_size=6).map(b"".join)
values = st.one_of(
    st.none(), st.just(b""), st.sampled_from([*SAMPLES, b"\\.", b"NULL", b"\\N"]), written, st.binary(max_size=40), st.just(b"x" * 90)
)


@st.composite
def copies(draw: st.DrawFn, forms: Sequence[CopyFormat] = FORMS) -> tuple[CopyFormat, list[CellMask | None], list[bool], list[bytes]]:
    """A form, a plan, which columns are quoted, and what the server sends."""
    form = draw(st.sampled_from(forms))
    plan = draw(st.lists(st.one_of(cells, st.sampled_from([SHAPE, EMAIL, None])), min_size=1, max_size=5))
    quoted = [draw(st.booleans()) or form.forces_all_quotes for _ in plan]
    rows = draw(st.lists(st.lists(values, min_size=len(plan), max_size=len(plan)), max_size=5))
    names = [draw(written) for _ in plan]
    if form.format != "binary":
        rows = [[None if value is None else value.replace(b"\0", b"0") for value in row] for row in rows]
        names = [name.replace(b"\0", b"0") for name in names]
    return form, plan, quoted, write_rows(form, rows, quoted, names)


def masker_of(form: CopyFormat, plan: Sequence[CellMask | None], quoted: Sequence[bool], kept_max: int = 1 << 20) -> CopyMasker:
    if form.format == "binary":
        return BinaryCopyMasker(plan, row_buffered_bytes_max=kept_max)
    if form.format == "text":
        return TextCopyMasker(plan, delimiter=form.delimiter, null=form.null, has_header=form.has_header, row_buffered_bytes_max=kept_max)
    return CsvCopyMasker(
        plan, delimiter=form.delimiter, null=form.null, quote=form.quote, escape=form.escape, quoted=quoted, has_header=form.has_header,
        row_buffered_bytes_max=kept_max,
    )  # fmt: skip


def feed(masker: CopyMasker, data: bytes, cuts: Sequence[int] = ()) -> bytes:
    """Feed data cut at these positions, with a guard byte around each chunk that must not matter."""
    out, begin = b"", 0
    for cut in [*sorted(cuts), len(data)]:
        chunk = memoryview(b"\xff" + data[begin:cut] + b"d")
        masked, position = masker.feed(chunk, 1, 1 + cut - begin)
        assert position == 1 + cut - begin
        out += masked
        begin = cut
    masker.end()
    return out


def reframed(draw: st.DataObject, messages: Sequence[bytes]) -> bytes:
    """The same bytes in messages of the server's own, in one, or in such as begin and end anywhere."""
    whole = b"".join(messages)
    how = draw.draw(st.sampled_from(["rows", "one", "any"]))
    if how == "rows":
        return b"".join(map(copy_data, messages))
    if how == "one":
        return copy_data(whole)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    return b"".join(copy_data(whole[a:b]) for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True))


@settings(max_examples=EXAMPLES, deadline=None)
@given(copies(), st.data())
def test_rows_are_masked_as_the_oracle_says_at_any_framing_and_chunking(copy, data):
    form, plan, quoted, messages = copy
    stream = reframed(data, messages)
    cuts = data.draw(st.one_of(st.lists(st.integers(0, len(stream)), max_size=6), st.just(list(range(len(stream))))))
    expected, count = mask_copy(form, plan, quoted, b"".join(messages))
    masker = masker_of(form, plan, quoted)
    assert expected == payloads(feed(masker, stream, cuts))
    rows = len(messages) - (form.has_header or form.format == "binary")
    assert (rows, rows, count) == (masker.rows, masker.begun, masker.masked_cells)


@settings(max_examples=EXAMPLES, deadline=None)
@given(copies(), st.data())
def test_large_rows_and_cells_are_masked_alike_in_pieces(copy, data):
    form, plan, quoted, messages = copy
    stream = reframed(data, messages)
    kept_max = data.draw(st.sampled_from([16, 24, 40, 64]))
    cuts = data.draw(st.one_of(st.lists(st.integers(0, len(stream)), max_size=6), st.just(list(range(len(stream))))))
    expected, count = mask_copy(form, plan, quoted, b"".join(messages), kept_max)
    masker = masker_of(form, plan, quoted, kept_max)
    found = payloads(feed(masker, stream, cuts))
    assert b"".join(expected) == b"".join(found)
    assert count == masker.masked_cells
    assert len(found) >= len(expected)
    assert masker.begun == masker.rows


@settings(max_examples=EXAMPLES, deadline=None)
@given(copies(), st.data())
def test_a_copy_with_one_byte_changed_is_judged_as_the_oracle_judges(copy, data):
    form, plan, quoted, messages = copy
    whole = bytearray(b"".join(messages))
    assume(whole)
    place = data.draw(st.integers(0, len(whole) - 1))
    how = data.draw(st.sampled_from(["change", "drop", "insert", "end"]))
    sign = data.draw(st.one_of(pieces, st.binary(min_size=1, max_size=1)))[:1]
    if how == "end":
        del whole[place:]
    elif how == "insert":
        whole[place:place] = sign
    else:
        whole[place : place + 1] = sign if how == "change" else b""
    try:
        expected = mask_copy(form, plan, quoted, bytes(whole))[0]
    except RowViolation:
        expected = None
    try:
        found = payloads(feed(masker_of(form, plan, quoted), copy_data(bytes(whole))))
    except RowViolation:
        found = None
    assert expected == found


ROWS = [[b"1", CANARY, b'say "hi", \\ you\n', None], [b"2", None, b"", b"x"], [b"3", b"", CANARY, "żółć".encode()]]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.format}-{form.delimiter!r}{form.escape!r}")
def test_every_split_of_a_copy_reads_the_same_and_leaks_nothing(form):
    plan, quoted = [None, EMAIL, ADDRESS, None], [False, True, False, False]
    messages = write_rows(form, ROWS, quoted, [b"id", b"email", b"address", b"rest"])
    stream = b"".join(map(copy_data, messages))
    expected = mask_copy(form, plan, quoted, b"".join(messages))[0]
    for cut in range(len(stream) + 1):
        out = feed(masker_of(form, plan, quoted), stream, [cut])
        assert expected == payloads(out)
        assert b"canary" not in out
        assert b"say" not in out


def test_what_follows_the_copy_data_is_left():
    masker = masker_of(TEXT, [EMAIL], [False])
    line = copy_data(b"a\n")
    out, position = masker.feed(line + b"c\0\0\0\4", 0, len(line) + 5)
    assert [b"u_"] == [piece[:2] for piece in payloads(out)]
    assert len(line) == position
    assert not masker.is_mid_row


def test_a_row_goes_out_when_it_is_whole():
    masker = masker_of(TEXT, [None, EMAIL], [False, False])
    assert (b"", 9) == masker.feed(copy_data(b"1\tab"), 0, 9)
    assert not masker.is_mid_row
    rest = copy_data(b"c\n2\t")
    assert [b"1\tu_"] == [piece[:4] for piece in payloads(masker.feed(rest, 0, len(rest))[0])]
    with pytest.raises(RowViolation):
        masker.end()


@pytest.mark.parametrize(
    ("form", "payload"),
    [
        (TEXT, b"1\n"), (TEXT, b"1\t2\t3\n"), (TEXT, b"1\\\n"), (TEXT, b"1\ta\\qb\n"), (TEXT, b"1\t\\x41\n"), (TEXT, b"\\.\n"),
        (CSV, b'1,a"b\n'), (CSV, b'1,"a"b\n'), (CSV, b'1,"a"\n2'), (CSV, b"1\n"), (CSV, b"1,2,3\n"), (CSV, b'1,"a\n'),
        (replace(CSV, escape=b"\\"), b'1,"a\\b"\n'), (replace(CSV, escape=b"\\"), b'1,"a""b"\n'),
        (BINARY, b"PGCOPY\n\xff\r\n\0" + b"\0\0\0\1" + bytes(4)), (BINARY, SIGNATURE[:-1] + b"\1x"), (BINARY, SIGNATURE + b"\0\3"),
        (BINARY, SIGNATURE + b"\0\2\xff\xff\xff\xfe"), (BINARY, SIGNATURE + TRAILER + b"x"), (BINARY, SIGNATURE), (BINARY, b""),
        (BINARY, SIGNATURE + b"\0\2\0\0\0\1a\0\0\0\5" + CANARY[:3]),
    ],
)  # fmt: skip
def test_what_the_server_does_not_write_is_a_violation_and_the_masker_stays_broken(form, payload):
    masker = masker_of(form, [None, EMAIL], [False, False])
    stream = copy_data(payload)
    with pytest.raises(RowViolation):
        feed(masker, stream)
    with pytest.raises(RowViolation):
        masker.feed(stream, 0, len(stream))


def test_a_message_of_impossible_length_is_a_violation():
    with pytest.raises(RowViolation):
        masker_of(TEXT, [EMAIL], [False]).feed(b"d\0\0\0\3", 0, 5)


@pytest.mark.parametrize("form", [TEXT, CSV, BINARY], ids=lambda form: form.format)
def test_a_large_unmasked_cell_passes_and_nothing_of_it_is_kept(form):
    large, secret = b"x" * 3_000_000, CANARY * 50_000
    # Nothing in them is special, and the oracle is slow.
    row = [CANARY, large, secret, CANARY]
    message = SIGNATURE + write_binary_row(row) if form is BINARY else form.delimiter.join(row) + b"\n"
    stream = copy_data(message) + (copy_data(TRAILER) if form is BINARY else b"")
    masker = masker_of(form, [EMAIL, None, ADDRESS, SHAPE], [False] * 4, 1 << 16)
    pieces_out = []
    for start in range(0, len(stream), 65536):
        piece, _ = masker.feed(stream, start, min(start + 65536, len(stream)))
        pieces_out.append(piece)
        assert b"canary" not in piece
    masker.end()
    out = b"".join(b"".join(payloads(piece)) for piece in pieces_out)
    assert large in out
    assert b"[redacted]" in out
    assert max(map(len, pieces_out)) < 3 * 65536
    assert (1, 1, 3) == (masker.rows, masker.begun, masker.masked_cells)


@pytest.mark.parametrize(
    ("form", "cell", "payload", "expected"),
    [
        (replace(CSV, null=b"[redacted]"), ADDRESS, b"secret\n", b'"[redacted]"\n'),
        (replace(CSV, null=b"NULL"), cell_mask(114, -1, 0, ColumnMask(DataClass.HEALTH, Operator.NULL, False), KEY), b"12\n", b"NULL\n"),
        (replace(CSV, null=b"-"), SHAPE, b'"-"\n', b'"-"\n'),
        (CSV, SHAPE, b'"\\."\n', b'"\\."\n'),
        (replace(CSV, delimiter=b"@"), EMAIL, b'"a@b"\n', None),
        (replace(CSV, quote=b"[", escape=b"d"), ADDRESS, b"secret\n", b"[d[reddactedd][\n"),
        (TEXT, SHAPE, b"\\t\\\\\n", b"\\t\\\\\n"),
        (replace(TEXT, delimiter=b"@"), EMAIL, b"x\n", None),
        (replace(TEXT, delimiter=b"["), ADDRESS, b"x\n", b"\\[redacted]\n"),
    ],
)  # fmt: skip
def test_a_mask_is_written_as_the_server_would_write_it(form, cell, payload, expected):
    (line,) = payloads(feed(masker_of(form, [cell], [False]), copy_data(payload)))
    if expected is None:
        quote = form.quote
        assert line.startswith(quote + b"u_")
        assert line.endswith((b"@" if form.format == "csv" else b"\\@") + b"example.com" + quote + b"\n")
    else:
        assert expected == line


@pytest.mark.parametrize("form", [TEXT, CSV, BINARY], ids=lambda form: form.format)
@pytest.mark.parametrize("size", [40, 41])
def test_a_cell_is_large_wherever_the_chunks_end(form, size):
    rows = [[CANARY.ljust(size, b"!"), b"a".ljust(size, b"!")]]
    expected, _ = mask_copy(form, [EMAIL, ADDRESS], [False, False], b"".join(write_rows(form, rows, [False, False])), 40)
    stream = b"".join(map(copy_data, write_rows(form, rows, [False, False])))
    for cut in range(len(stream)):
        masker = masker_of(form, [EMAIL, ADDRESS], [False, False], 40)
        assert b"".join(expected) == b"".join(payloads(feed(masker, stream, [cut])))
    assert (b"@example.com" in b"".join(expected)) == (size == 40)


def test_a_plan_needs_columns_and_signs_of_one_byte():
    with pytest.raises(ValueError, match="without columns"):
        BinaryCopyMasker([])
    with pytest.raises(ValueError, match="delimiter"):
        TextCopyMasker([EMAIL], delimiter=b"", null=b"")
    with pytest.raises(ValueError, match="quote"):
        CsvCopyMasker([EMAIL], delimiter=b",", null=b"", quote=b"ab", escape=b'"')
    with pytest.raises(ValueError, match="column"):
        CsvCopyMasker([EMAIL], delimiter=b",", null=b"", quote=b'"', escape=b'"', quoted=[True, False])
