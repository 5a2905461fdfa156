"""Hidden exchanges: groups of steps, their answers, and what of a group is skipped after an error."""

from __future__ import annotations

import pytest
from tests.model.statement_desk import split

from querywarden.postgresql.error_response import encode_error
from querywarden.postgresql.probe import Probe, Step

CLOSED, READY, ROW, NOTICE, ERROR, PARSED, BOUND, DONE = (ord(each) for each in "3ZDNE12C")
SAVEPOINT, ON, TREE, BACK, RELEASE = (Step(each) for each in (b"SAVEPOINT s", b"SELECT on", b"", b"ROLLBACK TO s", b"RELEASE s"))
TREE = Step(b"SELECT 1", is_parsed_only=True)


def cell(value: bytes) -> bytes:
    return b"\0\1" + len(value).to_bytes(4, "big") + value


def run(probe: Probe, value: bytes = b"x") -> bool:
    """The answer to a step that runs."""
    over = False
    for kind, body in ((CLOSED, b""), (CLOSED, b""), (PARSED, b""), (BOUND, b""), (ROW, cell(value)), (DONE, b"SELECT 1\0"), (CLOSED, b"")):
        over = probe.take(kind, body)
        assert not over
    return probe.take(CLOSED, b"")


def parse(probe: Probe, *notices: bytes) -> bool:
    assert not probe.take(CLOSED, b"")
    for notice in notices:
        assert not probe.take(NOTICE, notice)
    assert not probe.take(PARSED, b"")
    return probe.take(CLOSED, b"")


def fail(probe: Probe) -> bool:
    return probe.take(ERROR, encode_error("ERROR", "42703", "no such column")[5:])


def test_a_group_ends_with_one_sync_and_what_is_parsed_only_is_neither_bound_nor_executed() -> None:
    probe = Probe([SAVEPOINT, [ON, TREE], BACK])
    assert "".join(kind for kind, _ in split(probe.data)) == "CCPBECCSCCPBECCCPCSCCPBECCS"


def test_answers_come_one_for_each_step() -> None:
    probe = Probe([SAVEPOINT, [ON, TREE], BACK])
    run(probe, b"one")
    assert not probe.take(READY, b"T")
    run(probe, b"two")
    parse(probe, b"SLOG\0\0", b"SWARNING\0\0")
    assert not probe.take(READY, b"T")
    run(probe, b"three")
    assert probe.take(READY, b"T")
    assert [answer.text() for answer in probe.answers] == ["one", "two", None, "three"]
    assert [answer.notices for answer in probe.answers] == [[], [], [b"SLOG\0\0", b"SWARNING\0\0"], []]
    assert probe.is_over
    assert not probe.has_failed
    assert probe.status == b"T"


def test_after_an_error_the_rest_of_its_group_is_skipped_and_the_next_group_runs() -> None:
    probe = Probe([[ON, TREE], [ON, TREE]])
    assert not probe.take(CLOSED, b"")
    assert not fail(probe)
    assert not probe.take(READY, b"I")
    run(probe)
    parse(probe, b"n")
    assert probe.take(READY, b"I")
    assert [answer.cells for answer in probe.answers[:2]] == [[], []]
    assert probe.answers[0].error is not None
    assert probe.answers[1].error is None
    assert probe.answers[3].notices == [b"n"]


def test_in_a_segment_the_last_close_ends_it() -> None:
    probe = Probe([[ON, TREE, BACK]], is_in_segment=True)
    assert split(probe.data)[-1][0] == "H"
    assert not run(probe)
    assert not parse(probe)
    assert run(probe)
    assert probe.is_over


def test_in_a_segment_an_error_ends_it() -> None:
    probe = Probe([[ON, TREE, BACK]], is_in_segment=True)
    run(probe)
    assert fail(probe)
    assert probe.error is not None
    assert probe.answers[2].cells == []


def test_in_a_segment_there_is_one_group() -> None:
    with pytest.raises(ValueError, match="one group"):
        Probe([ON, TREE], is_in_segment=True)


def test_notices_of_a_step_that_runs_are_nobodys() -> None:
    probe = Probe([ON])
    probe.take(NOTICE, b"SNOTICE\0\0")
    assert probe.answers[0].notices == []


def test_a_step_shows_no_text_and_no_parameter() -> None:
    assert "secret" not in repr(Step(b"SELECT 'secret'", (25,), (0,), (b"secret",)))
