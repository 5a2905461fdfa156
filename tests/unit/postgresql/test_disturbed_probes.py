"""Questions to the server that are disturbed: a cancel of the client's, or something from outside that hits the exchange itself."""

from __future__ import annotations

import pytest
from tests.model.statement_desk import BOUND, PARSED, Desk, complete, error, fields_of, kinds_of, query, ready, row, split

from querywarden.postgresql.framing import encode
from querywarden.session import effects as fx
from querywarden.session import inputs as ev

DDL = "ALTER TABLE products ADD COLUMN note text"
UPDATE = "UPDATE products SET id = 1 WHERE id > 5"
PLAN = b'[{"Plan": {"Node Type": "Seq Scan", "Plan Rows": 3}}]'
CLOSED = encode(b"3", b"")


def answer(desk: Desk, *statuses: str) -> list[bytes]:
    """What the server says to the exchange that was just sent, each step ending in a status of its own. Returns: the steps' texts."""
    texts = []
    answers = b""
    text = b""
    left = list(statuses)
    for kind, body in split(bytes(desk.server)):
        if kind == "P":
            text = body.split(b"\0")[1]
            texts.append(text)
        shown = row(PLAN) if text.startswith(b"EXPLAIN") else row(b"0") if b"SHOW" in text or b"search_path" in text else b""
        answers += {"C": CLOSED, "P": PARSED, "B": BOUND, "E": shown + complete("SHOW"), "S": b""}[kind]
        if kind == "S":
            answers += ready(left.pop(0) if len(left) > 1 else left[0])
    desk.server.clear()
    desk.from_server(answers)
    return texts


def asked(desk: Desk) -> list[fx.RequestApproval]:
    return [effect for effect in desk.effects if isinstance(effect, fx.RequestApproval)]


@pytest.mark.parametrize("text", [DDL, UPDATE])
def test_a_cancel_of_the_client_counts_once_the_server_has_answered(text: str) -> None:
    desk = Desk()
    desk.from_client(query(text), query("SELECT id FROM products"))
    assert b"querywarden.probe" in bytes(desk.server)
    desk.give(ev.CancelRequested())
    assert [] == [effect for effect in desk.effects if isinstance(effect, fx.ForwardCancel)]
    answer(desk, "I")
    assert [] == asked(desk)
    sent = [body for kind, body in desk.to_server() if kind == "Q"]
    assert b"querywarden refused" in sent[0]
    assert b"SELECT id FROM products\0" == sent[1]
    desk.from_server(error("42601"), ready())
    assert "57014" == fields_of(desk.to_client()[0][1])["C"]


def test_a_transaction_of_ours_that_was_left_open_is_ended() -> None:
    desk = Desk()
    desk.from_client(query(UPDATE))
    answer(desk, "T", "T", "T", "E")
    assert [b"ROLLBACK"] == answer(desk, "E")
    assert [b"ROLLBACK"] == answer(desk, "I")
    assert [UPDATE.encode() + b"\0"] == [body for _, body in desk.to_server()]
    assert b"I" == desk.phase.state.transaction


def test_a_transaction_of_the_clients_that_has_failed_by_it_is_known_to_have() -> None:
    desk = Desk()
    desk.from_client(query("BEGIN"))
    desk.from_server(complete("BEGIN"), ready("T"))
    desk.server.clear()
    desk.to_client()
    desk.from_client(query(DDL))
    answer(desk, "T", "E")
    assert b"E" == desk.phase.state.transaction
    desk.from_server(error("42601"), ready("E"))
    assert [] == asked(desk)
    found = desk.to_client()
    assert "EZ" == kinds_of(found)
    assert "25P02" == fields_of(found[0][1])["C"]
