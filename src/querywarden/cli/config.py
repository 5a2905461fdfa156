"""`querywarden config`: the settings in force, documented."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from querywarden.cli.serve import DEFAULT_CONFIG_FILE, ConfigFile
from querywarden.config.effective import EffectiveSetting, effective_settings, reference_page
from querywarden.config.loading import load_config_and_source


def config(
    config_file: ConfigFile = DEFAULT_CONFIG_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    reference: Annotated[bool, typer.Option("--reference", help="Print the reference of all settings; needs no file.")] = False,
) -> None:
    """Show every setting in force, which of them are defaults, and what they do. Secrets are hidden."""
    if reference:
        typer.echo(reference_page(), nl=False)
        return
    settings = effective_settings(*load_config_and_source(config_file))
    if as_json:
        typer.echo(json.dumps([_as_data(setting) for setting in settings], indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)
    for setting in settings:
        console.print(Text(f"# {setting.description}", style="dim"))
        line = Text(f"{setting.name}: ", style="bold")
        line.append(json.dumps(setting.value, ensure_ascii=False), style="cyan" if setting.is_default else "green")
        if setting.is_default:
            line.append("  (default)", style="dim")
        console.print(line)


def _as_data(setting: EffectiveSetting) -> dict[str, object]:
    return {"name": setting.name, "value": setting.value, "default": setting.is_default, "description": setting.description}
