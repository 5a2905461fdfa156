"""Benchmark of the row kernel: nanoseconds per 10-column row with 3 masked columns, against relaying it.

Run: python benchmarks/rows_kernel.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time

from querywarden.masking.key import MaskingKey
from querywarden.masking.plan import mask_of_class
from querywarden.model.catalogue import DataClass
from querywarden.postgresql.rows import RowMasker, relay_rows
from querywarden.postgresql.value_masks import cell_mask

CHUNK = 256 * 1024
TEXT = 25


def row_of(index: int) -> bytes:
    """A DataRow of 268 bytes or so: the row of the reference measurements."""
    values = [
        b"%d" % (100_000 + index),
        b"user%06d@example.org" % index,
        b"Ada Lovelace",
        b"+49 170 %07d" % (index % 10_000_000),
        b"2024-05-17 10:11:12.131415+00",
        b"shipped",
        b"%d.99" % (index % 1000),
        b"A note of some forty characters for the row",
        b"DE",
        b"f47ac10b-58cc-4372-a567-0e02b2c3d479",
    ]
    body = b"".join(len(value).to_bytes(4, "big") + value for value in values)
    return b"D" + (len(body) + 6).to_bytes(4, "big") + len(values).to_bytes(2, "big") + body


def measure(plan: dict[int, DataClass], data: bytes, rows: int, rounds: int) -> list[float]:
    """Nanoseconds per row of each round."""
    key = MaskingKey(bytes(32))
    cells = [cell_mask(TEXT, -1, 0, mask_of_class(plan[i]), key) if i in plan else None for i in range(10)]
    figures = []
    for _ in range(rounds):
        masker = RowMasker(cells)
        start = time.perf_counter_ns()
        for position in range(0, len(data), CHUNK):
            masker.feed(data, position, min(position + CHUNK, len(data)))
        figures.append((time.perf_counter_ns() - start) / rows)
        if masker.rows != rows:
            raise SystemExit("the kernel lost rows")
    return figures


def main() -> None:
    """Print the medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    count = 40_000
    data = b"".join(row_of(i) for i in range(count))
    print(f"{count} rows of {len(data) / count:.0f} bytes, chunks of {CHUNK // 1024} KiB, median (best) of {rounds} rounds")
    plans = {
        "email, name, phone (all keyed)": {1: DataClass.EMAIL, 2: DataClass.PERSON_NAME, 3: DataClass.PHONE},
        "email (keyed), address, secret": {1: DataClass.EMAIL, 2: DataClass.ADDRESS, 3: DataClass.SECRET},
        "three constants": {1: DataClass.ADDRESS, 2: DataClass.CITY, 3: DataClass.SECRET},
    }
    for label, plan in plans.items():
        figures = measure(plan, data, count, rounds)
        median = statistics.median(figures)
        print(f"mask {label:32s} {median:6.1f} ({min(figures):5.1f}) ns per row, {len(data) / count / median * 1000:6.0f} MB/s")
    figures = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        relay_rows(data, 0, len(data))
        figures.append((time.perf_counter_ns() - start) / count)
    print(f"relay{'':33s} {statistics.median(figures):6.1f} ({min(figures):5.1f}) ns per row")


if __name__ == "__main__":
    main()
