"""Data flow in a session: when the server is asked, what it is asked, and what becomes of its answer; the server is played."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.model.statement_desk import (
    BOUND,
    CATALOGUE,
    NO_DATA,
    PARSED,
    SYNC,
    TEXT,
    USERS,
    Desk,
    bind,
    complete,
    describe,
    execute,
    fields_of,
    parse,
    query,
    ready,
    row,
    row_description,
)

from querywarden.model.catalogue import Function, OperatorName
from querywarden.postgresql.error_response import encode_error
from querywarden.postgresql.framing import encode
from querywarden.postgresql.probe import NAME

TREES = Path(__file__).parents[2] / "data" / "trees"
NAMES = b'[["pg_catalog", "public"], "app", "app", "on", "origin", "off", null]'
EMAIL, LOUD, PLAIN = (f"SELECT {what} FROM users WHERE id = 1" for what in ("email", "upper(email)", "upper(username)"))
TREE_OF = {EMAIL: "email", LOUD: "upper_email", PLAIN: "upper_username"}
CLOSED = encode(b"3", b"")
FUNCTIONS = {65: Function(65, "pg_catalog", "int4eq", "f", "i"), 871: Function(871, "pg_catalog", "upper", "f", "i")}
KNOWING = replace(CATALOGUE, functions=FUNCTIONS, operators={96: OperatorName("=", 65, True)})
Said = Callable[[str], bytes | None]


def tree_of(text: str) -> bytes | None:
    return (TREES / f"{TREE_OF[text]}.txt").read_bytes().rstrip() if text in TREE_OF else None


def notice(detail: bytes, severity: bytes = b"LOG", message: bytes = b"rewritten parse tree:", end: bytes = b"elog_node_display") -> bytes:
    return encode(b"N", b"S" + severity + b"\0V" + severity + b"\0C00000\0M" + message + b"\0D" + detail + b"\0R" + end + b"\0\0")


class Server:
    """A server that answers hidden exchanges, and remembers what it was asked."""

    def __init__(self, desk: Desk, trees: Said = tree_of, may_silence: bool = True, status: str = "I", names: bytes = NAMES) -> None:
        self.desk = desk
        self.trees = trees
        self.may_silence = may_silence
        self.status = status
        self.names = names
        self.asked: list[str] = []
        self.notices: Callable[[bytes], bytes] = notice

    def work(self) -> list[tuple[str, bytes]]:
        """Answer hidden exchanges until there is none. Returns: what else the server was sent."""
        others: list[tuple[str, bytes]] = []
        while True:
            sent = self.desk.to_server()
            if not any(NAME in body for _, body in sent):
                return others + sent
            self.desk.from_server(self._answer(sent))

    def _answer(self, sent: list[tuple[str, bytes]]) -> bytes:
        out, text, failed, prints = b"", "", False, False
        for kind, body in sent:
            if kind == "S":
                out += ready(self.status)
                failed = prints = False
            elif failed or kind == "H":
                continue
            elif kind == "P":
                text = body.split(b"\0")[1].decode()
                self.asked.append(text)
                said = self.trees(text) if prints and "set_config" not in text else b""
                if said is None:
                    out += encode_error("ERROR", "42703", 'column "nope" does not exist')
                    failed = True
                    continue
                out += (self.notices(said) if said else b"") + PARSED
            elif kind == "E":
                out += self._run(text)
                prints |= self.may_silence and "debug_print_rewritten', 'on'" in text
            else:
                out += {"C": CLOSED, "B": BOUND}[kind]
        return out

    def _run(self, text: str) -> bytes:
        if "json_build_array" in text:
            return row(self.names) + complete("SELECT 1")
        if "set_config" in text:
            return row(b"on" if self.may_silence else None) + complete("SELECT 1")
        return complete(text.split()[0])


def desk_of(trees: Mapping[str, bytes] | None = None) -> tuple[Desk, Server]:
    desk = Desk(tells_flows=True, catalogue=KNOWING)
    return desk, Server(desk, tree_of if trees is None else lambda text: trees.get(text, b""))


def shown(desk: Desk, value: bytes = b"someone@example.org", relation: int = 0, number: int = 0) -> bytes | None:
    """The one cell that the client gets where the server answers a Query with this one."""
    desk.from_server(row_description(("x", relation, number, TEXT)), row(value), complete("SELECT 1"), ready())
    cells = [body for kind, body in desk.to_client() if kind == "D"]
    assert len(cells) == 1
    return None if cells[0][2:6] == b"\xff\xff\xff\xff" else cells[0][6:]


def is_query(sent: list[tuple[str, bytes]], text: str) -> bool:
    return [kind for kind, _ in sent] == ["Q"] and sent[0][1] == text.encode() + b"\0"


def test_the_server_is_asked_first_and_then_gets_the_statement() -> None:
    desk, server = desk_of()
    desk.from_client(query(PLAIN))
    assert is_query(server.work(), PLAIN)
    assert len(server.asked) == 3
    assert "current_schemas" in server.asked[0]
    assert "debug_print_rewritten" in server.asked[1]
    assert server.asked[2] == PLAIN
    assert shown(desk, b"BOB") == b"BOB"


@pytest.mark.parametrize(("text", "mask"), [(LOUD, None), (EMAIL, b"u_")])
def test_what_it_says_decides_what_is_masked(text: str, mask: bytes | None) -> None:
    desk, server = desk_of()
    desk.from_client(query(text))
    assert is_query(server.work(), text)
    found = shown(desk, relation=USERS if mask else 0, number=3 if mask else 0)
    assert found is None if mask is None else found is not None and found.startswith(mask)


def test_a_text_is_asked_about_once() -> None:
    desk, server = desk_of()
    for _ in range(3):
        desk.from_client(query(PLAIN))
        server.work()
        shown(desk)
    assert len(server.asked) == 3


def test_texts_that_differ_in_literals_share_the_answer() -> None:
    desk, server = desk_of()
    for number in (1, 2, 3):
        text = PLAIN.replace("1", str(number))
        desk.from_client(query(text))
        assert is_query(server.work(), text)
        assert shown(desk, b"BOB") == b"BOB"
    assert server.asked.count(PLAIN) == 1


def test_sessions_of_a_database_share_the_answer() -> None:
    desk, server = desk_of()
    desk.from_client(query(PLAIN))
    server.work()
    other, other_server = desk_of()
    other.phase.state.context = desk.phase.state.context
    other.from_client(query(PLAIN))
    assert is_query(other_server.work(), PLAIN)
    assert [text for text in other_server.asked if "users" in text] == []


def test_what_touches_nothing_classified_is_not_asked_about() -> None:
    desk, server = desk_of()
    desk.from_client(query("SELECT upper(name) FROM products"))
    assert is_query(server.work(), "SELECT upper(name) FROM products")
    assert server.asked == []


def test_no_byte_of_it_reaches_the_client() -> None:
    desk, server = desk_of()
    desk.from_client(query(PLAIN))
    server.work()
    assert desk.to_client() == []


def test_in_a_transaction_a_savepoint_stands_around_the_question() -> None:
    desk, server = desk_of()
    desk.from_client(query("BEGIN"))
    desk.to_server()
    desk.from_server(complete("BEGIN"), ready("T"))
    desk.to_client()
    server.status = "T"
    desk.from_client(query(PLAIN))
    assert is_query(server.work(), PLAIN)
    verbs = [text.split()[0] for text in server.asked]
    assert verbs == ["SAVEPOINT", "SELECT", "ROLLBACK", "RELEASE", "SAVEPOINT", "SELECT", "SELECT", "ROLLBACK", "RELEASE"]


def test_in_a_failed_transaction_nothing_is_asked() -> None:
    desk, server = desk_of()
    desk.from_client(query("BEGIN"))
    desk.to_server()
    desk.from_server(complete("BEGIN"), ready("E"))
    desk.from_client(query(PLAIN))
    assert is_query(server.work(), PLAIN)
    assert server.asked == []


def test_a_role_that_may_not_silence_the_log_is_not_asked_again_for_a_while() -> None:
    desk, server = desk_of()
    server.may_silence = False
    for _ in range(3):
        desk.from_client(query(LOUD))
        assert is_query(server.work(), LOUD)
        assert shown(desk) is None
    assert sum("debug_print_rewritten" in text for text in server.asked) == 1
    desk.now += 61
    desk.from_client(query(LOUD))
    server.work()
    assert sum("debug_print_rewritten" in text for text in server.asked) == 2


@pytest.mark.parametrize("answer", [b"", b"({QUERY :what 1})", b"({QUERY", b"nonsense", b"<>"])
def test_what_is_not_understood_leaves_the_decision_to_names(answer: bytes) -> None:
    desk, server = desk_of({PLAIN: answer, LOUD: answer})
    desk.from_client(query(LOUD))
    assert is_query(server.work(), LOUD)
    assert shown(desk) is None
    desk.from_client(query(PLAIN))
    server.work()
    assert shown(desk, b"BOB") == b"BOB"


def test_of_two_trees_none_is_believed() -> None:
    desk, server = desk_of()
    other = tree_of(PLAIN)
    assert other is not None
    server.notices = lambda said: notice(other) + notice(said)
    desk.from_client(query(LOUD))
    server.work()
    assert shown(desk) is None


@pytest.mark.parametrize(("severity", "message"), [(b"NOTICE", b"rewritten parse tree:"), (b"LOG", b"parse tree:"), (b"WARNING", b"x")])
def test_another_notice_is_no_tree(severity: bytes, message: bytes) -> None:
    desk, server = desk_of()
    other = tree_of(PLAIN)
    assert other is not None
    server.notices = lambda said: notice(other, severity, message)
    desk.from_client(query(LOUD))
    server.work()
    assert shown(desk) is None


@pytest.mark.parametrize("end", [b"exec_stmt_raise", b"elog_node_display\0WPL/pgSQL function f() line 1 at PERFORM"])
@pytest.mark.parametrize("is_alone", [True, False])
def test_what_code_of_the_database_says_is_no_tree(end: bytes, is_alone: bool) -> None:
    """Not in place of the server's own, and not beside it."""
    desk, server = desk_of()
    other = tree_of(PLAIN)
    assert other is not None
    server.notices = lambda said: notice(other, end=end) + (b"" if is_alone else notice(said))
    desk.from_client(query(EMAIL))
    server.work()
    masked = shown(desk, b"someone@example.org", 0, 0)
    assert masked is None if is_alone else masked is not None and masked.startswith(b"u_")


def test_a_wrong_statement_goes_on_to_get_the_servers_error() -> None:
    desk, server = desk_of()
    wrong = "SELECT email, nope FROM users"
    desk.from_client(query(wrong))
    assert is_query(server.work(), wrong)


def test_the_segment_of_a_parse_waits_with_it() -> None:
    desk, server = desk_of()
    desk.from_client(parse(PLAIN), bind(), describe("P"), execute(), SYNC)
    assert [kind for kind, _ in server.work()] == ["P", "B", "D", "E", "S"]
    desk.from_server(PARSED, BOUND, row_description(("x", 0, 0, TEXT)), row(b"BOB"), complete("SELECT 1"), ready())
    assert [body[6:] for kind, body in desk.to_client() if kind == "D"] == [b"BOB"]


def in_segment(text: str) -> tuple[Desk, Server]:
    """A statement that touches nothing is under way in the segment; then comes one to ask about."""
    desk, server = desk_of()
    desk.from_client(parse("SELECT 1"), bind(), describe("P"), execute(), encode(b"H", b""))
    assert [kind for kind, _ in desk.to_server()] == ["P", "B", "D", "E", "H"]
    desk.from_server(PARSED, BOUND, NO_DATA, complete("SELECT 1"))
    desk.from_client(parse(text), bind(), describe("P"), execute(), SYNC)
    return desk, server


def test_in_the_middle_of_a_segment_the_settings_are_taken_back() -> None:
    _, server = in_segment(PLAIN)
    sent = server.work()
    assert "".join(kind for kind, _ in sent).endswith("PBDES")
    assert [text.split("(")[0].split(" WHERE")[0] for text in server.asked][-3:][1] == PLAIN.split("(")[0]
    assert "split_part" in server.asked[-1]
    assert not any("SAVEPOINT" in text for text in server.asked)


def test_in_the_middle_of_a_segment_a_wrong_statement_fails_it_with_its_own_error() -> None:
    desk, server = in_segment("SELECT email, nope FROM users")
    sent = server.work()
    assert "".join(kind for kind, _ in sent).endswith("S")
    desk.from_server(ready())
    errors = [fields_of(body) for kind, body in desk.to_client() if kind == "E"]
    assert [(error["C"], error["M"]) for error in errors] == [("42703", 'column "nope" does not exist')]


@pytest.mark.parametrize(
    "move", ["SET search_path = other", "CREATE TEMP TABLE t (a int)", "DISCARD ALL", "SELECT set_config('search_path', 'x', true)"]
)
def test_after_what_may_move_names_they_are_asked_for_again(move: str) -> None:
    desk, server = desk_of()
    desk.from_client(query(PLAIN))
    server.work()
    shown(desk)
    desk.from_client(query(move))
    server.work()
    desk.from_server(complete(move.split()[0]), ready())
    desk.to_client()
    server.names = NAMES.replace(b"public", b"other")
    desk.from_client(query(PLAIN))
    server.work()
    assert sum("current_schemas" in text for text in server.asked) == 2


def test_a_schema_change_of_another_session_is_asked_about_anew() -> None:
    desk, server = desk_of()
    desk.from_client(query(PLAIN))
    server.work()
    shown(desk)
    desk.context.flows.schema_changes()
    desk.from_client(query(PLAIN))
    server.work()
    assert server.asked.count(PLAIN) == 2


def test_a_schema_change_while_the_server_is_asked_makes_it_be_asked_again() -> None:
    desk, server = desk_of()

    def changes(text: str) -> bytes | None:
        if server.asked.count(PLAIN) == 1 and text == PLAIN:
            desk.context.flows.schema_changes()
        return tree_of(text)

    server.trees = changes
    desk.from_client(query(PLAIN))
    assert is_query(server.work(), PLAIN)
    assert server.asked.count(PLAIN) == 2


def test_rows_that_come_after_a_schema_change_of_another_session_are_not_shown() -> None:
    desk, server = desk_of()
    desk.from_client(query(PLAIN))
    server.work()
    desk.context.flows.schema_changes()
    desk.from_server(row_description(("x", 0, 0, TEXT)), row(b"BOB"), complete("SELECT 1"), ready())
    told = desk.to_client()
    assert [kind for kind, _ in told] == ["E", "Z"]
    assert fields_of(told[0][1])["C"] == "40001"


def test_a_cancel_while_the_server_is_asked_refuses_the_statement() -> None:
    from querywarden.session import effects as fx
    from querywarden.session import inputs as ev

    desk, server = desk_of()
    desk.from_client(query(PLAIN))
    desk.give(ev.CancelRequested())
    assert any(isinstance(effect, fx.ForwardCancel) for effect in desk.effects)
    desk.give(ev.CancelAnswered())
    sent = server.work()
    assert not is_query(sent, PLAIN)
    desk.from_server(encode_error("ERROR", "42601", "refused"), ready())
    assert [fields_of(body)["C"] for kind, body in desk.to_client() if kind == "E"] == ["57014"]


def test_no_literal_of_a_statement_is_in_a_record_or_a_log_line() -> None:
    desk, server = desk_of()
    desk.from_client(query(PLAIN.replace("1", "987654321")))
    server.work()
    assert "987654321" not in repr([record.body for record in desk.records])


def test_a_flush_before_the_statement_in_the_same_bytes_holds_nothing_up() -> None:
    desk, server = desk_of()
    desk.from_client(parse("SELECT 1"), bind(), describe("P"), execute(), encode(b"H", b""))
    desk.to_server()
    desk.from_server(PARSED, BOUND, NO_DATA, complete("SELECT 1"))
    desk.from_client(encode(b"H", b""), parse(PLAIN), SYNC)
    server.work()
    assert server.asked.count(PLAIN) == 1
