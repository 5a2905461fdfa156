"""The quorum counts different people whose votes stand."""

from __future__ import annotations

from dataclasses import replace

from tests.model.store_scenarios import BOB, CAROL, DAVE, IDP, REQUEST, no, quorum, without, yes

from querywarden.approval.quorum import as_voted, is_by_others, is_met, standing
from querywarden.approval.request import ApprovalRequest, Vote
from querywarden.model.decision import Agreement, ApprovalTerms
from querywarden.model.principal import Actor


def _with(*votes: Vote, count: int = 2) -> ApprovalRequest:
    return replace(quorum(REQUEST, count), votes=votes)


def test_votes_of_different_people_count() -> None:
    assert [0, 1, 2] == [len(standing(_with(*votes), as_voted)) for votes in ((), (yes(BOB),), (yes(BOB), yes(CAROL)))]
    assert [False, False, True] == [is_met(_with(*votes), as_voted) for votes in ((), (yes(BOB),), (yes(BOB), yes(CAROL)))]


def test_a_person_counts_once_however_it_spoke() -> None:
    through_another = replace(CAROL, actors=(Actor("bob", IDP),))
    assert 1 == len(standing(_with(yes(BOB), yes(BOB)), as_voted))
    assert 1 == len(standing(_with(yes(BOB), yes(through_another)), as_voted))
    assert 2 == len(standing(_with(yes(BOB), yes(replace(BOB, issuer="other"))), as_voted))


def test_votes_that_do_not_stand_do_not_count() -> None:
    request = _with(yes(BOB), yes(CAROL), yes(DAVE))
    assert [BOB, DAVE] == standing(request, without("carol"))
    assert not is_met(request, without("bob", "carol"))


def test_after_a_no_none_stands() -> None:
    assert 0 == len(standing(_with(yes(BOB), no(CAROL), yes(DAVE)), as_voted))
    assert not is_met(_with(no(CAROL), yes(BOB), count=1), as_voted)


def test_a_quorum_of_nobody_is_still_one() -> None:
    assert not is_met(_with(count=0), as_voted)
    assert not is_met(_with(count=-1), as_voted)


def test_each_agreement_counts_those_who_are_in_its_groups_now() -> None:
    terms = ApprovalTerms(("dba",), 2, also=(Agreement(("security",)),))
    both = replace(CAROL, groups=frozenset({"dba", "security"}))
    security = replace(DAVE, groups=frozenset({"security"}))
    votes = {"two": (yes(BOB), yes(both)), "three": (yes(BOB), yes(CAROL), yes(security)), "less": (yes(BOB), yes(security))}
    assert {"two": True, "three": True, "less": False} == {
        name: is_met(replace(REQUEST, terms=terms, votes=each), as_voted) for name, each in votes.items()
    }
    moved = replace(REQUEST, terms=terms, votes=votes["two"])
    assert not is_met(moved, lambda vote: replace(vote.approver, groups=frozenset({"dba"})))
    assert not is_met(moved, lambda vote: replace(vote.approver, groups=frozenset({"security"})))


def test_nobody_approves_what_is_its_own() -> None:
    request = _with(yes(BOB), yes(CAROL))
    assert is_by_others(request, {("dave", IDP)}, as_voted)
    assert not is_by_others(request, {("bob", IDP)}, as_voted)
    assert not is_by_others(request, {("dave", IDP)}, without("carol"))
