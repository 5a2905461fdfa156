"""`querywarden policy`: check a file, explain what it makes of a statement, test it with cases, replay the log. No server is needed."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from querywarden.admin.policy import as_json, explain_text, read_policy, summarise
from querywarden.admin.policy_cases import as_moment
from querywarden.admin.policy_catalogue import read_catalogue
from querywarden.admin.policy_simulation import days_of, simulate
from querywarden.admin.policy_test import run_cases
from querywarden.cli.audit_lines import visible
from querywarden.cli.policy_lines import print_explanation, print_results, print_simulation, print_summary
from querywarden.config.loading import load_section
from querywarden.config.models import AuditSettings, PolicySettings
from querywarden.errors import ConfigurationError
from querywarden.model.decision import Estimate
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment

app = typer.Typer(no_args_is_help=True, help="Check, explain, test and simulate policies, on files alone.")

PolicyArgument = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The policy file; left out: the built-in baseline alone.")]
PolicyOption = Annotated[Path | None, typer.Option("--policy", "-p", help="The policy file.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", envvar="QUERYWARDEN_CONFIG", help="The configuration file.")]
CatalogueOption = Annotated[Path | None, typer.Option(help="A YAML file of schema.relation: {column: class or null}.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def check(
    file: PolicyArgument = None,
    every_rule: Annotated[bool, typer.Option("--all", help="Show also the built-in rules beside those of the file.")] = False,
    as_data: JsonOption = False,
) -> None:
    """Check a policy file and print what it says. Exit code 1 and file:line when it is wrong."""
    try:
        summary = summarise(read_policy(file))
    except ConfigurationError as error:
        raise _failed(error) from None
    if as_data:
        typer.echo(json.dumps(asdict(summary), indent=2))
        return
    print_summary(_console(), summary, file is not None, every_rule)


@app.command("explain")
def run_explanation(
    statement: Annotated[str, typer.Option("--statement", "-s", help="The SQL text; it may hold several statements.")],
    file: PolicyArgument = None,
    principal: Annotated[str, typer.Option(help="The subject of the principal.")] = "someone",
    group: Annotated[list[str] | None, typer.Option(help="A group of the principal; may be given again.")] = None,
    groups: Annotated[str, typer.Option(help="Groups of the principal, with commas between.")] = "",
    kind: Annotated[PrincipalKind, typer.Option(help="What the principal is.")] = PrincipalKind.HUMAN,
    actor: Annotated[str | None, typer.Option(help="Who acts for the principal, by delegation.")] = None,
    database: Annotated[str, typer.Option(help="The name of the database.")] = "database",
    environment: Annotated[Environment, typer.Option(help="The environment of the database.")] = Environment.PRODUCTION,
    rows: Annotated[str | None, typer.Option(help="The rows that the server's planner expects: a number, or unknown.")] = None,
    at: Annotated[str | None, typer.Option(help="The time, as 2026-12-24T10:00+01:00; left out: now.")] = None,
    catalogue: CatalogueOption = None,
    every_rule: Annotated[bool, typer.Option("--all", help="Show also the rules that don't match.")] = False,
    as_data: JsonOption = False,
) -> None:
    """Explain what a policy decides on a statement: which rules match, and which one decides."""
    named = frozenset([*(group or []), *(name.strip() for name in groups.split(",") if name.strip())])
    actors = (Actor(actor, "policy explain"),) if actor is not None else ()
    who = Principal(principal, "policy explain", kind, named, actors=actors)
    where = Database(database, environment)
    try:
        estimate, now = _estimate(rows), _moment(at)
        policy = read_policy(file)
        known = read_catalogue(catalogue, policy, where)
    except ConfigurationError as error:
        raise _failed(error) from None
    explanations = explain_text(policy, statement, who, where, known, estimate, now)
    if as_data:
        typer.echo(json.dumps([as_json(explanation) for explanation in explanations], indent=2))
        return
    console = _console()
    if not explanations:
        console.print("The text holds no statement.")
    for explanation in explanations:
        print_explanation(console, explanation, every_rule)
    if catalogue is None:
        console.print(Text("Without --catalogue no column counts as classified, and no function as the database's own.", "dim"))


@app.command("test")
def run_test(
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="The file of cases.")],
    policy: PolicyOption = None,
    config: ConfigOption = None,
    as_data: JsonOption = False,
) -> None:
    """Decide the cases of a file and compare. Exit code 1 when one comes out otherwise, or a file is wrong.

    The policy is that of --policy, else the one that the cases' file names, else that of the configuration, else the baseline.
    """
    try:
        results = run_cases(cases, policy, _policy_of(config), time.time())
    except ConfigurationError as error:
        raise _failed(error) from None
    if as_data:
        typer.echo(json.dumps([result.as_json() for result in results], indent=2))
    else:
        print_results(_console(), results)
    if not all(result.passed for result in results):
        raise typer.Exit(1)


@app.command("simulate")
def run_simulation(
    policy: Annotated[Path, typer.Option("--policy", "-p", help="The changed policy file.")],
    days: Annotated[str, typer.Option(help="How far back: days, or an age such as 12h or 2w.")] = "7",
    log: Annotated[Path | None, typer.Option(help="The log's directory (a copy will do); else the configuration's.")] = None,
    config: ConfigOption = None,
    catalogue: CatalogueOption = None,
    every_change: Annotated[bool, typer.Option("--all", help="Show all kinds of changes.")] = False,
    as_data: JsonOption = False,
) -> None:
    """Decide the statements of the log's last days again by a changed policy, and show which decisions would differ."""
    try:
        span = days_of(days)
        found = simulate(read_policy(policy), _log_of(log, config), span, datetime.now(UTC), catalogue)
    except ConfigurationError as error:
        raise _failed(error) from None
    except OSError as error:
        raise _failed(ConfigurationError(f"the log can't be read: {error.strerror}", str(error.filename))) from None
    if as_data:
        typer.echo(json.dumps(found.as_json(), indent=2))
        return
    print_simulation(_console(), found, every_change)


def _console() -> Console:
    """A console that wraps at a terminal's edge alone, so that what is piped on stays whole."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())


def _failed(error: ConfigurationError) -> typer.Exit:
    typer.echo(visible(str(error)), err=True)
    return typer.Exit(1)


def _policy_of(config: Path | None) -> Path | None:
    """The policy file of a configuration, if it has one."""
    return None if config is None else load_section(config, "policy", PolicySettings).file


def _log_of(log: Path | None, config: Path | None) -> Path:
    if log is not None:
        return log
    if config is None:
        raise ConfigurationError("which log?", hint="give its directory with --log, or a configuration file with -c")
    return Path(load_section(config, "audit", AuditSettings).directory)


def _estimate(rows: str | None) -> Estimate | None:
    if rows is None:
        return None
    if rows == "unknown":
        return Estimate(None)
    if not rows.isascii() or not rows.isdigit():
        raise ConfigurationError(f"not a number of rows: {rows!r}", hint="--rows 5000, or --rows unknown where the planner can't say")
    return Estimate(int(rows))


def _moment(at: str | None) -> float:
    if at is None:
        return time.time()
    try:
        return float(as_moment(at).timestamp())
    except ValueError:
        raise ConfigurationError(f"not a time: {at!r}", hint="--at 2026-12-24T10:00+01:00; without a zone it is UTC") from None
