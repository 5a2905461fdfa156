"""Guesses: how many values of the client's choice an execution compares with columns that its principal may not see."""

from __future__ import annotations

from querywarden.model.decision import Reveal
from querywarden.model.facts import StatementFacts
from querywarden.policy.hidden_writes import FREE_VALUES, guesses_of
from querywarden.postgresql.decisions import NO_CATALOGUE
from querywarden.postgresql.messages.frontend import Bind, decode_bind
from querywarden.postgresql.session_state import SessionState

COUNTED_BYTES_MIN = 256
"""A Bind shorter than this has too few values to matter beyond those that are free."""
_ARRAY_HEADER = 20
"""Of a binary array with one dimension: dimensions, flags, element type, length and lower bound."""


def guesses_in(state: SessionState, facts: StatementFacts, reveal: Reveal, values: int) -> int:
    """The guesses of one execution. Args: `values` are those of its parameters, the elements of arrays one by one."""
    kept = state.current_verdicts().guesses
    known = kept.get(facts)
    if known is None:
        known = guesses_of(facts, state.catalogue or NO_CATALOGUE, reveal)
        kept.keep(facts, known)
    return known + max(0, values - FREE_VALUES) if known else 0


def values_of(body: bytes) -> int:
    """How many values the parameters of a Bind hold, as far as its bytes show; 0 for one that is too short to matter."""
    if len(body) < COUNTED_BYTES_MIN:
        return 0
    return _values(decode_bind(body))


def _values(bind: Bind) -> int:
    total = 0
    for index, value in enumerate(bind.parameters):
        if value is None:
            continue
        formats = bind.parameter_formats
        is_binary = bool(formats) and formats[index if len(formats) > 1 else 0] == 1
        total += _elements(value, is_binary)
    return total


def _elements(value: bytes, is_binary: bool) -> int:
    """The elements of an array, or of what may be a document or a list in text; 1 for any other value."""
    if not is_binary or len(value) < _ARRAY_HEADER:
        return 1 + max(value.count(b","), value.count(b"\n"))
    dimensions, flags = int.from_bytes(value[:4], "big"), int.from_bytes(value[4:8], "big")
    if dimensions == 1 and flags in (0, 1):
        return max(1, int.from_bytes(value[12:16], "big"))
    return 1 + max(value.count(b","), value.count(b"\n"))
