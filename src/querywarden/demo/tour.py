"""The scripted tour: what a newcomer would try, each step printed as a terminal shows it, and checked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from querywarden.demo.program import querywarden
from querywarden.demo.site import Site

STEP_SECONDS_MAX = 60


class Disappointment(Exception):
    """A step of the tour did not show what was promised."""


class _Tour:
    """The tour's terminal: runs psql and commands, prints them with their answers, and checks the answers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._psql = site.psql()
        # What must never appear: the shop's people are known, and so are their keys.
        self._canaries = [text for p in site.shop.people for text in (p.email, p.phone, p.card_number, p.iban)]
        self._canaries += site.sql("SELECT api_key FROM api_keys").split()

    def title(self, text: str) -> None:
        """A heading."""
        print(f"\n── {text} " + "─" * max(0, 100 - len(text)), flush=True)

    def psql(self, user: str, token: str, statement: str, *, refused: bool = False) -> str:
        """Run a statement with psql as a user, print the dialogue, and check for canaries and for the expected outcome."""
        print(f"{user}=> {statement}", flush=True)
        environment = {
            **os.environ, **self._psql.environment(), "PGPASSWORD": token, "PSQL_PAGER": "", "PGCONNECT_TIMEOUT": "20",
        }  # fmt: skip
        done = subprocess.run(
            [str(self._psql.program), "-X", "-v", "ON_ERROR_STOP=1", self._site.connection_string(user), "-c", statement],
            capture_output=True, text=True, check=False, timeout=STEP_SECONDS_MAX, env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        answer = (done.stdout + done.stderr).rstrip()
        print(answer, flush=True)
        self.must_not_show(answer, self._canaries)
        if refused and done.returncode == 0:
            raise Disappointment(f"{statement!r} was to be refused, and it ran")
        if not refused and done.returncode != 0:
            raise Disappointment(f"{statement!r} was to work, and it failed")
        return answer

    def command(self, *arguments: str) -> str:
        """Run a querywarden command and print the dialogue."""
        print(f"$ querywarden {' '.join(arguments)}", flush=True)
        done = querywarden(*arguments)
        print((done.out + done.err).rstrip(), flush=True)
        if done.code != 0:
            raise Disappointment(f"`querywarden {' '.join(arguments)}` ended with code {done.code}")
        self.must_not_show(done.out + done.err, self._canaries)
        return done.out

    def must_show(self, answer: str, *texts: str) -> None:
        """Check that an answer holds these texts, whatever their case."""
        for text in texts:
            if text.lower() not in answer.lower():
                raise Disappointment(f"{text!r} was expected in the answer")

    def must_not_show(self, answer: str, texts: Iterable[str]) -> None:
        """Check that an answer holds none of these texts; the message doesn't repeat the text."""
        for text in texts:
            if text in answer:
                raise Disappointment(f"a value that must not be seen was shown (it begins with {text[:2]!r})")

    def must_be(self, what: str, expected: str, actual: str) -> None:
        """Check a fact, read directly from the server."""
        if expected != actual:
            raise Disappointment(f"{what}: expected {expected!r}, found {actual!r}")


def play(site: Site) -> None:
    """Play the whole tour on a site that hasn't been started. Raises: Disappointment at the first step that isn't as promised."""
    print("Starting PostgreSQL 18, the identity provider and the proxy …", flush=True)
    site.start()
    tour = _Tour(site)
    alice = _log_in(tour, site)
    _masked_rows(tour, site, alice)
    _refusals(tour, site, alice)
    _agent(tour, site)
    _nobody_anonymous(tour)
    _log(tour, site)
    print("\nThe tour went as promised.", flush=True)


def _log_in(tour: _Tour, site: Site) -> str:
    tour.title("Alice logs in: a token from the identity provider (device flow), used as the password")
    token = site.developer_token("alice")
    print(f"$ querywarden login --issuer {site.issuer.url} …   (approved as alice; {len(token)} characters of token)", flush=True)
    answer = tour.psql("alice", token, "SELECT current_setting('querywarden.subject') AS subject, current_user AS role")
    tour.must_show(answer, "alice", "shop_app")
    return token


def _masked_rows(tour: _Tour, site: Site, alice: str) -> None:
    tour.title("psql works as ever")
    tour.must_show(tour.psql("alice", alice, r"\d customers"), "card_number", "customers_pkey")
    tour.title("Personal data is masked on its way out; nothing was configured for that")
    columns = "id, first_name, email, phone, card_number, date_of_birth, loyalty_points"
    answer = tour.psql("alice", alice, f"SELECT {columns} FROM customers ORDER BY id LIMIT 4")
    tour.must_show(answer, "(4 rows)", site.sql("SELECT loyalty_points FROM customers WHERE id = 1"))
    answer = tour.psql("alice", alice, "SELECT id, customer_id, label, api_key FROM api_keys ORDER BY id LIMIT 2")
    tour.must_show(answer, "(2 rows)")
    tour.psql("alice", alice, "SELECT upper(email) AS shouted, email || '!' AS derived FROM customers ORDER BY id LIMIT 2")
    tour.title("… and work that needs none of it is untouched")
    answer = tour.psql("alice", alice, "SELECT status, count(*), sum(total) FROM orders GROUP BY status ORDER BY status")
    for line in site.sql("SELECT status, count(*), sum(total) FROM orders GROUP BY status").splitlines():
        tour.must_show(answer, *line.split("|"))


def _refusals(tour: _Tour, site: Site, alice: str) -> None:
    tour.title("What destroys is refused, and says why")
    tables = site.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    orders = site.sql("SELECT count(*) FROM orders")
    tour.must_show(tour.psql("alice", alice, "DROP TABLE customers", refused=True), "ERROR", "DETAIL", "HINT")
    tour.must_show(tour.psql("alice", alice, "DELETE FROM orders", refused=True), "ERROR", "DETAIL", "HINT")
    tour.must_show(tour.psql("alice", alice, "DELETE FROM orders WHERE 1 = 1", refused=True), "ERROR", "DETAIL", "HINT")
    tour.must_be("tables", tables, site.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    tour.must_be("orders", orders, site.sql("SELECT count(*) FROM orders"))
    tour.title("An ordinary change is an ordinary change")
    tour.must_show(tour.psql("alice", alice, "UPDATE products SET stock = stock + 1 WHERE sku = 'SKU-0001'"), "UPDATE 1")


def _agent(tour: _Tour, site: Site) -> None:
    tour.title("An AI agent has a service token, and reads only")
    token = site.agent_token()
    print("$ querywarden token create report-agent --owner alice --kind agent …   (shown once, stored hashed)", flush=True)
    tour.psql("report-agent", token, "SELECT count(*) AS customers, round(avg(loyalty_points)) AS points FROM customers")
    before = site.sql("SELECT sum(stock) FROM products")
    answer = tour.psql("report-agent", token, "UPDATE products SET stock = 0 WHERE sku = 'SKU-0001'", refused=True)
    tour.must_show(answer, "ERROR", "DETAIL", "HINT")
    tour.must_be("stock", before, site.sql("SELECT sum(stock) FROM products"))


def _nobody_anonymous(tour: _Tour) -> None:
    tour.title("Without a good token there is no session")
    tour.must_show(tour.psql("alice", "correct horse battery staple", "SELECT 1", refused=True), "authentication failed")


def _log(tour: _Tour, site: Site) -> None:
    tour.title("All of it is in the log, and the log proves itself")
    code = site.stop_proxy()
    if code != 0:
        raise Disappointment(f"the proxy drained and stopped with code {code}")
    answer = tour.command("audit", "tail", "-n", "40", str(site.audit_folder))
    tour.must_show(answer, "alice", "report-agent", "DROP TABLE", "deny")
    tour.command("audit", "verify", str(site.audit_folder))
