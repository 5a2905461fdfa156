"""Masks among a client's values are found in literals and parameters of every form, quickly where there are many, and nothing else is."""

from __future__ import annotations

import struct
import time
import uuid
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.statement_desk import BOUND, NO_DATA, PARSED, SYNC, Desk, complete, error, execute, fields_of, parse, query, ready

from querywarden.masking.write_back import MaskedValues
from querywarden.postgresql.bind_scan import VALUE_BYTES_MAX, BindScan
from querywarden.postgresql.messages.frontend import Bind, encode_bind
from querywarden.postgresql.numeric_masks import encode_numeric
from querywarden.postgresql.rows import hashed_mask, knows_any
from querywarden.postgresql.shown_literals import OTHER_BYTES_MAX, PLAIN_BYTES_MAX, has_shown_literal, is_plain, is_readable
from querywarden.postgresql.shown_values import is_shown, is_shown_parameter

PHONE, EMAIL, IDENTIFIER, NUMBER = "+49 151 2345 6789", "u_abcdefghij@example.com", "8f0c0e6a-1111-8222-8333-444455556666", "-1234567890.25"
HARDWARE = "02:11:22:33:44:55"
TEXT, JSONB, INT8, NUMERIC, UUID, MACADDR, BYTEA, TEXT_ARRAY, INT8_ARRAY, CITEXT = 25, 3802, 20, 1700, 2950, 829, 17, 1009, 1016, 16_999


def memory(*values: str) -> MaskedValues:
    made = MaskedValues(partial(hashed_mask, bytes(16)), 1024)
    for value in values:
        made.remember(value.encode())
    return made


MEMORY = memory(PHONE, IDENTIFIER, NUMBER, HARDWARE, "Tagubiko Feretu", "1234567890123")


def array(type_id: int, *elements: bytes) -> bytes:
    return struct.pack("!iiIii", 1, 0, type_id, len(elements), 1) + b"".join(struct.pack("!i", len(each)) + each for each in elements)


@pytest.mark.parametrize(
    "value",
    [PHONE, f"  {PHONE} ", EMAIL, "[redacted]", "****", IDENTIFIER, IDENTIFIER.upper(), IDENTIFIER.replace("-", ""), "{" + IDENTIFIER + "}",
     HARDWARE, "02-11-22-33-44-55", "021122:334455", "0211.2233.4455", "021122334455", NUMBER, f'{{"{PHONE}",x}}', f"{{x,{PHONE}}}",
     f'[{{"phone": "{PHONE}"}}]', f'{{"a": {{"b": ["{EMAIL}"]}}}}', f"(1,{PHONE})", f'[1,{{"n":{NUMBER}}}]', "TAGUBIKO FERETU"],
)  # fmt: skip
def test_masks_are_found_in_any_spelling(value: str) -> None:
    assert is_shown(value, MEMORY), value
    assert is_shown_parameter(value.encode(), False, 0, MEMORY)
    for kind in (TEXT, 0, CITEXT):
        assert is_shown_parameter(value.encode(), True, kind, MEMORY)


@pytest.mark.parametrize(
    "value", ["", "x", "+49 151 2345 6788", "{}", "[]", "{x}", "8f0c0e6a111182228333444455556667", "(,)", "\udc80", "1"]
)
def test_other_values_are_not(value: str) -> None:
    assert not is_shown(value, MEMORY)
    assert not is_shown(value, None)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (JSONB, b'\1{"phone": "%s"}' % PHONE.encode()),
        (INT8, (1234567890123).to_bytes(8, "big")),
        (NUMERIC, encode_numeric(NUMBER.encode())),
        (UUID, uuid.UUID(IDENTIFIER).bytes),
        (MACADDR, bytes.fromhex(HARDWARE.replace(":", ""))),
        (BYTEA, b"****"),
        (TEXT_ARRAY, array(TEXT, b"fresh", PHONE.encode())),
        (INT8_ARRAY, array(INT8, bytes(8), (1234567890123).to_bytes(8, "big"))),
        (2951, array(UUID, uuid.UUID(IDENTIFIER).bytes)),
    ],
)
def test_binary_parameters_are_read_by_their_type_and_without_one_in_every_way(kind: int, value: bytes) -> None:
    assert is_shown_parameter(value, True, kind, MEMORY)
    assert is_shown_parameter(value, True, 0, MEMORY)
    assert not is_shown_parameter(value, True, kind, memory()) or kind == BYTEA


@given(
    st.binary(max_size=80), st.sampled_from([0, *(TEXT, JSONB, INT8, NUMERIC, UUID, MACADDR, BYTEA, TEXT_ARRAY, INT8_ARRAY, CITEXT, 1082)])
)
def test_any_bytes_have_an_answer(value: bytes, kind: int) -> None:
    assert is_shown_parameter(value, True, kind, memory()) in (True, False)


def long_text(*values: str) -> bytes:
    fillers = [f"({n}, 'person {n} of a long text')" for n in range(200)]
    return ("INSERT INTO t VALUES " + ", ".join([*fillers, *(f"(1, {value})" for value in values)])).encode()


@pytest.mark.parametrize(
    "literal",
    [f"'{PHONE}'", f"E'{PHONE}'", "E'\\x2b49 151 2345 6789'", f"$${PHONE}$$", "$a$[redacted]$a$", f"'{EMAIL}'", NUMBER, "- 1234567890.25",
     "'+49 151'\n' 2345 6789'", f"'{{x,{PHONE}}}'", f"'{IDENTIFIER.replace('-', '')}'", "U&'\\002b49 151 2345 6789'", f"'it''s', '{PHONE}'",
     f"\"a'b\", '{PHONE}'", f"/* ' */ '{PHONE}'", f"-- '\n '{PHONE}'"],
)  # fmt: skip
def test_literals_are_found_in_short_and_long_texts(literal: str) -> None:
    for text in (f"UPDATE t SET p = {literal}".encode(), long_text(literal)):
        assert has_shown_literal(text, MEMORY), text
    assert not has_shown_literal(long_text("'+49 151 2345 6788'", "1234567"), MEMORY)


@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from([PHONE, EMAIL, NUMBER, IDENTIFIER, "fresh", "it''s", "12345678", "Ann", '{"a":1}', "****", "a * b", '"']),
        max_size=4,
    )
)
def test_a_long_text_is_read_as_a_short_one(values: list[str]) -> None:
    literals = [f"'{value}'" for value in values]
    expected = any(is_shown(value.replace("''", "'"), MEMORY) for value in values)
    text = long_text(*literals)
    assert is_plain(text)
    assert has_shown_literal(text, MEMORY) is expected
    assert has_shown_literal(text + b" -- not plain", MEMORY) is expected


def test_a_text_that_cannot_be_read_counts() -> None:
    assert has_shown_literal(b"UPDATE t SET p = 'open", None)
    assert has_shown_literal(b"UPDATE t SET p = '\xff'", None)


def test_many_literals_cost_little() -> None:
    text = b"INSERT INTO t VALUES " + b", ".join(b"(%d, '+49 170 %07d', 'Person %d')" % (n, n, n) for n in range(10_000))
    began = time.process_time()
    assert not has_shown_literal(text, MEMORY)
    assert time.process_time() - began < 2.0


def test_texts_have_a_length_up_to_which_they_are_looked_at() -> None:
    plain = b"SELECT '" + b"x" * OTHER_BYTES_MAX + b"'"
    assert is_readable(plain)
    assert not is_readable(plain + b"\\")
    assert not is_readable(b"x" * (PLAIN_BYTES_MAX + 1))


def test_the_kernel_knows_what_python_knows() -> None:
    values = [PHONE.encode(), b"x", b"", b"other value 1", b" tagubiko FERETU "]
    for value in values:
        assert knows_any(MEMORY, [value]) is MEMORY.knows(value)
    before = bytes(MEMORY.slots)
    assert not knows_any(MEMORY, [b"a value nobody was shown"])
    assert before == bytes(MEMORY.slots)


def scan(values: list[bytes | None], formats: tuple[int, ...] = (), types: tuple[int, ...] = (), piece: int = 7) -> BindScan:
    made = BindScan(types, partial(is_shown_parameter, memory=MEMORY))
    rest = encode_bind(Bind(b"", b"", formats, tuple(values)))[7:]
    for at in range(0, len(rest), piece):
        made.feed(rest[at : at + piece])
    return made


@pytest.mark.parametrize("piece", [1, 5, 64, 1 << 22])
def test_a_bind_in_pieces_is_looked_at_value_by_value(piece: int) -> None:
    assert not scan([b"fresh", None, b"", b"x" * 100], piece=piece).has_shown
    found = scan([None, b"x" * 100, PHONE.encode()], piece=piece)
    assert (found.has_shown, found.has_unseen, found.is_complete) == (True, False, True)
    number = (1234567890123).to_bytes(8, "big")
    assert scan([b"x", number], (0, 1), (TEXT, INT8), piece).has_shown
    assert not scan([b"x", number], (0, 0), (TEXT, INT8), piece).has_shown
    assert scan([number, number], (1,), (INT8, INT8), piece).has_shown


def test_a_value_that_is_too_large_passes_as_a_text_and_not_as_an_array() -> None:
    large = b"x" * (VALUE_BYTES_MAX + 1)
    found = scan([large, PHONE.encode()], piece=60_000)
    assert (found.has_shown, found.has_unseen, found.is_complete) == (True, False, True)
    for value, formats in ((b"{" + large, ()), (b' [{"a":' + large, ()), (array(TEXT, large), (1,)), (b'\1{"a":' + large, (1,))):
        assert scan([value], formats, piece=60_000).has_unseen
    assert not scan([large], piece=60_000).has_unseen


def write_to_hidden(value: str) -> str:
    return f"UPDATE users SET email = '{value}' WHERE id = '1'"


def desk(*shown: str) -> Desk:
    made = Desk()
    made.phase.state.context = replace(made.context, remembered=lambda principal, is_to_be_made: memory(*shown))
    return made


def refusal_of(made: Desk) -> str:
    return made.bodies("db.query.decided")[-1]["rule"]


def test_a_query_with_a_mask_is_refused_and_its_like_is_not() -> None:
    made = desk("Tagubiko Feretu")
    for value, rule in ((EMAIL, True), ("fresh@corp.test", False), ("tagubiko feretu", True), ("other@corp.test", False), (EMAIL, True)):
        made.from_client(query(write_to_hidden(value)))
        assert ("baseline.masked_write_back" == refusal_of(made)) is rule, value
        made.from_server(*((complete("UPDATE 1"), ready()) if not rule else ()))
        if rule:
            made.from_server(error("42601"), ready())
        told = [fields_of(body) for kind, body in made.to_client() if kind == "E"]
        assert ("42501" in [each.get("C") for each in told]) is rule


def test_an_execute_with_a_mask_among_its_parameters_is_refused_and_the_next_is_not() -> None:
    made = desk("Tagubiko Feretu")
    made.from_client(parse("UPDATE users SET email = $1 WHERE id = '1'", "s"), SYNC)
    made.from_server(PARSED, ready())
    for value, is_refused in ((b"fresh@corp.test", False), (b"Tagubiko Feretu", True)):
        made.from_client(encode_bind(Bind(b"", b"s", (), (value,))), execute(), SYNC)
        assert ("baseline.masked_write_back" == refusal_of(made)) is is_refused
        if not is_refused:
            made.from_server(BOUND, NO_DATA, complete("UPDATE 1"), ready())


def test_what_stores_nothing_in_hidden_columns_is_not_looked_at() -> None:
    made = desk()
    for text in (f"UPDATE users SET username = '{EMAIL}' WHERE id = '1'", f"SELECT 1 FROM users WHERE email = '{EMAIL}'"):
        made.from_client(query(text))
        assert "allow" == made.bodies("db.query.decided")[-1]["effect"]
        made.from_server(complete("X 1"), ready())


def test_a_text_too_long_to_be_looked_at_is_refused_with_a_hint() -> None:
    made = desk()
    made.phase.state.context = replace(made.context, limits=replace(made.context.limits, analysis_inline_bytes_max=1 << 30))
    many = ", ".join(f"('{n}', E'\\x41@corp.test')" for n in range(OTHER_BYTES_MAX // 20))
    made.from_client(query(f"INSERT INTO users (id, email) VALUES {many}"))
    assert "masked_write_back" in made.bodies("db.query.decided")[-1]["reason"]
