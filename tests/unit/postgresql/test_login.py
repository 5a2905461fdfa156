"""The login of a session, both sides: transcripts at every split, and what each party is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.model.login_story import (
    AHEAD,
    ANNA,
    KEY,
    NOTICE,
    OK,
    PASSWORD,
    READY,
    SHOP,
    STATUSES,
    TOKEN,
    Story,
    settings,
    startup,
)

from querywarden.gate.permit import Housekeeping
from querywarden.model.limits import Limits
from querywarden.model.resource import Database, Environment
from querywarden.postgresql.login import OPENED_RECORD, LoginStage
from querywarden.postgresql.messages.backend import BackendKeyData
from querywarden.postgresql.messages.opening import decode_startup_message
from querywarden.session import effects as fx
from querywarden.session import inputs


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1_000_000])
def test_a_whole_login_is_the_same_at_any_split(step: int) -> None:
    story = Story(startup(protocol=(3, 2))).client(PASSWORD + AHEAD, step).server(OK + STATUSES + NOTICE + KEY + READY + NOTICE, step)
    own_key = b"K\0\0\0\x28\x01\x01\x01\x01" + b"\x01" * 32
    assert story.to_client == b"R\0\0\0\x08\0\0\0\3" + OK + STATUSES + NOTICE + own_key + READY
    assert story.records == ["auth.succeeded", "conn.opened"]
    assert story.of(fx.ConnectServer) == [fx.ConnectServer("shop")]
    assert story.of(fx.SetTimer) == [fx.SetTimer("login", 15.0)]
    assert story.of(fx.ClearTimer) == [fx.ClearTimer("login")]
    found = story.login.established
    assert found is not None
    assert found.principal is ANNA
    assert found.database == Database("shop", Environment.STAGING)
    assert found.parameters == {"client_encoding": "UTF8", "standard_conforming_strings": "on"}
    assert found.server_key == BackendKeyData(7, b"abcd")
    assert found.own_key == BackendKeyData(0x01010101, b"\x01" * 32)
    assert found.protocol == (3, 2)
    assert found.claimed_user == "anna"


def test_what_either_side_sends_ahead_is_kept_for_the_session() -> None:
    story = Story().client(PASSWORD + AHEAD).server(OK + STATUSES + READY + NOTICE)
    assert story.login.established is not None
    assert story.login.established.client_bytes == AHEAD
    assert story.login.established.server_bytes == NOTICE


def test_what_the_client_sends_while_its_token_is_verified_is_kept() -> None:
    story = Story()
    story.verdict = inputs.TimerFired("another")
    story.client(PASSWORD, 3).client(AHEAD, 1).give(inputs.CredentialVerified(ANNA)).client(AHEAD).server(OK + STATUSES + READY)
    assert story.login.established is not None
    assert story.login.established.client_bytes == AHEAD + AHEAD


def test_the_server_is_told_who_speaks_as_housekeeping() -> None:
    story = Story(startup((b"application_name", b"psql"), (b"TimeZone", b"UTC"))).client(PASSWORD)
    [send] = story.of(fx.SendToServer)
    assert send.basis is Housekeeping.LOGIN
    message = decode_startup_message(send.data[4:])
    assert message.protocol == (3, 0)
    told = dict(message.parameters)
    assert told[b"user"] == b"shop_app"
    assert told[b"database"] == b"shop_prod"
    assert told[b"application_name"] == b"anna (psql)"
    assert told[b"querywarden.subject"] == b"anna"
    assert told[b"querywarden.groups"] == b'["dev"]'
    assert TOKEN not in send.data


def test_the_records_say_who_from_where_to_which_database() -> None:
    story = Story(startup((b"application_name", b"psql"))).client(PASSWORD).server(OK + STATUSES + READY)
    for appended in story.of(fx.AppendRecord):
        assert appended.body["who"]["sub"] == "anna"
        assert appended.body["client"] == {"ip": "192.0.2.1", "port": 4711, "tls": "TLSv1.3", "app": "psql"}
        assert appended.body["db"]["name"] == "shop"
        assert appended.body["session"] == "session-1"
    assert story.of(fx.AppendRecord)[1].number == OPENED_RECORD


def test_nothing_begins_before_its_opening_is_recorded() -> None:
    story = Story()
    story.record = lambda number: inputs.TimerFired("another")
    story.client(PASSWORD).server(OK + STATUSES + KEY + READY)
    assert story.login.stage is LoginStage.OPENING
    assert READY not in story.to_client
    story.give(inputs.RecordSafe(OPENED_RECORD + 1))
    assert story.login.established is None
    story.give(inputs.RecordSafe(OPENED_RECORD))
    assert story.to_client.endswith(READY)
    assert story.login.established is not None


def test_when_the_log_cannot_be_written_there_is_no_session() -> None:
    story = Story()
    story.record = inputs.RecordFailed
    story.client(PASSWORD).server(OK + STATUSES + KEY + READY)
    assert story.error.sqlstate == b"53100"
    assert READY not in story.to_client
    assert story.of(fx.SendToServer)[-1].data == b"X\0\0\0\4"
    assert story.of(fx.CloseServer)
    story.assert_over()


@pytest.mark.parametrize(
    ("bound", "asked", "name"),
    [
        (None, b"shop", "shop"),
        (None, b"shop_prod", None),
        (None, None, None),
        ("shop", None, "shop"),
        ("shop", b"", "shop"),
        ("shop", b"shop", "shop"),
        ("shop", b"shop_prod", "shop"),
        ("shop", b"anna", "shop"),
        ("shop", b"other", None),
    ],
)
def test_the_database_is_settled_before_policy_sees_it(bound: str | None, asked: bytes | None, name: str | None) -> None:
    other = replace(SHOP, name="other")
    story = Story(startup(database=asked), settings(bound_database=bound, databases={"shop": SHOP, "other": other})).client(PASSWORD)
    assert [effect.database for effect in story.of(fx.ConnectServer)] == ([] if name is None else [name])


def test_a_missing_database_is_the_one_named_like_the_user() -> None:
    story = Story(startup(database=None), settings(databases={"anna": replace(SHOP, name="anna")})).client(PASSWORD)
    assert story.of(fx.VerifyCredential)[0].database == "anna"
    assert story.of(fx.ConnectServer) == [fx.ConnectServer("anna")]


def test_the_version_is_negotiated_before_the_password_is_asked_for() -> None:
    story = Story(startup((b"_pq_.new", b"1"), protocol=(3, 7)))
    assert story.to_client == b"v\0\0\0\x15\0\3\0\2\0\0\0\1_pq_.new\0" + b"R\0\0\0\x08\0\0\0\3"


def test_no_key_from_the_server_means_none_for_the_client() -> None:
    story = Story().client(PASSWORD).server(OK + STATUSES + READY)
    assert story.login.established is not None
    assert story.login.established.own_key is None
    assert b"K\0\0\0" not in story.to_client


def test_the_clients_key_is_never_the_servers() -> None:
    story = Story().client(PASSWORD).server(OK + STATUSES + KEY + READY)
    assert KEY not in story.to_client
    assert b"K\0\0\0\x0c\x01\x01\x01\x01\x01\x01\x01\x01" in story.to_client


def test_a_client_that_sends_far_ahead_is_paused_then_resumed() -> None:
    limited = settings(limits=Limits(login_buffered_bytes_max=10))
    story = Story(with_settings=limited)
    story.verdict = inputs.TimerFired("another")
    story.client(PASSWORD).client(b"x" * 10)
    assert not story.of(fx.PauseClient)
    story.client(b"x").client(b"x")
    assert len(story.of(fx.PauseClient)) == 1
    story.give(inputs.CredentialVerified(ANNA)).server(OK + STATUSES + READY)
    assert isinstance(story.effects[-2], fx.ResumeClient)
    assert story.login.established is not None
    assert story.login.established.client_bytes == b"x" * 12
