"""The gate's table, enumerated: no way leads to a permit but the one over a safe record, none after a no or a withdrawal."""

import itertools
from collections import deque
from dataclasses import dataclass, replace

import pytest

from querywarden.gate.gate import TRANSITIONS, Act, GateEvent, OutOfOrder, Stage

FINAL = {Stage.RELEASED, Stage.REFUSED, Stage.WITHDRAWN}


@dataclass(frozen=True)
class Walk:
    """A place in the table with what has happened on the way there, as somebody who doesn't trust the table would note it."""

    stage: Stage = Stage.ARRIVED
    yes: bool = False
    """Policy has allowed it, or approvers have."""
    recorded: bool = False
    """The record of the latest yes is safe."""
    was_held: bool = False
    hold_recorded: bool = False
    no: bool = False
    withdrawn: bool = False
    failed: bool = False
    released: bool = False


def walks() -> dict[Walk, tuple[GateEvent, ...]]:
    """Every place that can be reached, with one way there; the notes keep the set finite."""
    start = Walk()
    found = {start: ()}
    pending = deque([start])
    while pending:
        here = pending.popleft()
        for event in GateEvent:
            stage = TRANSITIONS.get((here.stage, event))
            if stage is None:
                continue
            there = noted(replace(here, stage=stage), event)
            if there not in found:
                found[there] = (*found[here], event)
                pending.append(there)
    return found


def noted(walk: Walk, event: GateEvent) -> Walk:
    if event in (GateEvent.ALLOW, GateEvent.APPROVE):
        return replace(walk, yes=True, recorded=False)
    if event is GateEvent.RECORD_SAFE:
        return replace(walk, recorded=walk.yes, hold_recorded=walk.hold_recorded or (walk.was_held and not walk.yes))
    if event is GateEvent.RECORD_FAILED:
        return replace(walk, failed=True)
    if event is GateEvent.HOLD:
        return replace(walk, was_held=True)
    if event in (GateEvent.DENY, GateEvent.REJECT):
        return replace(walk, no=True)
    if event is GateEvent.WITHDRAW:
        return replace(walk, withdrawn=True)
    return replace(walk, released=True)


WALKS = walks()


@pytest.mark.parametrize("walk", list(WALKS), ids=lambda walk: "-".join(WALKS[walk]) or "start")
def test_a_permit_takes_a_yes_whose_record_is_safe_and_no_no_withdrawal_or_failed_record(walk: Walk) -> None:
    act = Act("a")
    for event in WALKS[walk]:
        act.advance(event)
    assert walk.stage == act.stage
    try:
        act.permit()
        minted = True
    except OutOfOrder:
        minted = False
    if minted or walk.released:
        assert (True, True) == (walk.yes, walk.recorded)
        assert (False, False, False) == (walk.no, walk.withdrawn, walk.failed)
        assert walk.hold_recorded or not walk.was_held
    assert not (minted and walk.released), "a permit exists once"


def test_every_stage_and_event_occurs_on_some_way() -> None:
    assert set(Stage) == {walk.stage for walk in WALKS}
    assert set(GateEvent) == {event for way in WALKS.values() for event in way}


def test_no_sequence_of_events_mints_a_permit_without_a_safe_record() -> None:
    for events in itertools.product(GateEvent, repeat=5):
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
            act.permit()
            minted = True
        except OutOfOrder:
            minted = False
        if minted or released_before:
            yes = max(index for index, event in enumerate(seen) if event in (GateEvent.ALLOW, GateEvent.APPROVE))
            assert GateEvent.RECORD_SAFE in seen[yes:], events
            assert {GateEvent.DENY, GateEvent.REJECT, GateEvent.WITHDRAW, GateEvent.RECORD_FAILED}.isdisjoint(seen), events


def test_a_permit_exists_once() -> None:
    act = Act("a")
    act.advance(GateEvent.ALLOW)
    act.advance(GateEvent.RECORD_SAFE)
    assert "a" == act.permit().audit_id
    with pytest.raises(OutOfOrder):
        act.permit()


def test_the_permit_of_a_held_statement_names_the_record_of_its_approval() -> None:
    act = Act("hold")
    act.advance(GateEvent.HOLD)
    with pytest.raises(OutOfOrder):
        act.approve("early")
    act.advance(GateEvent.RECORD_SAFE)
    act.approve("approval")
    with pytest.raises(OutOfOrder):
        act.permit()
    act.advance(GateEvent.RECORD_SAFE)
    assert "approval" == act.permit().audit_id


def test_final_stages_have_no_way_out() -> None:
    leaving = {stage for stage, _ in TRANSITIONS}
    assert leaving.isdisjoint(FINAL)
