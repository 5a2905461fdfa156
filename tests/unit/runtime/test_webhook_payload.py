"""What webhooks are sent: signatures by the specification's example, bounds, and texts that try to be more than texts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from querywarden.approval.request import (
    AccessWanted,
    ApprovalRequest,
    Party,
    RequestKind,
    RequestState,
    StatementShown,
    Vote,
)
from querywarden.model.decision import Agreement, ApprovalTerms
from querywarden.model.principal import Actor, PrincipalKind
from querywarden.runtime.webhook_payload import event_data, json_body, signature, slack_body

REQUEST = ApprovalRequest(
    id="7K3M9QWX",
    kind=RequestKind.STATEMENT,
    state=RequestState.PENDING,
    requester=Party("alice", "https://idp", PrincipalKind.HUMAN, actors=(Actor("robot", "https://idp"),)),
    database="shop",
    environment="production",
    rule="bulk",
    terms=ApprovalTerms(quorum=2),
    fingerprint="f",
    statement_fingerprint="s",
    created_at=1_700_000_000,
    expires_at=1_700_001_800,
    statement=StatementShown(
        "delete from t where ssn = '123-45-6789'", "delete from t where ssn = ?", "delete", parameters=("canary",), estimated_rows=12
    ),
    reason="clean up",
)


def event(request: ApprovalRequest = REQUEST, kind: str = "approval.requested") -> dict[str, Any]:
    return event_data(kind, request, 1_700_000_000.5, "querywarden approvals approve 7K3M9QWX")


def test_the_generic_form() -> None:
    assert json.loads(json_body(event())) == {
        "type": "approval.requested",
        "timestamp": "2023-11-14T22:13:20Z",
        "data": {
            "request": "7K3M9QWX",
            "kind": "statement",
            "rule": "bulk",
            "database": "shop",
            "environment": "production",
            "principal": "robot for alice",
            "expires_at": "2023-11-14T22:43:20Z",
            "quorum": 2,
            "agreements": [{"approvers": ["querywarden-approvers"], "quorum": 2}],
            "by": [],
            "where": "querywarden approvals approve 7K3M9QWX",
            "verb": "delete",
            "statement": "delete from t where ssn = ?",
            "estimated_rows": 12,
            "reason": "clean up",
        },
    }


def test_all_who_have_to_agree_are_told() -> None:
    request = replace(REQUEST, terms=ApprovalTerms(("dba", "leads"), 2, also=(Agreement(("security",)),)))
    wanted = [{"approvers": ["dba", "leads"], "quorum": 2}, {"approvers": ["security"], "quorum": 1}]
    assert event(request)["data"]["agreements"] == wanted
    assert b"2 of dba or leads and 1 of security" in slack_body(event(request))


def test_no_literal_and_no_parameter_leaves() -> None:
    for body in (json_body(event()), slack_body(event())):
        assert b"123-45" not in body
        assert b"canary" not in body


def test_access_requests_say_what_is_wanted() -> None:
    request = replace(REQUEST, kind=RequestKind.ACCESS, statement=None, access=AccessWanted("oncall", None, 3600))
    assert event(request)["data"]["access"] == {"group": "oncall", "database": None, "seconds": 3600}
    assert b"group oncall for 3600 seconds" in slack_body(event(request))
    request = replace(request, access=AccessWanted(None, "shop", 60))
    assert b"database shop for 60 seconds" in slack_body(event(request))


def test_who_has_voted_is_told() -> None:
    bob = Party("bob", "https://idp", PrincipalKind.HUMAN)
    assert event(replace(REQUEST, votes=(Vote(bob, True, 1),)), "approval.granted")["data"]["by"] == ["bob"]


def test_the_signature_of_the_specification() -> None:
    """Standard Webhooks, the example of the reference libraries."""
    body = b'{"test": 2432232314}'
    found = signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["plain text", "whsec_not base64!"])
def test_other_secrets_are_keys_as_they_stand(secret: str) -> None:
    assert signature(secret, "m", 1, b"x") != signature(secret + "x", "m", 1, b"x")


EVIL = "a & <!channel> <https://evil.example|click> @here *bold* _i_ ~s~ `code` ``` https://evil.example \x1b[31m \u202e turned\nnext"


def _texts(found: Any) -> list[str]:
    if isinstance(found, dict):
        return [text for value in found.values() for text in _texts(value)]
    if isinstance(found, list):
        return [text for value in found for text in _texts(value)]
    return [found] if isinstance(found, str) else []


def _objects(found: Any) -> list[dict[str, Any]]:
    if isinstance(found, dict):
        return [found, *(each for value in found.values() for each in _objects(value))]
    return [each for value in found for each in _objects(value)] if isinstance(found, list) else []


@pytest.mark.parametrize("field", ["reason", "statement", "subject", "database", "voter"])
def test_untrusted_texts_stay_texts(field: str) -> None:
    request = REQUEST
    match field:
        case "reason":
            request = replace(request, reason=EVIL)
        case "statement":
            request = replace(request, statement=replace(request.statement, normalised=EVIL))  # type: ignore[type-var]
        case "subject":
            request = replace(request, requester=Party(EVIL, "https://idp", PrincipalKind.HUMAN))
        case "database":
            request = replace(request, database=EVIL)
        case "voter":
            request = replace(request, votes=(Vote(Party(EVIL, "i", PrincipalKind.HUMAN), True, 1),))
    body = json.loads(slack_body(event(request)))
    for text in _texts(body):
        assert "<" not in text
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    for each in _objects(body["blocks"]):
        if each.get("type") != "mrkdwn":
            continue
        assert each["verbatim"] is True
        # Outside of code there are only our own words, and code is not ended from inside.
        outside = re.sub(r"```[^`]*```|`[^`]*`", "", each["text"])
        assert "`" not in outside
        assert "evil" not in outside
        assert "here" not in outside
    summary = body["text"]
    assert not re.search(r"[`*_~@\n]", summary)
    assert "://" not in summary
    assert body["mrkdwn"] is False


def test_long_texts_are_cut_outside_of_escapes() -> None:
    request = replace(REQUEST, reason="&" * 5000, statement=replace(REQUEST.statement, normalised="<" * 50_000))  # type: ignore[type-var]
    body = json.loads(slack_body(event(request)))
    for block in body["blocks"]:
        text = block.get("text", {}).get("text", "")
        assert len(text) <= 3000
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)
    for field in body["blocks"][1]["fields"]:
        assert len(field["text"]) <= 2000
    assert len(event(request)["data"]["statement"]) == 2000
    assert len(event(request)["data"]["reason"]) == 500
