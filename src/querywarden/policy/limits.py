"""Limits: how much a principal may take per statement, in sessions at once, and by hour and day.

Of several limits that match, the smallest holds. The policy's own take the place of the built-in ones, measure by measure: a policy that
limits bytes leaves the built-in limit of rows in force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from querywarden.model.decision import Budget
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.language import Limit, Policy

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class StatementLimits:
    """How much one statement of a principal may take; None is no limit."""

    rows_max: int | None = None
    bytes_max: int | None = None
    seconds_max: float | None = None


def statement_limits_of(policy: Policy, principal: Principal, database: Database) -> StatementLimits:
    """The limits of each statement that a principal runs on a database."""
    own, built_in = _matching(policy, principal, database)
    return StatementLimits(
        rows_max=_smallest(own, built_in, lambda limit: limit.rows_max),
        bytes_max=_smallest(own, built_in, lambda limit: limit.bytes_max),
        seconds_max=_smallest(own, built_in, lambda limit: limit.seconds_max),
    )


def sessions_max_of(policy: Policy, principal: Principal, database: Database) -> int | None:
    """How many sessions a principal may have at once on a database; None is no limit."""
    own, built_in = _matching(policy, principal, database)
    return _smallest(own, built_in, lambda limit: limit.sessions_max)


def budgets_of(policy: Policy, principal: Principal, database: Database) -> tuple[Budget, ...]:
    """What a principal may use by hour and day on a database. All of them hold, each counted under the limit that states it."""
    own, built_in = _matching(policy, principal, database)
    stated = {(budget.metric, budget.period) for limit in own for budget in limit.budgets}
    return (
        *(budget for limit in own for budget in limit.budgets),
        *(budget for limit in built_in for budget in limit.budgets if (budget.metric, budget.period) not in stated),
    )


def _matching(policy: Policy, principal: Principal, database: Database) -> tuple[list[Limit], list[Limit]]:
    """The policy's own limits for a principal, and the built-in ones."""
    own, built_in = (
        [limit for limit in limits if limit.who.matches(principal) and limit.where.matches(database)]
        for limits in (policy.limits, policy.limits_default)
    )
    return own, built_in


def _smallest(own: list[Limit], built_in: list[Limit], measure: Callable[[Limit], N | None]) -> N | None:
    for limits in (own, built_in):
        found = [value for value in map(measure, limits) if value is not None]
        if found:
            return min(found)
    return None
