"""The catalogue loader: reads each database's catalogue over a connection of its own, and keeps it up with the schema.

One reading serves all sessions that wait for it. While sessions use a database, a cheap fingerprint of its schema is asked for
every few seconds, and at once when a session has changed the schema; only another fingerprint leads to another reading. A reading
is one transaction, so that no catalogue shows half a schema change.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from querywarden.errors import DependencyFailure
from querywarden.model.catalogue import Catalogue
from querywarden.runtime.server_connection import Row, ServerConnection
from querywarden.runtime.services import Measures

READ_SECONDS_MAX = 120.0
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_COMMIT = "COMMIT"


class CatalogueSource(Protocol):
    """What to ask a server, and what its answers mean; a dialect's."""

    def generation_query(self) -> str:
        """The statement whose answer changes with the schema."""

    def queries(self) -> Sequence[str]:
        """The statements whose answers make a catalogue."""

    def build(self, database: str, generation: str, results: Sequence[list[Row]]) -> Catalogue:
        """The catalogue; it may take a while and runs in a thread."""

    def suffix(self, database: str) -> str:
        """What a catalogue's generation depends on besides the server: the version of the policy's column classes."""


@dataclass(slots=True)
class _Database:
    name: str
    current: Catalogue | None = None
    listeners: list[Callable[[Catalogue], None]] = field(default_factory=list)
    reading: asyncio.Future[Catalogue] | None = None
    """Answers those who asked before the reading under way began."""
    next: asyncio.Future[Catalogue] | None = None
    """Answers those who asked since then: theirs must begin after they asked."""
    is_forced: bool = False
    """Somebody has met what the catalogue doesn't have: the fingerprint won't do, since it leaves temporary relations out."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    connection: ServerConnection | None = None
    is_failing: bool = False


class CatalogueLoader:
    """The catalogues of all databases. `stop` ends the background work."""

    def __init__(
        self,
        names: Sequence[str],
        connect: Callable[[str], ServerConnection],
        source: CatalogueSource,
        metrics: Measures,
        poll_seconds: float,
    ) -> None:
        self._databases: Mapping[str, _Database] = {name: _Database(name) for name in names}
        self._connect = connect
        self._source = source
        self._metrics = metrics
        self._poll_seconds = poll_seconds

    def current(self, database: str) -> Catalogue | None:
        """The catalogue that is there already."""
        return self._databases[database].current

    async def load(self, database: str, *, fresh: bool) -> Catalogue:
        """The catalogue of a database; where `fresh`, one that was read from the server after this call.

        Raises: DependencyFailure.
        """
        state = self._databases[database]
        if not fresh and state.current is not None:
            return state.current
        promise = state.reading if not fresh else None
        if promise is None:
            if state.next is None:
                state.next = asyncio.get_running_loop().create_future()
                # Whoever asked may have gone when the answer comes; a failure that nobody hears is no accident.
                state.next.add_done_callback(lambda future: future.cancelled() or future.exception())
            promise = state.next
            state.is_forced = state.is_forced or fresh
            self._wake(state)
        return await asyncio.shield(promise)

    def subscribe(self, database: str, listener: Callable[[Catalogue], None]) -> Callable[[], None]:
        """Hear of each new catalogue of a database, until what is returned is called."""
        state = self._databases[database]
        state.listeners.append(listener)
        self._wake(state)

        def unsubscribe() -> None:
            with contextlib.suppress(ValueError):
                state.listeners.remove(listener)

        return unsubscribe

    def schema_changed(self, database: str) -> None:
        """Compare the catalogue with the server at once."""
        self._wake(self._databases[database])

    def policy_changed(self) -> None:
        """The policy's column classes may have changed: look at every catalogue again."""
        for state in self._databases.values():
            if state.current is not None:
                self._wake(state)

    async def stop(self) -> None:
        """End the background work and its connections."""
        tasks = [state.task for state in self._databases.values() if state.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wake(self, state: _Database) -> None:
        state.wake.set()
        if state.task is None or state.task.done():
            state.task = asyncio.get_running_loop().create_task(self._keep_up(state))

    async def _keep_up(self, state: _Database) -> None:
        """Keep one database's catalogue up for as long as somebody uses it."""
        try:
            while state.listeners or state.next is not None:
                state.wake.clear()
                await self._look(state)
                if not state.listeners and state.next is None:
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_seconds):
                        await state.wake.wait()
        finally:
            state.task = None
            if state.connection is not None:
                state.connection.close()
                state.connection = None

    async def _look(self, state: _Database) -> None:
        state.reading, state.next = state.next, None
        is_forced, state.is_forced = state.is_forced, False
        try:
            async with asyncio.timeout(READ_SECONDS_MAX):
                catalogue = await self._read(state, is_forced)
        except (DependencyFailure, TimeoutError) as failure:
            sentence = str(failure) or f"reading the catalogue of {state.name} took too long"
            self._failed(state, DependencyFailure(sentence))
        except asyncio.CancelledError:
            self._failed(state, DependencyFailure("the proxy is shutting down"))
            raise
        except Exception as error:
            structlog.get_logger().error("catalogue.crashed", database=state.name, exc_info=error)
            self._failed(state, DependencyFailure(f"the catalogue of {state.name} could not be understood"))
        else:
            self._succeeded(state, catalogue)

    async def _read(self, state: _Database, is_forced: bool) -> Catalogue:
        connection = state.connection
        if connection is None or not connection.is_open:
            connection = self._connect(state.name)
            await connection.open()
            state.connection = connection
        try:
            generation = await self._generation(connection, state.name)
            if not is_forced and state.current is not None and state.current.generation == generation:
                return state.current
            await connection.query(_BEGIN)
            generation = await self._generation(connection, state.name)
            results = await connection.query_all(self._source.queries())
            await connection.query(_COMMIT)
        except BaseException:
            # A transaction may be open, or an answer half read.
            connection.close()
            state.connection = None
            raise
        return await asyncio.to_thread(self._build, state, generation, results)

    def _build(self, state: _Database, generation: str, results: Sequence[list[Row]]) -> Catalogue:
        """The catalogue of these answers: the one that is there, if they say nothing new."""
        catalogue = self._source.build(state.name, generation, results)
        return state.current if state.current is not None and catalogue == state.current else catalogue

    async def _generation(self, connection: ServerConnection, database: str) -> str:
        rows = await connection.query(self._source.generation_query())
        cells = b"|".join(b"" if cell is None else cell for row in rows for cell in row)
        return f"{cells.decode()}{self._source.suffix(database)}"

    def _succeeded(self, state: _Database, catalogue: Catalogue) -> None:
        is_new = catalogue is not state.current
        state.current = catalogue
        state.is_failing = False
        if state.reading is not None and not state.reading.done():
            state.reading.set_result(catalogue)
        state.reading = None
        if not is_new:
            return
        self._metrics.observe("catalogue_reads", (state.name, "read"), 1)
        classified = sum(relation.is_classified for relation in catalogue.relations.values())
        structlog.get_logger().info(
            "catalogue.read", database=state.name, relations=len(catalogue.relations), classified_relations=classified
        )
        for listener in list(state.listeners):
            listener(catalogue)

    def _failed(self, state: _Database, failure: DependencyFailure) -> None:
        if not state.is_failing:
            state.is_failing = True
            structlog.get_logger().warning("catalogue.failed", database=state.name, detail=str(failure))
        self._metrics.observe("catalogue_reads", (state.name, "failed"), 1)
        if state.reading is not None and not state.reading.done():
            state.reading.set_exception(failure)
        state.reading = None
