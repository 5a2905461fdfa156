"""The gate's table, enumerated: no way leads to a permit but the one over a safe record."""

import itertools

import pytest

from querywarden.gate.gate import TRANSITIONS, Act, GateEvent, OutOfOrder, Stage


@pytest.mark.parametrize("events", list(itertools.product(GateEvent, repeat=4)), ids=lambda e: "-".join(e))
def test_no_sequence_of_events_mints_a_permit_without_a_safe_record(events: tuple[GateEvent, ...]) -> None:
    act = Act("a")
    seen: list[GateEvent] = []
    for event in events:
        try:
            act.advance(event)
        except OutOfOrder:
            continue
        seen.append(event)
    released_before = GateEvent.RELEASE in seen
    try:
        permit = act.permit()
    except OutOfOrder:
        permit = None
    if permit is not None or released_before:
        order = [GateEvent.ALLOW, GateEvent.RECORD_SAFE]
        assert order == [event for event in seen if event in order]
        assert GateEvent.DENY not in seen


def test_a_permit_exists_once() -> None:
    act = Act("a")
    act.advance(GateEvent.ALLOW)
    act.advance(GateEvent.RECORD_SAFE)
    assert act.permit().audit_id == "a"
    with pytest.raises(OutOfOrder):
        act.permit()


def test_final_stages_have_no_way_out() -> None:
    leaving = {stage for stage, _ in TRANSITIONS}
    assert leaving.isdisjoint({Stage.RELEASED, Stage.REFUSED, Stage.WITHDRAWN})
