"""View columns: where the columns of a view come from, read from the node tree of its rule (pg_rewrite.ev_action).

A node tree is text: `{NODE :field value …}` and `(list)`, with a backslash before each special character of a name or string. What
isn't understood is reported as not known, never as harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ESCAPED = re.compile(r"\\.", re.DOTALL)
_BRACE = re.compile(r"[{}]")
_TARGETS = re.compile(r":targetList \(")
_RELATION_TABLE = re.compile(r":rtable \(")
_RTE_KIND = re.compile(r":rtekind (\d+)")
_RELATION = re.compile(r":relid (\d+)")
_FUNCTION = re.compile(r":(?:funcid|opfuncid|aggfnoid|winfnoid|hashfuncid|negfuncid) (\d+)")
_VARIABLE = re.compile(r"\{VAR :varno (-?\d+) :varattno (-?\d+) ")
_LEVELS_UP = re.compile(r":varlevelsup (\d+)")
_PLAIN_RELATION = "0"


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """A column of a view. `origin`: the relation and column that it is, as the server says, or None for an expression.

    `sources` are the columns that an expression is made of, None where they aren't known.
    """

    number: int
    origin: tuple[int, int] | None
    sources: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, slots=True)
class ViewTree:
    """The columns of a view, and the ids of the relations and functions that occur anywhere in it."""

    columns: tuple[ViewColumn, ...]
    relations: frozenset[int]
    functions: frozenset[int]


def parse_view(tree: str) -> ViewTree | None:
    """Read the node tree of a view's rule; None when it isn't one query, or isn't understood."""
    text = _ESCAPED.sub("", tree)
    if not text.startswith("({QUERY ") or not text.endswith("})") or len(list(_top_nodes(text, 1, len(text) - 1))) != 1:
        return None
    targets = _list_at_depth(text, _TARGETS)
    if targets is None:
        return None
    relation_table = _relation_table(text)
    columns = []
    for start, end in _top_nodes(text, *targets):
        column = _view_column(text[start:end], relation_table)
        if column is None:
            return None
        if column.number > 0:
            columns.append(column)
    relations = frozenset(int(found[1]) for found in _RELATION.finditer(text)) - {0}
    functions = frozenset(int(found[1]) for found in _FUNCTION.finditer(text)) - {0}
    return ViewTree(tuple(columns), relations, functions)


def _top_nodes(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The outermost `{…}` of a part of the text."""
    depth = 0
    begin = start
    for brace in _BRACE.finditer(text, start, end):
        if brace[0] == "{":
            if depth == 0:
                begin = brace.start()
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                yield begin, brace.end()
            if depth < 0:
                return


def _list_at_depth(text: str, field: re.Pattern[str]) -> tuple[int, int] | None:
    """The inside of a list that is a field of the outermost query."""
    for found in field.finditer(text):
        start = found.end()
        if text.count("{", 0, start) - text.count("}", 0, start) != 1:
            continue
        return start, max((end for _, end in _nodes_of_list(text, start)), default=start)
    return None


def _nodes_of_list(text: str, start: int) -> Iterator[tuple[int, int]]:
    """The nodes from `start` up to the parenthesis that ends their list."""
    position = start
    while text[position : position + 1] in ("{", " "):
        if text[position] == " ":
            position += 1
            continue
        _, end = next(_top_nodes(text, position, len(text)), (position, len(text)))
        yield position, end
        position = end


def _relation_table(text: str) -> tuple[int, ...]:
    """The relations of the outermost query's range table in order; 0 for entries of other kinds."""
    place = _list_at_depth(text, _RELATION_TABLE)
    if place is None:
        return ()
    relations = []
    for start, end in _top_nodes(text, *place):
        kind = _RTE_KIND.search(text, start, end)
        relation = _RELATION.search(text, start, end)
        is_plain = kind is not None and kind[1] == _PLAIN_RELATION and relation is not None
        relations.append(int(relation[1]) if is_plain and relation is not None else 0)
    return tuple(relations)


def _view_column(node: str, relation_table: tuple[int, ...]) -> ViewColumn | None:
    """A TARGETENTRY; one that isn't an output has the number 0."""
    if not node.startswith("{TARGETENTRY :expr "):
        return None
    # The fields of the entry itself come after its expression: the last of each name is its own.
    fields = {}
    for name in ("resno", "resorigtbl", "resorigcol"):
        values = re.findall(rf":{name} (-?\d+)", node)
        if not values:
            return None
        fields[name] = int(values[-1])
    if node.rstrip("}").endswith(":resjunk true"):
        return ViewColumn(0, None, ())
    origin = (fields["resorigtbl"], fields["resorigcol"]) if fields["resorigtbl"] else None
    return ViewColumn(fields["resno"], origin, _sources(node, relation_table))


def _sources(node: str, relation_table: tuple[int, ...]) -> tuple[tuple[int, int], ...] | None:
    if "{SUBLINK" in node or "{QUERY" in node or "{WINDOWFUNC" in node:
        return None
    sources = []
    variables = list(_VARIABLE.finditer(node))
    if len(variables) != node.count("{VAR "):
        return None
    levels = _LEVELS_UP.findall(node)
    if any(level != "0" for level in levels):
        return None
    for variable in variables:
        number, column = int(variable[1]), int(variable[2])
        if not 0 < number <= len(relation_table) or relation_table[number - 1] == 0:
            return None
        sources.append((relation_table[number - 1], column))
    return tuple(sources)
