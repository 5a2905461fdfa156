"""Lineage as a table and lines that people read; whatever could act on a terminal is shown as its code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from querywarden.admin.lineage import LineageReport
from querywarden.admin.lineage_places import Origin
from querywarden.admin.lineage_report import ColumnReport, ConditionReport, StatementReport, WriteReport
from querywarden.admin.lineage_rulings import Ruling
from querywarden.cli.audit_lines import visible
from querywarden.cli.policy_lines import COLOURS
from querywarden.model.decision import Allow
from querywarden.policy.explain import outcome_of

_TREATMENTS = {"shown": "green", "stored": "default"}
_KINDS = {
    "equality": "compared by equality",
    "join": "joined by equality",
    "null_test": "tested for NULL",
    "comparison": "compared, searched or computed with",
    "order": "ordered by",
    "group": "grouped by",
}


def print_lineage(console: Console, found: LineageReport) -> None:
    """The lineage of all statements of a text."""
    if not found.statements:
        console.print("The text holds no statement.")
    for number, statement in enumerate(found.statements, 1):
        if len(found.statements) > 1:
            console.print(Text(f"Statement {number}", "bold"))
        _print_statement(console, statement)
    console.print(Text(visible(f"as {found.principal} on {found.database}, by the role {found.role}"), "dim"))


def _print_statement(console: Console, found: StatementReport) -> None:
    if found.access is not None:
        console.print(Text(visible(f"The principal may not connect: {found.access.sentence}"), "red"))
    if found.rejection is not None:
        console.print(Text(visible(f"The server doesn't accept the statement: {found.rejection}"), "red"))
    if found.gap is not None:
        console.print(Text(found.gap.sentence, "yellow"))
        if found.gap.remedy:
            console.print(Text(visible(f"  → {found.gap.remedy}"), "dim"))
    if found.columns:
        console.print(_table(found.columns))
    for line in _lines(found):
        console.print(line)
    _print_decision(console, found)


def _print_decision(console: Console, found: StatementReport) -> None:
    decision = found.decision
    outcome = outcome_of(decision)
    console.print(Text.assemble((outcome.upper(), f"bold {COLOURS[outcome]}"), visible(f"  by {decision.rule}")))
    if not isinstance(decision, Allow):
        console.print(Text(visible(f"  {decision.sentence}")))
        console.print(Text(visible(f"  {decision.hint}")))
    if found.wants_estimate:
        console.print(Text("  The proxy would ask the server for an estimate of the rows first, which could change this.", "yellow"))


def _table(columns: Sequence[ColumnReport]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("column", "type", "made of", "kind", "class", "result", "why"):
        table.add_column(heading, overflow="fold")
    for each in columns:
        made_of = ", ".join([origin.column for origin in each.made_of] + [f"{name}()" for name in each.functions])
        cells = (each.name, each.type_name, made_of or "-", each.kind or "?", each.data_class or "-")
        treatment = Text(_treatment(each), _TREATMENTS.get(each.treatment, "yellow"))
        table.add_row(*(Text(visible(cell)) for cell in cells), treatment, Text(visible(each.why)))
    return table


def _treatment(column: ColumnReport) -> str:
    match column.treatment:
        case "masked":
            return f"masked by {column.operator}"
        case "constant":
            return "a constant"
        case "null":
            return "NULL"
        case other:
            return other


def _lines(found: StatementReport) -> Iterator[Text]:
    for condition in found.conditions:
        yield Text.assemble(visible(_condition(condition)), ": ", _ruling(condition.ruling))
    for write in found.writes:
        yield Text.assemble(visible(_write(write)), ": ", _ruling(write.ruling))
    if found.functions:
        yield Text(visible(f"functions that aren't followed: {', '.join(found.functions)}"), "yellow")
    for heading, names in (("reads", found.reads), ("changes", found.changes)):
        if names:
            yield Text(visible(f"{heading} {', '.join(names)}"))


def _condition(found: ConditionReport) -> str:
    return f"{_KINDS.get(found.kind, found.kind)} {_named(found.columns, found.functions)}"


def _write(found: WriteReport) -> str:
    target = "what a function keeps" if found.target is None else f"{found.target.column}{_classes(found.target)}"
    source = _named(found.made_of, found.functions) or ("the client's values" if found.takes_client_values else "no column")
    return f"writes {target} from {source}" + (f" ({found.kind})" if found.made_of else "")


def _named(columns: Sequence[Origin], functions: Sequence[str]) -> str:
    return ", ".join([f"{each.column}{_classes(each)}" for each in columns] + [f"{name}()" for name in functions])


def _classes(origin: Origin) -> str:
    return f" [{', '.join(origin.classes)}]" if origin.classes else ""


def _ruling(found: Ruling) -> tuple[str, str]:
    if found.rule is None:
        return found.outcome, "green"
    return f"{found.outcome} by {found.rule}", COLOURS.get(found.outcome, "yellow")
