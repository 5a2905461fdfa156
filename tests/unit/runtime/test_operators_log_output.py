"""The operator's log never costs a session: a line that can't be written is lost."""

import io
import sys
from collections.abc import Iterator

import pytest
import structlog

from querywarden.config.models import LogFormat, LogLevel, LogSettings
from querywarden.runtime.logs import configure_logs

SETTINGS = LogSettings(format=LogFormat.JSON, level=LogLevel.INFO)


@pytest.fixture(autouse=True)
def _structlog_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


class _Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_line_that_cannot_be_written_is_lost(is_closed: bool) -> None:
    stream = io.StringIO() if is_closed else _Broken()
    configure_logs(SETTINGS, stream)
    if is_closed:
        stream.close()
    structlog.get_logger().warning("somebody.should_read_this")
    assert stream.closed is is_closed


def test_lines_go_to_standard_error_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logs(SETTINGS)
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    structlog.get_logger().warning("now.here")
    assert '"event": "now.here"' in later.getvalue()
