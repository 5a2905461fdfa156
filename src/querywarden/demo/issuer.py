"""A small OIDC issuer FOR THE DEMO AND FOR TESTS ONLY: real discovery, keys and grants, but anyone may log in as anyone.

It serves discovery, a key set, the device authorization grant (RFC 8628, with a page to choose a demo user), client credentials,
refresh tokens and token exchange (RFC 8693), and signs access tokens as RFC 9068 says. Keys and state live in memory.

Run it by itself: `python -m querywarden.demo.issuer --port 8090`.
"""

from __future__ import annotations

import argparse
import json
import secrets
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from querywarden.demo.issuer_grants import DEMO_CLIENTS, DEMO_USERS, DemoClient, Grants
from querywarden.demo.issuer_http import IssuerServer
from querywarden.demo.issuer_keys import ALGORITHMS, SigningKey, sign_jwt

AUDIENCE = "querywarden"
SCOPE = "db:connect"
CLIENT_ID = "querywarden-cli"
"""The public client of the device flow."""


@dataclass(slots=True)
class _Keys:
    """The keys per algorithm, the newest first."""

    by_algorithm: dict[str, list[SigningKey]] = field(default_factory=dict)
    generation: int = 0

    def rotate(self) -> None:
        self.generation += 1
        for algorithm in ALGORITHMS:
            key = SigningKey.generate(f"demo-{algorithm.lower()}-{self.generation}", algorithm)
            self.by_algorithm.setdefault(algorithm, []).insert(0, key)


class Issuer:
    """The demo issuer. `auto_approve` names the demo user who approves every device login at once, for tours and tests."""

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        url: str | None = None,
        audience: str = AUDIENCE,
        auto_approve: str | None = None,
        token_seconds: int = 3600,
        users: Mapping[str, tuple[str, ...]] = DEMO_USERS,
        clients: Mapping[str, DemoClient] = DEMO_CLIENTS,
        cache_seconds: int = 300,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, self._url, self._tls = host, port, url, tls
        self.audience = audience
        self.token_seconds = token_seconds
        self.users = users
        self.cache_seconds = cache_seconds
        self._lock = threading.RLock()
        self._keys = _Keys()
        self._keys.rotate()
        self._grants = Grants(self, clients, auto_approve)
        self._server: IssuerServer | None = None
        self.fetches: dict[str, int] = {}
        """How often each path was asked for, for tests."""

    @property
    def url(self) -> str:
        """The issuer's address, which is its `iss`; known once it has started."""
        if self._url is not None:
            return self._url
        if self._server is None:
            raise RuntimeError("the demo issuer has no address before start()")
        return f"{'http' if self._tls is None else 'https'}://{self._host}:{self._server.port}"

    def start(self) -> Self:
        """Start to serve, in a thread of its own; a stopped issuer comes back on the same port with the same keys."""
        if self._server is None:
            self._server = IssuerServer(self._host, self._port, self._answer, self._grants, self._tls)
            self._port = self._server.port
        return self

    def stop(self) -> None:
        """Stop to serve."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def mint(
        self,
        subject: str = "alice",
        groups: tuple[str, ...] | list[str] | None = None,
        *,
        algorithm: str = "ES256",
        client: str = CLIENT_ID,
        lifetime_seconds: int | None = None,
        issued_at: float | None = None,
        header: Mapping[str, Any] | None = None,
        **overrides: Any,
    ) -> str:
        """A signed access token; groups None are the demo user's. An override sets a claim, or with None takes it away."""
        now = int(time.time() if issued_at is None else issued_at)
        claims: dict[str, Any] = {
            "iss": self.url,
            "sub": subject,
            "aud": self.audience,
            "azp": client,
            "client_id": client,
            "iat": now,
            "nbf": now,
            "exp": now + (self.token_seconds if lifetime_seconds is None else lifetime_seconds),
            "jti": secrets.token_urlsafe(12),
            "scope": f"openid {SCOPE}",
            "groups": list(self.users.get(subject, ()) if groups is None else groups),
        } | overrides
        kept = {name: value for name, value in claims.items() if value is not None}
        return sign_jwt(self.signing_key(algorithm), kept, {"typ": "at+jwt"} | dict(header or {}))

    def mint_id_token(self, subject: str, client: str = CLIENT_ID) -> str:
        """A signed ID token, which is no access token: for showing that it is refused."""
        marks: dict[str, Any] = {"aud": client, "nonce": secrets.token_urlsafe(8), "scope": None, "client_id": None}
        return self.mint(subject, client=client, header={"typ": "JWT"}, **marks)

    def signing_key(self, algorithm: str = "ES256") -> SigningKey:
        """The key that signs at present."""
        with self._lock:
            return self._keys.by_algorithm[algorithm][0]

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Make new keys, which sign from now on; the old ones stay in the key set unless they are dropped."""
        with self._lock:
            self._keys.rotate()
            if not keep_old:
                for keys in self._keys.by_algorithm.values():
                    del keys[1:]

    def key_set(self) -> dict[str, Any]:
        """The JWK Set as it is served."""
        with self._lock:
            return {"keys": [key.jwk() for keys in self._keys.by_algorithm.values() for key in keys]}

    def discovery(self) -> dict[str, Any]:
        """The discovery document as it is served."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device_authorization",
            "authorization_endpoint": f"{self.url}/device",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": list(ALGORITHMS),
            "grant_types_supported": sorted(Grants.NAMES),
            "scopes_supported": ["openid", SCOPE, "offline_access"],
        }

    def _answer(self, path: str) -> tuple[bytes, int] | None:
        """The public document at a path with its max-age, or None."""
        with self._lock:
            self.fetches[path] = self.fetches.get(path, 0) + 1
        match path:
            case "/.well-known/openid-configuration":
                return json.dumps(self.discovery()).encode(), self.cache_seconds
            case "/keys":
                return json.dumps(self.key_set()).encode(), self.cache_seconds
            case _:
                return None


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A small OIDC issuer for the demo only: anyone may log in as anyone.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--url", help="the issuer's address where it differs from host and port")
    parser.add_argument("--audience", default=AUDIENCE)
    parser.add_argument("--auto-approve", metavar="USER", help="the demo user who approves every device login at once")
    options = parser.parse_args()
    issuer = Issuer(options.port, host=options.host, url=options.url, audience=options.audience, auto_approve=options.auto_approve)
    with issuer:
        print(f"demo issuer (for the demo only): {issuer.url}", flush=True)
        print(f"log in: querywarden login --issuer {issuer.url} --client-id {CLIENT_ID}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
