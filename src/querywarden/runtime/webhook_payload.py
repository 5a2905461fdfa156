"""What webhooks are sent: an event of an approval as plain data, its two forms, and the signature.

Everything that comes from a requester is untrusted here: a reason, a statement or a subject can't make a link, a mention or markup of
its own. Literals, parameters and exact texts never leave by a webhook.

Spec: Standard Webhooks 1.0 (webhook-id, webhook-timestamp, webhook-signature); Slack, "Formatting text for app surfaces".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from querywarden.approval.request import ApprovalRequest

STATEMENT_CHARACTERS_MAX = 2000
"""Of a statement; a block of Slack's holds 3000 characters, escapes included."""
REASON_CHARACTERS_MAX = 500
NAME_CHARACTERS_MAX = 200
_BLOCK_CHARACTERS_MAX = 2900
_FIELD_CHARACTERS_MAX = 1900
_SECRET_PREFIX = "whsec_"  # noqa: S105 - the mark of the specification, not a secret
_TITLES = {
    "approval.requested": "Approval wanted",
    "approval.granted": "Approved",
    "approval.denied": "Denied",
    "approval.expired": "Nobody approved in time",
    "approval.withdrawn": "Withdrawn",
    "approval.used": "Approval used",
}
_QUOTE = "\u02bc"
"""What stands for a backtick."""
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+")
"""Control characters, and those that are not seen or turn the direction of text."""


def event_data(event: str, request: ApprovalRequest, now: float, where: str) -> dict[str, Any]:
    """An event as plain data, as it is kept until it is delivered. `where` says how to approve."""
    statement = request.statement
    data: dict[str, Any] = {
        "request": request.id,
        "kind": request.kind.value,
        "rule": request.rule,
        "database": request.database,
        "environment": request.environment,
        "principal": _bounded(request.requester.label, NAME_CHARACTERS_MAX),
        "expires_at": _moment(request.expires_at),
        "quorum": request.terms.quorum,
        "agreements": [{"approvers": list(each.approvers), "quorum": each.quorum} for each in request.terms.agreements],
        "by": [_bounded(vote.approver.label, NAME_CHARACTERS_MAX) for vote in request.votes],
        "where": where,
    }
    if statement is not None:
        data |= {"verb": statement.verb, "statement": _bounded(statement.normalised, STATEMENT_CHARACTERS_MAX)}
        if statement.estimated_rows is not None:
            data["estimated_rows"] = statement.estimated_rows
    if request.access is not None:
        access = request.access
        data["access"] = {"group": access.group, "database": access.database, "seconds": access.seconds}
    if request.reason:
        data["reason"] = _bounded(request.reason, REASON_CHARACTERS_MAX)
    return {"type": event, "timestamp": _moment(now), "data": data}


def json_body(event: Mapping[str, Any]) -> bytes:
    """The generic form of an event."""
    return orjson.dumps(event)


def slack_body(event: Mapping[str, Any]) -> bytes:
    """The form of Slack's incoming webhooks: a line of text for where blocks aren't shown, and blocks.

    `verbatim` keeps Slack from making links and mentions of what it finds; untrusted texts stand in code, which has no markup.
    """
    data = event["data"]
    title = _TITLES.get(event["type"], str(event["type"]))
    names = {name: _line(data[name]) for name in ("request", "rule", "principal", "database")}
    summary = f"{title}: request {names['request']}, rule {names['rule']}, {names['principal']} on {names['database']}"
    facts = [
        ("Request", data["request"]),
        ("Principal", data["principal"]),
        ("Database", f"{data['database']} ({data['environment']})"),
        ("Rule", data["rule"]),
    ]
    if "estimated_rows" in data:
        facts.append(("Estimated rows", str(data["estimated_rows"])))
    if "access" in data:
        facts.append(("Access", _access(data["access"])))
    if data["by"]:
        facts.append(("By", ", ".join(data["by"])))
    if event["type"] == "approval.requested":
        facts.append(("Until", data["expires_at"]))
        wanted = [f"{each['quorum']} of {' or '.join(each['approvers'])}" for each in data.get("agreements", ())]
        facts.append(("To agree", " and ".join(wanted)))
    fields = [_text(f"*{name}*\n{_code(value, _FIELD_CHARACTERS_MAX)}") for name, value in facts]
    blocks: list[dict[str, Any]] = [_section(f"*{title}*"), {"type": "section", "fields": fields}]
    if "reason" in data:
        blocks.append(_section(f"*Reason given*\n{_code(data['reason'])}"))
    if "statement" in data:
        blocks.append(_section(_block(data["statement"])))
    if event["type"] == "approval.requested":
        blocks.append(_section(f"To decide: {_code(data['where'])}"))
    quiet = {"mrkdwn": False, "link_names": False, "unfurl_links": False, "unfurl_media": False}
    return orjson.dumps({"text": summary, **quiet, "blocks": blocks})


def signature(secret: str, delivery_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature` for a delivery."""
    signed = b".".join((delivery_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    """The bytes of a secret: `whsec_` and base64 by the specification, anything else as it stands."""
    if secret.startswith(_SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bounded(text: str, characters: int) -> str:
    plain = _UNSEEN.sub(" ", text)
    return plain if len(plain) <= characters else plain[: characters - 1] + "…"


def _access(access: Mapping[str, Any]) -> str:
    what = f"group {access['group']}" if access["group"] is not None else f"database {access['database']}"
    return f"{what} for {access['seconds']} seconds"


def _escape(text: str) -> str:
    """Slack's three characters of control; without them there is no link and no mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(text: str) -> str:
    """Untrusted text in the line outside of blocks: no backticks or asterisks, and nothing that reads as an address."""
    return _escape(re.sub(r"[`*_~]", "'", _UNSEEN.sub(" ", text)).replace("://", ": //").replace("@", "(at)"))


def _code(text: str, characters: int = _BLOCK_CHARACTERS_MAX) -> str:
    """Untrusted text as code in a line."""
    return f"`{_literal(text, characters)}`"


def _block(text: str) -> str:
    return f"```{_literal(text, _BLOCK_CHARACTERS_MAX)}```"


def _literal(text: str, characters: int) -> str:
    """Text for the inside of code: its backticks give way, so that it can't end the code; cut, but never inside of an escape."""
    escaped = _escape(_UNSEEN.sub(" ", text).replace("`", _QUOTE)) or " "
    if len(escaped) <= characters:
        return escaped
    cut = escaped[:characters]
    start = cut.rfind("&")
    return (cut if start < 0 or ";" in cut[start:] else cut[:start]) + "…"


def _text(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text)}
