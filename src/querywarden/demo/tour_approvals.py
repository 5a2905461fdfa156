"""The tour's scenes with a second pair of eyes: a hold that is approved, one that is denied, and an agent that comes again."""

from __future__ import annotations

import re

from querywarden.demo.site import Site
from querywarden.demo.terminal import Disappointment, Terminal

_ID = re.compile(r"request (\S+?)[.,;:)]*(?:\s|$)")


def play_approvals(terminal: Terminal, site: Site, alice: str) -> None:
    """Play the scenes. Raises: Disappointment."""
    erin = site.write_token("erin", site.developer_token("erin"))
    options = ("--token-file", str(erin), "-c", str(site.configuration))
    _approved(terminal, site, alice, options)
    _denied(terminal, site, alice, options)
    _agent(terminal, site, options)


def _approved(terminal: Terminal, site: Site, alice: str, options: tuple[str, ...]) -> None:
    terminal.title("A price changes when two people agree: the statement waits, in its session")
    before = site.sql("SELECT price FROM products WHERE sku = 'SKU-0002'")
    statement = "UPDATE products SET price = price + 1 WHERE sku = 'SKU-0002' /* reason: supplier raised it */"
    held = terminal.begin_psql("alice", alice, statement)
    request = _request_in(terminal.wait_for(held, "expires at"))
    terminal.must_be("price while it is held", before, site.sql("SELECT price FROM products WHERE sku = 'SKU-0002'"))
    terminal.title("… Erin looks at it from a second terminal, and says yes")
    terminal.must_show(terminal.command("approvals", "list", hidden=options), "alice", "price-changes")
    terminal.must_show(terminal.command("approvals", "show", request, hidden=options), "supplier raised it", "products")
    terminal.command("approvals", "approve", request, "-m", "checked the invoice", hidden=options)
    terminal.title("… and it goes on in Alice's")
    terminal.must_show(terminal.end_psql(held), "UPDATE 1")
    terminal.must_be("price", site.sql(f"SELECT {before} + 1"), site.sql("SELECT price FROM products WHERE sku = 'SKU-0002'"))


def _denied(terminal: Terminal, site: Site, alice: str, options: tuple[str, ...]) -> None:
    terminal.title("Another one is denied, and nothing has happened")
    before = site.sql("SELECT sum(price) FROM products")
    held = terminal.begin_psql("alice", alice, "UPDATE products SET price = 0.01 WHERE id < 20")
    request = _request_in(terminal.wait_for(held, "expires at"))
    terminal.command("approvals", "deny", request, "-m", "not without the shop's lead", hidden=options)
    terminal.must_show(terminal.end_psql(held, refused=True), "ERROR", "denied", "not without the shop's lead")
    terminal.must_be("prices", before, site.sql("SELECT sum(price) FROM products"))


def _agent(terminal: Terminal, site: Site, options: tuple[str, ...]) -> None:
    terminal.title("An AI agent has a service token. It reads, and may propose corrections of the stock")
    token = site.agent_token()
    print("$ querywarden token create report-agent --owner alice --kind agent …   (shown once, stored hashed)", flush=True)
    terminal.psql("report-agent", token, "SELECT count(*) AS customers, round(avg(loyalty_points)) AS points FROM customers")
    answer = terminal.psql("report-agent", token, "DELETE FROM orders WHERE id = 1", refused=True)
    terminal.must_show(answer, "ERROR", "DETAIL", "HINT")
    terminal.title("… an agent doesn't wait: it gets an error with the request's id, and comes again")
    before = site.sql("SELECT stock FROM products WHERE sku = 'SKU-0003'")
    statement = "UPDATE products SET stock = stock + 5 WHERE sku = 'SKU-0003'"
    answer = terminal.psql("report-agent", token, statement, refused=True)
    terminal.must_show(answer, "ERROR", "DETAIL", "HINT", "approv")
    terminal.must_be("stock", before, site.sql("SELECT stock FROM products WHERE sku = 'SKU-0003'"))
    terminal.command("approvals", "approve", _request_in(answer), hidden=options)
    terminal.must_show(terminal.psql("report-agent", token, statement), "UPDATE 1")
    terminal.title("… once: the approval is used up")
    terminal.psql("report-agent", token, statement, refused=True)
    terminal.must_be("stock", str(int(before) + 5), site.sql("SELECT stock FROM products WHERE sku = 'SKU-0003'"))


def _request_in(answer: str) -> str:
    found = _ID.search(answer)
    if found is None:
        raise Disappointment("the answer names no request")
    return found[1]
