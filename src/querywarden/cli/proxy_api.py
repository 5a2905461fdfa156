"""The options with which commands reach the proxy's API, and how its errors are told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from querywarden.admin.api_client import ApiClient, ApiPlace, ApiRefused
from querywarden.admin.problems import Problem
from querywarden.cli.audit_lines import visible
from querywarden.config.approval_settings import ApiSettings
from querywarden.config.loading import load_section
from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.model.secret import Secret

TOKEN_VARIABLE = "QUERYWARDEN_TOKEN"  # noqa: S105 - a name
TOKEN_FILE = Path("~/.config/querywarden/token")
DEFAULT_CONFIG = Path("querywarden.yaml")
_TOKEN_BYTES_MAX = 70_000

ConfigOption = Annotated[Path, typer.Option("--config", "-c", envvar="QUERYWARDEN_CONFIG", help="The configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SocketOption = Annotated[
    Path | None,
    typer.Option("--socket", envvar="QUERYWARDEN_SOCKET", help="The proxy's Unix socket; default: that of the configuration file."),
]
UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="QUERYWARDEN_URL", help="The API's address, https://…, in place of the socket.")
]
CaOption = Annotated[Path | None, typer.Option("--ca", help="File of the authorities to trust for --url.")]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help=f"File with your token; default: ${TOKEN_VARIABLE}, then {TOKEN_FILE}, where `querywarden login` writes it.",
    ),
]
TokenDatabaseOption = Annotated[
    str | None, typer.Option("--token-database", help="For a service token that is narrowed to databases: one of them.")
]


def api_client(
    config: Path, socket: Path | None, url: str | None, ca: Path | None, token_file: Path | None, token_database: str | None = None
) -> ApiClient:
    """The client that the options describe. Raises: ConfigurationError, DependencyFailure."""
    if url is not None:
        place = ApiPlace(url=url, ca=ca)
    else:
        place = ApiPlace(socket=_socket_of(config) if socket is None else socket)
    return ApiClient(place, _token(token_file), token_database)


@contextmanager
def told_errors() -> Iterator[None]:
    """Tell what went wrong in one line and exit with 1."""
    try:
        yield
    except (ApiRefused, ConfigurationError, DependencyFailure, Problem) as error:
        typer.echo(f"error: {visible(str(error))}", err=True)
        raise typer.Exit(1) from None


def default_token_file() -> Path:
    """Where `querywarden login` leaves the token, for the commands that need one. Raises: DependencyFailure where nobody has a home."""
    try:
        return TOKEN_FILE.expanduser()
    except RuntimeError:
        raise DependencyFailure("there is no home directory to keep the token in; name a file") from None


def _socket_of(config: Path) -> Path:
    settings = load_section(config, "api", ApiSettings)
    if not settings.enabled:
        raise ConfigurationError("the API is switched off", str(config), hint="set api.enabled to true, or use --url")
    return settings.socket


def _token(file: Path | None) -> Secret:
    text = os.environ.get(TOKEN_VARIABLE, "").strip() if file is None else ""
    if not text:
        text = _read_token(default_token_file() if file is None else file, is_named=file is not None)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise DependencyFailure("the token is not one line of printable characters")
    return Secret(text.encode())


def _read_token(file: Path, *, is_named: bool) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(_TOKEN_BYTES_MAX).decode("ascii", "replace").strip()
    except OSError as error:
        if is_named:
            raise DependencyFailure(f"the token's file {file} can't be read: {error.strerror}") from None
        raise DependencyFailure(
            f"a token is needed: `querywarden login` gets one and writes it to {TOKEN_FILE}; or give --token-file or ${TOKEN_VARIABLE}"
        ) from None
    if not text:
        raise DependencyFailure(f"the token's file {file} is empty")
    return text
