"""Budgets of a principal, as they bear on one statement: nothing left is a refusal, little left is a cap."""

from __future__ import annotations

from dataclasses import replace

from querywarden.errors import ReasonCode
from querywarden.model.decision import Allow, Budget, Deny
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.guesses import guesses_in
from querywarden.postgresql.session_state import RUNS_NOTHING, SessionState
from querywarden.session.effects import Spend


def under_budget(state: SessionState, facts: StatementFacts, allow: Allow, values: int = 0) -> tuple[Allow | Deny, frozenset[ReasonCode]]:
    """What an allowed statement may do with what the principal's budgets have left, and which of its caps say that.

    Args: `values` are those of its parameters. Guesses at values that the principal may not see are counted here.
    """
    left = state.context.budget(state.now)
    state.has_budgets = left is not None and left.counts_use
    if left is None or facts.verb in RUNS_NOTHING:
        return allow, frozenset()
    if left.exhausted is not None:
        return _refused(left.exhausted, allow), frozenset()
    if left.guesses is not None and left.guesses_budget is not None:
        guesses = guesses_in(state, facts, allow.reveal, values)
        if guesses > left.guesses:
            return _refused_guess(left.guesses_budget, allow), frozenset()
        if guesses:
            state.effects.append(Spend(guesses=guesses))
    rows, bytes_ = _smaller(allow.rows_max, left.rows), _smaller(allow.bytes_max, left.bytes)
    lowered = ((ReasonCode.ROW_LIMIT, rows != allow.rows_max), (ReasonCode.BYTE_LIMIT, bytes_ != allow.bytes_max))
    caps = frozenset(reason for reason, is_lower in lowered if is_lower)
    return (replace(allow, rows_max=rows, bytes_max=bytes_) if caps else allow), caps


def _refused_guess(budget: Budget, allow: Allow) -> Deny:
    return Deny(
        budget.limit,
        ReasonCode.BUDGET,
        f"Your budget of {budget.amount} guesses at masked values per {budget.period.value} is used up.",
        f"Ask for fewer values at a time, or by columns that aren't masked; it is full again with the next {budget.period.value} (UTC).",
        allow.observed,
    )


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
