"""`querywarden policy`: check a policy file, explain what it makes of a statement. No server is needed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from querywarden.admin.policy import RuleSummary, as_json, explain_text, read_catalogue, read_policy, summarise
from querywarden.errors import ConfigurationError
from querywarden.model.decision import Allow, Decision
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.policy.explain import Explanation, PartExplanation, outcome_of

app = typer.Typer(no_args_is_help=True, help="Check and explain policies, on files alone.")

_COLOURS = {"allow": "green", "hold": "yellow", "deny": "red"}

PolicyArgument = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The policy file; left out: the built-in baseline alone.")]
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
    console = Console()
    console.print(Text.assemble((summary.name, "bold"), f"  version {summary.version[:12]}"))
    is_file = file is not None
    for rule in summary.rules:
        if every_rule or not (is_file and rule.is_built_in):
            _print_rule(console, rule)
    if is_file and not every_rule:
        console.print(Text(f"and {sum(rule.is_built_in for rule in summary.rules)} built-in rules (--all shows them)", "dim"))
    for heading, entries in (
        ("access", summary.access or ("every verified principal, every database",)),
        ("reveal", summary.reveals or ("nothing: every class is masked for everyone",)),
        ("columns", summary.columns),
        ("limits", summary.limits),
    ):
        for entry in entries:
            console.print(Text(f"{heading}  {entry}"))


@app.command("explain")
def explain_command(
    statement: Annotated[str, typer.Option("--statement", "-s", help="The SQL text; it may hold several statements.")],
    file: PolicyArgument = None,
    principal: Annotated[str, typer.Option(help="The subject of the principal.")] = "someone",
    group: Annotated[list[str] | None, typer.Option(help="A group of the principal; may be given again.")] = None,
    groups: Annotated[str, typer.Option(help="Groups of the principal, with commas between.")] = "",
    kind: Annotated[PrincipalKind, typer.Option(help="What the principal is.")] = PrincipalKind.HUMAN,
    actor: Annotated[str | None, typer.Option(help="Who acts for the principal, by delegation.")] = None,
    database: Annotated[str, typer.Option(help="The name of the database.")] = "database",
    environment: Annotated[Environment, typer.Option(help="The environment of the database.")] = Environment.PRODUCTION,
    catalogue: Annotated[Path | None, typer.Option(help="A YAML file of schema.relation: {column: class or null}.")] = None,
    every_rule: Annotated[bool, typer.Option("--all", help="Show also the rules that don't match.")] = False,
    as_data: JsonOption = False,
) -> None:
    """Explain what a policy decides on a statement: which rules match, and which one decides."""
    named = frozenset([*(group or []), *(name.strip() for name in groups.split(",") if name.strip())])
    actors = (Actor(actor, "policy explain"),) if actor is not None else ()
    who = Principal(principal, "policy explain", kind, named, actors=actors)
    where = Database(database, environment)
    try:
        policy = read_policy(file)
        known = read_catalogue(catalogue, policy, where)
    except ConfigurationError as error:
        raise _failed(error) from None
    explanations = explain_text(policy, statement, who, where, known)
    if as_data:
        typer.echo(json.dumps([as_json(explanation) for explanation in explanations], indent=2))
        return
    console = Console()
    if not explanations:
        console.print("The text holds no statement.")
    for explanation in explanations:
        _print_explanation(console, explanation, every_rule)
    if catalogue is None:
        console.print(Text("Without --catalogue no column counts as classified, and no function as the database's own.", "dim"))


def _print_rule(console: Console, rule: RuleSummary) -> None:
    console.print(Text.assemble((f"{rule.effect:5} ", _COLOURS[rule.effect]), (rule.id, "bold"), f"  {rule.who}, {rule.where}"))
    console.print(Text(f"      {rule.what}"))
    if rule.overrides:
        console.print(Text(f"      overrides {', '.join(rule.overrides)}"))


def _failed(error: ConfigurationError) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(1)


def _print_explanation(console: Console, explanation: Explanation, every_rule: bool) -> None:
    if explanation.access is not None:
        console.print(Text(f"The principal may not connect: {explanation.access.sentence}", "red"))
    _print_decision(console, explanation.decision)
    for part in explanation.parts:
        _print_part(console, part, every_rule)


def _print_decision(console: Console, decision: Decision) -> None:
    outcome = outcome_of(decision)
    console.print(Text.assemble((outcome.upper(), f"bold {_COLOURS[outcome]}"), f"  by {decision.rule}"))
    if isinstance(decision, Allow):
        reveal = decision.reveal
        shown = "everything" if reveal.everything else ", ".join([*sorted(reveal.classes), *sorted(reveal.columns)])
        console.print(Text(f"  unmasked: {shown or 'no classified column'}"))
        if decision.rows_max is not None:
            console.print(Text(f"  at most {decision.rows_max} rows"))
    else:
        console.print(Text(f"  {decision.sentence}\n  {decision.hint}"))


def _print_part(console: Console, part: PartExplanation, every_rule: bool) -> None:
    console.print(Text(f"\n  {part.verb}", "bold"))
    for heading, values in (
        ("properties", part.properties),
        ("reads", part.reads),
        ("writes", part.writes),
        ("functions", part.functions),
    ):
        if values:
            console.print(Text(f"    {heading}: {', '.join(values)}"))
    for step in part.steps:
        if every_rule or step.outcome != "does not match":
            console.print(Text.assemble("    ", (step.effect, _COLOURS[step.effect]), f" {step.rule}: {step.outcome}; {step.why}"))
