"""The SQL corpus against the real proxy: with its policy all cases come out as they say, and with none nothing is destroyed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from querywarden.demo.installations import installations

CORPUS = Path(__file__).resolve().parent / "corpus"
RUN_SECONDS_MAX = 600

NOT_BLOCKED: dict[str, str] = {}
"""must_block cases that are let through, by id, each with the reason."""

DESTRUCTIVE = {"destructive", "file-program", "privilege-setting", "admin"}
"""The categories that need no policy file; the others rest on what the corpus' policy says of its columns."""

def run(major: int, tmp_path: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """Run the corpus; returns what came of each case, by id."""
    if major not in installations():
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL {major} is missing, and CI must have it")
        pytest.skip(f"PostgreSQL {major} is missing")
    out = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, str(CORPUS / "against_pg.py"), "--server", str(major), "--json", str(out), *arguments],
        capture_output=True, text=True, timeout=RUN_SECONDS_MAX,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert done.returncode in (0, 1) and out.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return {case["id"]: case for case in json.loads(out.read_text())}


def failed(results: dict[str, dict[str, Any]], kind: str) -> dict[str, list[str]]:
    """The cases of a kind that did not come out as they should, with what went wrong."""
    return {name: case["why"] for name, case in results.items() if case["kind"] == kind and not case["ok"]}


@pytest.mark.parametrize(("major", "cases"), [(15, "pg.yaml"), (18, "pg.yaml"), (18, "more.yaml")])
def test_every_case_comes_out_as_it_should(major: int, cases: str, tmp_path: Path) -> None:
    results = run(major, tmp_path, "--cases", str(CORPUS / cases))
    written = yaml.safe_load((CORPUS / cases).read_text())["cases"]
    assert {case["id"] for case in written} == set(results)
    assert failed(results, "must_allow") == {}
    assert failed(results, "must_mask") == {}
    assert failed(results, "must_hold") == {}
    assert set(failed(results, "must_block")) == set(NOT_BLOCKED)
    unseen = [name for name, case in results.items() if case["kind"] == "must_hold" and not case["held"]]
    assert unseen == [], "whoever is held is told so"
    assert [name for name, case in results.items() if case["usable"] is False] == [], "what is masked is still usable"


def test_without_a_policy_file_nothing_is_destroyed(tmp_path: Path) -> None:
    results = run(18, tmp_path, "--baseline", "--kind", "must_block")
    written = yaml.safe_load((CORPUS / "pg.yaml").read_text())["cases"]
    wanted = {case["id"] for case in written if case["kind"] == "must_block" and case["category"] in DESTRUCTIVE}
    assert len(wanted) > 40
    assert {name: results[name]["why"] for name in sorted(wanted) if not results[name]["ok"]} == {}


def test_without_a_policy_file_ordinary_work_is_neither_refused_nor_held(tmp_path: Path) -> None:
    """Values may differ: nobody has said yet that user names are shown, and what the database's own functions compute."""
    results = run(18, tmp_path, "--baseline", "--kind", "must_allow")
    assert len(results) > 30
    other = {name: case["why"] for name, case in results.items() if not case["ok"] and case["why"] != ["step 0: values differ"]}
    assert other == {}
