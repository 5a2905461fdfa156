"""`querywarden catalogue`: how the columns of a database are classified, and why."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from querywarden.admin.catalogue import CatalogueEntry, entries, read_catalogue
from querywarden.cli.audit_lines import visible
from querywarden.cli.serve import DEFAULT_CONFIG_FILE, ConfigFile
from querywarden.config.loading import load_config

_WIDE = 400


def catalogue(
    database: Annotated[str | None, typer.Argument(help="A configured database; not needed where there is only one.")] = None,
    config_file: ConfigFile = DEFAULT_CONFIG_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show unclassified columns too, and the server's own relations.")] = False,
) -> None:
    """Show which columns hold personal data or secrets: relation, column, type, class, where the class comes from, and why."""
    name, found = asyncio.run(read_catalogue(load_config(config_file), database))
    shown = list(entries(found, everything=everything))
    if as_json:
        columns = [asdict(entry) for entry in shown]
        typer.echo(json.dumps({"database": name, "generation": found.generation, "columns": columns}, indent=2, ensure_ascii=True))
        return
    # Whoever pipes the table into a file or a search wants each column on one line.
    Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE).print(_table(shown))
    relations = len({entry.relation for entry in shown})
    typer.echo(f"{name}: {len(shown)} {'columns' if everything else 'classified columns'} in {relations} relations")


def _table(shown: list[CatalogueEntry]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("relation", "column", "type", "class", "source", "reason"):
        table.add_column(heading, overflow="fold")
    for entry in shown:
        cells = (entry.relation, entry.column, entry.type_name, entry.data_class or "-", entry.source or "", entry.reason or "")
        table.add_row(*(Text(visible(cell)) for cell in cells))
    return table
