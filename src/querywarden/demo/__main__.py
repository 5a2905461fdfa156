"""`python -m querywarden.demo`: start everything on this machine, print how to connect, and run until Ctrl-C; or play the tour."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from querywarden.demo.device_flow import LoginTrouble
from querywarden.demo.program import ProxyTrouble
from querywarden.demo.servers import ServerTrouble
from querywarden.demo.site import Site
from querywarden.demo.terminal import Disappointment
from querywarden.demo.tour import play


def _invitation(site: Site) -> str:
    psql = site.psql_words()
    alice = site.write_token("alice", site.developer_token("alice"))
    erin = site.write_token("erin", site.developer_token("erin"))
    agent = site.write_token("agent", site.agent_token())
    program = f"{shlex.quote(sys.executable)} -m querywarden"

    def line(user: str, token: Path) -> str:
        return f'    PGPASSWORD=$(cat {token}) {psql} "{site.connection_string(user)}"'

    return "\n".join(
        (
            "",
            f"The shop is up behind Querywarden, with TLS, on localhost:{site.port}.",
            "",
            "As a developer (alice, with a token from the demo's identity provider, good for an hour):",
            line("alice", alice),
            "",
            "As an AI agent (a service token; it reads, and proposes corrections of products):",
            line("report-agent", agent),
            "",
            "Worth trying:",
            "    SELECT id, first_name, email, card_number, city FROM customers LIMIT 5;",
            "    SELECT status, count(*), sum(total) FROM orders GROUP BY status;",
            "    DROP TABLE customers;            -- refused, with the reason",
            "    DELETE FROM orders;              -- refused: it names no rows",
            "    UPDATE products SET price = 1 WHERE id = 1 /* reason: a try */;      -- waits until somebody else agrees",
            "",
            "Agree, or don't, as erin, in another terminal (requests are shown as they come; a approves, d denies):",
            f"    {program} approvals watch --token-file {erin} -c {site.configuration}",
            "",
            "Watch the log in another terminal:",
            f"    {program} audit tail -f {site.audit_folder}",
            "and check it, byte for byte:",
            f"    {program} audit verify --live {site.audit_folder}",
            "",
            "A new token for alice, once hers has expired:",
            f"    {program} login --issuer {site.issuer.url} --client-id querywarden-cli --cache {site.folder / 'alice.token'}",
            "",
            "Ctrl-C stops everything.",
        )
    )


def _run_until_interrupted(site: Site) -> int:
    print("Starting PostgreSQL 18, the identity provider and the proxy …", flush=True)
    site.start()
    print(_invitation(site), flush=True)
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    while not ended.wait(0.5):
        if not site.proxy_is_running:
            print(f"error: the proxy has ended by itself: {site.proxy_log_end()}", file=sys.stderr)
            return 1
    print("\nStopping.")
    return 0


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="querywarden.demo", description="See Querywarden at work on this machine. For the demo only.")
    parser.add_argument("--tour", action="store_true", help="play a scripted tour without a terminal, check each of its steps, and end")
    parser.add_argument("--folder", type=Path, default=Path(".demo"), help="where to keep certificates, configuration and log")
    arguments = parser.parse_args()
    site = Site(arguments.folder.resolve())
    try:
        if arguments.tour:
            play(site)
            return 0
        return _run_until_interrupted(site)
    except (ServerTrouble, ProxyTrouble, LoginTrouble) as trouble:
        print(f"error: {trouble}", file=sys.stderr)
        return 1
    except Disappointment as disappointment:
        print(f"\nerror: the tour did not go as promised: {disappointment}", file=sys.stderr)
        print(f"the end of the proxy's own log: {site.proxy_log_end()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        site.stop()


if __name__ == "__main__":
    sys.exit(main())
