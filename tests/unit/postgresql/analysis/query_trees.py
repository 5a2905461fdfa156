"""Query trees for tests: the statements, how a server is asked for its trees of them, and data flows in words.

What servers of several versions printed is recorded in tests/data/query_trees; `record.py` there makes the records anew.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from querywarden.model.catalogue import Catalogue, Column, Function, OperatorName, Relation, SqlBody
from querywarden.model.data_flow import DataFlow, Place, Unresolved, ValueFlow, WantsBodies

DATA = Path(__file__).parents[3] / "data" / "query_trees"
FLOWS = DATA / "flows.txt"
_OWN = 16384
_KINDS = {"r": "table", "v": "view", "m": "materialized_view", "p": "partitioned_table", "f": "foreign_table"}
_TOLD = "rewritten parse tree:"
_CATALOGUE = {
    "functions": """SELECT p.oid::int8, nspname, proname, prokind::text, provolatile::text, lanname = 'sql', prosqlbody::text, prosrc
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace JOIN pg_language l ON l.oid = prolang""",
    "operators": "SELECT oid::int8, oprname, oprcode::oid::int8 FROM pg_operator",
    "relations": """SELECT c.oid::int8, nspname, relname, relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'v', 'm', 'p', 'f')""",
    "columns": """SELECT attrelid::int8, attnum, attname, attgenerated::text FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'v', 'm', 'p', 'f')""",
    "types": "SELECT p.oid::int8, proargtypes::oid[]::int8[] FROM pg_proc p WHERE oid >= 16384",
}
Rows = dict[str, list[list[Any]]]


def statements(major: int) -> list[str]:
    """The statements that a version understands."""
    lines = [line.split(" ", 1) for line in (DATA / "statements.sql").read_text().splitlines()]
    return [text for since, text in lines if int(since) <= major]


@lru_cache(maxsize=2)
def recorded(major: int) -> tuple[dict[str, str], dict[int, str], Catalogue]:
    """The trees that a version has printed, by statement and by function, and the catalogue of what is in them."""
    found = json.loads(gzip.decompress((DATA / f"trees_{major}.json.gz").read_bytes()))
    return found["trees"], {int(number): tree for number, tree in found["bodies"].items()}, catalogue_of(found["catalogue"])


class Asking:
    """A connection of psycopg that is asked for trees; `said` are the notices since the last question."""

    def __init__(self, link: Any) -> None:
        self._link = link
        self._said: list[tuple[str | None, str | None]] = []
        link.add_notice_handler(lambda notice: self._said.append((notice.message_primary, notice.message_detail)))
        for name, value in (
            ("client_min_messages", "log"), ("debug_print_rewritten", "on"), ("debug_pretty_print", "off"), ("log_min_messages", "fatal"),
        ):  # fmt: skip
            link.execute(f"SET {name} = {value}")

    def tree(self, text: str, types: Sequence[int] = ()) -> str:
        """The tree of a statement, with parameters of these types."""
        self._said.clear()
        answer = self._link.pgconn.prepare(b"", text.encode(), list(types))
        assert not answer.error_message, (text, answer.error_message)
        [tree] = [detail for message, detail in self._said if message == _TOLD]
        return tree or ""

    def types(self, text: str) -> list[tuple[str, int]]:
        """The names and types of a statement's outputs."""
        self._link.pgconn.prepare(b"", text.encode())
        described = self._link.pgconn.describe_prepared(b"")
        return [((described.fname(number) or b"").decode(), described.ftype(number)) for number in range(described.nfields)]

    def rows(self) -> Rows:
        """What a catalogue is made of."""
        return {name: [list(row) for row in self._link.execute(query)] for name, query in _CATALOGUE.items()}

    def bodies(self, catalogue: Catalogue) -> dict[int, str]:
        """The trees of the functions whose bodies are text."""
        bodies = {number: function.body for number, function in catalogue.functions.items() if function.body is not None}
        return {number: self.tree(body.text, body.argument_types) for number, body in bodies.items() if body.text is not None}


def catalogue_of(rows: Rows) -> Catalogue:
    """The catalogue that some rows make; nothing in it has a class."""
    columns: dict[int, dict[int, Column]] = {}
    for relation, number, name, generated in rows["columns"]:
        columns.setdefault(relation, {})[number] = Column(number, name, "text", is_generated=bool(generated))
    types = dict(rows["types"])
    functions = {}
    for number, schema, name, kind, volatility, is_sql, tree, text in rows["functions"]:
        is_own = number >= _OWN
        body = SqlBody(tree, None if tree else text, tuple(types.get(number, ()))) if is_own and is_sql else None
        functions[number] = Function(number, schema, name, kind, volatility, is_own, body)
    return Catalogue(
        "test",
        {number: Relation(number, schema, name, _KINDS[kind], columns.get(number, {})) for number, schema, name, kind in rows["relations"]},
        functions=functions,
        operators={number: OperatorName(name, function, number < _OWN) for number, name, function in rows["operators"]},
    )


def cut(rows: Rows, trees: Iterable[str]) -> Rows:
    """The rows of what some trees speak of, and all of the database's own."""
    numbers = {int(word) for tree in trees for word in re.findall(r"(?<=\s)\d+(?=[\s})])", tree)}
    numbers |= {row[2] for row in rows["operators"] if row[0] in numbers}
    return {name: [row for row in found if row[0] in numbers or row[0] >= _OWN] for name, found in rows.items()}


def described(flow: DataFlow | Unresolved | WantsBodies, catalogue: Catalogue) -> list[str]:
    """A data flow in words, a line for each output, condition and assignment."""
    if not isinstance(flow, DataFlow):
        return [str(flow)]
    lines = []
    for output in flow.outputs or ():
        lines.append(f"out {output.name}: {_value(output.value, catalogue)}")
    for condition in flow.conditions:
        lines.append(f"{condition.kind}: {' '.join([*_places(condition.sources, catalogue), *sorted(condition.code)])}")
    lines[len(flow.outputs or ()) :] = sorted(lines[len(flow.outputs or ()) :])
    for assignment in flow.assignments:
        [target] = _places([assignment.target], catalogue)
        chosen = " (client's)" if assignment.takes_client_values else ""
        lines.append(f"set {target}: {_value(assignment.value, catalogue)}{chosen}")
    if flow.stored_arguments is not None:
        lines.append(f"stored: {_value(flow.stored_arguments, catalogue)}")
    if flow.code:
        lines.append(f"code: {' '.join(sorted(flow.code))}")
    for name, relations in (("reads", flow.relations), ("writes", flow.written)):
        names = sorted(catalogue.relations[number].name for number in relations)
        if names and not (name == "reads" and len(names) > 5):
            lines.append(f"{name}: {' '.join(names)}")
    return lines


def flows() -> Iterator[tuple[str, list[str]]]:
    """The data flows that are right, as they are written down: each statement and the lines about it."""
    for block in FLOWS.read_text().split("\n\n"):
        text, *lines = block.strip().split("\n")
        yield text, lines


def _value(value: ValueFlow, catalogue: Catalogue) -> str:
    kind = f"{value.kind} {value.function}" if value.function else str(value.kind)
    places = _places(value.sources, catalogue)
    return " ".join([kind, *(places if len(places) < 8 else [*places[:7], "…"]), *(f"by {name}" for name in sorted(value.code))])


def _places(places: Iterable[Place], catalogue: Catalogue) -> list[str]:
    found = []
    for relation, number in places:
        known = catalogue.relations[relation]
        found.append(f"{known.name}.{known.columns[number].name if number else '*'}")
    return sorted(found)
