"""The commands of sessions and principals: the kill switch at the control store, with one line for an error."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from querywarden.approval.request import Party
from querywarden.cli.main import app
from querywarden.model.principal import Actor, PrincipalKind
from querywarden.storage.control_store import ControlStore, OpenSession

CONFIG = """
listeners: [{host: 127.0.0.1, port: 6432, allow_plaintext_loopback: true}]
databases:
  shop: {server: {host: 127.0.0.1, port: 5432, database: shop, role: shop_app}}
control: {url: "sqlite:///control.db"}
api: {enabled: false}
"""
ISSUER = "https://idp.example.com"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ControlStore]:
    found = ControlStore(f"sqlite:///{tmp_path}/control.db")
    now = int(time.time())
    found.beat("proxy-1", now)
    parties = {
        "s1": Party("alice", ISSUER, PrincipalKind.HUMAN),
        "s2": Party("alice", ISSUER, PrincipalKind.AGENT, actors=(Actor("bot", "querywarden"),)),
        "s3": Party("dave\x1b[31m", ISSUER, PrincipalKind.HUMAN),
    }
    found.sessions_opened(
        OpenSession(id_, "proxy-1", party, "shop" if id_ != "s3" else "billing", "production", "10.0.0.1", "psql\x07", now)
        for id_, party in parties.items()
    )
    yield found
    found.close()


@pytest.fixture
def run(tmp_path: Path) -> Any:
    config = tmp_path / "querywarden.yaml"
    config.write_text(CONFIG)

    def run_(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [*arguments, "-c", str(config)])
        return result.exit_code, result.stdout, result.stderr

    return run_


def test_sessions_are_listed_whatever_they_call_themselves(store: ControlStore, run: Any) -> None:
    code, out, _ = run("sessions", "list")
    heading, *rows = out.strip().split("\n")
    assert (0, 3) == (code, len(rows))
    assert ["ID", "PRINCIPAL", "KIND", "DATABASE"] == heading.split()[:4]
    assert all(line.isprintable() for line in rows)
    assert "bot for alice" in rows[1]
    listed = json.loads(run("sessions", "list", "--json")[1])
    assert ["s1", "s2", "s3"] == [each["id"] for each in listed]
    assert [False] * 3 == [each["is_ending"] for each in listed]


@pytest.mark.parametrize(
    ("arguments", "killed"),
    [
        (("s1",), ["s1"]),
        (("s1", "s3"), ["s1", "s3"]),
        (("--principal", "alice"), ["s1", "s2"]),
        (("--principal", "bot"), ["s2"]),
        (("--database", "billing"), ["s3"]),
        (("--principal", "alice", "--issuer", ISSUER, "--database", "shop"), ["s1", "s2"]),
    ],
)
def test_sessions_are_killed(store: ControlStore, run: Any, arguments: tuple[str, ...], killed: list[str]) -> None:
    code, out, _ = run("sessions", "kill", *arguments, "-m", "run\x1baway")
    assert (0, len(killed)) == (code, out.count("is being ended"))
    kills = store.kills("proxy-1")
    assert killed == [kill.session_id for kill in kills]
    assert {"runaway"} == {kill.reason for kill in kills}
    assert all(kill.by.startswith("operator") for kill in kills)


@pytest.mark.parametrize(
    "arguments", [("s9",), ("s1", "s9"), ("--principal", "nobody"), ("--principal", "alice", "--issuer", "x"), ("--database", "none")]
)
def test_what_is_not_there_is_told_and_nothing_is_killed(store: ControlStore, run: Any, arguments: tuple[str, ...]) -> None:
    code, out, err = run("sessions", "kill", *arguments)
    assert (1, "", 1) == (code, out, err.count("\n"))
    assert "no such open session" in err or "no open session s9" in err
    assert [] == store.kills("proxy-1")


def test_nothing_named_kills_nothing(store: ControlStore, run: Any) -> None:
    assert 2 == run("sessions", "kill")[0]
    assert [] == store.kills("proxy-1")


def test_a_principal_is_blocked_listed_and_let_in_again(store: ControlStore, run: Any) -> None:
    assert (0, "alice is blocked.\n", "") == run("principals", "block", "alice", "--issuer", ISSUER, "-m", "left", "--for", "8h")
    (block,) = json.loads(run("principals", "list", "--json")[1])
    assert ("alice", ISSUER, "left", 8 * 3600) == (block["subject"], block["issuer"], block["reason"], block["until"] - block["at"])
    assert "alice" in run("principals", "list")[1]
    assert 0 == run("principals", "unblock", "alice")[0]
    assert (0, "", "Nobody is blocked.\n") == run("principals", "list")
    code, out, err = run("principals", "unblock", "alice")
    assert (1, "", 1) == (code, out, err.count("\n"))


@pytest.mark.parametrize("arguments", [("",), ("a\nb",), ("x" * 256,), ("dave", "--for", "soon"), ("dave", "--issuer", "")])
def test_bad_blocks_are_refused(store: ControlStore, run: Any, arguments: tuple[str, ...]) -> None:
    code, out, err = run("principals", "block", *arguments)
    assert (1, "", 1) == (code, out, err.count("\n"))
    assert [] == store.blocks(time.time())
