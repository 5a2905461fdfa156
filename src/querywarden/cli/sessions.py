"""`querywarden sessions`: list and end sessions, by way of the control store: this works when the proxy's API doesn't."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from querywarden.admin import sessions
from querywarden.admin.tokens import open_store
from querywarden.cli.proxy_api import DEFAULT_CONFIG, ConfigOption, JsonOption, told_errors
from querywarden.cli.request_texts import console, moment, print_json, shown, table_of
from querywarden.config.loading import load_section
from querywarden.config.models import ControlSettings

app = typer.Typer(help="Open sessions of all proxies that share the control store.", no_args_is_help=True)


@app.command("list")
def list_(as_json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List open sessions."""
    with told_errors(), open_store(load_section(config, "control", ControlSettings)) as store:
        found = sessions.list_sessions(store)
    if as_json:
        print_json([asdict(each) for each in found])
    elif not found:
        typer.echo("There are no open sessions.", err=True)
    else:
        table = table_of(("ID", "PRINCIPAL", "KIND", "DATABASE", "FROM", "APPLICATION", "SINCE", "PROXY", "STATE"))
        for each in found:
            state = "ending" if each.is_ending else "open"
            cells = (each.id, each.principal, each.kind, each.database, each.client_ip, each.application)
            table.add_row(*(shown(cell) for cell in cells), moment(each.opened_at), shown(each.instance), state)
        console().print(table)


@app.command("kill")
def kill(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Sessions, as `sessions list` shows them.")] = None,
    principal: Annotated[str | None, typer.Option(help="All sessions of this subject, also where it acts for others.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Its issuer; default: the subject of any issuer.")] = None,
    database: Annotated[str | None, typer.Option(help="All sessions of this database; with --principal, of both.")] = None,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the log.")] = "",
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """End sessions within a second; what they run is cancelled at the server."""
    if not ids and principal is None and database is None:
        raise typer.BadParameter("name a session, a --principal or a --database")
    with told_errors(), open_store(load_section(config, "control", ControlSettings)) as store:
        killed = sessions.kill_sessions(
            store, sessions.operating_system_user(), reason, session_ids=ids or None, subject=principal, issuer=issuer, database=database
        )
    if as_json:
        print_json([asdict(each) for each in killed])
        return
    for each in killed:
        typer.echo(f"Session {shown(each.id)} of {shown(each.principal)} on {shown(each.database)} is being ended.")
