"""`querywarden serve`: run the proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from querywarden.config.loading import load_config

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", envvar="QUERYWARDEN_CONFIG", metavar="FILE", show_default=True)
]
DEFAULT_CONFIG_FILE = Path("querywarden.yaml")


def serve(config_file: ConfigFile = DEFAULT_CONFIG_FILE) -> None:
    """Run the proxy until SIGTERM; SIGHUP reads the policy and the certificates again."""
    # Loading the proxy takes a moment that the other commands needn't wait for.
    from querywarden.app import serve as serve_until_stopped

    serve_until_stopped(load_config(config_file))
