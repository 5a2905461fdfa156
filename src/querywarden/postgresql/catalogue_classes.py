"""The classes of a catalogue's columns: what policy, comments and names say, carried along views and inheritance.

Strongest first: the policy, a comment, the origin of a view's column, the name. The tables of an inheritance tree (partitions
included) agree on columns of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from querywarden.masking.column_classifier import classify_column, classify_comment
from querywarden.model.catalogue import Classification, Column, DataClass, Relation
from querywarden.postgresql.built_in_classes import SYSTEM_SCHEMAS, built_in_class
from querywarden.postgresql.view_columns import ViewColumn, ViewTree

Place = tuple[int, int]
"""A relation's id and a column's number."""
Comments = Mapping[Place, str]
Generated = tuple[frozenset[int], frozenset[int]]
"""The numbers of the columns that a generated column is computed from, and the ids of the database's own functions that compute it."""
Explicit = tuple[Classification | None] | None
"""What was said expressly: nothing (None), or a class or None in a tuple."""

_VIEWS = frozenset({"view", "materialized_view"})


class Resolver:
    """Finds the class of each column once."""

    def __init__(
        self,
        relations: Mapping[int, Relation],
        comments: Comments,
        trees: Mapping[int, ViewTree | None],
        inheritance: Sequence[tuple[int, int]],
        opaque_functions: frozenset[int],
        generated: Mapping[Place, Generated],
        policy: Callable[[str, str, str], Explicit],
    ) -> None:
        self._relations = relations
        self._comments = comments
        self._trees = trees
        self._opaque_functions = opaque_functions
        self._generated = generated
        self._policy = policy
        self._explicit: dict[Place, Explicit] = {}
        self._found: dict[Place, Classification | None] = {}
        self._pending: set[int] = set()
        self._families = families(inheritance)

    def classes(self) -> dict[Place, Classification]:
        """The class of every column that has one."""
        for relation in self._relations.values():
            if relation.kind not in _VIEWS or relation.schema in SYSTEM_SCHEMAS:
                self._classify_table(relation)
        for family in self._families:
            self._agree(family)
        self._classify_generated()
        for relation in self._relations.values():
            self._resolve(relation.id)
        return {place: found for place, found in self._found.items() if found is not None}

    def reads_classified(self, relation_id: int) -> bool:
        """Whether a view reads a relation that holds something classified, in whatever part of it; to be asked after `classes`."""
        pending, seen = [relation_id], {relation_id}
        while pending:
            tree = self._trees.get(pending.pop())
            for source in (tree.relations if tree else frozenset()) - seen:
                if self._is_classified(source):
                    return True
                seen.add(source)
                pending.append(source)
        return False

    def is_declared_none(self, place: Place) -> bool:
        """Whether it was said expressly of a column that it has no class; to be asked after `classes`."""
        explicit = self._explicit.get(place)
        return explicit is not None and explicit[0] is None

    def _classify_table(self, relation: Relation) -> None:
        for column in relation.columns.values():
            self._found[relation.id, column.number] = self._own_class(relation, column)

    def _classify_generated(self) -> None:
        """A generated column has no class of its own but is computed from classified ones: it holds what they hold."""
        for (relation_id, number), (columns, functions) in self._generated.items():
            place = (relation_id, number)
            if self._explicit.get(place) is not None or self._found.get(place) is not None:
                continue
            is_derived = any(self._found.get((relation_id, source)) is not None for source in columns)
            if is_derived or functions & self._opaque_functions:
                self._found[place] = Classification(DataClass.OPAQUE, "generated", "computed from classified columns or by own functions")

    def _own_class(self, relation: Relation, column: Column) -> Classification | None:
        """What is said of a column itself, expressly or by its name."""
        place = (relation.id, column.number)
        explicit = self._say(relation, column)
        self._explicit[place] = explicit
        if explicit is not None:
            return explicit[0]
        built_in = built_in_class(relation.schema, relation.name, column.name)
        if built_in is not None:
            # Like something said: views over it follow, families don't exist.
            return built_in
        if relation.schema in SYSTEM_SCHEMAS:
            return None
        return classify_column(relation.schema, relation.name, column.name, column.type_name, self._comments.get(place))

    def _say(self, relation: Relation, column: Column) -> Explicit:
        said = self._policy(relation.schema, relation.name, column.name)
        if said is not None:
            return said
        comment = self._comments.get((relation.id, column.number))
        return classify_comment(comment) if comment else None

    def _agree(self, family: Iterable[int]) -> None:
        """Give the columns of one name in an inheritance tree one class, without overruling what was said of one expressly."""
        by_name: dict[str, list[Place]] = {}
        for relation_id in family:
            relation = self._relations.get(relation_id)
            if relation is not None:
                for column in relation.columns.values():
                    by_name.setdefault(column.name, []).append((relation_id, column.number))
        for places in by_name.values():
            said = [explicit for place in places if (explicit := self._explicit.get(place)) is not None]
            classes = [explicit[0] for explicit in said if explicit[0] is not None]
            named = [found for place in places if (found := self._found.get(place)) is not None]
            agreed = classes[0] if classes else None if said else named[0] if named else None
            for place in places:
                if self._explicit.get(place) is None:
                    self._found[place] = agreed

    def _resolve(self, relation_id: int) -> None:
        """Find the classes of a view's columns, those of the views under it first."""
        relation = self._relations[relation_id]
        if not relation.columns or (relation_id, next(iter(relation.columns))) in self._found:
            return
        self._pending.add(relation_id)
        tree = self._trees.get(relation_id)
        for source in tree.relations if tree else ():
            if source in self._relations and source not in self._pending:
                self._resolve(source)
        columns = {column.number: column for column in tree.columns} if tree else {}
        for number, column in relation.columns.items():
            own = self._own_class(relation, column)
            if self._explicit[relation_id, number] is None:
                own = self._view_class(own, columns.get(number), tree)
            self._found[relation_id, number] = own
        self._pending.discard(relation_id)

    def _view_class(self, own: Classification | None, column: ViewColumn | None, tree: ViewTree | None) -> Classification | None:
        if tree is None or column is None:
            return Classification(DataClass.OPAQUE, "view", "the view's definition was not understood")
        if column.origin is not None:
            found = self._class_of(column.origin)
            if found is not None:
                return Classification(found.data_class, "view", f"comes from {self._name(column.origin)}")
            return None if self.is_declared_none(column.origin) else own
        if tree.functions & self._opaque_functions:
            return Classification(DataClass.OPAQUE, "view", "the view calls a function of the database's own")
        if column.sources is not None:
            if all(self._class_of(source) is None for source in column.sources):
                return own
        elif not any(self._is_classified(relation) for relation in tree.relations):
            return own
        return Classification(DataClass.OPAQUE, "view", "derived from classified columns")

    def _class_of(self, place: Place) -> Classification | None:
        relation_id, number = place
        relation = self._relations.get(relation_id)
        if relation is None or (number > 0 and number not in relation.columns):
            return Classification(DataClass.OPAQUE, "view", "comes from a relation that is not known")
        if number == 0:
            return Classification(DataClass.OPAQUE, "view", "a whole row") if self._is_classified(relation_id) else None
        return self._found.get(place) if number > 0 else None

    def _is_classified(self, relation_id: int) -> bool:
        relation = self._relations.get(relation_id)
        if relation is None or relation_id in self._pending:
            return relation_id not in self._pending
        return any(self._found.get((relation_id, number)) is not None for number in relation.columns)

    def _name(self, place: Place) -> str:
        relation = self._relations[place[0]]
        column = relation.columns.get(place[1])
        return f"{relation.schema}.{relation.name}" + (f".{column.name}" if column else "")


def families(inheritance: Sequence[tuple[int, int]]) -> list[set[int]]:
    """The inheritance trees: sets of relations that are parents or children of each other, however far."""
    family_of: dict[int, set[int]] = {}
    for child, parent in inheritance:
        first, second = family_of.setdefault(child, {child}), family_of.setdefault(parent, {parent})
        if first is not second:
            if len(first) < len(second):
                first, second = second, first
            first |= second
            for member in second:
                family_of[member] = first
    return list({id(family): family for family in family_of.values()}.values())
