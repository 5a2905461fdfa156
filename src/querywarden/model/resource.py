"""Resources: the databases that principals reach through the proxy, and the names of things inside them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Environment(StrEnum):
    """The label of a configured database that the baseline's strictness follows."""

    PRODUCTION = "production"
    STAGING = "staging"
    DEVELOPMENT = "development"
    SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class Database:
    """A configured database: the name clients use, its environment and the dialect of its server."""

    name: str
    environment: Environment
    dialect: str = "postgresql"


@dataclass(frozen=True, slots=True, order=True)
class RelationName:
    """The name of a relation as a statement writes it, case-folded by the grammar; `schema` None when unqualified."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return self.name if self.schema is None else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class FunctionName:
    """The name of a function as a statement writes it; `schema` None when unqualified."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return self.name if self.schema is None else f"{self.schema}.{self.name}"
