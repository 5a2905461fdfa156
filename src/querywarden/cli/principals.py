"""`querywarden principals`: block and unblock principals, by way of the control store: this works when the proxy's API doesn't."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from querywarden.admin import sessions
from querywarden.admin.durations import seconds_of
from querywarden.admin.tokens import open_store
from querywarden.cli.proxy_api import DEFAULT_CONFIG, ConfigOption, JsonOption, told_errors
from querywarden.cli.request_texts import console, moment, print_json, shown, table_of
from querywarden.config.loading import load_section
from querywarden.config.models import ControlSettings

app = typer.Typer(help="Blocked principals: they can't log in, and their sessions end.", no_args_is_help=True)

SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help="The principal's subject, as sessions and the log show it.")]
IssuerOption = Annotated[str | None, typer.Option(help="Its issuer; default: the subject of any issuer.")]


@app.command("block")
def block(
    subject: SubjectArgument,
    issuer: IssuerOption = None,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the log.")] = "",
    valid_for: Annotated[str | None, typer.Option("--for", help="For how long: 30m, 8h, 2d. Default: until it is unblocked.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Block a principal, also where it acts for others: no login, and its sessions end within a second."""
    with told_errors(), open_store(load_section(config, "control", ControlSettings)) as store:
        seconds = None if valid_for is None else seconds_of(valid_for)
        sessions.block_principal(store, subject, issuer, sessions.operating_system_user(), reason, seconds)
    typer.echo(f"{shown(subject)} is blocked.")


@app.command("unblock")
def unblock(subject: SubjectArgument, issuer: IssuerOption = None, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let a blocked principal in again."""
    with told_errors(), open_store(load_section(config, "control", ControlSettings)) as store:
        sessions.unblock_principal(store, subject, issuer, sessions.operating_system_user())
    typer.echo(f"{shown(subject)} is no longer blocked.")


@app.command("list")
def list_(as_json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List blocked principals."""
    with told_errors(), open_store(load_section(config, "control", ControlSettings)) as store:
        found = sessions.list_blocks(store)
    if as_json:
        print_json([asdict(each) for each in found])
    elif not found:
        typer.echo("Nobody is blocked.", err=True)
    else:
        table = table_of(("SUBJECT", "ISSUER", "BY", "SINCE", "UNTIL", "REASON"))
        for each in found:
            until = "unblocked" if each.until is None else moment(each.until)
            table.add_row(shown(each.subject), shown(each.issuer, "any"), shown(each.by), moment(each.at), until, shown(each.reason))
        console().print(table)
