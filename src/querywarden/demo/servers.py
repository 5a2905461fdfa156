"""PostgreSQL servers for the demo and the tests: made, started and stopped from the programs of an installation.

PostgreSQL refuses to run as root, so a server started by root runs as an ordinary account, in a folder of its own that the
account can reach.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from querywarden.demo.installations import Installation
from querywarden.demo.processes import bound_to_us

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20


class ServerTrouble(Exception):
    """A server did not start, or a statement for its set-up failed; the text ends with what the program said."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account of the operating system that servers run under."""

    uid: int
    gid: int

    def arguments(self) -> dict[str, Any]:
        """The arguments of `subprocess` that run a program under this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def server_account() -> Account | None:
    """The account to run servers under when we are root; None when we aren't and need no other."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ServerTrouble("PostgreSQL doesn't run as root, and neither of the accounts postgres and nobody exists")


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _all_may_reach(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


class PostgresServer:
    """One PostgreSQL server on the loopback address, with a superuser `postgres` and a password of its own."""

    def __init__(self, installation: Installation, settings: Mapping[str, str] | None = None) -> None:
        self.major = installation.major
        self.password = secrets.token_urlsafe(18)
        self.port = 0
        self._account = server_account()
        self.folder = Path(tempfile.mkdtemp(prefix=f"querywarden-pg{installation.major}-"))
        self._data = self.folder / "data"
        self.log_file = self.folder / "server.log"
        self._settings = {"fsync": "off", "max_connections": "200", "shared_buffers": "64MB", **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._programs = self._reachable_programs(installation)

    def _reachable_programs(self, installation: Installation) -> Path:
        """Programs under a folder that only root may enter (a clone in /root, say) are copied to where the account can run them."""
        if self._account is None or _all_may_reach(installation.programs):
            return installation.programs
        package = installation.programs.parent.parent
        copy = self.folder / "programs" / package.name / installation.programs.parent.name
        for part in ("bin", "lib", "share"):
            shutil.copytree(installation.programs.parent / part, copy / part, ignore=shutil.ignore_patterns("*.a", "pkgconfig", "pgxs"))
        shutil.copytree(package.with_name(f"{package.name}.libs"), copy.parent.with_name(f"{package.name}.libs"))
        return copy / "bin"

    def start(self) -> PostgresServer:
        """Make the data folder on first use and start; returns once the server answers."""
        if not self._data.exists():
            self._initialise()
        for attempt in range(3):
            self.port = free_port()
            if self._try_start():
                return self
            if attempt < 2 and "Address already in use" in self._log_end():
                continue
            break
        raise ServerTrouble(f"PostgreSQL {self.major} did not start: {self._log_end()}")

    def _initialise(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        if self._account is not None:
            for path in (self.folder, password_file):
                os.chown(path, self._account.uid, self._account.gid)
        os.chmod(password_file, 0o600)
        self._run(
            "initdb", "--pgdata", str(self._data), "--username=postgres", f"--pwfile={password_file}", "--auth-local=trust",
            "--auth-host=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync",
        )  # fmt: skip

    def _run(self, program: str, *arguments: str) -> None:
        extra = {} if self._account is None else self._account.arguments()
        done = subprocess.run(
            [str(self._programs / program), *arguments], capture_output=True, text=True, check=False, cwd=self.folder, **extra
        )
        if done.returncode != 0:
            raise ServerTrouble(f"{program} of PostgreSQL {self.major} failed: {done.stderr.strip()[-2000:]}")

    def _try_start(self) -> bool:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "logging_collector": "off",
            **self._settings,
        }
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        extra = {} if self._account is None else self._account.arguments()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                bound_to_us([str(self._programs / "postgres"), "-D", str(self._data), *arguments], signal.SIGINT),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **extra,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            if self._is_ready():
                return True
            time.sleep(0.05)
        self.stop()
        return False

    def _is_ready(self) -> bool:
        pid_file = self._data / "postmaster.pid"
        try:
            lines = pid_file.read_text().splitlines()
        except (FileNotFoundError, PermissionError):
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _log_end(self) -> str:
        return self.log_file.read_text(errors="replace")[-2000:].strip() if self.log_file.exists() else "(no log)"

    @property
    def process_id(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise ServerTrouble("the server isn't running")
        return self._process.pid

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run a script as the superuser, directly; returns what psql prints unaligned. Raises: ServerTrouble."""
        done = subprocess.run(
            [str(self._programs / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(self.port),
             "-U", "postgres", "-d", database, "-f", "-"],
            input=text, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise ServerTrouble(f"a script on PostgreSQL {self.major} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout.rstrip("\n")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server; the data stays. SIGINT disconnects clients and shuts down, SIGQUIT doesn't tidy up."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(STOP_SECONDS_MAX)
        self._process = None

    def remove(self) -> None:
        """Stop the server and delete all that it wrote."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
