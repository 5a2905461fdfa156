"""Names: those of relations and functions, made once for the ones in common use."""

from __future__ import annotations

from functools import lru_cache

from querywarden.model.resource import FunctionName, RelationName


@lru_cache(maxsize=8192)
def relation_name(schema: str | None, name: str) -> RelationName:
    """The name of a relation."""
    return RelationName(schema, name)


@lru_cache(maxsize=8192)
def function_name(schema: str | None, name: str) -> FunctionName:
    """The name of a function."""
    return FunctionName(schema, name)
