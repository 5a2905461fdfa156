"""The table of a request's life, enumerated: what no sequence of events can reach."""

from __future__ import annotations

import itertools

import pytest

from querywarden.approval.lifecycle import TRANSITIONS, ImpossibleEvent, RequestEvent, after, states_before
from querywarden.approval.request import RequestState

FINAL = {RequestState.CONSUMED, RequestState.DENIED, RequestState.EXPIRED, RequestState.WITHDRAWN}
NEEDS_A_YES = {RequestEvent.USE, RequestEvent.USE_UP}


def _run(events: tuple[RequestEvent, ...]) -> list[tuple[RequestState, RequestEvent]]:
    """The states that events were taken in; those that are impossible are skipped."""
    state, seen = RequestState.PENDING, []
    for event in events:
        try:
            following = after(state, event)
        except ImpossibleEvent:
            continue
        seen.append((state, event))
        state = following
    return seen


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_nothing_is_used_without_an_approval_nor_after_an_end(length: int) -> None:
    for events in itertools.product(RequestEvent, repeat=length):
        taken = [event for _, event in _run(events)]
        for index, event in enumerate(taken):
            before = taken[:index]
            assert not {RequestEvent.DENY, RequestEvent.EXPIRE, RequestEvent.WITHDRAW, RequestEvent.USE_UP} & set(before)
            if event in NEEDS_A_YES:
                last_asked = max((i for i, each in enumerate(before) if each is RequestEvent.REOPEN), default=-1)
                assert RequestEvent.APPROVE in before[last_asked + 1 :]


def test_only_pending_and_approved_ever_change() -> None:
    assert {RequestState.PENDING, RequestState.APPROVED} == {state for state, _ in TRANSITIONS}
    assert set(RequestState) - FINAL == {RequestState.PENDING, RequestState.APPROVED}


def test_every_event_has_one_outcome() -> None:
    """The control store changes all rows that an event may happen to in the same way."""
    for event in RequestEvent:
        assert states_before(event)
        assert 1 == len({after(state, event) for state in states_before(event)})


def test_every_pair_is_in_the_table_or_impossible() -> None:
    for state, event in itertools.product(RequestState, RequestEvent):
        if (state, event) in TRANSITIONS:
            assert after(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(ImpossibleEvent):
                after(state, event)
