"""The slow, obvious reference implementation of policy decisions: what `querywarden.policy.evaluate.decide` must agree with.

It enumerates everything: every schema that an unqualified name may stand for, every rule against every part, all outcomes.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from querywarden.model.decision import Allow, Decision, Deny, Hold
from querywarden.policy.evaluate import Request, reveal_of
from querywarden.policy.language import Group, Policy, Rule
from querywarden.policy.properties import Part, parts_of

RANK = {Allow: 0, Hold: 1, Deny: 2}


def rank(decision: Decision) -> int:
    """How little a decision allows: 0 for allow, 1 for hold, 2 for deny."""
    return RANK[type(decision)]


def outcome(policy: Policy, request: Request) -> tuple[int, str]:
    """The rank of the decision on a statement and the rule that decides."""
    reveal = reveal_of(policy, request.principal, request.database, request.catalogue)
    parts = list(parts_of(request.facts, request.catalogue, reveal, policy.trusted_functions))
    outcomes = [_outcome_of_part(policy, request, part) for part in parts]
    worst = max(rank for rank, _ in outcomes)
    return next(found for found in outcomes if found[0] == worst)


def _outcome_of_part(policy: Policy, request: Request, part: Part) -> tuple[int, str]:
    matching = [rule for rule in policy.rules if matches(rule, request, part)]
    fixed = [rule.id for rule in policy.rules if rule.is_fixed]
    aside = set()
    for rule in matching:
        if rule.effect == "allow":
            for name in rule.overrides:
                if name not in fixed:
                    aside.add(name)
    left = [rule for rule in matching if rule.id not in aside]
    for effect, number in (("deny", 2), ("hold", 1), ("allow", 0)):
        for rule in left:
            if rule.effect == effect:
                return number, rule.id
    return 2, "policy.no_rule"


def matches(rule: Rule, request: Request, part: Part) -> bool:
    """Whether a rule matches a part of a statement: the conjunction of all that it asks."""
    facts, what = part.facts, rule.what
    principal, database = request.principal, request.database
    asked = [
        not rule.where.environments or database.environment in rule.where.environments,
        not rule.where.databases or any(fnmatchcase(database.name, each) for each in rule.where.databases),
        rule.who.delegated is None or rule.who.delegated == (len(principal.actors) > 0),
        _all_fields(rule.who.included, principal),
        not any(_fields(rule.who.excluded, principal)),
        not what.verbs or facts.verb in what.verbs,
        not what.properties or any(each in part.properties for each in what.properties),
        not any(each in part.properties for each in what.without),
        not what.object_kinds or any(fnmatchcase(facts.object_kind or "", each) for each in what.object_kinds),
        not what.relations or _relations(rule, what.relations, facts.reads | facts.writes, request),
        not what.reads or _relations(rule, what.reads, facts.reads, request),
        not what.writes or _relations(rule, what.writes, facts.writes, request),
    ]
    return all(asked)


def _fields(group: Group, principal) -> list[bool]:
    return [
        principal.kind in group.kinds,
        any(fnmatchcase(principal.subject, each) for each in group.subjects),
        any(fnmatchcase(name, each) for name in principal.groups for each in group.groups),
    ]


def _all_fields(group: Group, principal) -> bool:
    kind, subject, groups = _fields(group, principal)
    return (not group.kinds or kind) and (not group.subjects or subject) and (not group.groups or groups)


ANY_SCHEMA = ("public", "hr", "pg_temp", "some_schema_nobody_named")


def _relations(rule: Rule, patterns, names, request: Request) -> bool:
    results = []
    for name in names:
        if name.schema is not None:
            places = {(name.schema, name.name)} | {(each.schema, each.name) for each in request.catalogue.candidates(name)}
        else:
            known = {(each.schema, each.name) for each in request.catalogue.candidates(name)}
            places = known or {(schema, name.name) for schema in ANY_SCHEMA}
        found = [any(fnmatchcase(f"{schema}.{last}", _full(each)) for each in patterns) for schema, last in places]
        if not name.schema and not request.catalogue.candidates(name) and rule.effect != "allow":
            # A name that may stand in any schema may stand in the one that the rule asks for.
            found.append(any(fnmatchcase(name.name, each.rpartition(".")[2]) for each in patterns))
        results.append(all(found) if rule.effect == "allow" else any(found))
    if not results:
        return False
    return all(results) if rule.effect == "allow" else any(results)


def _full(pattern: str) -> str:
    return pattern if "." in pattern else f"*.{pattern}"
