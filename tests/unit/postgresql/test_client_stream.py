"""The client's stream: the same messages whatever the chunks, and never more held than the limits say."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querywarden.errors import PeerViolation
from querywarden.model.limits import Limits
from querywarden.postgresql.client_stream import BIND_HEAD_BYTES, ClientStream, Message, Oversize, Piece
from querywarden.postgresql.framing import encode

SMALL = replace(Limits(), statement_bytes_max=64, bind_buffered_bytes_max=BIND_HEAD_BYTES, inspected_message_bytes_max=BIND_HEAD_BYTES)


def taken(chunks: list[bytes], limits: Limits = SMALL) -> list[Message | Oversize | tuple[int, bytes]]:
    """What a stream gives, with pieces of one kind joined."""
    stream = ClientStream(limits)
    found: list[Message | Oversize | tuple[int, bytes]] = []
    for chunk in chunks:
        stream.receive(chunk)
        while (item := stream.take()) is not None:
            if not isinstance(item, Piece):
                found.append(item)
            elif found and isinstance(found[-1], tuple) and (item.type == ord("d") or not item.is_first):
                found[-1] = (item.type, found[-1][1] + item.data)
            else:
                found.append((item.type, item.data))
    return found


def _encoded(described: tuple[bytes, int]) -> bytes:
    kind, size = described
    return encode(kind, (bytes(range(256)) * (size // 256 + 1))[:size])


messages = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([b"Q", b"P", b"B", b"S", b"H", b"E", b"d", b"c"]), st.integers(0, 100)),
        st.tuples(st.just(b"B"), st.integers(BIND_HEAD_BYTES, BIND_HEAD_BYTES + 50)),
    ),
    max_size=6,
)


@given(messages, st.lists(st.integers(1, 40), min_size=1, max_size=10))
def test_any_chunking_gives_the_same(described: list[tuple[bytes, int]], sizes: list[int]) -> None:
    data = b"".join(_encoded(each) for each in described)
    chunks, position, turn = [], 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)] if len(data) < 2000 else sizes[turn % len(sizes)] * 400
        chunks.append(data[position : position + size])
        position += size
        turn += 1
    assert taken([data]) == taken(chunks)


def test_an_oversize_statement_is_skipped_without_being_kept() -> None:
    stream = ClientStream(SMALL)
    whole = encode(b"Q", b"x" * 100_000)
    stream.receive(whole[:50])
    assert stream.take() == Oversize(ord("Q"), 100_004)
    for at in range(50, len(whole), 1000):
        stream.receive(whole[at : at + 1000])
        assert len(stream) == 0
    stream.receive(encode(b"S", b""))
    assert stream.take() == Message(ord("S"), b"")


def test_copy_data_flows_through_whatever_its_size() -> None:
    stream = ClientStream(SMALL)
    whole = encode(b"d", b"x" * 1_000_000)
    seen = b""
    for at in range(0, len(whole), 4096):
        stream.receive(whole[at : at + 4096])
        piece = stream.take()
        assert isinstance(piece, Piece)
        seen += piece.data
        assert len(stream) == 0
    assert seen == whole


@pytest.mark.parametrize("header", [b"Q\0\0\0\x03", b"S\xff\xff\xff\xff", b"E\x40\0\0\0"])
def test_impossible_lengths_are_violations(header: bytes) -> None:
    stream = ClientStream(Limits())
    stream.receive(header + b"\0" * 10)
    with pytest.raises(PeerViolation):
        stream.take()


def test_representations_show_no_content() -> None:
    assert "secret" not in repr(Message(ord("B"), b"secret")) + repr(Piece(ord("d"), b"secret", True, True))
