"""A Sync in the middle of a COPY FROM STDIN of the extended protocol: the server ignores it, before or after it has asked for data."""

from __future__ import annotations

import pytest
from tests.model.statement_desk import BOUND, NO_DATA, PARSED, SYNC, Desk, bind, complete, execute, kinds_of, parse, query, ready

from querywarden.postgresql.framing import encode

COPY_IN, DATA, DONE = encode(b"G", b"\0\0\2\0\0\0\0"), encode(b"d", b"1\tsoap\n"), encode(b"c", b"")


@pytest.mark.parametrize("comes_late", [False, True])
def test_an_ignored_sync_is_not_waited_for(comes_late: bool) -> None:
    desk = Desk()
    begin = (parse("copy products from stdin"), bind(), execute())
    if comes_late:
        desk.from_client(*begin)
        desk.from_server(PARSED, BOUND, NO_DATA, COPY_IN)
        desk.from_client(SYNC, DATA, DONE, SYNC)
    else:
        desk.from_client(*begin, SYNC)
        desk.from_server(PARSED, BOUND, NO_DATA, COPY_IN)
        desk.from_client(DATA, DONE, SYNC)
    desk.from_server(complete("COPY 1"), ready())
    assert "12GCZ" == kinds_of(desk.to_client())
    assert not desk.phase.state.expected
    desk.from_client(query(""))
    desk.from_server(encode(b"I", b""), ready())
    assert "IZ" == kinds_of(desk.to_client())
    assert not desk.phase.is_over
