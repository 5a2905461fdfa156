"""What a login is given of the world: the client's address, the configured databases, and the source of randomness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from querywarden.model.limits import Limits
from querywarden.model.principal import Principal
from querywarden.model.resource import Database, Environment
from querywarden.model.secret import Secret
from querywarden.postgresql.scram import ScramCache


@dataclass(frozen=True, slots=True)
class Peer:
    """The client's end of the connection; `tls` is the TLS version, None without TLS."""

    ip: str
    port: int
    tls: str | None = None


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """A configured database and the role by which the proxy logs in at its server. Secrets: `password`.

    `name` is what clients call it, `database` what its server calls it.
    """

    name: str
    database: str
    role: str
    password: Secret | None = None
    environment: Environment = Environment.PRODUCTION

    @property
    def resource(self) -> Database:
        """The database as policy and log know it."""
        return Database(self.name, self.environment)


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """The databases that a listener leads to; `bound_database` is the only one where a listener is bound to it.

    `authorise` says why a principal may not use a database, or None if it may; the sentence is for the log.
    """

    databases: Mapping[str, ServerAccount]
    authorise: Callable[[Principal, str], str | None]
    draw: Callable[[int], bytes]
    bound_database: str | None = None
    limits: Limits = field(default_factory=Limits)
    scram_cache: ScramCache = field(default_factory=ScramCache)

    def resolve(self, asked: str | None, user: str) -> tuple[str, ServerAccount | None]:
        """The name of the database that a client means, and its account where there is one that it may mean.

        A client that names none means the listener's, else the one named like the user, as PostgreSQL has it. On a bound listener
        the server's own name for the database stays good, and so does the user's: libpq sends it for a client that names none.
        """
        if self.bound_database is None:
            name = asked or user
            return name, self.databases.get(name)
        account = self.databases.get(self.bound_database)
        if asked is None or asked == user or asked == self.bound_database or (account is not None and asked == account.database):
            return self.bound_database, account
        return asked, None
