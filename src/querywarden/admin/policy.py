"""The use cases of policy files: check one, and explain what it makes of a statement, without a server."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from querywarden.admin.policy_words import (
    told_automatic,
    told_limit,
    told_mask,
    told_requestable,
    told_reveal,
    told_terms,
    told_what,
    told_when,
    told_where,
    told_who,
)
from querywarden.config.policy_file import load_policy
from querywarden.errors import REASONS
from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Allow, Decision, Estimate, Hold
from querywarden.model.facts import StatementFacts, Unanalysable
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.baseline import BASELINE
from querywarden.policy.evaluate import Judgement, Request, judge, may_connect, unanalysable
from querywarden.policy.explain import Explanation, explain, outcome_of
from querywarden.policy.language import Effect, Policy, Rule

__all__ = [
    "PolicySummary", "RuleSummary", "as_json", "decided_texts", "decision_as_json", "explain_text", "read_policy", "summarise",
    "told_what", "told_when", "told_where", "told_who",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """A rule in words."""

    id: str
    effect: str
    who: str
    where: str
    what: str
    overrides: tuple[str, ...]
    is_built_in: bool
    when: str = ""
    approval: str = ""
    is_observed: bool = False


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """A policy in words: what `querywarden policy check` shows."""

    name: str
    version: str
    rules: tuple[RuleSummary, ...]
    approvals: str
    access: tuple[str, ...]
    automatic_approvals: tuple[str, ...]
    requestable: tuple[str, ...]
    reveals: tuple[str, ...]
    masks: tuple[str, ...]
    columns: tuple[str, ...]
    limits: tuple[str, ...]
    trusted_functions: tuple[str, ...]

    @property
    def sections(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What the policy says besides its rules: headings and entries."""
        return (
            ("approvals", (self.approvals,)),
            ("automatic", self.automatic_approvals),
            ("requestable", self.requestable),
            ("access", self.access or ("every verified principal, every database",)),
            ("reveal", self.reveals or ("nothing: every class is masked for everyone",)),
            ("masks", self.masks),
            ("columns", self.columns),
            ("limits", self.limits),
            ("trusted", self.trusted_functions),
        )


def read_policy(file: Path | None) -> Policy:
    """The policy of a file, or the baseline alone. Raises: ConfigurationError."""
    return BASELINE if file is None else load_policy(file)


def summarise(policy: Policy) -> PolicySummary:
    """A policy in words."""
    return PolicySummary(
        name=policy.name,
        version=policy.version,
        rules=tuple(_summarise_rule(policy, rule) for rule in policy.rules),
        approvals=told_terms(policy.approvals),
        access=tuple(f"{entry.id}: {told_who(entry.who)}, {told_where(entry.where)}" for entry in policy.access),
        automatic_approvals=tuple(f"{entry.id}: {told_automatic(entry)}" for entry in policy.automatic),
        requestable=tuple(f"{entry.id}: {told_requestable(entry, policy.terms(entry))}" for entry in policy.requestable),
        reveals=tuple(f"{entry.id}: {told_reveal(entry)}" for entry in policy.reveals),
        masks=tuple(f"{entry.id}: {told_mask(entry)}" for entry in policy.masks),
        columns=tuple(f"{entry.column}: {entry.data_class or 'none'}, {told_where(entry.where)}" for entry in policy.column_classes),
        limits=tuple(f"{entry.id}: {told_limit(entry)}" for entry in (*policy.limits, *policy.limits_default)),
        trusted_functions=policy.trusted_functions,
    )


def explain_text(
    policy: Policy,
    text: str,
    principal: Principal,
    database: Database,
    catalogue: Catalogue,
    estimate: Estimate | None = None,
    now: float = 0.0,
) -> list[Explanation]:
    """What a policy makes of each statement of a text; one refusal when the text can't be analysed."""
    found = _analysed(text)
    if isinstance(found, Unanalysable):
        return [Explanation(unanalysable(found), may_connect(policy, principal, database), ())]
    return [explain(policy, Request(principal, database, facts, catalogue, False, estimate, now)) for facts in found]


def decided_texts(
    policy: Policy, text: str, principal: Principal, database: Database, catalogue: Catalogue, estimate: Estimate | None, now: float
) -> list[Judgement]:
    """The decision on each statement of a text; one refusal when the text can't be analysed."""
    found = _analysed(text)
    if isinstance(found, Unanalysable):
        return [Judgement(unanalysable(found), ())]
    return [judge(policy, Request(principal, database, facts, catalogue, False, estimate, now)) for facts in found]


def _analysed(text: str) -> tuple[StatementFacts, ...] | Unanalysable:
    # Imported here, so that checking a policy doesn't load the SQL grammar.
    from querywarden.postgresql.analysis import analyse

    return analyse(text.encode("utf-8", "surrogateescape"))


def as_json(explanation: Explanation) -> dict[str, Any]:
    """An explanation as plain data."""
    return {
        "decision": decision_as_json(explanation.decision),
        "access": decision_as_json(explanation.access) if explanation.access is not None else None,
        "wants_estimate": explanation.wants_estimate,
        "parts": [
            {
                "verb": part.verb,
                "properties": list(part.properties),
                "reads": list(part.reads),
                "writes": list(part.writes),
                "functions": list(part.functions),
                "decision": decision_as_json(part.decision),
                "rules": [{"rule": step.rule, "effect": step.effect, "outcome": step.outcome, "why": step.why} for step in part.steps],
            }
            for part in explanation.parts
        ],
    }


def decision_as_json(decision: Decision) -> dict[str, Any]:
    """A decision as plain data."""
    found: dict[str, Any] = {"outcome": outcome_of(decision), "rule": decision.rule}
    if isinstance(decision, Allow):
        reveal = decision.reveal
        found |= {
            "rows_max": decision.rows_max,
            "bytes_max": decision.bytes_max,
            "seconds_max": decision.seconds_max,
            "automatic": decision.automatic,
            "reveal": {
                "everything": reveal.everything,
                "classes": sorted(reveal.classes),
                "columns": sorted(reveal.columns),
                "masks": [{"for": name, "operator": operator} for name, operator in reveal.masks],
            },
        }
    else:
        found |= {
            "reason": decision.reason.value,
            "sqlstate": REASONS[decision.reason].sqlstate,
            "sentence": decision.sentence,
            "hint": decision.hint,
        }
    if isinstance(decision, Hold):
        found |= {"terms": asdict(decision.terms), "once_approved": decision_as_json(decision.allow)}
    return found | {"observed": [{"rule": each.rule, "effect": each.effect, "reason": each.reason.value} for each in decision.observed]}


def _summarise_rule(policy: Policy, rule: Rule) -> RuleSummary:
    return RuleSummary(
        id=rule.id,
        effect=rule.effect.value,
        who=told_who(rule.who),
        where=told_where(rule.where),
        what="whatever changes data or schema" if rule.is_freeze else told_what(rule.what),
        overrides=tuple(sorted(rule.overrides)),
        is_built_in=rule.is_baseline,
        when=told_when(rule.when),
        approval=told_terms(policy.terms(rule)) if rule.effect is Effect.HOLD else "",
        is_observed=rule.is_observed,
    )
