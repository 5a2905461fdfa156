"""The policies that the documentation shows are policies, and do what the documentation says: its cases run against them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from querywarden.admin.policy_test import run_cases
from querywarden.config.policy_file import load_policy

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```yaml\n# (policy|cases)\.yaml\n(.*?)```", re.DOTALL)
AT = 1_780_000_000.0


def test_the_cases_of_the_how_to_come_out_as_written(tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs/how-to/write-a-policy.md").read_text())
    assert [name for name, _ in blocks] == ["policy", "cases", "policy", "cases"]
    for name, text in blocks:
        (tmp_path / f"{name}.yaml").write_text(text)
        if name == "cases":
            results = run_cases(tmp_path / "cases.yaml", None, None, AT)
            assert [(each.name, each.differences, each.note) for each in results if not each.passed or each.note] == []


@pytest.mark.parametrize("path", sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "config").glob("*policy*.yaml")))
def test_the_policies_of_the_examples_load(path: str) -> None:
    assert load_policy(ROOT / path).rules


def test_the_policy_of_the_corpus_loads() -> None:
    assert load_policy(ROOT / "tests/adversarial/corpus/policy.yaml").rules
