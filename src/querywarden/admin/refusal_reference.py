"""The reference page of refusals, made from the table of reasons."""

from __future__ import annotations

from querywarden.errors import REASONS

_HEAD = """# Refusals

<!-- Made by `querywarden.admin.refusal_reference`; a test compares them. -->

A refusal is an ERROR, never the end of the session: its message says what was refused, DETAIL names the rule and the audit id, HINT a way
forward. The audit id is the `id` of the statement's `decided` record, and stands in the server's log as well.

A statement that waits for an approval and doesn't get one ends with `approval_denied`, `approval_expired` or `approval_withdrawn`; one that
doesn't wait ends with `approval_required`, whose text holds the request's id. Where nobody can be asked it ends with
`approvals_unavailable` or `approvals_pending` (see [holds and approvals](../explanation/holds-and-approvals.md)).

Reasons that end a session come as FATAL. All failures of a login look alike to the client (28P01); the log knows the cause
(see [identity](identity.md)).

| reason | SQLSTATE | MySQL errno | record | meaning |
|---|---|---|---|---|
"""


def refusal_reference() -> str:
    """The text of docs/reference/refusals.md."""
    rows = (f"| `{code.value}` | {r.sqlstate} | {r.errno} | `{r.event}` | {r.meaning} |" for code, r in REASONS.items())
    return _HEAD + "\n".join(rows) + "\n"
