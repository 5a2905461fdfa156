"""Rulings: which rule of the policy one condition, or one stored value, of a statement brings into force.

The policy is asked about the statement with that one alone and about the statement with none; the difference is the answer, whichever
properties the rules are written in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from querywarden.model.data_flow import Condition, DataFlow
from querywarden.policy.evaluate import Judgement, Request, judge
from querywarden.policy.language import Effect, Policy


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the policy says to one property of a statement: `passes`, `hold` or `deny`, and the rule that does."""

    outcome: str
    rule: str | None = None


class Rulings:
    """The rules that come to match by one condition or one stored value, all else being equal."""

    def __init__(self, policy: Policy, request: Request, flow: DataFlow) -> None:
        self._policy = policy
        self._request = request
        self._bare = replace(flow, conditions=frozenset(), assignments=(), stored_arguments=None)
        self._always = self._rules(self._bare)

    def on_condition(self, condition: Condition) -> Ruling:
        """What the policy says to a condition."""
        return self._ruling(replace(self._bare, conditions=frozenset({condition})))

    def on_flow(self, **changes: object) -> Ruling:
        """What the policy says to what is stored."""
        return self._ruling(replace(self._bare, **changes))  # type: ignore[arg-type]

    def _ruling(self, flow: DataFlow) -> Ruling:
        added = {rule: effect for rule, effect in self._rules(flow).items() if rule not in self._always}
        for effect in (Effect.DENY, Effect.HOLD):
            for rule, its_effect in added.items():
                if its_effect is effect:
                    return Ruling(effect.value, rule)
        return Ruling("passes")

    def _rules(self, flow: DataFlow) -> dict[str, Effect]:
        """The rules in force that deny or hold, in their order."""
        found: Judgement = judge(self._policy, replace(self._request, facts=replace(self._request.facts, flow=flow)))
        rules = [finding.rule for part in found.parts for finding in part.findings if finding.is_in_force and not finding.rule.is_observed]
        return {rule.id: rule.effect for rule in rules if rule.effect is not Effect.ALLOW}
