"""Random expressions of PostgreSQL with their types, each of which knows whether a classified column's value is in it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.model.random_calls import AGGREGATES, CALLS

ANY = "any"
COMPARABLE = (
    "text", "varchar", "bpchar", "int4", "int8", "numeric", "date", "timestamptz", "uuid", "inet", "jsonb", "text[]", "int4[]", "mood",
    "pair",
)  # fmt: skip
TYPES = (*COMPARABLE, "json", "bool")


@dataclass(frozen=True)
class Expr:
    """An expression: its text, its type, and what is in it (see `Field`)."""

    sql: str
    type: str
    is_hidden: bool = False
    is_opaque: bool = False


@dataclass(frozen=True)
class Row:
    """A whole row that can be named in a scope, such as a table's alias."""

    sql: str
    is_hidden: bool
    is_opaque: bool


@dataclass
class Scope:
    """What an expression can name: the columns and rows of its FROM, and those of the queries around it."""

    columns: list[Expr] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def of_type(self, type_: str) -> list[Expr]:
        return [each for each in self.columns if each.type == type_]

    def within(self, inner: Scope) -> Scope:
        """The scope of a subquery: its own names, and some of those around it."""
        return Scope([*inner.columns, *self.columns], [*inner.rows, *self.rows])


_ARGUMENT = re.compile("«([^»]*)»")

_LITERALS = {
    "text": "'plain'::text", "varchar": "'plain'::varchar", "bpchar": "'plain'::char(8)", "int4": "7", "int8": "77::int8", "numeric": "1.5",
    "date": "'2020-02-02'::date", "timestamptz": "'2020-02-02 02:02:02+00'::timestamptz",
    "uuid": "'00000000-0000-4000-8000-000000000000'::uuid", "inet": "'10.0.0.1'::inet", "json": """'{"k": "plain"}'::json""",
    "jsonb": """'{"k": "plain", "n": 3}'::jsonb""", "text[]": "ARRAY['plain']", "int4[]": "ARRAY[1, 2]", "mood": "'busy'::{s}.mood",
    "pair": "ROW('plain', 1)::{s}.pair", "bool": "true",
}  # fmt: skip


class Expressions:
    """Grows expressions of a wanted type over a scope; scalar subqueries come from whoever grows queries."""

    def __init__(self, chance: random.Random, schema: str, subquery: Callable[[Scope, str, int], Expr], reads_hidden: bool) -> None:
        self._chance = chance
        self._schema = schema
        self._subquery = subquery
        self._reads_hidden = reads_hidden
        self.touches = False
        """Whether anything classified, or nobody knows what, was named anywhere in the statement, shown or not."""

    def literal(self, type_: str) -> Expr:
        return Expr(_LITERALS[type_].replace("{s}", self._schema), type_)

    def some_type(self) -> str:
        return self._chance.choice(TYPES)

    def grow(self, type_: str, scope: Scope, depth: int) -> Expr:
        """An expression of a type, or of any."""
        wanted = self._any_type(scope) if type_ == ANY else type_
        grown = self._grown(wanted, scope, depth)
        self.touches |= grown.is_hidden or grown.is_opaque
        return grown

    def _any_type(self, scope: Scope) -> str:
        return self._chance.choice(scope.columns).type if scope.columns and self._chance.random() < 0.7 else self.some_type()

    def _grown(self, type_: str, scope: Scope, depth: int) -> Expr:
        columns = scope.of_type(type_)
        draw = self._chance.random()
        if depth <= 0:
            return self._chance.choice(columns) if columns else self.literal(type_)
        if columns and draw < 0.45:
            return self._chance.choice(columns)
        if draw < 0.72:
            return self._call(type_, scope, depth)
        if draw < 0.80:
            return self._case(type_, scope, depth)
        if draw < 0.86:
            return self._subquery(scope, type_, depth - 1)
        if draw < 0.90 and type_ in {"text", "json", "jsonb"} and scope.rows:
            return self._whole_row(type_, scope)
        if draw < 0.92 and type_ == "text":
            return self._read_by_function(scope, depth)
        return self._call(type_, scope, depth)

    def _call(self, type_: str, scope: Scope, depth: int) -> Expr:
        template = self._chance.choice(CALLS[type_]).replace("{s}", self._schema)
        arguments = [self.grow(each, scope, depth - 1) for each in _ARGUMENT.findall(template)]
        texts = (each.sql for each in arguments)
        made = _made_of(_ARGUMENT.sub(lambda _: next(texts), template), type_, arguments)
        # Of a row that was put together only the one field counts, which may be the plain one: left open.
        return Expr(made.sql, made.type, False, made.is_hidden or made.is_opaque) if template.endswith((").a", ").b")) else made

    def _case(self, type_: str, scope: Scope, depth: int) -> Expr:
        """A choice: what is tested is no value of it, but tells; whether that counts as one is left open."""
        test, first, second = self.condition(scope, depth - 1), self.grow(type_, scope, depth - 1), self.grow(type_, scope, depth - 1)
        made = _made_of(f"CASE WHEN {test.sql} THEN {first.sql} ELSE {second.sql} END", type_, (first, second))
        return _clouded(made, test)

    def _whole_row(self, type_: str, scope: Scope) -> Expr:
        row = self._chance.choice(scope.rows)
        template = {"text": ("{}::text", "row_to_json({})::text", "({}.*)::text"), "json": ("row_to_json({})", "to_json({})"),
                    "jsonb": ("to_jsonb({})", "to_jsonb({})")}[type_]  # fmt: skip
        return Expr(self._chance.choice(template).format(row.sql), type_, row.is_hidden, row.is_opaque)

    def _read_by_function(self, scope: Scope, depth: int) -> Expr:
        draw = self._chance.random()
        if draw < 0.4:
            number = self.grow("int4", Scope([each for each in scope.columns if each.sql.endswith(".id")]), 0)
            return Expr(f"{self._schema}.f_read({number.sql})", "text", self._reads_hidden)
        if draw < 0.6:
            return Expr(f"{self._schema}.f_dig()", "text", self._reads_hidden, is_opaque=True)
        argument = self.grow("text", scope, depth - 1)
        return Expr(f"{self._schema}.f_opaque({argument.sql})", "text", argument.is_hidden, is_opaque=True)

    def condition(self, scope: Scope, depth: int) -> Expr:
        """A condition of the kinds that WHERE has most; it tells, whatever is shown."""
        columns = [each for each in scope.columns if each.type in COMPARABLE]
        draw = self._chance.random()
        if not columns or draw < 0.1:
            return self.grow("bool", scope, depth) if depth > 0 else self.literal("bool")
        column = self._chance.choice(columns)
        self.touches |= column.is_hidden or column.is_opaque
        literal = self.literal(column.type).sql
        if draw < 0.4:
            sql = self._chance.choice((f"{column.sql} IS NOT NULL", f"{column.sql} IS NULL", f"{column.sql} IN ({literal}, {literal})"))
        elif draw < 0.7:
            sql = f"{column.sql} {self._chance.choice(('=', '<>', 'IS DISTINCT FROM', '<>', '>'))} {literal}"
        else:
            other = self.grow(column.type, scope, depth - 1)
            return _made_of(f"({column.sql} IS DISTINCT FROM {other.sql})", "bool", (column, other))
        return _made_of(sql, "bool", (column,))

    def aggregate(self, type_: str, scope: Scope, depth: int) -> Expr | None:
        """An aggregate of a type, or None where there is none."""
        if type_ not in AGGREGATES:
            return None
        template = self._chance.choice(AGGREGATES[type_])
        wanted = _ARGUMENT.search(template)
        if wanted is None:
            return Expr(template, type_)
        argument = self.grow(wanted.group(1), scope, depth)
        # How many there are is told to everybody.
        parts = () if template.startswith("count") else (argument,)
        return _made_of(_ARGUMENT.sub(lambda _: argument.sql, template), type_, parts)

    def window(self, type_: str, scope: Scope, depth: int) -> Expr:
        """A window function; what it sorts and groups by tells, and is no value of it."""
        part, order = self._ordered(scope), self._ordered(scope)
        over = f"OVER (PARTITION BY {part.sql} ORDER BY {order.sql})"
        if type_ == "int8" and self._chance.random() < 0.6:
            made = Expr(f"{self._chance.choice(('row_number', 'rank', 'dense_rank'))}() {over}", "int8")
        else:
            argument = self.grow(type_, scope, depth)
            made = _made_of(
                f"{self._chance.choice(('lag', 'lead', 'first_value', 'last_value'))}({argument.sql}) {over}", type_, (argument,)
            )
        return _clouded(_clouded(made, part), order)

    def _ordered(self, scope: Scope) -> Expr:
        columns: Sequence[Expr] = [each for each in scope.columns if each.type in COMPARABLE]
        chosen = self._chance.choice(columns) if columns else self.literal("int4")
        self.touches |= chosen.is_hidden or chosen.is_opaque
        return chosen


def _made_of(sql: str, type_: str, parts: Sequence[Expr]) -> Expr:
    return Expr(sql, type_, any(each.is_hidden for each in parts), any(each.is_opaque for each in parts))


def _clouded(made: Expr, by: Expr) -> Expr:
    """The same, but nobody knows what it shows where something classified steers it."""
    return Expr(made.sql, made.type, made.is_hidden, made.is_opaque or by.is_hidden or by.is_opaque)
