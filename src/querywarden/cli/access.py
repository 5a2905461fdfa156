"""`querywarden access`: ask for a group or a database for a time, and see or end what is in force, through the proxy's API."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from querywarden.cli.proxy_api import (
    DEFAULT_CONFIG,
    CaOption,
    ConfigOption,
    JsonOption,
    SocketOption,
    TokenDatabaseOption,
    TokenFileOption,
    UrlOption,
    api_client,
    told_errors,
)
from querywarden.cli.request_texts import access_line, asked_line, console, print_json, shown, table_of

app = typer.Typer(help="Access for a time: ask for it, and see who has it.", no_args_is_help=True)


@app.command("request")
def request(
    valid_for: Annotated[str, typer.Option("--for", help="For how long, from the approval on: 30m, 8h, 2d.")],
    group: Annotated[str | None, typer.Option(help="The group to be in.")] = None,
    database: Annotated[str | None, typer.Option(help="The database to reach.")] = None,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; approvers see it.")] = "",
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    token_file: TokenFileOption = None,
    token_database: TokenDatabaseOption = None,
) -> None:
    """Ask for membership in a group, or for a database, as far as the policy lets you ask."""
    if group is None and database is None:
        raise typer.BadParameter("name a --group or a --database")
    body = {"group": group, "database": database, "valid_for": valid_for, "reason": reason}
    with told_errors():
        summary = api_client(config, socket, url, ca, token_file, token_database).post("/v1/access", body)
    if as_json:
        print_json(summary)
    else:
        typer.echo(asked_line(summary))


@app.command("list")
def list_(
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    token_file: TokenFileOption = None,
    token_database: TokenDatabaseOption = None,
) -> None:
    """List access in force: your own; everybody's for administrators."""
    with told_errors():
        found = api_client(config, socket, url, ca, token_file, token_database).get("/v1/access")
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("There is no access for a time in force.", err=True)
    else:
        table = table_of(("ID", "PRINCIPAL", "ACCESS", "ENDS"))
        for grant in found:
            table.add_row(*access_line(grant))
        console().print(table)


@app.command("end")
def end(
    id: Annotated[str, typer.Argument(metavar="ID", help="The id, as `access list` shows it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    token_file: TokenFileOption = None,
    token_database: TokenDatabaseOption = None,
) -> None:
    """End access before its time: your own; anybody's for administrators."""
    with told_errors():
        api_client(config, socket, url, ca, token_file, token_database).delete(f"/v1/access/{quote(id, safe='')}")
    typer.echo(f"The access {shown(id)} has ended.")
