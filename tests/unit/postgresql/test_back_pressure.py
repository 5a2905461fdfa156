"""Back-pressure: what was held back for want of room goes on by itself once there is room, since nobody else may have more to say."""

from __future__ import annotations

from tests.model.statement_desk import SYNC, Desk, execute, kinds_of, parse

from querywarden.postgresql.framing import encode
from querywarden.session import inputs as ev


def _large_bind(size: int) -> bytes:
    return encode(b"B", b"\0\0\0\0" + b"\0\1" + size.to_bytes(4, "big") + b"v" * size + b"\0\0")


def test_what_follows_a_large_bind_is_admitted_when_the_bind_has_gone_out() -> None:
    desk = Desk(keeps_records=True)
    size = desk.context.limits.pipeline_bytes_max + desk.context.limits.bind_buffered_bytes_max
    desk.from_client(parse("select name from products"), _large_bind(size), execute(), SYNC)
    assert 1 == len(desk.records)
    desk.give(ev.RecordSafe(1))
    assert 2 == len(desk.records)
    desk.give(ev.RecordSafe(2))
    assert "PBDES" == kinds_of(desk.to_server())
