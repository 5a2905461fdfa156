"""The HTTP side of the demo issuer: documents, the token endpoint and the page where a demo user approves. FOR THE DEMO ONLY."""

from __future__ import annotations

import html
import json
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from querywarden.demo.issuer_grants import GrantRefused, Grants

_FORM_BYTES_MAX = 256 * 1024

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Demo issuer</title>
<body style="font-family:sans-serif;max-width:32rem;margin:3rem auto">
<h1>Demo issuer</h1><p><b>For the demo only:</b> choose whom to log in as; there are no passwords here.</p>{body}</body></html>"""

Documents = Callable[[str], tuple[bytes, int] | None]


class IssuerServer:
    """A listening HTTP server with its thread; `port` is the one it got."""

    def __init__(self, host: str, port: int, documents: Documents, grants: Grants, tls: ssl.SSLContext | None = None) -> None:
        class Bound(_Exchange):
            pass

        Bound.documents, Bound.grants = staticmethod(documents), grants
        self._server = ThreadingHTTPServer((host, port), Bound)
        self._server.daemon_threads = True
        if tls is not None:
            # The handshake belongs to the thread of the connection: one that stalls may not hold up the others.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="demo-issuer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    documents: Documents
    grants: Grants
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Say nothing: requests carry tokens."""

    def do_GET(self) -> None:
        """Answer a document, or the device page."""
        parts = urlsplit(self.path)
        if parts.path == "/device":
            self._page(_device_form(dict(parse_qsl(parts.query)).get("user_code", ""), self.grants.users))
        elif (found := self.documents(parts.path)) is not None:
            self._send(200, "application/json", found[0], f"public, max-age={found[1]}")
        else:
            self._send(404, "text/plain", b"not found")

    def do_POST(self) -> None:
        """Answer the token and device endpoints."""
        length = self.headers.get("content-length", "")
        if not length.isascii() or not length.isdecimal() or int(length) > _FORM_BYTES_MAX:
            self._send(400, "text/plain", b"a form is expected")
            return
        form = dict(parse_qsl(self.rfile.read(int(length)).decode("utf-8", "replace"), keep_blank_values=True))
        authorization = self.headers.get("authorization")
        try:
            match urlsplit(self.path).path:
                case "/device_authorization":
                    self._json(200, self.grants.begin_device_login(form, authorization))
                case "/token":
                    self._json(200, self.grants.token(form, authorization))
                case "/device":
                    is_settled = self.grants.settle_device_login(form.get("user_code", ""), form.get("user") or None)
                    self._page("<p>Done. You may go back to your terminal.</p>" if is_settled else "<p>There is no such login.</p>")
                case _:
                    self._send(404, "text/plain", b"not found")
        except GrantRefused as refused:
            self._json(refused.status, {"error": refused.code})

    def _json(self, status: int, answer: Mapping[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(answer).encode())

    def _page(self, body: str) -> None:
        self._send(200, "text/html; charset=utf-8", _PAGE.format(body=body).encode())

    def _send(self, status: int, content_type: str, body: bytes, cache_control: str = "no-store") -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", cache_control)
        self.end_headers()
        self.wfile.write(body)


def _device_form(user_code: str, users: Mapping[str, tuple[str, ...]]) -> str:
    buttons = "".join(
        f'<p><button name="user" value="{html.escape(user)}">{html.escape(user)} ({html.escape(", ".join(groups))})</button></p>'
        for user, groups in users.items()
    )
    return (
        f'<form method="post" action="/device"><p>Code: <input name="user_code" value="{html.escape(user_code)}"></p>'
        f'{buttons}<p><button name="user" value="">Deny</button></p></form>'
    )
