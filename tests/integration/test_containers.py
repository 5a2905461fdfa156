"""The proxy before a PostgreSQL in a container, where a Docker engine answers: a version that no package here brings."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

import pytest

CANARY = "canary-in-a-container@example.org"


@dataclass(frozen=True)
class _ContainerServer:
    """What a site needs of a server."""

    port: int
    major: int = 17


def _engine_answers() -> bool:
    """Whether somebody listens where the engine would; asked without its client, which leaves a socket open when nobody does."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(3)
        return probe.connect_ex(host.removeprefix("unix://")) == 0


@pytest.fixture
def container_server():
    if not _engine_answers():
        pytest.skip("no Docker engine answers")
    containers = pytest.importorskip("testcontainers.postgres")
    with containers.PostgresContainer("postgres:17", username="app", password="app-password-of-the-tests", dbname="people") as container:
        yield _ContainerServer(int(container.get_exposed_port(5432)))


@pytest.mark.docker
def test_rows_are_masked_before_a_server_in_a_container(container_server, issuer, certificates, tmp_path, site_class):
    site = site_class(container_server, issuer, certificates, tmp_path)
    site.proxy.start()
    try:
        with site.through("people").connect() as connection:
            connection.execute("CREATE TABLE people (id int, email text)")
            connection.execute("INSERT INTO people VALUES (1, %s)", [CANARY])
            shown = connection.execute("SELECT id, email FROM people").fetchall()
        assert shown[0][0] == 1
        assert CANARY not in str(shown)
    finally:
        assert site.proxy.stop() == 0
