"""`querywarden login`: get a token from the identity provider, for database clients and for the commands that need one."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Annotated

import typer

from querywarden.admin.device_login import DevicePrompt, cache_token, device_login
from querywarden.cli.proxy_api import TOKEN_FILE, default_token_file
from querywarden.errors import DependencyFailure
from querywarden.runtime.issuer_http import IssuerSource


def login(
    issuer: Annotated[str, typer.Option(help="The issuer's address, exactly as its discovery document names it.")],
    client_id: Annotated[str, typer.Option(help="The client id that the issuer knows this tool by.")],
    scope: Annotated[str, typer.Option(help="The scopes to ask for.")] = "openid db:connect",
    ca: Annotated[Path | None, typer.Option(help="File of the authorities to trust.")] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the token itself.")] = False,
    cache: Annotated[Path | None, typer.Option(help=f"Write the token to this file (0600); default: {TOKEN_FILE}.")] = None,
) -> None:
    """Log in by the device flow: open the page, approve, and the token is kept in a file for you alone.

    The other commands find it there; for a database client, the line that is printed takes it from there as the password:
    eval "$(querywarden login …)". With --print the token itself is printed, and kept nowhere unless --cache says where.
    """
    try:
        # Asked first, so that nobody logs in for a token that has no place.
        file = cache if cache is not None or print_only else default_token_file()
        token = asyncio.run(device_login(IssuerSource(issuer, ca), client_id, scope, _prompt))
        if file is not None:
            cache_token(file, token)
    except DependencyFailure as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    if print_only or file is None:
        typer.echo(token)
    else:
        typer.echo(f'export PGPASSWORD="$(cat {shlex.quote(str(file))})"')


def _prompt(prompt: DevicePrompt) -> None:
    typer.echo(f"Open {prompt.page} and approve the code {prompt.code} (within {prompt.seconds // 60} minutes).", err=True)
