"""The keys of a catalogue's relations: what identifies a row, and which changes go on to other relations.

Spec: PostgreSQL 18, "System Catalogs" (pg_index, pg_constraint, pg_rewrite); "Inheritance": a parent's keys don't hold for its children.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from querywarden.model.catalogue import NO_KEYS, Keys, Relation

KEYS_QUERY = """
SELECT CASE WHEN i.indisunique AND i.indexprs IS NULL THEN 'unique' ELSE 'index' END, i.indrelid, i.indkey::text, i.indnkeyatts::text
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = c.relam
JOIN pg_catalog.pg_class r ON r.oid = i.indrelid AND r.relkind IN ('r', 'p', 'm')
WHERE i.indrelid >= 16384 AND i.indisvalid AND i.indislive AND i.indpred IS NULL AND m.amname IN ('btree', 'hash')
UNION ALL
SELECT 'reference', confrelid, pg_catalog.array_to_string(confkey, ' '), confdeltype::text || confupdtype::text
FROM pg_catalog.pg_constraint
WHERE contype = 'f' AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))
UNION ALL
SELECT 'rule', ev_class, '', '' FROM pg_catalog.pg_rewrite
WHERE oid >= 16384 AND ev_type IN ('2', '4') AND ev_enabled <> 'D'
""".strip()
"""Four columns: what it is, of which relation, the numbers of columns, and for indexes how many of those are no more than included,
for references what a DELETE and an UPDATE do."""

KEYS_GENERATION = """
  (SELECT pg_catalog.concat_ws('-', count(*), max(i.indexrelid::int8), sum(now.x - pg_catalog.age(i.xmin))) FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
    WHERE i.indrelid >= 16384 AND c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'm')),
  (SELECT pg_catalog.concat_ws('-', count(*), max(k.oid::int8), sum(now.x - pg_catalog.age(k.xmin))) FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid WHERE k.contype = 'f' AND c.relpersistence <> 't')
""".strip()
"""What changes with the answer of `KEYS_QUERY`; rules have their own place in the generation."""

_GOING_ON = frozenset("cnd")
"""CASCADE, SET NULL, SET DEFAULT."""


class _Found:
    """What was found of one relation."""

    __slots__ = ("cascading", "deletes", "has_rules", "indexed", "unique")

    def __init__(self) -> None:
        self.unique: set[frozenset[str]] = set()
        self.indexed: set[str] = set()
        self.cascading: set[str] = set()
        self.deletes = False
        self.has_rules = False


def keys_of(relations: Mapping[int, Relation], rows: Sequence[tuple[str, ...]], inheritance: Sequence[tuple[int, int]]) -> dict[int, Keys]:
    """The keys of each relation that has any, from the rows of `KEYS_QUERY` and pairs of child and parent."""
    found: dict[int, _Found] = {}
    for kind, oid, numbers, detail in rows:
        relation = relations.get(int(oid))
        if relation is not None:
            _note(found.setdefault(relation.id, _Found()), relation, kind, [int(number) for number in numbers.split()], detail)
    parents: dict[int, list[int]] = {}
    for child, parent in inheritance:
        parents.setdefault(child, []).append(parent)
    for relation_id, one in list(found.items()):
        if one.deletes or one.cascading:
            for ancestor in _ancestors(relation_id, parents):
                above = found.setdefault(ancestor, _Found())
                above.deletes |= one.deletes
                above.cascading |= one.cascading
    has_children = {parent for _, parent in inheritance}
    keys = {}
    for relation in relations.values():
        made = _keys(relation, found.get(relation.id, _Found()), relation.id in has_children)
        if made != NO_KEYS:
            keys[relation.id] = made
    return keys


def _note(found: _Found, relation: Relation, kind: str, numbers: list[int], detail: str) -> None:
    if kind == "rule":
        found.has_rules = True
        return
    names = [relation.columns[number].name if number in relation.columns else None for number in numbers]
    if kind == "reference":
        found.deletes |= detail[:1] in _GOING_ON
        if detail[1:2] in _GOING_ON:
            found.cascading.update(name for name in names if name is not None)
        return
    if names and names[0] is not None:
        found.indexed.add(names[0])
    columns = names[: int(detail)]
    if kind == "unique" and None not in columns:
        found.unique.add(frozenset(name for name in columns if name is not None))


def _keys(relation: Relation, found: _Found, has_children: bool) -> Keys:
    is_sure = not found.has_rules and (relation.kind == "partitioned_table" or (relation.kind == "table" and not has_children))
    return Keys(
        unique=tuple(sorted(found.unique, key=sorted)) if is_sure else (),
        indexed=frozenset(found.indexed),
        delete_cascades=found.deletes,
        cascading=frozenset(found.cascading),
        has_row_ids=is_sure and relation.kind == "table" and relation.id >= 16384,
    )


def _ancestors(relation: int, parents: Mapping[int, list[int]]) -> Iterator[int]:
    seen = {relation}
    pending = [relation]
    while pending:
        for parent in parents.get(pending.pop(), ()):
            if parent not in seen:
                seen.add(parent)
                pending.append(parent)
                yield parent
