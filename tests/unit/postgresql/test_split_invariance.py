"""However the bytes of both sides are cut, the session does the same; and each Sync and Query gets one ReadyForQuery."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st
from tests.model.statement_desk import SYNC, Desk, bind, describe, execute, parse, query, split
from tests.model.stub_server import CANARY, COPY, TEXTS, StubServer

from querywarden.gate.permit import Permit
from querywarden.postgresql.framing import encode
from querywarden.session import inputs as ev

_REFUSED = ("drop table users", "delete from users", "select pg_read_file('x')", "selec", "select 1; drop table users")
_NAMES = st.sampled_from(["", "s1", "s2"])
_LARGE = 1_100_000
"""Above the size up to which a Bind is kept whole: its values flow through in pieces."""


class StillDesk(Desk):
    """A desk at which time stands still, so that records don't depend on how many inputs there were."""

    def give(self, item: ev.Input) -> None:
        self._take(self.phase.handle(item, self.now))


@dataclass(frozen=True)
class _Said:
    client: bytes
    server: bytes
    records: tuple[str, ...]


@dataclass(frozen=True)
class LargeBind:
    """A Bind with a large value, which examples of dialogues name instead of holding it."""

    statement: str

    def encode(self) -> bytes:
        value = b"\0\1" + _LARGE.to_bytes(4, "big") + b"v" * _LARGE
        return encode(b"B", b"\0" + self.statement.encode() + b"\0\0\0" + value + b"\0\0")


_texts = st.sampled_from(TEXTS) | st.sampled_from(_REFUSED)
_odd = st.one_of(
    st.builds(parse, _texts, _NAMES),
    st.builds(lambda name: describe("S", name), _NAMES),
    st.builds(lambda name: encode(b"C", b"S" + name.encode() + b"\0"), _NAMES),
    st.builds(lambda name: bind("", name), _NAMES),
    st.just(encode(b"H", b"")),
)
_run = st.builds(
    lambda text, name, is_described, is_large: [
        parse(text, name), LargeBind(name) if is_large else bind("", name), *([describe("P")] if is_described else []), execute(),
    ],
    _texts, _NAMES, st.booleans(), st.sampled_from([False] * 15 + [True]),
)  # fmt: skip
_segment = st.lists(_run | _odd.map(lambda message: [message]), max_size=4).map(lambda parts: [*chain.from_iterable(parts), SYNC])
_copy = st.builds(
    lambda rows, end: [query(COPY), *(encode(b"d", row) for row in rows), encode(end, b"" if end == b"c" else b"no\0")],
    st.lists(st.binary(max_size=30), max_size=3), st.sampled_from([b"c", b"f"]),
)  # fmt: skip
dialogues = st.lists(_segment | _texts.map(lambda text: [query(text)]) | _copy, min_size=1, max_size=6).map(
    lambda parts: list(chain.from_iterable(parts))
)
_IDS = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
cuts = st.lists(st.integers(1, 40), max_size=60)


def _pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    found, position = [], 0
    for size in sizes:
        if position < len(data):
            found.append(data[position : position + size])
            position += size
    return [*found, data[position:]] if position < len(data) else found


def _hold(messages: list[bytes | LargeBind], client_cuts: list[int], server_cuts: list[int]) -> tuple[_Said, Desk]:
    """Give all that the client says, then what the server answers, until nobody has anything to say."""
    desk, server = StillDesk(), StubServer()
    for piece in _pieces(b"".join(m.encode() if isinstance(m, LargeBind) else m for m in messages), client_cuts):
        desk.give(ev.ClientBytes(memoryview(piece)))
    answered = 0
    while answered < len(desk.server):
        said, answered = bytes(desk.server[answered:]), len(desk.server)
        for piece in _pieces(server.answer(said), server_cuts):
            desk.give(ev.ServerBytes(memoryview(piece)))
    records = tuple(f"{record.type} {record.body}" for record in desk.records)
    return _Said(bytes(desk.client), bytes(desk.server), records), desk


def _requests(messages: list[bytes | LargeBind]) -> int:
    return sum(isinstance(message, bytes) and message[:1] in (b"S", b"Q") for message in messages)


@given(dialogues, cuts, cuts)
def test_any_chunking_gives_the_same_effects(messages, client_cuts, server_cuts):
    whole, _ = _hold(messages, [], [])
    cut, _ = _hold(messages, client_cuts, server_cuts)
    if not any("'unsupported'" in record for said in (whole, cut) for record in said.records):
        assert whole == cut
    # A name that nobody has defined is refused by us, or skipped with what the server has failed before it: whichever is known first. The
    # client can't tell the two apart but by the ids.
    assert _IDS.sub(b"id", whole.client) == _IDS.sub(b"id", cut.client)


@given(dialogues, cuts)
def test_each_sync_and_query_gets_one_ready_for_query_whatever_was_refused(messages, server_cuts):
    said, desk = _hold(messages, [], server_cuts)
    assert _requests(messages) == sum(kind == "Z" for kind, _ in split(said.client))
    assert not desk.phase.is_over
    assert not desk.phase.state.expected
    assert desk.phase.state.is_at_rest


@given(dialogues)
def test_what_runs_has_a_permit_and_a_record_and_no_canary_leaves(messages):
    said, desk = _hold(messages, [], [])
    assert CANARY not in said.client
    refused = [text.encode() for text in _REFUSED if text != "selec"]
    assert not any(text in said.server for text in refused)
    recorded = {record.id for record in desk.records if record.type.endswith("decided")}
    assert all(basis.audit_id in recorded for basis in desk.bases if isinstance(basis, Permit))
