"""The bodies of records: their fields, their bounds, and what never gets into them."""

from __future__ import annotations

import dataclasses

import pytest

from querywarden.audit import log_records, record, session_records
from querywarden.audit.encoding import LINE_BYTES_MAX, encode
from querywarden.model.facts import Hazard, SettingChange, StatementFacts, Verb
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment, FunctionName, RelationName

ALICE = Principal("alice", "https://idp", PrincipalKind.HUMAN, frozenset({"b", "a"}), "jti-1", "jwt", 1_900_000_000)
BOT = Principal("alice", "https://idp", PrincipalKind.AGENT, actors=(Actor("bot", "https://idp"), Actor("hub", "https://idp")))
SHOP = Database("shop", Environment.PRODUCTION)
FACTS = StatementFacts(
    Verb.UPDATE,
    "UPDATE t SET a = ?",
    reads=frozenset({RelationName("s", "u"), RelationName(None, "t")}),
    writes=frozenset({RelationName(None, "t")}),
    functions=frozenset({FunctionName(None, "lower")}),
    hazards=frozenset({Hazard.UNCONDITIONAL}),
    settings=(SettingChange("role", "secret-value", False),),
)


def _decided(who=ALICE, facts=FACTS, **changes):
    arguments = {"stage": "simple", "effect": "deny", "rule": "r", "policy_version": "p", "statement_bytes": 18} | changes
    session, statement = record.of_session(who, SHOP, "s"), record.of_statement(facts, arguments["statement_bytes"])
    return record.decided(session, statement, **arguments)


def test_who_says_everything_the_credential_said():
    assert {
        "sub": "alice", "iss": "https://idp", "kind": "human", "groups": ["a", "b"], "jti": "jti-1",
        "auth": {"method": "jwt", "exp": 1_900_000_000},
    } == record.who(ALICE)  # fmt: skip
    assert [{"sub": "bot", "iss": "https://idp"}, {"sub": "hub", "iss": "https://idp"}] == record.who(BOT)["act"]


def test_a_decided_record():
    body = _decided(reason="unconditional_write", commitment="c" * 64, parameters=2, parameters_commitment="d" * 64)
    assert {
        "who": record.who(ALICE),
        "db": {"name": "shop", "env": "production", "engine": "postgresql"},
        "session": "s",
        "stage": "simple",
        "effect": "deny",
        "rule": "r",
        "reason": "unconditional_write",
        "policy": {"version": "p"},
        "stmt": {"norm": "UPDATE t SET a = ?", "len": 18, "fp": record.fingerprint_of("UPDATE t SET a = ?"), "com": "c" * 64},
        "verb": "update",
        "reads": ["s.u", "t"],
        "writes": ["t"],
        "functions": ["lower"],
        "hazards": ["unconditional"],
        "settings": ["role"],
        "props": [],
        "params": {"n": 2, "com": "d" * 64},
    } == body


def test_a_decided_record_says_what_the_decision_was_made_of():
    facts = dataclasses.replace(FACTS, column_names=frozenset({"b", "a"}), has_star=True, object_kind="table")
    statement = record.of_statement(facts, 18, ("bulk", "unconditional"))
    assert (["a", "b"], True, "table", ["bulk", "unconditional"]) == tuple(statement[name] for name in ("columns", "star", "kind", "props"))
    body = _decided(effect="allow", estimated_rows=5, automatic="small", observed=[("strict", "deny")])
    assert (5, {"automatic": "small"}, [{"rule": "strict", "effect": "deny"}]) == (body["rows_est"], body["approval"], body["observed"])


def test_an_unanalysable_statement_is_told_by_its_length():
    body = _decided(facts=None, statement_bytes=7)
    assert ("<unanalysable, 7 bytes>", "unknown") == (body["stmt"]["norm"], body["verb"])


def test_values_of_settings_stay_out():
    assert b"secret-value" not in encode(_decided())


def test_a_completed_record():
    body = record.completed(
        "id-1", outcome="ok", tag="SELECT 3", rows=3, bytes_out=99, masked_cells=3, masked=[("public.u.email", "email")], duration_us=1500
    )
    assert {
        "decided": "id-1", "outcome": "ok", "tag": "SELECT 3", "rows": 3, "bytes_out": 99, "duration_us": 1500,
        "masked": [{"column": "public.u.email", "class": "email"}], "masked_cells": 3,
    } == body  # fmt: skip


def test_the_largest_statement_still_has_a_line():
    names = frozenset(RelationName("s" * 63, f"{i:03}" + "r" * 60) for i in range(500))
    functions = frozenset(FunctionName("s" * 63, f"{i:03}" + "f" * 60) for i in range(500))
    facts = dataclasses.replace(FACTS, normalised="x" * 100_000, reads=names, writes=names, functions=functions)
    who = dataclasses.replace(ALICE, groups=frozenset(f"group-{i}" for i in range(1000)))
    body = _decided(who, facts, stage="execute", effect="allow", statement_bytes=100_000)
    assert 500 - record.NAMES_MAX == body["reads_more"] == body["functions_more"]
    assert 1000 - record.GROUPS_MAX == body["who"]["groups_more"]
    assert body["stmt"]["truncated"] is True
    assert len(encode(body)) < LINE_BYTES_MAX
    masked = [("c" * 300, "email")] * 1600
    assert len(encode(record.completed("id", outcome="ok", masked=masked, masked_cells=1))) < LINE_BYTES_MAX


@pytest.mark.parametrize(
    "credential", ["eyJhbGciOiJub25lIn0.e30.", "Bearer eyJhbGciOi", "qw_abc_def", "postgres://u:p@h/d", "x" * 65, "token qw_1_2"]
)
def test_what_looks_like_a_credential_is_withheld(credential):
    peer = record.client("10.0.0.1", 5, None, credential)
    failed = session_records.auth_failed("expired", session_id="s", peer=peer, database=credential, user=credential)
    refused = session_records.conn_refused("limit", session_id="s", peer=peer, database=credential)
    for body in (failed, refused):
        assert credential.encode() not in encode(body)
        assert b"withheld" in encode(body)


def test_ordinary_claims_are_kept():
    peer = record.client("10.0.0.1", 5, "TLSv1.3", "psql")
    assert {"ip": "10.0.0.1", "port": 5, "tls": "TLSv1.3", "app": "psql"} == peer
    body = session_records.auth_failed("expired", session_id="s", peer=peer, database="shop", user="qwerty")
    assert ("shop", "qwerty", "expired") == (body["claimed_database"], body["claimed_user"], body["cause"])


def test_every_builder_gives_a_body_with_a_line():
    peer = record.client("::1", 5, None)
    bodies = [
        session_records.auth_succeeded(ALICE, SHOP, session_id="s", peer=peer),
        session_records.conn_opened(BOT, SHOP, session_id="s", peer=peer, role="app"),
        session_records.conn_refused("not_allowed", session_id="s", peer=peer, principal=ALICE, database="shop", rule="r"),
        session_records.conn_closed("client_closed", session_id="s", principal=ALICE, database=SHOP, statements=1),
        log_records.genesis("0" * 64), log_records.opened("1", 2, "h", "k"), log_records.closed("stopped"),
        log_records.rotated(0, 9, 100, "0" * 64), log_records.recovered(1, "0" * 64, 3, "q"), log_records.heartbeat(),
        log_records.gap(3, "full"), log_records.policy_loaded("v", "built-in", 3), log_records.policy_changed("u", "v", "f", 3),
    ]  # fmt: skip
    for body in bodies:
        assert encode(body).startswith(b"{")
    assert "app" == bodies[1]["who"]["db_user"]
    assert "db_user" not in record.who(BOT)
