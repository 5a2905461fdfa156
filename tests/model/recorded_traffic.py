"""Statements as tools send them, recorded in files, and the objects of a database that they are about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parents[1] / "data" / "traffic"
SCHEMA = (FOLDER / "schema.sql").read_text()

_OBJECTS = {
    "database": "SELECT oid FROM pg_database WHERE datname = current_database()",
    "schema": "SELECT 'public'::regnamespace::oid",
    "table": "SELECT 'customers'::regclass::oid",
    "other_table": "SELECT 'orders'::regclass::oid",
    "view": "SELECT 'buyers'::regclass::oid",
    "matview": "SELECT 'totals'::regclass::oid",
    "sequence": "SELECT 'tickets'::regclass::oid",
    "index": "SELECT 'orders_by_state'::regclass::oid",
    "function": "SELECT 'doubled'::regproc::oid",
    "trigger_function": "SELECT 'stamp'::regproc::oid",
    "constraint": "SELECT oid FROM pg_constraint WHERE conrelid = 'customers'::regclass AND contype = 'p'",
    "foreign_key": "SELECT oid FROM pg_constraint WHERE conrelid = 'orders'::regclass AND contype = 'f'",
    "check": "SELECT oid FROM pg_constraint WHERE conname = 'loyalty_positive'",
    "trigger": "SELECT oid FROM pg_trigger WHERE tgname = 'stamped'",
    "type": "SELECT 'stage'::regtype::oid",
    "domain": "SELECT 'positive'::regtype::oid",
    "role": "SELECT current_user::regrole::oid",
}
_PLACE = re.compile(r"\{(" + "|".join(_OBJECTS) + r")\}")


@dataclass(frozen=True)
class Recorded:
    """A statement of a tool. `versions`: the servers it is sent to; `varies`: its rows differ from one run to the next."""

    tool: str
    origin: str
    text: str
    versions: tuple[int, ...]
    varies: bool

    def with_objects(self, ids: Mapping[str, str]) -> str:
        """The statement with the ids of a database in place of `{table}` and the like."""
        return _PLACE.sub(lambda found: ids[found.group(1)], self.text)


def recorded(tool: str) -> Iterator[Recorded]:
    """The statements of a tool's file, in order."""
    for entry in yaml.safe_load((FOLDER / f"{tool}.yaml").read_text())["statements"]:
        yield Recorded(tool, entry.get("from", ""), entry["sql"], tuple(entry.get("versions", (15, 16, 18))), entry.get("varies", False))


def tools() -> list[str]:
    """The tools whose statements are recorded."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def objects() -> Mapping[str, str]:
    """For each name that may stand in a statement, the query for its id."""
    return _OBJECTS
