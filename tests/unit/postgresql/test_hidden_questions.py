"""What hidden questions leave alone: the client's segment, transaction, data and errors; and what of them is the client's after all."""

from __future__ import annotations

import json

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
    parse,
    query,
    ready,
)
from tests.unit.postgresql.test_statement_flow import KNOWING, LOUD, NAMES, PLAIN, Server, desk_of, is_query, notice

from querywarden.postgresql.framing import encode
from querywarden.postgresql.probe import NAME
from querywarden.session import inputs as ev

FLUSH, CLOSE = encode(b"H", b""), encode(b"C", b"Ssomething\0")
COPY_IN, CLOSED = encode(b"G", b"\0\0\2\0\0\0\0"), encode(b"3", b"")
WRONG = "SELECT email, nope FROM users"


class Watched(Server):
    """Remembers how each hidden exchange was sent: with Syncs, or as a part of the client's segment, with a Flush."""

    @classmethod
    def of(cls, desk: Desk) -> Watched:
        watched = cls(desk)
        watched.ends = []
        return watched

    ends: list[str]

    def _answer(self, sent: list[tuple[str, bytes]]) -> bytes:
        self.ends.append(sent[-1][0])
        return super()._answer(sent)


def begun() -> tuple[Desk, Watched]:
    """A segment of which the server has run a statement."""
    desk, _ = desk_of()
    desk.from_client(SYNC, parse("SELECT 1"), bind(), describe("P"), execute(), FLUSH)
    desk.to_server()
    desk.from_server(ready(), PARSED, BOUND, NO_DATA, complete("SELECT 1"))
    desk.to_client()
    return desk, Watched.of(desk)


def in_transaction(status: str = "T") -> tuple[Desk, Server]:
    desk, server = desk_of()
    desk.from_client(query("BEGIN"))
    desk.to_server()
    desk.from_server(complete("BEGIN"), ready(status))
    desk.to_client()
    server.status = status
    return desk, server


def codes(desk: Desk) -> list[str]:
    return [fields_of(body)["C"] for kind, body in desk.to_client() if kind == "E"]


def test_every_question_in_a_segment_that_is_begun_leaves_its_sync_to_the_client() -> None:
    desk, server = begun()
    # The second comes in the same bytes, when nothing of the client's has gone out since the question about the first.
    desk.from_client(parse(PLAIN), parse(LOUD), SYNC)
    assert [kind for kind, _ in server.work()] == ["P", "H"]
    desk.from_server(PARSED)
    server.work()
    assert LOUD in server.asked
    assert set(server.ends) == {"H"}


def test_a_segment_without_a_portal_has_nothing_that_a_sync_would_end() -> None:
    desk, _ = desk_of()
    server = Watched.of(desk)
    desk.from_client(CLOSE)
    desk.to_server()
    desk.from_client(query(PLAIN))
    # The answer to Close comes for a Flush.
    assert [kind for kind, _ in desk.to_server()] == ["H"]
    desk.from_server(CLOSED)
    assert is_query(server.work(), PLAIN)
    assert set(server.ends) == {"S"}


def test_behind_a_query_in_the_middle_of_a_pipeline_the_transaction_may_be_the_servers_own() -> None:
    desk, server = begun()
    desk.from_client(query("SELECT 2"))
    desk.to_server()
    desk.from_server(complete("SELECT 1"), ready("T"))
    desk.from_client(parse(PLAIN), SYNC)
    server.work()
    assert set(server.ends) == {"H"}
    desk.from_server(PARSED, ready())
    desk.from_client(parse(LOUD), SYNC)
    server.ends.clear()
    server.work()
    assert set(server.ends) == {"S"}


def test_a_wrong_query_in_the_middle_of_a_pipeline_is_ready_after_its_error() -> None:
    desk, server = begun()
    desk.from_client(query(WRONG))
    assert [kind for kind, _ in server.work()] == ["S"]
    desk.from_server(ready())
    assert [kind for kind, _ in desk.to_client()] == ["E", "Z"]
    desk.from_client(query("SELECT 3"))
    assert is_query(server.work(), "SELECT 3")


def test_the_error_of_a_wrong_statement_keeps_its_place_in_the_text() -> None:
    desk, server = begun()
    server.trees = lambda text: None
    desk.from_client(parse(LOUD), SYNC)
    _fail_with(desk, server, error("42703", "no such column", P="8"))
    found = [fields_of(body) for kind, body in desk.to_client() if kind == "E"]
    assert [(each["C"], each.get("P")) for each in found] == [("42703", "8")]


def _fail_with(desk: Desk, server: Server, data: bytes) -> None:
    """Answer the question about names, and the tree question with this error."""
    while True:
        sent = desk.to_server()
        texts = [body.split(b"\0")[1].decode() for kind, body in sent if kind == "P"]
        if any("set_config" in text for text in texts):
            desk.from_server(CLOSED, CLOSED, PARSED, BOUND, complete("SELECT 1"), CLOSED, CLOSED, CLOSED, data)
            return
        desk.from_server(server._answer(sent))


@pytest.mark.parametrize("message", [bind(), describe("S")])
def test_a_parse_that_fails_in_a_segment_has_dropped_the_unnamed_statement(message: bytes) -> None:
    desk, server = begun()
    desk.from_client(parse(WRONG), SYNC)
    server.work()
    desk.from_server(ready())
    desk.to_client()
    desk.from_client(message, SYNC)
    server.work()
    desk.from_server(error("42601"), ready())
    assert codes(desk) == ["26000"]


def test_data_of_a_copy_is_not_kept_back_with_what_comes_behind_it() -> None:
    desk = Desk(tells_flows=True, catalogue=KNOWING, keeps_records=True)
    desk.from_client(query("COPY products FROM STDIN"), encode(b"d", b"1\tx\n"), encode(b"c", b""), CLOSE, parse(PLAIN), SYNC)
    desk.give(ev.RecordSafe(min(desk.phase.state.unsafe)))
    assert [kind for kind, _ in desk.to_server()] == ["Q", "d", "c"]


@pytest.mark.parametrize(
    "mode", ["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION READ ONLY", "SET transaction_isolation = serializable"]
)
def test_a_transaction_whose_mode_is_still_to_be_set_is_asked_nothing(mode: str) -> None:
    desk, server = in_transaction()
    text = f"{mode}; {PLAIN}"
    desk.from_client(query(text))
    assert is_query(server.work(), text)
    assert server.asked == []


def test_outside_a_transaction_it_is_asked_before_the_mode_is_set() -> None:
    desk, server = desk_of()
    desk.from_client(query(f"BEGIN; SET TRANSACTION READ ONLY; {PLAIN}"))
    server.work()
    assert server.asked != []


def test_a_statement_that_follows_a_rollback_in_its_segment_is_asked_about() -> None:
    desk, server = in_transaction("E")
    desk.from_client(parse("ROLLBACK"), bind(), describe("P"), execute(), FLUSH)
    desk.to_server()
    desk.from_server(PARSED, BOUND, NO_DATA, complete("ROLLBACK"))
    desk.from_client(parse(PLAIN), SYNC)
    server.work()
    assert PLAIN in server.asked


def test_a_role_that_one_session_has_taken_on_says_nothing_about_others() -> None:
    desk, server = desk_of()
    server.may_silence = False
    server.names = NAMES.replace(b'"app", "app"', b'"guest", "app"')
    desk.from_client(query(LOUD))
    assert is_query(server.work(), LOUD)
    other, other_server = desk_of()
    other.phase.state.context = desk.phase.state.context
    other.from_client(query(LOUD))
    other_server.work()
    assert LOUD in other_server.asked


def test_the_session_itself_asks_again_once_it_has_left_that_role() -> None:
    desk, server = desk_of()
    server.may_silence = False
    server.names = json.dumps([["public"], "guest", "app", "on", "origin", "off", None]).encode()
    for text in (LOUD, LOUD, "RESET ROLE", LOUD):
        desk.from_client(query(text))
        server.work()
        desk.from_server(complete(text.split()[0]), ready())
    assert sum("debug_print_rewritten" in text for text in server.asked) == 2


def test_a_tree_of_any_size_is_skipped_piece_by_piece() -> None:
    desk, server = desk_of({LOUD: b"x"})
    server.notices = lambda said: b""
    desk.from_client(query(LOUD))
    desk.from_server(server._answer(desk.to_server()))
    whole = server._answer(desk.to_server())
    parsed = whole.rindex(PARSED)
    size = 40 << 20
    desk.from_server(whole[:parsed], notice(b"")[:1], (size + 4).to_bytes(4, "big"))
    for _ in range(40):
        desk.from_server(b"x" * (1 << 20))
    assert not desk.phase.is_over
    desk.from_server(whole[parsed:])
    assert is_query(server.work(), LOUD)


@pytest.mark.parametrize("sqlstate", ["57014", "55P03", "40P01"])
def test_an_interruption_of_a_question_is_the_statements_own(sqlstate: str) -> None:
    desk, server = desk_of()
    desk.from_client(query(LOUD))
    _fail_with(desk, server, error(sqlstate, "canceling statement") + ready())
    (message,) = desk.to_server()
    assert message[1].startswith(b"querywarden refused")
    desk.from_server(error("42601"), ready())
    told = [fields_of(body) for kind, body in desk.to_client() if kind == "E"]
    assert [(each["C"], each["M"]) for each in told] == [(sqlstate, "canceling statement")]


@pytest.mark.parametrize("sqlstate", ["57014", "53200"])
def test_what_breaks_the_transaction_is_told(sqlstate: str) -> None:
    desk, _ = in_transaction()
    desk.from_client(query(LOUD))
    assert NAME in desk.to_server()[0][1]
    desk.from_server(CLOSED, CLOSED, error(sqlstate, "no"), ready("E"))
    failed = error("25P02")
    for _ in range(3):
        desk.from_server(CLOSED, CLOSED, failed, ready("E"))
    assert [kind for kind, _ in desk.to_server()] == ["Q"]
    desk.from_server(failed, ready("E"))
    assert codes(desk) == [sqlstate]


def test_a_mistyped_statement_that_names_would_refuse_gets_the_servers_error() -> None:
    desk, server = desk_of()
    text = "INSERT INTO products SELECT nope, email FROM users"
    server.trees = lambda asked: None if asked == text else b""
    desk.from_client(query(text))
    server.work()
    desk.from_server(error("42601"), ready())
    told = [fields_of(body) for kind, body in desk.to_client() if kind == "E"]
    assert [(each["C"], each["M"]) for each in told] == [("42703", 'column "nope" does not exist')]
