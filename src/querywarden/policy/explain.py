"""Explaining a decision: which rules were looked at, which matched, and why, from the same judgement that decides."""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.model.decision import Allow, Decision, Deny, Hold
from querywarden.policy.evaluate import Finding, PartJudgement, Request, judge, may_connect
from querywarden.policy.language import Policy
from querywarden.policy.matching import NO_PROPERTY


@dataclass(frozen=True, slots=True)
class RuleStep:
    """What came of one rule for one part of a statement, in words."""

    rule: str
    effect: str
    outcome: str
    """`decides`, `matches`, `overridden` or `does not match`."""
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
    """A decision with all that led to it. `access` is why the principal may not connect at all, if so."""

    decision: Decision
    access: Deny | None
    parts: tuple[PartExplanation, ...]


def explain(policy: Policy, request: Request) -> Explanation:
    """The decision that `decide` gives, with its reasons."""
    judgement = judge(policy, request)
    return Explanation(
        judgement.decision,
        may_connect(policy, request.principal, request.database),
        tuple(_explain_part(policy, part) for part in judgement.parts),
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
    rule = finding.rule
    if finding.mismatch is not None:
        return RuleStep(rule.id, rule.effect.value, "does not match", f"its {finding.mismatch} differ")
    if finding.overridden_by is not None:
        return RuleStep(rule.id, rule.effect.value, "overridden", f"by {finding.overridden_by}")
    if judged.decision.rule == rule.id:
        return RuleStep(rule.id, rule.effect.value, "decides", rule.sentence)
    return RuleStep(rule.id, rule.effect.value, "matches", "a stronger or earlier rule decides")
