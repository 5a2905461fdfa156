"""Refusals: what the client reads, and what the server gets in place of the refused message."""

import pytest
from tests.model.statement_desk import fields_of

from querywarden.errors import ReasonCode
from querywarden.model.decision import Deny
from querywarden.model.facts import Unanalysable
from querywarden.postgresql.messages.frontend import decode_bind, decode_parse, decode_query
from querywarden.postgresql.refusal import refusal_of, refusal_of_text, substitute

AUDIT_ID = "0192f000-0000-7000-8000-000000000001"


def test_a_denial_tells_sentence_rule_audit_id_and_a_way_forward() -> None:
    told = fields_of(refusal_of(Deny("baseline.x", ReasonCode.DESTRUCTIVE, "It drops.", "Do else."), AUDIT_ID).error()[5:])
    assert ("ERROR", "42501", "It drops.", f"Rule baseline.x. Audit id {AUDIT_ID}.", "Do else.") == tuple(told[code] for code in "SCMDH")


def test_a_syntax_error_reads_as_the_servers_own() -> None:
    told = fields_of(refusal_of_text(Unanalysable("syntax", 'syntax error at or near "SELEC"', "42601", 1), AUDIT_ID).error()[5:])
    assert ("42601", 'syntax error at or near "SELEC"', "1") == (told["C"], told["M"], told["P"])
    assert AUDIT_ID in told["D"]


@pytest.mark.parametrize("kind", [b"Q", b"F", b"P", b"B", b"E", b"D"])
def test_a_substitute_names_the_audit_id_for_the_servers_log(kind: bytes) -> None:
    message = substitute(kind[0], b"s1", AUDIT_ID)
    body = message[5:]
    assert AUDIT_ID.encode() in body
    if kind in b"QF":
        assert decode_query(body).query.startswith(b"querywarden refused")
    elif kind == b"P":
        assert b"s1" == decode_parse(body).name
    else:
        assert b"querywarden refused" in decode_bind(body).statement
