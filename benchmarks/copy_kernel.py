"""Benchmark of the copy kernel: nanoseconds per 10-column row with 3 masked columns, in each form, and against passing it on.

Run: python -m benchmarks.copy_kernel [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks.rows_kernel import CHUNK, TEXT, row_of

from querywarden.masking.key import MaskingKey
from querywarden.masking.plan import mask_of_class
from querywarden.model.catalogue import DataClass
from querywarden.model.data_flow import FlowKind, OutputFlow, ValueFlow
from querywarden.model.facts import CopyFormat
from querywarden.postgresql.copy_masks import copy_masker
from querywarden.postgresql.runs_of_rows import copy_run

PLAN = {1: DataClass.EMAIL, 2: DataClass.PERSON_NAME, 3: DataClass.PHONE}
FORMS = {
    "text": CopyFormat(),
    "csv": CopyFormat("csv", b",", b"", b'"', b'"'),
    "csv, all quoted": CopyFormat("csv", b",", b"", b'"', b'"', forces_all_quotes=True),
    "binary": CopyFormat("binary", b"", b""),
}


def copy_data(payload: bytes) -> bytes:
    """A CopyData message."""
    return b"d" + (len(payload) + 4).to_bytes(4, "big") + payload


def stream_of(form: CopyFormat, count: int) -> bytes:
    """The copy data of so many rows."""
    rows = [row_of(index)[5:] for index in range(count)]
    if form.format == "binary":
        return copy_data(b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows[0]) + b"".join(map(copy_data, rows[1:])) + copy_data(b"\xff\xff")
    quote = form.quote if form.forces_all_quotes else b""
    return b"".join(copy_data(form.delimiter.join(quote + value + quote for value in values_of(row)) + b"\n") for row in rows)


def values_of(body: bytes) -> list[bytes]:
    """The values of a row's body."""
    values, position = [], 2
    while position < len(body):
        size = int.from_bytes(body[position : position + 4], "big")
        values.append(body[position + 4 : position + 4 + size])
        position += 4 + size
    return values


def main() -> None:
    """Print the medians."""
    rounds, count = int(sys.argv[1]) if len(sys.argv) > 1 else 15, 40_000
    key = MaskingKey(bytes(32))
    columns = [OutputFlow(f"c{index}", ValueFlow(FlowKind.DIRECT), TEXT) for index in range(10)]
    masks = [mask_of_class(PLAN[index]) if index in PLAN else None for index in range(10)]
    for label, form in FORMS.items():
        data = stream_of(form, count)
        figures, passing = [], []
        for _ in range(rounds):
            masker = copy_masker(form, columns, masks, key)
            if masker is None:
                raise SystemExit("nothing is masked")
            start = time.perf_counter_ns()
            for position in range(0, len(data), CHUNK):
                masker.feed(data, position, min(position + CHUNK, len(data)))
            figures.append((time.perf_counter_ns() - start) / count)
            masker.end()
            if masker.rows != count:
                raise SystemExit("the kernel lost rows")
            start = time.perf_counter_ns()
            copy_run(data, 0, len(data))
            passing.append((time.perf_counter_ns() - start) / count)
        print(
            f"{label:16s} {len(data) / count:4.0f} bytes: mask {statistics.median(figures):6.1f} ({min(figures):5.1f}) ns per row, "
            f"pass on {statistics.median(passing):6.1f} ns"
        )


if __name__ == "__main__":
    main()
