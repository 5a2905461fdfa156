"""Foresight: whether what the server says of a statement now still holds when the statement runs.

The planner is asked before any statement of a text runs, and by the names of that moment. A statement before it in the same text may change
what the names mean, or bring the rows that it works on; and one that was prepared earlier keeps the relations that its names meant then.
What can't be foreseen has no estimate, which counts against it.
"""

from __future__ import annotations

from collections.abc import Iterator

from querywarden.model.catalogue import Catalogue
from querywarden.model.facts import StatementFacts, Verb

NAMES_MAX = 1_000
"""Names made by a session that are remembered; with more, every name may have been made."""

_HARMLESS_SETTINGS = frozenset(
    {
        "application_name", "client_min_messages", "extra_float_digits", "idle_in_transaction_session_timeout", "idle_session_timeout",
        "lock_timeout", "maintenance_work_mem", "querywarden.hold", "querywarden.reason", "statement_timeout", "synchronous_commit",
        "transaction_deferrable", "transaction_isolation", "transaction_read_only", "transaction_timeout", "work_mem",
    }
)  # fmt: skip
"""Settings that change neither what names and constants mean nor which rows there are."""
_MODES = frozenset({"transaction_deferrable", "transaction_isolation", "transaction_read_only"})
"""Settings that a transaction takes before its first query alone."""
_OPENING = frozenset({"begin", "start", "savepoint", "release"})
"""What an end of a transaction takes away (a temporary table, SET LOCAL), these leave."""
_NEUTRAL = frozenset(
    {
        Verb.EMPTY, Verb.SELECT, Verb.UPDATE, Verb.DELETE, Verb.TRUNCATE, Verb.COPY_OUT, Verb.COMMENT, Verb.PREPARE, Verb.EXECUTE,
        Verb.DEALLOCATE, Verb.DECLARE, Verb.FETCH, Verb.CLOSE, Verb.EXPLAIN, Verb.SHOW, Verb.LOCK, Verb.LISTEN, Verb.NOTIFY,
    }
)  # fmt: skip
_BRINGS_ROWS = frozenset({Verb.INSERT, Verb.MERGE, Verb.COPY_IN, Verb.MAINTENANCE})
"""MAINTENANCE: REFRESH MATERIALIZED VIEW."""
_MAKES_NAMES = frozenset({Verb.CREATE, Verb.ALTER})


class Before:
    """What the statements before one in the same text may have changed by the time that it runs.

    Changes of rows that are there already are left out: a rule bounds them by themselves.
    """

    __slots__ = ("_filled", "_is_everything", "sets_mode")

    def __init__(self) -> None:
        self._is_everything = False
        self.sets_mode = False
        """The mode of the transaction is set, which takes that it has had no query yet, not even one of ours."""
        self._filled: set[str] = set()

    def add(self, facts: StatementFacts, catalogue: Catalogue) -> None:
        """Take note of the next statement."""
        self._is_everything |= catalogue.calls_volatile(facts)
        for part in _parts(facts):
            self._is_everything |= _changes_meaning(part)
            self.sets_mode |= part.verb is Verb.SET and (not part.settings or any(change.name in _MODES for change in part.settings))
            if part.verb in _BRINGS_ROWS and part.values_rows is None:
                self._filled.update(name.name for name in part.writes)

    @property
    def leaves_names(self) -> bool:
        """Whether the next statement's names mean what they would without those before it."""
        return not self._is_everything

    def leaves(self, facts: StatementFacts) -> bool:
        """Whether a statement means and touches what it would have without those before it."""
        return not self._is_everything and self._filled.isdisjoint(name.name for name in facts.reads | facts.writes)


def _changes_meaning(part: StatementFacts) -> bool:
    if any(change.name not in _HARMLESS_SETTINGS for change in part.settings):
        return True
    if part.verb in (Verb.SET, Verb.RESET):
        return not part.settings
    if part.verb is Verb.TRANSACTION:
        return part.transaction not in _OPENING and not part.settings
    return part.verb not in _NEUTRAL and part.verb not in _BRINGS_ROWS


def _parts(facts: StatementFacts) -> Iterator[StatementFacts]:
    pending = [facts]
    while pending:
        part = pending.pop()
        pending.extend(part.children)
        yield part


class NamesMade:
    """The names that a session's own statements have made, by when."""

    __slots__ = ("_at", "_latest_unknown", "now")

    def __init__(self) -> None:
        self.now = 0
        """How often the session has made names."""
        self._at: dict[str, int] = {}
        self._latest_unknown = 0

    def note(self, facts: StatementFacts) -> None:
        """Take note of a statement that is admitted."""
        for part in _parts(facts):
            if part.verb not in _MAKES_NAMES or part.object_kind == "index":
                continue
            self.now += 1
            if not part.writes or len(self._at) >= NAMES_MAX:
                # What is made is no relation, but a schema may bring some.
                self._at.clear()
                self._latest_unknown = self.now
            self._at.update(dict.fromkeys((name.name for name in part.writes), self.now))

    def since(self, then: int, facts: StatementFacts) -> bool:
        """Whether something that a statement names may have been made since, so that the name now means something else."""
        if self._latest_unknown > then:
            return True
        return any(self._at.get(name.name, 0) > then for name in facts.reads | facts.writes)
