"""Explaining a decision: which rules were looked at, which matched, and why, from the same judgement that decides."""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.model.decision import Allow, Decision, Deny, Hold
from querywarden.policy.evaluate import ROWS, Finding, PartJudgement, Request, judge, may_connect
from querywarden.policy.language import Effect, Policy
from querywarden.policy.matching import NO_PROPERTY, NOT_NOW


@dataclass(frozen=True, slots=True)
class RuleStep:
    """What came of one rule for one part of a statement, in words."""

    rule: str
    effect: str
    outcome: str
    """`decides`, `matches`, `approved`, `observed`, `overridden` or `does not match`."""
    why: str


@dataclass(frozen=True, slots=True)
class PartExplanation:
    """One part of a statement: what it is, and what each rule made of it."""

    verb: str
    properties: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    functions: tuple[str, ...]
    steps: tuple[RuleStep, ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with all that led to it.

    `access` is why the principal may not connect at all, if so; `wants_estimate` says that the planner's estimate could change the
    decision.
    """

    decision: Decision
    access: Deny | None
    parts: tuple[PartExplanation, ...]
    wants_estimate: bool = False


def explain(policy: Policy, request: Request) -> Explanation:
    """The decision that `decide` gives, with its reasons."""
    judgement = judge(policy, request)
    return Explanation(
        judgement.decision,
        may_connect(policy, request.principal, request.database),
        tuple(_explain_part(policy, part) for part in judgement.parts),
        judgement.wants_estimate,
    )


def outcome_of(decision: Decision) -> str:
    """A decision in one word: allow, hold or deny."""
    match decision:
        case Allow():
            return "allow"
        case Hold():
            return "hold"
        case Deny():
            return "deny"


def _explain_part(policy: Policy, judged: PartJudgement) -> PartExplanation:
    facts = judged.part.facts
    found = {finding.rule.id: finding for finding in judged.findings}
    return PartExplanation(
        verb=facts.verb.value,
        properties=tuple(sorted(each.value for each in judged.part.properties)),
        reads=tuple(sorted(map(str, facts.reads))),
        writes=tuple(sorted(map(str, facts.writes))),
        functions=tuple(sorted(map(str, facts.functions))),
        steps=tuple(_step(found.get(rule.id, Finding(rule, NO_PROPERTY)), judged) for rule in policy.rules),
        decision=judged.decision,
    )


def _step(finding: Finding, judged: PartJudgement) -> RuleStep:
    rule, decision = finding.rule, judged.decision
    automatic = decision.automatic if isinstance(decision, Allow) else None
    if finding.mismatch is not None:
        outcome, why = "does not match", _MISMATCHES.get(finding.mismatch, f"its {finding.mismatch} differ")
    elif finding.overridden_by is not None:
        outcome, why = "overridden", f"by {finding.overridden_by}"
    elif rule.is_observed:
        outcome, why = "observed", f"it would {rule.effect.value}, and is only recorded"
    elif decision.rule == rule.id:
        outcome, why = "decides", rule.sentence if automatic is None else f"approved by {automatic}"
    elif automatic is not None and rule.effect is Effect.HOLD:
        outcome, why = "approved", "automatically"
    else:
        outcome, why = "matches", "a stronger or earlier rule decides"
    return RuleStep(rule.id, rule.effect.value, outcome, why)


_MISMATCHES = {ROWS: "not so many rows are expected", NOT_NOW: "it does not hold at this time"}
