"""`querywarden lineage`: where the text comes from, what a person reads, exit codes, and that nothing acts on a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from querywarden.admin.lineage import Asker, LineageReport, NameSpace
from querywarden.admin.lineage_places import Origin
from querywarden.admin.lineage_report import ColumnReport, ConditionReport, Gap, StatementReport, WriteReport
from querywarden.admin.lineage_rulings import Ruling
from querywarden.cli import lineage as command
from querywarden.cli.main import app
from querywarden.errors import ReasonCode
from querywarden.model.decision import Allow, Deny
from querywarden.model.principal import PrincipalKind

CONFIG = """\
listeners: [{port: 6432, allow_plaintext_loopback: true}]
databases:
  shop: {server: {host: 127.0.0.1, port: 1, database: shop, role: shop_app, password: hunter22}}
identity: {issuers: [{issuer: "http://127.0.0.1:1", audience: querywarden}]}
"""
MAIL = Origin("public.people.mail", ("email",), False, "public.people.mail is email (by its name)")
MASKED = ColumnReport("ma\x1b[31mil", "text", "direct", (MAIL,), (), "masked", "email", "email", MAIL.reason)
SHOWN = ColumnReport("n", "bigint", "constant", (), (), "shown", None, None, "nothing of a column is in it")
DERIVED = ColumnReport("u", "text", "derived", (MAIL,), ("peek",), "null", None, "opaque", "computed from public.people.mail")
CONDITION = ConditionReport("comparison", (MAIL,), (), Ruling("hold", "baseline.probe"))
WRITE = WriteReport(Origin("public.notes.text"), "direct", (MAIL,), (), False, Ruling("deny", "baseline.laundering"))
KEPT = WriteReport(None, "derived", (), ("peek",), False, Ruling("passes"))
WHOLE = StatementReport(
    "select", Allow("baseline.all"), None, None, (MASKED, SHOWN, DERIVED), (CONDITION,), (WRITE, KEPT), ("peek",), ("public.people",),
    ("public.notes",), is_understood=True, wants_estimate=True,
)  # fmt: skip
NO_RIGHT = StatementReport(
    "select", Deny("r", ReasonCode.POLICY_DENIED, "It may not.", "Ask."), None, Gap("no_right", "It may not be asked.", "GRANT this;")
)
REJECTED = StatementReport("select", Allow("a"), None, rejection='relation "x" does not exist (SQLSTATE 42P01)')


class Told:
    """Stands in for the use case: keeps what it is asked, and answers with statements that a test has laid down."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, bytes, Asker, NameSpace]] = []
        self.statements: tuple[StatementReport, ...] = (WHOLE,)

    async def __call__(self, _config: Any, database: str | None, text: bytes, asker: Asker, names: NameSpace) -> LineageReport:
        self.asked.append((database, text, asker, names))
        return LineageReport("shop", asker.principal.label, "shop_app", "g", self.statements)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    made = Told()
    monkeypatch.setattr(command, "lineage", made)
    return made


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "querywarden.yaml"
    file.write_text(CONFIG)
    return file


def run(config_file: Path, *arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(app, ["lineage", "-c", str(config_file), *arguments], input=text)


def test_a_person_reads_columns_conditions_writes_and_the_decision(config_file: Path, told: Told) -> None:
    shown = run(config_file, "SELECT 'hunter22'", "--database", "shop")
    assert shown.exit_code == 0
    for text in (
        "ma\\u{1b}[31mil", "masked by email", "public.people.mail is email (by its name)", "nothing of a column is in it",
        "computed from public.people.mail", "peek()", "NULL",
        "compared, searched or computed with public.people.mail [email]: hold by baseline.probe",
        "writes public.notes.text from public.people.mail [email] (direct): deny by baseline.laundering",
        "writes what a function keeps from peek(): passes",
        "functions that aren't followed: peek", "reads public.people", "changes public.notes", "ALLOW  by baseline.all",
        "estimate of the rows", "as someone on shop, by the role shop_app",
    ):  # fmt: skip
        assert text in shown.output
    assert "\x1b" not in shown.output
    assert "hunter22" not in shown.output


def test_what_is_lost_is_told_with_its_remedy_and_a_rejection_ends_with_one(config_file: Path, told: Told) -> None:
    told.statements = (NO_RIGHT, REJECTED)
    shown = run(config_file, "SELECT 1; SELECT 2")
    assert shown.exit_code == 1
    for text in ("Statement 2", "It may not be asked.", "→ GRANT this;", "DENY  by r", "It may not.", 'relation "x" does not exist'):
        assert text in shown.output


def test_the_text_comes_from_the_argument_stdin_or_a_file(config_file: Path, told: Told, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_bytes(b"SELECT 'f\xfc'")
    assert run(config_file, "SELECT 1").exit_code == 0
    assert run(config_file, "-", text="SELECT 2").exit_code == 0
    assert run(config_file, "--file", str(tmp_path / "q.sql")).exit_code == 0
    assert [text for _, text, _, _ in told.asked] == [b"SELECT 1", b"SELECT 2", b"SELECT 'f\xfc'"]


@pytest.mark.parametrize("arguments", [(), ("SELECT 1", "--file", "q.sql"), ("--file", "/nowhere/q.sql")])
def test_one_text_is_wanted(config_file: Path, told: Told, arguments: tuple[str, ...]) -> None:
    assert run(config_file, *arguments).exit_code == 1
    assert told.asked == []


def test_the_principal_and_the_name_space(config_file: Path, told: Told) -> None:
    options = (
        "--as",
        "ada",
        "--group",
        "a",
        "--groups",
        "b, c",
        "--kind",
        "agent",
        "--actor",
        "bot",
        "--search-path",
        "x, y",
        "--role",
        "r",
    )
    assert run(config_file, "SELECT 1", *options).exit_code == 0
    [(_, _, asker, names)] = told.asked
    who = asker.principal
    assert (who.subject, who.groups, who.kind, who.label) == ("ada", frozenset("abc"), PrincipalKind.AGENT, "bot for ada")
    assert names == NameSpace("x, y", "r")


def test_as_json(config_file: Path, told: Told) -> None:
    data = json.loads(run(config_file, "SELECT 1", "--json").output)
    assert (data["database"], data["principal"], data["role"], len(data["statements"])) == ("shop", "someone", "shop_app", 1)
    [statement] = data["statements"]
    assert statement["writes"][1]["target"] is None
    assert statement["conditions"][0]["ruling"] == {"outcome": "hold", "rule": "baseline.probe"}
    assert [each["treatment"] for each in statement["columns"]] == ["masked", "shown", "null"]
