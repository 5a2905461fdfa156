"""The doctor on real servers: whether the role may have the server say what it understands, and what it says where it may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from querywarden.admin.doctor import Check, Result, examine
from querywarden.config.loading import load_config
from querywarden.demo.servers import PostgresServer

ROLE, PASSWORD = "The Reader", "password-of-the-reader"
TEXT = """\
listeners: [{{port: 6432, allow_plaintext_loopback: true}}]
databases:
  shop: {{server: {{host: 127.0.0.1, port: {port}, database: plain, role: "{role}", password_file: pw}}}}
identity: {{}}
"""


@pytest.fixture
def role(server: PostgresServer) -> Iterator[str]:
    """An ordinary role of the test's own."""
    server.sql(f"CREATE ROLE \"{ROLE}\" LOGIN PASSWORD '{PASSWORD}'")
    yield ROLE
    revoke = f'REVOKE SET ON PARAMETER log_min_messages FROM "{ROLE}";'
    server.sql(f'{revoke} DROP ROLE "{ROLE}"')


async def check_of(server: PostgresServer, folder: Path) -> Check:
    """What the doctor says of the server's understanding, as that role."""
    (folder / "querywarden.yaml").write_text(TEXT.format(port=server.port, role=ROLE))
    (folder / "pw").write_text(PASSWORD)
    (folder / "pw").chmod(0o600)
    checks = {check.name: check async for check in examine(load_config(folder / "querywarden.yaml"))}
    return checks["server of shop: statement understanding"]


async def test_the_remedy_is_what_the_role_lacks(server: PostgresServer, role: str, tmp_path: Path) -> None:
    without = await check_of(server, tmp_path)
    assert Result.WARN is without.result
    assert without.remedy.endswith(f'GRANT SET ON PARAMETER log_min_messages TO "{role}";')
    server.sql(without.remedy.rpartition(": ")[2])
    granted = await check_of(server, tmp_path)
    assert (Result.OK, "") == (granted.result, granted.remedy)
    assert "rewritten parse tree" not in server.log_file.read_text(errors="replace")
