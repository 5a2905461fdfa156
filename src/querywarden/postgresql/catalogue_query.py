"""The catalogue queries: what is asked of a server's system catalogues, and the catalogue that the answers make.

Every query works on PostgreSQL 15 to 18 for any role. The answers are rows of text. Functions that are the database's own are opaque.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from querywarden.model.catalogue import NO_KEYS, Catalogue, Classification, Column, DataClass, Keys, Relation
from querywarden.postgresql.catalogue_classes import Comments, Explicit, Generated, Place, Resolver
from querywarden.postgresql.catalogue_functions import (
    BUILT_IN_QUERY,
    FUNCTIONS_QUERY,
    MEMBERS_GENERATION,
    OPERATORS_QUERY,
    functions_of,
    operators_of,
)
from querywarden.postgresql.catalogue_keys import KEYS_GENERATION, KEYS_QUERY, keys_of
from querywarden.postgresql.view_columns import ViewTree, parse_view

Row = Sequence[bytes | None]

# Objects from OID 16384 on were made after initdb: everything that didn't come with the server.

_GENERATION = """
SELECT pg_catalog.concat_ws(':',
  (SELECT pg_catalog.concat_ws('-', count(*), max(oid::int8), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_(toast|temp)'),
  (SELECT pg_catalog.concat_ws('-', count(*), max(oid::int8), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_class c
    WHERE oid >= 16384 AND relpersistence <> 't' AND c.relkind IN ('r', 'v', 'm', 'p', 'f')),
  (SELECT pg_catalog.concat_ws('-', count(*), sum(now.x - pg_catalog.age(a.xmin))) FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE a.attrelid >= 16384 AND a.attnum > 0 AND c.relpersistence <> 't' AND c.relkind IN ('r', 'v', 'm', 'p', 'f')),
  (SELECT pg_catalog.concat_ws('-', count(*), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_description
    WHERE classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objoid >= 16384 AND objsubid > 0),
  (SELECT pg_catalog.concat_ws('-', count(*), max(oid::int8), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_rewrite
    WHERE oid >= 16384),
  (SELECT pg_catalog.concat_ws('-', count(*), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_inherits),
  (SELECT pg_catalog.concat_ws('-', count(*), max(oid::int8), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_proc
    WHERE oid >= 16384),
  (SELECT pg_catalog.concat_ws('-', count(*), max(oid::int8), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_operator
    WHERE oid >= 16384),
  (SELECT pg_catalog.concat_ws('-', count(*), max(oid::int8), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_cast
    WHERE oid >= 16384),
  (SELECT pg_catalog.concat_ws('-', count(*), max(oid::int8), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_extension),
  (SELECT pg_catalog.concat_ws('-', count(*), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_type
    WHERE oid >= 16384 AND typrelid = 0 AND typelem = 0),
  (SELECT pg_catalog.concat_ws('-', count(*), max(oid::int8), sum(now.x - pg_catalog.age(xmin))) FROM pg_catalog.pg_policy),
  {members},
  {keys})
FROM (SELECT pg_catalog.age('3'::pg_catalog.xid)::int8 AS x) AS now
""".strip()
GENERATION_QUERY = _GENERATION.format(members=MEMBERS_GENERATION, keys=KEYS_GENERATION)
"""One row with one text that changes with every change of the schema that matters to a catalogue, temporary relations aside.

The difference of two ages is a transaction id as a number, without the detour by its text.
"""

_RELATIONS = """
SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname !~ '^pg_toast'
""".strip()

_COLUMNS = """
SELECT a.attrelid, a.attnum, a.attname,
  pg_catalog.format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, NULL),
  CASE WHEN c.oid >= 16384 THEN pg_catalog.col_description(c.oid, a.attnum) END, a.attgenerated
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname !~ '^pg_toast'
""".strip()

_VIEWS = """
SELECT r.ev_class, r.ev_action::text FROM pg_catalog.pg_rewrite r
WHERE r.oid >= 16384 AND r.rulename = '_RETURN' AND r.ev_type = '1'
""".strip()

_INHERITANCE = "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits"

_CASTS = """
SELECT t.typname, c.castfunc, c.castcontext FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_type t ON t.oid = c.casttarget
WHERE c.oid >= 16384 AND c.castfunc <> 0
""".strip()

_NOTIFYING_RULES = """
SELECT 1 FROM pg_catalog.pg_rewrite WHERE oid >= 16384 AND ev_action::text ~ ':funcid 3036 |[{]NOTIFYSTMT ' LIMIT 1
""".strip()

# What a generated column is computed from: columns of its own table, and functions, each by its dependency.
_GENERATED = """
SELECT a.attrelid, a.attnum,
  CASE WHEN d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass THEN d.refobjsubid END,
  CASE WHEN d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass THEN d.refobjid END
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid
WHERE a.attrelid >= 16384 AND a.attgenerated <> ''
  AND ((d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid AND d.refobjsubid NOT IN (0, a.attnum))
    OR (d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid >= 16384))
""".strip()

CATALOGUE_QUERIES: tuple[str, ...] = (
    _RELATIONS, _COLUMNS, _VIEWS, _INHERITANCE, FUNCTIONS_QUERY, OPERATORS_QUERY, _CASTS, _NOTIFYING_RULES, _GENERATED, KEYS_QUERY,
    BUILT_IN_QUERY,
)  # fmt: skip
"""The queries whose answers, in this order, `build_catalogue` takes; run them in one repeatable read transaction."""

_KINDS = {"r": "table", "v": "view", "m": "materialized_view", "p": "partitioned_table", "f": "foreign_table"}


class PolicyClass:
    """What the policy says of a column: a class, or with None that it has none."""

    __slots__ = ("data_class",)

    def __init__(self, data_class: DataClass | None) -> None:
        self.data_class = data_class


PolicyClasses = Callable[[str, str, str], PolicyClass | None]
"""What the policy says of a column (schema, relation, column); None where it says nothing."""


def _silent(schema: str, relation: str, column: str) -> PolicyClass | None:
    """A policy that says nothing of any column."""
    return None


def _distrust(function: str) -> bool:
    return False


def build_catalogue(
    generation: str,
    results: Sequence[Sequence[Row]],
    policy: PolicyClasses = _silent,
    is_trusted: Callable[[str], bool] = _distrust,
) -> Catalogue:
    """The catalogue that the answers to CATALOGUE_QUERIES make.

    Args: `policy` is asked for each column; `is_trusted` tells of a function's name whether the policy says that it computes
    from its arguments alone.
    Raises: ValueError when there is another number of answers than queries.
    """
    if len(results) != len(CATALOGUE_QUERIES):
        raise ValueError("a catalogue needs one answer for each of its queries")
    relations, columns, views, inheritance, functions, operators, casts, rules, generated, keys = _decoded(results[:-1])
    [(built_in_functions, built_in_operators)] = results[-1]
    known_functions, own = functions_of(built_in_functions or b"", functions, is_trusted)
    known_operators = operators_of(built_in_operators or b"", operators, own)
    comments: Comments = {(int(row[0]), int(row[1])): row[4] for row in columns if row[4]}
    trees: dict[int, ViewTree | None] = {int(row[0]): parse_view(row[1]) for row in views}
    bare = _bare_relations(relations, columns)
    children = [(int(row[0]), int(row[1])) for row in inheritance]
    resolver = Resolver(
        bare,
        comments,
        trees,
        children,
        own,
        _generated_columns(generated),
        lambda schema, relation, column: _said(policy(schema, relation, column)),
    )
    classes = resolver.classes()
    found_keys = keys_of(bare, keys, children)
    return Catalogue(
        generation=generation,
        relations={
            relation.id: _classified(relation, classes, resolver, found_keys.get(relation.id, NO_KEYS)) for relation in bare.values()
        },
        opaque_functions=frozenset(known_functions[each].name for each in own),
        volatile_functions=frozenset(known_functions[each].name for each in own if known_functions[each].is_volatile),
        opaque_operators=frozenset(row[1] for row in operators if int(row[2]) in own),
        opaque_casts=frozenset(row[0] for row in casts if int(row[1]) in own),
        has_silent_casts=any(int(row[1]) in own and row[2] != "e" for row in casts),
        functions=known_functions,
        operators=known_operators,
        notifying_functions=bool(rules) or any(row[5] == "t" for row in functions),
    )


def _decoded(results: Sequence[Sequence[Row]]) -> list[list[tuple[str, ...]]]:
    return [[tuple("" if cell is None else cell.decode("utf-8", "replace") for cell in row) for row in rows] for rows in results]


def _generated_columns(rows: Sequence[tuple[str, ...]]) -> dict[Place, Generated]:
    """What each generated column is computed from: rows of its relation, its number, and the number of a column or the id of a function."""
    found: dict[Place, Generated] = {}
    for relation, number, source, function in rows:
        columns, functions = found.get((int(relation), int(number)), (frozenset(), frozenset()))
        if source:
            columns |= {int(source)}
        if function:
            functions |= {int(function)}
        found[int(relation), int(number)] = (columns, functions)
    return found


def _said(answer: PolicyClass | None) -> Explicit:
    """What the policy says of a column, as the resolver of classes takes it."""
    if answer is None:
        return None
    return (None,) if answer.data_class is None else (Classification(answer.data_class, "policy"),)


def _bare_relations(relations: Sequence[tuple[str, ...]], columns: Sequence[tuple[str, ...]]) -> dict[int, Relation]:
    """Relations without classes, by id, from the rows of the queries for relations and columns."""
    by_relation: dict[int, dict[int, Column]] = {}
    for relation, number, name, type_name, _, generated in columns:
        by_relation.setdefault(int(relation), {})[int(number)] = Column(int(number), name, type_name, is_generated=generated != "")
    return {
        int(oid): Relation(int(oid), schema, name, _KINDS.get(kind, kind), by_relation.get(int(oid), {}))
        for oid, schema, name, kind in relations
    }


def _classified(relation: Relation, classes: Mapping[Place, Classification], resolver: Resolver, keys: Keys) -> Relation:
    """A relation with the classes that a resolver has found."""
    columns = {
        number: Column(
            number,
            column.name,
            column.type_name,
            classes.get((relation.id, number)),
            is_declared_none=resolver.is_declared_none((relation.id, number)),
            is_generated=column.is_generated,
        )
        for number, column in relation.columns.items()
    }
    reads_classified = resolver.reads_classified(relation.id)
    return Relation(relation.id, relation.schema, relation.name, relation.kind, columns, reads_classified, keys)
