"""Withheld error text: codes and names stay, whatever may be a value goes."""

from hypothesis import given
from hypothesis import strategies as st

from querywarden.postgresql.error_text import WITHHELD, runs_own_code, withheld

CANARY = b"canary-91d2"
TEXT_CODES = [b"M", b"D", b"H", b"W", b"q", b"p", b"x"]


def fields(state: bytes, *more: tuple[bytes, bytes], severity: bytes = b"ERROR") -> tuple[tuple[bytes, bytes], ...]:
    return ((b"S", severity), (b"V", severity), (b"C", state), *more)


@given(st.sampled_from([b"22P02", b"22007", b"XX000", b"P0001", b"00000", b"42P01", b"22003"]), st.sampled_from(TEXT_CODES))
def test_a_value_in_any_text_field_is_gone(state: bytes, code: bytes) -> None:
    kept = withheld(fields(state, (b"M", b"text " + CANARY), (code, CANARY)))
    assert CANARY not in b"".join(value for _, value in kept)


@given(st.sampled_from([b"D", b"H", b"q", b"p", b"x"]))
def test_details_of_constraint_violations_are_gone(code: bytes) -> None:
    kept = withheld(fields(b"23505", (b"M", b"duplicate key"), (code, CANARY), (b"n", b"users_email_key")))
    assert CANARY not in b"".join(value for _, value in kept)
    assert (b"n", b"users_email_key") in kept
    assert (b"M", b"duplicate key") in kept


def test_code_of_the_databases_own_can_choose_any_sqlstate() -> None:
    kept = withheld(fields(b"23505", (b"M", CANARY), (b"W", b"PL/pgSQL function f() line 1 at RAISE")))
    assert (b"M", WITHHELD.encode()) in kept


def test_the_place_in_copys_input_is_no_code_of_the_databases_own() -> None:
    place = b"COPY parts, line 2, column id: \"x\""
    assert not runs_own_code(fields(b"22P02", (b"W", place)))
    assert runs_own_code(fields(b"22P02", (b"W", b"PL/pgSQL function f() line 1\n" + place)))


def test_errors_of_the_grammar_keep_their_text() -> None:
    given_fields = fields(b"42703", (b"M", b'column "emial" does not exist'), (b"P", b"8"), (b"H", b"Perhaps you meant"))
    assert given_fields == withheld(given_fields)


def test_a_name_error_at_run_time_quotes_a_value() -> None:
    kept = withheld(fields(b"42P01", (b"M", b'relation "' + CANARY + b'" does not exist')))
    assert CANARY not in b"".join(value for _, value in kept)
