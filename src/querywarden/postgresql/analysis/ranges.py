"""Ranges: whether the arms of an OR that bound one expression leave no value out, as `x < 10 OR x > 5` does."""

from __future__ import annotations

from typing import Any

from querywarden.postgresql.analysis.folding import fold, operator_of
from querywarden.postgresql.analysis.parse import Node
from querywarden.postgresql.analysis.references import Shapes

_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "<>": "<>", "=": "="}


def cover_everything(arms: list[Node], shapes: Shapes) -> bool:
    """Whether some expression meets one of the arms whatever its value is, NULL aside."""
    bounds: dict[int, list[tuple[str, Any]]] = {}
    for arm in arms:
        bound = _bound_of(arm, shapes)
        if bound is not None:
            subject, operator, value = bound
            bounds.setdefault(shapes.of(subject), []).append((operator, value))
    return any(len(found) > 1 and _leave_nothing(found) for found in bounds.values())


def _leave_nothing(bounds: list[tuple[str, Any]]) -> bool:
    excluded = {value for operator, value in bounds if operator == "<>"}
    numbers = [(operator, value) for operator, value in bounds if not isinstance(value, str)]
    # An inclusive bound reaches further than an exclusive one of the same value.
    below = max(((value, operator == "<=") for operator, value in numbers if operator in ("<", "<=")), default=None)
    above = min(((value, operator == ">") for operator, value in numbers if operator in (">", ">=")), default=None)
    if len(excluded) > 1:
        return True
    for value in excluded:
        if isinstance(value, str):
            continue
        if (below is not None and (value, False) < below) or (above is not None and (above[0] < value or above == (value, False))):
            return True
    if below is None or above is None:
        return False
    return bool(above[0] < below[0] or (above[0] == below[0] and (below[1] or not above[1])))


def _bound_of(arm: Node, shapes: Shapes) -> tuple[Node, str, Any] | None:
    body = arm.get("A_Expr")
    if body is None or body["kind"] != "AEXPR_OP" or "lexpr" not in body:
        return None
    operator = operator_of(body)
    if operator not in _MIRRORED:
        return None
    left, right = shapes.simplified(body["lexpr"]), shapes.simplified(body["rexpr"])
    for subject, other, seen in ((left, right, operator), (right, left, _MIRRORED[operator])):
        value = fold(other)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return subject, seen, value
    return None
