"""Naming: which columns of which relations a name in a query may stand for, through aliases, sub-selects and common tables.

By text alone: which relation has a column of an unqualified name is not known, so the answer is all of those in sight. What a
sub-select hands out under a name is followed to where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from querywarden.model.resource import RelationName
from querywarden.postgresql.analysis.flows import Lineage, Origin, flow_of, output_name
from querywarden.postgresql.analysis.names import relation_name
from querywarden.postgresql.analysis.parse import Node
from querywarden.postgresql.analysis.shapes import ANYTHING, NOT_YET, Base, Given, Session, Shape, merged, union

_ROUNDS_MAX = 12
"""Rounds after which a recursive query's columns are taken for anything: each adds a relation or column to one of them."""

Item = Base | Given
Tables = Mapping[str, "Query"]
"""The common tables in sight."""


class Level:
    """The names of one query level: its items of FROM under their names, and the level around it."""

    __slots__ = ("is_natural", "is_simple", "items", "named", "outer", "session", "sub_selects", "tables")

    def __init__(self, session: Session, tables: Tables, outer: Level | None) -> None:
        self.session = session
        self.tables = tables
        self.outer = outer
        self.items: list[Item] = []
        self.named: dict[str, Item] = {}
        self.sub_selects: list[Query] = []
        self.is_natural = False
        self.is_simple: bool = outer is None or outer.is_simple
        """Whether all that is in sight are relations under their columns' own names, so that a name always is a plain column."""

    def add(self, name: str | None, item: Item, *, is_counted: bool = True) -> None:
        """Add an item; one that isn't counted is another name for items that are there already."""
        if is_counted:
            self.items.append(item)
        if name is not None:
            self.named[name] = item
        if not isinstance(item, Base):
            self.is_simple = False

    def add_relation(self, relation: Node, *, is_common: bool = True) -> None:
        """Add a RangeVar: a common table where one of its name is in sight and `is_common`, else a relation."""
        schema, name, alias = relation.get("schemaname"), relation["relname"], relation.get("alias", {})
        names = alias_names(alias)
        table = self.tables.get(name) if schema is None and is_common else None
        item: Item = Base(relation_name(schema, name), bool(names)) if table is None else Given(table, None, names)
        self.add(alias.get("aliasname", name), item)

    def resolve(self, fields: list[Node]) -> Lineage:
        """What a column reference may stand for. Raises: TooIntricate."""
        self.session.step()
        last = fields[-1].get("String")
        if len(fields) == 1:
            return union([shape.whole() for shape in self._shapes()]) if last is None else self._unqualified(last["sval"])
        qualifier = fields[-2]["String"]["sval"]
        item = self._find(qualifier)
        if item is None or (len(fields) > 2 and not isinstance(item, Base)):
            schema = fields[-3]["String"]["sval"] if len(fields) > 2 else None
            named = None if schema is None else frozenset({relation_name(schema, qualifier)})
            return Lineage(frozenset({Origin(named, None if last is None else last["sval"])}), True)
        if last is None:
            return item.shape().whole()
        found = item.column(last["sval"])
        # What is no column of it is a field of it as a whole, or a function of it.
        return Lineage(item.shape().whole().origins, False) if found is None else found

    def position(self, place: int) -> Lineage:
        """What stands at a place, from 1, of the star of this level."""
        if len(self.items) == 1:
            shape = self.items[0].shape()
            if not shape.columns:
                return Lineage(frozenset({Origin(shape.starred, place)}), True)
            if not shape.starred and 0 < place <= len(shape.columns) and all(name for name, _ in shape.columns):
                return shape.columns[place - 1][1]
        return union([shape.whole() for shape in self._shapes()])

    def sub_query(self, node: Node) -> Query:
        """A sub-select in an expression of this level."""
        ((kind, body),) = node.items()
        return Query(kind, body, self.session, self.tables, self)

    def _shapes(self) -> list[Shape]:
        return [item.shape() for item in self.items]

    def _find(self, name: str) -> Item | None:
        level: Level | None = self
        while level is not None:
            if name in level.named:
                return level.named[name]
            level = level.outer
        return None

    def _unqualified(self, name: str) -> Lineage:
        bases: frozenset[RelationName] = frozenset()
        found: list[Lineage] = []
        level: Level | None = self
        while level is not None:
            sure = []
            for item in level.items:
                if isinstance(item, Base) and not item.is_renamed:
                    bases |= item.relations
                elif (column := item.column(name)) is not None:
                    sure.append(column)
            if name in level.named and not sure:
                found.append(level.named[name].shape().whole())
            found += sure
            if sure and not bases:
                break
            level = level.outer
        if bases:
            found.append(Lineage(frozenset({Origin(bases, name, is_optional=bool(found))}), True))
        return union(found) if found else Lineage(frozenset({Origin(None, name)}), True)


class Query:
    """A query, or a statement that returns rows, with the names that it can see; what it hands out is found when it is needed."""

    __slots__ = ("_arms", "_guess", "_is_busy", "_level", "_shape", "body", "kind", "names", "outer", "session", "tables")

    def __init__(self, kind: str, body: Node, session: Session, tables: Tables, outer: Level | None, names: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.body = body
        self.session = session
        self.outer = outer
        self.names = names
        self.tables = self._with_tables(tables) if "withClause" in body else tables
        self._level: Level | None = None
        self._arms: list[Query] = []
        self._shape: Shape | None = None
        self._guess: Shape | None = None
        self._is_busy = False

    def _with_tables(self, tables: Tables) -> Tables:
        """The common tables in sight, those of this query's own WITH included; each sees those before it, with RECURSIVE all."""
        clause = self.body["withClause"]
        everything = dict(tables)
        for item in clause["ctes"]:
            table = item["CommonTableExpr"]
            ((kind, body),) = table["ctequery"].items()
            seen = everything if clause.get("recursive") else dict(everything)
            names = tuple(name["String"]["sval"] for name in table.get("aliascolnames", ()))
            everything[table["ctename"]] = Query(kind, body, self.session, seen, self.outer, names)
        return everything

    def common_tables(self) -> list[Query]:
        """The queries of its own WITH clause."""
        return [self.tables[item["CommonTableExpr"]["ctename"]] for item in self.body.get("withClause", {}).get("ctes", ())]

    def level(self) -> Level:
        """The names inside it."""
        if self._level is None:
            self._level = Level(self.session, self.tables, self.outer)
            fill(self._level, self.kind, self.body)
        return self._level

    def arms(self) -> list[Query]:
        """The arms of a set operation, nested ones taken apart."""
        pending = [] if self._arms else [self.body["rarg"], self.body["larg"]]
        while pending:
            body = pending.pop()
            if "larg" in body and "withClause" not in body:
                pending += (body["rarg"], body["larg"])
            else:
                self._arms.append(Query("SelectStmt", body, self.session, self.tables, self.outer))
        return self._arms

    def shape(self) -> Shape:
        """What it hands out: for a recursive query the least that holds of itself. Raises: TooIntricate."""
        self.session.step()
        if self._shape is not None:
            return self._shape
        if self._is_busy:
            self.session.guessed.add(id(self))
            return self._guess or NOT_YET
        self._is_busy, self._guess = True, None
        for _ in range(_ROUNDS_MAX):
            self.session.guessed.discard(id(self))
            found = self._named(self._found())
            is_settled = id(self) not in self.session.guessed or found == self._guess
            self._guess = found
            if is_settled:
                break
        else:
            found = Shape(((None, ANYTHING),), frozenset())
        self._is_busy = False
        self.session.guessed.discard(id(self))
        if not self.session.guessed:
            self._shape = found
        return found

    def _named(self, shape: Shape) -> Shape:
        return Given(None, shape, self.names).shape() if self.names else shape

    def _found(self) -> Shape:
        if self.kind != "SelectStmt":
            return self._listed(self.body.get("returningClause", {}).get("exprs", ()))
        if "larg" in self.body:
            return merged([arm.shape() for arm in self.arms()])
        if "valuesLists" in self.body:
            level = self.level()
            rows = [[flow_of(item, level) for item in row["List"]["items"]] for row in self.body["valuesLists"]]
            return merged([Shape(tuple((f"column{at}", each) for at, each in enumerate(row, 1)), frozenset()) for row in rows])
        return self._listed(self.body.get("targetList", ()))

    def _listed(self, targets: Any) -> Shape:
        level = self.level()
        columns: list[tuple[str | None, Lineage]] = []
        starred: frozenset[RelationName] = frozenset()
        for item in targets:
            target = item["ResTarget"]
            value = target["val"]
            fields = value["ColumnRef"]["fields"] if "ColumnRef" in value else None
            if fields is not None and "A_Star" in fields[-1]:
                found = level.named.get(fields[-2]["String"]["sval"]) if len(fields) == 2 else None
                shapes = [found.shape()] if found is not None else [each.shape() for each in level.items] if len(fields) == 1 else []
                if not shapes:
                    columns.append((None, level.resolve(fields)))
                for shape in shapes:
                    columns += shape.columns
                    starred |= shape.starred
            else:
                columns.append((target.get("name") or output_name(value), flow_of(value, level)))
        return Shape(tuple(columns), starred)


def alias_names(alias: Node) -> tuple[str, ...]:
    """The column names that an alias gives."""
    return tuple(name["String"]["sval"] for name in alias.get("colnames", ()))


def fill(level: Level, kind: str, body: Node) -> None:
    """Put into a level what a statement of this kind has in sight."""
    if kind != "SelectStmt":
        level.add_relation(body["relation"], is_common=False)
        target = level.items[0]
        for name in ("old", "new", *(("excluded",) if kind == "InsertStmt" else ())):
            level.add(name, target, is_counted=False)
        for option in body.get("returningClause", {}).get("options", ()):
            level.add(option["ReturningOption"]["value"], target, is_counted=False)
    items = body.get("fromClause") or body.get("usingClause") or ()
    pending: list[Any] = [*reversed(items)]
    if "sourceRelation" in body:
        pending.append(body["sourceRelation"])
    while pending:
        _add_item(level, pending.pop(), pending)


def _add_item(level: Level, item: Node, pending: list[Any]) -> None:
    ((kind, body),) = item.items()
    if kind == "RangeVar":
        level.add_relation(body)
    elif kind == "JoinExpr":
        pending += (body["rarg"], body["larg"])
        level.is_natural |= body.get("isNatural", False)
        for alias in ("alias", "join_using_alias"):
            if alias in body:
                inside = Level(level.session, level.tables, level.outer)
                fill(inside, "SelectStmt", {"fromClause": [body["larg"], body["rarg"]]})
                shapes = [each.shape() for each in inside.items]
                names = alias_names(body[alias])
                whole = Shape(((None, union([shape.whole() for shape in shapes])),), frozenset())
                plain = Shape(tuple(c for s in shapes for c in s.columns), frozenset().union(*(s.starred for s in shapes)))
                level.add(body[alias]["aliasname"], Given(None, whole if names else plain, ()), is_counted=False)
    elif kind == "RangeTableSample":
        pending.append(body["relation"])
    elif kind == "RangeSubselect":
        ((inner, query),) = body["subquery"].items()
        outer = level if body.get("lateral") else level.outer
        alias = body.get("alias", {})
        level.sub_selects.append(Query(inner, query, level.session, level.tables, outer))
        level.add(alias.get("aliasname"), Given(level.sub_selects[-1], None, alias_names(alias)))
    else:
        computed = flow_of(item, level)
        names = alias_names(body.get("alias", {}))
        shape = Shape(((None, Lineage(computed.origins, not computed.origins)),), frozenset())
        level.add(_name_of_function(body), Given(None, shape, names))


def _name_of_function(body: Node) -> str | None:
    if "alias" in body:
        return str(body["alias"]["aliasname"])
    calls = [item for functions in body.get("functions", ()) for item in functions["List"]["items"] if "FuncCall" in item]
    return str(calls[0]["FuncCall"]["funcname"][-1]["String"]["sval"]) if calls else None
