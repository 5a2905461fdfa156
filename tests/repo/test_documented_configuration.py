"""The configuration that the README, the tutorial and docker-compose.yml show is configuration that the program takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from querywarden.config.loading import load_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/first-steps.md"])
def test_yaml_of_the_pages_loads(page, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "a password")
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block)
        assert "shop" in load_config(path).databases
        assert len(block.splitlines()) < 10, "the README promises fewer than ten lines"


def test_configuration_of_the_compose_file_loads(monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "a password")
    config = load_config(ROOT / "config" / "compose" / "querywarden.yaml")
    assert config.databases["shop"].server.host == "postgres"
