"""What is measured on a system: pgbench's select-only script, a streamed result, idle sessions."""

from __future__ import annotations

import gc
import re
import subprocess
import time
from dataclasses import dataclass

from benchmarks.raw_client import RawClient
from benchmarks.systems import STREAM_TABLE, System, libpq_environment, pgbench_program


@dataclass(frozen=True)
class Sample:
    """One measurement: statements or megabytes per second, and the processor time of the system's process for each of them."""

    rate: float
    processor_microseconds: float | None = None


def pgbench(system: System, protocol: str, clients: int, seconds: int) -> Sample:
    """Transactions per second of `pgbench -S`: one statement each, every one with another literal."""
    program = pgbench_program()
    if program is None:
        raise FileNotFoundError("pgbench")
    before = system.processor_seconds() if system.process_id else 0.0
    done = subprocess.run(
        [str(program), "-n", "-S", "-M", protocol, "-c", str(clients), "-j", "1", "-T", str(seconds)],
        capture_output=True, text=True, check=False, env=libpq_environment(system.address),
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"pgbench on {system.name} failed: {done.stderr.strip()[-1000:]}")
    rate = re.search(r"tps = ([\d.]+)", done.stdout)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    if rate is None or count is None:
        raise RuntimeError(f"pgbench on {system.name} said: {done.stdout}")
    spent = (system.processor_seconds() - before) * 1e6 / int(count.group(1)) if system.process_id else None
    return Sample(float(rate.group(1)), spent)


def stream(system: System, seconds: float) -> Sample:
    """Megabytes per second of whole results in text format, read by a client that does nothing with them."""
    client = RawClient(system.address)
    try:
        shows = b"@postbox.example" in client.answer(f"SELECT email FROM {STREAM_TABLE} ORDER BY id LIMIT 1")
        if shows == system.masks:
            raise RuntimeError(f"{system.name} shows and masks the wrong way round: there is nothing to compare")
        before = system.processor_seconds() if system.process_id else 0.0
        total, began = 0, time.perf_counter()
        while True:
            total += client.drain(f"SELECT * FROM {STREAM_TABLE}")
            spent = time.perf_counter() - began
            if spent >= seconds:
                break
    finally:
        client.close()
    processor = (system.processor_seconds() - before) * 1e6 / (total / 1e6) if system.process_id else None
    return Sample(total / 1e6 / spent, processor)


def idle_kilobytes(system: System, count: int) -> float:
    """Resident kilobytes that each idle session adds to the system's process."""
    gc.collect()
    warm = [RawClient(system.address, 4096) for _ in range(20)]
    before = system.resident_kilobytes()
    clients = [RawClient(system.address, 4096) for _ in range(count)]
    grown = system.resident_kilobytes() - before
    for client in (*warm, *clients):
        client.close()
    return grown / count
