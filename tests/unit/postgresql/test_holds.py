"""Holds in a session: what waits, what goes on, and how each way out of the wait ends; the server's side is played by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.model.statement_desk import (
    BOUND,
    NO_DATA,
    PARSED,
    SYNC,
    Desk,
    bind,
    complete,
    describe,
    error,
    execute,
    fields_of,
    kinds_of,
    parse,
    query,
    ready,
    row,
    row_description,
    split,
)

from querywarden.errors import ReasonCode
from querywarden.gate.permit import Housekeeping, Permit
from querywarden.model.decision import Agreement, ApprovalTerms, WaitMode
from querywarden.model.facts import Verb
from querywarden.model.principal import PrincipalKind
from querywarden.policy.language import Effect, Policy, Rule, What
from querywarden.postgresql.framing import encode
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

DBA = Rule("dba", Effect.HOLD, what=What(verbs=frozenset({Verb.DROP})), terms=ApprovalTerms(("dba",)))
SECURITY = Rule("security", Effect.HOLD, what=What(verbs=frozenset({Verb.ALTER})), terms=ApprovalTerms(("security",), 2))
DDL = "ALTER TABLE products ADD COLUMN note text"
CLOSED = encode(b"3", b"")
ID = "K7M2QX4P"


def probe_answer(desk: Desk, status: str = "I") -> bytes:
    """What a server says to the hidden exchange that the session has just sent."""
    answers = b""
    for kind, body in split(bytes(desk.server)):
        if kind == "C":
            answers += CLOSED
        elif kind == "P":
            text = body.split(b"\0")[1]
            answers += PARSED
        elif kind == "B":
            answers += BOUND
        elif kind == "E":
            if text.startswith(b"SHOW idle"):
                answers += row(b"0")
            elif b"search_path" in text:
                answers += row(b'"$user", public')
            elif text.startswith(b"EXPLAIN"):
                answers += row(b'[{"Plan": {"Node Type": "Seq Scan", "Plan Rows": 12}}]')
            answers += complete(text.split()[0].decode())
        elif kind == "S":
            answers += ready(status)
    desk.server.clear()
    return answers


def held(desk: Desk, text: str = DDL, status: str = "I") -> fx.RequestApproval:
    """A simple query that has come to be held: the request that the session has made."""
    desk.from_client(query(text))
    assert desk.server, "the session asks the server before it asks people"
    desk.from_server(probe_answer(desk, status))
    return last_request(desk)


def last_request(desk: Desk) -> fx.RequestApproval:
    found = [effect for effect in desk.effects if isinstance(effect, fx.RequestApproval)]
    assert found, "nobody was asked"
    return found[-1]


def withdrawals(desk: Desk) -> list[str]:
    return [effect.cause for effect in desk.effects if isinstance(effect, fx.WithdrawApproval)]


def opened(desk: Desk, request: fx.RequestApproval) -> None:
    desk.give(ev.ApprovalOpened(request.ticket, ID, desk.now + 600, "Ask an approver."))


def settled(desk: Desk, request: fx.RequestApproval, outcome: ev.ApprovalOutcome, note: str = "") -> None:
    desk.give(ev.ApprovalSettled(request.ticket, ID, outcome, ("erin",), note))


def permits(desk: Desk) -> list[str]:
    return [basis.audit_id for basis in desk.bases if isinstance(basis, Permit)]


class TestSimpleQuery:
    def test_a_held_statement_waits_and_its_client_is_told_at_once(self) -> None:
        desk = Desk()
        request = held(desk)
        opened(desk, request)
        notice = fields_of(desk.to_client()[-1][1])
        assert "NOTICE" == notice["S"]
        assert ID in notice["M"]
        assert "baseline.schema_change" in notice["D"]
        assert "Ask an approver." in notice["H"]
        assert [] == permits(desk)
        assert "hold" == desk.bodies("db.query.decided")[-1]["effect"]

    def test_an_approved_statement_goes_on_with_a_record_of_who_agreed(self) -> None:
        desk = Desk()
        request = held(desk)
        opened(desk, request)
        settled(desk, request, ev.ApprovalOutcome.GRANTED)
        assert [("Q", DDL.encode() + b"\0")] == desk.to_server()
        hold, release = desk.bodies("db.query.decided")[-2:]
        assert ("hold", "allow") == (hold["effect"], release["effect"])
        assert {"id": ID, "by": ["erin"], "held": request.held.audit_id} == release["approval"]
        assert [desk.records[-1].id] == permits(desk)
        desk.from_server(complete("ALTER TABLE"), ready())
        assert "CZ" == kinds_of(desk.to_client())[-2:]

    def test_approvers_are_asked_only_when_the_record_of_the_hold_is_safe(self) -> None:
        desk = Desk(keeps_records=True)
        desk.from_client(query(DDL))
        desk.from_server(probe_answer(desk))
        assert [] == [effect for effect in desk.effects if isinstance(effect, fx.RequestApproval)]
        number = desk.records[-1].number
        assert number is not None
        desk.give(ev.RecordSafe(number))
        assert last_request(desk).held.text == DDL

    def test_a_record_that_fails_refuses_the_statement_and_asks_nobody(self) -> None:
        desk = Desk(keeps_records=True)
        desk.from_client(query(DDL))
        desk.from_server(probe_answer(desk))
        number = desk.records[-1].number
        assert number is not None
        desk.give(ev.RecordFailed(number))
        assert [] == [effect for effect in desk.effects if isinstance(effect, fx.RequestApproval)]
        assert [Housekeeping.REFUSAL] == desk.bases[-1:]
        assert [] == permits(desk)

    def test_an_approved_statement_whose_record_fails_does_not_run(self) -> None:
        desk = Desk()
        request = held(desk)
        opened(desk, request)
        desk.keeps_records = True
        settled(desk, request, ev.ApprovalOutcome.GRANTED)
        number = desk.records[-1].number
        assert number is not None
        desk.give(ev.RecordFailed(number))
        assert [] == permits(desk)
        assert Housekeeping.REFUSAL == desk.bases[-1]

    @pytest.mark.parametrize(
        ("outcome", "sqlstate", "word"),
        [
            (ev.ApprovalOutcome.DENIED, "42501", "denied by erin: not on a Friday"),
            (ev.ApprovalOutcome.EXPIRED, "42501", "in time"),
            (ev.ApprovalOutcome.WITHDRAWN, "57014", "withdrawn"),
        ],
    )
    def test_a_no_is_told_in_its_place_and_the_session_goes_on(self, outcome: ev.ApprovalOutcome, sqlstate: str, word: str) -> None:
        desk = Desk()
        request = held(desk)
        opened(desk, request)
        settled(desk, request, outcome, "not on a Friday")
        desk.to_client()
        desk.from_server(error("42601"), ready())
        (kind, body), ended = desk.to_client()
        assert ("E", "Z") == (kind, ended[0])
        assert sqlstate == fields_of(body)["C"]
        assert word in fields_of(body)["M"]
        assert [] == permits(desk)
        assert "refused" == desk.bodies("db.query.completed")[-1]["outcome"]
        desk.from_client(query("SELECT id FROM products"))
        assert ["SELECT id FROM products\0"] == [body.decode() for kind, body in desk.to_server() if kind == "Q"][-1:]

    def test_a_cancel_takes_back_the_request_and_not_what_the_server_does(self) -> None:
        desk = Desk()
        opened(desk, held(desk))
        desk.give(ev.CancelRequested())
        assert ["cancelled"] == withdrawals(desk)
        assert [] == [effect for effect in desk.effects if isinstance(effect, fx.ForwardCancel)]
        desk.to_client()
        desk.from_server(error("42601"), ready())
        assert "57014" == fields_of(desk.to_client()[0][1])["C"]
        assert "cancelled" == desk.bodies("db.query.completed")[-1]["outcome"]

    def test_an_approval_that_comes_after_the_cancel_runs_nothing(self) -> None:
        desk = Desk()
        request = held(desk)
        opened(desk, request)
        desk.give(ev.CancelRequested())
        settled(desk, request, ev.ApprovalOutcome.GRANTED)
        assert [] == permits(desk)

    def test_a_client_that_has_gone_withdraws(self) -> None:
        desk = Desk()
        request = held(desk)
        opened(desk, request)
        desk.give(ev.ClientClosed())
        assert ["client_gone"] == withdrawals(desk)
        settled(desk, request, ev.ApprovalOutcome.GRANTED)
        assert [] == permits(desk)
        assert "client_gone" == desk.bodies("db.query.completed")[-1]["reason"]

    def test_a_server_that_has_gone_withdraws(self) -> None:
        desk = Desk()
        opened(desk, held(desk))
        desk.give(ev.ServerClosed())
        assert ["server_gone"] == withdrawals(desk)

    def test_a_shutdown_withdraws(self) -> None:
        desk = Desk()
        opened(desk, held(desk))
        desk.give(ev.Draining())
        assert ["draining"] == withdrawals(desk)
        assert "57P01" == fields_of(desk.to_client()[-1][1])["C"]

    def test_a_shutdown_in_a_transaction_refuses_the_statement_and_leaves_the_transaction_to_its_end(self) -> None:
        desk = Desk()
        desk.from_client(query("BEGIN"))
        desk.from_server(complete("BEGIN"), ready("T"))
        desk.server.clear()
        opened(desk, held(desk, status="T"))
        desk.give(ev.Draining())
        assert ["draining"] == withdrawals(desk)
        desk.to_client()
        desk.from_server(error("42601"), ready("E"))
        assert "EZ" == kinds_of(desk.to_client())

    def test_access_that_ends_withdraws(self) -> None:
        desk = Desk()
        opened(desk, held(desk))
        desk.give(ev.AccessEnded("Your service token was revoked."))
        assert ["access_ended"] == withdrawals(desk)
        assert "57P01" == fields_of(desk.to_client()[-1][1])["C"]

    def test_the_client_is_told_again_at_intervals(self) -> None:
        desk = Desk()
        opened(desk, held(desk))
        desk.to_client()
        desk.give(ev.TimerFired("hold"))
        (notice,) = desk.to_client()
        assert "N" == notice[0]
        assert ID in fields_of(notice[1])["M"]

    def test_what_comes_after_a_held_statement_waits_with_it(self) -> None:
        desk = Desk()
        desk.from_client(query(DDL), query("SELECT id FROM products"))
        desk.from_server(probe_answer(desk))
        request = last_request(desk)
        opened(desk, request)
        assert b"" == bytes(desk.server)
        settled(desk, request, ev.ApprovalOutcome.GRANTED)
        assert [DDL, "SELECT id FROM products"] == [body[:-1].decode() for kind, body in desk.to_server() if kind == "Q"]

    def test_what_came_before_a_held_statement_does_not_wait(self) -> None:
        desk = Desk()
        desk.from_client(query("SELECT id FROM products"), query(DDL))
        assert [b"SELECT id FROM products\0"] == [body for kind, body in desk.to_server()]
        desk.from_server(row_description(("id", 16402, 1, 23)), row(b"1"), complete("SELECT 1"), ready())
        assert "TDCZ" == kinds_of(desk.to_client())
        desk.from_server(probe_answer(desk))
        assert DDL == last_request(desk).held.text

    def test_a_text_with_one_held_statement_is_approved_as_a_whole(self) -> None:
        desk = Desk()
        text = f"SELECT id FROM products; {DDL}; SELECT 1"
        request = held(desk, text)
        assert text == request.held.text
        opened(desk, request)
        settled(desk, request, ev.ApprovalOutcome.GRANTED)
        assert [("Q", text.encode() + b"\0")] == desk.to_server()
        assert ["allow", "allow", "allow"] == [body["effect"] for body in desk.bodies("db.query.decided")[-3:]]

    def test_nobody_is_asked_about_a_text_that_is_denied_anyway(self) -> None:
        desk = Desk()
        desk.from_client(query(f"{DDL}; DROP TABLE products"))
        assert [] == [effect for effect in desk.effects if isinstance(effect, fx.RequestApproval)]
        assert Housekeeping.REFUSAL == desk.bases[-1]

    def test_a_failed_transaction_asks_nobody(self) -> None:
        desk = Desk()
        desk.from_client(query("BEGIN"))
        desk.from_server(complete("BEGIN"), ready("T"))
        desk.from_client(query("SELECT 1/0"))
        desk.from_server(error("22012"), ready("E"))
        desk.server.clear()
        desk.to_client()
        desk.from_client(query(DDL))
        assert [] == [effect for effect in desk.effects if isinstance(effect, fx.RequestApproval)]
        desk.from_server(error("25P02"), ready("E"))
        assert "25P02" == fields_of(desk.to_client()[0][1])["C"]


class TestFailMode:
    def test_an_agent_or_a_client_that_wishes_so_gets_the_id_and_may_come_again(self) -> None:
        desk = Desk()
        desk.phase.state.hold_mode = WaitMode.FAIL
        request = held(desk)
        assert WaitMode.FAIL is request.held.mode
        opened(desk, request)
        assert [] == desk.to_client()
        desk.from_server(error("42601"), ready())
        fields = fields_of(desk.to_client()[0][1])
        assert "42501" == fields["C"]
        assert ID in fields["M"]
        assert "Run the same statement again" in fields["H"]
        assert [] == withdrawals(desk)
        request = held(desk)
        settled(desk, request, ev.ApprovalOutcome.GRANTED)
        assert [("Q", DDL.encode() + b"\0")] == desk.to_server()

    def test_the_control_store_out_of_reach_is_told_and_asks_nobody(self) -> None:
        desk = Desk()
        request = held(desk)
        desk.give(ev.ApprovalUnavailable(request.ticket, "the control store does not answer"))
        desk.from_server(error("42601"), ready())
        fields = fields_of(desk.to_client()[-2][1])
        assert "57P03" == fields["C"]
        assert [] == permits(desk)

    def test_too_many_pending_requests_are_told_as_what_they_are(self) -> None:
        desk = Desk()
        request = held(desk)
        desk.give(ev.ApprovalUnavailable(request.ticket, "20 of your requests wait.", ReasonCode.APPROVALS_PENDING))
        desk.from_server(error("42601"), ready())
        fields = fields_of(desk.to_client()[-2][1])
        assert "53400" == fields["C"]
        assert "none can be asked for: 20 of your requests wait." in fields["M"]
        assert "tell the operator" not in fields["H"]
        assert "querywarden approvals list" in fields["H"]
        assert "approvals_pending" == desk.bodies("db.query.completed")[-1]["reason"]

    def test_the_approvers_of_every_held_statement_of_a_text_are_asked(self) -> None:
        desk = Desk(policy=Policy("v1", (DBA, SECURITY, Rule("any", Effect.ALLOW))))
        request = held(desk, "DROP TABLE products; ALTER TABLE users ADD COLUMN note text")
        assert ("dba", (Agreement(("security",), 2),)) == (request.held.rule, request.held.terms.agreements[:1])
        assert (Agreement(("dba",)),) == request.held.terms.also

    def test_who_has_to_agree_is_asked_again_where_that_has_changed(self) -> None:
        desk = Desk(policy=Policy("v1", (DBA, Rule("any", Effect.ALLOW))))
        first = held(desk, "DROP TABLE products")
        opened(desk, first)
        more = replace(DBA, id="more", terms=ApprovalTerms(("security",)))
        desk.policy = Policy("v1", (DBA, more, Rule("any", Effect.ALLOW)))
        settled(desk, first, ev.ApprovalOutcome.GRANTED)
        second = last_request(desk)
        assert [] == permits(desk)
        assert ((), (Agreement(("security",)),)) == (first.held.terms.also, second.held.terms.also)

    def test_an_agent_fails_by_default(self) -> None:
        desk = Desk(kind=PrincipalKind.AGENT)
        assert WaitMode.FAIL is desk.context.agent_hold_mode


class TestExtendedQuery:
    def test_a_held_statement_is_prepared_and_described_but_not_executed(self) -> None:
        desk = Desk()
        desk.from_client(parse(DDL, "s"), describe("S", "s"), SYNC)
        assert "PDS" == kinds_of(desk.to_server())
        assert ("parse", "hold") == (desk.bodies("db.query.decided")[-1]["stage"], desk.bodies("db.query.decided")[-1]["effect"])

    def test_its_whole_segment_waits_so_that_the_server_holds_no_lock(self) -> None:
        desk = Desk()
        desk.from_client(parse(DDL), bind(), describe("P"), execute(), SYNC)
        sent = split(bytes(desk.server))
        assert b"querywarden.probe" in sent[0][1]
        desk.from_server(probe_answer(desk))
        request = last_request(desk)
        opened(desk, request)
        assert "N" == kinds_of(desk.to_client())
        assert b"" == bytes(desk.server)
        settled(desk, request, ev.ApprovalOutcome.GRANTED)
        assert "PBDES" == kinds_of(desk.to_server())
        desk.from_server(PARSED, BOUND, NO_DATA, complete("ALTER TABLE"), ready())
        assert "12nCZ" == kinds_of(desk.to_client())

    def test_a_denied_segment_is_skipped_to_its_sync(self) -> None:
        desk = Desk()
        desk.from_client(parse(DDL), bind(), execute(), parse("SELECT 1"), bind(), execute(), SYNC)
        desk.from_server(probe_answer(desk))
        request = last_request(desk)
        opened(desk, request)
        settled(desk, request, ev.ApprovalOutcome.DENIED)
        assert "PBBS" == kinds_of(desk.to_server())
        desk.to_client()
        desk.from_server(PARSED, BOUND, error("26000"), ready())
        assert "12EZ" == kinds_of(desk.to_client())
        assert [] == [p for p in permits(desk) if p == request.held.audit_id]

    def test_a_statement_before_it_in_the_same_segment_goes_on(self) -> None:
        desk = Desk()
        desk.from_client(parse("SELECT id FROM products"), bind(), execute(), parse(DDL), bind(), execute(), SYNC)
        assert "PBDEPBH" == kinds_of(desk.to_server())
        described = row_description(("id", 16402, 1, 23))
        desk.from_server(PARSED, BOUND, described, row(b"1"), complete("SELECT 1"), PARSED, BOUND)
        assert "12DC12" == kinds_of(desk.to_client())
        desk.from_server(probe_answer(desk))
        request = last_request(desk)
        opened(desk, request)
        settled(desk, request, ev.ApprovalOutcome.GRANTED)
        assert "DES" == kinds_of(desk.to_server())

    def test_a_time_out_of_the_server_in_the_segment_ends_the_wait(self) -> None:
        desk = Desk()
        desk.from_client(parse("SELECT id FROM products"), bind(), execute(), parse(DDL), bind(), execute(), SYNC)
        desk.to_server()
        described = row_description(("id", 16402, 1, 23))
        desk.from_server(PARSED, BOUND, described, row(b"1"), complete("SELECT 1"), PARSED, BOUND)
        desk.from_server(probe_answer(desk))
        opened(desk, last_request(desk))
        desk.to_client()
        desk.from_server(error("57014", "canceling statement due to statement timeout"))
        assert ["transaction_over"] == withdrawals(desk)
        assert "S" == kinds_of(desk.to_server())
        desk.from_server(ready())
        assert "EZ" == kinds_of(desk.to_client())

    def test_other_parameters_are_another_question(self) -> None:
        desk = Desk()
        texts = []
        for value in (b"1", b"2"):
            values = b"\0\0\0\x01" + len(value).to_bytes(4, "big") + value + b"\0\0"
            desk.from_client(parse(DDL), encode(b"B", b"\0\0" + values), execute(), SYNC)
            desk.from_server(probe_answer(desk))
            request = last_request(desk)
            texts.append((request.held.fingerprint, request.held.parameters))
            opened(desk, request)
            desk.give(ev.CancelRequested())
            desk.from_server(PARSED, BOUND, error("26000"), ready())
            desk.server.clear()
        assert (("1",), ("2",)) == (texts[0][1], texts[1][1])
        assert texts[0][0] != texts[1][0]


def test_no_byte_of_a_hidden_exchange_reaches_the_client_however_the_server_cuts_it() -> None:
    whole = Desk()
    whole.from_client(query(DDL))
    answer = probe_answer(whole)
    for cut in range(1, len(answer)):
        desk = Desk()
        desk.from_client(query(DDL))
        desk.server.clear()
        desk.from_server(answer[:cut])
        desk.from_server(answer[cut:])
        assert [] == desk.to_client()
        assert DDL == last_request(desk).held.text
