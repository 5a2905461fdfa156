"""Requests on a terminal. Everything that a requester wrote is shown so that it can't act on the terminal or pass for a line of ours."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from querywarden.admin.durations import told
from querywarden.cli.audit_lines import visible, visible_json

STATEMENT_LINES_MAX = 500
PLAN_LINES_MAX = 60
_GUTTER = "  │ "
_STATES = {"pending": "bold yellow", "approved": "green", "consumed": "green", "denied": "bold red", "expired": "dim", "withdrawn": "dim"}


def console() -> Console:
    """Standard output. Into a pipe, a row stays one line."""
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=False, width=None if sys.stdout.isatty() else 400)


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print JSON in which nothing acts on a terminal."""
    for line in json.dumps(value, indent=indent).split("\n"):
        print(visible_json(line.encode()))


def shown(value: object, default: str = "-") -> str:
    """A value in one line: characters that act on terminals as codes."""
    text = "" if value is None else str(value)
    return visible(text) or default


def moment(seconds: object) -> str:
    """A time in UTC."""
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 <= seconds < 1 << 37:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def table_of(headings: tuple[str, ...]) -> Table:
    """An empty table in the project's form."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def request_table(requests: list[dict[str, Any]]) -> Table:
    """A list of requests."""
    table = table_of(("ID", "STATE", "REQUESTER", "DATABASE", "RULE", "ROWS", "VOTES", "EXPIRES", "ASKS FOR"))
    for each in requests:
        table.add_row(
            shown(each.get("id")),
            Text(shown(each.get("state")), style=_STATES.get(str(each.get("state")), "")),
            shown(each.get("requester")),
            shown(each.get("database")),
            shown(each.get("rule")),
            shown(each.get("estimated_rows")),
            _votes(each),
            moment(each.get("expires_at")),
            _fit(shown(each.get("asks_for")), 120),
        )
    return table


def request_line(event: str, each: dict[str, Any]) -> Text:
    """One line of `watch`."""
    line = Text()
    line.append(f"{datetime.now(UTC):%H:%M:%S}  ", style="dim")
    state = shown(each.get("state"))
    line.append(f"{state if event == 'settled' else shown(event):10}  ", style=_STATES.get(state, ""))
    line.append(f"{shown(each.get('id'))}  ", style="bold")
    line.append(f"{_fit(shown(each.get('requester')), 32)}  {_fit(shown(each.get('database')), 24)}  ", style="cyan")
    line.append(f"[{_fit(shown(each.get('rule')), 40)}]  ", style="dim")
    line.append(_fit(shown(each.get("asks_for")), 160))
    if each.get("reason"):
        line.append(f"  reason: {_fit(shown(each.get('reason')), 120)}", style="italic")
    return line


def detail_lines(details: dict[str, Any]) -> Iterator[Text]:
    """All that is known of a request, line by line."""
    summary, requester = _object(details.get("summary")), _object(details.get("requester"))
    state = shown(summary.get("state"))
    heading = Text(f"Request {shown(summary.get('id'))}  ", style="bold")
    heading.append(state, style=_STATES.get(state, ""))
    yield heading
    yield from _fields(details, summary, requester)
    access = _object(details.get("access"))
    if access:
        yield _field("asks for", shown(summary.get("asks_for")))
    statement = _object(details.get("statement"))
    if statement:
        yield from _statement(statement)
    for vote in _list(details.get("votes")):
        yield _field("vote", _vote(vote))
    similar = _list(details.get("similar"))
    if similar:
        yield Text("Similar requests before:", style="bold")
    for each in similar:
        votes = "; ".join(_vote(vote) for vote in _list(each.get("votes")))
        parts = [moment(each.get("created_at")), *(shown(each.get(key)) for key in ("id", "requester", "database", "state")), votes]
        yield Text(_GUTTER + "  ".join(part for part in parts if part))
    if not details.get("may_vote"):
        yield Text(shown(details.get("may_not_because")), style="yellow")


def _fields(details: dict[str, Any], summary: dict[str, Any], requester: dict[str, Any]) -> Iterator[Text]:
    actors = _names(requester.get("actors"))
    yield _field("requester", f"{shown(requester.get('subject'))} ({shown(requester.get('kind'))}, {shown(requester.get('issuer'))})")
    if actors != "-":
        yield _field("acting for it", actors)
    yield _field("groups", _names(requester.get("groups")))
    yield _field("from", f"{shown(details.get('client_ip'))}, application {shown(details.get('application'))}")
    yield _field("database", f"{shown(summary.get('database'))} ({shown(summary.get('environment'))})")
    yield _field("rule", f"{shown(summary.get('rule'))}: {shown(details.get('sentence'))}")
    yield _field("reason given", shown(summary.get("reason"), "none"))
    yield _field("mode", "the client waits" if summary.get("mode") == "wait" else "the client comes again")
    yield _field("asked", moment(summary.get("created_at")))
    yield _field("expires", moment(summary.get("expires_at")))
    for each in _list(summary.get("agreements")):
        yield _field("approvals", f"{shown(each.get('approvals'))} of {shown(each.get('quorum'))}, by {_names(each.get('approvers'))}")
    yield _field("audit id", shown(details.get("audit_id")))
    if summary.get("state") == "approved":
        yield _field("uses left", f"{shown(details.get('uses_left'))}, until {moment(details.get('valid_until'))}")


def _statement(statement: dict[str, Any]) -> Iterator[Text]:
    text, laid_out = str(statement.get("text") or ""), statement.get("formatted")
    yield Text("Statement, exactly as it was sent:", style="bold")
    yield from _block(text, STATEMENT_LINES_MAX)
    if statement.get("text_is_cut"):
        yield Text("  The text is longer than this.", style="bold red")
    if isinstance(laid_out, str) and laid_out.strip() != text.strip():
        yield Text("The same, laid out:", style="bold")
        yield from _block(laid_out, STATEMENT_LINES_MAX)
    parameters = statement.get("parameters")
    for number, value in enumerate(parameters if isinstance(parameters, list) else [], 1):
        yield _field(f"${number}", "NULL" if value is None else f"'{visible(str(value))}'")
    for key in ("verb", "reads", "writes", "functions", "properties"):
        value = _names(statement.get(key)) if key != "verb" else shown(statement.get(key))
        if value != "-":
            yield _field(key, value)
    yield _field("name space", _name_space(statement.get("namespace")))
    yield _field("rows, estimated", shown(statement.get("estimated_rows"), "unknown"))
    plan = statement.get("plan")
    if isinstance(plan, str) and plan:
        yield Text("Plan:", style="bold")
        yield from _block("\n".join(_plan_lines(plan)), PLAN_LINES_MAX)


def _name_space(found: object) -> str:
    """What decides, besides its text, what a statement means: settings and the role as they are, temporary relations by name."""
    try:
        known = _object(json.loads(str(found or "")))
    except (ValueError, RecursionError):
        return shown(found)
    told = {name: ", ".join(value) if isinstance(value, dict) else value for name, value in known.items() if value is not None}
    return "; ".join(f"{shown(name)} {shown(value)}" for name, value in told.items()) or "-"


def _block(text: str, lines_max: int) -> Iterator[Text]:
    """Lines behind a gutter, so that none of them can pass for one of ours."""
    lines = text.replace("\r\n", "\n").split("\n")
    for line in lines[:lines_max]:
        yield Text(_GUTTER + visible(line.replace("\t", "    ")))
    if len(lines) > lines_max:
        yield Text(f"  … and {len(lines) - lines_max} more lines; --json shows all.", style="bold red")


def _plan_lines(plan: str) -> list[str]:
    """A plan in JSON as a tree; as it is where it isn't one."""
    try:
        found = json.loads(plan)
    except (ValueError, RecursionError):
        return plan.split("\n")
    root = found[0] if isinstance(found, list) and found else found
    node = _object(root).get("Plan")
    lines: list[str] = []
    waiting = [(node, 0)] if isinstance(node, dict) else []
    while waiting and len(lines) <= PLAN_LINES_MAX:
        each, depth = waiting.pop()
        relation, index = each.get("Relation Name"), each.get("Index Name")
        name = str(each.get("Node Type")) + (f" on {relation}" if relation else "") + (f" by {index}" if index else "")
        lines.append(f"{'  ' * min(depth, 20)}{name}  rows {each.get('Plan Rows')}  cost {each.get('Total Cost')}")
        waiting += [(child, depth + 1) for child in reversed(_list(each.get("Plans")))]
    return lines or plan.split("\n")


def _votes(summary: dict[str, Any]) -> str:
    """How far a request is, for each group that has to agree."""
    return " + ".join(f"{shown(each.get('approvals'))}/{shown(each.get('quorum'))}" for each in _list(summary.get("agreements"))) or "-"


def _vote(vote: dict[str, Any]) -> str:
    answer = "yes" if vote.get("approves") is True else "no"
    note = f": {shown(vote.get('note'))}" if vote.get("note") else ""
    return f"{answer} by {shown(vote.get('by'))}{note}"


def access_line(grant: dict[str, Any]) -> tuple[str, ...]:
    """The cells of a grant's row."""
    what = [f"group {shown(grant.get('group'))}"] if grant.get("group") else []
    what += [f"database {shown(grant.get('database'))}"] if grant.get("database") else []
    return shown(grant.get("id")), shown(grant.get("subject")), ", ".join(what) or "-", moment(grant.get("ends_at"))


def asked_line(summary: dict[str, Any]) -> str:
    """What is told after a request was made."""
    seconds = summary.get("expires_at", 0) - summary.get("created_at", 0)
    return f"Request {shown(summary.get('id'))} is open for {told(seconds)}; somebody else has to approve it."


def _field(name: str, value: str) -> Text:
    line = Text(f"  {name:16}", style="dim")
    line.append(value, style="not dim")
    return line


def _names(value: object) -> str:
    return ", ".join(shown(each) for each in value) or "-" if isinstance(value, list) else "-"


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
