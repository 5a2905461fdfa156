"""Problem details: how problems look in answers, and the same form for everything else that goes wrong.

Spec: RFC 9457 §3 (members of a problem details object).
"""

from __future__ import annotations

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from querywarden.admin.problems import Problem, ProblemCode
from querywarden.errors import DependencyFailure

CONTENT_TYPE = "application/problem+json"
INTERNAL_SENTENCE = "Something went wrong; the proxy's log says where."
_PLACES_MAX = 10

STATUSES: dict[ProblemCode, int] = {
    ProblemCode.UNKNOWN_REQUEST: 404,
    ProblemCode.NOT_PENDING: 409,
    ProblemCode.EXPIRED: 410,
    ProblemCode.CONSUMED: 409,
    ProblemCode.DENIED_ALREADY: 409,
    ProblemCode.WITHDRAWN: 410,
    ProblemCode.ALREADY_VOTED: 409,
    ProblemCode.OWN_REQUEST: 403,
    ProblemCode.NOT_AN_APPROVER: 403,
    ProblemCode.POLICY_CHANGED: 409,
    ProblemCode.BLOCKED: 403,
    ProblemCode.NOT_AN_ADMINISTRATOR: 403,
    ProblemCode.NOT_REQUESTABLE: 403,
    ProblemCode.UNKNOWN_SESSION: 404,
    ProblemCode.UNKNOWN_BLOCK: 404,
    ProblemCode.UNKNOWN_GRANT: 404,
    ProblemCode.INVALID: 422,
    ProblemCode.UNAUTHENTICATED: 401,
    ProblemCode.TOO_MANY_REQUESTS: 429,
    ProblemCode.TOO_LARGE: 413,
    ProblemCode.UNAVAILABLE: 503,
    ProblemCode.NOT_FOUND: 404,
    ProblemCode.INTERNAL: 500,
}

log = structlog.get_logger(__name__)


class ProblemDetails(BaseModel):
    """The body of an answer that says no."""

    type: str = Field(description="about:blank: `code` says what kind of problem it is.")
    title: str = Field(description="The kind of problem, in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong, and what would be right.")
    code: str = Field(description="The kind of problem, for programs.")


def problem_response(code: ProblemCode, sentence: str, status: int | None = None) -> JSONResponse:
    """The answer that tells of a problem."""
    status = STATUSES[code] if status is None else status
    body = {"type": "about:blank", "title": code.value.replace("_", " "), "status": status, "detail": sentence, "code": code.value}
    headers = {"WWW-Authenticate": 'Bearer realm="querywarden"'} if status == 401 else None
    return JSONResponse(body, status, headers, CONTENT_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Make every failure of an application a problem details object."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(DependencyFailure, _on_dependency)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_defect)


async def _on_problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return problem_response(error.code, error.sentence)


async def _on_dependency(request: Request, error: Exception) -> JSONResponse:
    log.error("api.dependency_failed", detail=str(error))
    return problem_response(ProblemCode.UNAVAILABLE, f"It can't be done now: {error}.")


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    """Say which members are wrong and why, without the values, which may be anything."""
    assert isinstance(error, RequestValidationError)
    places = [f"{'.'.join(str(part) for part in each['loc'])[:80]}: {each['msg'][:200]}" for each in error.errors()[:_PLACES_MAX]]
    return problem_response(ProblemCode.INVALID, "; ".join(places))


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = ProblemCode.NOT_FOUND if error.status_code == 404 else ProblemCode.INVALID
    return problem_response(code, str(error.detail), error.status_code)


async def _on_defect(request: Request, error: Exception) -> JSONResponse:
    return problem_response(ProblemCode.INTERNAL, INTERNAL_SENTENCE)
