"""Row counts: how many rows a part of a statement returns or changes, as far as its facts tell, and where the planner has to be asked.

An estimate is the server's for the whole statement. It counts for what the server plans, in EXECUTE and DECLARE too; what is only explained
or prepared touches no row yet, and of everything else the number is unknown.
"""

from __future__ import annotations

from enum import Enum

from querywarden.model.decision import Estimate
from querywarden.model.facts import Hazard, StatementFacts, Verb
from querywarden.policy.language import Trait
from querywarden.policy.properties import Part

ESTIMABLE = frozenset({Verb.SELECT, Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.EXECUTE, Verb.DECLARE})
"""Statements whose rows the server's planner can estimate."""

COUNTED = frozenset(
    {
        Verb.SELECT, Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.TRUNCATE, Verb.COPY_IN, Verb.COPY_OUT, Verb.EXECUTE, Verb.CALL,
        Verb.DO,
    }
)  # fmt: skip
"""Statements that return or change rows. EXECUTE is one where what it runs isn't known: otherwise that is a part of its own."""


_FILLED_KINDS = ("table", "materialized_view")
"""What CREATE … AS fills with rows at once."""


class RowSource(Enum):
    """Where the number of a part's rows comes from when its facts don't tell."""

    PLANNER = "planner"
    """The server's planner can say."""
    NOBODY = "nobody"
    """It is unknown, and stays so."""
    NOTHING = "nothing"
    """The part returns and changes no rows."""


Count = int | RowSource


def count_of(part: Part, root: StatementFacts, is_blind: bool) -> Count:
    """How many rows a part of a statement touches.

    Args: `root` is the whole statement; `is_blind` says that the catalogue may not be what the statement meets, so that no key proves
    anything.
    """
    facts = part.facts
    if facts.verb not in COUNTED or (facts.verb is Verb.EXECUTE and facts.children):
        return RowSource.NOTHING
    if not _runs(root):
        return 0
    if Trait.KEYED_WRITE in part.properties and not is_blind:
        return 1
    if facts.verb is Verb.INSERT and facts.values_rows is not None:
        return facts.values_rows
    is_planned = root.verb in ESTIMABLE and facts.verb in ESTIMABLE
    return RowSource.PLANNER if is_planned else RowSource.NOBODY


def _runs(root: StatementFacts) -> bool:
    """Whether the parts of a statement run when it does, and aren't only explained, prepared or put into a definition."""
    if root.verb is Verb.EXPLAIN:
        return Hazard.EXPLAIN_ANALYZE in root.hazards
    if root.verb is Verb.CREATE:
        return root.object_kind is None or root.object_kind.endswith(_FILLED_KINDS)
    return root.verb is not Verb.PREPARE


def total_of(count: Count, root: StatementFacts) -> Count:
    """The count by which an automatic approval judges a part: what runs another part is counted as the whole statement."""
    return RowSource.PLANNER if count is RowSource.NOTHING and root.verb in ESTIMABLE else count


def rows_in(count: Count, estimate: Estimate | None) -> int | None:
    """The number of rows, given the planner's estimate; None when it isn't known."""
    if isinstance(count, int):
        return count
    return estimate.rows if count is RowSource.PLANNER and estimate is not None else None


def is_over(count: Count, rows_over: int, estimate: Estimate | None, unknown: bool) -> bool:
    """Whether a part touches more rows than this. Args: `unknown` is the answer where nobody knows."""
    if count is RowSource.NOTHING:
        return False
    rows = rows_in(count, estimate)
    return unknown if rows is None else rows > rows_over
