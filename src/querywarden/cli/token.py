"""`querywarden token`: create, list and revoke service tokens."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from querywarden.admin import tokens
from querywarden.config.loading import load_config, load_section
from querywarden.config.models import ControlSettings
from querywarden.errors import ConfigurationError, DependencyFailure

app = typer.Typer(help="Service tokens for agents and services.", no_args_is_help=True)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", envvar="QUERYWARDEN_CONFIG", help="The configuration file.")]
DEFAULT_CONFIG = Path("querywarden.yaml")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Its name, which the log and the server see; unique among active tokens.")],
    owner: Annotated[str, typer.Option(help="Who answers for it.")],
    kind: Annotated[str, typer.Option(help="agent or service.")] = "agent",
    group: Annotated[list[str] | None, typer.Option(help="A group it is in; may be repeated.")] = None,
    database: Annotated[list[str] | None, typer.Option(help="A database it is for; may be repeated. Default: all.")] = None,
    network: Annotated[list[str] | None, typer.Option(help="A network it may come from, such as 10.0.0.0/8; may be repeated.")] = None,
    expires: Annotated[str, typer.Option(help="After how long it expires: 30m, 12h, 90d, 8w, or never.")] = tokens.EXPIRES_DEFAULT,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the token and nothing else.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Create a service token and print it: it is shown this once, and stored as a hash only."""
    request = tokens.TokenRequest(name, owner, kind, group or [], database or [], network or [], expires)
    with _told_errors():
        settings = load_config(config)
        tokens.require_enabled(settings)
        with tokens.open_store(settings.control) as store:
            text, token = tokens.create_token(store, settings, request)
    # The token alone goes to stdout, so that a script can take it without cutting anything off.
    typer.echo(text)
    if not quiet:
        until = "does not expire" if token.expires_at is None else f"expires {_moment(token.expires_at)}"
        typer.echo(f"Service token {token.name} (id {token.id}) for {token.owner}, {until}.", err=True)
        typer.echo("It is not shown again. Clients send it as the password; any user name will do.", err=True)


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List all service tokens."""
    now = time.time()
    with _told_errors(), tokens.open_store(load_section(config, "control", ControlSettings)) as store:
        found = [tokens.token_summary(token, now) for token in store.list_tokens()]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    if not found:
        typer.echo("There are no service tokens.", err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ID", "NAME", "OWNER", "KIND", "GROUPS", "DATABASES", "NETWORKS", "STATE", "EXPIRES", "LAST USED"):
        table.add_column(heading, overflow="fold")
    for token in found:
        table.add_row(
            token["id"],
            token["name"],
            token["owner"],
            token["kind"],
            ", ".join(token["groups"]) or "-",
            "all" if token["databases"] is None else ", ".join(token["databases"]),
            "any" if token["networks"] is None else ", ".join(token["networks"]),
            token["state"],
            "never" if token["expires_at"] is None else _moment(token["expires_at"]),
            "never" if token["last_used_at"] is None else _moment(token["last_used_at"]),
        )
    # Into a pipe, a row stays one line.
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 400).print(table)


@app.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="The token's id or name, as `token list` shows them.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Revoke a service token at once: new logins are refused, open sessions end at their next statement."""
    with _told_errors(), tokens.open_store(load_section(config, "control", ControlSettings)) as store:
        revoked = tokens.revoke_token(store, token)
    typer.echo(f"Service token {revoked.name} (id {revoked.id}) is revoked.")


@contextmanager
def _told_errors() -> Iterator[None]:
    """Tell what went wrong in one line and exit with 1."""
    try:
        yield
    except (ConfigurationError, DependencyFailure, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
