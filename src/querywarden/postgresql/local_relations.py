"""Local relations: those that no catalogue has, made by the client's own open transaction or not read yet.

They are asked for in the client's own session, whose search path is the client's: everything in the query is qualified, operators and types
included, and nothing in it compares by a bare `=` or IN. The answer is one JSON text, the same columns as the catalogue queries give.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from querywarden.model.catalogue import NO_KEYS, Catalogue, Relation
from querywarden.postgresql.catalogue_classes import Comments, Explicit, Resolver
from querywarden.postgresql.catalogue_query import PolicyClasses, bare_relations, classified, generated_columns, said

RELATIONS_MAX = 1000
"""Relations that one query asks for; a statement has no more."""

_VIEWS = frozenset({"view", "materialized_view"})

_QUERY = """
WITH RECURSIVE up (id) AS (
  SELECT pg_catalog.unnest('{ids}'::pg_catalog.oid[])
  UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN up ON up.id OPERATOR(pg_catalog.=) i.inhrelid
)
SELECT pg_catalog.json_build_object(
  'relations', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(c.oid::pg_catalog.text, n.nspname, c.relname, c.relkind))
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.oid OPERATOR(pg_catalog.=) ANY (w.found)),
  'columns', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attrelid::pg_catalog.text, a.attnum::pg_catalog.text, a.attname,
      pg_catalog.format_type(CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN t.typbasetype ELSE t.oid END, NULL),
      pg_catalog.col_description(a.attrelid, a.attnum), a.attgenerated::pg_catalog.text))
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
    WHERE a.attrelid OPERATOR(pg_catalog.=) ANY (w.found) AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped),
  'parents', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(i.inhrelid::pg_catalog.text, i.inhparent::pg_catalog.text))
    FROM pg_catalog.pg_inherits i WHERE i.inhrelid OPERATOR(pg_catalog.=) ANY (w.found)),
  'generated', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(f.adrelid::pg_catalog.text, f.adnum::pg_catalog.text,
      CASE WHEN d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
        THEN d.refobjsubid::pg_catalog.text END,
      CASE WHEN d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
        THEN d.refobjid::pg_catalog.text END))
    FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_attribute a
      ON a.attrelid OPERATOR(pg_catalog.=) f.adrelid AND a.attnum OPERATOR(pg_catalog.=) f.adnum
      AND a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog."char"
    JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) f.oid
      AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid
      AND d.refobjsubid OPERATOR(pg_catalog.<>) f.adnum::pg_catalog.int4
    WHERE f.adrelid OPERATOR(pg_catalog.=) ANY (w.found))
)::pg_catalog.text
FROM (SELECT pg_catalog.array_agg(up.id) AS found FROM up) AS w
""".strip()


def local_relations_query(ids: Iterable[int]) -> str:
    """The query for relations by their ids: one row with one cell, a JSON text; ids that aren't relations' give nothing.

    Their ancestors are told too, since a table has the classes of those that it inherits from.

    Raises: ValueError for something that is no OID, or for too many.
    """
    wanted = sorted(set(ids))
    if len(wanted) > RELATIONS_MAX or any(not 0 < each < 1 << 32 for each in wanted):
        raise ValueError("not the ids of the relations of a statement")
    return _QUERY.replace("{ids}", "{" + ",".join(str(int(each)) for each in wanted) + "}")


def with_relations(catalogue: Catalogue, json_text: str, policy: PolicyClasses) -> Catalogue:
    """The catalogue with the relations of an answer added; those that it has already stay as they are.

    Columns have the classes that the policy, a comment, a parent in the catalogue or their name gives them. A view's are opaque, since its
    definition isn't known, where nothing is said of them.
    Raises: ValueError when the answer isn't of the query's form.
    """
    try:
        answer = json.loads(json_text)
        relations, columns, parents, generated = (_rows(answer[name]) for name in ("relations", "columns", "parents", "generated"))
        bare = bare_relations(relations, columns)
        comments: Comments = {(int(row[0]), int(row[1])): row[4] for row in columns if row[4]}
        inheritance = [(int(row[0]), int(row[1])) for row in parents]
        computed = generated_columns(generated)
        known = {each: catalogue.relations[each] for each in bare if each in catalogue.relations}
        if not all(child in bare and parent in bare for child, parent in inheritance):
            raise TypeError("a relation that is inherited from but not told of")
    except (TypeError, LookupError, RecursionError) as error:
        raise ValueError("the answer for local relations has another form") from error
    own = frozenset(each for _, functions in computed.values() for each in functions if _is_own(catalogue, each))
    resolver = Resolver({**bare, **known}, comments, {}, inheritance, own, computed, _Said(policy, known))
    classes = resolver.classes()
    found = {each.id: _relation(classified(each, classes, resolver, NO_KEYS)) for each in bare.values() if each.id not in known}
    return replace(catalogue, relations={**catalogue.relations, **found}) if found else catalogue


class _Said:
    """What is said expressly of a column: by the policy, or for a parent in the catalogue by what it is known to hold."""

    __slots__ = ("_known", "_policy")

    def __init__(self, policy: PolicyClasses, known: Mapping[int, Relation]) -> None:
        self._policy = policy
        self._known = {(each.schema, each.name, column.name): column for each in known.values() for column in each.columns.values()}

    def __call__(self, schema: str, relation: str, column: str) -> Explicit:
        found = self._known.get((schema, relation, column))
        if found is not None and found.classification is not None:
            return (found.classification,)
        if found is not None and found.is_declared_none:
            return (None,)
        return said(self._policy(schema, relation, column))


def _rows(found: Any) -> list[tuple[str, ...]]:
    """Rows of texts; no rows at all are null, and so is a missing cell."""
    rows = [tuple("" if cell is None else cell for cell in row) for row in found or ()]
    if not all(isinstance(cell, str) for row in rows for cell in row):
        raise TypeError("a cell that is no text")
    return rows


def _is_own(catalogue: Catalogue, function_id: int) -> bool:
    function = catalogue.functions.get(function_id)
    return function is None or function.is_own


def _relation(found: Relation) -> Relation:
    return replace(found, reads_classified=found.kind in _VIEWS)
