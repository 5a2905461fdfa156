"""What a principal sees unmasked in a database, and which operators mask the rest where the policy names others than the classes' own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from querywarden.model.catalogue import Catalogue
from querywarden.model.decision import Reveal
from querywarden.model.glob import is_any_match
from querywarden.model.principal import Principal
from querywarden.model.resource import Database
from querywarden.policy.language import Policy
from querywarden.policy.laundering import classified_columns
from querywarden.policy.properties import Pinned


def reveal_of(policy: Policy, principal: Principal, database: Database, catalogue: Catalogue) -> Reveal:
    """What a principal sees unmasked in a database, and how the rest is masked."""
    rules = [rule for rule in policy.reveals if rule.who.matches(principal) and rule.where.matches(database)]
    masks = tuple(dict.fromkeys(_masks(policy, principal, database, catalogue))) if policy.masks else ()
    if not rules and not masks:
        return Reveal()
    patterns = tuple(sorted({pattern for rule in rules for pattern in rule.columns}))
    return Reveal(
        classes=frozenset(data_class.value for rule in rules for data_class in rule.classes),
        columns=frozenset(_columns_of(Pinned(catalogue), patterns)) if patterns else frozenset(),
        everything=any(rule.everything for rule in rules),
        masks=masks,
    )


def _masks(policy: Policy, principal: Principal, database: Database, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """The operators of columns and classes, those of columns first; of several the first in the policy holds."""
    rules = [rule for rule in policy.masks if rule.who.matches(principal) and rule.where.matches(database)]
    for rule in rules:
        if rule.columns:
            yield from ((column, rule.operator) for column in _columns_of(Pinned(catalogue), rule.columns))
    for rule in rules:
        yield from ((data_class.value, rule.operator) for data_class in sorted(rule.classes))


@lru_cache(maxsize=32)
def _columns_of(pinned: Pinned, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The classified columns that globs of `schema.relation.column` (or `relation.column` in any schema) stand for."""
    placed = tuple(pattern if pattern.count(".") >= 2 else f"*.{pattern}" for pattern in patterns)
    return tuple(sorted({column for column in classified_columns(pinned.catalogue) if is_any_match(placed, column)}))
