"""The records of approvals, access, kills and blocks: what they say, and that nothing a person wrote gets into them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.model.store_scenarios import ACCESS, BOB, CAROL, DAVE, GRANT, IDP, NOW, REQUEST, SHOWN, no, yes

from querywarden.audit import approval_records as records
from querywarden.audit import session_records
from querywarden.audit.encoding import LINE_BYTES_MAX, encode
from querywarden.audit.record import fingerprint_of
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment

CANARY = "canary-of-a-person"
ASKED = replace(
    REQUEST,
    statement=replace(SHOWN, text=f"DELETE FROM t WHERE a = '{CANARY}'", parameters=(CANARY,), plan=CANARY),
    reason=CANARY,
    application=CANARY,
    votes=(replace(yes(BOB), note=CANARY), no(CAROL)),
    uses_left=3,
    valid_until=NOW + 60,
    settled_by=CANARY,
)
ALL = [
    records.requested(ASKED),
    records.voted(ASKED, ASKED.votes[0]),
    records.granted(ASKED),
    records.denied(ASKED),
    records.expired(ASKED),
    records.withdrawn(ASKED, "client_gone"),
    records.used(ASKED, "d2", DAVE, is_standing=True),
    records.requested(replace(ACCESS, reason=CANARY)),
]


def test_requested_says_what_others_must_agree_to() -> None:
    assert {
        "request": "ABCDEFGH",
        "kind": "statement",
        "who": {
            "sub": "alice", "iss": IDP, "kind": "agent", "groups": ["dev"],
            "act": [{"sub": "bot", "iss": IDP}, {"sub": "hub", "iss": "other"}],
        },
        "rule": "bulk_write",
        "mode": "fail",
        "policy": {"version": "v1"},
        "db": {"name": "shop", "env": "production"},
        "session": "s1",
        "decided": "a1",
        "stmt": {"fp": fingerprint_of(SHOWN.normalised)},
        "verb": "delete",
        "approvers": ["dba"],
        "quorum": 1,
        "expires_at": NOW + 1800,
        "reason_given": True,
        "rows_est": 5000,
    } == ALL[0]  # fmt: skip


def test_access_request_says_what_is_wanted() -> None:
    body = ALL[-1]
    assert ("access", {"seconds": 3600, "group": "oncall"}) == (body["kind"], body["access"])
    assert "stmt" not in body


def test_votes_say_who_and_how() -> None:
    bob = {"by": {"sub": "bob", "iss": IDP, "kind": "human", "groups": ["dba"]}, "approves": True, "at": NOW + 1, "noted": True}
    assert bob == ALL[1]["vote"]
    for body in ALL[2:7]:
        assert [bob, True, False] == [body["votes"][0], body["votes"][0]["approves"], body["votes"][1]["approves"]]


def test_granted_and_used_say_for_what() -> None:
    assert (3, False, NOW + 60) == tuple(ALL[2][name] for name in ("uses", "standing", "valid_until"))
    assert ("d2", "dave", True, 3) == (ALL[6]["used_by"], ALL[6]["user"]["sub"], ALL[6]["standing"], ALL[6]["uses_left"])
    assert "client_gone" == ALL[5]["cause"]


@pytest.mark.parametrize("body", ALL, ids=range(len(ALL)))
def test_nothing_that_a_person_wrote_is_in_a_record(body) -> None:
    line = encode(body)
    assert CANARY.encode() not in line
    assert SHOWN.normalised.encode() not in line


def test_largest_request_still_has_a_line() -> None:
    groups = frozenset(f"{number:04}" + "g" * 200 for number in range(1000))
    party = replace(BOB, groups=groups, subject="s" * 255)
    request = replace(ASKED, requester=party, terms=replace(REQUEST.terms, approvers=tuple(sorted(groups))), votes=tuple([yes(party)] * 10))
    for body in (records.requested(request), records.granted(request), records.used(request, "d")):
        assert len(encode(body)) < LINE_BYTES_MAX


def test_access_says_whose_and_how_it_ended() -> None:
    given = records.access_granted(replace(GRANT, actors=(Actor("bot", IDP),)))
    assert {
        "request": "ACCESS01", "who": {"sub": "alice", "iss": IDP, "act": [{"sub": "bot", "iss": IDP}]}, "access": {"group": "oncall"},
        "starts_at": NOW, "ends_at": NOW + 3600, "by": "bob",
    } == given  # fmt: skip
    assert "expired" == records.access_ended(GRANT)["cause"]
    revoked = records.access_ended(replace(GRANT, revoked_at=NOW, revoked_by="op"))
    assert ("revoked", "op") == (revoked["cause"], revoked["by"])


def test_unavailable_says_why() -> None:
    assert {"cause": "the control store does not answer"} == records.unavailable("the control store does not answer")


def test_kills_and_blocks() -> None:
    principal = Principal("alice", IDP, PrincipalKind.HUMAN)
    killed = session_records.session_killed(
        principal, Database("shop", Environment.PRODUCTION), session_id="s1", by="root", reason="runaway"
    )
    assert ("alice", "shop", "s1", "root", "runaway") == (
        killed["who"]["sub"], killed["db"]["name"], killed["session"], killed["by"], killed["reason"],
    )  # fmt: skip
    blocked = session_records.principal_blocked("spiffe://x/alice", None, by="root", until=NOW)
    assert {"principal": {"sub": "spiffe://x/alice"}, "by": "root", "until": NOW} == blocked
    assert {"principal": {"sub": "a", "iss": IDP}, "by": "op"} == session_records.principal_unblocked("a", IDP, by="op")
    pasted = session_records.principal_blocked("alice", IDP, by="root", reason="her token eyJhbGciOi was leaked")
    assert "<withheld, 31 characters>" == pasted["reason"]
