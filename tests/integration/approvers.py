"""Approvers of the tests: people with a token at the proxy's HTTP API, and statements that wait for them in another thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

WAIT_SECONDS_MAX = 20.0


class Approver:
    """One person at the API's socket."""

    def __init__(self, socket: Path, token: str, ignored: frozenset[str] = frozenset()) -> None:
        """`ignored` are the ids of requests that earlier tests have left."""
        self._ignored = ignored
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://querywarden", headers={"Authorization": f"Bearer {token}"},
            timeout=20,
        )  # fmt: skip

    def requests(self, state: str | None = "pending") -> list[dict[str, Any]]:
        answer = self._client.get("/v1/approvals", params={} if state is None else {"state": state})
        assert answer.status_code == 200, answer.text
        return [request for request in answer.json() if request["id"] not in self._ignored]

    def wait_for_request(self, **wanted: Any) -> dict[str, Any]:
        """The pending request that has these fields, once it is there."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < deadline:
            for request in self.requests():
                if all(request[name] == value for name, value in wanted.items()):
                    return request
            time.sleep(0.05)
        raise AssertionError(f"no request with {wanted} within {WAIT_SECONDS_MAX} s: {self.requests(None)}")

    def show(self, request_id: str) -> dict[str, Any]:
        answer = self._client.get(f"/v1/approvals/{request_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self, request_id: str) -> str:
        return str(self.show(request_id)["request"]["state"] if "request" in self.show(request_id) else self.show(request_id)["state"])

    def approve(self, request_id: str, **body: Any) -> httpx.Response:
        return self._client.post(f"/v1/approvals/{request_id}/approve", json=body)

    def deny(self, request_id: str, note: str = "") -> httpx.Response:
        return self._client.post(f"/v1/approvals/{request_id}/deny", json={"note": note})

    def ask(self, **body: Any) -> httpx.Response:
        return self._client.post("/v1/access", json=body)

    def get(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def close(self) -> None:
        self._client.close()


class Waiting:
    """Work in a thread of its own that is expected to wait for somebody."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._result = work()
        except BaseException as error:
            self._error = error

    @property
    def is_waiting(self) -> bool:
        return self._thread.is_alive()

    def result(self, seconds: float = WAIT_SECONDS_MAX) -> Any:
        """What the work came to; its error is raised here."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"still waiting after {seconds} s"
        if self._error is not None:
            raise self._error
        return self._result
