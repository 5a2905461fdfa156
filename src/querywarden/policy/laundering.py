"""Laundering: a statement that would store a classified value where nothing masks it.

Where the server has told the statement's data flow, `lineage` decides. Elsewhere proof is by names alone and errs towards yes: an
expression is clean when it holds no column, or when each of its columns is a known one of the relations touched, and is unclassified
(or of the target's own class) in every one that has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from querywarden.model.catalogue import Catalogue, Column, DataClass, Relation
from querywarden.model.decision import Reveal
from querywarden.model.evidence import Probe
from querywarden.model.facts import Expression, StatementFacts, Verb
from querywarden.model.functions import stores_argument
from querywarden.model.resource import RelationName
from querywarden.policy.lineage import CASE_FOLDING, PARTLY_SHOWN, Lineage

SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema"})
_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})

_ROW_VERBS = frozenset({Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE})
_ASSIGNING = (_ROW_VERBS - {Verb.DELETE}) | {Verb.ALTER}
"""Statements whose assignments store values; ALTER TABLE stores what USING, DEFAULT and GENERATED compute, and renames columns."""
UNCUT_TEXT = 4096
"""Characters of normalised text that are sure to be all of it."""

_NO_COPY = frozenset({"view", "temporary_view", "function", "procedure"})
"""What CREATE makes of queries that is no copy: a view's columns are followed to their origins, and so is what a function returns."""

_QUERIES = _ROW_VERBS | {Verb.SELECT, Verb.COPY_OUT, Verb.PREPARE, Verb.EXECUTE, Verb.DECLARE, Verb.FETCH, Verb.EXPLAIN}
"""Statements that are a query and nothing besides, so that their data flow is all that they do."""


def classified_columns(catalogue: Catalogue) -> Iterator[str]:
    """The full names of all classified columns, `schema.relation.column`."""
    for relation in catalogue.relations.values():
        for column in relation.columns.values():
            if column.classification is not None:
                yield f"{relation.schema}.{relation.name}.{column.name}"


class Flow:
    """What a whole statement touches, and which of its columns the principal may not see; values flow between its parts by CTEs."""

    def __init__(self, root: StatementFacts, catalogue: Catalogue, reveal: Reveal, is_blind: bool = False) -> None:
        """Args: `is_blind`: the catalogue may not be what the statement meets, so that a name proves nothing."""
        self.root = root
        self._catalogue = catalogue
        self._reveal = reveal
        self.is_blind = is_blind
        self.lineage = None if root.flow is None else Lineage(root.flow, catalogue, reveal, is_blind)
        """What the server has told; None where names decide."""

    @cached_property
    def is_tainted(self) -> bool:
        """Whether values of columns that the principal may not see can take part, through opaque code included."""
        if self._reveal.everything or not self._catalogue.has_classified:
            return False
        return self.is_blind or self._is_opaque or any(self._has_hidden(relation) for relation in self._touched)

    def stores_classified(self, facts: StatementFacts) -> bool:
        """Whether a part of the statement may store a classified value, hidden from the principal, where it would not be masked."""
        if self.lineage is not None and self.root.verb in _QUERIES:
            return (facts is self.root or facts.verb in _ASSIGNING) and self.lineage.assigns_classified
        if self.lineage is not None and facts is self.root and facts.verb is Verb.CREATE:
            copies = facts.object_kind not in _NO_COPY and self.lineage.copies_classified
            return copies or self.lineage.assigns_classified
        if any(stores_argument(function.name) for function in facts.functions):
            return self.is_tainted
        if facts.verb is Verb.COMMENT:
            return not self._reveal.everything and self._relabels(facts)
        if facts.verb is Verb.CREATE:
            return self.is_tainted and (self._creates_copy(facts) or (bool(facts.assignments) and self._assigns_classified(facts)))
        return facts.verb in _ASSIGNING and self.is_tainted and self._assigns_classified(facts)

    @cached_property
    def tells_classified(self) -> bool:
        """Whether a condition, an order or a computation tells about a column that the principal may not see, by more than equality."""
        if self._reveal.everything:
            return False
        if self.lineage is not None:
            return self.lineage.tells_classified
        if self._catalogue.has_classified and any(self._calls_as_attribute(part) for part in self._parts):
            return True
        seen: set[Expression] = set()
        for part in self._parts:
            seen.update(part.probes)
        return any(self._is_telling(probe) for probe in seen)

    def copies_classified(self, facts: StatementFacts) -> bool:
        """Whether a COPY to the client may carry what the principal may not see, in a form that nothing can mask on its way."""
        if self.lineage is None:
            return self.is_tainted
        return self.lineage.returns_hidden and (facts.copy is None or not facts.copy.is_rewritable)

    @cached_property
    def groups_classified(self) -> bool:
        """Whether rows are grouped by a column that the principal may not see, where that is known."""
        return self.lineage is not None and self.lineage.groups_classified

    def _relabels(self, facts: StatementFacts) -> bool:
        """Whether a label of a hidden column is taken away, or another one given: what is masked would be shown by it."""
        relations = [relation for name in facts.writes for relation in self._catalogue.candidates(name)]
        hidden = [column for relation in relations for column in relation.columns.values() if self._is_hidden(relation, column)]
        commented = {name: each.is_opaque for each in facts.assignments or () for name in each.columns}
        return any(_has_label(column) or commented[column.name] for column in hidden if column.name in commented)

    def _calls_as_attribute(self, facts: StatementFacts) -> bool:
        """Whether `t.f` may call a function of the database's own; what its result decides is not told apart from what it returns."""
        names = facts.attribute_names & self._catalogue.opaque_functions
        return bool(names) and not names <= {column.name for relation in self._touched for column in relation.columns.values()}

    def _is_telling(self, probe: Expression) -> bool:
        relations, position, function, is_optional = None, None, None, False
        if isinstance(probe, Probe):
            relations, position, function, is_optional = probe.relations, probe.position, probe.function, probe.is_optional
        if function is not None:
            return self._catalogue.has_classified and function in self._catalogue.opaque_functions
        found = self._touched if relations is None else tuple(r for name in relations for r in self._catalogue.candidates(name))
        if self.is_blind and self._catalogue.has_classified and not (found and all(r.schema in SYSTEM_SCHEMAS for r in found)):
            return True
        hidden = [relation for relation in found if self._has_hidden(relation)]
        if not hidden or probe.is_opaque:
            return bool(hidden)
        if position is not None:
            return any(self._is_hidden_at(relation, position) for relation in hidden)
        are_known = all(self._catalogue.knows(name) for name in (self.root.reads | self.root.writes if relations is None else relations))
        return any(self._tells_name(name, found, is_harmless=is_optional or not are_known) for name in probe.columns)

    def _tells_name(self, name: str, relations: tuple[Relation, ...], *, is_harmless: bool) -> bool:
        """Whether a column of this name is hidden; one that no relation has may be a function of the row, or of what isn't known."""
        if name in _SYSTEM_COLUMNS:
            return False
        found = [(relation, column) for relation in relations for column in relation.columns.values() if column.name == name]
        return any(self._is_hidden(relation, column) for relation, column in found) if found else not is_harmless

    def _is_hidden_at(self, relation: Relation, position: int) -> bool:
        columns = [relation.columns[number] for number in sorted(relation.columns)]
        return position > len(columns) or self._is_hidden(relation, columns[position - 1])

    @cached_property
    def _touched(self) -> tuple[Relation, ...]:
        return tuple(self._catalogue.touched(self.root))

    @cached_property
    def _is_opaque(self) -> bool:
        return self._catalogue.is_opaque(self.root)

    @cached_property
    def _parts(self) -> tuple[StatementFacts, ...]:
        return tuple(parts_within(self.root))

    @cached_property
    def _from_is_plain(self) -> bool:
        return all(part.from_is_plain for part in self._parts)

    @cached_property
    def _row_names(self) -> frozenset[str]:
        """The names that stand for whole rows, or that a column's name can't be told from."""
        relations = self.root.reads | self.root.writes
        return frozenset({alias for part in self._parts for alias in part.aliases} | {name.name for name in relations})

    @cached_property
    def _folds_only(self) -> bool:
        return all(function.name in CASE_FOLDING for function in self.root.functions) and self.root.operators <= {"="}

    @cached_property
    def _has_unknown_source(self) -> bool:
        return any(not self._catalogue.knows(name) for name in self.root.reads)

    @cached_property
    def _hidden_writers(self) -> tuple[StatementFacts, ...]:
        """The parts that write hidden columns: what a part writes it may also return to another."""
        return tuple(part for part in self._parts if part.verb in _ROW_VERBS and self._is_any_hidden(part.writes))

    def _creates_copy(self, facts: StatementFacts) -> bool:
        """CREATE TABLE AS, SELECT INTO and materialised views copy their query's outputs into columns that have no class yet.

        What the actions of a rule return is shown under the names of the relation that it is on.
        """
        if facts.object_kind in _NO_COPY:
            return False
        queries = [child for child in facts.children if facts.object_kind == "rule" or child.verb not in _ROW_VERBS]
        return any(query.outputs is None or not all(self._is_clean(output, None) for output in query.outputs) for query in queries)

    def _assigns_classified(self, facts: StatementFacts) -> bool:
        if facts.assignments is None:
            return self._hides_source(facts)
        targets = _Targets(facts, self._catalogue)
        return not all(self._is_clean(assigned, targets.data_class(assigned.target)) for assigned in facts.assignments)

    def _hides_source(self, facts: StatementFacts) -> bool:
        """Whether values not shown by name may come from hidden columns; a plain INSERT's own target is no source of its query."""
        if self._is_opaque or self.is_blind or facts.verb is not Verb.INSERT or _may_update(facts):
            return True
        return self._is_any_hidden(self.root.reads) or any(part is not facts for part in self._hidden_writers)

    def _is_clean(self, expression: Expression, target: DataClass | None) -> bool:
        """Whether storing an expression into a column of this class keeps every hidden value masked."""
        if self._is_opaque or expression.is_opaque:
            return False
        if not expression.columns:
            return True
        if self.is_blind or not self._from_is_plain:
            return False
        return all(
            name not in self._row_names and self._is_clean_name(name, target, expression.is_plain_column) for name in expression.columns
        )

    def _is_clean_name(self, name: str, target: DataClass | None, is_plain: bool) -> bool:
        if name in _SYSTEM_COLUMNS:
            return True
        found = [(relation, column) for relation in self._touched for column in relation.columns.values() if column.name == name]
        if not found:
            # A column of no relation that is known: of one that the session has made itself, if there is one.
            return self._has_unknown_source
        return all(self._is_clean_column(relation, column, target, is_plain) for relation, column in found)

    def _is_clean_column(self, relation: Relation, column: Column, target: DataClass | None, is_plain: bool) -> bool:
        if not self._is_hidden(relation, column):
            return True
        if target is None or column.classification is None or column.classification.data_class is not target:
            return False
        return is_plain or target not in PARTLY_SHOWN or self._folds_only

    def _is_hidden(self, relation: Relation, column: Column) -> bool:
        classification = column.classification
        if classification is None:
            return False
        return not self._reveal.reveals(classification, f"{relation.schema}.{relation.name}.{column.name}")

    def _is_any_hidden(self, names: Iterable[RelationName]) -> bool:
        return any(self._has_hidden(relation) for name in names for relation in self._catalogue.candidates(name))

    def _has_hidden(self, relation: Relation) -> bool:
        return any(self._is_hidden(relation, column) for column in relation.columns.values())


class _Targets:
    """The columns that a statement writes, with the one class that each of them has wherever its relation may be."""

    def __init__(self, facts: StatementFacts, catalogue: Catalogue) -> None:
        self._are_known = all(catalogue.knows(name) for name in facts.writes)
        self._relations = tuple(relation for name in facts.writes for relation in catalogue.candidates(name))

    def data_class(self, target: str | None) -> DataClass | None:
        """The class under which a stored value will be masked; None when that isn't certain."""
        if target is None or not self._are_known:
            return None
        columns = [column for relation in self._relations for column in relation.columns.values() if column.name == target]
        classes = {column.classification.data_class if column.classification else None for column in columns}
        return classes.pop() if len(classes) == 1 else None


def _has_label(column: Column) -> bool:
    return column.classification is not None and column.classification.source == "comment"


def _may_update(insert: StatementFacts) -> bool:
    """Whether an INSERT may have an ON CONFLICT clause, which reads the target's rows; a text that is cut off may have one."""
    return not 0 < len(insert.normalised) <= UNCUT_TEXT or "conflict" in insert.normalised.casefold()


def parts_within(root: StatementFacts) -> Iterator[StatementFacts]:
    """A statement and all that is in it."""
    pending = [root]
    while pending:
        facts = pending.pop()
        pending.extend(facts.children)
        yield facts
