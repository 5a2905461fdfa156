"""ErrorResponse and NoticeResponse."""

from __future__ import annotations

import pytest

from querywarden.errors import PeerViolation
from querywarden.postgresql.error_response import ErrorFields, decode_fields, encode_error, encode_fields, encode_notice


def test_an_error_of_our_own_has_all_that_drivers_read() -> None:
    message = encode_error("ERROR", "42501", "no", "because", "ask", position=7)
    assert message[:1] == b"E"
    assert decode_fields(message[5:]) == (
        (b"S", b"ERROR"), (b"V", b"ERROR"), (b"C", b"42501"), (b"M", b"no"), (b"D", b"because"), (b"H", b"ask"), (b"P", b"7"),
    )  # fmt: skip


def test_absent_fields_are_left_out_and_a_nul_cannot_end_a_value_early() -> None:
    message = encode_error("FATAL", "28000", "a\0Mb")
    assert decode_fields(message[5:]) == ((b"S", b"FATAL"), (b"V", b"FATAL"), (b"C", b"28000"), (b"M", b"a Mb"))


def test_a_text_that_utf8_cannot_carry_is_still_told() -> None:
    assert ErrorFields(decode_fields(encode_error("ERROR", "42501", "a\ud800b")[5:])).get(b"M") == b"a?b"


def test_a_notice_has_its_own_type() -> None:
    message = encode_notice("NOTICE", "00000", "held")
    assert message[:1] == b"N"
    assert ErrorFields(decode_fields(message[5:])).severity == b"NOTICE"


def test_fields_survive_a_round_trip_in_order_and_with_unknown_codes() -> None:
    fields = ((b"S", b"FEHLER"), (b"C", b"22P02"), (b"x", b""), (b"M", "ä".encode()), (b"M", b"again"))
    assert decode_fields(encode_fields(fields)[5:]) == fields
    assert decode_fields(memoryview(encode_fields(fields)[5:])) == fields


@pytest.mark.parametrize("body", [b"", b"S", b"SERROR", b"SERROR\0", b"SERROR\0\0x", b"\0\0", b"SERROR\0C42501\0M", b"Sx\0" * 65 + b"\0"])
def test_a_malformed_body_is_a_violation(body: bytes) -> None:
    with pytest.raises(PeerViolation):
        decode_fields(body)


@pytest.mark.parametrize("state", [None, b"", b"4250", b"425011", b"42 01", b"42\xc3\xa401"])
def test_a_missing_or_odd_sqlstate_counts_as_an_internal_error(state: bytes | None) -> None:
    """CVE-2026-6666: an error without SQLSTATE brought a proxy down."""
    fields = ((b"M", b"oops"),) if state is None else ((b"C", state), (b"M", b"oops"))
    assert ErrorFields(decode_fields(encode_fields(fields)[5:])).sqlstate == b"XX000"


def test_severity_is_the_unlocalised_one() -> None:
    assert ErrorFields(((b"S", b"FATALE"), (b"V", b"FATAL"))).is_fatal
    assert ErrorFields(((b"S", b"PANIC"),)).is_fatal
    assert not ErrorFields(((b"S", b"ERROR"),)).is_fatal
    assert ErrorFields(()).severity == b"ERROR"


def test_a_repr_shows_no_text() -> None:
    assert "canary" not in repr(ErrorFields(((b"C", b"23505"), (b"D", b"Key (email)=(canary) already exists."))))
