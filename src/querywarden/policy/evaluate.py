"""Deciding: one statement of one principal on one database, against a policy.

`judge` is the one code path; `decide` keeps its outcome, and the explanation shows all of it. Every part of a statement
(itself and its children) is decided by all rules, deny beats hold beats allow, and the worst part decides the whole. No rule
means no.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from querywarden.errors import ReasonCode
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Allow, Decision, Deny, Hold, Reveal
from querywarden.model.facts import StatementFacts, Unanalysable
from querywarden.model.glob import is_any_match
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.language import Effect, Policy, Rule
from querywarden.policy.laundering import classified_columns
from querywarden.policy.matching import mismatch
from querywarden.policy.properties import Part, Pinned, parts_of

NO_RULE = Deny(
    "policy.no_rule",
    ReasonCode.POLICY_DENIED,
    "No rule of the policy allows this statement.",
    "Ask the owner of the policy for a rule that allows it; `querywarden policy explain` shows which rules were looked at.",
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be decided: one statement's facts, who asks, and where. `catalogue` is the database's at this moment.

    `is_blind` says that it may not be, since the session's open transaction has changed the schema: then no name proves that a
    value is unclassified.
    """

    principal: Principal
    database: Database
    facts: StatementFacts
    catalogue: Catalogue
    is_blind: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one rule: `mismatch` names the field that didn't match, `overridden_by` the allow rule that put it aside."""

    rule: Rule
    mismatch: str | None
    overridden_by: str | None = None

    @property
    def is_in_force(self) -> bool:
        """Whether the rule has a say in the decision."""
        return self.mismatch is None and self.overridden_by is None


@dataclass(frozen=True, slots=True)
class PartJudgement:
    """The decision on one part of a statement and all that led to it; rules left out ask for properties that it doesn't have."""

    part: Part
    findings: tuple[Finding, ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Judgement:
    """The decision on a statement, with those on each of its parts."""

    decision: Decision
    parts: tuple[PartJudgement, ...]


def decide(policy: Policy, request: Request) -> Decision:
    """The policy's answer to one statement; total, and it never raises."""
    return judge(policy, request).decision


def judge(policy: Policy, request: Request) -> Judgement:
    """The policy's answer to one statement and how it came about."""
    reveal = reveal_of(policy, request.principal, request.database, request.catalogue)
    rows_max = rows_max_of(policy, request.principal, request.database)
    parts = tuple(
        _judge_part(policy, request, part, reveal, rows_max)
        for part in parts_of(request.facts, request.catalogue, reveal, policy.trusted_functions, request.is_blind)
    )
    decisions = [part.decision for part in parts]
    for kind in (Deny, Hold):
        for decision in decisions:
            if isinstance(decision, kind):
                return Judgement(decision, parts)
    return Judgement(decisions[0], parts)


def _judge_part(policy: Policy, request: Request, part: Part, reveal: Reveal, rows_max: int | None) -> PartJudgement:
    principal, database, catalogue = request.principal, request.database, request.catalogue
    findings = [Finding(rule, mismatch(rule, part, principal, database, catalogue)) for rule in policy.candidates(part.properties)]
    overrides = _overrides(policy, findings)
    if overrides:
        findings = [
            Finding(finding.rule, None, overrides[finding.rule.id])
            if finding.mismatch is None and finding.rule.id in overrides
            else finding
            for finding in findings
        ]
    return PartJudgement(part, tuple(findings), _settle(findings, reveal, rows_max))


def _overrides(policy: Policy, findings: list[Finding]) -> dict[str, str]:
    """The rules put aside by allow rules that match, and by which one."""
    return {
        overridden: finding.rule.id
        for finding in findings
        if finding.mismatch is None and finding.rule.effect is Effect.ALLOW
        for overridden in finding.rule.overrides
        if overridden not in policy.fixed
    }


def _settle(findings: list[Finding], reveal: Reveal, rows_max: int | None) -> Decision:
    in_force = [finding.rule for finding in findings if finding.is_in_force]
    for rule in in_force:
        if rule.effect is Effect.DENY:
            return Deny(rule.id, rule.reason, rule.sentence, rule.hint)
    for rule in in_force:
        if rule.effect is Effect.HOLD:
            return Hold(rule.id, rule.reason, rule.sentence, rule.hint)
    if in_force:
        return Allow(in_force[0].id, reveal, rows_max)
    return NO_RULE


def may_connect(policy: Policy, principal: Principal, database: Database) -> Deny | None:
    """Why a principal may not reach a database at all; None if it may."""
    if principal.databases is not None and database.name not in principal.databases:
        return Deny(
            "credential.databases",
            ReasonCode.POLICY_DENIED,
            "The credential is not valid for this database.",
            "Use a credential that names this database.",
        )
    if not policy.access or any(rule.who.matches(principal) and rule.where.matches(database) for rule in policy.access):
        return None
    return Deny(
        "policy.access",
        ReasonCode.POLICY_DENIED,
        "The policy gives this principal no access to this database.",
        "Ask the owner of the policy for access to it.",
    )


def reveal_of(policy: Policy, principal: Principal, database: Database, catalogue: Catalogue) -> Reveal:
    """What a principal sees unmasked in a database."""
    rules = [rule for rule in policy.reveals if rule.who.matches(principal) and rule.where.matches(database)]
    if not rules:
        return Reveal()
    patterns = tuple(sorted({pattern for rule in rules for pattern in rule.columns}))
    return Reveal(
        classes=frozenset(data_class.value for rule in rules for data_class in rule.classes),
        columns=_columns_of(Pinned(catalogue), patterns) if patterns else frozenset(),
        everything=any(rule.everything for rule in rules),
    )


@lru_cache(maxsize=32)
def _columns_of(pinned: Pinned, patterns: tuple[str, ...]) -> frozenset[str]:
    """The classified columns that globs of `schema.relation.column` (or `relation.column` in any schema) stand for."""
    placed = tuple(pattern if pattern.count(".") >= 2 else f"*.{pattern}" for pattern in patterns)
    return frozenset(column for column in classified_columns(pinned.catalogue) if is_any_match(placed, column))


def rows_max_of(policy: Policy, principal: Principal, database: Database) -> int | None:
    """The most rows that one statement of a principal may return; the policy's own limits take the place of the built-in ones."""
    for limits in (policy.limits, policy.limits_default):
        found = [limit.rows_max for limit in limits if limit.who.matches(principal) and limit.where.matches(database)]
        if found:
            return min(found)
    return None


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
