"""The ways in which rows come to a client: each runs a query over raw messages and gives back its cells, for comparing."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from tests.model.wire_client import SYNC, WireClient, bind, close, describe, execute, parse

Cells = list[tuple[bytes | None, ...]]
Messages = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Answer:
    """What came of a statement: its rows, or its first error as SQLSTATE and message."""

    rows: Cells
    sqlstate: str = ""
    message: str = ""

    @property
    def is_error(self) -> bool:
        return self.sqlstate != ""


_NUMBERS = itertools.count(1)


def text(client: WireClient, query: str) -> Answer:
    return _answer(client.run(query))


def binary(client: WireClient, query: str) -> Answer:
    return _answer(client.ask(parse(query), bind(binary=True), describe("P"), execute(), SYNC))


def undescribed(client: WireClient, query: str) -> Answer:
    """Execute without Describe, of a named statement."""
    return _answer(client.ask(parse(query, "s"), bind("", "s"), execute(), SYNC, close("S", "s"), SYNC))


def portal(client: WireClient, query: str) -> Answer:
    """A portal that gives two rows at a time, binary."""
    steps = [execute("p", 2) for _ in range(3)]
    return _answer(client.ask(parse(query), bind("p", "", binary=True), describe("P", "p"), *steps, execute("p"), SYNC))


def cursor(client: WireClient, query: str) -> Answer:
    return _answer(
        client.run(f"DECLARE c SCROLL CURSOR FOR {query}"), lambda: client.run("FETCH 2 FROM c"), lambda: client.run("FETCH ALL FROM c")
    )


def binary_cursor(client: WireClient, query: str) -> Answer:
    return _answer(
        client.run(f"DECLARE c BINARY CURSOR FOR {query}"), lambda: client.run("FETCH ALL FROM c"), lambda: client.run("MOVE 0 IN c")
    )


def prepared(client: WireClient, query: str) -> Answer:
    # Another name each time: where the EXECUTE fails, the DEALLOCATE isn't reached.
    name = f"q{next(_NUMBERS)}"
    made = client.run(f"PREPARE {name} AS {query}")
    return _answer(made, lambda: client.run(f"EXECUTE {name}"), lambda: client.run(f"DEALLOCATE {name}"))


def copy_text(client: WireClient, query: str) -> Answer:
    return _copied(client, query, "text")


def copy_csv(client: WireClient, query: str) -> Answer:
    return _copied(client, query, "csv")


def copy_binary(client: WireClient, query: str) -> Answer:
    return _copied(client, query, "binary")


def explained(client: WireClient, query: str) -> Answer:
    """No rows to compare: what the plan says is searched for canaries only."""
    answer = _answer(client.run(f"EXPLAIN (ANALYZE, VERBOSE, TIMING off) {query}"))
    return Answer([], answer.sqlstate, answer.message)


FOR_ALL = (text, binary, undescribed, portal)
FOR_QUERIES = (*FOR_ALL, cursor, binary_cursor, prepared, copy_text, copy_csv, copy_binary, explained)


def _answer(messages: Messages, *more: Callable[[], Messages]) -> Answer:
    """What messages say, and those of further steps, each taken if nothing has failed before."""
    rows: Cells = []
    for step in (lambda: messages, *more):
        for kind, body in step():
            if kind == "E":
                fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
                return Answer([], fields.get(b"C", "?????"), fields.get(b"M", ""))
            if kind == "D":
                rows.append(_cells(body))
            elif kind == "":
                return Answer([], "08006", "the connection has ended")
    return Answer(rows)


def _cells(body: bytes) -> tuple[bytes | None, ...]:
    return _counted(body, 0)[0]


def _counted(body: bytes, at: int) -> tuple[tuple[bytes | None, ...], int]:
    """A tuple of cells with their count before them, as DataRow and binary COPY write it, and where it ends."""
    count, at, cells = int.from_bytes(body[at : at + 2], "big"), at + 2, []
    for _ in range(count):
        size, at = int.from_bytes(body[at : at + 4], "big", signed=True), at + 4
        cells.append(None if size < 0 else body[at : at + size])
        at += max(size, 0)
    return tuple(cells), at


def _copied(client: WireClient, query: str, kind: str) -> Answer:
    messages = client.run(f"COPY ({query}) TO STDOUT (FORMAT {kind})")
    answer = _answer(messages)
    if answer.is_error:
        return answer
    data = b"".join(body for kind, body in messages if kind == "d")
    return Answer({"text": _text_rows, "csv": _csv_rows, "binary": _binary_rows}[kind](data))


def _text_rows(data: bytes) -> Cells:
    return [tuple(None if cell == b"\\N" else cell for cell in line.split(b"\t")) for line in data.split(b"\n")[:-1]]


def _csv_rows(data: bytes) -> Cells:
    # A line without anything is a row with one NULL.
    return [tuple(cell.encode() for cell in row) or (b"",) for row in csv.reader(io.StringIO(data.decode()))]


def _binary_rows(data: bytes) -> Cells:
    rows, at = [], 19
    while at + 2 <= len(data) and data[at : at + 2] != b"\xff\xff":
        row, at = _counted(data, at)
        rows.append(row)
    return rows
