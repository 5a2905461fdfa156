"""The command `querywarden`: all commands in one place, and how their errors look."""

from __future__ import annotations

import sys

import typer

from querywarden import __version__
from querywarden.cli import access, approvals, audit, catalogue, config, doctor, lineage, login, policy, principals, serve, sessions, token
from querywarden.config.models import LogLevel, LogSettings
from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.runtime.logs import configure_logs

app = typer.Typer(
    name="querywarden",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("config")(config.config)
app.command("doctor")(doctor.doctor)
app.command("catalogue")(catalogue.catalogue)
app.command("lineage")(lineage.run_lineage)
app.command("login")(login.login)
app.add_typer(policy.app, name="policy")
app.add_typer(token.app, name="token")
app.add_typer(audit.app, name="audit")
app.add_typer(approvals.app, name="approvals")
app.add_typer(access.app, name="access")
app.add_typer(sessions.app, name="sessions")
app.add_typer(principals.app, name="principals")


@app.callback()
def _set_up() -> None:
    """An identity-aware proxy for PostgreSQL: logins by token, guardrails, masked personal data, a log that can be verified."""
    # Commands print their answers; what else happens is worth a line only when something is wrong. `serve` says it all.
    configure_logs(LogSettings(level=LogLevel.WARNING))


@app.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(f"querywarden {__version__}")


def run() -> None:
    """Run the command line; what the operator can put right is one line on stderr and exit code 1, without a traceback."""
    try:
        app()
    except (ConfigurationError, DependencyFailure) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough.
        sys.stderr.close()
        sys.exit(0)
