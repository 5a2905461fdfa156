"""What is left of a principal's budgets, as a session sees it when it judges a statement."""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.model.decision import Budget


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """What a principal may still use on a database, by all its budgets together.

    `exhausted` is a budget of statements, rows or bytes of which nothing is left. `rows`, `bytes` and `guesses` are the least that any
    budget leaves, None where none counts them; `rows_budget`, `bytes_budget` and `guesses_budget` are those budgets. `counts_use`: some
    budget counts statements, rows or bytes, so that their use is to be told.
    """

    exhausted: Budget | None = None
    rows: int | None = None
    bytes: int | None = None
    rows_budget: Budget | None = None
    bytes_budget: Budget | None = None
    guesses: int | None = None
    guesses_budget: Budget | None = None
    counts_use: bool = True
