"""Ratios against a direct connection and pgbouncer: medians of interleaved rounds.

Without addresses, `python -m benchmarks.run` sets up everything on this machine. With addresses it measures what is there:

    python -m benchmarks.run --direct 10.0.0.5:5432 --pgbouncer 10.0.0.6:6432 --proxy 10.0.0.7:6432 \\
        --database bench --user bench --password-file pw --proxy-user alice --proxy-password-file token [--tls] [--init]

The database must hold pgbench's tables and the table of `benchmarks.systems.stream_script`; `--init` makes them over --direct.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from benchmarks.raw_client import Address
from benchmarks.systems import Bench, System, fill, pgbench_program
from benchmarks.workloads import Sample, idle_kilobytes, pgbench, stream


@dataclass(frozen=True)
class Workload:
    """One thing that is measured: a name, how, and the targets for the proxy against direct and against pgbouncer."""

    name: str
    measure: Callable[[System], Sample]
    unit: str
    over_tls: bool = False
    targets: str = ""


@dataclass
class Results:
    """Samples by workload and system, one per round."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)

    def add(self, workload: str, system: str, sample: Sample) -> None:
        self.samples.setdefault(workload, {}).setdefault(system, []).append(sample)

    def median(self, workload: str, system: str) -> float:
        return statistics.median(s.rate for s in self.samples[workload][system])

    def ratio(self, workload: str, system: str, to: str) -> float | None:
        """The median of the rounds' ratios: a slow minute of the machine hits both sides of a round."""
        found = self.samples[workload]
        if system not in found or to not in found:
            return None
        return statistics.median(a.rate / b.rate for a, b in zip(found[system], found[to], strict=True))

    def processor_microseconds(self, workload: str, system: str) -> float | None:
        values = [s.processor_microseconds for s in self.samples[workload][system] if s.processor_microseconds is not None]
        return statistics.median(values) if values else None


def workloads(arguments: argparse.Namespace) -> list[Workload]:
    """Those of the targets that concern PostgreSQL, in their order."""
    targets = {("prepared", 32): "0.55 / 0.80", ("simple", 8): "– / 0.65", ("simple", 1): "latency ≤ 2.0× pgbouncer's"}
    found: list[Workload] = []
    if pgbench_program() is not None:
        for protocol in ("simple", "extended", "prepared"):
            for clients in arguments.clients:
                found.append(
                    Workload(
                        f"pgbench -S {protocol}, {clients} client{'s' if clients > 1 else ''}",
                        lambda system, p=protocol, c=clients: pgbench(system, p, c, arguments.seconds),  # type: ignore[misc]
                        "tps",
                        targets=targets.get((protocol, clients), ""),
                    )
                )

    def streamed(system: System) -> Sample:
        return stream(system, arguments.stream_seconds)

    found.append(Workload("stream text, 3 of 10 masked", streamed, "MB/s", targets="0.90 / –"))
    found.append(Workload("stream text, 3 of 10 masked, TLS", streamed, "MB/s", over_tls=True, targets="1.20 / –"))
    return found


def measure(systems: list[System], wanted: list[Workload], rounds: int) -> Results:
    """All workloads on all systems, round by round, so that what changes on the machine hits all of them."""
    results = Results()
    for number in range(1, rounds + 1):
        for workload in wanted:
            for system in systems:
                if workload.over_tls and not system.has_tls:
                    continue
                used = system.over_tls() if workload.over_tls else system
                sample = workload.measure(used)
                results.add(workload.name, system.name, sample)
                line = f"\rround {number}/{rounds}: {workload.name}, {system.name}: {sample.rate:,.0f} {workload.unit}"
                print(line.ljust(110), end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def show(systems: list[System], wanted: list[Workload], results: Results) -> None:
    """Print the tables."""
    pooler = next((s.name for s in systems if s.name == "pgbouncer"), None)
    print(f"{'':34}{'':16}{'rate':>12}{'':6}{'of direct':>10}{'of pgbouncer':>14}{'µs CPU each':>13}   must (direct / pgbouncer)")
    for workload in wanted:
        if workload.name not in results.samples:
            continue
        for position, system in enumerate(s for s in systems if s.name in results.samples[workload.name]):
            direct = results.ratio(workload.name, system.name, "direct")
            pooled = results.ratio(workload.name, system.name, pooler) if pooler else None
            processor = results.processor_microseconds(workload.name, system.name)
            rate = results.median(workload.name, system.name)
            print(
                f"{workload.name if position == 0 else '':34}{system.name:16}{rate:>12,.0f} {workload.unit:5}"
                f"{_cell(direct):>10}{_cell(pooled):>14}{_cell(processor, 1):>13}"
                f"   {workload.targets if system.name == 'proxy' else ''}"
            )
    print()


def _cell(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def show_idle(systems: list[System], count: int) -> None:
    """Print the memory of idle sessions."""
    print(f"{'idle sessions':34}{'':16}{'KB each, plain':>16}{'KB each, TLS':>16}   must 10 / 60")
    for system in systems:
        if system.process_id:
            plain = idle_kilobytes(system, count)
            tls = idle_kilobytes(system.over_tls(), count) if system.has_tls else None
            print(f"{'':34}{system.name:16}{_cell(plain, 1):>16}{_cell(tls, 1):>16}")


def given_systems(arguments: argparse.Namespace) -> list[System]:
    """The systems whose addresses were given."""
    password = Path(arguments.password_file).read_text().strip() if arguments.password_file else ""
    token = Path(arguments.proxy_password_file).read_text().strip() if arguments.proxy_password_file else password
    found = []
    for name, place, user, secret in (
        ("direct", arguments.direct, arguments.user, password),
        ("pgbouncer", arguments.pgbouncer, arguments.user, password),
        ("proxy", arguments.proxy, arguments.proxy_user or arguments.user, token),
    ):
        if place is not None:
            host, _, port = place.rpartition(":")
            address = Address(host or "127.0.0.1", int(port), arguments.database, user, secret, arguments.tls)
            found.append(System(name, address, masks=name == "proxy"))
    return found


def parse() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each pgbench run")
    parser.add_argument("--stream-seconds", type=float, default=2.0, help="of each stream, at least one whole result")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rows", type=int, default=200_000, help="of the table to stream")
    parser.add_argument("--scale", type=int, default=10, help="of pgbench's tables")
    parser.add_argument("--idle", type=int, default=150, help="idle sessions to measure; 0 leaves them out")
    parser.add_argument("--only", metavar="TEXT", default="", help="workloads whose names hold this text: stream, simple, prepared, …")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that all of it runs")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    for name in ("--direct", "--pgbouncer", "--proxy"):
        parser.add_argument(name, metavar="HOST:PORT", help="measure what listens there")
    parser.add_argument("--database", default="bench")
    parser.add_argument("--user", default="bench")
    parser.add_argument("--password-file")
    parser.add_argument("--proxy-user")
    parser.add_argument("--proxy-password-file")
    parser.add_argument("--tls", action="store_true", help="connect with TLS to the given addresses")
    parser.add_argument("--init", action="store_true", help="make the tables over --direct first")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds, arguments.stream_seconds, arguments.scale, arguments.rows = 1, 1, 0.1, 1, 50_000
    return arguments


def main() -> int:
    """Measure and print."""
    arguments = parse()
    bench = None
    try:
        systems = given_systems(arguments)
        if systems and arguments.init:
            place = systems[0].address
            conninfo = {"host": place.host, "port": place.port, "dbname": place.database, "user": place.user, "password": place.password}
            with psycopg.connect(**conninfo, autocommit=True) as connection:  # type: ignore[arg-type]
                fill(lambda text, _database: str(connection.execute(text.split(";", 1)[1])), place, arguments.scale, arguments.rows)
        if not systems:
            bench = Bench()
            systems = bench.systems(arguments.scale, arguments.rows)
        wanted = [w for w in workloads(arguments) if arguments.only in w.name]
        results = measure(systems, wanted, arguments.rounds)
        print(f"medians of {arguments.rounds} interleaved rounds\n")
        show(systems, wanted, results)
        if arguments.idle and bench is not None:
            show_idle(systems, arguments.idle)
        if arguments.json:
            plain = {w: {s: [vars(x) for x in samples] for s, samples in by.items()} for w, by in results.samples.items()}
            arguments.json.write_text(json.dumps(plain, indent=1))
    finally:
        if bench is not None:
            bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
