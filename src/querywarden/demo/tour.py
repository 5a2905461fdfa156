"""The scripted tour: what a newcomer would try, each step printed as a terminal shows it, and checked."""

from __future__ import annotations

from querywarden.demo.site import Site
from querywarden.demo.terminal import Disappointment, Terminal
from querywarden.demo.tour_approvals import play_approvals


def play(site: Site) -> None:
    """Play the whole tour on a site that hasn't been started. Raises: Disappointment at the first step that isn't as promised."""
    print("Starting PostgreSQL 18, the identity provider and the proxy …", flush=True)
    site.start()
    terminal = Terminal(site)
    alice = _log_in(terminal, site)
    _masked_rows(terminal, site, alice)
    _refusals(terminal, site, alice)
    play_approvals(terminal, site, alice)
    _nobody_anonymous(terminal)
    _log(terminal, site)
    print("\nThe tour went as promised.", flush=True)


def _log_in(terminal: Terminal, site: Site) -> str:
    terminal.title("Alice logs in: a token from the identity provider (device flow), used as the password")
    token = site.developer_token("alice")
    print(f"$ querywarden login --issuer {site.issuer.url} …   (approved as alice; {len(token)} characters of token)", flush=True)
    answer = terminal.psql("alice", token, "SELECT current_setting('querywarden.subject') AS subject, current_user AS role")
    terminal.must_show(answer, "alice", "shop_app")
    return token


def _masked_rows(terminal: Terminal, site: Site, alice: str) -> None:
    terminal.title("psql works as ever")
    terminal.must_show(terminal.psql("alice", alice, r"\d customers"), "card_number", "customers_pkey")
    terminal.title("Personal data is masked on its way out; nothing was configured for that")
    columns = "id, first_name, email, phone, card_number, date_of_birth, loyalty_points"
    answer = terminal.psql("alice", alice, f"SELECT {columns} FROM customers ORDER BY id LIMIT 4")
    terminal.must_show(answer, "(4 rows)", site.sql("SELECT loyalty_points FROM customers WHERE id = 1"))
    answer = terminal.psql("alice", alice, "SELECT id, customer_id, label, api_key FROM api_keys ORDER BY id LIMIT 2")
    terminal.must_show(answer, "(2 rows)")
    terminal.psql("alice", alice, "SELECT upper(email) AS shouted, email || '!' AS derived FROM customers ORDER BY id LIMIT 2")
    terminal.title("… and work that needs none of it is untouched")
    answer = terminal.psql("alice", alice, "SELECT status, count(*), sum(total) FROM orders GROUP BY status ORDER BY status")
    for line in site.sql("SELECT status, count(*), sum(total) FROM orders GROUP BY status").splitlines():
        terminal.must_show(answer, *line.split("|"))


def _refusals(terminal: Terminal, site: Site, alice: str) -> None:
    terminal.title("What destroys is refused, and says why")
    tables = site.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    orders = site.sql("SELECT count(*) FROM orders")
    terminal.must_show(terminal.psql("alice", alice, "DROP TABLE customers", refused=True), "ERROR", "DETAIL", "HINT")
    terminal.must_show(terminal.psql("alice", alice, "DELETE FROM orders", refused=True), "ERROR", "DETAIL", "HINT")
    terminal.must_show(terminal.psql("alice", alice, "DELETE FROM orders WHERE 1 = 1", refused=True), "ERROR", "DETAIL", "HINT")
    terminal.must_be("tables", tables, site.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    terminal.must_be("orders", orders, site.sql("SELECT count(*) FROM orders"))
    terminal.title("An ordinary change is an ordinary change")
    terminal.must_show(terminal.psql("alice", alice, "UPDATE products SET stock = stock + 1 WHERE sku = 'SKU-0001'"), "UPDATE 1")


def _nobody_anonymous(terminal: Terminal) -> None:
    terminal.title("Without a good token there is no session")
    terminal.must_show(terminal.psql("alice", "correct horse battery staple", "SELECT 1", refused=True), "authentication failed")


def _log(terminal: Terminal, site: Site) -> None:
    terminal.title("All of it is in the log, and the log proves itself")
    code = site.stop_proxy()
    if code != 0:
        raise Disappointment(f"the proxy drained and stopped with code {code}")
    answer = terminal.command("audit", "tail", "-n", "40", "--filter", "type=decided", str(site.audit_folder))
    terminal.must_show(answer, "alice", "report-agent", "DROP TABLE", "deny", "hold")
    answer = terminal.command("audit", "tail", "-n", "4", "--filter", "type=approval.*", str(site.audit_folder))
    terminal.must_show(answer, "report-agent", "granted", "erin")
    terminal.command("audit", "verify", str(site.audit_folder))
