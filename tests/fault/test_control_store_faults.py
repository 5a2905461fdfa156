"""The control store whose database fails at the n-th statement, commits included: nothing is half done, and the next call works."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tests.model import store_scenarios as world
from tests.model.store_scenarios import NOW, REQUEST, WAITING

from querywarden.errors import DependencyFailure
from querywarden.storage.control_store import ControlStore


class Faults:
    """Fails the n-th statement, or commit, of a store; the database's message quotes a row, as real ones do."""

    def __init__(self, store: ControlStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        dialect = store._engine.dialect
        commit = dialect.do_commit

        def do_commit(connection: Any) -> None:
            self.count()
            commit(connection)

        monkeypatch.setattr(dialect, "do_commit", do_commit)
        event.listen(store._engine, "do_execute", lambda *_: self.count())

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise sqlite3.OperationalError("disk I/O error near a value of a row")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@pytest.fixture
def store(path: Path) -> Iterator[ControlStore]:
    store = ControlStore(f"sqlite:///{path}")
    store.beat("p1", NOW)
    for name in ("PENDING1", "PENDING2", "EXPIRED1", "APPROVED"):
        store.open_request(replace(WAITING, id=name, expires_at=NOW + 10 if name == "EXPIRED1" else NOW + 1800))
    store.vote("APPROVED", world.yes(world.BOB), NOW)
    store.open_request(world.ACCESS)
    store.vote("ACCESS01", world.yes(world.BOB), NOW)
    store.sessions_opened([world.SESSION])
    store.block("carol", None, "op", "", None, NOW)
    store.enqueue([world.DELIVERY])
    yield store
    store.close()


ACTS: dict[str, Callable[[ControlStore], Any]] = {
    "open_request": lambda store: store.open_request(REQUEST),
    "vote": lambda store: store.vote("PENDING1", world.yes(world.BOB), NOW),
    "deny": lambda store: store.vote("PENDING1", world.no(world.BOB), NOW),
    "use": lambda store: store.use("APPROVED", NOW),
    "withdraw": lambda store: store.withdraw("PENDING1", "cancelled", NOW),
    "reopen": lambda store: store.reopen("APPROVED", NOW),
    "expire": lambda store: store.expire(NOW + 20),
    "abandoned": lambda store: store.abandoned(NOW + 1000, 30),
    "delete_settled": lambda store: store.delete_settled(NOW + 10_000),
    "grant": lambda store: store.grant(world.GRANT, NOW),
    "sessions_opened": lambda store: store.sessions_opened([replace(world.SESSION, id=f"n{number}") for number in range(3)]),
    "sessions_closed": lambda store: store.sessions_closed(["s1"]),
    "mark_kill": lambda store: store.mark_kill(by="op", reason="", now=NOW, subject="alice"),
    "block": lambda store: store.block("carol", None, "op", "again", None, NOW),
    "unblock": lambda store: store.unblock("carol", None, "op", NOW),
    "block_changes": lambda store: store.block_changes(NOW),
    "add_usage": lambda store: store.add_usage([world.USAGE, replace(world.USAGE, limit="other")]),
    "enqueue": lambda store: store.enqueue([replace(world.DELIVERY, id=f"msg_n{number}") for number in range(3)]),
    "due": lambda store: store.due(NOW, 10, "p1", 60),
    "saw": lambda store: store.saw(world.BOB, NOW),
    "forget_instance": lambda store: store.forget_instance("p1"),
    "forget_silent_instances": lambda store: store.forget_silent_instances(NOW + 200_000),
}


@pytest.mark.parametrize("name", ACTS)
def test_act_happens_whole_or_not_at_all(name: str, store: ControlStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults(store, monkeypatch)
    before = _content(path)
    told: list[tuple[str, BaseException | None, bool]] = []
    for statement in range(1, 50):
        faults.left = statement
        try:
            ACTS[name](store)
        except DependencyFailure as failure:
            told.append((str(failure), failure.__cause__, failure.__suppress_context__))
            assert before == _content(path)
            continue
        break
    assert faults.left > 0, "the act never went through without a fault"
    assert statement > 2, "no statement of the act has failed"
    assert {("the control store does not answer: OperationalError", None, True)} == set(told)
    assert before != _content(path)


def test_poll_that_fails_changes_nothing(store: ControlStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults(store, monkeypatch)
    before = _content(path)
    for statement in range(1, 20):
        faults.left = statement
        try:
            found = store.poll("p1", NOW, ["PENDING1"])
        except DependencyFailure:
            continue
        assert ["PENDING1"] == list(found.changes)
        break
    assert statement > 5
    assert before == _content(path)


def test_schema_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new.db"
    prepare = ControlStore._prepare
    planned = [0]
    faults: list[Faults] = []

    def prepare_with_a_fault(store: ControlStore) -> None:
        faults.append(Faults(store, monkeypatch))
        faults[-1].left = planned[0]
        prepare(store)

    monkeypatch.setattr(ControlStore, "_prepare", prepare_with_a_fault)
    for statement in range(1, 200):
        planned[0] = statement
        try:
            store = ControlStore(f"sqlite:///{path}")
        except DependencyFailure:
            assert [] == _content(path)
            continue
        break
    assert statement > 20
    faults[-1].left = 0
    assert [] == store.list_requests()
    store.close()


def test_locked_store_is_waited_for_and_then_given_up(store: ControlStore, path: Path) -> None:
    with sqlite3.connect(path, isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert "PENDING1" == store.requests(["PENDING1"])["PENDING1"].id, "readers don't wait for a writer"
        with store.reading() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 1")
        with pytest.raises(DependencyFailure, match="OperationalError"):
            store.use("APPROVED", NOW)
        writer.execute("ROLLBACK")
    writer.close()
    assert store.use("APPROVED", NOW)


def _content(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        content = list(connection.iterdump())
    connection.close()
    return [line for line in content if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
