"""The policy in force: a changed file takes over whole, a broken one not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from querywarden.config.key_files import is_private, load_or_create_key
from querywarden.config.watch import PolicyBroken, PolicyChanged, PolicyWatch
from querywarden.errors import ConfigurationError
from querywarden.policy.baseline import BASELINE

FIRST = "version: 1\nrules: []\n"
SECOND = "version: 1\nrules:\n  - {id: no-orders, effect: deny, relations: [orders]}\n"


def write(path: Path, text: str) -> None:
    """Replace a file as editors do, so that its inode changes whatever the clock's grain is."""
    draft = path.with_suffix(".new")
    draft.write_text(text)
    os.replace(draft, path)


def test_no_file_means_the_built_in_rules() -> None:
    watch = PolicyWatch(None)
    assert watch.policy is BASELINE
    assert watch.look(is_forced=True) is None


def test_a_change_takes_over_and_a_broken_file_does_not(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    write(file, FIRST)
    watch = PolicyWatch(file)
    first = watch.policy
    assert watch.look() is None
    write(file, SECOND)
    changed = watch.look()
    assert changed == PolicyChanged(first, watch.policy)
    assert watch.policy.version != first.version
    write(file, "version: 1\nrules: [{id: x, effect: dney}]\n")
    second = watch.policy
    broken = watch.look()
    assert isinstance(broken, PolicyBroken)
    assert "did you mean deny?" in str(broken.error)
    assert watch.policy is second
    assert not watch.is_valid
    assert watch.look() is None, "a broken file is told once"
    assert isinstance(watch.look(is_forced=True), PolicyBroken)
    write(file, SECOND)
    assert watch.look() is None
    assert watch.is_valid


def test_a_file_that_goes_away_leaves_the_policy(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    write(file, SECOND)
    watch = PolicyWatch(file)
    file.unlink()
    assert isinstance(watch.look(), PolicyBroken)
    assert any(rule.id == "no-orders" for rule in watch.policy.rules)


def test_a_broken_file_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    write(file, "version: 2\n")
    with pytest.raises(ConfigurationError, match=r"policy\.yaml:1"):
        PolicyWatch(file)


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "masking.key"
    key = load_or_create_key(path, 32, os.urandom)
    assert load_or_create_key(path, 32, os.urandom) == key
    assert is_private(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["masking.key"]


@pytest.mark.parametrize("content", [b"", b"not hexadecimal", b"00" * 31])
def test_a_key_file_that_holds_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "masking.key"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        load_or_create_key(path, 32, os.urandom)
