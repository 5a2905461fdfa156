"""The catalogue of a database as people ask for it: each column, its class, and why it has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from querywarden.config.loading import server_password
from querywarden.config.models import Config
from querywarden.config.watch import PolicyWatch
from querywarden.errors import ConfigurationError
from querywarden.model.catalogue import Catalogue
from querywarden.postgresql.login_settings import ServerAccount
from querywarden.postgresql.scram import ScramCache
from querywarden.runtime.catalogue_loader import CatalogueLoader
from querywarden.runtime.catalogue_source import PostgresCatalogueSource
from querywarden.runtime.dialer import Dialer
from querywarden.runtime.metrics import Metrics
from querywarden.runtime.server_connection import ServerConnection

_OF_THE_SERVER = ("pg_catalog", "information_schema")


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One column: where it is, its type, its class with source and reason, or None where nothing is known against it."""

    relation: str
    kind: str
    column: str
    type_name: str
    data_class: str | None
    source: str | None
    reason: str | None


async def read_catalogue(config: Config, database: str | None) -> tuple[str, Catalogue]:
    """Read the catalogue of a configured database; where there is only one, it need not be named.

    Raises: ConfigurationError for a name that isn't configured; DependencyFailure when the server can't be asked.
    """
    name = _name(config, database)
    settings = config.databases[name]
    limits = config.limits.limits()
    dialer = Dialer({name: settings}, limits)
    account = ServerAccount(name, settings.server.database, settings.server.role, server_password(settings.server), settings.environment)
    policy = PolicyWatch(config.policy.file)
    source = PostgresCatalogueSource(lambda _: account.resource, lambda: policy.policy)

    def connect(_: str) -> ServerConnection:
        return ServerConnection(dialer, account, os.urandom, ScramCache(), "catalogue", limits.high_water_bytes)

    loader = CatalogueLoader([name], connect, source, Metrics(), config.catalogue.poll_seconds)
    try:
        return name, await loader.load(name, fresh=False)
    finally:
        await loader.stop()


def entries(catalogue: Catalogue, *, everything: bool) -> Iterator[CatalogueEntry]:
    """The columns in order of their relations: the classified ones of the database's own relations, or all that have a say."""
    for relation in sorted(catalogue.relations.values(), key=lambda each: (each.schema, each.name)):
        for column in sorted(relation.columns.values(), key=lambda each: each.number):
            found = column.classification
            is_own = relation.schema not in _OF_THE_SERVER
            if (found is None or not is_own) if not everything else (found is None and not is_own):
                continue
            yield CatalogueEntry(
                f"{relation.schema}.{relation.name}",
                relation.kind,
                column.name,
                column.type_name,
                None if found is None else found.data_class.value,
                None if found is None else found.source,
                None if found is None else found.reason,
            )


def _name(config: Config, database: str | None) -> str:
    if database is None and len(config.databases) == 1:
        return next(iter(config.databases))
    if database is None:
        raise ConfigurationError("name one of the databases", hint=", ".join(config.databases))
    if database not in config.databases:
        raise ConfigurationError(f"{database!r} is not a configured database", hint="the databases are: " + ", ".join(config.databases))
    return database
