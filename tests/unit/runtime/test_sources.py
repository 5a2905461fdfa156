"""Limits per source."""

from __future__ import annotations

from querywarden.model.limits import Limits
from querywarden.runtime.sources import CONNECTIONS_BEYOND_SESSIONS, Sources


def test_logins_of_one_source_leave_the_others_alone() -> None:
    sources = Sources(Limits(logins_per_source_concurrent_max=2))
    assert [sources.begin_login("a") for _ in range(3)] == [None, None, "logins_of_source"]
    assert sources.begin_login("b") is None
    sources.end_login("a")
    assert sources.begin_login("a") is None


def test_sessions_are_limited_by_source_and_together() -> None:
    sources = Sources(Limits(sessions_max=3, sessions_per_source_max=2))
    assert [sources.begin_session("a") for _ in range(3)] == [None, None, "sorry, too many sessions from this address already"]
    assert sources.begin_session("b") is None
    assert sources.begin_session("c") == "sorry, too many sessions already"
    sources.end_session("a")
    assert sources.begin_session("c") is None


def test_connections_are_bounded_whatever_their_sources() -> None:
    sources = Sources(Limits(sessions_max=1))
    total = 1 + CONNECTIONS_BEYOND_SESSIONS
    assert all(sources.begin_login(str(number)) is None for number in range(total))
    assert sources.begin_login("one more") == "connections"
    sources.end_connection()
    assert sources.begin_login("one more") is None
