"""The quorum counts different people whose votes stand."""

from __future__ import annotations

from dataclasses import replace

from tests.model.store_scenarios import BOB, CAROL, DAVE, IDP, REQUEST, no, quorum, yes

from querywarden.approval.quorum import is_by_others, is_met, standing_votes
from querywarden.approval.request import ApprovalRequest, Vote
from querywarden.model.principal import Actor


def _with(*votes: Vote, count: int = 2) -> ApprovalRequest:
    return replace(quorum(REQUEST, count), votes=votes)


def _any(_: Vote) -> bool:
    return True


def test_votes_of_different_people_count() -> None:
    assert [0, 1, 2] == [standing_votes(_with(*votes), _any) for votes in ((), (yes(BOB),), (yes(BOB), yes(CAROL)))]
    assert [False, False, True] == [is_met(_with(*votes), _any) for votes in ((), (yes(BOB),), (yes(BOB), yes(CAROL)))]


def test_a_person_counts_once_however_it_spoke() -> None:
    through_another = replace(CAROL, actors=(Actor("bob", IDP),))
    assert 1 == standing_votes(_with(yes(BOB), yes(BOB)), _any)
    assert 1 == standing_votes(_with(yes(BOB), yes(through_another)), _any)
    assert 2 == standing_votes(_with(yes(BOB), yes(replace(BOB, issuer="other"))), _any)


def test_votes_that_do_not_stand_do_not_count() -> None:
    request = _with(yes(BOB), yes(CAROL), yes(DAVE))
    assert 2 == standing_votes(request, lambda vote: vote.approver != CAROL)
    assert not is_met(request, lambda vote: vote.approver == DAVE)


def test_after_a_no_none_stands() -> None:
    assert 0 == standing_votes(_with(yes(BOB), no(CAROL), yes(DAVE)), _any)
    assert not is_met(_with(no(CAROL), yes(BOB), count=1), _any)


def test_a_quorum_of_nobody_is_still_one() -> None:
    assert not is_met(_with(count=0), _any)
    assert not is_met(_with(count=-1), _any)


def test_nobody_approves_what_is_its_own() -> None:
    request = _with(yes(BOB), yes(CAROL))
    assert is_by_others(request, {("dave", IDP)}, _any)
    assert not is_by_others(request, {("bob", IDP)}, _any)
    assert not is_by_others(request, {("dave", IDP)}, lambda vote: vote.approver == BOB)
