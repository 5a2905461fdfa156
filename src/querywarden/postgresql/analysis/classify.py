"""Classification: a text into the facts of its statements; text in, values out, nothing raised."""

from __future__ import annotations

from querywarden.model.facts import Analysis, Hazard, StatementFacts, Unanalysable
from querywarden.postgresql.analysis import changes, definitions, queries, utilities
from querywarden.postgresql.analysis.gather import Gatherer
from querywarden.postgresql.analysis.normalise import normalise
from querywarden.postgresql.analysis.parse import Node, parse
from querywarden.postgresql.analysis.probes import find_probes

READING = (queries, changes, utilities, definitions)
"""The modules that say how each type of statement is read."""

_NOTHING_IN_SCOPE: frozenset[str] = frozenset()


def analyse(text: bytes) -> Analysis:
    """The facts of each statement of a text, in order; none for an empty text.

    Returns: `Unanalysable` when the text as a whole can't be understood; a statement of a type that isn't known has the verb
    `UNKNOWN`.
    """
    parsed = parse(text)
    if isinstance(parsed, Unanalysable):
        return parsed
    try:
        alone = len(parsed) == 1
        return tuple([_facts(tree, text, start, end, alone) for tree, start, end in parsed])
    except (RecursionError, MemoryError):
        return Unanalysable("too_complex", "the statement is nested too deeply", "54001")
    except (KeyError, ValueError, TypeError, IndexError, AttributeError):
        # A tree of a shape that isn't expected: of a newer grammar, or from something that was never tried.
        return Unanalysable("unknown_statement", "the statement has a form that is not known", "42501")


def _facts(tree: Node, text: bytes, start: int, end: int, alone: bool) -> StatementFacts:
    gatherer = Gatherer(normalise(text[start:end], tree), start, end, find_probes(tree))
    gatherer.read_statement(tree, _NOTHING_IN_SCOPE)
    if not alone:
        gatherer.hazards.add(Hazard.MULTI_STATEMENT)
    return gatherer.facts()
