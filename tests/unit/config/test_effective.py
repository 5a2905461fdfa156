"""The effective settings and the generated reference."""

from __future__ import annotations

from pathlib import Path

from querywarden.config.effective import HIDDEN, effective_settings, reference_page
from querywarden.config.loading import load_config_and_source

TEXT = """\
listeners: [{port: 6432, allow_plaintext_loopback: true}]
databases:
  shop: {server: {host: localhost, database: shop, role: shop_app, password: hunter22}}
identity: {issuers: [{issuer: "https://idp.example.com", audience: querywarden}]}
control: {url: "postgresql://qw:hunter33@db/control"}
webhooks: [{url: "https://hooks.example.com/hunter44", secret: hunter55}]
"""


def test_values_defaults_and_hidden_secrets(tmp_path: Path) -> None:
    file = tmp_path / "querywarden.yaml"
    file.write_text(TEXT)
    settings = {setting.name: setting for setting in effective_settings(*load_config_and_source(file))}
    assert (settings["listeners[0].port"].value, settings["listeners[0].port"].is_default) == (6432, False)
    assert (settings["listeners[0].host"].value, settings["listeners[0].host"].is_default) == ("127.0.0.1", True)
    assert (settings["databases.shop.environment"].value, settings["databases.shop.environment"].is_default) == ("production", True)
    assert settings["databases.shop.server.password"].value == HIDDEN
    assert settings["control.url"].value == f"postgresql://qw:{HIDDEN}@db/control"
    assert settings["webhooks[0].url"].value == f"https://hooks.example.com/{HIDDEN}"
    assert settings["webhooks[0].secret"].value == HIDDEN
    assert settings["audit.durability.reads"].is_default
    assert settings["audit.directory"].value == str(tmp_path / "data/audit")
    assert "hunter" not in str(settings)


def test_every_setting_is_described(tmp_path: Path) -> None:
    file = tmp_path / "querywarden.yaml"
    file.write_text(TEXT)
    settings = effective_settings(*load_config_and_source(file))
    undescribed = [setting.name for setting in settings if not setting.description.endswith((".", ","))]
    assert undescribed == []


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
    assert page.read_text() == reference_page(), "run: querywarden config --reference > docs/reference/configuration.md"
