"""What principals have used of their budgets, in the control store: sums that several proxies add to, and that survive a restart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, and_, delete, select
from sqlalchemy.engine import Connection

from querywarden.model.decision import BudgetMetric, BudgetPeriod
from querywarden.storage.approval_rows import digest_of
from querywarden.storage.engine import StoreDatabase
from querywarden.storage.schema import USAGE
from querywarden.storage.upsert import insert_or_update

_AT_ONCE_MAX = 500


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a budget was used in the period that starts at `period_start`.

    `principal` is whatever names a principal to the caller, `limit` the policy's limit that sets the budget.
    """

    principal: str
    database: str
    limit: str
    metric: BudgetMetric
    period: BudgetPeriod
    period_start: int
    amount: int


class UsageStore(StoreDatabase):
    """The part of the control store that keeps the use of budgets."""

    def add_usage(self, used: Iterable[Usage]) -> list[Usage]:
        """Add to the sums, all or none. Returns: the same ones with the sums as they are now, in any order."""
        added = sorted(used, key=lambda each: (*_key(each).values(),))
        if not added:
            return []
        with self.writing() as connection:
            # In one order everywhere: two proxies that add to the same sums wait for each other, never in a circle.
            for usage in added:
                values = _key(usage) | {"owner": _owner(usage), "limit_id": usage.limit, "amount": usage.amount}
                insert_or_update(connection, USAGE, values, {"amount": USAGE.c.amount + usage.amount})
            return [replace(usage, amount=_amount(connection, usage)) for usage in added]

    def usage(self, of: Iterable[tuple[str, str]], since: float = 0.0) -> list[Usage]:
        """What principals, given as (principal, database), have used in the periods that begin at or after a time."""
        owners = {digest_of(*each): each for each in of}
        asked = sorted(owners)
        found: list[Usage] = []
        with self.reading() as connection:
            for start in range(0, len(asked), _AT_ONCE_MAX):
                is_asked = and_(USAGE.c.owner.in_(asked[start : start + _AT_ONCE_MAX]), USAGE.c.period_start >= int(since))
                found += [_usage(row, *owners[row.owner]) for row in connection.execute(select(USAGE).where(is_asked)).all()]
        return found

    def delete_usage(self, before: float) -> int:
        """Delete the sums of periods that began before a time; how many."""
        with self.writing() as connection:
            return connection.execute(delete(USAGE).where(USAGE.c.period_start < int(before))).rowcount


def _owner(usage: Usage) -> str:
    return digest_of(usage.principal, usage.database)


def _key(usage: Usage) -> dict[str, Any]:
    return {
        "key": digest_of(usage.principal, usage.database, usage.limit),
        "metric": usage.metric.value,
        "period": usage.period.value,
        "period_start": usage.period_start,
    }


def _amount(connection: Connection, usage: Usage) -> int:
    same = and_(*(USAGE.c[name] == value for name, value in _key(usage).items()))
    return int(connection.execute(select(USAGE.c.amount).where(same)).scalar_one())


def _usage(row: Row[Any], principal: str, database: str) -> Usage:
    metric, period = BudgetMetric(row.metric), BudgetPeriod(row.period)
    return Usage(principal, database, row.limit_id, metric, period, row.period_start, row.amount)
