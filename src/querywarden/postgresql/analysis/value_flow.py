"""Value flows while they are found: where a value comes from, and what it takes to judge conditions on it.

A `Flow` says more than a ValueFlow of the model: which columns' values it still is made of, for the outcome of a comparison tells no more
than the comparison did, and whether to test it for equality is to test a column for equality.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from querywarden.model.data_flow import FlowKind, Place, ValueFlow

_NO_PLACES: frozenset[Place] = frozenset()
_NO_CODE: frozenset[str] = frozenset()


class Flow(NamedTuple):
    """Where a value comes from.

    `sources`, `code` and `function` are those of a ValueFlow; `values` are the sources without those that only outcomes of comparisons
    come from. `is_plain`: different values of its columns stay different, or it is of none. `is_chosen`: a constant or parameter of
    the client's may be in it.
    """

    kind: FlowKind
    sources: frozenset[Place] = _NO_PLACES
    values: frozenset[Place] = _NO_PLACES
    code: frozenset[str] = _NO_CODE
    is_plain: bool = True
    is_chosen: bool = False
    function: str | None = None

    def value_flow(self) -> ValueFlow:
        """It in the words of the model."""
        return ValueFlow(self.kind, self.sources, self.code, self.function)


NOTHING = Flow(FlowKind.CONSTANT)
CHOSEN = Flow(FlowKind.CONSTANT, is_chosen=True)


def direct(place: Place) -> Flow:
    """The value of a column as it stands; the whole row for number 0."""
    places = frozenset({place})
    return Flow(FlowKind.WHOLE_ROW if place[1] == 0 else FlowKind.DIRECT, places, places)


def unknown(code: str) -> Flow:
    """What code that isn't known makes of nothing."""
    return Flow(FlowKind.DERIVED, code=frozenset({code}), is_plain=False)


def derived(parts: Iterable[Flow], kind: FlowKind = FlowKind.DERIVED, *, is_plain: bool = False) -> Flow:
    """A value computed from others; `is_plain`: it is one of them, or as different as they are."""
    found = tuple(parts)
    sources, values, code, is_chosen = _joined(found)
    if not sources and not code:
        return CHOSEN if is_chosen else NOTHING
    return Flow(kind, sources, values, code, is_plain and all(part.is_plain for part in found), is_chosen)


def outcome(parts: Iterable[Flow]) -> Flow:
    """The outcome of a comparison: a value of none of its parts."""
    return derived(parts)._replace(values=_NO_PLACES)


def either(parts: Iterable[Flow]) -> Flow:
    """A value that is one of others as it stands: of one arm of a set operation, of one row of VALUES."""
    found = tuple(parts)
    if len(found) == 1:
        return found[0]
    united = derived(found, is_plain=True)
    kinds = {(part.kind, part.function) for part in found if part.sources or part.code}
    if len(kinds) != 1:
        return united
    kind, function = kinds.pop()
    return united._replace(kind=kind, function=function)


def with_code(flow: Flow, code: str) -> Flow:
    """A value that has come through code that isn't known."""
    return Flow(FlowKind.DERIVED, flow.sources, flow.values, flow.code | {code}, is_plain=False, is_chosen=flow.is_chosen)


def _joined(parts: tuple[Flow, ...]) -> tuple[frozenset[Place], frozenset[Place], frozenset[str], bool]:
    return (
        _NO_PLACES.union(*(part.sources for part in parts)),
        _NO_PLACES.union(*(part.values for part in parts)),
        _NO_CODE.union(*(part.code for part in parts)),
        any(part.is_chosen for part in parts),
    )
