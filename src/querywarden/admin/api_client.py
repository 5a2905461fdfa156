"""The command line's end of the HTTP API: over the proxy's Unix socket, or over TLS."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from querywarden.errors import DependencyFailure, QuerywardenError
from querywarden.model.secret import Secret
from querywarden.runtime.issuer_http import is_safe_address

ANSWER_BYTES_MAX = 16 * 1024 * 1024
CONNECT_SECONDS_MAX = 10.0
ANSWER_SECONDS_MAX = 30.0
STREAM_SILENCE_SECONDS_MAX = 60.0
"""A stream says that it lives several times in this time."""


class ApiRefused(QuerywardenError):
    """The API said no; the text is its sentence, and `code` its kind of problem."""

    def __init__(self, code: str, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class ApiPlace:
    """Where the API is: a Unix socket, or a URL (with the authorities to trust)."""

    socket: Path | None = None
    url: str | None = None
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ApiEvent:
    """One server-sent event."""

    name: str
    data: dict[str, Any]


class ApiClient:
    """Asks one proxy's API as one caller. `database` names one of those that a narrowed service token is for. Secrets: the token."""

    def __init__(self, place: ApiPlace, token: Secret, database: str | None = None) -> None:
        self._place = place
        self._token = token
        self._database = database

    def get(self, path: str, parameters: dict[str, str] | None = None) -> Any:
        """The answer to a GET. Raises: ApiRefused, DependencyFailure."""
        return self._ask("GET", path, parameters, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to a POST. Raises: ApiRefused, DependencyFailure."""
        return self._ask("POST", path, None, body)

    def delete(self, path: str, parameters: dict[str, str] | None = None) -> Any:
        """The answer to a DELETE. Raises: ApiRefused, DependencyFailure."""
        return self._ask("DELETE", path, parameters, None)

    def events(self, path: str) -> Iterator[ApiEvent]:
        """The events of a stream until it ends. Raises: ApiRefused, DependencyFailure."""
        with self._client(STREAM_SILENCE_SECONDS_MAX) as client, self._told(), client.stream("GET", path) as response:
            if response.status_code != 200:
                raise _refused(response.status_code, _read(response))
            yield from _events(response)

    def _ask(self, method: str, path: str, parameters: dict[str, str] | None, body: dict[str, Any] | None) -> Any:
        with (
            self._client(ANSWER_SECONDS_MAX) as client,
            self._told(),
            client.stream(method, path, params=parameters, json=body) as response,
        ):
            content = _read(response)
        if not 200 <= response.status_code < 300:
            raise _refused(response.status_code, content)
        if not content:
            return None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise DependencyFailure("what answered is not the proxy's API") from None

    def _client(self, seconds: float) -> httpx.Client:
        place = self._place
        headers = {"Authorization": f"Bearer {self._token.reveal().decode('ascii', 'replace')}"}
        if self._database is not None:
            headers["Querywarden-Database"] = self._database
        timeout = httpx.Timeout(CONNECT_SECONDS_MAX, read=seconds)
        if place.url is None:
            assert place.socket is not None
            _require_listening(place.socket)
            transport = httpx.HTTPTransport(uds=str(place.socket))
            return httpx.Client(transport=transport, base_url="http://querywarden", headers=headers, timeout=timeout, trust_env=False)
        # A token must not travel where others can read it.
        if not is_safe_address(place.url):
            raise DependencyFailure("the API's address must begin with https:// (http:// is accepted for this machine alone)")
        return httpx.Client(base_url=place.url, headers=headers, timeout=timeout, trust_env=False, verify=_trust(place.ca))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what went wrong on the way, without what the libraries quote."""
        place = self._place
        where = str(place.socket) if place.url is None else "its address"
        try:
            yield
        except httpx.ConnectError:
            raise DependencyFailure(f"the proxy's API does not answer at {where}; is the proxy running?") from None
        except httpx.TimeoutException:
            raise DependencyFailure(f"the proxy's API at {where} did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DependencyFailure(f"the proxy's API at {where} broke off: {type(error).__name__}") from None


def _require_listening(path: Path) -> None:
    """Say why nobody can be reached at a Unix socket, where that is so: the HTTP library tells less, and leaves its socket open."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(CONNECT_SECONDS_MAX)
            probe.connect(str(path))
    except PermissionError:
        raise DependencyFailure(f"the proxy's API at {path} may not be used by this account") from None
    except OSError:
        raise DependencyFailure(f"the proxy's API does not answer at {path}; is the proxy running?") from None


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError):
        raise DependencyFailure(f"the authorities in {ca} can't be used") from None


def _read(response: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in response.iter_bytes():
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise DependencyFailure("the API's answer is too long")
        parts.append(part)
    return b"".join(parts)


def _refused(status: int, content: bytes) -> QuerywardenError:
    try:
        problem = json.loads(content)
        return ApiRefused(str(problem["code"]), str(problem["detail"]), status)
    except (ValueError, KeyError, TypeError, RecursionError):
        return DependencyFailure(f"the API answered with status {status}; is it a Querywarden proxy?")


def _events(response: httpx.Response) -> Iterator[ApiEvent]:
    name, data = "", ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
        elif not line and data:
            try:
                found = json.loads(data)
            except (ValueError, RecursionError):
                raise DependencyFailure("what answered is not the proxy's API") from None
            if isinstance(found, dict):
                yield ApiEvent(name, found)
            name, data = "", ""
