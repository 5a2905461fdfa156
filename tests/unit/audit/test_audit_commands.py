"""`querywarden audit`: what the commands print, what they escape, and how they exit."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from querywarden.admin.audit_tail import Entry, Filter, LogReader
from querywarden.audit import record, session_records
from querywarden.cli.audit import app
from querywarden.cli.audit_lines import render, visible, visible_json
from querywarden.errors import ConfigurationError
from querywarden.model.facts import StatementFacts, Verb
from querywarden.model.principal import Actor, Principal, PrincipalKind
from querywarden.model.resource import Database, Environment
from querywarden.storage.journal_layout import segments
from querywarden.storage.journal_recovery import open_journal

ALICE = Principal("alice", "https://idp", PrincipalKind.HUMAN)
BOT = Principal("alice", "https://idp", PrincipalKind.AGENT, actors=(Actor("bot", "https://idp"),))
SHOP = Database("shop", Environment.PRODUCTION)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
IDS = [f"01900000-0000-7000-8000-00000000000{i}" for i in range(6)]


def _decided(principal, verb, text, effect="allow", **more):
    return record.decided(
        record.of_session(principal, SHOP, "s"), record.of_statement(StatementFacts(verb, text)),
        stage=more.pop("stage", "simple"), effect=effect, rule="baseline/rule", policy_version="p", statement_bytes=9, **more,
    )  # fmt: skip


def _append(journal):
    peer = record.client("10.0.0.1", 5, None)
    failed = session_records.auth_failed("expired", session_id="s", peer=peer, database="shop", user="mallory")
    journal.add(session_records.AUTH_FAILED, failed)
    journal.add(record.DECIDED, _decided(ALICE, Verb.SELECT, "SELECT email FROM customers WHERE id = ?"), IDS[0])
    masked = [("public.customers.email", "email")]
    journal.add(record.COMPLETED, record.completed(IDS[0], outcome="ok", rows=3, masked=masked, masked_cells=3, duration_us=1500), IDS[1])
    journal.add(record.DECIDED, _decided(BOT, Verb.DROP, "DROP TABLE customers", "deny", reason="destructive"), IDS[2])
    journal.flush()


@pytest.fixture
def log(tmp_path):
    directory = tmp_path / "log"
    journal = open_journal(directory, version="1", origin="test")
    _append(journal)
    journal.close()
    return directory


def _run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_tail_tells_the_story(log):
    result = _run("tail", log)
    assert 0 == result.exit_code
    lines = result.output.splitlines()
    assert 8 == len(lines)  # the day, six records and log.close
    assert re.search(r"mallory .* shop .* auth\.failed  cause=expired", lines[3])
    assert re.search(r"alice +shop +allow +select +SELECT email FROM customers WHERE id = \?  \[baseline/rule\]$", lines[4])
    assert re.search(r"alice +shop +└ ok +3 rows  3 cells masked \(email\)  1\.5 ms$", lines[5])
    assert re.search(r"bot for alice +shop +deny +drop +baseline/rule \(destructive\)  DROP TABLE customers$", lines[6])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["effect=deny"], [IDS[2]]),
        (["who=alice"], [IDS[0], IDS[1], IDS[2]]),
        (["who=bot"], [IDS[2]]),
        (["who=b*", "effect=allow"], []),
        (["verb=select"], [IDS[0], IDS[1]]),
        (["verb=select", "verb=drop"], [IDS[0], IDS[1], IDS[2]]),
        (["type=completed"], [IDS[1]]),
        (["type=db.query.*", "database=SHOP"], [IDS[0], IDS[1], IDS[2]]),
        (["rule=baseline/*", "session=s", "effect=allow"], [IDS[0], IDS[1]]),
        (["who=mallory", "database=shop"], ["auth"]),
        (["since=1h", "effect=deny"], [IDS[2]]),
        (["since=2999-01-01"], []),
    ],
)
def test_filters(log, filters, expected):
    arguments = [part for text in filters for part in ("--filter", text)]
    result = _run("tail", log, "--json", *arguments)
    assert 0 == result.exit_code
    found = [json.loads(line) for line in result.output.splitlines()]
    assert expected == ["auth" if item["type"] == "auth.failed" else item["id"] for item in found]


def test_json_is_the_stored_line_byte_for_byte(log):
    result = _run("tail", log, "--json", "-n", "2")
    assert b"".join(segments(log)[0].read_bytes().splitlines(keepends=True)[-2:]) == result.stdout_bytes


@pytest.mark.parametrize("text", ["nonsense", "colour=red", "since=yesterday", "since=99999999999999d"])
def test_bad_filters_are_usage_errors(log, text):
    result = _run("tail", log, "--filter", text)
    assert (2, True) == (result.exit_code, result.output.startswith("error: "))


def test_nothing_to_read(tmp_path):
    for command in ("tail", "verify"):
        for arguments, message in (
            ([tmp_path], "there is no log in this directory"), ([tmp_path / "none"], "no such directory"), ([], "which log?"),
        ):  # fmt: skip
            result = _run(command, *arguments)
            assert 2 == result.exit_code
            assert message in result.output


def test_a_log_that_can_not_be_read_is_a_usage_error(log):
    segments(log)[0].unlink()
    (log / "seg" / f"{0:020}.jsonl").mkdir()
    result = _run("tail", log)
    assert 2 == result.exit_code
    assert "the log can't be read: Is a directory" in result.output
    result = _run("verify", log)
    assert 1 == result.exit_code
    assert "the segment can't be read: Is a directory" in result.output


def test_following_crosses_segments(tmp_path):
    journal = open_journal(tmp_path, version="1", origin="test")
    reader = LogReader(tmp_path, Filter(["type=a.b"], NOW))
    journal.add("a.b", {"number": 0})
    journal.flush()
    assert [0] == [entry.record["number"] for entry in reader.last(10)]
    seen = []
    for number in range(1, 7):
        journal.add("a.b", {"number": number})
        if number in (2, 4, 5):
            journal.rotate()
        journal.flush()
        if number % 2 == 0:
            seen += [entry.record["number"] for entry in reader.poll()]
    assert [1, 2, 3, 4, 5, 6] == seen
    assert [] == reader.poll()
    journal.close()


def test_following_shows_whole_lines_only_and_survives_a_recovery(tmp_path):
    journal = open_journal(tmp_path, version="1", origin="test")
    journal.close()
    reader = LogReader(tmp_path, Filter([], NOW))
    reader.last(0)
    with segments(tmp_path)[-1].open("ab") as file:
        file.write(b'{"half a line')
    assert [] == reader.poll()
    open_journal(tmp_path, version="1").close()
    assert ["log.recovered", "log.open", "log.close"] == [entry.record["type"] for entry in reader.poll()]


def test_a_completed_borrows_from_a_decided_in_an_earlier_segment(tmp_path):
    journal = open_journal(tmp_path, version="1", origin="test")
    journal.add(record.DECIDED, _decided(ALICE, Verb.SELECT, "SELECT ?"), IDS[0])
    reader = LogReader(tmp_path, Filter(["who=alice"], NOW))
    journal.flush()
    assert 1 == len(reader.last(1))
    journal.rotate()
    journal.add(record.COMPLETED, record.completed(IDS[0], outcome="ok"))
    journal.flush()
    assert ["ok"] == [entry.record["outcome"] for entry in reader.poll()]
    journal.close()


HOSTILE = "a\x1b]0;title\x07\x9b31m\u202e\u2028\u200b\r\n\x7f\U000e0041"


@pytest.mark.parametrize(
    "entry",
    [
        Entry(b"", {"type": record.DECIDED, "t": HOSTILE, "stmt": {"norm": HOSTILE}, "rule": HOSTILE, "effect": HOSTILE, "verb": HOSTILE}),
        Entry(b"", {"type": record.COMPLETED, "outcome": HOSTILE, "sqlstate": HOSTILE, "decided": HOSTILE, "rows": HOSTILE,
                    "masked": [{"class": HOSTILE}]}),
        Entry(b"", {"type": HOSTILE, HOSTILE: {HOSTILE: [HOSTILE]}, "who": {"sub": HOSTILE}, "db": {"name": HOSTILE}}),
        Entry(HOSTILE.encode() + b"\xff", None),
        Entry(b"", {"type": record.DECIDED, "who": 1, "db": 2, "stmt": 3}),
        Entry(b"", {"type": "x", "who": {"act": [1]}, "db": None}),
    ],
)  # fmt: skip
def test_nothing_that_acts_on_a_terminal_is_printed(entry):
    assert render(entry).plain.isprintable()


def test_what_can_be_shown_is_shown():
    assert "naïve 表 😀" == visible("naïve 表 😀")
    assert "a\\u{1b}[2J\\u{202e}" == visible("a\x1b[2J\u202e")
    line = json.dumps({"a": HOSTILE}, ensure_ascii=False).encode()
    assert visible_json(line).isprintable()
    assert {"a": HOSTILE} == json.loads(visible_json(line))


def test_verify_says_good(log, tmp_path):
    shutil.copytree(log, tmp_path / "copy", ignore=shutil.ignore_patterns("LOCK", "commitment.key"))
    for directory in (log, tmp_path / "copy"):
        result = _run("verify", directory)
        assert (0, True) == (result.exit_code, result.output.startswith("GOOD  7 records in 1 segment(s)"))
    found = json.loads(_run("verify", log, "--json").output)
    assert (True, 7, None, [], True) == (
        found["ok"], found["records"], found["finding"], found["unknown_outcomes"], found["closed"],
    )  # fmt: skip


def test_verify_names_the_first_bad_byte(log):
    path = segments(log)[0]
    data = path.read_bytes()
    at = data.index(b'"seq":4') + 6
    path.write_bytes(data[:at] + b"9" + data[at + 1 :])
    result = _run("verify", log)
    line = data[:at].count(b"\n") + 1
    assert 1 == result.exit_code
    assert f"BAD  seg/{path.name}, line {line}, byte {at}: the record's number is out of order" in result.output
    assert re.search(r"expected  4\n  found     9\n", result.output)
    finding = json.loads(_run("verify", log, "--json").output)["finding"]
    assert (f"seg/{path.name}", line, at, "4", "9") == tuple(finding[key] for key in ("file", "line", "byte", "expected", "found"))


def test_a_live_log_may_end_inside_a_line(log):
    with segments(log)[0].open("ab") as file:
        file.write(b'{"half')
    assert 1 == _run("verify", log).exit_code
    result = _run("verify", log, "--live")
    assert (0, True) == (result.exit_code, "being written" in result.output)


def test_verify_tells_what_an_auditor_should_know(tmp_path):
    journal = open_journal(tmp_path, version="1", origin="test")
    for told in IDS:
        journal.add(record.DECIDED, _decided(ALICE, Verb.SELECT, "SELECT ?"), told)
    journal.flush()
    (tmp_path / "seg" / "stray").write_bytes(b"")
    output = _run("verify", tmp_path, "--live").output
    assert "6 statement(s) were allowed and have no end on record" in output
    assert all(told in output for told in IDS)
    assert "stray" in output
    assert "doesn't end with log.close" in output
    journal.close()


@pytest.mark.parametrize("content", [None, b"{}", b"\xff"])
def test_a_missing_or_damaged_identity_is_bad(log, content):
    (log / "log.json").unlink()
    if content is not None:
        (log / "log.json").write_bytes(content)
    result = _run("verify", log)
    assert (1, True) == (result.exit_code, "log.json" in result.output)


def test_an_identity_without_segments_is_bad(log):
    segments(log)[0].unlink()
    assert 1 == _run("verify", log).exit_code


def test_filter_errors_are_configuration_errors():
    with pytest.raises(ConfigurationError, match="not a filter"):
        Filter(["=x"], NOW)
