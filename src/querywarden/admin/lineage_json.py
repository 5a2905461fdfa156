"""The lineage as JSON, in the shape that `docs/reference/lineage.md` describes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from querywarden.admin.lineage import LineageReport
from querywarden.admin.lineage_places import Origin
from querywarden.admin.lineage_report import ColumnReport, StatementReport, WriteReport
from querywarden.admin.lineage_rulings import Ruling
from querywarden.admin.policy import decision_as_json


def as_json(found: LineageReport) -> dict[str, Any]:
    """A lineage as plain data."""
    return {
        "database": found.database,
        "principal": found.principal,
        "role": found.role,
        "generation": found.generation,
        "statements": [_statement(each) for each in found.statements],
    }


def _statement(found: StatementReport) -> dict[str, Any]:
    return {
        "verb": found.verb,
        "is_understood": found.is_understood,
        "gap": None if found.gap is None else asdict(found.gap),
        "rejection": found.rejection,
        "decision": decision_as_json(found.decision),
        "wants_estimate": found.wants_estimate,
        "access": None if found.access is None else decision_as_json(found.access),
        "columns": None if found.columns is None else [_column(each) for each in found.columns],
        "conditions": [
            {
                "kind": each.kind,
                "columns": [_origin(origin) for origin in each.columns],
                "functions": list(each.functions),
                "ruling": _ruling(each.ruling),
            }
            for each in found.conditions
        ],
        "writes": [_write(each) for each in found.writes],
        "functions": list(found.functions),
        "reads": list(found.reads),
        "changes": list(found.changes),
    }


def _column(found: ColumnReport) -> dict[str, Any]:
    return {
        "name": found.name,
        "type": found.type_name,
        "kind": found.kind,
        "made_of": [_origin(each) for each in found.made_of],
        "functions": list(found.functions),
        "treatment": found.treatment,
        "operator": found.operator,
        "class": found.data_class,
        "why": found.why,
    }


def _write(found: WriteReport) -> dict[str, Any]:
    return {
        "target": None if found.target is None else _origin(found.target),
        "kind": found.kind,
        "made_of": [_origin(each) for each in found.made_of],
        "functions": list(found.functions),
        "takes_client_values": found.takes_client_values,
        "ruling": _ruling(found.ruling),
    }


def _origin(found: Origin) -> dict[str, Any]:
    return {"column": found.column, "classes": list(found.classes), "shown": found.is_shown}


def _ruling(found: Ruling) -> dict[str, Any]:
    return {"outcome": found.outcome, "rule": found.rule}
