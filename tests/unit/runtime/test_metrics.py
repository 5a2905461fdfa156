"""Metrics, health and the operator's log."""

from __future__ import annotations

import asyncio
import io
import json
import logging

import pytest
import structlog

from querywarden.config.models import LogFormat, LogLevel, LogSettings
from querywarden.errors import ConfigurationError
from querywarden.runtime.health import HealthServer
from querywarden.runtime.logs import configure_logs
from querywarden.runtime.metrics import MEASURES, Metrics


def test_every_measure_can_be_observed_and_shown() -> None:
    metrics = Metrics()
    for measure in MEASURES:
        metrics.observe(measure.name, tuple(f"{label}-x" for label in measure.labels), 2.0)
    shown = metrics.exposition().decode()
    for measure in MEASURES:
        series = f"querywarden_{measure.name}_{'sum' if measure.is_histogram else 'total'}"
        labels = ",".join(f'{label}="{label}-x"' for label in measure.labels)
        assert f"{series}{{{labels}}} 2.0\n" in shown or f"{series} 2.0\n" in shown


def test_an_unknown_metric_costs_nothing_but_a_line() -> None:
    metrics = Metrics()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            metrics.observe("unheard_of", (), 1)
            metrics.observe("statements", ("only one label",), 1)
    assert [line["metric"] for line in lines] == ["unheard_of", "statements"]


def test_bytes_and_gauges() -> None:
    metrics = Metrics()
    metrics.client_bytes_sent += 10
    metrics.log_health(False)
    metrics.log_queue(3)
    metrics.policy_health(False)
    shown = metrics.exposition().decode()
    assert 'querywarden_bytes_total{direction="sent",side="client"} 10.0' in shown or (
        'querywarden_bytes_total{side="client",direction="sent"} 10.0' in shown
    )
    assert "querywarden_log_healthy 0.0" in shown
    assert "querywarden_log_queue_records 3.0" in shown
    assert "querywarden_policy_valid 0.0" in shown


async def get(address: tuple[str, int], request: bytes) -> tuple[int, bytes]:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


async def test_health_ready_and_metrics() -> None:
    is_ready = True
    server = HealthServer(Metrics(), {"log_writable": lambda: is_ready})
    address = await server.start("127.0.0.1", 0)
    try:
        assert await get(address, b"GET /healthz HTTP/1.1\r\n\r\n") == (200, b'{"status":"alive"}')
        status, body = await get(address, b"GET /readyz?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (status, json.loads(body)) == (200, {"status": "ready", "checks": {"log_writable": True}})
        is_ready = False
        status, body = await get(address, b"GET /readyz HTTP/1.1\r\n\r\n")
        assert (status, json.loads(body)["status"]) == (503, "not ready")
        status, body = await get(address, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert status == 200
        assert b"querywarden_log_healthy" in body
        assert (await get(address, b"HEAD /healthz HTTP/1.1\r\n\r\n")) == (200, b"")
        assert (await get(address, b"GET /etc/passwd HTTP/1.1\r\n\r\n"))[0] == 404
        assert (await get(address, b"POST /metrics HTTP/1.1\r\n\r\n"))[0] == 405
        assert (await get(address, b"nonsense\r\n\r\n"))[0] == 0
        assert (await get(address, b"x" * 100_000))[0] == 0
    finally:
        await server.stop()


async def test_a_taken_port_is_a_configuration_error() -> None:
    first, second = HealthServer(Metrics(), {}), HealthServer(Metrics(), {})
    host, port = await first.start("127.0.0.1", 0)
    try:
        with pytest.raises(ConfigurationError, match="can't be opened"):
            await second.start(host, port)
    finally:
        await first.stop()


@pytest.fixture
def restored_logs() -> object:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:], logging.getLogger().level = handlers, level


@pytest.mark.usefixtures("restored_logs")
def test_json_lines_show_where_an_error_was_and_not_what_it_said() -> None:
    out = io.StringIO()
    configure_logs(LogSettings(format=LogFormat.JSON), out)
    try:
        raise ValueError("value of a cell: 4111111111111111")
    except ValueError as error:
        structlog.get_logger().bind(session="s-1").error("session.crashed", exc_info=error)
    structlog.get_logger().debug("not shown")
    line = json.loads(out.getvalue())
    assert (line["event"], line["session"], line["level"], line["error"]) == ("session.crashed", "s-1", "error", "ValueError")
    assert line["trace"][0].startswith("test_metrics.py:")
    assert "4111" not in out.getvalue()


@pytest.mark.usefixtures("restored_logs")
def test_a_terminal_gets_no_control_characters() -> None:
    out = io.StringIO()
    configure_logs(LogSettings(format=LogFormat.TERMINAL, level=LogLevel.DEBUG), out)
    structlog.get_logger().debug("connection.rejected", cause="\x1b[2Jgone")
    assert "\x1b" not in out.getvalue()
    assert "connection.rejected" in out.getvalue()


@pytest.mark.usefixtures("restored_logs")
def test_libraries_log_the_same_way_without_their_arguments() -> None:
    out = io.StringIO()
    configure_logs(LogSettings(format=LogFormat.JSON), out)
    logging.getLogger("some.library").warning("token %s is bad", "eyJhbGciOi")
    line = json.loads(out.getvalue())
    assert (line["source"], line["message"]) == ("some.library", "token %s is bad")
    assert "eyJ" not in out.getvalue()
