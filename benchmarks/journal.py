"""The journal's throughput and latency: records per second through the real writer, built, chained, written and synced.

    python benchmarks/journal.py [--directory DIR] [--records 40000] [--sessions 1 8 32 128]

Each session appends a `decided`, waits until it is safe, appends its `completed`, waits again: what the proxy does for a statement.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from querywarden.audit import record
from querywarden.model.facts import StatementFacts, Verb
from querywarden.model.principal import Principal, PrincipalKind
from querywarden.model.resource import Database, Environment, RelationName
from querywarden.runtime.journal_writer import JournalWriter
from querywarden.session.effects import Durability
from querywarden.storage.journal_recovery import open_journal

PRINCIPAL = Principal("alice@example.com", "https://idp.example.com", PrincipalKind.HUMAN, frozenset({"developers", "support"}))
DATABASE = Database("shop", Environment.PRODUCTION)
FACTS = StatementFacts(
    Verb.SELECT,
    "SELECT id, email, created_at FROM customers WHERE id = ? AND created_at > ? ORDER BY created_at LIMIT ?",
    reads=frozenset({RelationName(None, "customers")}),
)


def _decided(committer_text: str) -> dict[str, object]:
    return record.decided(
        PRINCIPAL, DATABASE, session_id="s-1", stage="simple", facts=FACTS, effect="allow", rule="baseline/read", policy_version="0" * 64,
        statement_bytes=120, commitment=committer_text,
    )  # fmt: skip


async def _session(writer: JournalWriter, statements: int, durability: Durability, waits: list[float]) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(statements):
        for kind, body in ((record.DECIDED, _decided("f" * 64)), (record.COMPLETED, record.completed("i" * 36, outcome="ok", rows=3))):
            safe: asyncio.Future[bool] = loop.create_future()
            began = time.perf_counter()
            writer.append(kind, body, durability, safe.set_result)
            assert await safe
            waits.append(time.perf_counter() - began)


async def _run(directory: Path, sessions: int, records: int, durability: Durability) -> None:
    journal = open_journal(directory, version="benchmark", origin="benchmark")
    writer = JournalWriter(journal)
    writer.start()
    waits: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_session(writer, records // sessions // 2, durability, waits) for _ in range(sessions)))
    took = time.perf_counter() - began
    await writer.close()
    p99 = statistics.quantiles(waits, n=100)[98]
    print(
        f"{durability.value:8} {sessions:4} sessions  {len(waits) / took:8.0f} records/s   "
        f"p50 {statistics.median(waits) * 1e3:6.2f} ms   p99 {p99 * 1e3:6.2f} ms"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=None, help="where the logs are made (default: a temporary directory)")
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 8, 32, 128])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        for durability in Durability:
            for sessions in arguments.sessions:
                records = arguments.records if durability is Durability.WRITTEN or sessions >= 32 else arguments.records // 10
                uvloop.run(_run(Path(directory) / f"{durability}-{sessions}", sessions, records, durability))


if __name__ == "__main__":
    main()
