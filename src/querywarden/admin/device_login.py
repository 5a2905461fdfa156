"""Login at an identity provider by the device flow, for people whose client has no browser of its own.

Spec: RFC 8628 §3 (device authorization grant).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from querywarden.errors import DependencyFailure
from querywarden.identity.strict_json import StrictJsonError, decode_object
from querywarden.runtime.issuer_http import IssuerSource, discovery_document, is_safe_address, issuer_client

ANSWER_BYTES_MAX = 256 * 1024
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True)
class DevicePrompt:
    """What the person is told: open this page and enter this code."""

    page: str
    code: str
    seconds: int


async def device_login(
    source: IssuerSource,
    client_id: str,
    scope: str,
    prompt: Callable[[DevicePrompt], None],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> str:
    """The access token that the person approves. Secrets: the result. Raises DependencyFailure with a sentence for the person."""
    endpoints = await discovery_document(source)
    begin, token = (_endpoint(endpoints, name) for name in ("device_authorization_endpoint", "token_endpoint"))
    async with issuer_client(source.issuer, source.ca) as client:
        answer = await _post(client, begin, {"client_id": client_id, "scope": scope})
        if "error" in answer:
            raise DependencyFailure(f"the issuer refused to begin a login: {_error(answer)}")
        device_code, page, code = (_text(answer, name) for name in ("device_code", "verification_uri", "user_code"))
        seconds, interval = _number(answer, "expires_in", 600, 3600), _number(answer, "interval", 5, 60)
        complete = answer.get("verification_uri_complete")
        prompt(DevicePrompt(complete if isinstance(complete, str) else page, code, seconds))
        waited = 0
        while waited < seconds:
            await sleep(interval)
            waited += interval
            answer = await _post(client, token, {"grant_type": GRANT, "device_code": device_code, "client_id": client_id})
            match answer.get("error"):
                case None:
                    return _text(answer, "access_token")
                case "authorization_pending":
                    continue
                case "slow_down":
                    interval += 5
                case "access_denied":
                    raise DependencyFailure("the login was denied")
                case "expired_token":
                    break
                case _:
                    raise DependencyFailure(f"the issuer refused the login: {_error(answer)}")
    raise DependencyFailure("the login was not approved in time")


def cache_token(path: Path, token: str) -> None:
    """Write a token to a file that its owner alone can read. Raises DependencyFailure."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
        os.replace(temporary, path)
    except OSError as error:
        raise DependencyFailure(f"the token can't be written to {path}: {error.strerror}") from None


def _endpoint(document: dict[str, Any], name: str) -> str:
    address = document.get(name)
    if not isinstance(address, str) or not is_safe_address(address):
        raise DependencyFailure(f"the issuer offers no {name}; it can't log in this way")
    return address


async def _post(client: httpx.AsyncClient, address: str, form: dict[str, str]) -> dict[str, Any]:
    try:
        response = await client.post(address, data=form)
    except httpx.HTTPError as error:
        raise DependencyFailure(f"the issuer could not be asked: {type(error).__name__}") from None
    if response.status_code >= 500 or len(response.content) > ANSWER_BYTES_MAX:
        raise DependencyFailure(f"the issuer answered with status {response.status_code}")
    try:
        answer = decode_object(response.content)
    except StrictJsonError:
        raise DependencyFailure(f"the issuer answered with status {response.status_code} and no JSON") from None
    if response.status_code != 200 and "error" not in answer:
        raise DependencyFailure(f"the issuer answered with status {response.status_code}")
    return answer


def _text(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise DependencyFailure(f"the issuer's answer has no {name}")
    return value


def _number(answer: dict[str, Any], name: str, default: int, maximum: int) -> int:
    value = answer.get(name, default)
    return min(max(value, 1), maximum) if isinstance(value, int) and not isinstance(value, bool) else default


def _error(answer: dict[str, Any]) -> str:
    code = answer.get("error")
    return code if isinstance(code, str) and code.isascii() and code.isprintable() and len(code) < 100 else "unknown error"
