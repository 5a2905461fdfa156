"""`querywarden approvals`: list, show, approve, deny and watch requests, as yourself, through the proxy's API."""

from __future__ import annotations

import contextlib
import sys
import termios
import time
from typing import Annotated, Any

import typer

from querywarden.admin.api_client import ApiClient, ApiEvent, ApiRefused
from querywarden.admin.problems import Problem, ProblemCode
from querywarden.approval.request_id import parse_request_id
from querywarden.cli.audit_lines import visible
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
from querywarden.cli.request_texts import console, detail_lines, print_json, request_line, request_table, shown
from querywarden.errors import DependencyFailure

app = typer.Typer(help="Requests for approval: see them, and say yes or no.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]
NoteOption = Annotated[str, typer.Option("--note", "-m", help="What you say to it; the requester sees it, and the log keeps it.")]

RECONNECT_SECONDS = 2.0


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="pending, approved, consumed, denied, expired or withdrawn.")] = "pending",
    all_: Annotated[bool, typer.Option("--all", help="In whatever state.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    token_file: TokenFileOption = None,
    token_database: TokenDatabaseOption = None,
) -> None:
    """List the requests that you may see: your own, and those that you may approve."""
    parameters = {"limit": str(limit)} | ({} if all_ or state is None else {"state": state})
    with told_errors():
        found = api_client(config, socket, url, ca, token_file, token_database).get("/v1/approvals", parameters)
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("There are no such requests.", err=True)
    else:
        console().print(request_table(found))


@app.command("show")
def show(
    id: IdArgument,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    token_file: TokenFileOption = None,
    token_database: TokenDatabaseOption = None,
) -> None:
    """Show everything about a request: who, from where, the statement, what it touches, its plan, and similar ones before."""
    with told_errors():
        found = api_client(config, socket, url, ca, token_file, token_database).get(_path(id))
    if as_json:
        print_json(found)
    else:
        _print_details(found)


@app.command("approve")
def approve(
    id: IdArgument,
    note: NoteOption = "",
    uses: Annotated[int, typer.Option(min=1, max=1000, help="How often the exact statement may run on this approval.")] = 1,
    valid_for: Annotated[str | None, typer.Option("--for", help="For how long: 30m, 8h, 2d. Default: as long as the request.")] = None,
    standing: Annotated[bool, typer.Option("--standing", help="For others too, where an automatic rule says so; needs --for.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Say yes."""
    body = {"note": note, "uses": uses, "valid_for": valid_for, "standing": standing}
    with told_errors():
        _decide(api_client(config, socket, url, ca, token_file), id, "approve", body, as_json)


@app.command("deny")
def deny(
    id: IdArgument,
    note: NoteOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Say no; it is final."""
    with told_errors():
        _decide(api_client(config, socket, url, ca, token_file), id, "deny", {"note": note}, as_json)


@app.command("watch")
def watch(
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Show requests as they come, until Ctrl-C; on a terminal, ask for each that you may decide."""
    asks = not as_json and _is_terminal()
    told: dict[str, tuple[object, object]] = {}
    has_connected = False
    with told_errors():
        client = api_client(config, socket, url, ca, token_file)
        try:
            while True:
                try:
                    for event in client.events("/v1/approvals/events"):
                        has_connected = True
                        _tell(client, event, told, as_json=as_json, asks=asks)
                    has_connected = True
                except DependencyFailure:
                    # A proxy that is restarted comes back; one that was never there is a mistake.
                    if not has_connected:
                        raise
                _pause()
        except (KeyboardInterrupt, typer.Abort):
            raise typer.Exit(0) from None


def _tell(client: ApiClient, event: ApiEvent, told: dict[str, tuple[object, object]], *, as_json: bool, asks: bool) -> None:
    """Tell an event, once: a stream that is opened anew begins with what is pending."""
    summary = event.data
    id_, key = str(summary.get("id")), (summary.get("state"), summary.get("approvals"))
    if told.get(id_) == key:
        return
    is_new = id_ not in told
    told[id_] = key
    if as_json:
        print_json({"event": event.name, **summary}, indent=None)
        return
    console().print(request_line(event.name, summary))
    if asks and is_new and summary.get("state") == "pending":
        _ask(client, id_)


def _ask(client: ApiClient, id_: str) -> None:
    """Show a request and let the person at the terminal decide; anything but a or d leaves it open."""
    try:
        details = client.get(_path(id_))
        if not details.get("may_vote"):
            return
        _print_details(details)
        _forget_typed_ahead()
        answer = typer.prompt("a approve, d deny, Enter leave it open", default="", show_default=False).strip().lower()
        if answer not in ("a", "d"):
            return
        note = typer.prompt("Note", default="", show_default=False)
        _decide(client, id_, "approve" if answer == "a" else "deny", {"note": note}, as_json=False)
    except ApiRefused as refused:
        # It was settled meanwhile, say: that is an answer, not the end.
        typer.echo(f"error: {visible(str(refused))}", err=True)


def _decide(client: ApiClient, id_: str, verb: str, body: dict[str, Any], as_json: bool) -> None:
    summary = client.post(f"{_path(id_)}/{verb}", body)
    if as_json:
        print_json(summary)
        return
    state = summary.get("state")
    if state == "pending":
        typer.echo(f"Your yes is counted: {shown(summary.get('approvals'))} of {shown(summary.get('quorum'))} for request {shown(id_)}.")
    else:
        typer.echo(f"Request {shown(id_)} is {shown(state)}.")


def _print_details(details: dict[str, Any]) -> None:
    out = console()
    for line in detail_lines(details):
        out.print(line, soft_wrap=True)


def _forget_typed_ahead() -> None:
    """A key pressed before the question was there is no answer to it."""
    with contextlib.suppress(OSError, ValueError, termios.error):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def _path(id_: str) -> str:
    """The path of a request. Raises: Problem for what can't be an id."""
    parsed = parse_request_id(id_)
    if parsed is None:
        raise Problem(ProblemCode.UNKNOWN_REQUEST, "There is no request with this id. Ids have eight letters and digits.")
    return f"/v1/approvals/{parsed}"


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _pause() -> None:
    time.sleep(RECONNECT_SECONDS)
