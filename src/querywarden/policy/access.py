"""Access: which databases a principal may reach, what it may ask to have for a time, and who may agree."""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.errors import ReasonCode
from querywarden.model.decision import ApprovalTerms, Deny
from querywarden.model.glob import is_any_match
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.language import Policy

NOTHING_GRANTED: frozenset[str] = frozenset()


def may_connect(policy: Policy, principal: Principal, database: Database, granted: frozenset[str] = NOTHING_GRANTED) -> Deny | None:
    """Why a principal may not reach a database at all; None if it may.

    Args: `granted` are the names of the databases that it has been given for a time, which widens what the policy says, and never what
    the credential is good for.
    """
    if principal.databases is not None and database.name not in principal.databases:
        return Deny(
            "credential.databases",
            ReasonCode.POLICY_DENIED,
            "The credential is not valid for this database.",
            "Use a credential that names this database.",
        )
    if not policy.access or database.name in granted:
        return None
    if any(rule.who.matches(principal) and rule.where.matches(database) for rule in policy.access):
        return None
    return Deny(
        "policy.access",
        ReasonCode.POLICY_DENIED,
        "The policy gives this principal no access to this database.",
        "Ask the owner of the policy for access to it.",
    )


@dataclass(frozen=True, slots=True)
class AccessOffer:
    """What the policy says to a wish for access: by which entry, for how long at most, and who has to agree."""

    id: str
    seconds_max: int
    terms: ApprovalTerms


def requestable_for(policy: Policy, principal: Principal, group: str | None = None, database: str | None = None) -> AccessOffer | None:
    """The first entry by which a principal may ask for a group, for a database (by its name), or for both; None if there is none."""
    if group is None and database is None:
        return None
    for entry in policy.requestable:
        offers_group = group is None or is_any_match(entry.groups, group)
        offers_database = database is None or is_any_match(entry.databases, database)
        if offers_group and offers_database and entry.who.matches(principal):
            return AccessOffer(entry.id, entry.seconds_max, policy.terms(entry))
    return None
