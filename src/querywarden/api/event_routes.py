"""What happens to approvals, as server-sent events: what is pending first, then each change.

Spec: HTML Living Standard, section "Server-sent events", heading "Parsing an event stream".
"""

# No postponed annotations here: the framework reads those of the routes, and they name what a function was given.

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import StreamingResponse

from querywarden.admin.approvals import Approvals
from querywarden.admin.problems import Problem, ProblemCode
from querywarden.api.approval_routes import CallerOf
from querywarden.errors import DependencyFailure
from querywarden.model.principal import Principal

STREAMS_MAX = 32
LOOK_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 15.0
STREAM_SECONDS_MAX = 300.0
"""Then the stream ends and is opened anew, with the token verified again."""


def event_routes(approvals: Approvals, caller_of: CallerOf, stopping: asyncio.Event) -> APIRouter:
    """The route of the stream of events."""
    routes = APIRouter(tags=["approvals"])
    places = asyncio.Semaphore(STREAMS_MAX)

    @routes.get(
        "/v1/approvals/events",
        summary="Follow the requests that the caller may see",
        description="Server-sent events: `requested` for each pending request, the present ones first, `voted` and `settled` for what "
        "becomes of it; the data are those of the list. The stream ends after five minutes; open it again.",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(caller: Annotated[Principal, Depends(caller_of)]) -> StreamingResponse:
        if places.locked():
            raise Problem(ProblemCode.TOO_MANY_REQUESTS, f"{STREAMS_MAX} streams are open already.")
        return StreamingResponse(_stream(approvals, caller, stopping, places), media_type="text/event-stream")

    return routes


async def _stream(approvals: Approvals, caller: Principal, stopping: asyncio.Event, places: asyncio.Semaphore) -> AsyncIterator[bytes]:
    async with places:
        seconds = STREAM_SECONDS_MAX if caller.expires_at is None else min(STREAM_SECONDS_MAX, caller.expires_at - time.time())
        end = time.monotonic() + seconds
        last_told = time.monotonic()
        follower = approvals.follow(caller)
        yield b": the requests that you may see\n\n"
        while not stopping.is_set() and time.monotonic() < end:
            try:
                changes = await follower.changes()
            except DependencyFailure:
                changes = []  # What can't be read now is told when it can.
            for name, summary in changes:
                yield _event(name, json.dumps(asdict(summary)))
            if changes or time.monotonic() - last_told >= KEEP_ALIVE_SECONDS:
                last_told = time.monotonic()
                if not changes:
                    yield b": alive\n\n"
            try:
                await asyncio.wait_for(stopping.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue


def _event(name: str, data: str) -> bytes:
    """One event; the data are JSON in one line of ASCII, so that nothing in them can end it."""
    return f"event: {name}\ndata: {data}\n\n".encode("ascii")
