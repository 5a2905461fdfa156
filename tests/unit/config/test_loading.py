"""Loading the configuration: defaults, paths, variables, and errors that say where and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from querywarden.config.approval_settings import ApiSettings, WebhookEvent
from querywarden.config.loading import load_config, load_section, server_password
from querywarden.config.models import ControlSettings, TlsMode
from querywarden.errors import ConfigurationError
from querywarden.model.decision import WaitMode
from querywarden.model.limits import Limits
from querywarden.model.resource import Environment
from querywarden.session.effects import Durability

MINIMAL = """\
listeners:
  - port: 6432
    allow_plaintext_loopback: true
databases:
  shop:
    server: {host: db.example.com, database: shop, role: shop_app, password: "${SHOP_PASSWORD}"}
identity:
  issuers:
    - {issuer: "https://idp.example.com", audience: querywarden}
"""
ENVIRONMENT = {"SHOP_PASSWORD": "s3cret"}


def load(tmp_path: Path, text: str, environment: dict[str, str] | None = None):  # type: ignore[no-untyped-def]
    file = tmp_path / "querywarden.yaml"
    file.write_text(text)
    return load_config(file, ENVIRONMENT if environment is None else environment)


def test_little_has_to_be_said(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert config.listeners[0].host == "127.0.0.1"
    assert config.databases["shop"].environment is Environment.PRODUCTION
    assert config.databases["shop"].server.tls.mode is TlsMode.PREFER
    assert (config.audit.durability.reads, config.audit.durability.writes) == (Durability.WRITTEN, Durability.DURABLE)
    assert config.limits.limits() == Limits()
    assert config.identity.service_tokens.enabled


def test_paths_are_relative_to_the_file_also_those_of_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL + "policy: {file: rules/policy.yaml}\ncontrol:\naudit: {directory: /var/log/qw}\n")
    assert config.policy.file == tmp_path / "rules/policy.yaml"
    assert config.audit.directory == Path("/var/log/qw")
    assert config.masking.key_file == tmp_path / "data/masking.key"
    assert config.control.url == f"sqlite:///{tmp_path}/data/control.db"


def test_absolute_and_other_control_urls_stay_as_they_are(tmp_path: Path) -> None:
    for url in ("sqlite:////var/lib/control.db", "postgresql://qw@db/control"):
        assert load(tmp_path, MINIMAL + f"control: {{url: '{url}'}}\n").control.url == url


def test_approvals_have_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert (config.api.enabled, config.api.socket, config.api.socket_permissions) == (True, tmp_path / "data/querywarden.sock", 0o600)
    assert (config.api.listen, config.api.url, config.api.administrators) == (None, None, ("querywarden-admins",))
    assert (config.approvals.mode, config.approvals.agent_mode) == (WaitMode.WAIT, WaitMode.FAIL)
    assert (config.approvals.notice_seconds, config.approvals.retention_days, config.webhooks) == (30.0, 30, ())


def test_a_webhook_keeps_its_secrets(tmp_path: Path) -> None:
    text = MINIMAL + 'webhooks: [{url: "https://hooks.example.com/T0/${SHOP_PASSWORD}", format: slack, secret: "${SHOP_PASSWORD}"}]\n'
    config = load(tmp_path, text)
    hook = config.webhooks[0]
    assert hook.url == "https://hooks.example.com/T0/s3cret"
    assert hook.events == tuple(WebhookEvent)
    assert "s3cret" not in repr(config)


def test_a_socket_of_a_proxy_without_api_may_be_anything(tmp_path: Path) -> None:
    assert not load(tmp_path, MINIMAL + f"api: {{enabled: false, socket: /{'x' * 107}}}\n").api.enabled


def test_limits_can_be_moved(tmp_path: Path) -> None:
    limits = load(tmp_path, MINIMAL + "limits: {sessions_max: 7, drain_seconds_max: 1.5}\n").limits.limits()
    assert (limits.sessions_max, limits.drain_seconds_max) == (7, 1.5)
    assert limits.high_water_bytes == Limits().high_water_bytes


def test_passwords_come_from_the_environment_or_a_file_and_never_show(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    secret = server_password(config.databases["shop"].server)
    assert secret is not None
    assert secret.reveal() == b"s3cret"
    assert "s3cret" not in repr(config) + str(config)
    (tmp_path / "pw").write_bytes(b"from file\r\nsecond line\n")
    config = load(tmp_path, MINIMAL.replace('password: "${SHOP_PASSWORD}"', "password_file: pw"))
    secret = server_password(config.databases["shop"].server)
    assert secret is not None
    assert secret.reveal() == b"from file"


def test_a_role_without_password(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL.replace(', password: "${SHOP_PASSWORD}"', ""))
    assert server_password(config.databases["shop"].server) is None


def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL.replace('password: "${SHOP_PASSWORD}"', "password_file: nowhere"))
    with pytest.raises(ConfigurationError, match="can't be read"):
        server_password(config.databases["shop"].server)


def test_variables_inside_a_text_and_for_numbers(tmp_path: Path) -> None:
    text = MINIMAL.replace("host: db.example.com", 'host: "db.${REGION}.example.com", port: "${DB_PORT}"')
    config = load(tmp_path, text, {**ENVIRONMENT, "REGION": "eu", "DB_PORT": "5433"})
    assert (config.databases["shop"].server.host, config.databases["shop"].server.port) == ("db.eu.example.com", 5433)


ERRORS = [
    ("unknown key with hint", MINIMAL + "polcy: {file: x}\n", 10, "did you mean policy?"),
    ("unknown key inside a list", MINIMAL.replace("  - port: 6432", "  - prt: 6432"), 2, "did you mean port?"),
    ("unknown key inside a mapping", MINIMAL.replace("role: shop_app", "rol: shop_app"), 6, "role"),
    ("missing", MINIMAL.replace(", role: shop_app", ""), 6, "databases.shop.server.role is missing"),
    ("wrong word", MINIMAL.replace("    server:", "    environment: prodution\n    server:"), 6, "did you mean production?"),
    ("wrong type", MINIMAL.replace("port: 6432", "port: many"), 2, "listeners.0.port"),
    ("port too large", MINIMAL.replace("port: 6432", "port: 70000"), 2, "less than or equal to 65535"),
    ("variable not set", MINIMAL.replace("${SHOP_PASSWORD}", "${SHOP_PASWORD}"), 6, "is not set (did you mean SHOP_PASSWORD?)"),
    ("no variable name", MINIMAL.replace("${SHOP_PASSWORD}", "${a b}"), 6, "is not the name of an environment variable"),
    ("plaintext not allowed", MINIMAL.replace("    allow_plaintext_loopback: true\n", ""), 2, "tokens would travel in clear"),
    ("plaintext off loopback", MINIMAL.replace("  - port: 6432", "  - port: 6432\n    host: 0.0.0.0"), 2, "not on a loopback address"),
    ("bound to nothing", MINIMAL.replace("  - port: 6432", "  - port: 6432\n    database: shp"), 3, "did you mean shop?"),
    ("plain http issuer", MINIMAL.replace("https://idp", "http://idp"), 9, "must begin with https://"),
    ("nobody", MINIMAL.split("identity:")[0] + "identity: {service_tokens: {enabled: false}}\n", 7, "nobody could log in"),
    ("API in clear", MINIMAL + "api: {listen: {port: 9443}}\n", 10, "tokens would travel in clear"),
    ("API in clear off loopback", MINIMAL + "api: {listen: {host: 0.0.0.0, allow_plaintext_loopback: true}}\n", 10, "address 0.0.0.0"),
    ("no permissions", MINIMAL + "api: {socket_mode: rw}\n", 10, "api.socket_mode"),
    ("permissions without quotes", MINIMAL + "api: {socket_mode: 0600}\n", 10, "api.socket_mode"),
    ("long socket", MINIMAL + f"api: {{socket: /{'x' * 107}}}\n", 10, "more than 107 bytes"),
    ("webhook in clear", MINIMAL + "webhooks: [{url: 'http://example.com/'}]\n", 10, "must begin with https://"),
    ("webhook with a user", MINIMAL + "webhooks: [{url: 'https://me:${SHOP_PASSWORD}@example.com/'}]\n", 10, "no user, password"),
    ("webhook without host", MINIMAL + "webhooks: [{url: 'https:///x'}]\n", 10, "needs a host"),
    ("webhook of no port", MINIMAL + "webhooks: [{url: 'https://h:99999999/x'}]\n", 10, "not a URL"),
    ("webhook with a newline", MINIMAL + 'webhooks: [{url: "https://h/x\\ny"}]\n', 10, "control characters"),
    ("unknown event", MINIMAL + "webhooks: [{url: 'https://h/x', events: [approval.grantd]}]\n", 10, "did you mean approval.granted?"),
    ("unknown mode", MINIMAL + "approvals: {mode: wat}\n", 10, "did you mean wait?"),
    ("two passwords", MINIMAL.replace('password: "$', 'password_file: x, password: "$'), 6, "not both"),
    ("no listener", MINIMAL.replace("  - port: 6432\n    allow_plaintext_loopback: true\n", "  []\n"), 1, "listeners is empty"),
    ("client certificate without key", MINIMAL.replace("role: shop_app", "role: r, tls: {certificate: c.pem}"), 6, "certificate and key"),
    ("issuer twice", MINIMAL + '    - {issuer: "https://idp.example.com", audience: other}\n', 10, "stands twice"),
    ("empty file", "", 1, "holds no settings"),
    ("not YAML", "listeners: [\n", None, "not valid YAML"),
    ("a secret in the wrong place is not quoted", MINIMAL.replace("port: 6432", 'port: "${SHOP_PASSWORD}"'), 2, "listeners.0.port"),
]


@pytest.mark.parametrize(("text", "line", "expected"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_errors_say_where_and_what(tmp_path: Path, text: str, line: int | None, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert expected in str(caught.value)
    assert str(tmp_path / "querywarden.yaml") in str(caught.value)
    assert "s3cret" not in str(caught.value)
    if line is not None:
        assert caught.value.line == line


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_config(tmp_path / "nowhere.yaml")


def test_the_example_is_valid() -> None:
    example = Path(__file__).parents[3] / "config" / "querywarden.example.yaml"
    config = load_config(example, {"SHOP_PASSWORD": "x"})
    assert "shop" in config.databases


def test_a_section_alone_needs_none_of_the_others_secrets(tmp_path: Path) -> None:
    file = tmp_path / "querywarden.yaml"
    file.write_text("databases: {shop: {server: {password: '${NOT_SET}'}}}\napi: {socket: q.sock}\n")
    assert tmp_path / "q.sock" == load_section(file, "api", ApiSettings, {}).socket
    assert f"sqlite:///{tmp_path}/data/control.db" == load_section(file, "control", ControlSettings, {}).url


def test_a_mistake_in_a_section_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "querywarden.yaml"
    file.write_text("listeners: []\napi:\n  sokcet: q.sock\n")
    with pytest.raises(ConfigurationError, match=r":3: unknown key 'sokcet' in api \(did you mean socket\?\)"):
        load_section(file, "api", ApiSettings, {})
    file.write_text("control:\n  url: '${NOT_SET}'\n")
    with pytest.raises(ConfigurationError, match=r":2: control\.url: the environment variable NOT_SET is not set"):
        load_section(file, "control", ControlSettings, {})
