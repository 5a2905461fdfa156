"""Limits of a result: however it is cut, a client gets whole rows up to the cap, one warning, and an error where there is more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.limited_results import LimitedDesk, shown, whole_messages
from tests.model.statement_desk import (
    PRODUCTS,
    TEXT,
    USERS,
    complete,
    error,
    fields_of,
    kinds_of,
    ready,
    row,
    row_description,
    split,
)

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Relation
from querywarden.model.decision import Allow, Reveal
from querywarden.postgresql.framing import encode
from querywarden.postgresql.prepared import Portal
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

PLAIN = row_description(("name", PRODUCTS, 2, TEXT))
MASKED = row_description(("email", USERS, 3, TEXT))
COPY_OUT = encode(b"H", b"\0\0\1\0\0")
CANARY = b"canary-77a1@example.org"
SUSPENDED = encode(b"s", b"")


def copied(data: bytes) -> bytes:
    return encode(b"d", data)


def ended(*rows: bytes, begin: bytes = PLAIN, tag: str = "SELECT 1") -> bytes:
    return begin + b"".join(rows) + complete(tag) + ready()


values = st.binary(max_size=40).map(lambda value: value.replace(b"\0", b"0"))
caps = st.none() | st.integers(1, 12)
sizes = st.lists(st.integers(1, 50), min_size=1, max_size=20)


@given(st.lists(values, max_size=14), caps, st.none() | st.integers(1, 400), sizes)
def test_whatever_the_chunking_a_client_gets_whole_rows_up_to_the_cap_and_one_warning(rows, rows_max, bytes_max, cuts):
    desk, messages = LimitedDesk(), [row(value) for value in rows]
    desk.put(Allow("r", rows_max=rows_max, bytes_max=bytes_max))
    desk.cut(ended(*messages), cuts)
    expected = shown(messages, rows_max, bytes_max)
    got = whole_messages(bytes(desk.client))
    assert "T" + expected + ("Z" if expected.endswith("E") else "CZ") == kinds_of(got)
    passed = expected.count("D")
    assert [body for kind, body in got if kind == "D"] == [message[5:] for message in messages[:passed]]
    record = desk.bodies("db.query.completed")[-1]
    assert (passed, sum(map(len, messages[:passed]))) == (record["rows"], record["bytes_out"])


@given(st.lists(values, max_size=14), caps, st.none() | st.integers(1, 400), sizes)
def test_copy_data_is_limited_alike(rows, rows_max, bytes_max, cuts):
    desk, messages = LimitedDesk(), [copied(value + b"\n") for value in rows]
    desk.put(Allow("r", rows_max=rows_max, bytes_max=bytes_max))
    desk.cut(ended(*messages, encode(b"c", b""), begin=COPY_OUT, tag="COPY 1"), cuts)
    expected = shown(messages, rows_max, bytes_max)
    got = whole_messages(bytes(desk.client))
    assert "H" + expected + ("Z" if expected.endswith("E") else "cCZ") == kinds_of(got)
    assert expected.count("d") == desk.bodies("db.query.completed")[-1]["rows"]


@given(st.lists(st.sampled_from([CANARY, b"", None, CANARY * 3]), max_size=14), caps, st.none() | st.integers(1, 400), sizes)
def test_masked_rows_are_limited_by_what_the_client_gets(rows, rows_max, bytes_max, cuts):
    desk, messages = LimitedDesk(), [row(value) for value in rows]
    masked = [row(value if not value else b"u_aaaaaaaaaa@example.com") for value in rows]
    desk.put(Allow("r", rows_max=rows_max, bytes_max=bytes_max))
    desk.cut(ended(*messages, begin=MASKED), cuts)
    expected = shown(masked, rows_max, bytes_max)
    assert "T" + expected + ("Z" if expected.endswith("E") else "CZ") == kinds_of(whole_messages(bytes(desk.client)))
    assert CANARY not in desk.client
    record = desk.bodies("db.query.completed")[-1]
    passed = expected.count("D")
    assert (passed, sum(map(bool, rows[:passed]))) == (record["rows"], record.get("masked_cells", 0))


@pytest.mark.parametrize("begin", [PLAIN, MASKED], ids=["plain", "masked"])
def test_every_split_of_a_capped_result_reads_the_same(begin):
    data = ended(*[row(b"one@b.example")] * 5, begin=begin)
    for cut in range(1, len(data)):
        desk = LimitedDesk()
        desk.put(Allow("r", rows_max=3))
        desk.cut(data, [cut, len(data)])
        assert "TDDDNEZ" == kinds_of(whole_messages(bytes(desk.client)))
        assert 1 == desk.cancels


def test_the_texts_say_how_far_it_is_and_why_it_ends():
    desk = LimitedDesk()
    desk.put(Allow("r", rows_max=10))
    desk.from_server(ended(*[row(b"x")] * 11))
    told = [fields_of(body) for kind, body in desk.to_client() if kind in "NE"]
    assert ("WARNING", "01000", "8 of at most 10 rows have been returned") == (told[0]["S"], told[0]["C"], told[0]["M"])
    assert "The result ends with an error after 10 rows, which is the limit for you here." == told[0]["D"]
    assert ("54000", "the result has more than 10 rows, which is the limit for you here") == (told[1]["C"], told[1]["M"])


def test_a_cap_that_a_budget_has_lowered_says_so():
    desk = LimitedDesk()
    desk.put(Allow("r", bytes_max=30), by_budget=frozenset({ReasonCode.BYTE_LIMIT}))
    desk.from_server(ended(*[row(b"0123456789")] * 3))
    told = [fields_of(body) for kind, body in desk.to_client() if kind in "NE"]
    assert "the result has more than 30 bytes, which is what your budget has left" == told[-1]["M"]
    assert "54000" == told[-1]["C"]


def test_a_row_that_is_larger_than_the_cap_is_not_begun():
    desk = LimitedDesk()
    desk.put(Allow("r", bytes_max=1000))
    large = row(b"x" * 100_000)
    desk.cut(PLAIN + row(b"small") + large + row(b"small") + error("57014") + ready(), [700])
    assert "TDEZ" == kinds_of(whole_messages(bytes(desk.client)))


@pytest.mark.parametrize(("bytes_max", "expected"), [(None, "TDDCZ"), (2_500_000, "TDEZ"), (3_500_000, "TDDNCZ")])
def test_a_masked_row_that_flows_through_is_counted_when_it_begins(bytes_max, expected):
    desk = LimitedDesk()
    desk.put(Allow("r", rows_max=100, bytes_max=bytes_max))
    desk.cut(MASKED + row(b"a") + row(b"a" * 3_000_000) + complete("SELECT 2") + ready(), [100_000])
    assert expected == kinds_of(whole_messages(bytes(desk.client)))


DATES = Catalogue(
    "1",
    {USERS: Relation(USERS, "public", "users", "table", {3: Column(3, "born", "date[]", Classification(DataClass.DOB, "name"))})},
)


@pytest.mark.parametrize("chunk", [100_000, 10_000_000])
def test_a_row_too_large_to_be_masked_ends_a_limited_result_behind_what_was_passed(chunk):
    desk = LimitedDesk(catalogue=DATES)
    desk.put(Allow("r", rows_max=3))
    large = row(b"{" + b"2000-01-02," * 200_000 + CANARY + b"}")
    data = row_description(("born", USERS, 3, 1182)) + row(b"{}") * 2 + large + row(b"{}") + error("57014") + ready()
    desk.cut(data, [chunk])
    assert "TDDEZ" == kinds_of(got := whole_messages(bytes(desk.client)))
    assert "a row is too large to be masked" == fields_of(got[3][1])["M"]
    assert 2 == desk.bodies("db.query.completed")[-1]["rows"]


def test_the_trailer_of_a_binary_copy_is_no_row():
    rows = [copied(b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\1\0\0\0\1a"), copied(b"\0\1\0\0\0\1b")]
    data = ended(*rows, copied(b"\xff\xff"), encode(b"c", b""), begin=encode(b"H", b"\1\0\1\0\1"), tag="COPY 2")
    for allow in (Allow("r", rows_max=2), Allow("r")):
        for cut in range(1, len(data)):
            desk = LimitedDesk()
            desk.put(allow)
            desk.cut(data, [cut, len(data)])
            assert "HdddcCZ" == kinds_of(whole_messages(bytes(desk.client))).replace("N", "")
            assert 2 == desk.bodies("db.query.completed")[-1]["rows"]


def test_a_portal_that_is_taken_in_pieces_has_one_cap():
    desk, portal = LimitedDesk(), Portal(None, description=PLAIN[5:])
    for _ in range(2):
        desk.put(Allow("r", rows_max=5), portal)
        desk.from_server(row(b"a"), row(b"b"), SUSPENDED)
    desk.put(Allow("r", rows_max=5), portal)
    desk.put_sync()
    desk.from_server(row(b"c"), row(b"d"), SUSPENDED, ready())
    assert "DDsDDNsDEZ" == kinds_of(desk.to_client())
    assert [2, 2, 1] == [body["rows"] for body in desk.bodies("db.query.completed")]


def test_only_the_cap_that_a_budget_has_lowered_speaks_of_it():
    desk = LimitedDesk()
    for caps in ({"rows_max": 2, "bytes_max": 1000}, {"rows_max": 1000, "bytes_max": 30}):
        desk.put(Allow("r", **caps), by_budget=frozenset({ReasonCode.BYTE_LIMIT}))
        desk.from_server(ended(*[row(b"0123456789")] * 3))

    told = [fields_of(body)["M"] for kind, body in desk.to_client() if kind == "E"]
    assert [
        "the result has more than 2 rows, which is the limit for you here",
        "the result has more than 30 bytes, which is what your budget has left",
    ] == told


def test_the_limit_of_a_portal_holds_beside_what_a_budget_has_left_of_its_bytes():
    desk, portal = LimitedDesk(), Portal(None, description=PLAIN[5:])
    desk.phase.state.has_budgets = True
    for _ in range(2):
        desk.put(Allow("r", rows_max=3, bytes_max=1000), portal, by_budget=frozenset({ReasonCode.BYTE_LIMIT}))
        desk.put_sync()
        desk.from_server(row(b"a"), row(b"b"), SUSPENDED, ready("T"))

    told = [fields_of(body)["M"] for kind, body in desk.to_client() if kind == "E"]
    assert ["the result has more than 3 rows, which is the limit for you here"] == told


def test_a_limit_that_ends_a_portal_before_a_budget_does_is_what_it_is_told_by():
    desk, portal = LimitedDesk(), Portal(None, description=PLAIN[5:])
    desk.phase.state.has_budgets = True
    for caps, lowered in ((3, frozenset()), (2, frozenset({ReasonCode.ROW_LIMIT}))):
        desk.put(Allow("r", rows_max=caps), portal, by_budget=lowered)
        desk.put_sync()
        desk.from_server(row(b"a"), row(b"b"), SUSPENDED, ready("T"))

    told = [fields_of(body)["M"] for kind, body in desk.to_client() if kind == "E"]
    assert ["the result has more than 3 rows, which is the limit for you here"] == told


def test_what_a_budget_has_left_is_for_each_piece_of_a_portal():
    desk, portal = LimitedDesk(), Portal(None, description=PLAIN[5:])
    desk.phase.state.has_budgets = True
    for left in (10, 8):
        desk.put(Allow("r", rows_max=left), portal, by_budget=frozenset({ReasonCode.ROW_LIMIT}))
        desk.from_server(row(b"a"), row(b"b"), SUSPENDED)
    assert "DDsDDs" == kinds_of(desk.to_client())
    assert (4, 2 * len(row(b"a") + row(b"b"))) == desk.spent


def test_a_portal_of_a_transaction_that_has_ended_is_forgotten():
    desk, portal = LimitedDesk(), Portal(None, description=PLAIN[5:])
    for _ in range(2):
        desk.put(Allow("r", rows_max=2), portal)
        desk.put_sync()
        desk.from_server(row(b"a"), row(b"b"), SUSPENDED, ready())
    assert "DDNsZDDNsZ" == kinds_of(desk.to_client())


@given(st.lists(st.integers(0, 3000), max_size=8), sizes)
def test_the_budgets_hear_of_all_that_was_passed_on(lengths, cuts):
    desk = LimitedDesk()
    desk.phase.state.has_budgets = True
    desk.put(Allow("r"))
    messages = [row(b"x" * length) for length in lengths]
    desk.cut(ended(*messages), [cut * 20 for cut in cuts])
    assert (len(messages), sum(map(len, messages))) == desk.spent


def test_the_budgets_hear_of_a_long_result_while_it_runs_and_of_one_that_nobody_waits_for_any_more():
    desk = LimitedDesk()
    desk.phase.state.has_budgets = True
    desk.put(Allow("r"))
    desk.from_server(PLAIN, row(b"x") * 999)
    assert (0, 0) == desk.spent
    desk.from_server(row(b"x") * 3)
    assert 1002 == desk.spent[0]
    desk.from_server(row(b"x") * 7)
    desk.give(ev.ClientClosed())
    assert 1009 == desk.spent[0]


def test_nothing_is_counted_where_there_is_no_budget():
    desk = LimitedDesk()
    desk.put(Allow("r", rows_max=2000))
    desk.from_server(ended(*[row(b"x")] * 1500))
    assert not [effect for effect in desk.effects if isinstance(effect, fx.Spend)]


def test_a_result_without_limits_is_passed_on_as_it_is():
    desk = LimitedDesk()
    execution = desk.put(Allow("r", reveal=Reveal(everything=True)))
    desk.from_server(MASKED, row(CANARY))
    assert execution.masker is None
    assert "TD" == kinds_of(split(bytes(desk.client)))
