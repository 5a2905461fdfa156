"""The systems that are compared: PostgreSQL direct, pgbouncer with two buffer sizes, the proxy with two durabilities."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.raw_client import Address

from querywarden.demo.certificates import CertificateFiles, write_certificates
from querywarden.demo.installations import Installation, installations
from querywarden.demo.issuer import AUDIENCE, Issuer
from querywarden.demo.program import Proxy, write_configuration
from querywarden.demo.servers import PostgresServer, free_port, server_account

ROLE, PASSWORD, DATABASE = "bench", "bench-password", "bench"
STREAM_TABLE = "bench_people"
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class System:
    """One way to the database; `process_id` 0 when it isn't ours, and its processor time and memory can't be read."""

    name: str
    address: Address
    process_id: int = 0
    has_tls: bool = False
    masks: bool = False

    def processor_seconds(self) -> float:
        """The processor time that its process has taken so far."""
        fields = Path(f"/proc/{self.process_id}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    def resident_kilobytes(self) -> int:
        """The resident size of its process."""
        for line in Path(f"/proc/{self.process_id}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def over_tls(self) -> System:
        """The same system, with TLS between client and it."""
        return replace(self, address=replace(self.address, tls=True))


class Bench:
    """Sets up everything on this machine; `close` takes it all away."""

    def __init__(self, proxies: tuple[tuple[str, str], ...] = (("proxy", "written"), ("proxy durable", "durable"))) -> None:
        self._proxies = proxies
        self._folder = Path(tempfile.mkdtemp(prefix="querywarden-bench-"))
        self._closers: list[Callable[[], object]] = [lambda: shutil.rmtree(self._folder, ignore_errors=True)]

    def systems(self, scale: int, rows: int) -> list[System]:
        """Start and fill all systems, in the order in which they are shown."""
        certificates = write_certificates(self._folder / "tls")
        server, has_tls = self._server(certificates)
        direct = System("direct", Address("127.0.0.1", server.port, DATABASE, ROLE, PASSWORD), has_tls=has_tls)
        fill(server.sql, direct.address, scale, rows)
        found = [direct]
        pgbouncer = shutil.which("pgbouncer") or ("/usr/sbin/pgbouncer" if os.path.exists("/usr/sbin/pgbouncer") else None)
        if pgbouncer is None:
            print("pgbouncer isn't installed (Debian: apt-get install pgbouncer): its columns are left out")
        else:
            sizes = (("pgbouncer", 4096), ("pgbouncer 64K", 65536))
            found += [self._pgbouncer(pgbouncer, server, certificates, name, size) for name, size in sizes]
        issuer = Issuer(token_seconds=86_400).start()
        self._closers.append(issuer.stop)
        token = issuer.mint("alice", lifetime_seconds=80_000)
        found += [self._proxy(server, issuer, token, certificates, name, reads) for name, reads in self._proxies]
        return found

    def _server(self, certificates: CertificateFiles) -> tuple[PostgresServer, bool]:
        installation = _with_tls() or installations()[18]
        server = PostgresServer(installation, {"max_connections": "500", "shared_buffers": "512MB", "synchronous_commit": "off"})
        self._closers.append(server.remove)
        has_tls = not installation.is_wheel
        server.start()
        if has_tls:
            self._switch_tls_on(server, certificates)
        server.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE {DATABASE} OWNER {ROLE};")
        return server, has_tls

    def _switch_tls_on(self, server: PostgresServer, certificates: CertificateFiles) -> None:
        account = server_account()
        copies = {}
        for name, source in (("ssl_cert_file", certificates.certificate), ("ssl_key_file", certificates.key)):
            copies[name] = server.folder / source.name
            shutil.copy(source, copies[name])
            os.chmod(copies[name], 0o600)
            if account is not None:
                os.chown(copies[name], account.uid, account.gid)
        for name, path in copies.items():
            server.sql(f"ALTER SYSTEM SET {name} = '{path}'")
        server.sql("ALTER SYSTEM SET ssl = on")
        server.sql("SELECT pg_reload_conf()")

    def _pgbouncer(self, program: str, server: PostgresServer, certificates: CertificateFiles, name: str, buffer_bytes: int) -> System:
        folder = self._folder / name.replace(" ", "-")
        folder.mkdir()
        port = free_port()
        for source in (certificates.certificate, certificates.key):
            shutil.copy(source, folder / source.name)
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n{DATABASE} = host=127.0.0.1 port={server.port} dbname={DATABASE} user={ROLE} password={PASSWORD}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = session\n"
            f"default_pool_size = 200\nmax_client_conn = 1000\npkt_buf = {buffer_bytes}\nignore_startup_parameters = extra_float_digits\n"
            f"client_tls_sslmode = allow\nclient_tls_cert_file = {folder / certificates.certificate.name}\n"
            f"client_tls_key_file = {folder / certificates.key.name}\nlogfile = {folder / 'log'}\n"
            "log_connections = 0\nlog_disconnections = 0\n"
        )
        account = server_account()
        if account is not None:
            os.chmod(self._folder, 0o711)
            for path in (folder, *folder.iterdir()):
                os.chown(path, account.uid, account.gid)
        extra = {} if account is None else account.arguments()
        process = subprocess.Popen(
            [program, str(folder / "pgbouncer.ini")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, **extra,
        )  # fmt: skip
        self._closers.append(lambda: (process.send_signal(signal.SIGQUIT), process.wait(10)))
        wait_for(port)
        return System(name, Address("127.0.0.1", port, DATABASE, ROLE, PASSWORD), process.pid, has_tls=True)

    def _proxy(
        self, server: PostgresServer, issuer: Issuer, token: str, certificates: CertificateFiles, name: str, reads: str
    ) -> System:
        folder = self._folder / name.replace(" ", "-")
        port, tls_port = free_port(), free_port()
        configuration = write_configuration(
            folder / "querywarden.yaml",
            {
                "listeners": [
                    {"port": port, "allow_plaintext_loopback": True},
                    {"port": tls_port, "tls": {"certificate": str(certificates.certificate), "key": str(certificates.key)}},
                ],
                "databases": {
                    DATABASE: {
                        "server": {
                            "host": "127.0.0.1", "port": server.port, "database": DATABASE, "role": ROLE, "password": PASSWORD,
                            "tls": {"mode": "disable"},
                        },
                        "environment": "development",
                    }
                },
                "identity": {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]},
                "control": {"url": f"sqlite:///{folder / 'control.db'}"},
                "masking": {"key_file": "masking.key"},
                "audit": {"directory": "audit", "durability": {"reads": reads, "writes": "durable"}},
                "admin": {"enabled": False},
            },
        )  # fmt: skip
        proxy = Proxy(configuration, [port, tls_port], folder / "proxy.log").start()
        self._closers.append(proxy.stop)
        return _ProxySystem(name, Address("127.0.0.1", port, DATABASE, "alice", token), proxy.process_id, True, True, tls_port)

    def close(self) -> None:
        """Stop all that was started, the last first."""
        while self._closers:
            self._closers.pop()()


@dataclass(frozen=True)
class _ProxySystem(System):
    """The proxy: TLS and plaintext have listeners of their own."""

    tls_port: int = 0

    def over_tls(self) -> System:
        return replace(self, address=replace(self.address, tls=True, port=self.tls_port))


def _with_tls() -> Installation | None:
    return next((found for _, found in sorted(installations().items()) if not found.is_wheel), None)


def pgbench_program() -> Path | None:
    """pgbench, which is in Debian's packages and not in the wheel."""
    found = shutil.which("pgbench")
    if found is not None:
        return Path(found)
    return next((i.program("pgbench") for i in installations().values() if i.program("pgbench").exists()), None)


def libpq_environment(address: Address) -> dict[str, str]:
    """The environment in which a program on libpq reaches an address."""
    return {
        **os.environ, "PGHOST": address.host, "PGPORT": str(address.port), "PGDATABASE": address.database, "PGUSER": address.user,
        "PGPASSWORD": address.password, "PGSSLMODE": "require" if address.tls else "disable",
    }  # fmt: skip


def fill(sql: Callable[[str, str], str], address: Address, scale: int, rows: int) -> None:
    """Make pgbench's tables and the table to stream: ten columns, 268 bytes a row, three of them personal data."""
    program = pgbench_program()
    if program is not None:
        subprocess.run([str(program), "-i", "-q", "-s", str(scale)], check=True, capture_output=True, env=libpq_environment(address))
    sql(f"SET ROLE {ROLE}; {stream_script(rows)}", address.database)


def stream_script(rows: int) -> str:
    """The statements that make the table to stream."""
    return (
        f"DROP TABLE IF EXISTS {STREAM_TABLE};"
        f"CREATE TABLE {STREAM_TABLE} (id int, email text, phone text, last_name text, city_code int, points int, status text, kind text,"
        " remark text, changed timestamp);"
        f"INSERT INTO {STREAM_TABLE} SELECT n, 'person.' || n || '@postbox.example', '+49 30 ' || lpad(n::text, 8, '0'), 'Family' || n,"
        " n % 1000, n % 7777, 'shipped', 'regular', repeat(md5(n::text), 4), timestamp '2024-01-01' + n * interval '1 minute'"
        f" FROM generate_series(1, {rows}) n; ANALYZE {STREAM_TABLE};"
    )


def wait_for(port: int) -> None:
    """Wait until a port of this machine accepts connections."""
    deadline = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
