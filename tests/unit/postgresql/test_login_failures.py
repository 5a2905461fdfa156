"""The login of a session: everything that can go wrong, at every stage."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.login_story import (
    ANNA,
    KEY,
    NOTICE,
    OK,
    PASSWORD,
    READY,
    STATUSES,
    WAITING,
    Story,
    at_stage,
    settings,
    startup,
)

from querywarden.errors import PeerViolation
from querywarden.model.limits import Limits
from querywarden.model.principal import Principal
from querywarden.postgresql.authentication import AUTHENTICATION_FAILED
from querywarden.postgresql.error_response import encode_error
from querywarden.postgresql.framing import encode
from querywarden.postgresql.login import LoginStage
from querywarden.postgresql.messages.opening import StartupMessage
from querywarden.session import effects as fx
from querywarden.session import inputs


def refused_stories() -> dict[str, Story]:
    """One login for each cause that a client must not be able to tell apart."""
    unauthorised = settings(authorise=lambda principal, database: "no rule lets you")
    stories = {name: Story() for name in ("bad_token", "empty")}
    stories["bad_token"].verdict = inputs.CredentialRejected("signature")
    stories["unknown_database"] = Story(startup(database=b"nope"))
    stories["not_authorised"] = Story(with_settings=unauthorised)
    stories["unknown_and_bad"] = Story(startup(database=b"nope"))
    stories["unknown_and_bad"].verdict = inputs.CredentialRejected("expired")
    for name, story in stories.items():
        story.client(b"p\0\0\0\5\0" if name == "empty" else PASSWORD)
    return stories


def test_all_failures_look_alike_to_the_client_and_differ_in_the_log() -> None:
    stories = refused_stories()
    assert {story.to_client for story in stories.values()} == {b"R\0\0\0\x08\0\0\0\3" + AUTHENTICATION_FAILED}
    assert all(story.records == ["auth.failed"] for story in stories.values())
    causes = {name: story.of(fx.AppendRecord)[0].body["cause"] for name, story in stories.items()}
    assert causes == {
        "bad_token": "signature",
        "empty": "empty",
        "unknown_database": "unknown_database",
        "not_authorised": "not_authorised",
        "unknown_and_bad": "expired",
    }
    for story in stories.values():
        assert not story.of(fx.ConnectServer)
        assert not story.of(fx.SendToServer)
        assert story.of(fx.Observe) == [fx.Observe("logins", ("rejected",), 1)]
        story.assert_over()


def test_a_token_in_the_wrong_field_is_not_recorded() -> None:
    start = StartupMessage(
        (3, 0), ((b"user", b"eyJhbGciOiJFUzI1NiJ9.canary"), (b"database", b"shop"), (b"application_name", b"qw_canary_x"))
    )
    story = Story(start)
    story.verdict = inputs.CredentialRejected("signature")
    story.client(PASSWORD)
    assert "canary" not in repr(story.effects)


def test_no_effect_but_those_to_the_server_and_the_verifier_holds_a_secret() -> None:
    for server in (OK + STATUSES + READY, encode_error("FATAL", "28P01", "no"), b"garbage"):
        story = Story()
        story.connection = inputs.ServerConnected(b"certificate")
        story.client(PASSWORD).server(b"R\0\0\0\x08\0\0\0\3").server(server)
        assert b"server-canary" in story.to_server
        others = [effect for effect in story.effects if not isinstance(effect, fx.SendToServer)]
        assert "canary" not in repr(others)


def test_a_refused_parameter_ends_the_login_before_a_secret_moves() -> None:
    story = Story(startup((b"options", b"-c role=postgres")))
    assert story.error.sqlstate == b"42501"
    assert story.to_client[:1] == b"E"
    assert story.records == ["conn.refused"]
    story.assert_over()


def test_a_client_that_goes_to_ask_its_user_for_the_password_is_no_failure() -> None:
    for story in (Story().give(inputs.ClientClosed()), Story().client(b"X\0\0\0\4")):
        assert story.records == []
        assert story.of(fx.Log) == []
        story.assert_over()


def test_a_client_that_breaks_the_protocol_is_told_so() -> None:
    for data in (b"Q\0\0\0\x06;\0", b"p\0\0\0\x06ab", b"p\xff\xff\xff\xff"):
        story = Story().client(data)
        assert story.error.sqlstate == b"08P01"
        assert story.records == ["conn.refused"]
        story.assert_over()


@pytest.mark.parametrize("stage", WAITING)
def test_a_client_that_goes_takes_the_server_with_it(stage: LoginStage) -> None:
    story = at_stage(stage)
    before = story.to_client
    story.give(inputs.ClientClosed())
    assert story.to_client == before
    has_server = stage in (LoginStage.CONNECTING, LoginStage.SERVER, LoginStage.OPENING)
    assert bool(story.of(fx.CloseServer)) == has_server
    story.assert_over()


@pytest.mark.parametrize("stage", WAITING)
@pytest.mark.parametrize(
    ("given", "sqlstate"),
    [(inputs.TimerFired("login"), b"57014"), (inputs.Draining(), b"57P01"), (inputs.AccessEnded("Your access was revoked."), b"57P01")],
)
def test_deadline_drain_and_revocation_end_a_login_at_any_stage(stage: LoginStage, given: inputs.Input, sqlstate: bytes) -> None:
    story = at_stage(stage).give(given)
    assert story.error.sqlstate == sqlstate
    story.assert_over()


@pytest.mark.parametrize("stage", WAITING)
def test_what_no_login_waits_for_is_passed_over(stage: LoginStage) -> None:
    story = at_stage(stage)
    before = list(story.effects)
    story.give(inputs.TimerFired("other")).give(inputs.CancelRequested()).give(inputs.CancelAnswered())
    story.give(inputs.RecordSafe(99)).give(inputs.CatalogueFailed("x"))
    assert story.effects == before
    assert story.login.stage is stage


@pytest.mark.parametrize("stage", [LoginStage.CREDENTIAL, LoginStage.CONNECTING, LoginStage.SERVER])
def test_a_second_verdict_opens_nothing(stage: LoginStage) -> None:
    story = at_stage(stage)
    before = list(story.effects)
    story.give(inputs.CredentialVerified(replace(ANNA, subject="mallory")))
    assert story.effects == before


def test_a_server_that_cannot_be_reached_gives_one_honest_error() -> None:
    story = Story()
    story.connection = inputs.ServerUnavailable("the server of shop can't be reached: Connection refused")
    story.client(PASSWORD)
    assert story.error.sqlstate == b"08001"
    assert b"Connection refused" in (story.error.get(b"D") or b"")
    assert story.records == ["auth.succeeded", "conn.refused"]
    story.assert_over()


@pytest.mark.parametrize("stage", [LoginStage.SERVER, LoginStage.OPENING])
def test_a_server_that_dies_gives_one_honest_error(stage: LoginStage) -> None:
    story = at_stage(stage).give(inputs.ServerClosed())
    assert story.error.sqlstate == b"08006"
    story.assert_over()


@pytest.mark.parametrize("data", [READY, b"garbage!", OK + b"D\0\0\0\x06\0\0", b"\xff" * 9, OK + STATUSES + b"Z\0\0\0\x05T"])
def test_a_server_that_answers_nonsense_gives_one_honest_error(data: bytes) -> None:
    story = Story().client(PASSWORD).server(data)
    assert story.error.sqlstate == b"08P01"
    assert story.of(fx.CloseServer)
    story.assert_over()


def test_a_server_that_speaks_before_it_is_connected_is_not_followed() -> None:
    story = at_stage(LoginStage.CONNECTING).server(OK)
    assert story.error.sqlstate == b"08P01"
    story.assert_over()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("28P01", b"08004"), ("28000", b"08004"), ("53300", b"53300"), ("57P03", b"57P03"), ("3D000", b"3D000"), ("22023", b"22023"),
        ("42704", b"42704"), ("XX000", b"08004"), ("", b"08004"),
    ],
)  # fmt: skip
def test_a_server_that_refuses_gives_one_honest_error_without_its_words(theirs: str, ours: bytes) -> None:
    story = Story().client(PASSWORD).server(encode_error("FATAL", theirs, 'invalid value "row-canary" for user "shop_app"') + READY)
    assert story.error.is_fatal
    assert story.error.sqlstate == ours
    assert b"row-canary" not in story.to_client
    assert b"shop_app" not in story.to_client
    logged = story.of(fx.Log)[0].fields
    assert logged["sqlstate"] == (theirs or "XX000")
    assert ("server_message" in logged) == (theirs[:2] in ("28", "53", "57", "3D"))
    story.assert_over()


@pytest.mark.parametrize(
    "statuses",
    [
        b"",
        encode(b"S", b"client_encoding\0UTF8\0"),
        STATUSES + encode(b"S", b"standard_conforming_strings\0off\0"),
        STATUSES + encode(b"S", b"client_encoding\0LATIN1\0"),
    ],
)
def test_a_server_that_would_read_statements_otherwise_gets_none(statuses: bytes) -> None:
    story = Story().client(PASSWORD).server(OK + statuses + READY)
    assert story.error.sqlstate == b"55000"
    assert READY not in story.to_client
    story.assert_over()


def test_a_client_that_will_not_be_paused_is_ended() -> None:
    story = Story(with_settings=settings(limits=Limits(login_buffered_bytes_max=10)))
    story.verdict = inputs.TimerFired("another")
    story.client(PASSWORD).client(b"x" * 41)
    assert story.error.sqlstate == b"08P01"
    story.assert_over()


def test_a_server_that_floods_is_ended() -> None:
    story = at_stage(LoginStage.OPENING).server(b"x" * 300_000)
    assert story.error.sqlstate == b"08P01"
    story.assert_over()


@pytest.mark.parametrize(
    "principal",
    [
        replace(ANNA, subject="a\0querywarden.groups"),
        replace(ANNA, subject="lone \ud800 surrogate"),
        replace(ANNA, groups=frozenset(f"group-{number:036}" for number in range(400))),
    ],
)
def test_a_principal_that_cannot_be_told_to_the_server_gets_no_session(principal: Principal) -> None:
    """Fewer groups than it has would let a rule "not in this group" pass."""
    story = Story()
    story.verdict = inputs.CredentialVerified(principal)
    story.client(PASSWORD)
    assert story.error.sqlstate == b"08001"
    assert not story.of(fx.SendToServer)
    story.assert_over()


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255), step=st.integers(1, 20))
def test_a_near_miss_of_the_server_ends_in_a_session_or_one_error(position: int, byte: int, step: int) -> None:
    data = bytearray(OK + STATUSES + NOTICE + KEY + READY)
    data[position % len(data)] = byte
    story = Story().client(PASSWORD).server(bytes(data), step).give(inputs.ServerClosed())
    if story.login.established is None:
        assert story.error.is_fatal
        story.assert_over()
    else:
        assert story.to_client.endswith(READY)


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255), step=st.integers(1, 20))
def test_a_near_miss_of_the_client_ends_in_a_verification_or_one_error(position: int, byte: int, step: int) -> None:
    data = bytearray(PASSWORD)
    data[position % len(data)] = byte
    story = Story()
    story.verdict = inputs.CredentialRejected("signature")
    try:
        story.client(bytes(data), step).give(inputs.TimerFired("login"))
    except PeerViolation:  # pragma: no cover - the point of the test
        pytest.fail("a violation must be an effect")
    story.assert_over()
