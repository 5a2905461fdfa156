"""The API's application: all routes under /v1, each for a verified caller, and the OpenAPI document at /openapi.json."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import FastAPI

from querywarden import __version__
from querywarden.admin.access import AccessRequests
from querywarden.admin.approvals import Approvals
from querywarden.admin.sessions import SessionControl
from querywarden.api.access_routes import access_routes
from querywarden.api.approval_routes import approval_routes
from querywarden.api.authentication import Authentication, Rejected, Verify
from querywarden.api.event_routes import event_routes
from querywarden.api.problem_details import ProblemDetails, add_problem_handlers
from querywarden.api.session_routes import session_routes

DESCRIPTION = (
    "Approvals, access for a time, sessions and blocks of one proxy. Every request carries the token that its caller logs in to databases "
    "with: `Authorization: Bearer …`. A service token that is narrowed to databases needs the header `Querywarden-Database` with one of "
    "them."
)


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What the API serves.

    `verify` verifies the callers' tokens, and knows blocked principals and groups given for a time; `rejected` hears of those that it
    doesn't accept.
    """

    verify: Verify
    rejected: Rejected
    approvals: Approvals
    access: AccessRequests
    sessions: SessionControl


def make_application(services: ApiServices, stopping: asyncio.Event) -> FastAPI:
    """The application; event streams end when `stopping` is set. Nothing is measured or sent anywhere by the framework itself."""
    app = FastAPI(
        title="Querywarden",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False},
        responses={code: {"model": ProblemDetails} for code in (401, 403, 404, 409, 410, 413, 422, 429, 503)},
    )
    add_problem_handlers(app)
    caller = Authentication(services.verify, services.rejected).caller
    # The stream of events has a fixed name below /v1/approvals: it comes before the ids.
    app.include_router(event_routes(services.approvals, caller, stopping))
    app.include_router(approval_routes(services.approvals, caller))
    app.include_router(access_routes(services.access, caller))
    app.include_router(session_routes(services.sessions, caller))
    return app
