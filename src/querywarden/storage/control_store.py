"""The control store: service tokens by their hashes, in a SQLite file or in PostgreSQL.

Everything here blocks; the runtime calls it in a thread. Statements never carry a secret, only a hash of one, and errors leave
parameters out all the same.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    create_engine,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.types import JSON

from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.identity.service_token import ServiceToken
from querywarden.model.principal import PrincipalKind

SCHEMA_VERSION = 1
"""Of the tables below; a store of a later version is not touched."""
BUSY_SECONDS = 5
"""How long SQLite waits for another process's write."""

_METADATA = MetaData()
_VERSION = Table("querywarden_schema", _METADATA, Column("version", Integer, primary_key=True))
_TOKENS = Table(
    "querywarden_service_tokens",
    _METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("databases", JSON(none_as_null=True)),
    Column("networks", JSON(none_as_null=True)),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("secret_hash", String(64), nullable=False),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
)
# A name belongs to one token at a time, so that the log's subject means one credential; after a revocation it is free again.
_NAME_INDEX = Index(
    "querywarden_service_tokens_name",
    _TOKENS.c.name,
    unique=True,
    sqlite_where=_TOKENS.c.revoked_at.is_(None),
    postgresql_where=_TOKENS.c.revoked_at.is_(None),
)


class DuplicateName(ValueError):
    """Another service token that isn't revoked has this name."""


class UnknownToken(ValueError):
    """No service token has this id."""


class ControlStore:
    """An open control store. Opening it creates the SQLite file (0600) and the tables where they don't exist.

    Raises: ConfigurationError for a URL that can't be meant, DependencyFailure when the store doesn't answer.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def add_token(self, token: ServiceToken) -> None:
        """Store a new service token; raises DuplicateName."""
        values = {
            "id": token.id,
            "name": token.name,
            "owner": token.owner,
            "kind": token.kind.value,
            "groups": sorted(token.groups),
            "databases": None if token.databases is None else sorted(token.databases),
            "networks": None if token.networks is None else list(token.networks),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "secret_hash": token.secret_hash,
        }
        with self._transaction() as connection:
            try:
                connection.execute(insert(_TOKENS).values(values))
            except IntegrityError:
                raise DuplicateName(f"there is already a service token named {token.name}; revoke it or choose another name") from None

    def find_token(self, token_id: str) -> ServiceToken | None:
        """The service token of an id, revoked or not."""
        with self._transaction() as connection:
            row = connection.execute(select(_TOKENS).where(_TOKENS.c.id == token_id)).one_or_none()
        return None if row is None else _token(row)

    def find_tokens(self, token_ids: Sequence[str]) -> dict[str, ServiceToken]:
        """The service tokens of several ids, by id."""
        with self._transaction() as connection:
            rows = connection.execute(select(_TOKENS).where(_TOKENS.c.id.in_(token_ids))).all()
        return {row.id: _token(row) for row in rows}

    def list_tokens(self) -> list[ServiceToken]:
        """All service tokens, the newest last."""
        with self._transaction() as connection:
            rows = connection.execute(select(_TOKENS).order_by(_TOKENS.c.created_at, _TOKENS.c.id)).all()
        return [_token(row) for row in rows]

    def revoke_token(self, token_id: str, now: int) -> ServiceToken:
        """Revoke a service token; one that is revoked already stays as it is. Raises UnknownToken."""
        with self._transaction() as connection:
            is_active = (_TOKENS.c.id == token_id) & _TOKENS.c.revoked_at.is_(None)
            connection.execute(update(_TOKENS).where(is_active).values(revoked_at=now))
            row = connection.execute(select(_TOKENS).where(_TOKENS.c.id == token_id)).one_or_none()
        if row is None:
            raise UnknownToken(f"there is no service token with the id {token_id}")
        return _token(row)

    def touch_token(self, token_id: str, now: int) -> None:
        """Note that a service token was used."""
        with self._transaction() as connection:
            connection.execute(update(_TOKENS).where(_TOKENS.c.id == token_id).values(last_used_at=now))

    def _prepare(self) -> None:
        with self._transaction() as connection:
            if connection.dialect.name == "postgresql":
                # Two proxies that start together would both create the tables.
                connection.execute(text("SELECT pg_advisory_xact_lock(7095443260015)"))
            _METADATA.create_all(connection)
            versions = connection.execute(select(_VERSION.c.version)).scalars().all()
            if not versions:
                connection.execute(insert(_VERSION).values(version=SCHEMA_VERSION))
            elif max(versions) > SCHEMA_VERSION:
                raise ConfigurationError("the control store was made by a later version", hint="start the proxy with that version")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A transaction; what the database says of a failure stays inside, since it may quote rows."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise DependencyFailure(f"the control store does not answer: {type(error.orig).__name__}") from None
        except SQLAlchemyError as error:
            raise DependencyFailure(f"the control store does not answer: {type(error).__name__}") from None


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("control.url is not a database URL", hint="such as sqlite:////var/lib/querywarden/control.db") from None
    backend = parsed.get_backend_name()
    try:
        if backend == "sqlite":
            return _sqlite_engine(parsed)
        if backend == "postgresql":
            return create_engine(parsed.set(drivername="postgresql+psycopg"), hide_parameters=True, pool_pre_ping=True, pool_size=2)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise ConfigurationError("control.url needs the PostgreSQL driver psycopg", hint='pip install "psycopg[binary]"') from None
    raise ConfigurationError(f"control.url: {backend} is not supported", hint="use sqlite:/// or postgresql://")


def _sqlite_engine(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigurationError("control.url names no file", hint="such as sqlite:////var/lib/querywarden/control.db")
    _make_private(Path(url.database))
    engine = create_engine(url.set(drivername="sqlite"), hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    """Write-ahead logging, so that the CLI and the proxy don't wait for each other; a revocation is on disk when it is told."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _make_private(path: Path) -> None:
    """Create the file for its owner alone; SQLite gives its side files the same mode. An open file of ours is closed to others."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DependencyFailure(f"the control store {path} can't be opened: {error.strerror}") from None


def _token(row: Row[Any]) -> ServiceToken:
    return ServiceToken(
        id=row.id,
        name=row.name,
        owner=row.owner,
        kind=PrincipalKind(row.kind),
        groups=frozenset(row.groups),
        databases=None if row.databases is None else frozenset(row.databases),
        networks=None if row.networks is None else tuple(row.networks),
        created_at=row.created_at,
        expires_at=row.expires_at,
        secret_hash=row.secret_hash,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
