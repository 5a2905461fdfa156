"""Keys: whether a change names its rows by a key, and whether it goes on to other relations."""

from __future__ import annotations

from querywarden.model.catalogue import Catalogue, Relation
from querywarden.model.facts import Hazard, StatementFacts, Verb

_ROW_ID = "ctid"


def is_keyed(facts: StatementFacts, catalogue: Catalogue) -> bool:
    """Whether an UPDATE or DELETE changes one row at most: it gives a whole unique key, of whichever relation its name may mean."""
    targets = _targets(facts, catalogue)
    if not targets or "=" in catalogue.opaque_operators:
        return False
    return all(_has_key(relation, facts.key_equalities) for relation in targets)


def _has_key(relation: Relation, given: frozenset[str]) -> bool:
    keys = relation.keys
    return (keys.has_row_ids and _ROW_ID in given) or any(key <= given for key in keys.unique)


def is_unkeyed(facts: StatementFacts, catalogue: Catalogue) -> bool:
    """Whether an UPDATE or DELETE gives no column that an index of its target begins with, as far as is known."""
    targets = _targets(facts, catalogue)
    if not targets or "=" in catalogue.opaque_operators:
        return True
    given = facts.key_equalities | facts.key_choices
    return not all(_ROW_ID in given or not relation.keys.indexed.isdisjoint(given) for relation in targets)


def cascades(facts: StatementFacts, catalogue: Catalogue) -> bool:
    """Whether a change goes on to rows of other relations through their foreign keys."""
    deletes = facts.verb is Verb.DELETE or (facts.verb is Verb.MERGE and Hazard.MERGE_DELETE in facts.hazards)
    updates = facts.verb in (Verb.UPDATE, Verb.MERGE, Verb.INSERT)
    if not deletes and not updates:
        return False
    for name in facts.writes:
        for relation in catalogue.candidates(name):
            keys = relation.keys
            if (deletes and keys.delete_cascades) or (updates and keys.cascading and _sets(facts, keys.cascading)):
                return True
    return False


def _sets(facts: StatementFacts, columns: frozenset[str]) -> bool:
    """Whether a change gives existing rows new values of some columns; of an INSERT, in what it does on a conflict."""
    if facts.assignments is None:
        return facts.verb is not Verb.INSERT
    targets = [assignment.target for assignment in facts.assignments]
    if facts.verb is not Verb.INSERT:
        return any(target is None or target in columns for target in targets)
    # Where it has no list of columns, those that have names are what it does on a conflict; else those that come twice.
    has_list = None not in targets
    return any(target in columns and (not has_list or targets.count(target) > 1) for target in targets)


def _targets(facts: StatementFacts, catalogue: Catalogue) -> tuple[Relation, ...]:
    """The relations that the one name which a change writes may mean; none where it writes several."""
    names = tuple(facts.writes)
    return catalogue.candidates(names[0]) if len(names) == 1 else ()
