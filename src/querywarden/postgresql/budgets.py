"""Budgets of a principal, as they bear on one statement: nothing left is a refusal, little left is a cap."""

from __future__ import annotations

from dataclasses import replace

from querywarden.errors import ReasonCode
from querywarden.model.decision import Allow, Budget, Deny
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.session_state import RUNS_NOTHING, SessionState


def under_budget(state: SessionState, facts: StatementFacts, allow: Allow) -> tuple[Allow | Deny, str | None]:
    """What an allowed statement may do with what the principal's budgets have left, and what is said where that ends it."""
    left = state.context.budget(state.now)
    state.has_budgets = left is not None
    if left is None or facts.verb in RUNS_NOTHING:
        return allow, None
    if left.exhausted is not None:
        return _refused(left.exhausted, allow), None
    rows, bytes_ = _smaller(allow.rows_max, left.rows), _smaller(allow.bytes_max, left.bytes)
    if rows == allow.rows_max and bytes_ == allow.bytes_max:
        return allow, None
    return replace(allow, rows_max=rows, bytes_max=bytes_), "which is what your budget has left"


def _smaller(limit: int | None, left: int | None) -> int | None:
    if limit is None or left is None:
        return left if limit is None else limit
    return min(limit, left)


def _refused(budget: Budget, allow: Allow) -> Deny:
    return Deny(
        budget.limit,
        ReasonCode.BUDGET,
        f"Your budget of {budget.amount} {budget.metric.value} per {budget.period.value} is used up.",
        f"It is full again with the next {budget.period.value} (UTC); ask the owner of the policy if your work needs more.",
        allow.observed,
    )
