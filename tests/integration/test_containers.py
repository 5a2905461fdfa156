"""The proxy before a PostgreSQL in a container, where a Docker engine answers: a version that no package here brings."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

CANARY = "canary-in-a-container@example.org"


@dataclass(frozen=True)
class _ContainerServer:
    """What a site needs of a server."""

    port: int
    major: int = 17


@pytest.fixture
def container_server():
    docker = pytest.importorskip("docker")
    try:
        docker.from_env(timeout=3).ping()
    except docker.errors.DockerException:
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
