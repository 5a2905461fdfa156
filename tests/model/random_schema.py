"""Random schemas with canaries: tables, partitions, children, views over views and functions, some of whose columns are classified.

Every column's name is as little telling as `c3`, but for those that are classified by their name. What is classified, by whatever way,
holds canaries; everything else holds values that have nothing to do with one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.model.canaries import Canaries

ROWS = 4
_TYPES = (
    "text", "text", "varchar(40)", "char(24)", "int4", "int4", "int8", "numeric", "date", "timestamptz", "uuid", "inet", "json", "jsonb",
    "text[]", "int4[]", "mood", "pair",
)  # fmt: skip
_BY_NAME = ("email", "phone", "last_name", "iban")
_CLASSES = {
    "text": ("email", "person_name", "secret", "address", "sensitive"),
    "varchar": ("email", "person_name", "secret", "address"),
    "bpchar": ("person_name", "secret", "sensitive"),
    "date": ("dob", "sensitive"),
    "timestamptz": ("sensitive",),
    "inet": ("ip",),
}


def plain_type(declared: str) -> str:
    """A declared type as expressions know it: without its length, and char by the server's name for it."""
    bare = declared.split("(")[0]
    return {"char": "bpchar"}.get(bare, bare)


@dataclass(frozen=True)
class Field:
    """A column of a relation or of a query: its name, its type, and what is in it.

    `is_hidden`: by its construction it holds something of a classified column. `is_opaque`: nobody can say whether it does, or how much
    of that counts, so that showing and masking are both right.
    """

    name: str
    type: str
    is_hidden: bool = False
    is_opaque: bool = False


@dataclass(frozen=True)
class Made:
    """A relation of a schema. `kind` is table, partitioned, child, view or materialised."""

    schema: str
    name: str
    kind: str
    fields: tuple[Field, ...]

    @property
    def is_table(self) -> bool:
        return self.kind in {"table", "partitioned", "child"}


@dataclass
class Schema:
    """A schema as made: the statements that make it, the classes that a policy file has to say, its relations and its canaries."""

    name: str
    canaries: Canaries
    statements: list[str] = field(default_factory=list)
    classes: dict[str, str] = field(default_factory=dict)
    relations: list[Made] = field(default_factory=list)

    def add_view(self, name: str, text: str, fields: Sequence[Field], *, is_materialised: bool = False) -> None:
        """A view by the text of its query, whose columns are renamed to names that are the view's own."""
        named = tuple(replace(each, name=f"{name}{number}") for number, each in enumerate(fields, 1))
        columns = ", ".join(each.name for each in named)
        kind = "MATERIALIZED VIEW" if is_materialised else "VIEW"
        self.statements.append(f"CREATE {kind} {self.name}.{name} ({columns}) AS {text}")
        self.relations.append(Made(self.name, name, "materialised" if is_materialised else "view", named))


class SchemaMaker:
    """Makes the tables and functions of a schema from a seed; the views are added by whoever can make queries."""

    def __init__(self, name: str, seed: int) -> None:
        self._chance = random.Random(seed)
        self.schema = Schema(name, Canaries(random.Random(seed + 1)))
        self._say = self.schema.statements.append

    def make(self) -> Schema:
        """The schema, without its views."""
        name = self.schema.name
        self._say(f"CREATE SCHEMA {name}")
        self._say(f"CREATE TYPE {name}.mood AS ENUM ('calm', 'busy', 'late')")
        self._say(f"CREATE TYPE {name}.pair AS (a text, b int4)")
        for number in range(1, 4):
            self._table(f"r{number}", "table")
        self._table("p1", "partitioned")
        self._child("h1", self.schema.relations[0])
        self._functions()
        return self.schema

    def _table(self, name: str, kind: str) -> None:
        fields = [Field("id", "int4"), Field("ref", "int4")]
        declared = {"id": "int4 PRIMARY KEY", "ref": "int4"}
        comments = []
        for number in range(1, 8):
            type_ = self._chance.choice(_TYPES)
            column, is_hidden = f"c{number}", self._chance.random() < 0.35 and type_ != "mood"
            way = self._chance.choice(("policy", "policy", "comment", "name")) if is_hidden else None
            if way == "name":
                type_, column = "text", self._chance.choice([each for each in _BY_NAME if each not in declared])
            elif way is not None:
                class_ = self._chance.choice(_CLASSES.get(plain_type(type_), ("opaque", "sensitive")))
                if way == "policy":
                    self.schema.classes[f"{self.schema.name}.{name}.{column}"] = class_
                else:
                    comments.append((column, class_))
            elif plain_type(type_) == "inet":
                # An address is personal by its type, unless somebody says that these aren't.
                self.schema.classes[f"{self.schema.name}.{name}.{column}"] = "none"
            declared[column] = self._declared(type_)
            fields.append(Field(column, plain_type(type_), is_hidden))
        texts = [each for each in fields if each.type in {"text", "varchar"}]
        if texts:
            source = self._chance.choice(texts)
            declared["g1"] = f"text GENERATED ALWAYS AS ('g' || upper({source.name})) STORED"
            fields.append(Field("g1", "text", source.is_hidden))
        made = Made(self.schema.name, name, kind, tuple(fields))
        self.schema.relations.append(made)
        self._write(made, declared, comments)

    def _write(self, made: Made, declared: dict[str, str], comments: list[tuple[str, str]]) -> None:
        whole = f"{made.schema}.{made.name}"
        columns = ", ".join(f"{column} {type_}" for column, type_ in declared.items())
        self._say(f"CREATE TABLE {whole} ({columns})" + (" PARTITION BY RANGE (id)" if made.kind == "partitioned" else ""))
        if made.kind == "partitioned":
            self._say(f"CREATE TABLE {whole}a PARTITION OF {whole} FOR VALUES FROM (0) TO (3)")
            self._say(f"CREATE TABLE {whole}b PARTITION OF {whole} FOR VALUES FROM (3) TO (100)")
            for part in "ab":
                self.schema.relations.append(Made(made.schema, made.name + part, "child", made.fields))
        for column, class_ in comments:
            self._say(f"COMMENT ON COLUMN {whole}.{column} IS 'querywarden: {class_}'")
        self._fill(made)

    def _child(self, name: str, parent: Made) -> None:
        whole = f"{parent.schema}.{name}"
        self._say(f"CREATE TABLE {whole} (extra text, PRIMARY KEY (id)) INHERITS ({parent.schema}.{parent.name})")
        child = Made(parent.schema, name, "child", (*parent.fields, Field("extra", "text")))
        self.schema.relations.append(child)
        self._fill(child, first=11)

    def _fill(self, made: Made, first: int = 1) -> None:
        fields = [each for each in made.fields if each.name != "g1"]
        for row in range(first, first + ROWS):
            values = [str(row) if each.name == "id" else self._value(each, row) for each in fields]
            names = ", ".join(each.name for each in fields)
            self._say(f"INSERT INTO {made.schema}.{made.name} ({names}) VALUES ({', '.join(values)})")

    def _declared(self, type_: str) -> str:
        return f"{self.schema.name}.{type_}" if type_ in {"mood", "pair"} else type_

    def _value(self, field_: Field, row: int) -> str:
        if self._chance.random() < 0.1:
            return "NULL"
        values = self._canary if field_.is_hidden else self._ordinary
        value = values(field_.type, row)
        return f"{value}::{self._declared(field_.type)}"

    def _canary(self, type_: str, _row: int) -> str:
        canaries = self.schema.canaries
        match type_:
            case "int4":
                return str(canaries.integer())
            case "int8":
                return str(canaries.long_integer())
            case "numeric":
                return str(canaries.number())
            case "date":
                return f"'{canaries.date().isoformat()}'"
            case "timestamptz":
                return f"'{canaries.moment()}'"
            case "uuid":
                return f"'{canaries.uuid()}'"
            case "inet":
                return f"'{canaries.address()}'"
            case "json" | "jsonb":
                return f"""'{{"k": "{canaries.text()}", "n": {canaries.integer()}, "a": ["{canaries.text()}"]}}'"""
            case "text[]":
                return f"ARRAY['{canaries.text()}', '{canaries.text()}']"
            case "int4[]":
                return f"ARRAY[{canaries.integer()}, {canaries.integer()}]"
            case "pair":
                return f"ROW('{canaries.text()}', {canaries.integer()})"
            case _:
                return f"'{canaries.text()}'"

    def _ordinary(self, type_: str, row: int) -> str:
        number = self._chance.randrange(100)
        match type_:
            case "int4" | "int8":
                return str(number)
            case "numeric":
                return f"{number}.5"
            case "date":
                return f"'2020-03-{1 + number % 28:02}'"
            case "timestamptz":
                return f"'2021-05-{1 + number % 28:02} 10:00:00+00'"
            case "uuid":
                return f"'{row:08}-0000-4000-8000-{number:012}'"
            case "inet":
                return f"'10.0.{row}.{number}'"
            case "json" | "jsonb":
                return f"""'{{"k": "open {number}", "n": {number}, "a": ["b{row}"]}}'"""
            case "text[]":
                return f"ARRAY['open', 'a{number}']"
            case "int4[]":
                return f"ARRAY[{number}, {row}]"
            case "mood":
                return f"'{('calm', 'busy', 'late')[number % 3]}'"
            case "pair":
                return f"ROW('open {number}', {row})"
            case _:
                return f"'open {number}'"

    def _functions(self) -> None:
        schema = self.schema.name
        self._say(f"CREATE FUNCTION {schema}.f_body(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1) || ''!'''")
        self._say(
            f"CREATE FUNCTION {schema}.f_atomic(x text, n int4) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT left(x, n); END"
        )
        self._say(f"CREATE FUNCTION {schema}.f_opaque(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN reverse($1); END'")
        source = next((each for each in self.schema.relations[0].fields if each.is_hidden), self.schema.relations[0].fields[0])
        table = f"{schema}.{self.schema.relations[0].name}"
        self._say(
            f"CREATE FUNCTION {schema}.f_read(int4) RETURNS text LANGUAGE sql STABLE "
            f"AS 'SELECT {source.name}::text FROM {table} WHERE id = $1'"
        )
        self._say(
            f"CREATE FUNCTION {schema}.f_dig() RETURNS text LANGUAGE plpgsql STABLE "
            f"AS 'BEGIN RETURN (SELECT {source.name}::text FROM {table} WHERE id = 2); END'"
        )
        self._say(f"CREATE FUNCTION {schema}.f_rows() RETURNS SETOF {table} LANGUAGE sql STABLE AS 'SELECT * FROM {table}'")
