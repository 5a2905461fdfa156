"""Deciding: one statement of one principal on one database, at one time, against a policy.

`judge` is the one code path; `decide` keeps its outcome, and the explanation shows all of it. Every part of a statement
(itself and its children) is decided by all rules, deny beats hold beats allow, and the worst part decides the whole. No rule
means no.

A rule may ask for the number of rows, which the server's planner alone can tell. Until it is asked, and where it can't say, the number
counts against the statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Allow, Decision, Deny, Estimate, Observed, Reveal
from querywarden.model.facts import StatementFacts, Unanalysable
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy import holds
from querywarden.policy.access import may_connect as may_connect
from querywarden.policy.holds import Circumstances, Held
from querywarden.policy.language import Effect, Policy, Rule
from querywarden.policy.limits import statement_limits_of
from querywarden.policy.matching import mismatch
from querywarden.policy.properties import Part, parts_of
from querywarden.policy.reveals import reveal_of as reveal_of
from querywarden.policy.row_counts import ESTIMABLE, Count, RowSource, count_of, is_over, total_of

NO_RULE = Deny(
    "policy.no_rule",
    ReasonCode.POLICY_DENIED,
    "No rule of the policy allows this statement.",
    "Ask the owner of the policy for a rule that allows it; `querywarden policy explain` shows which rules were looked at.",
)
ROWS = "rows_over"
_UNKNOWN = Estimate(None)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be decided: one statement's facts, who asks, where and when. `catalogue` is the database's at this moment.

    `is_blind` says that it may not be, since the session's open transaction has changed the schema: then no name proves that a
    value is unclassified, and no key that a row is alone. `estimate` None: the server has not been asked. `now` is in seconds since
    the epoch. `writes_back` says that the statement would store masked values, which its session has shown, in place of the real ones.
    """

    principal: Principal
    database: Database
    facts: StatementFacts
    catalogue: Catalogue
    is_blind: bool = False
    estimate: Estimate | None = None
    now: float = 0.0
    writes_back: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one rule: `mismatch` names the field that didn't match, `overridden_by` the allow rule that put it aside."""

    rule: Rule
    mismatch: str | None
    overridden_by: str | None = None

    @property
    def is_in_force(self) -> bool:
        """Whether the rule has a say in the decision, or would have one if it weren't only observed."""
        return self.mismatch is None and self.overridden_by is None


@dataclass(frozen=True, slots=True)
class PartJudgement:
    """The decision on one part of a statement and all that led to it; rules left out ask for properties that it doesn't have."""

    part: Part
    findings: tuple[Finding, ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Judgement:
    """The decision on a statement, with those on each of its parts.

    `wants_estimate`: the planner's estimate, which is not there, could change it. Until it does, the decision is that of a number of rows
    that nobody knows: what asks for many of them holds, what asks for few doesn't.
    """

    decision: Decision
    parts: tuple[PartJudgement, ...]
    wants_estimate: bool = False


@dataclass(frozen=True, slots=True)
class _Scan:
    """One part with what each rule makes of it, the number of its rows (`count`) aside."""

    part: Part
    count: Count
    findings: tuple[Finding, ...]


def decide(policy: Policy, request: Request) -> Decision:
    """The policy's answer to one statement; total, and it never raises."""
    return judge(policy, request).decision


def judge(policy: Policy, request: Request) -> Judgement:
    """The policy's answer to one statement and how it came about."""
    reveal = reveal_of(policy, request.principal, request.database, request.catalogue)
    parts = parts_of(request.facts, request.catalogue, reveal, policy.trusted_functions, request.is_blind, request.writes_back)
    return judge_parts(policy, request, parts, reveal)


def judge_parts(policy: Policy, request: Request, parts: Iterable[Part], reveal: Reveal) -> Judgement:
    """The policy's answer to a statement whose parts and their properties are known, the statement itself first."""
    limits = statement_limits_of(policy, request.principal, request.database)
    allow = Allow("", reveal, limits.rows_max, limits.bytes_max, limits.seconds_max)
    scans = [_scan(policy, request, part) for part in parts]
    estimate = request.estimate if request.facts.verb in ESTIMABLE else _UNKNOWN
    judgement = _settle(policy, request, scans, estimate or _UNKNOWN, allow)
    if estimate is not None:
        return judgement
    numbers = {number for bound in _bounds(policy, request, scans) for number in (0, bound, bound + 1)}
    others = (_settle(policy, request, scans, Estimate(number), allow).decision for number in sorted(numbers))
    return replace(judgement, wants_estimate=any(_is_other(judgement.decision, other) for other in others))


def _scan(policy: Policy, request: Request, part: Part) -> _Scan:
    principal, database, catalogue, now = request.principal, request.database, request.catalogue, request.now
    findings = tuple(
        Finding(rule, mismatch(rule, part, principal, database, catalogue, now)) for rule in policy.candidates(part.properties)
    )
    return _Scan(part, count_of(part, request.facts, request.is_blind), findings)


def _settle(policy: Policy, request: Request, scans: Sequence[_Scan], estimate: Estimate, allow: Allow) -> Judgement:
    """The judgement, given the number of rows."""
    found = Circumstances(request.principal, request.database, request.now, estimate)
    parts = []
    held: list[Held] = []
    observed: dict[str, Observed] = {}
    for scan in scans:
        findings = _found(policy, scan, estimate)
        in_force = [finding.rule for finding in findings if finding.is_in_force]
        total = total_of(scan.count, request.facts)
        held_here = [Held(rule, total) for rule in in_force if rule.effect is Effect.HOLD]
        enforced = [each for each in held_here if not each.rule.is_observed]
        parts.append(PartJudgement(scan.part, findings, _decision(policy, in_force, enforced, found, allow)))
        held += enforced
        for rule in in_force:
            if rule.is_observed and not _is_approved(policy, Held(rule, total), found):
                observed.setdefault(rule.id, Observed(rule.id, rule.effect.value, rule.reason))
    decision = _worst(policy, [part.decision for part in parts], held, found, allow)
    return Judgement(replace(decision, observed=tuple(observed.values())) if observed else decision, tuple(parts))


def _found(policy: Policy, scan: _Scan, estimate: Estimate) -> tuple[Finding, ...]:
    """What came of each rule, the number of rows and the overrides by allow rules included."""
    findings = tuple(
        replace(finding, mismatch=ROWS) if finding.mismatch is None and not _has_rows(finding.rule, scan, estimate) else finding
        for finding in scan.findings
    )
    overrides = {
        overridden: finding.rule.id
        for finding in findings
        if finding.mismatch is None and finding.rule.effect is Effect.ALLOW
        for overridden in finding.rule.overrides
        if overridden not in policy.fixed
    }
    if not overrides:
        return findings
    return tuple(
        replace(finding, overridden_by=overrides[finding.rule.id]) if finding.mismatch is None and finding.rule.id in overrides else finding
        for finding in findings
    )


def _has_rows(rule: Rule, scan: _Scan, estimate: Estimate) -> bool:
    what = rule.what
    if what.rows_over is None:
        return True
    if what.spares_values and scan.part.facts.values_rows is not None:
        return False
    return is_over(scan.count, what.rows_over, estimate, unknown=rule.effect is not Effect.ALLOW)


def _decision(policy: Policy, in_force: list[Rule], held: list[Held], found: Circumstances, allow: Allow) -> Decision:
    """The decision on one part."""
    enforced = [rule for rule in in_force if not rule.is_observed]
    for rule in enforced:
        if rule.effect is Effect.DENY:
            return Deny(rule.id, rule.reason, rule.sentence, rule.hint)
    if held:
        return holds.settle(policy, held, found, allow)
    return replace(allow, rule=enforced[0].id) if enforced else NO_RULE


def _worst(policy: Policy, decisions: list[Decision], held: list[Held], found: Circumstances, allow: Allow) -> Decision:
    """The decision on the whole: every rule that holds any part has to be satisfied."""
    for decision in decisions:
        if isinstance(decision, Deny):
            return decision
    return holds.settle(policy, held, found, allow) if held else decisions[0]


def _is_approved(policy: Policy, held: Held, found: Circumstances) -> bool:
    """Whether what a rule would hold, if it were more than observed, needs nobody's word."""
    if held.rule.effect is not Effect.HOLD:
        return False
    approval = holds.approval_of(policy, held, found)
    return approval is not None and not approval.is_standing


def _bounds(policy: Policy, request: Request, scans: Sequence[_Scan]) -> set[int]:
    """The numbers of rows on which the decision may depend, where the planner can tell them."""
    found = Circumstances(request.principal, request.database, request.now, None)
    bounds: set[int] = set()
    for scan in scans:
        rules = [finding.rule for finding in scan.findings if finding.mismatch is None]
        if scan.count is RowSource.PLANNER:
            bounds.update(rule.what.rows_over for rule in rules if rule.what.rows_over is not None)
        if total_of(scan.count, request.facts) is RowSource.PLANNER:
            held = (Held(rule, scan.count) for rule in rules if rule.effect is Effect.HOLD)
            bounds.update(bound for each in held for bound in holds.row_bounds(policy, each, found))
    return bounds


def _is_other(decision: Decision, other: Decision) -> bool:
    """Whether an estimate is worth asking for, to get from one decision to another; not for what only observed rules say of a refusal."""
    if isinstance(decision, Deny) and isinstance(other, Deny):
        return decision.rule != other.rule
    return decision != other


_UNANALYSABLE_HINTS = {
    "syntax": "Correct the statement; it was not sent to the server.",
    "encoding": "Send the statement as valid UTF-8 (SET client_encoding = 'UTF8' is the only encoding that is accepted).",
    "nul": "Remove the NUL byte from the statement.",
    "too_large": "Split the statement, or send the values as parameters or with COPY.",
    "too_complex": "Split the statement into simpler ones.",
    "timeout": "Split the statement into simpler ones.",
}


def unanalysable(found: Unanalysable) -> Deny:
    """The refusal of a text that the analysis could not understand: unknown means no, whatever the policy says."""
    reason = ReasonCode.STATEMENT_TOO_LARGE if found.reason == "too_large" else ReasonCode.UNANALYSABLE
    if found.reason == "unknown_statement":
        reason = ReasonCode.UNKNOWN_STATEMENT
    return Deny(
        "baseline.unanalysable",
        reason,
        "The statement could not be analysed, so it was not sent to the server.",
        _UNANALYSABLE_HINTS.get(found.reason, "Write the statement in another way."),
    )
