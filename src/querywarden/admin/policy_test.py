"""Testing a policy: cases from a file, each decided as the proxy would decide it, and what differs from what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from querywarden.admin.policy import decided_texts, read_policy
from querywarden.admin.policy_cases import Case, CaseBook, LimitsExpected, read_cases
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Allow, Decision, Deny, Hold
from querywarden.policy.evaluate import Judgement, may_connect, reveal_of
from querywarden.policy.explain import outcome_of
from querywarden.policy.language import Policy

STRENGTH = {"deny": 0, "hold": 1, "allow": 2}
"""The decision on a text is the strictest of those on its statements."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was expected."""

    what: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case; `note` says what a reader may have to know about it."""

    file: str
    line: int | None
    name: str
    decision: str
    rule: str
    differences: tuple[Difference, ...]
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything is as expected."""
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        """The result as plain data."""
        found: dict[str, Any] = {
            "file": self.file, "line": self.line, "name": self.name, "passed": self.passed, "decision": self.decision, "rule": self.rule,
            "differences": [{"what": each.what, "expected": each.expected, "actual": each.actual} for each in self.differences],
        }  # fmt: skip
        return found | ({"note": self.note} if self.note else {})


def run_cases(file: Path, policy_file: Path | None, configured: Path | None, now: float) -> list[CaseResult]:
    """Decide all cases of a file: by the policy of `policy_file`, else the one that the file names, else `configured`, else the baseline.

    Args: `now` is the time for cases that name none.
    Raises: ConfigurationError, for the cases and for the policy, with file and line.
    """
    book = read_cases(file, now)
    policy = read_policy(policy_file or book.policy_file or configured)
    return [_run(book, policy, case) for case in book.cases]


def _run(book: CaseBook, policy: Policy, case: Case) -> CaseResult:
    catalogue = book.catalogue_of(policy, case.database)
    judgements = decided_texts(policy, case.statement, case.principal, case.database, catalogue, case.estimate, case.now)
    if not judgements:
        return CaseResult(str(book.file), case.line, case.name, "none", "", (Difference("statement", "a statement", "none in the text"),))
    access = may_connect(policy, case.principal, case.database)
    if access is not None:
        judgements = [Judgement(access, (), False)]
    found = min(judgements, key=lambda each: STRENGTH[outcome_of(each.decision)])
    differences = tuple(_differences(case, found.decision, policy, catalogue))
    note = ""
    if found.wants_estimate and case.estimate is None:
        note = "the decision depends on the rows that the planner expects: say so by `rows`"
    return CaseResult(str(book.file), case.line, case.name, outcome_of(found.decision), found.decision.rule, differences, note)


def _differences(case: Case, decision: Decision, policy: Policy, catalogue: Catalogue) -> Iterator[Difference]:
    expected = case.expected
    outcome = outcome_of(decision)
    if expected.expect != outcome:
        yield Difference("decision", expected.expect, f"{outcome} by {decision.rule}")
    if expected.rule is not None and expected.rule != decision.rule:
        yield Difference("rule", expected.rule, decision.rule)
    if expected.observed is not None:
        yield from _differing_lists("observed", expected.observed, [each.rule for each in decision.observed])
    yield from _differences_in_sight(case, policy, catalogue)
    match decision:
        case Allow():
            yield from _differences_of_allow(case, decision)
        case Hold():
            yield from _differences_of_hold(case, decision)
            yield from _differing_reason(case, decision)
        case Deny():
            yield from _differing_reason(case, decision)


def _differences_of_allow(case: Case, allow: Allow) -> Iterator[Difference]:
    expected = case.expected
    if expected.automatic is not None and expected.automatic != allow.automatic:
        yield Difference("automatic", expected.automatic, allow.automatic or "none")
    limits = expected.limits
    if limits is None:
        return
    actual = LimitsExpected(rows=allow.rows_max, bytes=allow.bytes_max, seconds=allow.seconds_max)
    for name in sorted(limits.model_fields_set):
        wanted, given = getattr(limits, name), getattr(actual, name)
        if wanted != given:
            yield Difference(f"limits.{name}", _told(wanted), _told(given))


def _differences_of_hold(case: Case, hold: Hold) -> Iterator[Difference]:
    expected = case.expected
    if expected.approvers is not None:
        asked = {glob for each in hold.terms.agreements for glob in each.approvers}
        yield from _differing_lists("approvers", expected.approvers, sorted(asked))
    if expected.quorum is not None and expected.quorum != hold.terms.quorum:
        yield Difference("quorum", str(expected.quorum), str(hold.terms.quorum))


def _differing_reason(case: Case, decision: Deny | Hold) -> Iterator[Difference]:
    if case.expected.reason is not None and case.expected.reason is not decision.reason:
        yield Difference("reason", case.expected.reason.value, decision.reason.value)


def _differing_lists(what: str, expected: Sequence[str], actual: Sequence[str]) -> Iterator[Difference]:
    if sorted(expected) != sorted(actual):
        yield Difference(what, ", ".join(sorted(expected)) or "none", ", ".join(sorted(actual)) or "none")


def _differences_in_sight(case: Case, policy: Policy, catalogue: Catalogue) -> Iterator[Difference]:
    """Columns that the principal is expected to see masked, or as they are."""
    wanted = dict.fromkeys(case.expected.masked, True) | dict.fromkeys(case.expected.unmasked, False)
    if not wanted:
        return
    reveal = reveal_of(policy, case.principal, case.database, catalogue)
    masked = {
        name: column.classification is not None and not reveal.reveals(column.classification, name)
        for relation in catalogue.relations.values()
        for column in relation.columns.values()
        for name in [f"{relation.schema}.{relation.name}.{column.name}"]
    }
    for name, is_wanted in wanted.items():
        if masked[name] != is_wanted:
            yield Difference(name, "masked" if is_wanted else "as it is", "masked" if masked[name] else "as it is")


def _told(value: float | int | None) -> str:
    return "none" if value is None else str(value)
