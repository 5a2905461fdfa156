"""`querywarden audit`: read the log on a terminal, follow it, and verify it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from querywarden.admin.audit import UNKNOWN_OUTCOMES_SHOWN, NoLog, Verification, verify_log
from querywarden.admin.audit_tail import FILTER_KEYS, Entry, Filter, LogReader
from querywarden.cli.audit_lines import render, visible, visible_json
from querywarden.config.loading import load_section
from querywarden.config.models import AuditSettings
from querywarden.errors import ConfigurationError
from querywarden.storage.journal_layout import read_identity, segments

app = typer.Typer(help="The log: read it, follow it, verify it.", no_args_is_help=True)

POLL_SECONDS = 0.2
EXIT_BAD = 1
EXIT_USAGE = 2

_Directory = Annotated[Path | None, typer.Argument(help="The log's directory (a copy will do); else the configuration's.")]
_Config = Annotated[Path | None, typer.Option("--config", "-c", envvar="QUERYWARDEN_CONFIG", help="The configuration file.")]


@app.command("tail")
def tail(
    directory: _Directory = None,
    config: _Config = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is appended, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many records from the end.")] = 20,
    filter: Annotated[
        list[str] | None, typer.Option("--filter", help=f"key=value, may be repeated; keys: {', '.join(FILTER_KEYS)}; * and ? match.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the stored lines.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Don't cut lines at the terminal's width.")] = False,
) -> None:
    """Print the last records, readable or as JSON."""
    with _told_errors():
        place = _place(directory, config)
        wanted = Filter(filter or [], datetime.now(UTC))
        _require_log(place)
        printer = _Printer(as_json, full)
        reader = LogReader(place, wanted)
        try:
            printer.print(reader.last(lines))
            while follow:
                time.sleep(POLL_SECONDS)
                printer.print(reader.poll())
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


@app.command("verify")
def verify(
    directory: _Directory = None,
    config: _Config = None,
    live: Annotated[bool, typer.Option("--live", help="A writer is at work: part of a line at the end is no fault.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Recompute the whole log; name the first byte that is wrong. Exit code: 0 good, 1 bad, 2 nothing to verify."""
    with _told_errors():
        result = verify_log(_place(directory, config), is_live=live)
    if as_json:
        typer.echo(json.dumps(result.as_json(), indent=2))
    else:
        _print_verification(result)
    raise typer.Exit(0 if result.is_good else EXIT_BAD)


class _Printer:
    """Prints entries as they come: stored lines, or readable ones with a line for each new day."""

    def __init__(self, as_json: bool, full: bool) -> None:
        self._as_json = as_json
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._is_cut = self._console.is_terminal and not full
        self._day = ""

    def print(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if self._as_json:
                self._stored(entry.line)
                continue
            day = str((entry.record or {}).get("t", self._day))[:10]
            if day != self._day:
                self._day = day
                self._console.print(f"── {visible(day)} (UTC)", style="dim")
            text = render(entry)
            if self._is_cut:
                self._console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
            else:
                self._console.print(text, soft_wrap=True)
        sys.stdout.flush()

    def _stored(self, line: bytes) -> None:
        if sys.stdout.isatty():
            typer.echo(visible_json(line))
        else:
            typer.echo(line)  # byte for byte, so that it can be hashed


def _place(directory: Path | None, config: Path | None) -> Path:
    if directory is not None:
        return directory
    if config is None:
        raise ConfigurationError("which log?", hint="give its directory, or a configuration file with -c")
    return Path(load_section(config, "audit", AuditSettings).directory)


def _require_log(directory: Path) -> None:
    if not directory.is_dir():
        raise NoLog("there is no such directory", str(directory))
    if not segments(directory) and read_identity(directory) is None:
        raise NoLog("there is no log in this directory", str(directory), hint="give the directory that holds log.json and seg/")


@contextmanager
def _told_errors() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        typer.echo(f"error: {visible(str(error))}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        typer.echo(f"error: the log can't be read: {error.strerror}: {visible(str(error.filename))}", err=True)
        raise typer.Exit(EXIT_USAGE) from None


def _print_verification(result: Verification) -> None:
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    tally, finding = result.tally, result.finding
    if finding is None:
        console.print(f"GOOD  {tally.records} records in {tally.segments} segment(s), {tally.size} bytes", style="bold green")
    else:
        console.print(f"BAD  {finding.file}, line {finding.line}, byte {finding.offset}: {visible(finding.what)}", style="bold red")
        if finding.expected is not None:
            console.print(f"  expected  {visible(finding.expected)}")
        if finding.found is not None:
            console.print(f"  found     {visible(finding.found)}")
        console.print(f"  {tally.records} records before it are good")
    console.print(f"  log       {visible(result.origin)}")
    if tally.records:
        console.print(f"  from      {tally.first_time}  to  {tally.last_time}")
        console.print(f"  head      {tally.records} {result.head}")
    for note in result.notes:
        console.print(f"  note      {visible(note)}")
    for name, seq in list(tally.open_statements.items())[:UNKNOWN_OUTCOMES_SHOWN]:
        console.print(f"            outcome unknown: {name} (record {seq})")
    if len(tally.open_statements) > UNKNOWN_OUTCOMES_SHOWN:
        console.print(f"            … and {len(tally.open_statements) - UNKNOWN_OUTCOMES_SHOWN} more; --json lists all")
