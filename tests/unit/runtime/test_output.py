"""A session's output: one write for what goes out together, nothing late, nothing lost."""

from __future__ import annotations

from querywarden.runtime.metrics import Metrics
from querywarden.runtime.output import DEFERRED_PARTS_MAX, Output


class FakeSide:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def make() -> tuple[Output, FakeSide, FakeSide]:
    client, server = FakeSide(), FakeSide()
    output = Output(client, Metrics())  # type: ignore[arg-type]
    output.server = server  # type: ignore[assignment]
    return output, client, server


def test_what_an_input_sends_goes_out_at_its_end_as_one_write() -> None:
    output, client, server = make()
    output.to_client += [b"a", b"b"]
    output.to_server += [b"c"]
    output.end_of_input()
    assert ([b"ab"], [b"c"]) == (client.written, server.written)
    output.end_of_input()
    assert ([b"ab"], [b"c"]) == (client.written, server.written)


def test_output_waits_for_an_answer_that_is_at_hand_and_no_longer() -> None:
    output, client, server = make()
    output.to_server.append(b"bind")
    output.answers_at_hand = 1
    output.end_of_input()
    assert [] == server.written
    output.answers_at_hand = 0
    output.to_server.append(b"execute")
    output.to_client.append(b"row")
    output.end_of_input()
    assert ([b"row"], [b"bindexecute"]) == (client.written, server.written)


def test_much_output_does_not_wait() -> None:
    output, client, _ = make()
    output.answers_at_hand = 1
    output.to_client += [b"x"] * DEFERRED_PARTS_MAX
    output.end_of_input()
    assert [b"x" * DEFERRED_PARTS_MAX] == client.written


def test_a_failed_input_takes_back_its_own_output_only() -> None:
    output, client, server = make()
    output.answers_at_hand = 1
    output.to_client.append(b"earlier")
    output.to_server.append(b"earlier")
    output.end_of_input()
    output.to_client.append(b"failed")
    output.drop_unfinished()
    assert ([b"earlier"], []) == (client.written, server.written)
    assert output.to_client == output.to_server == []
