"""Limits that depend on each other."""

from __future__ import annotations

from querywarden.model.limits import Limits


def test_the_limits_fit_together() -> None:
    limits = Limits()
    assert limits.server_connect_seconds_max < limits.login_seconds_max
    assert limits.sessions_per_source_max < limits.sessions_max
    assert limits.analysis_inline_bytes_max < limits.statement_bytes_max < limits.client_message_bytes_max
    assert limits.password_bytes_max < limits.login_buffered_bytes_max
    assert limits.startup_bytes_max == 10_000
