"""The catalogue loader with a server made up for the test: one reading for all who wait, fresh when asked, failures told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from querywarden.errors import DependencyFailure
from querywarden.model.catalogue import Catalogue, Relation
from querywarden.runtime.catalogue_loader import CatalogueLoader
from querywarden.runtime.metrics import Metrics


class FakeServer:
    """A server whose schema is a number of relations; its connections, and what was asked on them."""

    def __init__(self) -> None:
        self.relations = 1
        self.fingerprint = b"g1"
        self.asked: list[str] = []
        self.opened = 0
        self.is_up = True
        self.gate = asyncio.Event()
        self.gate.set()

    def connect(self, database: str) -> Any:
        return FakeConnection(self)


class FakeConnection:
    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.is_open = False

    async def open(self) -> None:
        if not self.server.is_up:
            raise DependencyFailure("the server can't be reached")
        self.server.opened += 1
        self.is_open = True

    async def query(self, text: str) -> list[tuple[bytes | None, ...]]:
        self.server.asked.append(text)
        await asyncio.sleep(0)
        await self.server.gate.wait()
        if not self.server.is_up:
            raise DependencyFailure("the server closed the connection")
        return [(self.server.fingerprint,)] if text == "generation" else [(b"%d" % self.server.relations,)]

    async def query_all(self, texts: Sequence[str]) -> list[Any]:
        return [await self.query(text) for text in texts]

    def close(self) -> None:
        self.is_open = False


class Source:
    policy = ""

    def generation_query(self) -> str:
        return "generation"

    def queries(self) -> Sequence[str]:
        return ["relations"]

    def suffix(self, database: str) -> str:
        return self.policy

    def build(self, database: str, generation: str, results: Sequence[Any]) -> Catalogue:
        count = int(results[0][0][0])
        if count < 0:
            raise ValueError("nonsense")
        return Catalogue(generation, {number: Relation(number, "public", f"t{number}", "table", {}) for number in range(count)})


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def loader(server: FakeServer, source: Source) -> AsyncIterator[CatalogueLoader]:
    made = CatalogueLoader(["shop"], server.connect, source, Metrics(), poll_seconds=0.01)
    yield made
    await made.stop()


async def test_one_reading_serves_all(loader: CatalogueLoader, server: FakeServer) -> None:
    found = await asyncio.gather(*(loader.load("shop", fresh=False) for _ in range(10)))
    assert all(each is found[0] for each in found)
    assert server.asked.count("relations") == 1
    assert loader.current("shop") is found[0]
    assert await loader.load("shop", fresh=False) is found[0]
    assert server.asked.count("relations") == 1


async def test_a_reading_is_one_transaction(loader: CatalogueLoader, server: FakeServer) -> None:
    await loader.load("shop", fresh=False)
    transaction = server.asked[1:]
    assert transaction == ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "generation", "relations", "COMMIT"]


async def test_fresh_means_read_after_the_call(loader: CatalogueLoader, server: FakeServer) -> None:
    server.gate.clear()
    early = asyncio.create_task(loader.load("shop", fresh=False))
    while "generation" not in server.asked:
        await asyncio.sleep(0)
    late = asyncio.create_task(loader.load("shop", fresh=True))
    await asyncio.sleep(0)
    server.gate.set()
    await early
    server.relations = 2
    # The fingerprint is the same, as it is for temporary relations: it is read all the same.
    assert len((await late).relations) == 2


async def test_polling_finds_a_schema_change_and_tells_listeners(loader: CatalogueLoader, server: FakeServer) -> None:
    told: asyncio.Queue[Catalogue] = asyncio.Queue()
    unsubscribe = loader.subscribe("shop", told.put_nowait)
    async with asyncio.timeout(5):
        assert (await told.get()).generation == "g1"
        server.fingerprint, server.relations = b"g2", 3
        changed = await told.get()
    assert (changed.generation, len(changed.relations)) == ("g2", 3)
    assert server.opened == 1
    unsubscribe()
    unsubscribe()


async def test_the_policys_classes_are_part_of_the_generation(loader: CatalogueLoader, source: Source) -> None:
    told: asyncio.Queue[Catalogue] = asyncio.Queue()
    loader.subscribe("shop", told.put_nowait)
    async with asyncio.timeout(5):
        await told.get()
        source.policy = "/p2"
        loader.policy_changed()
        assert (await told.get()).generation == "g1/p2"


async def test_failures_are_told_and_overcome(loader: CatalogueLoader, server: FakeServer) -> None:
    server.is_up = False
    with pytest.raises(DependencyFailure, match="can't be reached"):
        await loader.load("shop", fresh=False)
    server.is_up = True
    catalogue = await loader.load("shop", fresh=False)
    server.is_up = False
    with pytest.raises(DependencyFailure):
        await loader.load("shop", fresh=True)
    assert loader.current("shop") is catalogue
    server.is_up = True
    assert await loader.load("shop", fresh=True) is catalogue


async def test_answers_that_make_no_catalogue_are_a_failure(loader: CatalogueLoader, server: FakeServer) -> None:
    server.relations = -1
    with pytest.raises(DependencyFailure, match="could not be understood"):
        await loader.load("shop", fresh=False)


async def test_waiting_ends_when_the_proxy_stops(loader: CatalogueLoader, server: FakeServer) -> None:
    server.gate.clear()
    waiting = asyncio.create_task(loader.load("shop", fresh=False))
    while not server.asked:
        await asyncio.sleep(0)
    await loader.stop()
    with pytest.raises(DependencyFailure, match="shutting down"):
        await waiting


async def test_whoever_gives_up_waiting_disturbs_nobody(loader: CatalogueLoader, server: FakeServer) -> None:
    server.gate.clear()
    gives_up = asyncio.create_task(loader.load("shop", fresh=False))
    stays = asyncio.create_task(loader.load("shop", fresh=False))
    while not server.asked:
        await asyncio.sleep(0)
    gives_up.cancel()
    await asyncio.gather(gives_up, return_exceptions=True)
    server.gate.set()
    assert (await stays).generation == "g1"
