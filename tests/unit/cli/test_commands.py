"""The command line: what is wrong with a configuration is one line on stderr, and `config` shows no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from querywarden import __version__
from querywarden.cli.main import app
from querywarden.config.effective import reference_page

TEXT = """\
listeners: [{port: 6432, allow_plaintext_loopback: true}]
databases:
  shop: {server: {host: 127.0.0.1, port: 1, database: shop, role: shop_app, password: hunter22}}
identity: {issuers: [{issuer: "http://127.0.0.1:1", audience: querywarden}]}
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "querywarden.yaml"
    file.write_text(TEXT)
    return file


def querywarden(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program itself, as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run([sys.executable, "-m", "querywarden", *arguments], capture_output=True, text=True, env=environment, timeout=60)


def test_version_and_help() -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["version"]).output == f"querywarden {__version__}\n"
    shown = runner.invoke(app, ["--help"]).output
    for command in ("serve", "config", "doctor", "catalogue", "lineage", "login", "policy", "token", "audit"):
        assert command in shown


def test_config_as_text_and_as_json(config_file: Path) -> None:
    runner = CliRunner()
    text = runner.invoke(app, ["config", "-c", str(config_file)])
    assert text.exit_code == 0
    assert 'databases.shop.environment: "production"  (default)' in text.output
    assert "hunter22" not in text.output
    data = json.loads(runner.invoke(app, ["config", "-c", str(config_file), "--json"]).output)
    port = next(each for each in data if each["name"] == "listeners[0].port")
    assert (port["value"], port["default"]) == (6432, False)
    assert "hunter22" not in json.dumps(data)
    assert runner.invoke(app, ["config", "--reference"]).output == reference_page()


@pytest.mark.parametrize("command", ["serve", "config", "doctor", "catalogue"])
def test_a_wrong_configuration_is_one_line_without_traceback(tmp_path: Path, command: str) -> None:
    file = tmp_path / "querywarden.yaml"
    file.write_text(TEXT + "polcy: {}\n")
    done = querywarden(command, "-c", str(file))
    assert done.returncode == 1
    assert done.stderr == f"error: {file}:5: unknown key 'polcy' (did you mean policy?)\n"
    assert done.stdout == ""


def test_serve_says_what_keeps_it_from_starting(config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "masking.key").write_text("not a key")
    done = querywarden("serve", "-c", str(config_file))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "64 hexadecimal digits" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_fails_with_remedies_when_nothing_answers(config_file: Path) -> None:
    shown = CliRunner().invoke(app, ["doctor", "-c", str(config_file), "--json"])
    assert shown.exit_code == 1
    checks = {check["name"]: check for check in json.loads(shown.output)}
    assert checks["server of shop"]["result"] == "fail"
    assert checks["server of shop"]["remedy"]
    assert checks["issuer http://127.0.0.1:1"]["result"] == "fail"
    assert checks["listener 127.0.0.1:6432"]["result"] == "warn"
    assert checks["log directory"]["result"] in ("ok", "warn")
    assert "hunter22" not in shown.output


def test_catalogue_names_the_databases_there_are(config_file: Path) -> None:
    done = querywarden("catalogue", "shp", "-c", str(config_file))
    assert (done.returncode, done.stderr) == (1, "error: 'shp' is not a configured database (the databases are: shop)\n")
