"""The commands of approvals and access against a real API on a real socket; what a requester wrote can't act on the terminal."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.model.api_world import World, make_world, open_request
from typer.testing import CliRunner

from querywarden.admin.api_client import ApiClient, ApiEvent, ApiRefused
from querywarden.api.server import ApiServer
from querywarden.approval.request import RequestState
from querywarden.cli import access, approvals
from querywarden.cli.main import app
from querywarden.cli.request_texts import detail_lines
from querywarden.config.approval_settings import ApiSettings
from querywarden.errors import DependencyFailure
from querywarden.model.decision import ApprovalTerms

EVIL = "\x1b[2J\x1b]0;title\x07\u202eevil\u202c\x9b31m[bold red]:smile:[/]\r\x7f"
"""Clears the screen, sets the title, turns the reading direction, colours, and is markup and emoji of the library that prints."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose API is served in a thread of its own."""
    found = make_world(tmp_path)
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        server = ApiServer(found.services, ApiSettings.model_validate({"socket": tmp_path / "api.sock"}))
        await server.start()
        ready.set()
        await asyncio.to_thread(done.wait)
        await server.stop()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield found
    done.set()
    thread.join(10)
    found.store.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HOME", str(tmp_path))

    def run_(name: str, *arguments: str, user_input: str | None = None) -> tuple[int, str, str]:
        where = ["--socket", str(tmp_path / "api.sock")]
        result = CliRunner().invoke(app, [*arguments, *where], env={"QUERYWARDEN_TOKEN": f"token-{name}"}, input=user_input)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return run_


def harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_the_life_of_a_request(world: World, run: Any) -> None:
    request = open_request(world, 1)
    code, out, _ = run("bob", "approvals", "list")
    assert code == 0
    heading, row = out.strip().splitlines()
    assert ["ID", "STATE", "REQUESTER"] == heading.split()[:3]
    assert [request.id, "pending", "alice", "shop", "bulk", "5000", "0/1"] == row.split()[:7]

    code, out, _ = run("bob", "approvals", "show", request.id)
    assert code == 0
    for part in ("alice (human", "10.1.2.3", "canary-5f1e", "$1", "NULL", "ModifyTable", "clean up", "It changes many rows."):
        assert part in out
    assert (0, f"Request {request.id} is approved.\n", "") == run("bob", "approvals", "approve", request.id, "-m", "ok", "--for", "1h")
    assert "ok" == world.request(request.id).votes[0].note
    code, out, err = run("carol", "approvals", "deny", request.id)
    assert (1, "", "error: This request is approved already.\n") == (code, out, err)
    assert (0, "", "There are no such requests.\n") == run("bob", "approvals", "list")
    assert [request.id] == [each["id"] for each in json.loads(run("bob", "approvals", "list", "--all", "--json")[1])]


def test_a_quorum_is_told(world: World, run: Any) -> None:
    request = open_request(world, 1, terms=ApprovalTerms(("dba",), 2, 600))
    assert f"Your yes is counted: 1 of 2 for request {request.id}.\n" == run("bob", "approvals", "approve", request.id)[1]


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("bob", ("approvals", "show", "ZZZZZZZZ"), "There is no request with this id."),
        ("bob", ("approvals", "approve", "../../x"), "There is no request with this id."),
        ("alice", ("approvals", "approve", "00000001"), "This is your own request"),
        ("bob", ("approvals", "list", "--state", "open"), "query.state"),
        ("bob", ("approvals", "approve", "00000001", "--for", "soon"), "A duration is a number and a unit"),
        ("bob", ("approvals", "approve", "00000001", "--standing"), "how long"),
        ("bob", ("access", "request", "--group", "oncall", "--for", "1h"), "does not let you ask"),
        ("bob", ("access", "end", "00000009"), "no such access"),
    ],
)
def test_errors_are_one_line_and_change_nothing(world: World, run: Any, name: str, arguments: tuple[str, ...], sentence: str) -> None:
    request = open_request(world, 1)
    code, out, err = run(name, *arguments)
    assert (1, "", 1) == (code, out, err.count("\n"))
    assert err.startswith("error: ")
    assert sentence in err
    assert RequestState.PENDING is world.request(request.id).state


@pytest.mark.parametrize(
    "arguments", [("approvals", "approve", "1", "--uses", "0"), ("access", "request", "--for", "1h"), ("approvals", "sho")]
)
def test_wrong_usage_exits_with_2(world: World, run: Any, arguments: tuple[str, ...]) -> None:
    assert 2 == run("bob", *arguments)[0]


def test_a_rejected_token_is_told(world: World, run: Any) -> None:
    """The proxy's own log has a line besides, which goes the same way here."""
    code, out, err = run("nobody", "approvals", "list")
    assert (1, "", "error: The token is not accepted.") == (code, out, err.splitlines()[-1])


def test_without_a_proxy_it_asks_whether_one_runs(run: Any) -> None:
    code, out, err = run("bob", "approvals", "list")
    assert (1, "") == (code, out)
    assert "is the proxy running?" in err


def test_the_socket_is_that_of_the_configuration(world: World, tmp_path: Path) -> None:
    config = tmp_path / "querywarden.yaml"
    config.write_text(
        "listeners: [{host: 127.0.0.1, port: 6432, allow_plaintext_loopback: true}]\n"
        "databases: {shop: {server: {host: 127.0.0.1, port: 5432, database: shop, role: shop_app}}}\n"
        "api: {socket: api.sock}\n"
    )
    token = tmp_path / "token"
    token.write_text("token-bob\n")
    arguments = ["approvals", "list", "--json", "-c", str(config), "--token-file", str(token)]
    result = CliRunner().invoke(app, arguments)
    assert (0, "[]\n") == (result.exit_code, result.stdout)
    config.write_text(config.read_text().replace("api.sock", "api.sock, enabled: false"))
    assert "the API is switched off" in CliRunner().invoke(app, arguments).stderr


def test_a_token_is_needed_and_never_shown(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    where = ["--socket", str(tmp_path / "api.sock")]
    missing = CliRunner().invoke(app, ["approvals", "list", *where])
    assert (1, True) == (missing.exit_code, "a token is needed" in missing.stderr)
    (tmp_path / ".config" / "querywarden").mkdir(parents=True)
    (tmp_path / ".config" / "querywarden" / "token").write_text("token-bob\n")
    assert 0 == CliRunner().invoke(app, ["approvals", "list", *where]).exit_code
    bad = CliRunner().invoke(app, ["approvals", "list", *where], env={"QUERYWARDEN_TOKEN": "token\nX-Evil: 1"})
    assert (1, False) == (bad.exit_code, "X-Evil" in bad.stderr)
    assert "can't be read" in CliRunner().invoke(app, ["approvals", "list", *where, "--token-file", "/nowhere"]).stderr


@pytest.mark.parametrize("url", ["http://example.com", "ftp://x", "https://user:secret@example.com", "nonsense"])
def test_a_token_does_not_travel_in_clear(url: str) -> None:
    result = CliRunner().invoke(app, ["approvals", "list", "--url", url], env={"QUERYWARDEN_TOKEN": "token-bob"})
    assert (1, False) == (result.exit_code, "secret" in result.stderr)
    assert "must begin with https://" in result.stderr


def test_texts_of_a_requester_can_not_act_on_the_terminal(world: World, run: Any) -> None:
    request = open_request(
        world, 1, text=f"SELECT '{EVIL}'\nApproved by root\n", normalised=f"SELECT {EVIL}", reason=EVIL, application=EVIL, rule=EVIL,
        parameters=(EVIL,), reads=(EVIL,), plan=EVIL, sentence=EVIL,
    )  # fmt: skip
    for arguments in (("list",), ("show", request.id), ("list", "--json"), ("show", request.id, "--json")):
        code, out, err = run("bob", "approvals", *arguments)
        assert (0, "") == (code, err)
        assert harmless(out), arguments
        assert "[bold red]" in out
        assert ":smile:" in out
    shown = run("bob", "approvals", "show", request.id)[1].split("\n")
    # What the statement says stands behind a gutter: it passes for no line of ours.
    assert {"  │ "} == {line[:4] for line in shown if "Approved by root" in line}


def test_errors_can_not_act_on_the_terminal(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    def refuses(*_: Any) -> Any:
        raise ApiRefused("invalid", EVIL, 422)

    monkeypatch.setattr(ApiClient, "get", refuses)
    code, _, err = run("bob", "approvals", "list")
    assert (1, True) == (code, harmless(err))


@pytest.mark.parametrize(
    "strange", [{}, {"summary": None}, {"statement": {"text": 5, "parameters": "x", "plan": "[]"}}, {"votes": 3, "similar": [1]}]
)
def test_an_answer_of_another_form_does_not_break_the_view(strange: Any) -> None:
    assert [line for line in detail_lines(strange) if line.plain]


def test_a_long_plan_and_statement_are_cut() -> None:
    nested: Any = {"Node Type": "Seq Scan", "Relation Name": "t", "Plan Rows": 1, "Total Cost": 2.0}
    for _ in range(100):
        nested = {"Node Type": "Nested Loop", "Plan Rows": 1, "Total Cost": 2.0, "Plans": [nested, nested]}
    details = {"statement": {"text": "x\n" * 5000, "plan": json.dumps([{"Plan": {"Node Type": "Append", "Plans": [{}] * 500}}])}}
    lines = list(detail_lines(details))
    assert len(lines) < 700
    assert any("more lines" in line.plain for line in lines)


def test_watch_tells_what_happens_and_asks(world: World, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    """On a terminal it asks; typing a approves, and a request of one's own isn't asked about."""
    first, second = open_request(world, 1), open_request(world, 2, text="DELETE FROM t")
    monkeypatch.setattr(approvals, "_is_terminal", lambda: True)
    monkeypatch.setattr(approvals, "_pause", _stop)
    real = ApiClient.events

    def two(self: ApiClient, path: str) -> Iterator[ApiEvent]:
        stream = real(self, path)
        yield next(stream)
        yield next(stream)

    monkeypatch.setattr(ApiClient, "events", two)
    code, out, _ = run("bob", "approvals", "watch", user_input="a\nfine\nd\nno\n")
    assert 0 == code
    assert f"Request {first.id} is approved." in out
    assert f"Request {second.id} is denied." in out
    states = (world.request(first.id).state, world.request(second.id).state)
    assert (RequestState.APPROVED, RequestState.DENIED) == states


@pytest.mark.parametrize("answer", ["\n", "yes\n", "A B\n", "\x1b\n"])
def test_watch_leaves_open_what_is_not_answered_by_a_or_d(world: World, monkeypatch: pytest.MonkeyPatch, run: Any, answer: str) -> None:
    request = open_request(world, 1)
    monkeypatch.setattr(approvals, "_is_terminal", lambda: True)
    monkeypatch.setattr(approvals, "_pause", _stop)
    real = ApiClient.events
    monkeypatch.setattr(ApiClient, "events", lambda self, path: iter([next(real(self, path))]))
    assert 0 == run("bob", "approvals", "watch", user_input=answer)[0]
    assert RequestState.PENDING is world.request(request.id).state


def test_watch_without_a_terminal_prints_lines_of_json(world: World, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    request = open_request(world, 1)
    monkeypatch.setattr(approvals, "_pause", _stop)
    real = ApiClient.events
    monkeypatch.setattr(ApiClient, "events", lambda self, path: iter([next(real(self, path))]))
    code, out, _ = run("bob", "approvals", "watch", "--json")
    (line,) = out.strip().split("\n")
    assert (0, "requested", request.id) == (code, json.loads(line)["event"], json.loads(line)["id"])


def test_watch_comes_back_to_a_proxy_that_was_restarted(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    opened: list[int] = []
    told = {"id": "00000001", "state": "pending", "approvals": 0}

    def events(self: ApiClient, path: str) -> Iterator[ApiEvent]:
        opened.append(1)
        yield ApiEvent("requested", told)
        raise DependencyFailure("broke off")

    pauses: list[int] = []

    def pause() -> None:
        pauses.append(1)
        if len(pauses) == 3:
            _stop()

    monkeypatch.setattr(ApiClient, "events", events)
    monkeypatch.setattr(approvals, "_pause", pause)
    code, out, _ = run("bob", "approvals", "watch", "--json")
    # What is pending still is told once.
    assert (0, 3, 1) == (code, len(opened), out.count("\n"))


def test_access_is_asked_for_listed_and_ended(world: World, run: Any) -> None:
    code, out, _ = run("alice", "access", "request", "--group", "oncall", "--for", "2h", "-m", "pager")
    assert (0, "Request 00000001 is open for 10m; somebody else has to approve it.\n") == (code, out)
    assert (0, "", "There is no access for a time in force.\n") == run("alice", "access", "list")
    assert 0 == run("bob", "approvals", "approve", "00000001")[0]
    row = run("alice", "access", "list")[1].splitlines()[1]
    assert ["00000001", "alice", "group", "oncall"] == row.split()[:4]
    assert (0, "The access 00000001 has ended.\n", "") == run("alice", "access", "end", "00000001")
    assert [] == json.loads(run("alice", "access", "list", "--json")[1])


def test_the_parts_are_commands() -> None:
    assert {"list", "show", "approve", "deny", "watch"} == {command.name for command in approvals.app.registered_commands}
    assert {"request", "list", "end"} == {command.name for command in access.app.registered_commands}


def _stop() -> None:
    raise KeyboardInterrupt
