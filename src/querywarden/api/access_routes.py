"""Access for a time over HTTP: ask for it, see who has it, end it."""

# No postponed annotations here: the framework reads those of the routes, and they name what a function was given.

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from querywarden.admin.access import AccessRequests, GrantView, Wanted
from querywarden.admin.durations import seconds_of
from querywarden.admin.request_views import RequestSummary
from querywarden.api.approval_routes import Body, CallerOf
from querywarden.api.authentication import peer_of
from querywarden.model.principal import Principal


class AccessBody(Body):
    """What somebody asks for: a group or a database."""

    group: str | None = Field(None, min_length=1, max_length=255, description="Membership in this group.")
    database: str | None = Field(None, min_length=1, max_length=63, description="Access to this database.")
    valid_for: str = Field(max_length=16, description="For how long, from the approval on: 30m, 8h, 2d.", examples=["2h"])
    reason: str = Field("", max_length=2000, description="Why; approvers see it.")


def access_routes(access: AccessRequests, caller_of: CallerOf) -> APIRouter:
    """The routes of access for a time."""
    routes = APIRouter(prefix="/v1/access", tags=["access"])

    @routes.post("", status_code=201, summary="Ask for a group or a database, for a time")
    async def ask(body: AccessBody, request: Request, caller: Annotated[Principal, Depends(caller_of)]) -> RequestSummary:
        wanted = Wanted(body.group, body.database, seconds_of(body.valid_for), body.reason)
        return await access.ask(caller, wanted, peer_of(request))

    @routes.get("", summary="List access in force: the caller's own; all of it for administrators")
    async def list_(caller: Annotated[Principal, Depends(caller_of)]) -> list[GrantView]:
        return await access.list_grants(caller)

    @routes.delete("/{id}", status_code=204, summary="End access before its time: one's own; any for administrators")
    async def end(
        id: Annotated[str, Path(min_length=1, max_length=64)],  # noqa: A002 - the path's word
        caller: Annotated[Principal, Depends(caller_of)],
    ) -> None:
        await access.end(caller, id)

    return routes
