"""`querywarden policy check` and `explain`, on files alone, and the reference page."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from querywarden.admin.policy_reference import PROPERTY_TEXTS, policy_reference
from querywarden.cli.policy import app
from querywarden.model.facts import Hazard
from querywarden.policy.baseline import BASELINE, BASELINE_RULES
from querywarden.policy.language import Trait

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(each) for each in arguments])


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(
        "version: 1\n"
        "access:\n  - who: {groups: [analysts]}\n"
        "rules:\n"
        "  - id: no-orders\n    effect: deny\n    who: {groups: [analysts]}\n    writes: [orders]\n    because: Orders are closed.\n"
        "  - id: migrate\n    effect: allow\n    who: {groups: [release]}\n    overrides: [baseline.schema_change]\n"
        "reveal:\n  - who: {groups: [support]}\n    classes: [email]\n"
        "columns:\n  public.users.handle: username\n"
    )
    return path


def explained(run, *arguments):
    result = run("explain", *arguments, "--json")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    return found


def test_check_prints_the_rules_of_a_file(run, policy):
    result = run("check", policy)

    assert result.exit_code == 0
    assert "no-orders" in result.stdout
    assert "overrides baseline.schema_change" in result.stdout
    assert f"and {len(BASELINE_RULES)} built-in rules" in result.stdout
    assert "baseline.destructive" not in result.stdout


def test_check_without_a_file_prints_the_baseline(run):
    result = run("check")

    assert result.exit_code == 0
    assert all(rule.id in result.stdout for rule in BASELINE_RULES)
    assert BASELINE.version[:12] in result.stdout


def test_check_as_json(run, policy):
    found = json.loads(run("check", policy, "--json").stdout)

    assert [rule["id"] for rule in found["rules"]][:2] == ["no-orders", "migrate"]
    assert found["columns"] == ["public.users.handle: username, everywhere"]


@pytest.mark.parametrize("command", [["check"], ["explain", "--statement", "SELECT 1"]])
def test_a_mistake_is_told_with_file_and_line_and_exit_code_1(run, tmp_path, command):
    path = tmp_path / "wrong.yaml"
    path.write_text("version: 1\nrules:\n  - id: a\n    effect: deny\n    verbs: [delte]\n")

    result = run(command[0], path, *command[1:])

    assert result.exit_code == 1
    assert result.stderr == f"{path}:5: unknown verb 'delte' (did you mean delete?)\n"


def test_explain_tells_the_rule_that_decides(run, policy):
    found = explained(run, policy, "--statement", "DELETE FROM orders WHERE id = 1", "--group", "analysts")

    assert found["decision"]["outcome"] == "deny"
    assert found["decision"]["rule"] == "no-orders"
    assert found["decision"]["sentence"] == "Orders are closed."
    assert found["decision"]["sqlstate"] == "42501"
    assert [rule["rule"] for rule in found["parts"][0]["rules"] if rule["outcome"] == "decides"] == ["no-orders"]
    assert found["access"] is None


def test_explain_tells_who_may_not_connect(run, policy):
    assert explained(run, policy, "--statement", "SELECT 1", "--group", "nobody")["access"]["rule"] == "policy.access"


def test_explain_tells_what_was_overridden(run, policy):
    found = explained(run, policy, "--statement", "CREATE TABLE t (id int)", "--groups", "release, other", "--environment", "production")

    assert found["decision"]["outcome"] == "allow"
    outcomes = {rule["rule"]: (rule["outcome"], rule["why"]) for rule in found["parts"][0]["rules"]}
    assert outcomes["baseline.schema_change"] == ("overridden", "by migrate")
    assert outcomes["baseline.destructive"] == ("does not match", "its properties differ")


def test_explain_with_the_baseline_alone_and_a_catalogue(run, tmp_path):
    catalogue = tmp_path / "classes.yaml"
    catalogue.write_text("public.users:\n  id:\n  email: email\n")

    found = explained(run, "--statement", "COPY users TO STDOUT", "--catalogue", catalogue)

    assert found["decision"]["rule"] == "baseline.classified_copy"


def test_the_classes_of_a_policy_are_stronger_than_those_of_the_catalogue(run, policy, tmp_path):
    catalogue = tmp_path / "classes.yaml"
    catalogue.write_text("public.users:\n  handle: null\n")

    found = explained(run, policy, "--statement", "COPY users TO STDOUT", "--catalogue", catalogue)

    assert found["decision"]["rule"] == "baseline.classified_copy"


def test_a_mistake_in_the_catalogue_has_its_line(run, tmp_path):
    catalogue = tmp_path / "classes.yaml"
    catalogue.write_text("public.users:\n  id: null\n  email: emial\n")

    result = run("explain", "--statement", "SELECT 1", "--catalogue", catalogue)

    assert result.exit_code == 1
    assert result.stderr == f"{catalogue}:3: unknown class 'emial' (did you mean email?)\n"


def test_explain_for_the_terminal(run, policy):
    result = run("explain", policy, "--statement", "SELECT 1; DROP TABLE orders", "--group", "support", "--kind", "service")

    assert result.exit_code == 0
    assert "ALLOW  by migrate" not in result.stdout
    assert "ALLOW  by baseline.people_and_services" in result.stdout
    assert "unmasked: email" in result.stdout
    assert "DENY  by baseline.destructive" in result.stdout
    assert "The principal may not connect" in result.stdout
    assert "does not match" not in result.stdout
    assert "does not match" in run("explain", policy, "--statement", "SELECT 1", "--all").stdout


def test_explain_for_an_agent_tells_the_row_cap(run):
    assert "at most 10000 rows" in run("explain", "--statement", "SELECT 1", "--kind", "agent").stdout


@pytest.mark.parametrize("text", ["SELEKT 1", "SELECT '\x00'", "\udcff"])
def test_what_can_not_be_analysed_is_explained_as_a_refusal(run, text):
    found = explained(run, "--statement", text)

    assert found["decision"]["rule"] == "baseline.unanalysable"
    assert found["parts"] == []


def test_a_text_without_statements(run):
    assert "no statement" in run("explain", "--statement", " -- nothing\n").stdout


def test_every_property_is_described():
    assert set(PROPERTY_TEXTS) == {*Hazard, *Trait}


def test_the_reference_page_is_up_to_date():
    assert (ROOT / "docs" / "reference" / "policy.md").read_text(encoding="utf-8") == policy_reference()
