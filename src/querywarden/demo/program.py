"""The real program under the demo and the tests: `querywarden serve` as a process of its own, with a configuration written for it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from querywarden.demo.processes import bound_to_us

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 40


class ProxyTrouble(Exception):
    """The proxy did not start or stop as it should; the text ends with what it said."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a `querywarden` command answered."""

    code: int
    out: str
    err: str


def querywarden(*arguments: str, environment: Mapping[str, str] | None = None, seconds: float = 60) -> CommandResult:
    """Run a `querywarden` command of this installation to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "querywarden", *arguments],
        capture_output=True, text=True, check=False, timeout=seconds, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    return CommandResult(done.returncode, done.stdout, done.stderr)


def write_configuration(path: Path, settings: Mapping[str, Any]) -> Path:
    """Write a configuration file, for its owner alone to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        yaml.safe_dump(dict(settings), out, sort_keys=False, allow_unicode=True)
    return path


class Proxy:
    """`querywarden serve` with one configuration file; may be stopped, killed and started again."""

    def __init__(self, configuration: Path, ports: Sequence[int], log_file: Path, environment: Mapping[str, str] | None = None) -> None:
        self.configuration = configuration
        self.log_file = log_file
        self._ports = tuple(ports)
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Proxy:
        """Start the program; returns once every listener accepts connections."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                bound_to_us([sys.executable, "-m", "querywarden", "serve", "-c", str(self.configuration)], signal.SIGTERM),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **self._environment},
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS_MAX
        waiting = list(self._ports)
        while waiting:
            if self._process.poll() is not None:
                raise ProxyTrouble(f"the proxy ended with code {self._process.returncode}: {self.log_end()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ProxyTrouble(f"the proxy did not listen within {START_SECONDS_MAX} s: {self.log_end()}")
            if _accepts(waiting[0]):
                del waiting[0]
            else:
                time.sleep(0.05)
        return self

    @property
    def process_id(self) -> int:
        """The process id of the running program."""
        if self._process is None:
            raise ProxyTrouble("the proxy isn't running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the program has been started and hasn't ended."""
        return self._process is not None and self._process.poll() is None

    def log_end(self) -> str:
        """The end of what the program has written to its log."""
        return self.log_file.read_text(errors="replace")[-3000:].strip() if self.log_file.exists() else "(no log)"

    def signal(self, number: signal.Signals) -> None:
        """Send the program a signal (SIGHUP reloads, SIGTERM drains)."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """Wait for the program's end; returns its exit code."""
        if self._process is None:
            raise ProxyTrouble("the proxy isn't running")
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProxyTrouble(f"the proxy did not stop within {seconds} s: {self.log_end()}") from None
        self._process = None
        return code

    def stop(self) -> int:
        """Drain and stop; returns the exit code."""
        if self._process is None:
            return 0
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End the program at once, with all of its children, as kill -9 does."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_SECONDS_MAX)
            self._process = None


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
