"""Holds: what becomes of a statement that rules hold, by their terms and by the automatic approvals of the policy.

Every rule that holds a statement has to be satisfied: an automatic approval of one of them is none for the others, and of several that
are left the approvers of each have to agree. The one that asks for the most of them is named, the first of these where that is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from querywarden.model.decision import Allow, Estimate, Hold, combined
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.language import AutomaticApproval, Policy, Rule
from querywarden.policy.row_counts import Count, rows_in


@dataclass(frozen=True, slots=True)
class Held:
    """A rule that holds a part of a statement, and by how many rows an automatic approval judges that part."""

    rule: Rule
    count: Count


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Who runs a statement, where and when, and what the planner expects of it."""

    principal: Principal
    database: Database
    now: float
    estimate: Estimate | None


def settle(policy: Policy, held: Sequence[Held], found: Circumstances, allow: Allow) -> Hold | Allow:
    """What becomes of a held statement.

    Args: `held` is not empty; `allow` says what holds of the statement once it may run.
    """
    approvals = [approval_of(policy, each, found) for each in held]
    left = [(each.rule, approval) for each, approval in zip(held, approvals, strict=True) if approval is None or approval.is_standing]
    first = approvals[0]
    if not left:
        return replace(allow, rule=held[0].rule.id, automatic=None if first is None else first.id)
    rule, _ = max(left, key=lambda pair: policy.terms(pair[0]).quorum)
    terms = combined([replace(policy.terms(each), standing=None if by is None else by.id) for each, by in left])
    return Hold(rule.id, rule.reason, rule.sentence, rule.hint, terms, replace(allow, rule=rule.id))


def approval_of(policy: Policy, held: Held, found: Circumstances) -> AutomaticApproval | None:
    """The automatic approval of what a rule holds: one that needs nobody's word before one that rests on a standing approval."""
    matching = [each for each in policy.automatic if _applies(each, held, found) and _is_within(each, held, found.estimate)]
    return min(matching, key=lambda each: each.is_standing, default=None)


def row_bounds(policy: Policy, held: Held, found: Circumstances) -> list[int]:
    """The numbers of rows on which automatic approvals of what a rule holds depend."""
    return [each.rows_up_to for each in policy.automatic if each.rows_up_to is not None and _applies(each, held, found)]


def _applies(approval: AutomaticApproval, held: Held, found: Circumstances) -> bool:
    if held.rule.id not in approval.rules:
        return False
    if not (approval.who.matches(found.principal) and approval.where.matches(found.database)):
        return False
    return not approval.when or any(window.holds(found.now) for window in approval.when)


def _is_within(approval: AutomaticApproval, held: Held, estimate: Estimate | None) -> bool:
    if approval.rows_up_to is None:
        return True
    rows = rows_in(held.count, estimate)
    return rows is not None and rows <= approval.rows_up_to
