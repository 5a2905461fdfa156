"""What a control store does, whichever database it is in: scenarios that are run on SQLite and on PostgreSQL alike.

A scenario gets a function that opens one more store on the same, empty database: another proxy, another process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from querywarden.approval.request import (
    AccessWanted,
    ApprovalRequest,
    Party,
    RequestKind,
    RequestState,
    StatementShown,
    Vote,
)
from querywarden.model.decision import Agreement, ApprovalTerms, BudgetMetric, BudgetPeriod, WaitMode
from querywarden.model.principal import Actor, PrincipalKind
from querywarden.storage.approval_store import STANDING_SECONDS_DEFAULT
from querywarden.storage.control_store import (
    AccessGrant,
    ControlStore,
    Delivery,
    DuplicateRequest,
    OpenSession,
    TooManyPending,
    UnknownRequest,
    Usage,
    VoteRefused,
)

Opener = Callable[[], ControlStore]
Scenario = Callable[[Opener], None]

NOW = 1_900_000_000
IDP = "https://idp.example"
ALICE = Party("alice", IDP, PrincipalKind.HUMAN, frozenset({"dev"}))
BOB = Party("bob", IDP, PrincipalKind.HUMAN, frozenset({"dba"}))
CAROL = Party("carol", IDP, PrincipalKind.HUMAN, frozenset({"dba", "Zoë's"}))
DAVE = Party("dave", IDP, PrincipalKind.HUMAN, frozenset({"dev"}))
BOT = Party("alice", IDP, PrincipalKind.AGENT, frozenset({"dev"}), (Actor("bot", IDP), Actor("hub", "other")))
SHOWN = StatementShown(
    "DELETE FROM t WHERE a = 'x\u0000\ud800%s:name'", "DELETE FROM t WHERE a = ?", "delete", "It deletes.", ("1", None), ("t",), ("t",),
    (), ("bulk",), 5000, '{"Plan": {}}',
)  # fmt: skip
REQUEST = ApprovalRequest(
    id="ABCDEFGH",
    kind=RequestKind.STATEMENT,
    state=RequestState.PENDING,
    requester=BOT,
    database="shop",
    environment="production",
    rule="bulk_write",
    terms=ApprovalTerms(("dba",), 1, 1800, WaitMode.FAIL, "again"),
    fingerprint="f" * 64,
    statement_fingerprint="e" * 64,
    created_at=NOW,
    expires_at=NOW + 1800,
    policy_version="v1",
    session_id="s1",
    audit_id="a1",
    statement=SHOWN,
    reason="tidy up\u0000",
    client_ip="10.0.0.1",
    application="psql",
)
WAITING = replace(REQUEST, id="WAITING1", mode=WaitMode.WAIT, instance="p1")
ACCESS = replace(
    REQUEST, id="ACCESS01", kind=RequestKind.ACCESS, requester=ALICE, statement=None, access=AccessWanted("oncall", None, 3600)
)
GRANT = AccessGrant("ACCESS01", "alice", IDP, "oncall", None, NOW, NOW + 3600, "bob")
SESSION = OpenSession("s1", "p1", BOT, "shop", "production", "10.0.0.1", "psql", NOW)
USAGE = Usage("p" * 3000, "shop", "agents", BudgetMetric.ROWS, BudgetPeriod.HOUR, NOW, 10)
DELIVERY = Delivery("msg_1", "hook", "approval.requested", {"a": [1, None, "ü"]}, NOW)


def yes(by: Party, at: int = NOW + 1) -> Vote:
    return Vote(by, True, at, "fine")


def no(by: Party) -> Vote:
    return Vote(by, False, NOW + 1)


def without(*subjects: str) -> Callable[[Vote], Party | None]:
    """Approvers as they were, but for some who are gone."""
    return lambda vote: None if vote.approver.subject in subjects else vote.approver


def quorum(request: ApprovalRequest, count: int) -> ApprovalRequest:
    return replace(request, terms=replace(request.terms, quorum=count))


def approved(store: ControlStore, request: ApprovalRequest = REQUEST, **stated: Any) -> ApprovalRequest:
    store.open_request(request)
    return store.vote(request.id, yes(BOB), NOW + 1, **stated)


def state_of(store: ControlStore, request: ApprovalRequest) -> RequestState:
    found = store.request(request.id)
    assert found is not None
    return found.state


def at_once(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """What several acts return or raise that begin at the same moment, each in a thread."""
    barrier = threading.Barrier(len(acts))

    def act(index: int) -> Any:
        barrier.wait()
        try:
            return acts[index]()
        except ValueError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(act, range(len(acts))))


# Requests.


def request_comes_back_as_it_was(open_store: Opener) -> None:
    store = open_store()
    opened = [store.open_request(request) for request in (REQUEST, WAITING, replace(ACCESS, fingerprint="a" * 64))]
    assert [True] * 3 == [each.is_new for each in opened]
    assert [REQUEST, WAITING] == [open_store().request(each.id) for each in (REQUEST, WAITING)]
    assert {"ABCDEFGH", "ACCESS01"} == set(store.requests(["ABCDEFGH", "ACCESS01", "nothing"]))
    assert store.request("nothing") is None
    assert {} == store.requests([])


def same_question_is_asked_once_where_nobody_waits(open_store: Opener) -> None:
    store = open_store()
    store.open_request(REQUEST)
    again = store.open_request(replace(REQUEST, id="AGAIN001", created_at=NOW + 5))
    assert (REQUEST, False) == (again.request, again.is_new)
    for number in range(2):
        assert store.open_request(replace(WAITING, id=f"WAITING{number}")).is_new
    store.vote(REQUEST.id, no(BOB), NOW + 1)
    assert store.open_request(replace(REQUEST, id="AGAIN001")).is_new


def taken_id_is_told(open_store: Opener) -> None:
    store = open_store()
    store.open_request(REQUEST)
    with pytest.raises(DuplicateRequest):
        store.open_request(replace(REQUEST, fingerprint="a" * 64))
    with pytest.raises(DuplicateRequest):
        store.open_request(replace(WAITING, id=REQUEST.id))
    assert REQUEST == store.request(REQUEST.id)


def question_that_has_expired_makes_room_and_is_still_handed_out(open_store: Opener) -> None:
    store = open_store()
    store.open_request(REQUEST)
    later = replace(REQUEST, id="LATER001", created_at=NOW + 1800, expires_at=NOW + 3600)
    assert store.open_request(later).is_new
    assert ["ABCDEFGH"] == [each.id for each in store.expire(NOW + 1801)]
    assert [] == store.expire(NOW + 1801)


def yes_approves_and_says_for_what(open_store: Opener) -> None:
    store = open_store()
    found = approved(store)
    assert (RequestState.APPROVED, 1, NOW + 1 + 1800, "bob", (yes(BOB),)) == (
        found.state, found.uses_left, found.valid_until, found.settled_by, found.votes,
    )  # fmt: skip
    assert found == store.request(REQUEST.id)
    assert found == store.find_usable(REQUEST.fingerprint, NOW + 2)


def no_is_final(open_store: Opener) -> None:
    store = open_store()
    store.open_request(quorum(REQUEST, 2))
    store.vote(REQUEST.id, yes(BOB), NOW)
    assert RequestState.DENIED is store.vote(REQUEST.id, no(CAROL), NOW).state
    erin = replace(BOB, subject="erin")
    with pytest.raises(VoteRefused, match="was denied, which is final"):
        store.vote(REQUEST.id, yes(erin), NOW)
    assert not store.use(REQUEST.id, NOW)
    assert not store.withdraw(REQUEST.id, "cancelled", NOW)
    assert store.find_usable(REQUEST.fingerprint, NOW) is None
    found = store.find_denied(REQUEST.fingerprint, NOW)
    assert found is not None and ("carol", NOW) == (found.settled_by, found.settled_at)
    assert store.find_denied(REQUEST.fingerprint, NOW + 1800) is None
    assert store.find_denied("0" * 64, NOW) is None


def quorum_counts_different_people(open_store: Opener) -> None:
    store = open_store()
    store.open_request(quorum(REQUEST, 2))
    assert RequestState.PENDING is store.vote(REQUEST.id, yes(BOB), NOW).state
    with pytest.raises(VoteRefused, match="answered this request already"):
        store.vote(REQUEST.id, yes(BOB), NOW)
    found = store.vote(REQUEST.id, yes(CAROL), NOW)
    assert (RequestState.APPROVED, "bob, carol", 2) == (found.state, found.settled_by, len(found.votes))


def vote_of_who_lost_the_right_does_not_count(open_store: Opener) -> None:
    store = open_store()
    store.open_request(quorum(REQUEST, 2))
    store.vote(REQUEST.id, yes(BOB), NOW)
    assert RequestState.PENDING is store.vote(REQUEST.id, yes(CAROL), NOW, without("bob")).state
    erin = replace(BOB, subject="erin")
    assert RequestState.APPROVED is store.vote(REQUEST.id, yes(erin), NOW, without("bob")).state


def every_agreement_has_to_be_reached(open_store: Opener) -> None:
    store = open_store()
    asked = replace(REQUEST, terms=ApprovalTerms(("dba",), 2, also=(Agreement(("sec*",), 1),)))
    store.open_request(asked)
    assert asked == open_store().request(REQUEST.id)
    assert RequestState.PENDING is store.vote(REQUEST.id, yes(BOB), NOW).state
    assert RequestState.PENDING is store.vote(REQUEST.id, yes(CAROL), NOW).state
    with pytest.raises(VoteRefused, match="none of the groups"):
        store.vote(REQUEST.id, yes(DAVE), NOW)
    erin = replace(DAVE, subject="erin", groups=frozenset({"security"}))
    found = store.vote(REQUEST.id, yes(erin), NOW, lambda vote: replace(vote.approver, groups=frozenset({"security"})))
    assert RequestState.PENDING is found.state  # Who was a dba is none any more.
    frank = replace(DAVE, subject="frank", groups=frozenset({"security"}))
    assert RequestState.APPROVED is store.vote(REQUEST.id, yes(frank), NOW).state


def usable_approval_is_one_by_the_terms_of_today(open_store: Opener) -> None:
    store = open_store()
    approved(store)
    both = replace(REQUEST.terms, also=(Agreement(("security",)),))
    assert store.find_usable(REQUEST.fingerprint, NOW + 2, terms=both) is None
    store.open_request(replace(REQUEST, id="SECOND01", terms=both))
    store.vote("SECOND01", yes(CAROL), NOW + 1)
    erin = replace(DAVE, subject="erin", groups=frozenset({"security"}))
    store.vote("SECOND01", yes(erin), NOW + 1)
    found = store.find_usable(REQUEST.fingerprint, NOW + 2, terms=both)
    assert found is not None
    assert "SECOND01" == found.id


def votes_that_do_not_count_change_nothing(open_store: Opener) -> None:
    store = open_store()
    store.open_request(REQUEST)
    refused: list[tuple[Party, dict[str, Any], str]] = [
        (ALICE, {}, "your own request"),
        (replace(BOB, subject="bot"), {}, "your own request"),
        (DAVE, {}, "none of the groups"),
        (replace(BOB, kind=PrincipalKind.AGENT), {}, "agent can't answer"),
        (replace(BOB, actors=(Actor("helper", IDP),)), {}, "agent can't answer"),
        (BOB, {"uses": 0}, "1 to 1000 uses"),
        (BOB, {"uses": 1001}, "1 to 1000 uses"),
        (BOB, {"valid_seconds": 0}, "seconds"),
    ]
    for approver, stated, sentence in refused:
        with pytest.raises(VoteRefused, match=sentence):
            store.vote(REQUEST.id, yes(approver), NOW, **stated)
    with pytest.raises(VoteRefused, match="has expired"):
        store.vote(REQUEST.id, yes(BOB), NOW + 1800)
    with pytest.raises(UnknownRequest):
        store.vote("nothing", yes(BOB), NOW)
    assert REQUEST == store.request(REQUEST.id)


def approvers_terms_are_combined_to_what_all_said(open_store: Opener) -> None:
    store = open_store()
    store.open_request(quorum(REQUEST, 2))
    store.vote(REQUEST.id, yes(BOB), NOW, uses=5, valid_seconds=60, is_standing=True)
    found = store.vote(REQUEST.id, yes(CAROL), NOW, uses=3, valid_seconds=600)
    assert (3, NOW + 60, False) == (found.uses_left, found.valid_until, found.is_standing)


def approval_is_used_as_often_as_was_said(open_store: Opener) -> None:
    store = open_store()
    approved(store, uses=2, valid_seconds=100)
    assert [True, True, False] == [store.use(REQUEST.id, NOW + 2) for _ in range(3)]
    assert RequestState.CONSUMED is state_of(store, REQUEST)
    assert store.find_usable(REQUEST.fingerprint, NOW + 2) is None
    assert not store.use("nothing", NOW)


def approval_ends_with_its_window(open_store: Opener) -> None:
    store = open_store()
    approved(store, uses=10, valid_seconds=100)
    assert store.use(REQUEST.id, NOW + 100)
    assert not store.use(REQUEST.id, NOW + 101)
    assert store.find_usable(REQUEST.fingerprint, NOW + 101) is None
    assert [(REQUEST.id, RequestState.EXPIRED)] == [(each.id, each.state) for each in store.expire(NOW + 101)]


def usable_approval_needs_votes_that_stand(open_store: Opener) -> None:
    store = open_store()
    approved(store)
    assert store.find_usable(REQUEST.fingerprint, NOW + 2, lambda _: None) is None
    assert store.find_usable("0" * 64, NOW + 2) is None


def waiting_session_has_its_approval_for_itself(open_store: Opener) -> None:
    store = open_store()
    found = approved(store, WAITING, uses=2)
    assert store.find_usable(WAITING.fingerprint, NOW + 2) is None
    assert found.valid_until == NOW + 1 + 1800
    assert store.use(WAITING.id, NOW + 2)
    usable = store.find_usable(WAITING.fingerprint, NOW + 2)
    assert usable is not None and 1 == usable.uses_left


def standing_approval_is_for_others_and_by_others(open_store: Opener) -> None:
    store = open_store()
    approved(store, is_standing=True)
    find = store.find_standing
    dave = {("dave", IDP)}
    found = find(REQUEST.statement_fingerprint, dave, NOW + 2)
    assert found is not None and REQUEST.id == found.id
    assert find(REQUEST.statement_fingerprint, {("x", "y"), ("bob", IDP)}, NOW + 2) is None
    assert find(REQUEST.statement_fingerprint, dave, NOW + 2, lambda _: None) is None
    assert find("0" * 64, dave, NOW + 2) is None
    assert [True, True, True, False] == [
        store.use(REQUEST.id, NOW + 2, is_standing=True), store.use(REQUEST.id, NOW + 2), store.use(REQUEST.id, NOW + 2, is_standing=True),
        store.use(REQUEST.id, NOW + 2),
    ]  # fmt: skip
    assert find(REQUEST.statement_fingerprint, dave, NOW + STANDING_SECONDS_DEFAULT + 1) is None
    assert store.withdraw(REQUEST.id, "cancelled", NOW + 3)
    assert find(REQUEST.statement_fingerprint, dave, NOW + 3) is None
    assert not store.use(REQUEST.id, NOW + 3, is_standing=True)


def approval_that_is_no_standing_one_is_for_nobody_else(open_store: Opener) -> None:
    store = open_store()
    approved(store)
    assert store.find_standing(REQUEST.statement_fingerprint, {("dave", IDP)}, NOW + 2) is None
    assert not store.use(REQUEST.id, NOW + 2, is_standing=True)
    assert store.use(REQUEST.id, NOW + 2)


def withdrawn_is_withdrawn(open_store: Opener) -> None:
    store = open_store()
    store.open_request(WAITING)
    assert store.withdraw(WAITING.id, "client_gone", NOW + 1)
    assert not store.withdraw(WAITING.id, "cancelled", NOW + 2)
    found = store.request(WAITING.id)
    assert found is not None
    assert (RequestState.WITHDRAWN, "client_gone", NOW + 1) == (found.state, found.settled_by, found.settled_at)
    with pytest.raises(VoteRefused, match="was withdrawn"):
        store.vote(WAITING.id, yes(BOB), NOW + 2)
    assert not store.use(WAITING.id, NOW + 2)


def reopened_request_asks_others(open_store: Opener) -> None:
    store = open_store()
    assert not store.reopen(WAITING.id, NOW)
    approved(store, WAITING)
    assert store.reopen(WAITING.id, NOW + 2)
    assert not store.reopen(WAITING.id, NOW + 2)
    found = store.request(WAITING.id)
    assert found == replace(WAITING, votes=(yes(BOB),))
    assert RequestState.APPROVED is store.vote(WAITING.id, yes(CAROL), NOW + 3, lambda _: None).state
    assert not store.reopen(WAITING.id, NOW + 1800)
    assert store.use(WAITING.id, NOW + 4)
    assert not store.reopen(WAITING.id, NOW + 4)


def expiry_hands_out_each_once(open_store: Opener) -> None:
    store = open_store()
    store.open_request(REQUEST)
    store.open_request(replace(WAITING, expires_at=NOW + 10))
    assert [] == store.expire(NOW + 9)
    assert [("WAITING1", RequestState.EXPIRED)] == [(each.id, each.state) for each in store.expire(NOW + 10)]
    assert [] == store.expire(NOW + 10)
    assert RequestState.PENDING is state_of(store, REQUEST)


def lists_show_the_newest_first(open_store: Opener) -> None:
    store = open_store()
    requests = [replace(WAITING, id=f"W{number:07}", created_at=NOW + number) for number in range(5)]
    for request in requests:
        store.open_request(request)
    store.vote(requests[1].id, no(BOB), NOW)
    assert ["W0000004", "W0000003"] == [each.id for each in store.list_requests(limit=2)]
    assert ["W0000001"] == [each.id for each in store.list_requests(RequestState.DENIED)]
    assert 4 == len(store.list_requests(RequestState.PENDING))


def lists_leave_the_texts_in_the_store(open_store: Opener) -> None:
    store = open_store()
    long = replace(SHOWN, normalised="DELETE " + "x" * 90_000)
    store.open_request(replace(REQUEST, statement=long))
    store.open_request(replace(WAITING, statement=long))
    store.open_request(replace(ACCESS, fingerprint="1" * 64))
    shown = StatementShown("", "DELETE " + "x" * 1993, "delete", "It deletes.", estimated_rows=5000)
    assert [shown, None, shown] == [each.statement for each in store.list_requests()]
    (similar,) = store.similar(replace(REQUEST, statement=long))
    assert ("WAITING1", shown) == (similar.id, similar.statement)
    whole = store.request(REQUEST.id)
    assert whole is not None
    assert long == whole.statement


def pending_requests_of_one_principal_are_bounded(open_store: Opener) -> None:
    store = open_store()

    def ask(number: int, request: ApprovalRequest = WAITING) -> Any:
        return store.open_request(replace(request, id=f"ASKED{number:03}"), 2)

    ask(1)
    asked = ask(2, replace(REQUEST, instance=None))
    with pytest.raises(TooManyPending, match="2 of your requests wait"):
        ask(3)
    assert 2 == len(store.list_requests())
    assert not ask(4, REQUEST).is_new  # The same question is no other one.
    with pytest.raises(TooManyPending):
        ask(5, replace(ACCESS, requester=BOT, fingerprint="1" * 64))
    assert ask(6, replace(WAITING, requester=ALICE)).is_new  # What an agent asks for her isn't counted as hers.
    assert ask(7, replace(WAITING, requester=replace(ALICE, issuer="other"))).is_new
    store.vote(asked.request.id, no(BOB), NOW)
    assert ask(8).is_new
    assert ask(9, replace(WAITING, created_at=NOW + 1800, expires_at=NOW + 3600)).is_new  # The others have expired by then.
    assert store.open_request(replace(WAITING, id="NOBOUND1")).is_new


def similar_requests_have_the_same_shape(open_store: Opener) -> None:
    store = open_store()
    other = replace(SHOWN, normalised="DELETE FROM u WHERE a = ?")
    shapes = {
        "SAME0001": replace(WAITING, fingerprint="1" * 64, requester=DAVE),
        "OTHERDB1": replace(WAITING, database="stock"),
        "OTHERST1": replace(WAITING, statement=other),
        "ACCESS01": ACCESS,
        "ACCESS02": replace(ACCESS, requester=DAVE, fingerprint="2" * 64),
        "ACCESS03": replace(ACCESS, access=AccessWanted(None, "oncall", 3600), fingerprint="3" * 64),
    }
    for name, request in shapes.items():
        store.open_request(replace(request, id=name))
    assert ["SAME0001"] == [each.id for each in store.similar(REQUEST)]
    assert ["ACCESS02"] == [each.id for each in store.similar(ACCESS)]


def settled_requests_are_deleted_and_others_stay(open_store: Opener) -> None:
    store = open_store()
    for name in ("PENDING1", "DENIED01", "STANDING", "CONSUMED"):
        store.open_request(replace(WAITING, id=name))
    store.vote("DENIED01", no(BOB), NOW)
    store.vote("STANDING", yes(BOB), NOW, is_standing=True)
    store.vote("CONSUMED", yes(BOB), NOW)
    store.use("CONSUMED", NOW)
    assert 0 == store.delete_settled(NOW + 1000)
    assert 2 == store.delete_settled(NOW + 3600)
    assert {"PENDING1", "STANDING"} == {each.id for each in store.list_requests()}
    assert 1 == store.delete_settled(NOW + STANDING_SECONDS_DEFAULT + 10)


# Proxies and sessions.


def requests_of_silent_proxies_are_withdrawn(open_store: Opener) -> None:
    store = open_store()
    assert [False, True, False] == [store.beat("p1", NOW), store.beat("p1", NOW + 50), store.beat("p2", NOW)]
    approved(store, replace(WAITING, id="USED0001", instance="p2"), uses=2)
    store.use("USED0001", NOW)
    approved(store, replace(WAITING, id="UNUSED01", instance="p2"))
    for name, instance in (("OFLIVING", "p1"), ("OFSILENT", "p2"), ("OFNOBODY", "p3")):
        store.open_request(replace(WAITING, id=name, instance=instance))
    store.open_request(REQUEST)
    gone = store.abandoned(NOW + 60, 30)
    assert {"OFSILENT", "OFNOBODY", "UNUSED01"} == {each.id for each in gone}
    assert {(RequestState.WITHDRAWN, "proxy_gone")} == {(each.state, each.settled_by) for each in gone}
    assert [] == store.abandoned(NOW + 60, 30)
    assert {RequestState.PENDING} == {state_of(store, REQUEST), state_of(store, replace(WAITING, id="OFLIVING"))}


def proxy_that_stops_takes_its_own_with_it(open_store: Opener) -> None:
    store = open_store()
    store.beat("p1", NOW)
    store.sessions_opened([SESSION])
    store.open_request(WAITING)
    store.open_request(replace(WAITING, id="OFOTHER1", instance="p2"))
    assert ["WAITING1"] == [each.id for each in store.release_instance("p1", NOW)]
    assert [] == store.release_instance("p1", NOW)
    assert [] == store.list_sessions(NOW)
    assert not store.beat("p1", NOW)


def sessions_of_living_proxies_are_listed(open_store: Opener) -> None:
    store = open_store()
    store.beat("p1", NOW)
    store.beat("p2", NOW - 100)
    other = replace(SESSION, id="s2", instance="p2", party=CAROL, opened_at=NOW - 5, application="\u001b[2J\u0000")
    store.sessions_opened([SESSION, other])
    store.sessions_opened([SESSION])
    store.sessions_opened([])
    assert [SESSION] == store.list_sessions(NOW)
    assert [other, SESSION] == store.list_sessions(NOW, stale_seconds=101)
    store.sessions_closed(["s1", "nothing"])
    assert [other] == store.list_sessions(NOW, 101)
    assert 0 == store.forget_silent_instances(NOW)
    assert 2 == store.forget_silent_instances(NOW + 90_000)
    assert [] == store.list_sessions(NOW, 100_000)


def kills_reach_the_proxies_of_their_sessions(open_store: Opener) -> None:
    store, operator = open_store(), open_store()
    for name in ("p1", "p2"):
        store.beat(name, NOW)
    store.sessions_opened([SESSION, replace(SESSION, id="s2", party=CAROL), replace(SESSION, id="s3", instance="p2", party=BOB)])
    assert [] == operator.mark_kill(by="op", reason="x", now=NOW)
    assert [] == operator.mark_kill(by="op", reason="x", now=NOW, session_ids=["nothing"])
    assert [] == store.kills("p1")
    (marked,) = operator.mark_kill(by="op", reason="runaway", now=NOW, subject="bot", issuer=IDP)
    assert ("s1", "op", "runaway", NOW) == (marked.id, marked.kill.by, marked.kill.reason, marked.kill.at) if marked.kill else False
    assert ["s1"] == [kill.session_id for kill in store.kills("p1")]
    assert [] == operator.mark_kill(by="op", reason="", now=NOW, subject="bot", issuer="other")
    assert ["s3"] == [each.id for each in operator.mark_kill(by="op", reason="", now=NOW, session_ids=["s3"])]
    (again,) = operator.mark_kill(by="late", reason="", now=NOW + 1, session_ids=["s1"])
    assert again.kill is not None and "op" == again.kill.by
    store.sessions_opened([SESSION])
    assert ["s1"] == [kill.session_id for kill in store.kills("p1")]
    store.sessions_closed(["s1"])
    assert [] == store.kills("p1")
    assert ["s2", "s3"] == [each.id for each in operator.mark_kill(by="op", reason="", now=NOW, database="shop")]


# Principals.


def blocks_hold_until_they_end_or_are_lifted(open_store: Opener) -> None:
    store = open_store()
    one = store.block("alice", IDP, "op", "left", NOW + 100, NOW)
    every = store.block("bot", None, "op", "broken", None, NOW)
    assert [one, every] == store.blocks(NOW + 99)
    assert [every] == open_store().blocks(NOW + 100)
    assert (True, True, False, True) == (one.covers(ALICE), one.covers(BOT), one.covers(replace(ALICE, issuer="x")), every.covers(BOT))
    again = store.block("bot", None, "op2", "still", None, NOW + 1)
    assert [again] == store.blocks(NOW + 200)
    assert [] == store.unblock("nobody", None, "op", NOW)
    assert [] == store.unblock("bot", IDP, "op", NOW + 2)
    (lifted,) = store.unblock("bot", None, "op3", NOW + 2)
    assert ("op3", NOW + 2, again.id) == (lifted.lifted_by, lifted.lifted_at, lifted.id)
    assert [] == store.blocks(NOW + 200)


def block_changes_are_handed_out_once(open_store: Opener) -> None:
    store, other = open_store(), open_store()
    store.block("alice", None, "op", "", None, NOW)
    store.block("carol", None, "api", "", None, NOW, is_recorded=True)
    assert store.poll("p1", NOW).has_block_changes
    assert [("alice", False)] == [(each.block.subject, each.is_lifted) for each in other.block_changes(NOW)]
    assert [] == store.block_changes(NOW)
    store.unblock("alice", None, "op", NOW)
    store.unblock("carol", None, "api", NOW, is_recorded=True)
    assert [("alice", True, "op")] == [(each.block.subject, each.is_lifted, each.block.lifted_by) for each in store.block_changes(NOW)]
    assert not store.poll("p1", NOW).has_block_changes
    store.block("dave", None, "op", "", None, NOW)
    store.unblock("dave", None, "op", NOW)
    assert [("dave", False), ("dave", True)] == [(each.block.subject, each.is_lifted) for each in store.block_changes(NOW)]


def access_is_granted_once_on_an_approved_request(open_store: Opener) -> None:
    store = open_store()
    assert not store.grant(GRANT, NOW)
    store.open_request(ACCESS)
    assert not store.grant(GRANT, NOW)
    store.vote(ACCESS.id, yes(BOB), NOW)
    assert store.grant(GRANT, NOW)
    assert not store.grant(GRANT, NOW)
    assert RequestState.CONSUMED is state_of(store, ACCESS)
    assert ([GRANT], [], []) == (store.grants(NOW), store.grants(NOW - 1), store.grants(NOW + 3600))
    assert GRANT == store.find_grant(GRANT.id)
    assert store.find_grant("nothing") is None


def access_is_not_granted_on_a_statements_approval(open_store: Opener) -> None:
    store = open_store()
    approved(store)
    assert not store.grant(replace(GRANT, id=REQUEST.id), NOW)
    assert RequestState.APPROVED is state_of(store, REQUEST)


def access_ends_and_is_handed_out_once(open_store: Opener) -> None:
    store = open_store()
    for name in ("ACCESS01", "ACCESS02"):
        store.open_request(replace(ACCESS, id=name, fingerprint=name))
        store.vote(name, yes(BOB), NOW)
        store.grant(replace(GRANT, id=name), NOW)
    assert [] == store.ended_grants(NOW + 10)
    revoked = store.revoke_grant("ACCESS01", "op", NOW + 10)
    assert revoked is not None and ("op", NOW + 10) == (revoked.revoked_by, revoked.revoked_at)
    assert store.revoke_grant("ACCESS01", "op", NOW + 10) is None
    assert ["ACCESS02"] == [each.id for each in store.grants(NOW + 10)]
    assert [revoked] == open_store().ended_grants(NOW + 10)
    assert ["ACCESS02"] == [each.id for each in store.ended_grants(NOW + 3600)]
    assert [] == store.ended_grants(NOW + 3600)
    assert store.revoke_grant("ACCESS02", "op", NOW + 3600) is None


# Sums, deliveries, sightings.


def usage_adds_up(open_store: Opener) -> None:
    store, other = open_store(), open_store()
    assert [10] == [each.amount for each in store.add_usage([USAGE])]
    bytes_ = replace(USAGE, metric=BudgetMetric.BYTES, amount=2**40)
    assert {10 + 5, 2**40} == {each.amount for each in other.add_usage([replace(USAGE, amount=5), bytes_])}
    day = replace(USAGE, period=BudgetPeriod.DAY, period_start=NOW - 1000, amount=1)
    elsewhere = replace(USAGE, database="stock")
    store.add_usage([day, elsewhere])
    who = (USAGE.principal, "shop")
    assert sorted([replace(USAGE, amount=15), bytes_, day], key=repr) == sorted(store.usage([who]), key=repr)
    assert {15, 2**40} == {each.amount for each in store.usage([who], since=NOW)}
    assert 4 == len(store.usage([who, (USAGE.principal, "stock"), ("nobody", "shop")]))
    assert ([], [], []) == (store.usage([("nobody", "shop")]), store.usage([]), store.add_usage([]))
    assert 1 == store.delete_usage(NOW)


def delivery_is_tried_by_one_until_it_arrives(open_store: Opener) -> None:
    store, other = open_store(), open_store()
    later = replace(DELIVERY, id="msg_2", next_at=NOW + 100)
    store.enqueue([later, DELIVERY])
    store.enqueue([DELIVERY])
    store.enqueue([])
    assert [] == store.due(NOW, 10, "p1", 60, targets=["other"])
    assert [DELIVERY] == store.due(NOW, 10, "p1", 60, targets=["hook"])
    assert [] == other.due(NOW + 59, 10, "p2", 60)
    assert [DELIVERY] == other.due(NOW + 60, 10, "p2", 60)
    other.failed("msg_1", NOW + 90)
    assert [] == store.due(NOW + 89, 10, "p1", 60)
    assert [replace(DELIVERY, attempts=1, next_at=NOW + 90)] == store.due(NOW + 100, 1, "p1", 60)
    assert [later] == store.due(NOW + 100, 10, "p1", 60)
    store.delivered("msg_1")
    store.dead("msg_2")
    assert [] == store.due(NOW + 10_000, 10, "p1", 60)
    assert [("msg_2", True)] == [(each.id, each.is_dead) for each in store.list_deliveries()]
    assert [0, 1] == [store.delete_deliveries(NOW), store.delete_deliveries(NOW + 1)]
    store.enqueue([DELIVERY])
    assert 1 == store.delete_deliveries(0, targets=["other"])


def last_sighting_holds(open_store: Opener) -> None:
    store = open_store()
    store.saw(BOB, NOW)
    store.saw(replace(BOB, groups=frozenset({"old"})), NOW - 1)
    store.saw(BOT, NOW)
    asked = [("bob", IDP), ("bob", "other"), ("alice", IDP)]
    assert {("bob", IDP): frozenset({"dba"})} == store.last_seen(asked)
    store.saw(replace(BOB, groups=frozenset()), NOW + 1)
    assert {("bob", IDP): frozenset()} == open_store().last_seen(asked)
    assert {} == store.last_seen([])
    assert 1 == store.delete_sightings(NOW + 2)


def poll_tells_what_concerns_a_proxy(open_store: Opener) -> None:
    store = open_store()
    empty = store.poll("p1", NOW)
    assert ((), (), (), {}, {}, False) == (
        empty.kills, empty.blocks, empty.grants, empty.changes, empty.sessions_elsewhere, empty.has_block_changes,
    )  # fmt: skip
    for name in ("p1", "p2", "p3"):
        store.beat(name, NOW if name != "p3" else NOW - 100)
    others = [replace(SESSION, id=f"o{number}", instance="p2") for number in range(3)]
    store.sessions_opened([SESSION, *others, replace(SESSION, id="o4", instance="p3")])
    store.mark_kill(by="op", reason="", now=NOW, session_ids=["s1", "o1"])
    block = store.block("alice", IDP, "op", "", None, NOW)
    store.open_request(ACCESS)
    store.vote(ACCESS.id, yes(BOB), NOW)
    store.grant(GRANT, NOW)
    store.open_request(WAITING)
    first = store.poll("p1", NOW, [WAITING.id, "nothing"])
    assert (["s1"], (block,), (GRANT,)) == ([kill.session_id for kill in first.kills], first.blocks, first.grants)
    assert {("alice", IDP, "shop"): 3} == first.sessions_elsewhere
    assert [WAITING.id] == list(first.changes)
    assert first.changes == store.poll("p1", NOW, [WAITING.id]).changes
    store.vote(WAITING.id, yes(BOB), NOW)
    assert first.changes[WAITING.id] < store.poll("p1", NOW, [WAITING.id]).changes[WAITING.id]


# Races: several proxies, or several threads of one.


def last_use_has_one_winner(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    for number in range(5):
        request = replace(WAITING, id=f"RACE{number:04}")
        approved(stores[0], request, uses=3)
        uses = at_once([partial(store.use, request.id, NOW + 2) for store in stores for _ in range(2)])
        assert 3 == sum(uses)
        assert RequestState.CONSUMED is state_of(stores[0], request)


def same_vote_counts_once(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    for number in range(5):
        request = replace(quorum(WAITING, 2), id=f"RACE{number:04}")
        stores[0].open_request(request)
        answers = at_once([partial(store.vote, request.id, yes(BOB), NOW) for store in stores])
        assert 1 == sum(isinstance(answer, ApprovalRequest) for answer in answers)
        assert 3 == sum(isinstance(answer, VoteRefused) for answer in answers)
        assert RequestState.PENDING is state_of(stores[0], request)


def yes_and_no_at_once_leave_one_answer(open_store: Opener) -> None:
    stores = [open_store() for _ in range(3)]
    for number in range(6):
        request = replace(WAITING, id=f"RACE{number:04}")
        stores[0].open_request(request)
        agreed, refused, is_withdrawn = at_once(
            [
                partial(stores[0].vote, request.id, yes(BOB), NOW),
                partial(stores[1].vote, request.id, no(CAROL), NOW),
                partial(stores[2].withdraw, request.id, "cancelled", NOW),
            ]
        )
        won = [answer.state for answer in (agreed, refused) if isinstance(answer, ApprovalRequest)]
        # An approval may still be withdrawn; a no and a withdrawal are final.
        assert state_of(stores[0], request) is (RequestState.WITHDRAWN if is_withdrawn else won[0])
        assert len(won) == 1 or (not won and is_withdrawn)
        assert not (is_withdrawn and RequestState.DENIED in won)


def expiry_has_one_winner_each(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    for round_ in range(4):
        ids = {f"R{round_}{number:06}" for number in range(8)}
        for name in ids:
            stores[0].open_request(replace(WAITING, id=name))
        rounds = at_once([lambda store=store: [each.id for each in store.expire(NOW + 1800)] for store in stores])
        rounds.append([each.id for each in stores[0].expire(NOW + 1800)])
        assert sorted(ids) == sorted(name for names in rounds for name in names)


def pending_requests_are_bounded_at_once_too(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    names = [f"R{number:07}" for number in range(12)]
    answers = at_once([partial(stores[at % 4].open_request, replace(WAITING, id=name), 5) for at, name in enumerate(names)])
    assert 7 == sum(isinstance(answer, TooManyPending) for answer in answers)
    assert 5 == len(stores[0].list_requests(RequestState.PENDING))


def same_question_at_once_is_one_request(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    for round_ in range(5):
        request = replace(REQUEST, fingerprint=f"{round_}" * 64)
        opened = at_once([partial(store.open_request, replace(request, id=f"R{round_}{number:06}")) for number, store in enumerate(stores)])
        assert 1 == sum(each.is_new for each in opened)
        assert 1 == len({each.request.id for each in opened})


def deliveries_and_changes_at_once_go_to_one(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    stores[0].enqueue([replace(DELIVERY, id=f"msg_{number}") for number in range(10)])
    claimed = at_once([lambda store=store: store.due(NOW, 4, "p", 60) for store in stores])
    claimed.append(stores[0].due(NOW, 10, "p", 60))
    assert 10 == len({each.id for some in claimed for each in some}) == sum(map(len, claimed))
    stores[0].block("alice", None, "op", "", None, NOW)
    assert 1 == sum(map(len, at_once([lambda store=store: store.block_changes(NOW) for store in stores])))


def sums_lose_nothing(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    keys = [replace(USAGE, limit=f"l{number}", amount=1) for number in range(5)]

    def add(index: int) -> None:
        ordered = keys if index % 2 else keys[::-1]
        for _ in range(10):
            stores[index].add_usage(ordered)

    at_once([lambda index=index: add(index) for index in range(4)])
    assert [40] * 5 == [each.amount for each in stores[0].usage([(USAGE.principal, USAGE.database)])]


def readers_and_writers_do_not_lock_each_other_out(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    stores[0].open_request(WAITING)

    def read(store: ControlStore) -> None:
        for _ in range(30):
            store.poll("p1", NOW, [WAITING.id])

    def write(store: ControlStore, name: str) -> None:
        for number in range(15):
            store.beat(name, NOW + number)
            store.sessions_opened([replace(SESSION, id=f"{name}-{number}", instance=name)])
            store.expire(NOW)

    acts: list[Callable[[], None]] = [lambda store=store: read(store) for store in stores]
    acts += [lambda store=store, name=f"w{index}": write(store, name) for index, store in enumerate(stores)]
    assert [None] * 8 == at_once(acts)
    assert 60 == len(stores[0].list_sessions(NOW))


def grant_at_once_is_one(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    stores[0].open_request(ACCESS)
    stores[0].vote(ACCESS.id, yes(BOB), NOW)
    assert 1 == sum(at_once([lambda store=store: store.grant(GRANT, NOW) for store in stores]))
    stores[0].revoke_grant(GRANT.id, "op", NOW)
    assert 1 == sum(map(len, at_once([lambda store=store: store.ended_grants(NOW) for store in stores])))


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        request_comes_back_as_it_was,
        same_question_is_asked_once_where_nobody_waits,
        taken_id_is_told,
        question_that_has_expired_makes_room_and_is_still_handed_out,
        yes_approves_and_says_for_what,
        no_is_final,
        quorum_counts_different_people,
        vote_of_who_lost_the_right_does_not_count,
        every_agreement_has_to_be_reached,
        usable_approval_is_one_by_the_terms_of_today,
        votes_that_do_not_count_change_nothing,
        approvers_terms_are_combined_to_what_all_said,
        approval_is_used_as_often_as_was_said,
        approval_ends_with_its_window,
        usable_approval_needs_votes_that_stand,
        waiting_session_has_its_approval_for_itself,
        standing_approval_is_for_others_and_by_others,
        approval_that_is_no_standing_one_is_for_nobody_else,
        withdrawn_is_withdrawn,
        reopened_request_asks_others,
        expiry_hands_out_each_once,
        lists_show_the_newest_first,
        lists_leave_the_texts_in_the_store,
        pending_requests_of_one_principal_are_bounded,
        similar_requests_have_the_same_shape,
        settled_requests_are_deleted_and_others_stay,
        requests_of_silent_proxies_are_withdrawn,
        proxy_that_stops_takes_its_own_with_it,
        sessions_of_living_proxies_are_listed,
        kills_reach_the_proxies_of_their_sessions,
        blocks_hold_until_they_end_or_are_lifted,
        block_changes_are_handed_out_once,
        access_is_granted_once_on_an_approved_request,
        access_is_not_granted_on_a_statements_approval,
        access_ends_and_is_handed_out_once,
        usage_adds_up,
        delivery_is_tried_by_one_until_it_arrives,
        last_sighting_holds,
        poll_tells_what_concerns_a_proxy,
        last_use_has_one_winner,
        same_vote_counts_once,
        yes_and_no_at_once_leave_one_answer,
        expiry_has_one_winner_each,
        same_question_at_once_is_one_request,
        pending_requests_are_bounded_at_once_too,
        deliveries_and_changes_at_once_go_to_one,
        sums_lose_nothing,
        readers_and_writers_do_not_lock_each_other_out,
        grant_at_once_is_one,
    )
}


_meeting: list[Any] = []


def meet_at(barrier: Any) -> None:
    """Where processes wait for each other before they begin."""
    _meeting.append(barrier)


def uses_of_process(url: str) -> int:
    """How often a process of its own could use an approval that others use at the same time."""
    _meeting[0].wait()
    store = ControlStore(url)
    count = 0
    while store.use(REQUEST.id, NOW + 2):
        count += 1
    store.close()
    return count
