"""The doctor's look at whether a server tells what it understands of statements."""

from __future__ import annotations

from typing import Any, cast

import pytest

from querywarden.admin import doctor
from querywarden.admin.doctor import Check, Result
from querywarden.model.data_flow import DataFlow, FlowKind, OutputFlow, Unresolved, ValueFlow
from querywarden.runtime.server_connection import Description, Row, ServerConnection

TREE = b"VLOG\0Mrewritten parse tree:\0D({QUERY})\0Relog_node_display\0\0"
UNDERSTOOD = DataFlow((OutputFlow("found", ValueFlow(FlowKind.DIRECT, frozenset({(1259, 2)}))),))


class FakeConnection:
    """A server of a version, whose role has the right or not, and that says something to a statement."""

    def __init__(self, major: int, has_right: bool, notices: tuple[bytes, ...] = (TREE,)) -> None:
        self._major = major
        self._has_right = has_right
        self._notices = notices
        self.asked: list[str] = []

    async def query(self, text: str) -> list[Row]:
        self.asked.append(text.split()[0])
        if "server_version_num" in text:
            return [(str(self._major).encode(), b'"the app"')]
        if "set_config" in text:
            return [(b"onfatal" if self._has_right else None,)]
        return []

    async def describe(self, text: bytes) -> Description:
        self.asked.append("describe")
        return Description(notices=self._notices)


async def look(connection: FakeConnection, monkeypatch: pytest.MonkeyPatch, flow: Any = UNDERSTOOD) -> Check:
    monkeypatch.setattr(doctor, "data_flow_of", lambda trees, catalogue: flow)
    return await doctor._understanding("server of shop", cast(ServerConnection, connection))


async def test_a_server_that_tells_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = FakeConnection(18, True)
    check = await look(connection, monkeypatch)
    assert ("server of shop: statement understanding", Result.OK, "") == (check.name, check.result, check.remedy)
    assert ["SELECT", "BEGIN", "SELECT", "describe", "ROLLBACK"] == connection.asked


@pytest.mark.parametrize(
    ("major", "remedy"),
    [(15, 'GRANT SET ON PARAMETER log_min_messages TO "the app";'), (18, "GRANT SET ON"), (14, "upgrade to PostgreSQL 15")],
)
async def test_without_the_right_it_says_what_is_lost_and_what_grants_it(major: int, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = FakeConnection(major, False)
    check = await look(connection, monkeypatch)
    assert Result.WARN is check.result
    assert "NULL" in check.finding
    assert "COPY is refused" in check.finding
    assert remedy in check.remedy
    assert ["SELECT", "BEGIN", "SELECT", "ROLLBACK"] == connection.asked


@pytest.mark.parametrize(
    ("notices", "flow"),
    [
        ((), UNDERSTOOD),
        ((TREE, TREE), UNDERSTOOD),
        ((TREE,), Unresolved("unknown_node")),
        ((TREE,), DataFlow(None)),
        ((TREE,), DataFlow((OutputFlow("found", ValueFlow(FlowKind.CONSTANT)),))),
    ],
)
async def test_an_answer_that_is_not_understood_is_told(notices: tuple[bytes, ...], flow: object, monkeypatch: pytest.MonkeyPatch) -> None:
    check = await look(FakeConnection(18, True, notices), monkeypatch, flow)
    assert (Result.WARN, True) == (check.result, bool(check.remedy))
    assert "isn't understood" in check.finding
