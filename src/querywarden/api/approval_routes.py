"""Approvals over HTTP: list, show, approve, deny."""

# No postponed annotations here: the framework reads those of the routes, and they name what a function was given.

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from querywarden.admin.approvals import LIST_MAX, USES_MAX, Approvals, Verdict
from querywarden.admin.durations import seconds_of
from querywarden.admin.request_views import RequestDetails, RequestSummary
from querywarden.approval.request import RequestState
from querywarden.model.principal import Principal

CallerOf = Callable[[Request], Awaitable[Principal]]

RequestId = Annotated[str, Path(min_length=1, max_length=64, description="The request's id, as notices and lists show it.")]


class Body(BaseModel):
    """A request's body: unknown members are errors."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ApproveBody(Body):
    """What an approver states with a yes."""

    note: str = Field("", max_length=2000, description="Shown to the requester and kept in the log.")
    uses: int = Field(1, ge=1, le=USES_MAX, description="How often the exact statement may run on this approval.")
    valid_for: str | None = Field(
        None,
        max_length=16,
        description="For how long, such as 30m, 8h or 2d. Default: until the request would have expired.",
        examples=["2h"],
    )
    standing: bool = Field(False, description="Let others run this exact statement too, where an automatic rule says so; needs valid_for.")


class DenyBody(Body):
    """What an approver states with a no."""

    note: str = Field("", max_length=2000, description="Shown to the requester and kept in the log.")


def approval_routes(approvals: Approvals, caller_of: CallerOf) -> APIRouter:
    """The routes of approvals."""
    routes = APIRouter(prefix="/v1/approvals", tags=["approvals"])

    @routes.get("", summary="List requests that the caller may see, the newest first")
    async def list_(
        caller: Annotated[Principal, Depends(caller_of)],
        state: Annotated[RequestState | None, Query(description="Only those in this state.")] = None,
        limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 50,
    ) -> list[RequestSummary]:
        return await approvals.list_requests(caller, state, limit)

    @routes.get("/{id}", summary="Show all of a request")
    async def show(id: RequestId, caller: Annotated[Principal, Depends(caller_of)]) -> RequestDetails:  # noqa: A002 - the path's word
        return await approvals.show(caller, id)

    @routes.post("/{id}/approve", summary="Say yes")
    async def approve(
        id: RequestId,  # noqa: A002
        caller: Annotated[Principal, Depends(caller_of)],
        body: ApproveBody | None = None,
    ) -> RequestSummary:
        said = ApproveBody.model_validate({}) if body is None else body
        seconds = None if said.valid_for is None else seconds_of(said.valid_for)
        return await approvals.approve(caller, id, Verdict(said.note, said.uses, seconds, said.standing))

    @routes.post("/{id}/deny", summary="Say no; it is final")
    async def deny(
        id: RequestId,  # noqa: A002
        caller: Annotated[Principal, Depends(caller_of)],
        body: DenyBody | None = None,
    ) -> RequestSummary:
        return await approvals.deny(caller, id, "" if body is None else body.note)

    return routes
