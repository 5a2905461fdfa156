"""Who may answer a request: every way in which requester and approver can be the same, and every state."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.model.store_scenarios import ALICE, BOB, BOT, CAROL, IDP, NOW, REQUEST, no, yes

from querywarden.approval.eligibility import may_approve_for, may_vote
from querywarden.approval.request import Party, RequestState
from querywarden.model.principal import Actor, PrincipalKind

ALICES = replace(REQUEST, requester=ALICE)
"""Asked by alice herself; REQUEST by the agents bot and hub on her behalf."""


def test_approver_of_a_group_of_the_terms_may() -> None:
    assert may_vote(REQUEST, BOB, NOW) is None
    assert may_vote(ALICES, BOB, NOW) is None


@pytest.mark.parametrize(
    ("groups", "globs", "may"),
    [
        ({"dba"}, ("dba",), True),
        ({"dba-eu"}, ("dba",), False),
        ({"dba-eu"}, ("security", "dba-*"), True),
        ({"DBA"}, ("dba",), False),
        (set(), ("*",), False),
        ({"dba"}, (), False),
    ],
)
def test_groups_are_globs(groups: set[str], globs: tuple[str, ...], may: bool) -> None:
    approver = replace(BOB, groups=frozenset(groups))
    request = replace(REQUEST, terms=replace(REQUEST.terms, approvers=globs))
    assert may is (may_vote(request, approver, NOW) is None)


@pytest.mark.parametrize(
    ("request_", "approver"),
    [
        (ALICES, ALICE),
        (REQUEST, ALICE),
        (REQUEST, Party("bot", IDP, PrincipalKind.SERVICE)),
        (REQUEST, Party("hub", "other", PrincipalKind.HUMAN)),
    ],
)
def test_nobody_who_takes_part_in_a_request_answers_it(request_, approver) -> None:
    approver = replace(approver, groups=frozenset({"dba"}))
    sentence = may_vote(request_, approver, NOW)
    assert sentence is not None and "your own request" in sentence


def test_same_name_of_another_issuer_is_another_person() -> None:
    assert may_vote(ALICES, replace(BOB, subject="alice", issuer="https://else.example"), NOW) is None


@pytest.mark.parametrize(
    "approver",
    [replace(BOB, kind=PrincipalKind.AGENT), replace(BOB, actors=(Actor("helper", IDP),)), replace(BOT, groups=frozenset({"dba"}))],
)
def test_no_agent_answers_nor_anybody_for_another(approver: Party) -> None:
    sentence = may_vote(replace(REQUEST, requester=CAROL), approver, NOW)
    assert sentence is not None and "agent" in sentence


@pytest.mark.parametrize("state", RequestState)
def test_only_a_pending_request_is_answered(state: RequestState) -> None:
    assert (state is RequestState.PENDING) is (may_vote(replace(REQUEST, state=state), BOB, NOW) is None)


def test_expired_request_is_not_answered_though_nobody_has_swept_it() -> None:
    assert may_vote(REQUEST, BOB, REQUEST.expires_at - 1) is None
    assert "This request has expired." == may_vote(REQUEST, BOB, REQUEST.expires_at)


@pytest.mark.parametrize("vote", [yes(BOB), no(BOB), yes(replace(CAROL, actors=(Actor("bob", IDP),)))])
def test_one_answer_each(vote) -> None:
    assert "You have answered this request already." == may_vote(replace(REQUEST, votes=(vote,)), BOB, NOW)


def test_who_has_no_right_hears_only_that() -> None:
    """The state of a request is not for those who may not answer it."""
    settled = replace(REQUEST, state=RequestState.DENIED)
    assert may_vote(settled, replace(BOB, groups=frozenset()), NOW) == may_approve_for(
        settled.requester, settled.terms, replace(BOB, groups=frozenset())
    )
