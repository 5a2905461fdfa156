"""The catalogue as one session sees it: what is there at once, what was asked for after it, and every newer one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from querywarden.errors import DependencyFailure
from querywarden.model.catalogue import Catalogue
from querywarden.runtime.services import Services
from querywarden.runtime.timers import now
from querywarden.session.effects import LoadCatalogue
from querywarden.session.inputs import CatalogueFailed, CatalogueReady, Input


class CatalogueFeed:
    """Feeds one session with catalogues. `spawn` runs what has to be waited for; `deliver` hands the session its answers."""

    def __init__(self, services: Services, spawn: Callable[[Coroutine[Any, Any, None]], None], deliver: Callable[[Input], None]) -> None:
        self._services = services
        self._spawn = spawn
        self._deliver = deliver
        self._unsubscribe: Callable[[], None] | None = None
        self._awaited = 0

    def load(self, database: str | None, effect: LoadCatalogue) -> None:
        """Answer a session's question for a catalogue, and tell it of newer ones from then on."""
        if database is None:
            self._deliver(CatalogueFailed("no database is connected"))
            return
        if self._unsubscribe is None:
            self._unsubscribe = self._services.catalogues.subscribe(database, self._changed)
        current = self._services.catalogues.current(database) if effect.generation is None else None
        if current is not None:
            self._deliver(CatalogueReady(current))
        else:
            self._spawn(self._wait(database, effect.generation is not None))

    def end(self) -> None:
        """The session is over."""
        if self._unsubscribe is not None:
            self._unsubscribe()

    def _changed(self, catalogue: Catalogue) -> None:
        # Who has asked waits for an answer that was read after it asked; this one may be older.
        if not self._awaited:
            self._deliver(CatalogueReady(catalogue))

    async def _wait(self, database: str, fresh: bool) -> None:
        began = now()
        self._awaited += 1
        answer: Input
        try:
            answer = CatalogueReady(await self._services.catalogues.load(database, fresh=fresh))
        except DependencyFailure as failure:
            answer = CatalogueFailed(str(failure))
        finally:
            self._awaited -= 1
        self._services.metrics.observe("added_seconds", ("catalogue",), now() - began)
        self._deliver(answer)
