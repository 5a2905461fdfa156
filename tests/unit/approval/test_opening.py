"""Opening a request: what approvers are shown, when it expires, and the ids that people type."""

from __future__ import annotations

from dataclasses import replace

import pytest

from querywarden.approval.display import PARAMETER_CHARACTERS_MAX, PARAMETERS_MAX, TEXT_CHARACTERS_MAX, shown_parameters, statement_shown
from querywarden.approval.opening import request_of
from querywarden.approval.request import HeldStatement, RequestState
from querywarden.approval.request_id import ALPHABET, parse_request_id, request_id
from querywarden.model.decision import ApprovalTerms, WaitMode
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment

NOW = 1_900_000_000.7
HELD = HeldStatement(
    principal=Principal("alice", "https://idp", PrincipalKind.AGENT, frozenset({"dev"}), actors=(Actor("bot", "https://idp"),)),
    database=Database("shop", Environment.PRODUCTION),
    session_id="s1",
    audit_id="a1",
    mode=WaitMode.WAIT,
    rule="bulk_write",
    sentence="It changes many rows.",
    terms=ApprovalTerms(("dba",), 2, 600),
    policy_version="v1",
    text="DELETE FROM t WHERE a > 1",
    normalised="DELETE FROM t WHERE a > ?",
    verb="delete",
    parameters=("1", None),
    estimated_rows=5000,
    plan="{}",
    reason=" tidy\x1b up ",
    client_ip="10.0.0.1",
    application="psql",
    seconds_max=60.5,
)


def test_request_says_what_was_held() -> None:
    request = request_of(HELD, "ABCDEFGH", NOW, "p1")
    assert (RequestState.PENDING, "p1", 1_900_000_000, 1_900_000_061) == (
        request.state, request.instance, request.created_at, request.expires_at,
    )  # fmt: skip
    assert (HELD.fingerprint, HELD.statement_fingerprint) == (request.fingerprint, request.statement_fingerprint)
    assert frozenset({("alice", "https://idp"), ("bot", "https://idp")}) == request.requester.identities
    assert ("tidy up", "bulk_write", "shop", "production") == (request.reason, request.rule, request.database, request.environment)
    assert request.statement == statement_shown(HELD)


def test_nobody_waits_in_fail_mode() -> None:
    request = request_of(replace(HELD, mode=WaitMode.FAIL), "ABCDEFGH", NOW, "p1")
    assert (None, 1_900_000_600) == (request.instance, request.expires_at)


@pytest.mark.parametrize(("seconds", "expires"), [(None, 600), (1e6, 600), (-5.0, 1), (30.0, 30)])
def test_request_expires_when_the_session_can_wait_no_longer(seconds: float | None, expires: int) -> None:
    assert 1_900_000_000 + expires == request_of(replace(HELD, seconds_max=seconds), "ABCDEFGH", NOW, "p1").expires_at


def test_what_is_shown_is_bounded_and_says_so() -> None:
    long = replace(HELD, text="x" * (TEXT_CHARACTERS_MAX + 7), plan="p" * 1_000_000, reads=tuple(map(str, range(500))))
    shown = statement_shown(long)
    assert shown.text.endswith("x… 7 more characters")
    assert shown.plan is None
    assert "… 300 more" == shown.reads[-1]
    parameters = shown_parameters([*(["y" * (PARAMETER_CHARACTERS_MAX + 1)] * PARAMETERS_MAX), None, "z"])
    assert "… 2 more parameters" == parameters[-1]
    assert parameters[0] == "y" * PARAMETER_CHARACTERS_MAX + "… 1 more characters"
    assert ("1", None) == shown_parameters(["1", None])


def test_ids_are_short_and_can_be_typed() -> None:
    assert ("00000000", "ZZZZZZZZ", "00000001") == tuple(request_id(each) for each in (b"\0" * 5, b"\xff" * 5, b"\0\0\0\0\x01"))
    assert {"I", "L", "O", "U"}.isdisjoint(ALPHABET) and 32 == len(set(ALPHABET))
    with pytest.raises(ValueError, match="5 random bytes"):
        request_id(b"1234")


@pytest.mark.parametrize("text", ["0AB1-Z9XY", " oabl-z9xy ", "0ab1z9xy", "OABIZ9XY"])
def test_ids_are_read_as_they_are_meant(text: str) -> None:
    assert "0AB1Z9XY" == parse_request_id(text)


@pytest.mark.parametrize("text", ["", "0AB1Z9X", "0AB1Z9XYZ", "0AB1Z9XU", "0AB1Z9X'", "٠AB1Z9XY", "0AB1Z9Xß"])
def test_what_is_no_id_is_none(text: str) -> None:
    assert parse_request_id(text) is None
