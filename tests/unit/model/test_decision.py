"""Approval terms: who is asked where several rules hold one statement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querywarden.model.decision import Agreement, ApprovalTerms, WaitMode, combined

DBA = ApprovalTerms(("dba",), 1, 1800, WaitMode.WAIT)
SECURITY = ApprovalTerms(("security",), 2, 900, WaitMode.FAIL)
GROUPS = ("dba", "security", "leads")


@pytest.mark.parametrize(
    ("approvers", "groups", "expected"),
    [
        (("dba",), {"dba"}, True),
        (("dba", "leads"), {"dev", "leads"}, True),
        (("team-*",), {"team-a"}, True),
        (("dba",), {"DBA"}, False),
        (("dba",), set(), False),
    ],
)
def test_who_is_asked(approvers: tuple[str, ...], groups: set[str], expected: bool) -> None:
    assert expected == ApprovalTerms(approvers).is_for(groups)
    assert expected == ApprovalTerms(("nobody",), also=(Agreement(approvers),)).is_for(groups)


def test_terms_alone_stay_as_they_are() -> None:
    assert DBA == combined([DBA])
    assert DBA == combined([DBA, DBA])


def test_the_approvers_of_all_have_to_agree_within_the_shortest_time() -> None:
    expected = ApprovalTerms(("security",), 2, 900, WaitMode.FAIL, also=(Agreement(("dba",), 1),))

    assert expected == combined([DBA, SECURITY])
    assert expected == combined([SECURITY, DBA, DBA])
    assert expected == combined([combined([DBA, SECURITY]), SECURITY])


def test_what_is_satisfied_with_another_is_not_asked_for_twice() -> None:
    wide = ApprovalTerms(("dba", "security"), 1, 1800)

    assert (Agreement(("security",), 2),) == combined([wide, SECURITY]).agreements
    assert (Agreement(("dba", "security"), 3), Agreement(("dba",), 1)) == combined([DBA, ApprovalTerms(("dba", "security"), 3)]).agreements
    assert (Agreement(("dba",), 3),) == combined([DBA, ApprovalTerms(("dba",), 3), wide]).agreements


def test_a_standing_approval_is_enough_where_it_is_for_each() -> None:
    first, second = ApprovalTerms(standing="a"), ApprovalTerms(("dba",), standing="b")

    assert "a" == combined([first, second]).standing
    assert combined([first, second, DBA]).standing is None


agreed = st.lists(st.frozensets(st.sampled_from(GROUPS), min_size=1), max_size=4)
terms = st.builds(
    ApprovalTerms, st.lists(st.sampled_from(GROUPS), min_size=1, max_size=3).map(tuple), st.integers(1, 3), st.integers(1, 100)
)


@given(st.lists(terms, min_size=1, max_size=4), agreed)
def test_enough_have_agreed_when_enough_have_for_each(several: list[ApprovalTerms], people: list[frozenset[str]]) -> None:
    def is_met(terms: ApprovalTerms) -> bool:
        return all(sum(each.is_for(groups) for groups in people) >= each.quorum for each in terms.agreements)

    assert all(map(is_met, several)) == is_met(combined(several))
