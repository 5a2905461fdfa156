"""Parameter values as approvers read them, from both formats; the binary ones are what PostgreSQL's send functions give."""

from __future__ import annotations

import uuid
from struct import pack

import pytest

from querywarden.postgresql.messages.frontend import Bind
from querywarden.postgresql.parameter_texts import parameter_texts

CASES = [
    (23, pack("!i", -7), "-7"),
    (20, pack("!q", 1 << 40), str(1 << 40)),
    (16, b"\x01", "true"),
    (25, "Grüße".encode(), "Grüße"),
    (701, pack("!d", 1.5), "1.5"),
    (1082, pack("!i", 366), "2001-01-01"),
    (1114, pack("!q", 86_400_000_000), "2000-01-02 00:00:00"),
    (2950, uuid.UUID(int=5).bytes, str(uuid.UUID(int=5))),
    (1700, pack("!HhHH", 2, 0, 0, 2) + pack("!HH", 12, 3400), "12.34"),
    (1700, pack("!HhHH", 1, 1, 0x4000, 0) + pack("!H", 5), "-50000"),
    (1700, pack("!HhHH", 1, -1, 0, 4) + pack("!H", 25), "0.0025"),
    (1700, pack("!HhHH", 0, 0, 0xC000, 0), "NaN"),
    (3802, b"\x01{}", "{}"),
    (600, b"\x01\x02", "0x0102"),
    (23, b"\x01", "1"),
    (1114, b"\x01", "0x01"),
]


@pytest.mark.parametrize(("oid", "value", "shown"), CASES)
def test_binary(oid: int, value: bytes, shown: str) -> None:
    assert (shown,) == parameter_texts(Bind(b"", b"", (1,), (value,)), (oid,), 1)


def test_text_null_and_values_that_are_too_long() -> None:
    bound = Bind(b"", b"", (), (b"a", None, b"\xff", b"x" * 5000))
    shown = parameter_texts(bound, (), 4)
    assert ("a", None, "\\xff") == shown[:3]
    assert str(shown[3]).endswith("… (5000 characters)")


def test_formats_of_each_value() -> None:
    bound = Bind(b"", b"", (0, 1), (b"7", pack("!i", 7)))
    assert ("7", "7") == parameter_texts(bound, (23, 23), 2)


def test_a_bind_that_was_not_kept_is_told() -> None:
    assert ("(too large to be shown)",) == parameter_texts(None, (), 3)
    assert () == parameter_texts(None, (), 0)


def test_more_parameters_than_are_shown_are_counted() -> None:
    shown = parameter_texts(Bind(b"", b"", (), (b"1",) * 250), (), 250)
    assert (201, "(50 more)") == (len(shown), shown[-1])
