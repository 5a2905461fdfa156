"""Where PostgreSQL's catalogues come from: the dialect's queries, and the policy's word on columns and functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from querywarden.model.catalogue import Catalogue
from querywarden.model.glob import is_any_match
from querywarden.model.resource import Database
from querywarden.policy.language import Policy
from querywarden.postgresql.catalogue_query import CATALOGUE_QUERIES, GENERATION_QUERY, PolicyClass, build_catalogue
from querywarden.runtime.server_connection import Row


class PostgresCatalogueSource:
    """The queries and their meaning; `policy` gives the policy in force, whose column classes are the strongest."""

    def __init__(self, resource: Callable[[str], Database], policy: Callable[[], Policy]) -> None:
        self._resource = resource
        self._policy = policy

    def generation_query(self) -> str:
        """The statement whose answer changes with the schema."""
        return GENERATION_QUERY

    def queries(self) -> Sequence[str]:
        """The statements whose answers make a catalogue."""
        return CATALOGUE_QUERIES

    def suffix(self, database: str) -> str:
        """The policy's version, where it says anything about columns or functions."""
        policy = self._policy()
        return f"/{policy.version[:16]}" if policy.column_classes or policy.trusted_functions else ""

    def build(self, database: str, generation: str, results: Sequence[list[Row]]) -> Catalogue:
        """The catalogue of a database's answers."""
        policy = self._policy()
        resource = self._resource(database)

        def said(schema: str, relation: str, column: str) -> PolicyClass | None:
            rule = policy.column_class(resource, schema, relation, column)
            return None if rule is None else PolicyClass(rule.data_class)

        return build_catalogue(generation, results, said, lambda function: is_any_match(policy.trusted_functions, function))
