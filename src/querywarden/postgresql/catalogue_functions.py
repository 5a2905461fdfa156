"""Functions and operators of a catalogue: those that came with the server, and those of the database's own.

Everything with an OID below 16384 was made by initdb. Those rows are asked for as one cell, which the server writes the same each time, so
that the objects made of it are shared by all catalogues of servers that agree in it. IMMUTABLE functions of extensions (of PostGIS, say),
and all of some well-known ones, compute from their arguments alone; any other function made later is the database's own.
Spec: PostgreSQL 18, "System Catalogs" (pg_proc, pg_operator, pg_depend).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from querywarden.model.catalogue import Function, OperatorName, SqlBody

BUILT_IN_QUERY = """
SELECT
  (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(E'\\t', p.oid, n.nspname, p.prokind, p.provolatile, p.proname), E'\\n' ORDER BY p.oid)
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid < 16384),
  (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(E'\\t', o.oid, o.oprcode::pg_catalog.oid, o.oprname), E'\\n' ORDER BY o.oid)
    FROM pg_catalog.pg_operator o WHERE o.oid < 16384)
""".strip()
"""One row: the server's own functions (id, schema, kind, volatility, name) and operators (id, function, name), a line each."""

_EXTENSION = """
(SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_catalog.{catalogue}'::pg_catalog.regclass AND d.objid = {id} AND d.deptype = 'e'
    AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass LIMIT 1)
""".strip()

# Language 14 is SQL. The pattern ":funcid 3036 |[{]NOTIFYSTMT " finds node trees that call pg_notify or hold a NOTIFY.
_FUNCTIONS = """
SELECT p.oid, p.proname, p.prokind, p.provolatile,
  {extension},
  p.prosrc ~* CASE WHEN l.lanname IN ('c', 'internal') THEN 'change_notif' ELSE 'notify' END
  OR coalesce(p.prosqlbody::text ~ ':funcid 3036 |[{{]NOTIFYSTMT ', false),
  n.nspname, b.has_body, CASE WHEN b.has_body THEN p.prosqlbody::text END,
  CASE WHEN b.has_body AND p.prosqlbody IS NULL THEN p.prosrc END,
  p.proargtypes::text, pg_catalog.to_json(p.proargnames), pg_catalog.array_to_string(p.proargmodes, ''), p.proretset
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
CROSS JOIN LATERAL (SELECT p.prolang = 14 AND p.prokind IN ('f', 'p') AND NOT p.prosecdef AND p.proconfig IS NULL AS has_body) b
WHERE p.oid >= 16384
""".strip()
FUNCTIONS_QUERY = _FUNCTIONS.format(extension=_EXTENSION.format(catalogue="pg_proc", id="p.oid"))
"""The functions made since initdb. The first six columns: id, name, kind, volatility, extension, whether it seems to notify; the others
are its schema, whether it has a body that can be followed, the body as a tree or a text, and its arguments."""

_OPERATORS = """
SELECT o.oid, o.oprname, o.oprcode::pg_catalog.oid,
  {extension}
FROM pg_catalog.pg_operator o WHERE o.oid >= 16384
""".strip()
OPERATORS_QUERY = _OPERATORS.format(extension=_EXTENSION.format(catalogue="pg_operator", id="o.oid"))
"""The operators made since initdb: id, name, function, extension."""

MEMBERS_GENERATION = """
  (SELECT pg_catalog.concat_ws('-', count(*), sum(now.x - pg_catalog.age(d.xmin))) FROM pg_catalog.pg_depend d
    WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
    AND d.classid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass))
""".strip()
"""What changes with the members of extensions; functions and operators have their own places in the generation."""

_COMPUTING_EXTENSIONS = frozenset(
    {
        "btree_gin", "btree_gist", "citext", "cube", "earthdistance", "fuzzystrmatch", "hstore", "intarray", "isn", "ltree", "pgcrypto",
        "pg_trgm", "seg", "unaccent", "uuid-ossp", "vector",
    }
)  # fmt: skip
"""Extensions none of whose functions reads a relation, though some aren't IMMUTABLE (they draw random bytes, say)."""

_INPUT_MODES = frozenset("ibv")
"""IN, INOUT and VARIADIC: the arguments that a call gives."""


def functions_of(
    built_in: bytes, rows: Sequence[tuple[str, ...]], is_trusted: Callable[[str], bool]
) -> tuple[dict[int, Function], frozenset[int]]:
    """All functions by id, and the ids of the database's own.

    Args: `built_in` and `rows` are the answers' first cell of BUILT_IN_QUERY and the rows of FUNCTIONS_QUERY.
    Raises: ValueError when they aren't of that form.
    """
    found = dict(_built_in_functions(built_in))
    own = set()
    for row in rows:
        function = _function(row, is_own=not _is_pure(row) and not is_trusted(row[1]))
        found[function.id] = function
        if function.is_own:
            own.add(function.id)
    return found, frozenset(own)


def operators_of(built_in: bytes, rows: Sequence[tuple[str, ...]], own_functions: frozenset[int]) -> dict[int, OperatorName]:
    """All operators by id. Those of well-known extensions mean by their names what the server's own do: the = of citext compares.

    Args: as for `functions_of`, with the answers' second cell and the rows of OPERATORS_QUERY.
    Raises: ValueError when they aren't of that form.
    """
    found = dict(_built_in_operators(built_in))
    for oid, name, function, extension in rows:
        is_built_in = extension in _COMPUTING_EXTENSIONS and int(function) not in own_functions
        found[int(oid)] = OperatorName(name, int(function), is_built_in)
    return found


def _is_pure(row: tuple[str, ...]) -> bool:
    kind, volatility, extension = row[2], row[3], row[4]
    return kind != "p" and (extension in _COMPUTING_EXTENSIONS or (extension != "" and volatility == "i"))


def _function(row: tuple[str, ...], *, is_own: bool) -> Function:
    oid, name, kind, volatility, _, _, schema, has_body, tree, text, types, names, modes, returns_set = row
    body = None
    # What isn't valid in UTF-8 was replaced, so that it isn't what the server runs.
    if is_own and has_body == "t" and "\N{REPLACEMENT CHARACTER}" not in tree + text + names:
        argument_types = tuple(int(each) for each in types.split())
        argument_names = _argument_names(names, modes, len(argument_types))
        # An empty text is a body too: one that does nothing. Only the tree's absence says which it is.
        body = SqlBody(tree or None, None if tree else text, argument_types, argument_names, returns_set == "t")
    return Function(int(oid), schema, name, kind, volatility, is_own, body)


def _argument_names(names: str, modes: str, count: int) -> tuple[str, ...]:
    """The names of the arguments that a call gives, "" for those without one."""
    if not names:
        return ("",) * count
    given = [name or "" for name in json.loads(names)]
    if modes:
        given = [name for name, mode in zip(given, modes, strict=True) if mode in _INPUT_MODES]
    if len(given) != count:
        raise ValueError("a function has another number of argument names than of arguments")
    return tuple(given)


def _lines(cell: bytes) -> list[str]:
    return cell.decode().split("\n") if cell else []


# Servers of a few versions, and what is left of those that were upgraded meanwhile.
@lru_cache(maxsize=8)
def _built_in_functions(cell: bytes) -> Mapping[int, Function]:
    found = {}
    for line in _lines(cell):
        oid, schema, kind, volatility, name = line.split("\t")
        found[int(oid)] = Function(int(oid), schema, name, kind, volatility)
    return found


@lru_cache(maxsize=8)
def _built_in_operators(cell: bytes) -> Mapping[int, OperatorName]:
    found = {}
    for line in _lines(cell):
        oid, function, name = line.split("\t")
        found[int(oid)] = OperatorName(name, int(function), is_built_in=True)
    return found
