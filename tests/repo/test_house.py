"""The house's rules, read off the tree: sizes, names, docstrings, the map, the mirror of unit tests, pinned dependencies."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "querywarden"
BANNED = {"utils", "util", "helpers", "helper", "common", "base", "manager", "handler", "core", "types", "connection", "misc"}
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70


def _sources():
    return sorted(p for p in (*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxi")) if "__pycache__" not in p.parts)


def _trees():
    for folder in ("src", "tests", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text())


def _where(path, line=None):
    place = str(path.relative_to(ROOT))
    return place if line is None else f"{place}:{line}"


def test_files_have_a_readable_size():
    sizes = {path: path.read_text().count("\n") for path in _sources()}
    too_long = [_where(path) for path, lines in sizes.items() if lines > FILE_LINES_MAX]
    assert too_long == []
    assert statistics.median(lines for lines in sizes.values() if lines > 5) <= 200


def test_functions_have_a_readable_size():
    too_long = [
        f"{_where(path, node.lineno)} {node.name}"
        for path, tree in _trees()
        if path.is_relative_to(PACKAGE)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert too_long == []


def test_no_file_has_a_name_that_says_nothing():
    assert [_where(path) for path in _sources() if path.stem in BANNED] == []


def test_nothing_is_left_for_later():
    marks = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b")
    left = [_where(path) for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py*") if path.suffix in
            {".py", ".pyx"} and marks.search(path.read_text())]  # fmt: skip
    assert left == []


def test_everything_public_says_what_it_is():
    silent = []
    for path, tree in _trees():
        if not path.is_relative_to(PACKAGE):
            continue
        if not ast.get_docstring(tree):
            silent.append(_where(path))
        silent += [
            f"{_where(path, node.lineno)} {node.name}"
            for node in tree.body
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ]
    assert silent == []


def test_the_map_lists_every_package():
    described = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text())) or ""
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {name for name in packages if not re.search(rf"\b{name}\b", described)} == set()
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name not in {"__pycache__", ".mypy_cache"}}
    assert packages == folders, "every folder is a package"


def test_unit_tests_mirror_the_source():
    """A folder of unit tests is named after a package; other kinds of tests have folders of their own."""
    unit = ROOT / "tests" / "unit"
    strangers = [_where(path) for path in unit.rglob("*") if path.is_dir() and path.name != "__pycache__" and not
                 (PACKAGE / path.relative_to(unit)).is_dir()]  # fmt: skip
    assert strangers == []


def test_unit_tests_do_not_sleep():
    sleeping = [
        _where(path)
        for kind in ("unit", "model", "wire", "adversarial")
        for path in sorted((ROOT / "tests" / kind).rglob("*.py"))
        if re.search(r"\btime\.sleep\(|\basyncio\.sleep\((?!0\))", path.read_text())
    ]
    assert sleeping == []


def _asserts(node, asserting=frozenset()):
    """Whether a function can fail: by an assert, `pytest.raises`, a call of something that asserts, or `suppress` of what is allowed."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    return (
        any(isinstance(n, (ast.Assert, ast.Raise)) for n in ast.walk(node))
        or any(name.startswith(("assert", "expect", "check")) for name in names)
        or not names.isdisjoint({"raises", "suppress", "expect_both", "expect_both_async", "fail"})
        or not asserting.isdisjoint(names)
    )


def test_tests_assert_something():
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    empty = []
    for path, tree in _trees():
        if path.is_relative_to(ROOT / "tests") and path.name.startswith("test_"):
            found = [node for node in ast.walk(tree) if isinstance(node, functions)]
            # Two rounds, so that a helper of a helper counts.
            asserting = {node.name for node in found if _asserts(node)}
            asserting |= {node.name for node in found if _asserts(node, frozenset(asserting))}
            empty += [
                f"{_where(path, node.lineno)} {node.name}"
                for node in found
                if node.name.startswith("test_") and not _asserts(node, frozenset(asserting))
            ]
    assert empty == []


@pytest.mark.parametrize(
    "name",
    ["README.md", "CHANGELOG.md", "LICENSE", "Makefile", ".ci/run", "pyproject.toml", "requirements.lock", "Dockerfile",
     "docker-compose.yml", "docs/index.md", "docs/tutorial/first-steps.md", "docs/explanation/life-of-a-statement.md"],
)  # fmt: skip
def test_the_repository_has_its_parts(name):
    assert (ROOT / name).is_file()


def test_the_changelog_begins_with_security():
    text = (ROOT / "CHANGELOG.md").read_text()
    version = re.split(r"^## ", text, flags=re.MULTILINE)[1]
    assert "### Security" in version
    assert version.index("### Security") == version.index("### ")


def _dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    return {re.split(r"[\[<>=~! ]", name, maxsplit=1)[0] for name in wanted} - {"querywarden"}


def test_every_dependency_is_pinned_and_has_a_reason():
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lock if "==" in line}
    reasons = (ROOT / "docs" / "adr" / "0001-dependencies.md").read_text().lower()
    names = {name.lower().replace("_", "-") for name in _dependencies()}
    assert names - pinned == set()
    assert {name for name in names if name.removesuffix("-client") not in reasons and name != "setuptools"} == set()


def test_links_of_the_documentation_lead_somewhere():
    broken = []
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{_where(page)}: {target}")
    assert broken == []


def test_no_compiled_or_generated_file_is_tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    names = listed.stdout.splitlines()
    assert [name for name in names if name.endswith((".so", ".c", ".pyc")) or name.startswith((".venv", ".demo"))] == []
