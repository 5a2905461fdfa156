"""Random statements over a random schema, of which is known which output columns are made of classified ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.model.random_expressions import COMPARABLE, Expr, Expressions, Row, Scope
from tests.model.random_schema import Field, Made, Schema

_WITHOUT_EQUALITY = frozenset({"json"})


@dataclass(frozen=True)
class Statement:
    """A statement with what is known of it.

    `setting` comes before it in its transaction. `touches`: something classified, or nobody knows what, is named in it. `is_query`: it
    can stand in a cursor, in COPY or in EXPLAIN. `claims` is False where its names are not what they look like.
    """

    text: str
    fields: tuple[Field, ...]
    touches: bool
    is_query: bool = True
    setting: str = ""
    claims: bool = True


@dataclass(frozen=True)
class _Source:
    """An item of FROM: its text, and what it makes nameable."""

    sql: str
    scope: Scope


class Queries:
    """Grows statements from a seed."""

    def __init__(self, seed: int, schema: Schema) -> None:
        self._chance = random.Random(seed)
        self._schema = schema
        self._prefix = f"{schema.name}."
        self._names = 0
        self._ctes: list[Made] = []
        first = schema.relations[0]
        self._reads_hidden = any(each.is_hidden for each in first.fields)
        self._expressions = Expressions(self._chance, schema.name, self._scalar, self._reads_hidden)

    def statement(self) -> Statement:
        """The next statement."""
        self._names, self._ctes = 0, []
        self._expressions.touches = False
        setting, claims = self._setting()
        draw = self._chance.random()
        if draw < 0.84:
            text, fields = self.query(Scope(), 3)
            is_query = not text.startswith("WITH") or "RETURNING" not in text
        elif draw < 0.88:
            made = self._chance.choice(self._schema.relations)
            text, fields, is_query = f"TABLE {self._prefix}{made.name}", made.fields, True
            self._expressions.touches |= _touching(fields)
        elif draw < 0.90:
            value = self._expressions.grow("text", Scope(), 2)
            scalar = self._scalar(Scope(), "int4", 2)
            text, fields, is_query = f"VALUES ({value.sql}, {scalar.sql})", (_field(value), _field(scalar)), True
        else:
            text, fields = self._change(self._chance.choice(("insert", "update", "delete")))
            is_query = False
        return Statement(text, tuple(fields), self._expressions.touches, is_query, setting, claims)

    def _setting(self) -> tuple[str, bool]:
        """What moves the name space before the statement, which then leaves out the schema."""
        self._prefix = f"{self._schema.name}."
        draw = self._chance.random()
        if draw < 0.85:
            return "", True
        self._prefix = ""
        path = f"{self._schema.name}, public"
        setting = self._chance.choice((f"SET LOCAL search_path = {path}", f"SELECT set_config('search_path', '{path}', true)"))
        if draw < 0.95:
            return setting, True
        shadowed = self._chance.choice([each for each in self._schema.relations if each.is_table])
        made = f"CREATE TEMP TABLE {shadowed.name} (LIKE {self._schema.name}.{shadowed.name})"
        return f"{setting}; {made}; INSERT INTO {shadowed.name} (id) VALUES (1), (2)", False

    def _name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    # --- queries

    def query(self, outer: Scope, depth: int, types: Sequence[str] = ()) -> tuple[str, list[Field]]:
        """A query with columns of these types, or of any; its columns are named o1, o2, …"""
        draw = self._chance.random()
        if depth > 0 and draw < 0.12:
            return self._set_operation(outer, depth, types)
        if depth > 1 and draw < 0.30:
            return self._with(outer, depth, types)
        if not types:
            types = tuple(self._expressions.some_type() for _ in range(self._chance.randrange(1, 5)))
        if depth > 0 and draw < 0.45:
            return self._grouped(outer, depth, types)
        return self._plain(outer, depth, types)

    def _plain(self, outer: Scope, depth: int, types: Sequence[str]) -> tuple[str, list[Field]]:
        source = self._from(outer, depth)
        scope = outer.within(source.scope)
        window = self._chance.random() < 0.12
        values = [
            self._expressions.window(each, scope, 1) if window and each in COMPARABLE else self._expressions.grow(each, scope, depth)
            for each in types
        ]
        distinct = ""
        if all(each.type in COMPARABLE for each in values) and self._chance.random() < 0.08:
            distinct = "DISTINCT "
        elif self._chance.random() < 0.04:
            key = next((each for each in source.scope.columns if each.type in COMPARABLE), None)
            distinct = f"DISTINCT ON ({key.sql}) " if key is not None else ""
            self._expressions.touches |= key is not None and key.is_hidden
        text = f"SELECT {distinct}{_list(values)} FROM {source.sql}{self._where(scope, depth)}{self._tail(len(values), values, distinct)}"
        return text, _named(values)

    def _tail(self, count: int, values: Sequence[Expr], distinct: str) -> str:
        tail = ""
        if not distinct and self._chance.random() < 0.2:
            place = self._chance.randrange(count)
            if values[place].type not in _WITHOUT_EQUALITY:
                tail += f" ORDER BY {place + 1}"
        return tail + (" LIMIT 5" if self._chance.random() < 0.1 else "")

    def _grouped(self, outer: Scope, depth: int, types: Sequence[str]) -> tuple[str, list[Field]]:
        source = self._from(outer, depth)
        scope = outer.within(source.scope)
        keys = [each for each in source.scope.columns if each.type in COMPARABLE]
        keys = self._chance.sample(keys, min(len(keys), self._chance.randrange(0, 3)))
        self._expressions.touches |= _touching(keys)
        values = list(keys)
        values += [self._expressions.aggregate(each, scope, depth - 1) or self._expressions.literal(each) for each in types]
        group = f" GROUP BY {self._grouping([each.sql for each in keys])}" if keys else ""
        having = f" HAVING count(*) > {self._chance.randrange(2)}" if self._chance.random() < 0.2 else ""
        # The types that were asked for come first: whoever asked counts on their places.
        values = values[len(keys) :] + values[: len(keys)]
        return f"SELECT {_list(values)} FROM {source.sql}{self._where(scope, depth)}{group}{having}", _named(values)

    def _grouping(self, keys: Sequence[str]) -> str:
        listed = ", ".join(keys)
        return self._chance.choice((listed, listed, f"ROLLUP ({listed})", f"CUBE ({listed})", f"GROUPING SETS (({listed}), ())"))

    def _where(self, scope: Scope, depth: int) -> str:
        if self._chance.random() < 0.55:
            return ""
        condition = self._expressions.condition(scope, min(depth, 1)).sql
        if depth > 1 and self._chance.random() < 0.3:
            inner, _ = self.query(scope, depth - 2, ("int4",))
            condition += f" AND EXISTS ({inner})"
        return f" WHERE {condition}"

    def _set_operation(self, outer: Scope, depth: int, types: Sequence[str]) -> tuple[str, list[Field]]:
        types = types or tuple(self._expressions.some_type() for _ in range(self._chance.randrange(1, 4)))
        left, first = self._plain(outer, depth - 1, types)
        right, second = self._plain(outer, depth - 1, types)
        word = "UNION ALL"
        if not _WITHOUT_EQUALITY & set(types):
            word = self._chance.choice(("UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL"))
        # The right side of EXCEPT gives no value, and takes some away; that is told, not shown.
        merged = [
            replace(
                a, is_hidden=a.is_hidden or (b.is_hidden and word.startswith("UNION")), is_opaque=a.is_opaque or b.is_opaque or b.is_hidden
            )
            for a, b in zip(first, second, strict=True)
        ]
        return f"({left}) {word} ({right})", merged

    def _with(self, outer: Scope, depth: int, types: Sequence[str]) -> tuple[str, list[Field]]:
        name, kept = self._name("w"), self._ctes
        draw = self._chance.random()
        if draw < 0.2:
            text, fields = self._recursive(name, depth)
            head = f"WITH RECURSIVE {text}"
        elif draw < 0.3 and not outer.columns and not types:
            text, fields = self._change(self._chance.choice(("update", "delete")))
            head = f"WITH {name} ({', '.join(each.name for each in fields)}) AS ({text})"
        else:
            text, fields = self.query(outer, depth - 1)
            how = self._chance.choice(("", "", "MATERIALIZED ", "NOT MATERIALIZED "))
            head = f"WITH {name} ({', '.join(each.name for each in fields)}) AS {how}({text})"
        self._ctes = [*kept, Made("", name, "cte", tuple(fields))]
        types = types or tuple(self._expressions.some_type() for _ in range(self._chance.randrange(1, 4)))
        body, found = self._plain(outer, depth - 1, types)
        self._ctes = kept
        return f"{head} {body}", found

    def _recursive(self, name: str, depth: int) -> tuple[str, list[Field]]:
        type_ = self._chance.choice(("text", "int8", "date", "uuid"))
        seed, (value,) = self._plain(Scope(), depth - 1, (type_,))
        carried = "n2" if self._chance.random() < 0.7 or type_ != "text" else "n2 || '.'"
        text = f"{name} (n1, n2) AS (SELECT 1, s.o1 FROM ({seed}) s UNION ALL SELECT n1 + 1, {carried} FROM {name} WHERE n1 < 3)"
        return text, [Field("n1", "int4"), replace(value, name="n2")]

    def _scalar(self, outer: Scope, type_: str, depth: int) -> Expr:
        """A scalar subquery; at most one row, so an aggregate or a limit."""
        if self._chance.random() < 0.4:
            source = self._from(outer, max(depth - 1, 0))
            value = self._expressions.aggregate(type_, source.scope, 1)
            if value is not None:
                return replace(value, sql=f"(SELECT {value.sql} FROM {source.sql})")
        text, (found, *_) = self._plain(outer, max(depth, 0), (type_,))
        return Expr(f"(SELECT s.o1 FROM ({text}) s LIMIT 1)", type_, found.is_hidden, found.is_opaque)

    # --- FROM

    def _from(self, outer: Scope, depth: int) -> _Source:
        source = self._item(outer, depth)
        while depth > 0 and self._chance.random() < 0.35:
            source = self._joined(source, outer, depth)
            depth -= 1
        return source

    def _joined(self, left: _Source, outer: Scope, depth: int) -> _Source:
        draw = self._chance.random()
        if draw < 0.2:
            right = self._item(outer.within(left.scope), depth - 1, lateral=True)
            return _both(left, f"{left.sql}, {right.sql}", right)
        right = self._item(outer, depth - 1)
        kind = self._chance.choice(("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"))
        if draw < 0.35:
            return _both(left, f"{left.sql} CROSS JOIN {right.sql}", right)
        first = [each for each in left.scope.columns if each.sql.endswith(".id")]
        second = [each for each in right.scope.columns if each.sql.endswith(".id")]
        if len(first) == 1 and len(second) == 1:
            if draw < 0.6:
                return _both(left, f"{left.sql} {kind} {right.sql} USING (id)", right)
            return _both(left, f"{left.sql} {kind} {right.sql} ON {first[0].sql} = {second[0].sql}", right)
        if draw < 0.5 and not first and second:
            return _both(left, f"{left.sql} NATURAL JOIN {right.sql}", right)
        return _both(left, f"{left.sql} LEFT JOIN {right.sql} ON true", right)

    def _item(self, outer: Scope, depth: int, *, lateral: bool = False) -> _Source:
        alias, draw = self._name("a"), self._chance.random()
        if depth > 0 and (draw < 0.25 or lateral):
            text, fields = self.query(outer if lateral else Scope(), depth - 1)
            return _source(f"{'LATERAL ' if lateral else ''}({text})", alias, _renamed(fields, self._name), with_list=True)
        if draw < 0.30:
            first, second = self._expressions.literal("text"), self._expressions.literal("int4")
            fields = [Field(self._name("v"), "text"), Field(self._name("v"), "int4")]
            return _source(f"(VALUES ({first.sql}, {second.sql}), ('other', 8))", alias, fields, with_list=True)
        if draw < 0.34:
            made = self._schema.relations[0]
            return _source(f"{self._schema.name}.f_rows()", alias, [replace(each, is_opaque=True) for each in made.fields])
        if draw < 0.38:
            fields = [Field(self._name("n"), "int4"), Field(self._name("n"), "text")]
            return _source("ROWS FROM (generate_series(1, 3), unnest(ARRAY['u', 'v']))", alias, fields, with_list=True)
        if self._ctes and draw < 0.75:
            made = self._chance.choice(self._ctes)
            return _source(made.name, alias, made.fields)
        made = self._chance.choice(self._schema.relations)
        only = "ONLY " if made.is_table and self._chance.random() < 0.1 else ""
        relation = f"{only}{self._prefix}{made.name}"
        if self._chance.random() < 0.2:
            return _source(relation, alias, _renamed(made.fields, self._name), with_list=True)
        return _source(relation, alias, made.fields)

    # --- changes

    def _change(self, kind: str) -> tuple[str, list[Field]]:
        """A change with RETURNING, of ordinary columns from ordinary or classified ones."""
        made = self._chance.choice([each for each in self._schema.relations if each.kind == "table"])
        scope = _source(made.name, made.name, made.fields).scope
        target = f"{self._prefix}{made.name}"
        values = [self._expressions.grow(self._expressions.some_type(), scope, 1) for _ in range(2)]
        texts = [each for each in made.fields if each.type == "text" and not each.is_hidden and each.name != "g1"]
        key = self._chance.randrange(1, 4)
        returning = f"RETURNING {_list(values)}"
        if kind == "update" and texts:
            new = self._expressions.grow("text", scope, 1)
            return f"UPDATE {target} SET {texts[0].name} = {new.sql} WHERE {made.name}.id = {key} {returning}", _changed(values)
        if kind == "insert" and texts:
            row = f"({100 + self._chance.randrange(10**6)}, 'new')"
            return f"INSERT INTO {target} (id, {texts[0].name}) VALUES {row} {returning}", _changed(values)
        return f"DELETE FROM {target} WHERE {made.name}.id = {key} {returning}", _named(values)


def add_views(schema: Schema, seed: int) -> None:
    """Views, views over them and a materialised one, by random queries."""
    for number, is_materialised in enumerate((False, False, True, False)):
        queries = Queries(seed + number, schema)
        made: tuple[str, list[Field]] | None = None
        while made is None or "f_dig" in made[0] or any(each.is_opaque for each in made[1]):
            made = queries.query(Scope(), 2)
        schema.add_view(f"{'m' if is_materialised else 'v'}{number}x", *made, is_materialised=is_materialised)


def _list(values: Sequence[Expr]) -> str:
    return ", ".join(f"{each.sql} AS o{number}" for number, each in enumerate(values, 1))


def _field(value: Expr, name: str = "") -> Field:
    return Field(name, value.type, value.is_hidden, value.is_opaque)


def _named(values: Sequence[Expr]) -> list[Field]:
    return [_field(each, f"o{number}") for number, each in enumerate(values, 1)]


def _changed(values: Sequence[Expr]) -> list[Field]:
    """What comes back of a change shows new values: what was hidden may be an ordinary value by then, and nobody says so."""
    return [replace(each, is_opaque=True, is_hidden=False) if each.is_hidden else each for each in _named(values)]


def _touching(fields: Sequence[Field] | Sequence[Expr]) -> bool:
    return any(each.is_hidden or each.is_opaque for each in fields)


def _renamed(fields: Sequence[Field], name: Callable[[str], str]) -> list[Field]:
    return [replace(each, name=name("x")) for each in fields]


def _source(sql: str, alias: str, fields: Sequence[Field], *, with_list: bool = False) -> _Source:
    columns = f" ({', '.join(each.name for each in fields)})" if with_list else ""
    row = Row(alias, any(each.is_hidden for each in fields), any(each.is_opaque for each in fields))
    values = [Expr(f"{alias}.{each.name}", each.type, each.is_hidden, each.is_opaque) for each in fields]
    return _Source(f"{sql} AS {alias}{columns}", Scope(values, [row]))


def _both(left: _Source, sql: str, right: _Source) -> _Source:
    return _Source(sql, Scope([*left.scope.columns, *right.scope.columns], [*left.scope.rows, *right.scope.rows]))
