"""Masked copies in a session: what is settled when a COPY begins, and limits on what the client gets of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.copy_rows import BINARY, CSV, SIGNATURE, TEXT, TRAILER, copy_data, payloads, write_binary_row, write_rows
from tests.model.limited_results import LimitedDesk, shown
from tests.model.statement_desk import USERS

from querywarden.errors import PeerViolation, ReasonCode
from querywarden.masking.plan import mask_of_class
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.data_flow import DataFlow, FlowKind, OutputFlow, ValueFlow
from querywarden.model.decision import Allow, Reveal
from querywarden.model.facts import CopyFormat, StatementFacts, Verb
from querywarden.postgresql.copy_masks import copy_masker
from querywarden.postgresql.copy_rows import CopyMasker
from querywarden.postgresql.limited_copy import LimitedCopy
from querywarden.postgresql.limited_rows import LimitedRows
from querywarden.postgresql.refusal import Refusal
from querywarden.postgresql.result_copy import begin_copy_masked, copied_outputs, end_copy
from querywarden.postgresql.row_errors import CapReached, RowViolation
from querywarden.postgresql.row_plan import UnknownRelation

CANARY = b"canary-77a1@corp.example"
TEXT_TYPE = 25


def direct(name: str, *places: tuple[int, int]) -> OutputFlow:
    return OutputFlow(name, ValueFlow(FlowKind.DIRECT, frozenset(places)), TEXT_TYPE)


ID, EMAIL = direct("id", (USERS, 1)), direct("email", (USERS, 3))
FLOW = DataFlow((ID, EMAIL), frozenset({USERS}))
FACTS = StatementFacts(Verb.COPY_OUT, "COPY", outputs=None, is_from_stdin=True, flow=FLOW, copy=TEXT)


def announced(columns: int, code: int = 0) -> bytes:
    return bytes([code]) + columns.to_bytes(2, "big") + code.to_bytes(2, "big") * columns


def begun(facts: StatementFacts = FACTS, columns: int = 2, code: int = 0, catalogue: Catalogue | None = None, **allow):
    desk = LimitedDesk() if catalogue is None else LimitedDesk(catalogue=catalogue)
    execution = desk.put(Allow("r", **allow), facts=facts)
    return desk, execution, begin_copy_masked(desk.phase.state, execution, announced(columns, code), frozenset())


@pytest.mark.parametrize("form", [TEXT, CSV, BINARY], ids=lambda form: form.format)
def test_a_copy_of_classified_columns_is_masked_and_recorded(form):
    _, execution, masker = begun(replace(FACTS, copy=form), code=int(form is BINARY))
    assert isinstance(masker, CopyMasker)
    data = b"".join(map(copy_data, write_rows(form, [[b"7", CANARY]], [False, False])))
    out = masker.feed(data, 0, len(data))[0]
    end_copy(masker)
    assert b"canary" not in out
    assert b"@example.com" in out
    assert (("public.users.email", "email"),) == execution.row_plan.masked


def test_a_copy_that_shows_nothing_classified_passes_as_it_is():
    assert begun(replace(FACTS, flow=replace(FLOW, outputs=(ID,))), columns=1)[2] is None
    assert begun(reveal=Reveal(everything=True))[2] is None
    assert begun(replace(FACTS, flow=None))[2] is None
    assert isinstance(begun(reveal=Reveal(everything=True), rows_max=3)[2], LimitedRows)


@pytest.mark.parametrize(
    ("facts", "columns", "code"),
    [
        (FACTS, 3, 0), (FACTS, 1, 0), (FACTS, 2, 1), (replace(FACTS, copy=BINARY), 2, 0), (replace(FACTS, copy=None), 2, 0),
        (replace(FACTS, copy=CopyFormat(is_rewritable=False)), 2, 0),
    ],
)  # fmt: skip
def test_a_copy_that_is_not_what_was_planned_is_refused(facts, columns, code):
    refusal = begun(facts, columns, code)[2]
    assert isinstance(refusal, Refusal)
    assert "42501" == refusal.sqlstate


def test_a_copy_from_a_relation_that_the_catalogue_lacks_waits_for_a_newer_one():
    facts = replace(FACTS, flow=replace(FLOW, outputs=(direct("x", (99, 1)),)))
    with pytest.raises(UnknownRelation) as caught:
        begun(facts, 1)
    assert frozenset({99}) == caught.value.ids


def test_a_malformed_announcement_is_a_violation():
    desk = LimitedDesk()
    execution = desk.put(Allow("r"), facts=FACTS)
    with pytest.raises(PeerViolation):
        begin_copy_masked(desk.phase.state, execution, b"\0\0\2\0\0", frozenset())


GENERATED = Catalogue(
    "1",
    {
        USERS: Relation(
            USERS, "public", "users", "table",
            {
                1: Column(1, "id", "text"), 2: Column(2, "upper", "text", Classification(DataClass.EMAIL, "policy"), is_generated=True),
                4: Column(4, "email", "text", Classification(DataClass.EMAIL, "name")),
            },
        )
    },
)  # fmt: skip


def test_generated_columns_are_left_out_where_the_server_leaves_them_out():
    outputs = (ID, direct("upper", (USERS, 2)), direct("email", (USERS, 4)))
    flow = replace(FLOW, outputs=outputs)
    assert [0, 2] == copied_outputs(flow, 2, GENERATED)
    assert [0, 1, 2] == list(copied_outputs(flow, 3, GENERATED) or ())
    assert copied_outputs(flow, 1, GENERATED) is None
    assert copied_outputs(replace(flow, outputs=outputs[::-1]), 2, GENERATED) is None
    _, execution, masker = begun(replace(FACTS, flow=flow), catalogue=GENERATED)
    data = copy_data(b"7\t" + CANARY + b"\n")
    assert [b"7\tu_"] == [each[:4] for each in payloads(masker.feed(data, 0, len(data))[0])]
    assert (("public.users.email", "email"),) == execution.row_plan.masked


def test_a_copy_that_ends_in_the_middle_of_a_row_is_a_violation():
    for rows_max in (None, 5):
        masker = begun(rows_max=rows_max)[2]
        data = copy_data(b"7\tabc")
        assert (b"", len(data)) == masker.feed(memoryview(data), 0, len(data))
        with pytest.raises(RowViolation):
            end_copy(masker)


def test_what_is_no_copy_data_is_a_violation():
    masker = begun()[2]
    with pytest.raises(RowViolation):
        masker.feed(b"D\0\0\0\6\0\0", 0, 7)


def test_columns_that_are_always_quoted_are_so_when_masked():
    form = replace(CSV, force_quote=frozenset({"email"}))
    masker = copy_masker(form, (ID, EMAIL), (None, mask_of_class(DataClass.EMAIL)), LimitedDesk().phase.state.context.masking_key)
    data = copy_data(b'7,"' + CANARY + b'"\n')
    (line,) = payloads(masker.feed(data, 0, len(data))[0])
    assert line.startswith(b'7,"u_')
    assert line.endswith(b'@example.com"\n')


# Limits

values = st.sampled_from([CANARY, b"", None, CANARY * 3])
caps = st.none() | st.integers(1, 12)


def pump(masker: LimitedCopy, data: bytes, cuts: list[int]) -> tuple[bytes, str | None]:
    """Feed as the session does: what isn't taken is given again with what follows."""
    out, left, position, at = b"", b"", 0, 0
    while position < len(data):
        size = cuts[min(at, len(cuts) - 1)]
        left += data[position : position + size]
        position, at = position + size, at + 1
        while masker.is_mid_row or (len(left) >= 5 and (int.from_bytes(left[1:5], "big") != 6 or len(left) >= 7)):
            if not left:
                break
            try:
                more, taken = masker.feed(memoryview(left), 0, len(left))
            except CapReached as cap:
                return out + cap.out, cap.reason.value
            assert taken > 0
            out, left = out + more, left[taken:]
    assert not left
    masker.end()
    return out, None


def kinds(out: bytes) -> list[tuple[str, bytes]]:
    found = []
    while out:
        size = 1 + int.from_bytes(out[1:5], "big")
        found.append((chr(out[0]), out[5:size]))
        out = out[size:]
    return found


@given(st.lists(values, max_size=14), caps, st.none() | st.integers(1, 400), st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_masked_copy_data_are_limited_by_what_the_client_gets(found, rows_max, bytes_max, cuts):
    _, _, masker = begun(rows_max=rows_max, bytes_max=bytes_max, seconds_max=9.0)
    assert isinstance(masker, LimitedCopy)
    rows = [[b"7", value] for value in found]
    masked = [copy_data(b"7\t" + (b"\\N" if value is None else value and b"u_aaaaaaaaaa@example.com") + b"\n") for value in found]
    out, reason = pump(masker, b"".join(map(copy_data, write_rows(TEXT, rows, [False] * 2))), cuts)
    expected = shown(masked, rows_max, bytes_max)
    assert expected == "".join(kind for kind, _ in kinds(out)) + ("E" if reason else "")
    assert CANARY not in out
    passed = expected.count("d")
    assert (passed, sum(map(len, masked[:passed]))) == (masker.rows, masker.bytes_out)
    assert sum(map(bool, found[:passed])) == masker.masked_cells
    if reason:
        assert reason == masker.refusal(ReasonCode(reason)).reason


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("form", [BINARY, replace(CSV, has_header=True)], ids=["binary", "header"])
def test_headers_and_trailers_are_no_rows(form, rows):
    _, _, masker = begun(replace(FACTS, copy=form), code=int(form is BINARY), rows_max=rows or 1)
    data = b"".join(map(copy_data, write_rows(form, [[b"7", CANARY]] * rows, [False] * 2, [b"id", b"email"])))
    out, reason = pump(masker, data, [7])
    assert (None, rows) == (reason, masker.rows)
    assert rows + 1 == sum(kind == "d" for kind, _ in kinds(out))


def test_a_large_row_in_pieces_counts_once_and_ends_at_the_cap_of_bytes():
    large = b"x" * 3_000_000
    line = b"7" + large + b"\t" + CANARY + b"\n"
    for bytes_max, expected in ((None, None), (2_000_000, "byte_limit")):
        _, _, masker = begun(rows_max=10, bytes_max=bytes_max)
        out, reason = pump(masker, copy_data(line) + copy_data(b"8\t\n"), [100_000])
        assert expected == reason
        assert CANARY not in out
        assert (2 if reason is None else masker.rows) == masker.rows
        assert bytes_max is None or len(out) <= bytes_max


def test_a_binary_row_and_its_trailer_may_share_a_message():
    _, _, masker = begun(replace(FACTS, copy=BINARY), code=1, rows_max=2)
    row = write_binary_row([b"7", CANARY])
    out, reason = pump(masker, copy_data(SIGNATURE + row + row + TRAILER), [1000])
    assert (None, 2) == (reason, masker.rows)
    assert CANARY not in out
