"""`querywarden doctor`: what is wrong with the proxy's surroundings, and how to put it right."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from querywarden.admin.doctor import Check, Result, examine
from querywarden.cli.serve import DEFAULT_CONFIG_FILE, ConfigFile
from querywarden.config.loading import load_config
from querywarden.config.models import Config

_STYLES = {Result.OK: "green", Result.WARN: "yellow", Result.FAIL: "bold red"}


def doctor(
    config_file: ConfigFile = DEFAULT_CONFIG_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check servers, rights, TLS, issuers, log directory, keys and clock, each with a remedy. Exit code 1 when something fails."""
    checks = asyncio.run(_examine(load_config(config_file), None if as_json else Console(highlight=False, soft_wrap=True)))
    if as_json:
        shown = [{"name": each.name, "result": each.result.value, "finding": each.finding, "remedy": each.remedy} for each in checks]
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    if any(check.result is Result.FAIL for check in checks):
        raise typer.Exit(1)


async def _examine(config: Config, console: Console | None) -> list[Check]:
    checks = []
    async for check in examine(config):
        checks.append(check)
        if console is not None:
            line = Text(f"{check.result.value:4} ", style=_STYLES[check.result])
            line.append(f"{check.name}: ", style="bold")
            line.append(check.finding, style="default")
            console.print(line)
            if check.remedy:
                console.print(Text(f"     → {check.remedy}", style="dim"))
    return checks
