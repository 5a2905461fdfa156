"""Budgets: what principals have used in this hour and day, in memory for every statement and in the control store for good.

What is used is counted here at once and written once a second, all of it together. Several proxies learn of each other's by what they
read back. A store that doesn't answer stops nobody: what was known and what is used here goes on counting, and is written later.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from querywarden.errors import DependencyFailure
from querywarden.model.decision import Budget, BudgetMetric, BudgetPeriod
from querywarden.model.principal import Principal
from querywarden.runtime.store_calls import StoreCalls
from querywarden.session.budget import BudgetLeft
from querywarden.storage.usage import Usage, UsageStore

READ_SECONDS = 2.0
"""How old what other proxies have used may be, for principals that are at work here."""
IDLE_SECONDS = 60.0
"""A principal that has used nothing for so long isn't read any more, and is forgotten with its periods."""

BudgetsOf = Callable[[Principal, str], tuple[Budget, ...]]
"""The budgets of a principal on a database by the policy in force; cheap."""

log = structlog.get_logger(__name__)

_Counted = tuple[str, BudgetMetric, BudgetPeriod, int]
"""A budget's limit, what it counts, and the period with its beginning."""


@dataclass(slots=True)
class _Count:
    """How much was used: by what the store has said, and here since then."""

    stored: int = 0
    unwritten: int = 0

    @property
    def total(self) -> int:
        return self.stored + self.unwritten


class _Account:
    """The counts of one principal on one database."""

    __slots__ = ("counts", "database", "key", "read_at", "touched_at")

    def __init__(self, key: str, database: str) -> None:
        self.key = key
        self.database = database
        self.counts: dict[_Counted, _Count] = {}
        self.read_at = 0.0
        self.touched_at = 0.0

    def count(self, budget: Budget, now: float) -> _Count:
        counted = (budget.limit, budget.metric, budget.period, budget.period.starts(now))
        found = self.counts.get(counted)
        if found is None:
            found = self.counts[counted] = _Count()
        return found


class Budgets:
    """The budgets of all principals at work here. Everything but `load` and `flush` is synchronous and touches memory alone."""

    def __init__(self, store: UsageStore, calls: StoreCalls, budgets_of: BudgetsOf, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._calls = calls
        self._budgets_of = budgets_of
        self._clock = clock
        self._accounts: dict[tuple[str, str], _Account] = {}

    async def load(self, principal: Principal, database: str) -> None:
        """Read what a principal has used before, where it has budgets at all. Never raises: without the store it starts from here."""
        if not self._budgets_of(principal, database):
            return
        account = self._account(principal, database)
        if self._clock() - account.read_at >= READ_SECONDS:
            try:
                await self._read([account])
            except DependencyFailure:
                return  # Told by the calls; the next flush tries again.

    def left(self, principal: Principal, database: str) -> BudgetLeft | None:
        """What a principal may still use on a database; None where no budget applies."""
        budgets = self._budgets_of(principal, database)
        if not budgets:
            return None
        account = self._account(principal, database)
        now = self._clock()
        account.touched_at = now
        least: dict[BudgetMetric, tuple[int, Budget]] = {}
        for budget in budgets:
            left = budget.amount - account.count(budget, now).total
            if left <= 0 and budget.metric is not BudgetMetric.GUESSES:
                return BudgetLeft(exhausted=budget)
            if budget.metric not in least or left < least[budget.metric][0]:
                least[budget.metric] = (left, budget)
        rows, rows_budget = least.get(BudgetMetric.ROWS, (None, None))
        bytes_, bytes_budget = least.get(BudgetMetric.BYTES, (None, None))
        guesses, guesses_budget = least.get(BudgetMetric.GUESSES, (None, None))
        counts_use = any(metric is not BudgetMetric.GUESSES for metric in least)
        return BudgetLeft(None, rows, bytes_, rows_budget, bytes_budget, guesses, guesses_budget, counts_use)

    def spend(
        self,
        principal: Principal,
        database: str,
        *,
        statements: int = 0,
        rows: int = 0,
        bytes: int = 0,  # noqa: A002
        guesses: int = 0,
    ) -> None:
        """Count what a principal has used on a database."""
        budgets = self._budgets_of(principal, database)
        if not budgets:
            return
        account = self._account(principal, database)
        now = account.touched_at = self._clock()
        used = {BudgetMetric.STATEMENTS: statements, BudgetMetric.ROWS: rows, BudgetMetric.BYTES: bytes, BudgetMetric.GUESSES: guesses}
        for budget in budgets:
            account.count(budget, now).unwritten += used[budget.metric]

    async def flush(self) -> None:
        """Write what was used since the last time, and read what others have used. Raises: DependencyFailure; nothing is lost then."""
        now = self._clock()
        sending = [
            (account, counted, count, count.unwritten)
            for account in self._accounts.values()
            for counted, count in account.counts.items()
            if count.unwritten
        ]
        if sending:
            usage = [Usage(account.key, account.database, *counted, amount) for account, counted, _, amount in sending]
            sums = await self._calls.run(self._store.add_usage, usage)
            for _, _, count, amount in sending:
                # What was used meanwhile waits for the next time.
                count.unwritten -= amount
                count.stored += amount
            self._take(sums)
        self._forget(now)
        stale = [
            account
            for account in self._accounts.values()
            if now - account.read_at >= READ_SECONDS and now - account.touched_at < IDLE_SECONDS
        ]
        if stale:
            await self._read(stale)

    async def _read(self, accounts: list[_Account]) -> None:
        began = self._clock()
        found = await self._calls.run(self._store.usage, [(account.key, account.database) for account in accounts])
        self._take(found)
        for account in accounts:
            account.read_at = began

    def _take(self, sums: Sequence[Usage]) -> None:
        """Take over what the store has counted, for all proxies together."""
        for usage in sums:
            account = self._accounts.get((usage.principal, usage.database))
            if account is not None:
                count = account.counts.setdefault((usage.limit, usage.metric, usage.period, usage.period_start), _Count())
                # Never less than was known: a flush that ran beside a reading may not be in it.
                count.stored = max(count.stored, usage.amount)

    def _forget(self, now: float) -> None:
        """Forget periods that are over, and principals that have gone."""
        for key, account in list(self._accounts.items()):
            for counted, count in list(account.counts.items()):
                _, _, period, start = counted
                if not count.unwritten and now >= start + period.seconds:
                    del account.counts[counted]
            is_idle = now - max(account.touched_at, account.read_at) >= IDLE_SECONDS
            if is_idle and not any(count.unwritten for count in account.counts.values()):
                del self._accounts[key]

    def _account(self, principal: Principal, database: str) -> _Account:
        key = (_key(principal), database)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(*key)
            account.touched_at = self._clock()
        return account


def remembered(budgets_of: Callable[[Principal, str], tuple[Budget, ...]], version: Callable[[], object]) -> BudgetsOf:
    """The same question answered from memory while `version` (the policy in force) and the principal are the same objects."""
    answers: dict[tuple[int, str], tuple[Principal, object, tuple[Budget, ...]]] = {}

    def of(principal: Principal, database: str) -> tuple[Budget, ...]:
        now_version = version()
        found = answers.get((id(principal), database))
        if found is not None and found[0] is principal and found[1] is now_version:
            return found[2]
        if len(answers) >= _REMEMBERED:
            answers.clear()
        budgets = budgets_of(principal, database)
        answers[id(principal), database] = (principal, now_version, budgets)
        return budgets

    return of


_REMEMBERED = 8192


def _key(principal: Principal) -> str:
    """What a principal's usage is counted under: its whole identity, delegation included, as a digest of bounded length."""
    parts = [principal.issuer, principal.subject]
    for actor in principal.actors:
        parts += [actor.issuer, actor.subject]
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in encoded)).hexdigest()
