"""`querywarden login`: get a token from the identity provider, for use as a password."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Annotated

import typer

from querywarden.admin.device_login import DevicePrompt, cache_token, device_login
from querywarden.errors import DependencyFailure
from querywarden.runtime.issuer_http import IssuerSource


def login(
    issuer: Annotated[str, typer.Option(help="The issuer's address, exactly as its discovery document names it.")],
    client_id: Annotated[str, typer.Option(help="The client id that the issuer knows this tool by.")],
    scope: Annotated[str, typer.Option(help="The scopes to ask for.")] = "openid db:connect",
    ca: Annotated[Path | None, typer.Option(help="File of the authorities to trust.")] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the token alone.")] = False,
    cache: Annotated[Path | None, typer.Option(help="Write the token to this file (0600) instead of printing it.")] = None,
) -> None:
    """Log in by the device flow: open the page, approve, and the token is printed as a line for the shell."""
    try:
        token = asyncio.run(device_login(IssuerSource(issuer, ca), client_id, scope, _prompt))
        if cache is not None:
            cache_token(cache, token)
    except DependencyFailure as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    if cache is not None:
        typer.echo(f'export PGPASSWORD="$(cat {shlex.quote(str(cache))})"')
    elif print_only:
        typer.echo(token)
    else:
        typer.echo(f"export PGPASSWORD={shlex.quote(token)}")


def _prompt(prompt: DevicePrompt) -> None:
    typer.echo(f"Open {prompt.page} and approve the code {prompt.code} (within {prompt.seconds // 60} minutes).", err=True)
