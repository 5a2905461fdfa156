"""Matching a rule against one part of a statement, for one principal and database, at one time; the number of its rows left aside.

Names are matched conservatively, since the search path isn't known: a deny or hold matches if any relation that a name may
mean does; an allow matches only if all of them do. A rule that asks for relations matches no statement without any.
"""

from __future__ import annotations

from collections.abc import Iterable

from querywarden.model.catalogue import Catalogue
from querywarden.model.facts import Hazard
from querywarden.model.glob import is_match, split_name
from querywarden.model.principal import Principal
from querywarden.model.resource import Database, FunctionName, RelationName
from querywarden.policy.column_matching import matches_columns
from querywarden.policy.language import Effect, Property, Rule, Trait
from querywarden.policy.properties import Part
from querywarden.policy.windows import is_open

_FUNCTION_HAZARDS = frozenset(
    {
        Hazard.DANGEROUS_FUNCTION, Hazard.FILE_ACCESS, Hazard.PROGRAM, Hazard.NETWORK, Hazard.CODE_LOADING, Hazard.DYNAMIC_SQL,
        Hazard.SERVER_ADMIN, Hazard.ROLE_SWITCH, Hazard.PRIVILEGE, Hazard.ANALYSIS_SETTING,
    }
)  # fmt: skip
"""Hazards that a call of a built-in function may bring: then an allow rule must name every function of the statement."""

NO_PROPERTY = "properties"
NOT_NOW = "when"
FREEZE_PROPERTIES: frozenset[Property] = frozenset({Trait.CHANGES_DATA, Trait.VOLATILE_FUNCTION})
"""What the rule of a freeze asks for: whatever changes data or schema, or may."""


def mismatch(rule: Rule, part: Part, principal: Principal, database: Database, catalogue: Catalogue, now: float) -> str | None:
    """The first field of a rule that keeps it from matching, its `rows_over` aside; None if it matches."""
    what = rule.what
    if what.verbs and not _has_verb(rule, part):
        return "verbs"
    if what.properties and what.properties.isdisjoint(part.properties):
        return NO_PROPERTY
    if not what.without.isdisjoint(part.properties) or (rule.is_freeze and not _changes_what_lasts(part)):
        return "without"
    if not rule.where.matches(database):
        return "databases or environments"
    if not rule.who.matches(principal):
        return "who"
    if rule.when and not is_open(rule.when, now):
        return NOT_NOW
    return _mismatch_of_names(rule, part, catalogue)


def _has_verb(rule: Rule, part: Part) -> bool:
    """Whether a part is of one of a rule's verbs; of deny and hold rules, also by what it does under another name."""
    verbs, facts = rule.what.verbs, part.facts
    return facts.verb in verbs or (rule.effect is not Effect.ALLOW and not verbs.isdisjoint(facts.acts_as))


def _changes_what_lasts(part: Part) -> bool:
    """Whether a part may change data or schema that is still there when the session is not."""
    properties = part.properties
    if Trait.READ_ONLY in properties:
        return False
    return Trait.VOLATILE_FUNCTION in properties or (Trait.CHANGES_DATA in properties and Trait.TEMPORARY not in properties)


def _mismatch_of_names(rule: Rule, part: Part, catalogue: Catalogue) -> str | None:
    what, facts = rule.what, part.facts
    is_allow = rule.effect is Effect.ALLOW
    if what.object_kinds and not any(is_match(kind, facts.object_kind or "") for kind in what.object_kinds):
        return "object_kinds"
    if what.relations and not matches_relations(what.relations, facts.reads | facts.writes, catalogue, is_allow):
        return "relations"
    if what.reads and not matches_relations(what.reads, facts.reads, catalogue, is_allow):
        return "reads"
    if what.writes and not matches_relations(what.writes, facts.writes, catalogue, is_allow):
        return "writes"
    if what.columns and not matches_columns(what.columns, facts, catalogue, is_allow):
        return "columns"
    if what.functions and not _matches_functions(what.functions, part, catalogue, is_allow):
        return "functions"
    return None


def matches_relations(patterns: tuple[str, ...], names: Iterable[RelationName], catalogue: Catalogue, needs_all: bool) -> bool:
    """Whether the relations that the names may mean are matched by globs: all of them, or any."""
    found = [_matches_relation(patterns, name, catalogue, needs_all) for name in names]
    return bool(found) and (all(found) if needs_all else any(found))


def _matches_relation(patterns: tuple[str, ...], name: RelationName, catalogue: Catalogue, needs_all: bool) -> bool:
    meant = [(relation.schema, relation.name) for relation in catalogue.candidates(name)]
    if name.schema is not None:
        # The name as written counts too: a rule about pg_temp, or about a schema made a moment ago, need not wait for the catalogue.
        meant.append((name.schema, name.name))
    if not meant:
        return any(_matches_unplaced(pattern, name.name, needs_all) for pattern in patterns)
    test = all if needs_all else any
    return test(any(_matches_placed(pattern, schema, last) for pattern in patterns) for schema, last in meant)


def _matches_placed(pattern: str, schema: str, name: str) -> bool:
    wanted_schema, wanted = split_name(pattern)
    return is_match(wanted, name) and (wanted_schema is None or is_match(wanted_schema, schema))


def _matches_unplaced(pattern: str, name: str, needs_all: bool) -> bool:
    """A name of which no schema is known: it may be in any, so only a glob for every schema is sure to match it."""
    wanted_schema, wanted = split_name(pattern)
    return is_match(wanted, name) and (not needs_all or wanted_schema is None or wanted_schema == "*")


def _matches_functions(patterns: tuple[str, ...], part: Part, catalogue: Catalogue, is_allow: bool) -> bool:
    functions = part.facts.functions
    found = {function: _matches_function(patterns, function, is_allow) for function in functions}
    if not is_allow:
        return any(found.values())
    if part.facts.hazards.isdisjoint(_FUNCTION_HAZARDS):
        # Nothing but the database's own functions can do harm here, so now() beside a named function is no obstacle.
        own = {function for function in functions if function.schema != "pg_catalog" and function.name in catalogue.opaque_functions}
        return any(found.values()) and all(found[function] for function in own)
    return bool(found) and all(found.values())


def _matches_function(patterns: tuple[str, ...], function: FunctionName, is_allow: bool) -> bool:
    if function.schema is None:
        return any(_matches_unplaced(pattern, function.name, is_allow) for pattern in patterns)
    return any(_matches_placed(pattern, function.schema, function.name) for pattern in patterns)
