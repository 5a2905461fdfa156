"""The token commands: the token alone on stdout, one line for an error, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from querywarden.cli.token import app

CONFIG = """
listeners: [{host: 127.0.0.1, port: 6432, allow_plaintext_loopback: true}]
databases:
  shop: {server: {host: 127.0.0.1, port: 5432, database: shop, role: shop_app}}
control: {url: "sqlite:///control.db"}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "querywarden.yaml"
    path.write_text(CONFIG)
    return str(path)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_life_of_a_token(config: str) -> None:
    code, out, err = run("create", "bot", "--owner", "alice", "--group", "g", "--database", "shop", "--network", "10.0.0.0/8", "-c", config)
    assert (code, out.count("\n")) == (0, 1)
    token = out.strip()
    assert token.startswith("qw_")
    assert "not shown again" in err
    assert token not in err

    code, out, _ = run("list", "--json", "-c", config)
    (listed,) = json.loads(out)
    assert code == 0
    assert (listed["name"], listed["state"], listed["databases"], listed["last_used_at"]) == ("bot", "active", ["shop"], None)
    assert token not in out

    code, out, _ = run("list", "-c", config)
    heading, row = out.strip().splitlines()
    assert code == 0
    assert heading.split()[:3] == ["ID", "NAME", "OWNER"]
    assert row.split()[:4] == [listed["id"], "bot", "alice", "agent"]

    code, out, _ = run("revoke", listed["id"], "-c", config)
    assert (code, out) == (0, f"Service token bot (id {listed['id']}) is revoked.\n")
    assert json.loads(run("list", "--json", "-c", config)[1])[0]["state"] == "revoked"


def test_quiet_prints_the_token_and_nothing_else(config: str) -> None:
    code, out, err = run("create", "bot", "--owner", "alice", "--quiet", "-c", config)
    assert (code, len(out.strip()), err) == (0, 64, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("revoke", "nothing"), "no service token 'nothing'"),
        (("create", "bot", "--owner", "a", "--expires", "soon"), "'soon' is not a duration"),
        (("create", "bot", "--owner", "a", "--network", "x"), "'x' is not a network"),
        (("create", "bot", "--owner", "a", "--database", "shpo"), "did you mean shop"),
    ],
)
def test_errors_are_one_line_and_exit_with_1(config: str, arguments: tuple[str, ...], sentence: str) -> None:
    code, out, err = run(*arguments, "-c", config)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: ")
    assert sentence in err


def test_duplicate_name_is_an_error(config: str) -> None:
    run("create", "bot", "--owner", "alice", "-c", config)
    code, out, err = run("create", "bot", "--owner", "alice", "-c", config)
    assert (code, out) == (1, "")
    assert "already a service token named bot" in err


def test_missing_configuration_is_an_error(tmp_path: Path) -> None:
    code, _, err = run("list", "-c", str(tmp_path / "none.yaml"))
    assert code == 1
    assert err.startswith("error: ")


def test_empty_list_says_so(config: str) -> None:
    assert run("list", "-c", config) == (0, "", "There are no service tokens.\n")
    assert run("list", "--json", "-c", config)[1] == "[]\n"
