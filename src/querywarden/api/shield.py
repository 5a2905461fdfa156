"""The shield around the application: bounds on what comes in, headers on what goes out, and nothing of an exception's text told."""

from __future__ import annotations

import asyncio

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from querywarden.admin.problems import ProblemCode
from querywarden.api.problem_details import INTERNAL_SENTENCE, problem_response

BODY_BYTES_MAX = 64 * 1024
"""A vote with its note; nothing here takes more."""
BODY_SECONDS_MAX = 10.0

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")

log = structlog.get_logger(__name__)


class Shield:
    """An ASGI application around another. Limits: `BODY_BYTES_MAX` of a body, all of it within `BODY_SECONDS_MAX`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        answer = _Answer(send, (*HEADERS, HSTS) if scope.get("scheme") == "https" else HEADERS)
        try:
            body = await _body(scope, receive)
        except _Gone:
            return  # Nobody is there to be answered.
        except TimeoutError:
            log.warning("api.request_too_slow")
            await problem_response(ProblemCode.INVALID, "The request did not come whole in time.", 408)(scope, receive, answer)
            return
        if body is None:
            await problem_response(ProblemCode.TOO_LARGE, f"A request may have {BODY_BYTES_MAX} bytes.")(scope, receive, answer)
            return
        try:
            await self._app(scope, _Replay(body, receive), answer)
        except Exception as error:
            # The text of an error may quote what the caller sent; its kind and place are enough to find the defect.
            log.error("api.broken", exc_info=error)
            if not answer.has_started:
                await problem_response(ProblemCode.INTERNAL, INTERNAL_SENTENCE)(scope, receive, answer)
            elif not answer.is_complete:
                raise BrokenAnswer from None


class _Answer:
    """Passes an answer on with our headers, and knows how far it has come."""

    def __init__(self, send: Send, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self._send = send
        self._headers = headers
        self.has_started = False
        self.is_complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            message["headers"] = [*message.get("headers", ()), *self._headers]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.is_complete = True
        await self._send(message)


class BrokenAnswer(Exception):
    """An answer broke off after it had begun: the server closes the connection, so that nobody takes a part for the whole."""


class _Gone(Exception):
    """The caller went away before its request was there."""


class _Replay:
    """Gives the application a body that was read already, and then what the connection tells."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


async def _body(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body of a request; None when it is too long. Raises: TimeoutError, _Gone."""
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > BODY_BYTES_MAX):
            return None
    parts: list[bytes] = []
    size = 0
    async with asyncio.timeout(BODY_SECONDS_MAX):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            part = message.get("body", b"")
            size += len(part)
            if size > BODY_BYTES_MAX:
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
