"""Results under limits: a desk at which statements run under any `Allow`, and what a client ought to get of their results.

`shown` is the oracle: message by message, as plainly as it can be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.model.statement_desk import Desk, split

from querywarden.errors import ReasonCode
from querywarden.gate.gate import Act
from querywarden.model.decision import Allow
from querywarden.model.facts import StatementFacts, Verb
from querywarden.postgresql.expected import Awaited, Execution, Expected
from querywarden.postgresql.prepared import Portal
from querywarden.session import inputs as ev
from querywarden.session.effects import Durability, ForwardCancel, Spend

SELECT = StatementFacts(Verb.SELECT, "SELECT", outputs=None)


@dataclass
class LimitedDesk(Desk):
    """A desk whose statements are put in front of the server's answers, without asking a policy."""

    def put(
        self,
        allow: Allow,
        portal: Portal | None = None,
        by_budget: frozenset[ReasonCode] = frozenset(),
        facts: StatementFacts = SELECT,
    ) -> Execution:
        """A statement that the server is about to answer: a Query, or the Execute of a portal."""
        state = self.phase.state
        execution = Execution(
            Act(f"audit-{state.records}"), facts, facts, allow, Durability.WRITTEN, False, self.now, portal=portal, budget_caps=by_budget
        )
        state.expected.add(Expected(Awaited.QUERY if portal is None else Awaited.EXECUTE, [execution], portal=portal))
        return execution

    def put_sync(self) -> None:
        """The Sync behind Executes."""
        self.phase.state.expected.add(Expected(Awaited.SYNC))

    def cut(self, data: bytes, sizes: Sequence[int]) -> None:
        """The server's bytes, cut into pieces of these sizes, the last size for what is left."""
        position, at = 0, 0
        while position < len(data):
            size = sizes[min(at, len(sizes) - 1)]
            self.give(ev.ServerBytes(memoryview(data[position : position + size])))
            position, at = position + size, at + 1

    @property
    def spent(self) -> tuple[int, int]:
        """Rows and bytes that the budgets were told of."""
        found = [effect for effect in self.effects if isinstance(effect, Spend)]
        return sum(effect.rows for effect in found), sum(effect.bytes for effect in found)

    @property
    def cancels(self) -> int:
        """Cancels that went to the server."""
        return sum(isinstance(effect, ForwardCancel) for effect in self.effects)


def shown(messages: Sequence[bytes], rows_max: int | None, bytes_max: int | None) -> str:
    """The types of what a client gets of rows that the server sends: `D` or `d`, `N` for the warning, `E` for the end."""
    found, rows, size, has_warned = "", 0, 0, False
    for message in messages:
        if (rows_max is not None and rows + 1 > rows_max) or (bytes_max is not None and size + len(message) > bytes_max):
            return found + "E"
        rows, size = rows + 1, size + len(message)
        found += chr(message[0])
        near_rows = rows_max is not None and 10 * rows >= 8 * rows_max
        near_bytes = bytes_max is not None and 10 * size >= 8 * bytes_max
        if (near_rows or near_bytes) and not has_warned:
            has_warned = True
            found += "N"
    return found


def whole_messages(data: bytes) -> list[tuple[str, bytes]]:
    """The messages that a client got, each of them whole."""
    found = split(data)
    assert len(data) == sum(5 + len(body) for _, body in found)
    return found
