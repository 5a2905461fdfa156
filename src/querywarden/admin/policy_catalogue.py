"""Catalogues written by hand: relations, columns, classes and keys in YAML, for trying a policy without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from querywarden.config.yaml_lines import LineMap, parse_yaml, raise_with_lines, read_file, suggestion
from querywarden.errors import ConfigurationError
from querywarden.model.catalogue import Catalogue, Classification, Column, DataClass, Keys, Relation
from querywarden.model.resource import Database
from querywarden.policy.language import Policy


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_as_list)]


def _class_name(value: str | None) -> str | None:
    names = ["none", *(each.value for each in DataClass)]
    if value is not None and value not in names:
        raise PydanticCustomError("literal_error", "unknown class", {"noun": "class", "expected": ", ".join(f"'{name}'" for name in names)})
    return value


def _relation_name(value: str) -> str:
    if value.count(".") > 1:
        raise PydanticCustomError("relation", "not the name of a relation", {"hint": "schema.relation, or relation for the schema public"})
    return value


def _as_relation(value: Any) -> Any:
    """Columns alone stand for a table with those; a mapping under `columns` shows the long form."""
    if isinstance(value, dict) and not isinstance(value.get("columns"), dict):
        return {"columns": value}
    return value


class RelationSection(BaseModel):
    """A relation: its columns with their classes, and what the decisions on changes need to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[Name, Annotated[str | None, AfterValidator(_class_name)]] = Field(description="The class of each column, or null.")
    kind: Literal["table", "view", "materialized_view", "partitioned_table", "foreign_table"] = Field("table", description="What it is.")
    keys: tuple[Names, ...] = Field((), description="Unique keys: columns, or lists of columns.")
    indexed: Names = Field((), description="Columns that an index begins with, beside those of the keys.")
    delete_cascades: bool = Field(False, description="Whether a DELETE changes rows of other relations through their foreign keys.")
    update_cascades: Names = Field((), description="Columns of which an UPDATE changes rows of other relations.")

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        for name in (*(name for key in self.keys for name in key), *self.indexed, *self.update_cascades):
            if name not in self.columns:
                told = {"name": name, "hint": suggestion(name, self.columns)}
                raise PydanticCustomError("column", "'{name}' is none of its columns", told)
        return self

    def catalogue_keys(self) -> Keys:
        """The keys as a catalogue has them."""
        return Keys(
            unique=tuple(frozenset(key) for key in self.keys),
            indexed=frozenset((*self.indexed, *(key[0] for key in self.keys if key))),
            delete_cascades=self.delete_cascades,
            cascading=frozenset(self.update_cascades),
        )


Functions = Mapping[str, Literal["volatile", "stable", "immutable"]]
"""The database's own functions, by name, and what they may do."""
Relations = dict[Annotated[Name, AfterValidator(_relation_name)], Annotated[RelationSection, BeforeValidator(_as_relation)]]


_FILE = TypeAdapter(Relations)


class CatalogueLines(LineMap):
    """The lines of a file with relations, whose columns stand in them in two forms: under `columns`, or at once."""

    def __init__(self, lines: LineMap) -> None:
        super().__init__({})
        self._inner = lines

    def line(self, place: Iterable[str | int]) -> int | None:
        """The line of a place, in whichever form it is there: what is nearer to it stands further down."""
        path = tuple(place)
        short = tuple(part for part in path if part != "columns")
        return max((line for line in (self._inner.line(path), self._inner.line(short)) if line is not None), default=None)


def full_name(name: str) -> tuple[str, str]:
    """The schema and the last part of a relation's name; without a schema it is in `public`."""
    schema, _, last = name.rpartition(".")
    return schema or "public", last


def read_catalogue(file: Path | None, policy: Policy, database: Database) -> Catalogue:
    """A catalogue from a file of `schema.relation: {column: class or null}`, with the policy's own classes over it.

    Raises: ConfigurationError, with file and line.
    """
    if file is None:
        return Catalogue("none", {})
    raw, lines = parse_yaml(read_file(file), file)
    if not isinstance(raw, dict):
        raise ConfigurationError("the file holds no relations", str(file), 1, "schema.relation: {column: class}")
    try:
        relations = _FILE.validate_python(raw)
    except ValidationError as error:
        raise_with_lines(error, CatalogueLines(lines), file)
    return make_catalogue(relations, {}, policy, database, str(file))


def make_catalogue(
    relations: Mapping[str, RelationSection], functions: Functions, policy: Policy, database: Database, generation: str
) -> Catalogue:
    """The catalogue of relations and functions written by hand.

    What the policy says of a column's class comes before what is written there.
    """
    found = {}
    for number, (name, section) in enumerate(relations.items(), 1):
        schema, last = full_name(name)
        columns = {
            position: Column(position, column, "text", _classification(policy, database, (schema, last, column), given))
            for position, (column, given) in enumerate(section.columns.items(), 1)
        }
        found[number] = Relation(number, schema, last, section.kind, columns, keys=section.catalogue_keys())
    own = frozenset(functions)
    volatile = frozenset(name for name, volatility in functions.items() if volatility == "volatile")
    return Catalogue(generation, found, opaque_functions=own, volatile_functions=volatile)


def _classification(policy: Policy, database: Database, column: tuple[str, str, str], given: str | None) -> Classification | None:
    rule = policy.column_class(database, *column)
    if rule is not None:
        return Classification(rule.data_class, "policy", rule.column) if rule.data_class is not None else None
    return Classification(DataClass(given), "comment", "written by hand") if given not in (None, "none") else None
