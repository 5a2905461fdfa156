"""The API's tests: a small world, and a client of its application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import uvloop
from tests.model.api_world import World, make_world


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops on which each test runs: the proxy's; the server's tests also on the standard library's."""
    standard = {"asyncio": asyncio.new_event_loop} if "test_server" in item.nodeid else {}
    return {"uvloop": uvloop.new_event_loop, **standard}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make_world(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://querywarden") as found:
        yield found
