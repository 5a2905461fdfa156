"""Matching columns: whether a part of a statement touches columns that a rule names.

A statement names columns by their last part, so that each may be one of any relation in it that has such a column; a star, a whole row or
a relation exported, emptied or altered as a whole stands for all of them. A deny or hold matches if a named column may be meant; an allow
only if every column that the statement names is, in every relation that it may be of, and nothing stands for others.

Where the server has told the statement's data flow, a star is no riddle: the columns behind it, and those behind a view, are known. What
is named counts beside them, since a column that is only counted is no part of the flow.
"""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.model.catalogue import Catalogue
from querywarden.model.data_flow import DataFlow
from querywarden.model.facts import Hazard, StatementFacts, Verb
from querywarden.model.glob import is_match, split_name
from querywarden.model.resource import RelationName

_WHOLE = frozenset({Verb.COPY_IN, Verb.COPY_OUT, Verb.CREATE, Verb.ALTER, Verb.DROP, Verb.TRUNCATE, Verb.COMMENT})
"""Statements that mean all columns of a relation where they name none."""

_WHOLE_ROWS = frozenset({Verb.DELETE, Verb.TRUNCATE, Verb.DROP, Verb.ALTER, Verb.CREATE, Verb.COMMENT, Verb.CALL, Verb.DO})
"""Statements that no permission for single columns covers."""

_TABLES = frozenset({"table", "partitioned_table"})

_Place = tuple[str | None, str, frozenset[str] | None]
"""A relation that a name may mean: schema (None: any), name, and columns (None: not known)."""


def matches_columns(patterns: tuple[str, ...], facts: StatementFacts, catalogue: Catalogue, needs_all: bool) -> bool:
    """Whether the columns that a part of a statement touches are matched by globs: all of them, or any."""
    places = [place for name in facts.reads | facts.writes for place in _places(name, catalogue)]
    named = facts.column_names | facts.attribute_names
    flowing = None if facts.flow is None else _columns_in(facts.flow, catalogue)
    if needs_all:
        return _all_match(patterns, facts, places, named, flowing)
    if flowing is not None and any(_is_about(pattern, column) for pattern in patterns for column in flowing.columns):
        return True
    is_whole = (facts.has_star or (facts.verb in _WHOLE and not named)) if flowing is None else flowing.has_unknown
    return any(_may_touch(pattern, place, None if is_whole else named) for pattern in patterns for place in places)


@dataclass(frozen=True, slots=True)
class _Flowing:
    """The columns in a data flow: schema, relation and name of each.

    `has_unknown`: there are some that the catalogue doesn't have. `is_of_tables`: all relations in it are tables, whose columns nothing but
    themselves stands behind.
    """

    columns: frozenset[tuple[str, str, str]]
    has_unknown: bool
    is_of_tables: bool


def _columns_in(flow: DataFlow, catalogue: Catalogue) -> _Flowing:
    values = [*(output.value for output in flow.outputs or ()), *(assignment.value for assignment in flow.assignments)]
    if flow.stored_arguments is not None:
        values.append(flow.stored_arguments)
    places = {assignment.target for assignment in flow.assignments}.union(*(value.sources for value in values))
    places |= {place for condition in flow.conditions for place in condition.sources}
    columns, has_unknown = set(), False
    for relation_id, number in places:
        relation = catalogue.relations.get(relation_id)
        if relation is None or (number > 0 and number not in relation.columns):
            has_unknown = True
        elif number >= 0:
            found = relation.columns.values() if number == 0 else (relation.columns[number],)
            columns |= {(relation.schema, relation.name, column.name) for column in found}
    kinds = {relation.kind if relation else "" for relation in map(catalogue.relations.get, flow.relations)}
    return _Flowing(frozenset(columns), has_unknown, kinds <= _TABLES)


def _is_about(pattern: str, column: tuple[str, str, str]) -> bool:
    rest, wanted = split_name(pattern)
    schema, relation, name = column
    return is_match(wanted, name) and _is_relation(rest, schema, relation, if_unplaced=False)


def _places(name: RelationName, catalogue: Catalogue) -> list[_Place]:
    found: list[_Place] = [
        (relation.schema, relation.name, frozenset(column.name for column in relation.columns.values()))
        for relation in catalogue.candidates(name)
    ]
    # A name that the catalogue doesn't have may be anything: a relation made a moment ago, or none at all.
    return found or [(name.schema, name.name, None)]


def _may_touch(pattern: str, place: _Place, named: frozenset[str] | None) -> bool:
    """Whether a pattern may be about a column of a relation among these names (None: all)."""
    rest, wanted = split_name(pattern)
    schema, relation, columns = place
    if not _is_relation(rest, schema, relation, if_unplaced=True):
        return False
    known = named if columns is None else columns if named is None else columns & named
    return known is None or any(is_match(wanted, column) for column in known)


def _all_match(
    patterns: tuple[str, ...], facts: StatementFacts, places: list[_Place], named: frozenset[str], flowing: _Flowing | None
) -> bool:
    if facts.verb in _WHOLE_ROWS or Hazard.MERGE_DELETE in facts.hazards or not places:
        return False
    if facts.has_star or not named:
        if flowing is None or flowing.has_unknown or not flowing.is_of_tables or not flowing.columns:
            return False
        if not all(any(_is_about(pattern, column) for pattern in patterns) for column in flowing.columns):
            return False
    if any(not any(_is_relation(split_name(pattern)[0], *place[:2], if_unplaced=False) for pattern in patterns) for place in places):
        return False
    return all(_is_covered(patterns, name, places) for name in named)


def _is_covered(patterns: tuple[str, ...], name: str, places: list[_Place]) -> bool:
    """Whether a column of this name is matched in each relation that may have it; a name that none has may hide anything."""
    owners = [place for place in places if place[2] is None or name in place[2]]
    return bool(owners) and all(
        any(
            is_match(split_name(pattern)[1], name) and _is_relation(split_name(pattern)[0], schema, relation, if_unplaced=False)
            for pattern in patterns
        )
        for schema, relation, _ in owners
    )


def _is_relation(pattern: str | None, schema: str | None, relation: str, if_unplaced: bool) -> bool:
    wanted_schema, wanted = split_name(pattern or "*")
    if not is_match(wanted, relation):
        return False
    if wanted_schema is None or wanted_schema == "*":
        return True
    return if_unplaced if schema is None else is_match(wanted_schema, schema)
