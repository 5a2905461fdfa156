"""Metrics: everything that is counted, in one table, told in Prometheus' text format.

Sessions name a metric, its labels and an amount (`Observe`); the table says what that metric is. What is observed is counted in
plain attributes, since several change with every statement and bytes with every chunk, and read when the metrics are asked for.
All counting is done on the loop's thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

import structlog
from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)

_BOUNDS = (*map(str, _SECONDS), "+Inf")
"""The upper bounds of the buckets, as Prometheus writes them."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric that sessions and the runtime observe by name."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    is_histogram: bool = False


MEASURES: tuple[Measure, ...] = (
    Measure("statements", "Statements decided, by decision and verb.", ("decision", "verb")),
    Measure("refusals", "Statements refused or held, by reason.", ("reason",)),
    Measure("rows", "Rows returned to clients."),
    Measure("masked_cells", "Cells of those rows that were masked."),
    Measure("statement_seconds", "From a statement's arrival to its completion, server included.", is_histogram=True),
    Measure(
        "added_seconds",
        "What the proxy adds, by stage: session (its own work on what a client sent), record (until a record is safe), analyse (in a "
        "worker), catalogue, verify (a credential), connect (to a server).",
        ("stage",),
        True,
    ),
    Measure("logins", "Logins by outcome: accepted, rejected (the credential), failed (anything else).", ("outcome",)),
    Measure("connections_refused", "Connections that came to no session, by cause.", ("cause",)),
    Measure("cancels", "CancelRequests: forwarded to a session, or of an unknown key.", ("outcome",)),
    Measure("session_errors", "Sessions ended by an error: violation (of the protocol) or internal.", ("kind",)),
    Measure("log_sync_seconds", "The log's fdatasync calls.", is_histogram=True),
    Measure("catalogue_reads", "Readings of databases' catalogues, by outcome.", ("database", "outcome")),
    Measure("data_flows", "Texts that a server was asked about: resolved, or why what it understands isn't known.", ("outcome",)),
    Measure("holds", "Held statements by how they ended: granted, or the reason of the refusal.", ("outcome",)),
    Measure(
        "approvals",
        "Requests for approvals, by event: requested, granted, denied, expired, withdrawn, used, unavailable, too_many.",
        ("outcome",),
    ),
    Measure("webhooks", "Attempts to deliver webhooks: delivered, failed (tried again), given_up, dropped.", ("outcome",)),
    Measure("kills", "Sessions ended at once by an operator, by cause: session, principal (blocked).", ("cause",)),
    Measure("policy_reloads", "Readings of the policy file after the start, by outcome.", ("outcome",)),
)


class _Total:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float) -> None:
        self.value += amount


class _Distribution:
    """One series of a histogram: how many amounts came to lie up to each bound, and their sum."""

    __slots__ = ("_counts", "sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(_SECONDS) + 1)
        self.sum = 0.0

    def add(self, amount: float) -> None:
        self.sum += amount
        self._counts[bisect_left(_SECONDS, amount)] += 1

    def cumulative(self) -> list[tuple[str, float]]:
        """The bounds as Prometheus writes them, each with the amounts up to it."""
        return list(zip(_BOUNDS, accumulate(self._counts), strict=True))


class Metrics(Collector):
    """The process's metrics, in a registry of its own."""

    def __init__(self) -> None:
        # A second series for each counter, with the time of its making, doubles the exposition and tells nothing here.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.client_bytes_received = 0
        self.client_bytes_sent = 0
        self.server_bytes_received = 0
        self.server_bytes_sent = 0
        self.registry = CollectorRegistry()
        self._measures: dict[str, tuple[Measure, dict[tuple[str, ...], _Total | _Distribution]]] = {
            measure.name: (measure, {}) for measure in MEASURES
        }
        self._recorders: dict[tuple[str, tuple[str, ...]], Callable[[float], None]] = {}
        for measure in MEASURES:
            if not measure.labels:
                self._recorder(measure.name, ())
        self._sessions = Gauge("querywarden_sessions", "Sessions that have logged in.", ("database",), registry=self.registry)
        self._log_queue = 0
        self._waiting_holds = 0
        self._store = Gauge("querywarden_control_store_healthy", "Whether the control store answers.", registry=self.registry)
        self._store.set(1)
        self._log_healthy = Gauge("querywarden_log_healthy", "Whether the audit log can be written.", registry=self.registry)
        self._policy = Gauge("querywarden_policy_valid", "Whether the policy file on disk is the policy in force.", registry=self.registry)
        self._log_healthy.set(1)
        self._policy.set(1)
        self.registry.register(self)

    def observe(self, metric: str, labels: tuple[str, ...], amount: float) -> None:
        """Count something. A metric that isn't in the table is a mistake that must not cost a session."""
        recorder = self._recorders.get((metric, labels))
        if recorder is None:
            recorder = self._recorder(metric, labels)
        recorder(amount)

    def _recorder(self, metric: str, labels: tuple[str, ...]) -> Callable[[float], None]:
        measure, series = self._measures.get(metric, (None, {}))
        if measure is None or len(measure.labels) != len(labels):
            structlog.get_logger().error("metric.unknown", metric=metric, labels=len(labels))
            recorder: Callable[[float], None] = _ignore
        else:
            found = series[labels] = _Distribution() if measure.is_histogram else _Total()
            recorder = found.add
        self._recorders[metric, labels] = recorder
        return recorder

    def session_opened(self, database: str) -> None:
        """A session has logged in."""
        self._sessions.labels(database).inc()

    def session_closed(self, database: str) -> None:
        """A session that had logged in is over."""
        self._sessions.labels(database).dec()

    def log_queue(self, records: int) -> None:
        """So many records are not on disk yet."""
        self._log_queue = records

    def log_sync(self, seconds: float) -> None:
        """An fdatasync has taken so long."""
        self.observe("log_sync_seconds", (), seconds)

    def log_health(self, is_healthy: bool) -> None:
        """Whether the log can be written."""
        self._log_healthy.set(1 if is_healthy else 0)

    def policy_health(self, is_valid: bool) -> None:
        """Whether the policy file on disk could be read."""
        self._policy.set(1 if is_valid else 0)

    def store_health(self, is_answering: bool) -> None:
        """Whether the control store answers."""
        self._store.set(1 if is_answering else 0)

    def waiting_holds(self, count: int) -> None:
        """So many held statements wait for approvers."""
        self._waiting_holds = count

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """What was counted so far; called by the registry."""
        yield GaugeMetricFamily("querywarden_log_queue_records", "Records that are not on disk yet.", self._log_queue)
        yield GaugeMetricFamily("querywarden_waiting_holds", "Held statements whose clients wait for approvers.", self._waiting_holds)
        for measure, series in self._measures.values():
            yield _family(measure, series)
        family = CounterMetricFamily("querywarden_bytes", "Bytes by side and direction.", labels=("side", "direction"))
        family.add_metric(("client", "received"), self.client_bytes_received)
        family.add_metric(("client", "sent"), self.client_bytes_sent)
        family.add_metric(("server", "received"), self.server_bytes_received)
        family.add_metric(("server", "sent"), self.server_bytes_sent)
        yield family


def _family(measure: Measure, series: dict[tuple[str, ...], _Total | _Distribution]) -> Metric:
    name = f"querywarden_{measure.name}"
    if not measure.is_histogram:
        counter = CounterMetricFamily(name, measure.help, labels=measure.labels)
        for labels, total in series.items():
            if isinstance(total, _Total):
                counter.add_metric(labels, total.value)
        return counter
    histogram = HistogramMetricFamily(name, measure.help, labels=measure.labels)
    for labels, found in series.items():
        if isinstance(found, _Distribution):
            histogram.add_metric(labels, found.cumulative(), found.sum)
    return histogram


def _ignore(amount: float) -> None:
    """What is done with a metric that isn't in the table."""
