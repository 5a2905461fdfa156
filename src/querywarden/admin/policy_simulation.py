"""Simulating a policy: the decisions of the log's last days made again by another policy, and those that would differ."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from querywarden.admin.audit import NoLog
from querywarden.admin.policy_catalogue import read_catalogue
from querywarden.audit.log_format import COMPLETED, DECIDED
from querywarden.errors import ConfigurationError, ReasonCode
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Estimate
from querywarden.model.resource import Database
from querywarden.policy.evaluate import Judgement, may_connect
from querywarden.policy.explain import outcome_of
from querywarden.policy.language import Policy
from querywarden.policy.replay import NotReplayable, Recorded, judge_recorded, recorded
from querywarden.storage.journal_layout import read_identity, segments

WAITING_MAX = 10_000
"""Statements whose end is waited for, to learn how many rows they had: more than are ever in flight."""
GROUPS_MAX = 10_000
_TAG_ROWS = re.compile(r"\b(?:INSERT \d+|UPDATE|DELETE|MERGE|SELECT|COPY|FETCH|MOVE) (\d+)$")


@dataclass(slots=True)
class Change:
    """Decisions that would differ in the same way: from what to what, whose, where, on which statement, how often and when."""

    old: str
    old_rule: str
    new: str
    new_rule: str
    principal: str
    database: str
    statement: str
    count: int = 0
    first: str = ""
    last: str = ""

    def as_json(self) -> dict[str, Any]:
        """The change as plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Simulation:
    """What came of a simulation. `not_replayed` counts records by why they could not be decided again."""

    since: str
    policy: str
    decisions: int = 0
    same: int = 0
    other_rule: int = 0
    changes: list[Change] = field(default_factory=list)
    changes_left_out: int = 0
    observed: Counter[str] = field(default_factory=Counter)
    not_replayed: Counter[str] = field(default_factory=Counter)
    first: str = ""
    last: str = ""

    def as_json(self) -> dict[str, Any]:
        """The simulation as plain data."""
        return {
            "since": self.since, "policy": self.policy, "decisions": self.decisions, "same": self.same, "other_rule": self.other_rule,
            "first": self.first, "last": self.last, "changes": [change.as_json() for change in self.changes],
            "changes_left_out": self.changes_left_out, "observed": dict(self.observed), "not_replayed": dict(self.not_replayed),
        }  # fmt: skip


def simulate(policy: Policy, directory: Path, days: float, now: datetime, catalogue_file: Path | None = None) -> Simulation:
    """Decide the last days' statements of a log again. Nothing is written or locked; the proxy may go on writing.

    Raises: ConfigurationError, where there is no log.
    """
    if not directory.is_dir() or (not segments(directory) and read_identity(directory) is None):
        raise NoLog("there is no log in this directory", str(directory), hint="give the directory that holds log.json and seg/")
    try:
        since = f"{(now - timedelta(days=days)).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    except OverflowError:
        since = ""
    run = _Run(policy, catalogue_file, Simulation(since, policy.version))
    for line in _lines(directory, since):
        run.take(line)
    return run.end()


def _lines(directory: Path, since: str) -> Iterator[bytes]:
    """The whole lines of the segments that reach into the time asked for, oldest first."""
    paths = segments(directory)
    begins = [_begin(path) for path in paths]
    for number, path in enumerate(paths):
        if number + 1 < len(paths) and begins[number + 1] < since:
            continue
        try:
            with path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))
        except FileNotFoundError:
            continue


def _begin(path: Path) -> str:
    """The time of a segment's first record; the end of time where it has none yet."""
    try:
        with path.open("rb") as file:
            return str(orjson.loads(file.readline())["t"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return "~"


class _Run:
    """One pass over the log. A statement whose decision hangs on its rows waits for its end, which says how many there were."""

    def __init__(self, policy: Policy, catalogue_file: Path | None, result: Simulation) -> None:
        self._policy = policy
        self._catalogue_file = catalogue_file
        self._result = result
        self._catalogues: dict[Database, Catalogue] = {}
        self._waiting: OrderedDict[str, tuple[dict[str, Any], Recorded]] = OrderedDict()
        self._changes: dict[tuple[str, ...], Change] = {}

    def take(self, line: bytes) -> None:
        """Take the next line of the log."""
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            self._result.not_replayed["lines that are no records (`querywarden audit verify` says more)"] += 1
            return
        if not isinstance(record, dict) or str(record.get("t")) < self._result.since:
            return
        if record.get("type") == COMPLETED:
            self._complete(record)
        elif record.get("type") == DECIDED and not _is_repeated(record):
            self._decide(record)

    def end(self) -> Simulation:
        """The result, once all lines have been taken."""
        while self._waiting:
            record, found = self._waiting.popitem(last=False)[1]
            self._settle(record, found, Estimate(None))
        changes = sorted(self._changes.values(), key=lambda each: (-each.count, each.principal, each.statement))
        self._result.changes = changes
        return self._result

    def _decide(self, record: dict[str, Any]) -> None:
        result = self._result
        result.decisions += 1
        result.first = result.first or str(record.get("t"))
        result.last = str(record.get("t"))
        if "props" not in record and str((record.get("stmt") or {}).get("norm", "")).startswith("<unanalysable"):
            # What can't be analysed is refused by every policy.
            result.same += 1
            return
        if record.get("reason") == ReasonCode.BUDGET.value:
            result.not_replayed["refused by a budget, which counts what was used then"] += 1
            return
        try:
            found = recorded(record)
        except NotReplayable as why:
            result.not_replayed[str(why)] += 1
            return
        if found.rows is not None:
            self._settle(record, found, Estimate(found.rows))
        elif self._judge(record, found, None).wants_estimate:
            self._waiting[str(record.get("id"))] = record, found
            if len(self._waiting) > WAITING_MAX:
                self._settle(*self._waiting.popitem(last=False)[1], Estimate(None))
        else:
            self._settle(record, found, None)

    def _complete(self, record: dict[str, Any]) -> None:
        waiting = self._waiting.pop(str(record.get("decided")), None)
        if waiting is None:
            return
        tag = _TAG_ROWS.search(str(record.get("tag", "")))
        rows = int(tag[1]) if tag is not None and record.get("outcome") == "ok" else None
        self._settle(*waiting, Estimate(rows))

    def _judge(self, record: dict[str, Any], found: Recorded, estimate: Estimate | None) -> Judgement:
        access = may_connect(self._policy, found.principal, found.database)
        if access is not None:
            return Judgement(access, (), False)
        when = datetime.fromisoformat(str(record["t"])).timestamp()
        return judge_recorded(self._policy, found, self._catalogue(found.database), estimate, when)

    def _settle(self, record: dict[str, Any], found: Recorded, estimate: Estimate | None) -> None:
        result = self._result
        decision = self._judge(record, found, estimate).decision
        for observed in decision.observed:
            result.observed[observed.rule] += 1
        old, old_rule, new = str(record.get("effect")), str(record.get("rule")), outcome_of(decision)
        if old == new:
            result.same += 1
            result.other_rule += old_rule != decision.rule
            return
        statement = str((record.get("stmt") or {}).get("norm", ""))
        key = (old, old_rule, new, decision.rule, found.principal.label, found.database.name, statement)
        change = self._changes.get(key)
        if change is None:
            if len(self._changes) >= GROUPS_MAX:
                result.changes_left_out += 1
                return
            change = self._changes[key] = Change(*key, first=str(record.get("t")))
        change.count += 1
        change.last = str(record.get("t"))

    def _catalogue(self, database: Database) -> Catalogue:
        if database not in self._catalogues:
            self._catalogues[database] = read_catalogue(self._catalogue_file, self._policy, database)
        return self._catalogues[database]


def _is_repeated(record: dict[str, Any]) -> bool:
    """Whether another record holds the decision that counts.

    What is prepared and not denied is decided again whenever it runs; what was held, and goes on once it is approved, was decided then.
    """
    approval = record.get("approval")
    if isinstance(approval, dict) and "held" in approval:
        return True
    return record.get("stage") == "parse" and record.get("effect") != "deny"


def days_of(text: str) -> float:
    """A number of days: `7`, or an age such as `12h` or `2w`. Raises: ConfigurationError."""
    found = re.fullmatch(r"(\d{1,6})\s*([hdw]?)", text.strip())
    if found is None:
        raise ConfigurationError(f"not a number of days: {text!r}", hint="7, or an age such as 12h, 3d or 2w")
    return int(found[1]) * {"h": 1 / 24, "d": 1, "w": 7, "": 1}[found[2]]
