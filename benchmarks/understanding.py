"""What it costs to ask the server what it understands of a statement: a text that is new, and one that is known.

    python -m benchmarks.understanding [--rounds 7] [--statements 300] [--server 18]

Three ways to one database, statement by statement in turns: direct, a proxy whose server may be asked, and one whose role lacks the right,
which is the same proxy without the question. On tables with classified columns, one statement at a time, over one connection each:

* new texts: every statement is another one, by a name in it, so that no answer fits twice; outside of a transaction and inside one;
* known texts: the same few statements again and again. What asking costs there must not be measurable.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.raw_client import Address, RawClient
from benchmarks.systems import DATABASE, PASSWORD, ROLE, STREAM_TABLE, stream_script

from querywarden.demo.installations import installations
from querywarden.demo.issuer import AUDIENCE, Issuer
from querywarden.demo.program import Proxy, write_configuration
from querywarden.demo.servers import PostgresServer, free_port

ROLE_WITHOUT = "bench_without"
MISS_MICROSECONDS_MAX = 1500.0
"""What a new text may cost more for being asked about, on the machine of the targets with PostgreSQL 18."""
KNOWN_RATIO_MAX = 1.02
"""What known texts may take with asking, of what they take without: within the noise of a run."""

_TEMPLATES = (
    "SELECT id, email, city_code AS {new} FROM {table} WHERE id = 7",
    "SELECT p.id, upper(p.email) AS {new}, o.status FROM {table} p JOIN orders o ON o.person = p.id WHERE p.id = 7",
    "WITH {new} AS (SELECT id, last_name, points FROM {table} WHERE id = 7) SELECT *, count(*) OVER () FROM {new}",
    "SELECT status, count(*) AS {new} FROM people_of_interest WHERE id = 7 GROUP BY status",
)
_SCHEMA = f"""
ALTER TABLE {STREAM_TABLE} ADD PRIMARY KEY (id);
CREATE TABLE orders (id int PRIMARY KEY, person int, status text);
INSERT INTO orders SELECT n, n, 'paid' FROM generate_series(1, 1000) n;
CREATE INDEX ON orders (person);
CREATE VIEW people_of_interest AS SELECT p.id, p.email, p.phone, o.status FROM {STREAM_TABLE} p JOIN orders o ON o.person = p.id;
ANALYZE;
"""
_TELLING = f"SELECT points FROM {STREAM_TABLE} WHERE id = 7 UNION SELECT points FROM {STREAM_TABLE} WHERE id = 7"
"""Its output is unclassified, which only the server's understanding proves: names alone give NULL."""
_POLICY = """version: 1
limits: [{id: benchmark, who: {kinds: [human]}, per_hour: {guesses: 100000000}}]
"""


@dataclass
class Way:
    """One way to the database, with its connection; microseconds per statement by workload and round."""

    name: str
    client: RawClient
    figures: dict[str, list[float]]

    def spend(self, text: str) -> float:
        """Run a statement. Returns: the microseconds that it took."""
        began = time.perf_counter_ns()
        answer = self.client.answer(text)
        spent = (time.perf_counter_ns() - began) / 1000
        if answer[:1] == b"E":
            raise RuntimeError(f"{self.name} refused a statement: {answer[:300]!r}")
        return spent


class Setup:
    """A server, an issuer and two proxies; `close` takes all of it away."""

    def __init__(self, major: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="querywarden-understanding-"))
        self._closers: list[Callable[[], object]] = [lambda: shutil.rmtree(self._folder, ignore_errors=True)]
        self._server = PostgresServer(installations()[major], {"synchronous_commit": "off"})
        self._closers.append(self._server.remove)
        self._issuer = Issuer(token_seconds=86_400)

    def ways(self) -> list[Way]:
        """Start and fill everything; the ways in the order in which they are shown."""
        server = self._server.start()
        server.sql(
            f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE {ROLE_WITHOUT} LOGIN PASSWORD '{PASSWORD}';"
            f"GRANT SET ON PARAMETER log_min_messages TO {ROLE};"
        )
        server.sql(f"CREATE DATABASE {DATABASE} OWNER {ROLE};")
        server.sql(f"SET ROLE {ROLE}; {stream_script(1000)} {_SCHEMA}", DATABASE)
        server.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE_WITHOUT};", DATABASE)
        self._issuer.start()
        self._closers.append(self._issuer.stop)
        direct = Address("127.0.0.1", server.port, DATABASE, ROLE, PASSWORD)
        addresses = (
            ("direct", direct),
            ("proxy, not asking", self._proxy("without", ROLE_WITHOUT)),
            ("proxy, asking", self._proxy("with", ROLE)),
        )
        return [Way(name, RawClient(address), {}) for name, address in addresses]

    def _proxy(self, name: str, role: str) -> Address:
        port = free_port()
        folder = self._folder / name
        server = {"host": "127.0.0.1", "port": self._server.port, "database": DATABASE, "role": role, "password": PASSWORD}
        folder.mkdir()
        # Nobody runs out of what he may do by the thousand here.
        (folder / "policy.yaml").write_text(_POLICY, encoding="utf-8")
        configuration = write_configuration(
            folder / "querywarden.yaml",
            {
                "listeners": [{"port": port, "allow_plaintext_loopback": True}],
                "databases": {DATABASE: {"server": {**server, "tls": {"mode": "disable"}}, "environment": "development"}},
                "identity": {"issuers": [{"issuer": self._issuer.url, "audience": AUDIENCE}]},
                "control": {"url": f"sqlite:///{folder / 'control.db'}"},
                "masking": {"key_file": "masking.key"},
                "audit": {"directory": "audit"},
                "admin": {"enabled": False},
                "policy": {"file": "policy.yaml"},
            },
        )
        self._closers.append(Proxy(configuration, [port], folder / "proxy.log").start().stop)
        return Address("127.0.0.1", port, DATABASE, "alice", self._issuer.mint("alice", lifetime_seconds=80_000))

    def close(self) -> None:
        """Stop all that was started, the last first."""
        while self._closers:
            self._closers.pop()()


def check(ways: Sequence[Way]) -> None:
    """Make sure that the proxies differ in what is measured: one knows what it can only know from the server. Raises: RuntimeError."""
    shown = b"\0\1\0\0\0\x017"
    answers = {way.name: shown in way.client.answer(_TELLING) for way in ways}
    if answers != {"direct": True, "proxy, not asking": False, "proxy, asking": True}:
        raise RuntimeError(f"there is nothing to compare: who shows what only the server's understanding proves harmless: {answers}")


def new_texts(numbers: Iterator[int], count: int) -> list[str]:
    """Statements that nobody has seen."""
    templates = itertools.cycle(_TEMPLATES)
    return [next(templates).format(new=f"fresh_{next(numbers)}", table=STREAM_TABLE) for _ in range(count)]


def run(ways: Sequence[Way], workload: str, texts: Sequence[Sequence[str]]) -> None:
    """Run statements one by one, in turns between the ways, so that what the machine does meanwhile hits all alike; note the medians."""
    order = list(range(len(ways)))
    spent: list[list[float]] = [[] for _ in ways]
    for place in range(len(texts[0])):
        for index in order:
            spent[index].append(ways[index].spend(texts[index][place]))
        order.append(order.pop(0))
    for way, each in zip(ways, spent, strict=True):
        way.figures.setdefault(workload, []).append(statistics.median(each))


def measure(ways: Sequence[Way], rounds: int, count: int) -> None:
    """All workloads on all ways, round by round."""
    numbers = itertools.count(1)
    known = [text.format(new="known", table=STREAM_TABLE) for text in _TEMPLATES] * max(1, count // len(_TEMPLATES))
    for way in ways:
        way.client.answer("SELECT 1")
        for text in (*known[: len(_TEMPLATES)], *new_texts(numbers, 20)):
            way.client.answer(text)
    for number in range(1, rounds + 1):
        print(f"\rround {number}/{rounds}", end="", file=sys.stderr, flush=True)
        run(ways, "known texts", [known] * len(ways))
        run(ways, "new texts", [new_texts(numbers, count) for _ in ways])
        for way in ways:
            way.client.answer("BEGIN")
        run(ways, "new texts in a transaction", [new_texts(numbers, count) for _ in ways])
        for way in ways:
            way.client.answer("COMMIT")
    print(file=sys.stderr)


def show(ways: Sequence[Way]) -> bool:
    """Print the figures; returns whether the targets are met."""
    direct, without, asking = ways
    print(f"{'µs per statement':30}" + "".join(f"{way.name:>20}" for way in ways) + f"{'asking costs':>16}")
    met = True
    for workload in direct.figures:
        # The median of the rounds' differences: a slow minute hits both sides of a round.
        pairs = list(zip(asking.figures[workload], without.figures[workload], strict=True))
        difference = statistics.median(one - other for one, other in pairs)
        ratio = statistics.median(one / other for one, other in pairs)
        is_known = workload == "known texts"
        is_met = ratio <= KNOWN_RATIO_MAX if is_known else difference <= MISS_MICROSECONDS_MAX
        target = f"ratio {ratio:.3f}, must be ≤ {KNOWN_RATIO_MAX}" if is_known else f"must be ≤ {MISS_MICROSECONDS_MAX:.0f}"
        met = met and is_met
        cells = "".join(f"{statistics.median(way.figures[workload]):>20.0f}" for way in ways)
        print(f"{workload:30}{cells}{difference:>16.0f}   {target}{'' if is_met else '  MISSED'}")
    return met


def main() -> int:
    """Measure and print; exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.understanding", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--statements", type=int, default=300, help="of each workload in a round")
    parser.add_argument("--server", type=int, default=18, choices=[15, 16, 18])
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    setup = Setup(arguments.server)
    try:
        ways = setup.ways()
        check(ways)
        measure(ways, arguments.rounds, arguments.statements)
        print(f"medians of {arguments.rounds} rounds of {arguments.statements} statements, PostgreSQL {arguments.server}\n")
        met = show(ways)
        if arguments.json:
            arguments.json.write_text(json.dumps({way.name: way.figures for way in ways}, indent=1))
        for way in ways:
            way.client.close()
    finally:
        setup.close()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
