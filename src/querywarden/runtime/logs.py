"""The operator's log: one line per event on stderr, as JSON or for a terminal. Secrets and row data have no way in."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from querywarden.config.models import LogFormat, LogLevel, LogSettings

_LEVELS = {LogLevel.DEBUG: 10, LogLevel.INFO: 20, LogLevel.WARNING: 30, LogLevel.ERROR: 40}
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


def configure_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Set the log up for this process; the standard library's own logging goes the same way."""
    out = _Output(stream)
    is_terminal = settings.format is LogFormat.TERMINAL or (settings.format is LogFormat.AUTO and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_exception_values,
    ]
    if is_terminal:
        final: list[Processor] = [_printable, structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=_plain_traceback)]
    else:
        final = [structlog.processors.JSONRenderer(ensure_ascii=True)]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, out)),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(max(_LEVELS[settings.level], logging.WARNING))


class _Output:
    """Where log lines go: a stream, or standard error as it is at the time of each line.

    A line that can't be written (a closed terminal, a broken pipe, a full disk) is lost; it must not cost a session.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def _current(self) -> TextIO:
        return sys.stderr if self._stream is None else self._stream

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        with contextlib.suppress(OSError, ValueError):
            self._current().write(text)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written, or lose it."""
        with contextlib.suppress(OSError, ValueError):
            self._current().flush()

    def isatty(self) -> bool:
        """Whether a person is reading."""
        return self._current().isatty()


class _ToStructlog(logging.Handler):
    """Hands what libraries log with the standard library to the operator's log, without arguments that nobody has looked at."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's message template and its source."""
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger().log(record.levelno, "library", source=record.name, message=str(record.msg), exc_info=error)


def _without_exception_values(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Turn an exception into the places it went through: its text may quote what a client sent."""
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        places = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        event["trace"] = places
    return event


def _printable(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """A terminal obeys control characters: none from outside may reach it."""
    return {key: value.translate(_CONTROL) if isinstance(value, str) else value for key, value in event.items()}


def _plain_traceback(out: TextIO, exception: object) -> None:
    """Tracebacks with values are never printed; see `_without_exception_values`."""
