"""Sessions and blocks over HTTP, for administrators."""

# No postponed annotations here: the framework reads those of the routes, and they name what a function was given.

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from querywarden.admin.durations import seconds_of
from querywarden.admin.sessions import BlockView, SessionControl, SessionView
from querywarden.api.approval_routes import Body, CallerOf
from querywarden.model.principal import Principal

Reason = Annotated[str, Query(max_length=500, description="Why; kept in the log.")]


class BlockBody(Body):
    """Whom to block, and for how long."""

    subject: str = Field(min_length=1, max_length=255, description="The principal's subject, also where it acts for others.")
    issuer: str | None = Field(None, min_length=1, max_length=2048, description="Its issuer; default: the subject of any issuer.")
    reason: str = Field("", max_length=500, description="Why; kept in the log.")
    valid_for: str | None = Field(None, max_length=16, description="For how long, such as 8h; default: until it is unblocked.")


def session_routes(control: SessionControl, caller_of: CallerOf) -> APIRouter:
    """The routes of sessions and blocks."""
    routes = APIRouter(prefix="/v1", tags=["sessions"])

    @routes.get("/sessions", summary="List open sessions of all proxies that share the control store")
    async def list_(caller: Annotated[Principal, Depends(caller_of)]) -> list[SessionView]:
        return await control.list_sessions(caller)

    @routes.delete("/sessions/{id}", status_code=202, summary="End a session within a second; what it runs is cancelled at the server")
    async def kill(
        id: Annotated[str, Path(min_length=1, max_length=64)],  # noqa: A002 - the path's word
        caller: Annotated[Principal, Depends(caller_of)],
        reason: Reason = "",
    ) -> None:
        await control.kill(caller, id, reason)

    @routes.get("/principals/blocks", tags=["principals"], summary="List blocked principals")
    async def blocks(caller: Annotated[Principal, Depends(caller_of)]) -> list[BlockView]:
        return await control.list_blocks(caller)

    @routes.post("/principals/blocks", status_code=201, tags=["principals"], summary="Block a principal; its sessions end at once")
    async def block(body: BlockBody, caller: Annotated[Principal, Depends(caller_of)]) -> None:
        seconds = None if body.valid_for is None else seconds_of(body.valid_for)
        await control.block(caller, body.subject, body.issuer, body.reason, seconds)

    @routes.delete("/principals/blocks", status_code=204, tags=["principals"], summary="Unblock a principal")
    async def unblock(
        caller: Annotated[Principal, Depends(caller_of)],
        subject: Annotated[str, Query(min_length=1, max_length=255)],
        issuer: Annotated[str | None, Query(min_length=1, max_length=2048)] = None,
    ) -> None:
        await control.unblock(caller, subject, issuer)

    return routes
