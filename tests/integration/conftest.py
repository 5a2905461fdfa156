"""Real servers, a real identity provider and the real program before them: the fixtures of the integration tests.

A `Server` is a PostgreSQL of one major version; a `Site` is a proxy before a server; an `Endpoint` is one way to a database, direct or
through the proxy, with which every driver can be called.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.integration.held_site import POLICY, Desk, set_up

from querywarden.approval.request import RequestState
from querywarden.demo.certificates import CertificateFiles, write_certificates
from querywarden.demo.installations import Psql, debian_psql, installations, wheel_psql
from querywarden.demo.issuer import Issuer
from querywarden.demo.program import CommandResult, Proxy, querywarden, write_configuration
from querywarden.demo.servers import PostgresServer, free_port
from querywarden.storage.control_store import ControlStore

ROLE = "app"
ROLE_PASSWORD = "app-password-of-the-tests"
AUDIENCE = "querywarden"
VERSIONS = (15, 16, 18)
WAIT_SECONDS_MAX = 20.0
WHOLE_TEST_SECONDS_MAX = 180


def absent(what: str) -> None:
    """Something that the tests need isn't there: a failure in CI, a skip elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is missing")


@dataclass(frozen=True)
class Endpoint:
    """A way to a database: where, who and how, in each driver's words."""

    host: str
    port: int
    database: str
    user: str
    password: str
    authority: Path | None = None

    def with_changes(self, **changes: Any) -> Endpoint:
        return replace(self, **changes)

    @property
    def conninfo(self) -> str:
        tls = "sslmode=disable" if self.authority is None else f"sslmode=verify-full sslrootcert={self.authority}"
        return (
            f"host={self.host} port={self.port} dbname={self.database} user={self.user} password='{self.password}' {tls} connect_timeout=20"
        )

    def environment(self) -> dict[str, str]:
        """For programs on libpq: psql, pg_dump, pgbench."""
        found = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        found |= {
            "PGHOST": self.host, "PGPORT": str(self.port), "PGDATABASE": self.database, "PGUSER": self.user, "PGPASSWORD": self.password,
            "PGSSLMODE": "disable" if self.authority is None else "verify-full", "PGCONNECT_TIMEOUT": "20", "PSQLRC": os.devnull,
            "PSQL_HISTORY": os.devnull, "PGTZ": "UTC",
        }  # fmt: skip
        if self.authority is not None:
            found["PGSSLROOTCERT"] = str(self.authority)
        return found

    def asyncpg(self) -> dict[str, Any]:
        """The arguments of `asyncpg.connect`."""
        tls = ssl.create_default_context(cafile=str(self.authority)) if self.authority is not None else False
        return {
            "host": self.host, "port": self.port, "database": self.database, "user": self.user, "password": self.password, "ssl": tls,
            "timeout": 20,
        }  # fmt: skip

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A psycopg connection in autocommit."""
        return psycopg.connect(self.conninfo, autocommit=options.pop("autocommit", True), **options)


class Site:
    """A proxy before a server, with what is needed to reach it."""

    def __init__(self, server: PostgresServer, issuer: Issuer, certificates: CertificateFiles, folder: Path, **sections: Any) -> None:
        self.server = server
        self.issuer = issuer
        self.folder = folder
        self.authority = certificates.authority
        self.port, self.plain_port, self.admin_port = free_port(), free_port(), free_port()
        self.audit_folder = folder / "audit"
        self.configuration = write_configuration(folder / "querywarden.yaml", self._settings(certificates, sections))
        self.proxy = Proxy(self.configuration, [self.port, self.plain_port], folder / "proxy.log")

    def _settings(self, certificates: CertificateFiles, sections: Mapping[str, Any]) -> dict[str, Any]:
        tls = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
        here = {"host": "127.0.0.1", "port": self.server.port, "role": ROLE, "password": ROLE_PASSWORD}
        return {
            "listeners": [
                {"host": "127.0.0.1", "port": self.port, "tls": tls},
                {"host": "127.0.0.1", "port": self.plain_port, "allow_plaintext_loopback": True},
            ],
            "databases": {
                "plain": {"server": {**here, "database": "plain"}, "environment": "development"},
                "people": {"server": {**here, "database": "people"}, "environment": "development"},
                "shop": {"server": {**here, "database": "people"}, "environment": "production"},
            },
            "identity": {"issuers": [{"issuer": self.issuer.url, "audience": AUDIENCE}]},
            "control": {"url": f"sqlite:///{self.folder / 'control.db'}"},
            "masking": {"key_file": "masking.key"},
            "audit": {"directory": str(self.audit_folder)},
            "admin": {"port": self.admin_port},
            # What is held is told at once, where a test doesn't ask for more: nobody is there to approve it.
            "approvals": {"mode": "fail", "pending_max": 1000},
            **sections,
        }

    def token(self, subject: str = "alice", **claims: Any) -> str:
        return self.issuer.mint(subject, **{"groups": ["engineers"], **claims})

    def direct(self, database: str = "plain") -> Endpoint:
        server_database = "people" if database == "shop" else database
        return Endpoint("127.0.0.1", self.server.port, server_database, ROLE, ROLE_PASSWORD)

    def through(self, database: str = "plain", user: str = "alice", *, token: str | None = None, tls: bool = True) -> Endpoint:
        token = self.token(user) if token is None else token
        if not tls:
            return Endpoint("127.0.0.1", self.plain_port, database, user, token)
        return Endpoint("localhost", self.port, database, user, token, self.authority)

    def command(self, *arguments: str) -> CommandResult:
        return querywarden(*arguments, "-c", str(self.configuration))

    def verify(self) -> CommandResult:
        """`audit verify` on the log of a proxy that has stopped."""
        return querywarden("audit", "verify", str(self.audit_folder))


@pytest.fixture(autouse=True)
def deadline() -> Iterator[None]:
    """A session that nobody answers must fail its test, not hold up all others."""

    def end(_number: int, _frame: object) -> None:
        raise TimeoutError(f"the test took longer than {WHOLE_TEST_SECONDS_MAX} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(WHOLE_TEST_SECONDS_MAX)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def site_class() -> type[Site]:
    """For tests that bring a server of their own."""
    return Site


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return write_certificates(tmp_path_factory.mktemp("tls"))


def make_server(major: int) -> PostgresServer:
    found = installations().get(major)
    if found is None:
        absent(f"PostgreSQL {major}")
    assert found is not None
    server = PostgresServer(found, {"log_statement": "all", "log_line_prefix": "%a|", "lc_messages": "C", "timezone": "UTC"}).start()
    server.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE_PASSWORD}'; GRANT SET ON PARAMETER log_min_messages TO {ROLE};")
    for database in ("plain", "people"):
        server.sql(f"CREATE DATABASE {database} OWNER {ROLE};")
        server.sql(f"ALTER SCHEMA public OWNER TO {ROLE};", database)
    return server


@pytest.fixture(scope="session", params=VERSIONS, ids=lambda major: f"pg{major}")
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    server = make_server(request.param)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def server18() -> Iterator[PostgresServer]:
    server = make_server(18)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def site(
    server: PostgresServer, issuer: Issuer, certificates: CertificateFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The proxy that most scenarios share; its log is verified once all of them have run."""
    site = Site(server, issuer, certificates, tmp_path_factory.mktemp(f"site{server.major}"))
    site.proxy.start()
    yield site
    assert site.proxy.stop() == 0
    verified = site.verify()
    assert verified.code == 0, verified.out + verified.err


@pytest.fixture
def make_site(
    server18: PostgresServer, issuer: Issuer, certificates: CertificateFiles, tmp_path: Path
) -> Iterator[Callable[..., Site]]:
    """Proxies of a test's own, before PostgreSQL 18: to be killed, filled up, reloaded. Arguments replace sections of the configuration."""
    made: list[Site] = []
    numbers = itertools.count(1)

    def make(**sections: Any) -> Site:
        folder = tmp_path / f"site{next(numbers)}"
        folder.mkdir()
        site = Site(server18, issuer, certificates, folder, **sections)
        made.append(site)
        site.proxy.start()
        return site

    yield make
    for site in made:
        if site.proxy.is_running:
            site.proxy.stop()


def empty(server: PostgresServer, database: str) -> None:
    """Take everything out of a database, behind the proxy's back."""
    server.sql(
        "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app;"
        "SELECT lo_unlink(oid) FROM pg_largeobject_metadata;",
        database,
    )


@pytest.fixture
def expect_both(site: Site) -> Callable[[Callable[[Endpoint], Any]], Any]:
    """Run a scenario direct and through the proxy, each on an empty database, and compare what it returns."""

    def run(scenario: Callable[[Endpoint], Any]) -> Any:
        empty(site.server, "plain")
        expected = scenario(site.direct())
        empty(site.server, "plain")
        actual = scenario(site.through())
        assert expected == actual
        return actual

    return run


@pytest.fixture
def expect_both_async(site: Site) -> Callable[[Callable[[Endpoint], Awaitable[Any]]], Awaitable[Any]]:
    """As `expect_both`, for coroutines."""

    async def run(scenario: Callable[[Endpoint], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(WHOLE_TEST_SECONDS_MAX / 2):
            empty(site.server, "plain")
            expected = await scenario(site.direct())
            empty(site.server, "plain")
            actual = await scenario(site.through())
        assert expected == actual
        return actual

    return run


@pytest.fixture(params=(15, 18), ids=lambda major: f"psql{major}")
def psql(request: pytest.FixtureRequest) -> Psql:
    found = debian_psql(15) if request.param == 15 else wheel_psql(18)
    if found is None:
        absent(f"psql {request.param}")
    assert found is not None
    return found


@pytest.fixture
def run_psql() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run psql with a script on its standard input, or with arguments."""

    def run(psql: Psql, endpoint: Endpoint, script: str = "", *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**endpoint.environment(), **psql.environment()}
        return subprocess.run(
            [str(psql.program), "-X", *arguments], input=script, capture_output=True, text=True, check=False, timeout=90, env=environment,
            **options,
        )  # fmt: skip

    return run


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Wait until a condition holds, up to a deadline."""

    def wait(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS_MAX) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"{what} did not happen within {seconds} s")
            time.sleep(0.05)

    return wait


@pytest.fixture(scope="module")
def held_site(server18, issuer, certificates, site_class, tmp_path_factory) -> Iterator[Site]:
    """One proxy for all of these tests; its log is verified when they have run."""
    folder = tmp_path_factory.mktemp("holds")
    (folder / "policy.yaml").write_text(POLICY)
    site = site_class(server18, issuer, certificates, folder, policy={"file": "policy.yaml"}, approvals={"notice_seconds": 1})
    site.proxy.start()
    yield site
    if site.proxy.is_running:
        assert 0 == site.proxy.stop()
    verified = site.verify()
    assert 0 == verified.code, verified.out + verified.err


@pytest.fixture
def desk(held_site) -> Iterator[Desk]:
    set_up(held_site.server)
    desk = Desk(held_site)
    yield desk
    desk.close()
    if not held_site.proxy.is_running:
        held_site.proxy.start()
    take_back(f"sqlite:///{held_site.folder / 'control.db'}")


def take_back(url: str) -> None:
    """Withdraw what a test has left waiting for an answer, so that the next may ask as much."""
    store = ControlStore(url)
    for request in store.list_requests(RequestState.PENDING, limit=1000):
        store.withdraw(request.id, "cancelled", time.time())
    store.close()
