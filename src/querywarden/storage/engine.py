"""The control store's database: an engine over SQLite or PostgreSQL, and the two kinds of transactions that everything runs in.

Everything here blocks; the runtime calls it in a thread. Errors never quote what the database says, since that may hold rows.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from querywarden.errors import ConfigurationError, DependencyFailure

BUSY_SECONDS = 5
"""How long SQLite waits for another process's write, and PostgreSQL for another proxy's lock."""
CONNECT_SECONDS = 5
"""How long a PostgreSQL that doesn't answer is waited for: a held statement's client wants to know."""
STATEMENT_SECONDS = 10
"""How long one statement of ours may take: each touches few rows."""

_WRITES = "querywarden_writes"


class StoreDatabase:
    """An open database with transactions.

    Raises: ConfigurationError for a URL that can't be meant, DependencyFailure when the store doesn't answer.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads; on SQLite it never waits for a writer."""
        with self._transaction(is_writing=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; on SQLite it is alone from its beginning, so what it has read still holds when it writes."""
        with self._transaction(is_writing=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, is_writing: bool) -> Iterator[Connection]:
        """A transaction; what the database says of a failure stays inside, since it may quote rows."""
        try:
            with self._engine.connect().execution_options(**{_WRITES: is_writing}) as connection, connection.begin():
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
            return _postgresql_engine(parsed)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise ConfigurationError("control.url needs the PostgreSQL driver psycopg", hint='pip install "psycopg[binary]"') from None
    raise ConfigurationError(f"control.url: {backend} is not supported", hint="use sqlite:/// or postgresql://")


def _postgresql_engine(url: URL) -> Engine:
    waits = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": STATEMENT_SECONDS * 1000, "keepalives_idle": 10}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=2,
        pool_timeout=BUSY_SECONDS,
        isolation_level="READ COMMITTED",
        connect_args={name: value for name, value in waits.items() if name not in url.query},
    )
    event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_postgresql(connection: Any, _: object) -> None:
    """A store that hangs is a store that doesn't answer."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {STATEMENT_SECONDS * 1000}")
        cursor.execute(f"SET lock_timeout = {BUSY_SECONDS * 1000}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {STATEMENT_SECONDS * 1000}")
    connection.commit()


def _sqlite_engine(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigurationError("control.url names no file", hint="such as sqlite:////var/lib/querywarden/control.db")
    _make_private(Path(url.database))
    engine = create_engine(
        url.set(drivername="sqlite"), hide_parameters=True, pool_timeout=BUSY_SECONDS, connect_args={"timeout": BUSY_SECONDS}
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    """Write-ahead logging, so that the CLI and the proxy don't wait for each other; what is told is on disk.

    The driver's own BEGIN is switched off: it comes too late for what is read before the first write.
    """
    connection.isolation_level = None
    cursor = connection.cursor()
    _use_write_ahead_log(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _use_write_ahead_log(cursor: Any) -> None:
    """Switch to write-ahead logging, for which SQLite wants the file for itself and doesn't wait."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except Exception as error:
            # Another process may be switching it at this moment; whatever else is wrong shows again at once.
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
        time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    is_writing = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


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
