"""Run the corpus against the real proxy before a real PostgreSQL, all of it made for the purpose and removed afterwards.

    python tests/adversarial/corpus/against_pg.py --server 18 [--cases FILE] [--baseline] [--json FILE] [more arguments of run_corpus.py]

The exit code is the runner's: 0 when every case passes. The proxy must drain and its log must verify, or it is 3.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from querywarden.demo.installations import installations
from querywarden.demo.issuer import AUDIENCE, Issuer
from querywarden.demo.program import Proxy, ProxyTrouble, querywarden, write_configuration
from querywarden.demo.servers import PostgresServer, ServerTrouble, free_port

HERE = Path(__file__).resolve().parent
DATABASE = "corpus"
ROLE = "app"
EXIT_TROUBLE = 3


def _configuration(folder: Path, server: PostgresServer, issuer: Issuer, password: str, port: int, with_policy: bool) -> Path:
    settings = {
        # The byte tap of the runner reads the client's leg, so it is not encrypted.
        "listeners": [{"host": "127.0.0.1", "port": port, "allow_plaintext_loopback": True}],
        "databases": {
            DATABASE: {
                "server": {"host": "127.0.0.1", "port": server.port, "role": ROLE, "password": password, "database": DATABASE},
                "environment": "production",
            }
        },
        "identity": {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]},
        "control": {"url": f"sqlite:///{folder / 'control.db'}"},
        "masking": {"key_file": "masking.key"},
        "audit": {"directory": str(folder / "audit")},
        "admin": {"port": free_port()},
    }
    if with_policy:
        shutil.copy(HERE / "policy.yaml", folder / "policy.yaml")
        settings["policy"] = {"file": "policy.yaml"}
    else:
        # Without a policy file, clients would wait; what is looked at here is only that nothing runs.
        settings["approvals"] = {"mode": "fail"}
    return write_configuration(folder / "querywarden.yaml", settings)


def run(major: int, cases: Path, with_policy: bool, more: list[str]) -> int:
    """Start everything, run the cases, stop everything; returns the exit code."""
    found = installations().get(major)
    if found is None:
        print(f"error: PostgreSQL {major} is missing; there are {', '.join(map(str, sorted(installations())))}", file=sys.stderr)
        return EXIT_TROUBLE
    folder = Path(tempfile.mkdtemp(prefix="querywarden-corpus-"))
    server = PostgresServer(found)
    try:
        server.start()
        with Issuer() as issuer:
            # The runner knows one password for both ends: the role's is the principal's token.
            token = issuer.mint("alice", groups=["engineers"])
            server.sql(f"CREATE ROLE {ROLE} LOGIN SUPERUSER PASSWORD '{token}'; CREATE DATABASE {DATABASE} OWNER {ROLE};")
            port = free_port()
            configuration = _configuration(folder, server, issuer, token, port, with_policy)
            proxy = Proxy(configuration, [port], folder / "proxy.log").start()
            try:
                ended = subprocess.run(
                    [sys.executable, str(HERE / "run_corpus.py"), "--port", str(port), "--user", ROLE, f"--password={token}",
                     "--admin-port", str(server.port), "--admin-user", "postgres", f"--admin-password={server.password}", *more,
                     str(cases)],
                    check=False,
                ).returncode  # fmt: skip
            finally:
                stopped = proxy.stop()
            verified = querywarden("audit", "verify", str(folder / "audit"))
    except (ProxyTrouble, ServerTrouble) as trouble:
        print(f"error: {trouble}", file=sys.stderr)
        shutil.rmtree(folder)
        return EXIT_TROUBLE
    finally:
        server.remove()
    if stopped != 0 or verified.code != 0:
        print(f"error: the proxy ended with code {stopped}; its log: {verified.out}{verified.err}", file=sys.stderr)
        print(f"what is left of it: {folder}", file=sys.stderr)
        return EXIT_TROUBLE
    shutil.rmtree(folder)
    return ended


def main() -> int:
    """Run the program; returns the exit code."""
    parser = argparse.ArgumentParser(description="Run the corpus against the real proxy before a real PostgreSQL.")
    parser.add_argument("--server", type=int, default=18, help="the major version of PostgreSQL")
    parser.add_argument("--cases", type=Path, default=HERE / "pg.yaml", help="the file of cases")
    parser.add_argument("--baseline", action="store_true", help="without a policy file")
    options, more = parser.parse_known_args()
    return run(options.server, options.cases, not options.baseline, more)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
