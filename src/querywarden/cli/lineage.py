"""`querywarden lineage`: what would be masked in a statement's result, and why. No row is read."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from querywarden.admin.lineage import Asker, LineageReport, NameSpace, lineage
from querywarden.admin.lineage_json import as_json
from querywarden.cli.lineage_lines import print_lineage
from querywarden.cli.serve import DEFAULT_CONFIG_FILE, ConfigFile
from querywarden.config.loading import load_config
from querywarden.errors import ConfigurationError
from querywarden.model.principal import Actor, Principal, PrincipalKind

TEXT_BYTES_MAX = 16 * 1024 * 1024
_WIDE = 400


def run_lineage(
    statement: Annotated[str | None, typer.Argument(metavar="[STATEMENT]", help="The SQL text; - reads it from stdin.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the SQL text from a file.")] = None,
    database: Annotated[str | None, typer.Option("--database", "-d", help="A configured database; not needed if there is one.")] = None,
    principal: Annotated[str, typer.Option("--as", help="The subject of the principal.")] = "someone",
    group: Annotated[list[str] | None, typer.Option(help="A group of the principal; may be given again.")] = None,
    groups: Annotated[str, typer.Option(help="Groups of the principal, with commas between.")] = "",
    kind: Annotated[PrincipalKind, typer.Option(help="What the principal is.")] = PrincipalKind.HUMAN,
    actor: Annotated[str | None, typer.Option(help="Who acts for the principal, by delegation.")] = None,
    search_path: Annotated[str | None, typer.Option(help="The search path, if not that of a fresh session.")] = None,
    role: Annotated[str | None, typer.Option(help="The role that the session has taken by SET ROLE.")] = None,
    config_file: ConfigFile = DEFAULT_CONFIG_FILE,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what each column of a statement's result is made of, and what would be masked and why. The statement isn't run.

    Exit code 1 when the server can't be asked, or doesn't accept the statement.
    """
    named = frozenset([*(group or []), *(name.strip() for name in groups.split(",") if name.strip())])
    actors = (Actor(actor, "lineage"),) if actor is not None else ()
    who = Principal(principal, "lineage", kind, named, actors=actors)
    text = _text(statement, file)
    found = asyncio.run(lineage(load_config(config_file), database, text, Asker(who, time.time()), NameSpace(search_path, role)))
    _print(found, as_data)
    if any(each.rejection is not None for each in found.statements):
        raise typer.Exit(1)


def _print(found: LineageReport, as_data: bool) -> None:
    if as_data:
        typer.echo(json.dumps(as_json(found), indent=2, ensure_ascii=True))
        return
    # Whoever pipes the table into a file or a search wants each column on one line.
    width = None if sys.stdout.isatty() else _WIDE
    print_lineage(Console(highlight=False, markup=False, emoji=False, soft_wrap=width is not None, width=width), found)


def _text(statement: str | None, file: Path | None) -> bytes:
    """The text to look at, from wherever it is. Raises: ConfigurationError."""
    if (statement is None) == (file is None):
        raise ConfigurationError("which statement?", hint="give its text, - for stdin, or --file FILE")
    if file is not None:
        try:
            with file.open("rb") as source:
                text = source.read(TEXT_BYTES_MAX + 1)
        except OSError as error:
            raise ConfigurationError(f"the file can't be read: {error.strerror}", str(file)) from None
    elif statement == "-":
        text = sys.stdin.buffer.read(TEXT_BYTES_MAX + 1)
    else:
        text = (statement or "").encode("utf-8", "surrogateescape")
    if len(text) > TEXT_BYTES_MAX:
        raise ConfigurationError(f"the text is longer than {TEXT_BYTES_MAX} bytes")
    return text
